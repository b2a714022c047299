"""Layers that hold kernels: convolutions of every sort, matrices, batch norm, implicit."""

from __future__ import annotations

import numpy as np

from darkshare.darknet.admission import convolution_window
from darkshare.darknet.batchnorm import scaled_weights
from darkshare.darknet.kinds import Connected, Convolutional, Deconvolutional, Local, Maxpool
from darkshare.darknet.kinds.base import P
from darkshare.darknet.network import Layer
from darkshare.darknet.weights import Floats
from darkshare.errors import Unsupported
from darkshare.inference.onnx.activations import activate, channel_sum
from darkshare.inference.onnx.graph import Each, Graph, Sources


def convolutional(graph: Graph, layer: Layer[Convolutional], x: str, sources: Sources) -> str:
    """Convolution, batch norm, activation and blur (forward_convolutional_layer)."""
    kind = layer.kind
    if kind.binary:
        raise Unsupported("binary=1: Darknet's CPU and GPU code use different weights for it, so it has no one meaning")
    (stride_x, stride_y), pad = convolution_window(layer)
    groups = kind.used_groups
    shape = (kind.filters, layer.x.c // groups, kind.size, kind.size)
    given = graph.model.stored_tensors(layer.index)
    each: Each = binarized if kind.xnor else lambda rows: rows
    if graph.form.fourth_channel and takes_fourth(layer):
        x, each = graph.node(layer, "Pad", x, graph.integers(layer, 0, 0, 0, 0, 0, 1, 0, 0)), with_fourth
        shape = (kind.filters, 4, kind.size, kind.size)
    names = graph.kernel(layer, shape, given, each)
    if kind.xnor:
        x, pad = signs(graph, layer, x, pad)
    if pad and kind.size == 1:  # which OpenCV 5 computes from foreign memory
        x, pad = padded(graph, layer, x, pad), 0
    y = graph.node(
        layer,
        "Conv",
        x,
        *names,
        kernel_shape=[kind.size] * 2,
        strides=[stride_y, stride_x],
        pads=[pad] * 4,
        dilations=[kind.spread] * 2,
        group=groups,
    )
    return blurred(graph, layer, activate(graph, layer, y, kind.activation))


def takes_fourth(layer: Layer[Convolutional]) -> bool:
    """Whether a layer reads the three channels of a picture, into as many as ONNX Runtime computes at once."""
    kind = layer.kind
    whole = kind.used_groups == 1 and not kind.xnor and not (kind.size == 1 and convolution_window(layer)[1])
    return whole and layer.index == 0 and layer.x.c == 3 and kind.filters % 16 == 0


def with_fourth(rows: Floats) -> Floats:
    """Weights of three channels, and none of a fourth."""
    return np.pad(rows, ((0, 0), (0, rows.shape[1] // 3)))


def signs(graph: Graph, layer: Layer, x: str, pad: int) -> tuple[str, int]:
    """1 above 0, else -1 (binarize_cpu), and the padding that is still to do.

    pjreddie pads the signs with 0. AlexeyAB packs them into bits, in which padding equals -1
    (gemm_nn_custom_bin_mean_transposed), so the image is padded before. ONNX's Sign gives 0 for 0, so half a step
    goes between two of them.
    """
    if pad and layer.kind.dialect != P:
        x, pad = padded(graph, layer, x, pad), 0
    half = graph.node(layer, "Sub", graph.node(layer, "Sign", x), graph.constant(layer, [0.5]))
    return graph.node(layer, "Sign", half), pad


def padded(graph: Graph, layer: Layer, x: str, pad: int) -> str:
    """An image with zeros around it, as an operator of its own."""
    return graph.node(layer, "Pad", x, graph.integers(layer, 0, 0, pad, pad, 0, 0, pad, pad))


def binarized(rows: Floats) -> Floats:
    """Every weight as plus or minus the mean size of its filter's weights (binarize_weights)."""
    mean = np.abs(rows).mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    signed: Floats = np.where(rows > 0, mean, -mean)
    return signed


def blurred(graph: Graph, layer: Layer[Convolutional | Maxpool], y: str) -> str:
    """AlexeyAB's antialiasing: the layer ran at stride 1, and a blur takes the strides (make_convolutional_layer)."""
    kind = layer.kind
    if not kind.antialiasing:
        return y
    line, pad = ([1 / 2] * 2, 0) if kind.antialiasing == 2 else ([1 / 4, 1 / 2, 1 / 4], 1)
    channels, (stride_x, stride_y) = layer.y.c, kind.strides
    weights = graph.repeated(layer, (channels, 1, len(line), len(line)), channels, lambda: np.outer(line, line))
    how = {"kernel_shape": [len(line)] * 2, "strides": [stride_y, stride_x], "pads": [pad] * 4, "group": channels}
    return graph.node(layer, "Conv", y, weights, **how)


def connected(graph: Graph, layer: Layer[Connected], x: str, sources: Sources) -> str:
    """A matrix over a flattened image is a convolution whose kernel is as large as the image."""
    kind = layer.kind
    graph.require_fixed(x)
    c, h, w = layer.x[:3] if layer.x.is_image else (layer.x.size, 1, 1)
    given = graph.model.stored_tensors(layer.index)
    y = graph.node(layer, "Conv", x, *graph.kernel(layer, (kind.output, c, h, w), given), kernel_shape=[h, w])
    return activate(graph, layer, y, kind.activation)


def batchnorm(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Batch norm as a layer of its own."""
    return _scaled(graph, layer, x, layer.x.c)


def local(graph: Graph, layer: Layer[Local], x: str, sources: Sources) -> str:
    """A kernel of its own at every place: the windows become channels, and each place a group of a convolution.

    The windows come from a convolution whose filters each pick one value; the weights stay in the file's order
    (forward_local_layer, im2col_cpu).
    """
    kind = layer.kind
    graph.require_fixed(x)
    size, pad, places = kind.size, int(kind.pad), layer.y.h * layer.y.w
    for n, made in ((layer.x.h, layer.y.h), (layer.x.w, layer.y.w)):
        if (n + 2 * pad - size) // kind.stride + 1 != made:
            raise Unsupported(f"pad=1 with size={size}: Darknet pads one pixel only and gets its size wrong")
    window = layer.x.c * size**2
    pick = graph.repeated(layer, (window, 1, size, size), layer.x.c, lambda: np.eye(size**2))
    how = {"kernel_shape": [size] * 2, "strides": [kind.stride] * 2, "pads": [pad] * 4, "group": layer.x.c}
    windows = graph.node(layer, "Conv", x, pick, **how)
    flat = graph.node(layer, "Reshape", windows, graph.integers(layer, -1, window, places))
    turned = graph.node(layer, "Transpose", flat, perm=[0, 2, 1])
    columns = graph.node(layer, "Reshape", turned, graph.integers(layer, -1, places * window, 1, 1))
    given = graph.model.stored_tensors(layer.index)
    rows = {"weights": given["weights"].reshape(-1, window)}
    filters = places * layer.y.c
    weights = graph.block(
        layer, "weights", (filters, window, 1, 1), lambda: scaled_weights(rows, filters, graph.form.bn_epsilon)
    )
    sums = graph.node(layer, "Conv", columns, weights, kernel_shape=[1, 1], group=places)
    apart = graph.node(layer, "Reshape", sums, graph.integers(layer, -1, places, layer.y.c))
    image = graph.node(layer, "Transpose", apart, perm=[0, 2, 1])
    y = graph.node(layer, "Reshape", image, graph.integers(layer, -1, *layer.y[:3]))
    bias = graph.block(layer, "bias", (1, *layer.y[:3]), lambda: [np.asarray(given["biases"])])
    return activate(graph, layer, graph.node(layer, "Add", y, bias), kind.activation)


def implicit(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Learned values that read nothing: a stored tensor, once for every picture (forward_implicit_layer)."""
    if graph.form.batch is None:
        raise Unsupported("it gives as many values as there are pictures; give the batch a fixed size")
    values, batch = graph.model.tensors(layer.index)["weights"], graph.form.batch
    return graph.block(layer, "weights", (batch, *layer.y[:3]), lambda: [values] * batch)


def l2norm(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Each place divided by its length over the channels (l2normalize_cpu)."""
    square = graph.node(layer, "Mul", x, x)
    total = graph.node(layer, "Sqrt", channel_sum(graph, layer, square, layer.x.c))
    return graph.node(layer, "Div", x, total)


def deconvolutional(graph: Graph, layer: Layer[Deconvolutional], x: str, sources: Sources) -> str:
    """The transposed convolution of pjreddie convolution (forward_deconvolutional_layer).

    Its weights lie with the input's channels first, so batch norm is not folded into them but comes behind.
    """
    kind = layer.kind
    given = graph.model.stored_tensors(layer.index)
    shape = (layer.x.c, kind.filters, kind.size, kind.size)
    rows = {"weights": given["weights"].reshape(layer.x.c, -1)}
    weights = graph.block(layer, "weights", shape, lambda: scaled_weights(rows, layer.x.c, graph.form.bn_epsilon))
    how = {"kernel_shape": [kind.size] * 2, "strides": [kind.stride] * 2, "pads": [kind.pads] * 4}
    y = graph.node(layer, "ConvTranspose", x, weights, **how)
    return activate(graph, layer, _scaled(graph, layer, y, kind.filters), kind.activation)


def _scaled(graph: Graph, layer: Layer, x: str, channels: int) -> str:
    """Batch norm, or biases, by themselves: a convolution of each channel with the weight 1."""
    given = {**graph.model.stored_tensors(layer.index), "weights": np.ones((channels, 1), np.float32)}
    names = graph.kernel(layer, (channels, 1, 1, 1), given)
    return graph.node(layer, "Conv", x, *names, kernel_shape=[1, 1], group=channels)
