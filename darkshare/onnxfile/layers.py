"""One function per kind, in one table: how a layer becomes ONNX operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from darkshare import kinds
from darkshare.errors import Unsupported
from darkshare.kinds import Kind, Shape
from darkshare.network import Layer
from darkshare.onnxfile.activations import activate
from darkshare.onnxfile.graph import Graph

Sources = Sequence[tuple[str, Shape]]  # name and shape of each layer that is read by index


def _as_is(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    return x


def _head(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """The graph ends with the head's raw input; what it means must be known all the same."""
    kind: Any = layer.kind
    kind.anchor_sizes()
    return x


def _convolutional(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    kind: Any = layer.kind
    for key in ("antialiasing", "xnor", "binary", "bin_output"):
        if getattr(kind, key):
            raise Unsupported(f"{key}=1 cannot be run here yet")
    stride_x, stride_y = kind.strides
    pad = kind.pads * kind.spread
    reach = kind.spread * (kind.size - 1) + 1
    made = [(n + 2 * pad - reach) // s + 1 for n, s in ((layer.x.h, stride_y), (layer.x.w, stride_x))]
    if made != [layer.y.h, layer.y.w]:
        raise Unsupported(f"dilation={kind.spread} with size={kind.size} and this padding: Darknet gets its size wrong")
    shape = (kind.filters, layer.x.c // kind.groups, kind.size, kind.size)
    y = graph.node(
        layer,
        "Conv",
        x,
        *graph.kernel(layer, shape, graph.model.tensors(layer.index)),
        kernel_shape=[kind.size] * 2,
        strides=[stride_y, stride_x],
        pads=[pad] * 4,
        dilations=[kind.spread] * 2,
        group=kind.groups,
    )
    return activate(graph, layer, y, kind.activation)


def _connected(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """A matrix over a flattened image is a convolution whose kernel is as large as the image."""
    kind: Any = layer.kind
    if not layer.x.is_image:
        raise Unsupported("it reads values that are no image")
    shape = (kind.output, layer.x.c, layer.x.h, layer.x.w)
    given = graph.model.tensors(layer.index)
    y = graph.node(layer, "Conv", x, *graph.kernel(layer, shape, given), kernel_shape=[layer.x.h, layer.x.w])
    return activate(graph, layer, y, kind.activation)


def _batchnorm(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Batch norm by itself is a convolution of each channel with the weight 1."""
    channels = layer.x.c
    given = {**graph.model.tensors(layer.index), "weights": np.ones((channels, 1), np.float32)}
    names = graph.kernel(layer, (channels, 1, 1, 1), given)
    return graph.node(layer, "Conv", x, *names, kernel_shape=[1, 1], group=channels)


def _activation(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    kind: Any = layer.kind
    return activate(graph, layer, x, kind.activation)


def _window(layer: Layer) -> dict[str, Any]:
    """Darknet's first window starts half the total padding before the image; the rest lies behind it."""
    kind: Any = layer.kind
    before = kind.pads // 2
    after = kind.pads - before
    if after >= kind.window:
        raise Unsupported(f"padding={kind.pads} is more than its window of {kind.window} can touch")
    stride_x, stride_y = kind.strides
    pads = [before, before, after, after]
    return {"kernel_shape": [kind.window] * 2, "strides": [stride_y, stride_x], "pads": pads}


def _maxpool(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    kind: Any = layer.kind
    for key in ("maxpool_depth", "antialiasing"):
        if getattr(kind, key):
            raise Unsupported(f"{key}=1 cannot be run here yet")
    return graph.node(layer, "MaxPool", x, **_window(layer))


def _local_avgpool(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    return graph.node(layer, "AveragePool", x, count_include_pad=0, **_window(layer))


def _avgpool(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    return graph.node(layer, "GlobalAveragePool", x)


def _upsample(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Repeat each value `stride` times; a negative stride sums up its squares instead (upsample_cpu)."""
    kind: Any = layer.kind
    stride = abs(kind.stride)
    if kind.stride > 0:
        scales = graph.constant(layer, [1, 1, stride, stride])
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        y, factor = graph.node(layer, "Resize", x, "", scales, **how), kind.scale
    else:
        if layer.x.h % stride or layer.x.w % stride:
            raise Unsupported(f"stride={kind.stride} does not divide its image of {layer.x}")
        y = graph.node(layer, "AveragePool", x, kernel_shape=[stride] * 2, strides=[stride] * 2)
        factor = kind.scale * stride**2
    return y if factor == 1 else graph.node(layer, "Mul", y, graph.constant(layer, [factor]))


def _reorg(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Space to channels, or back, on the buffer read as `base` (reorg_cpu).

    [reorg] reads its input as if it had the shape that it does not have (reorg_old_layer.c): YOLOv2's
    weights are trained for that order. [reorg3d] reads it as it is.
    """
    kind: Any = layer.kind
    if getattr(kind, "flatten", 0) or getattr(kind, "extra", 0):
        raise Unsupported("flatten= and extra= cannot be run here yet")
    s = kind.stride
    base, result = (layer.y, layer.y) if isinstance(kind, kinds.Reorg3d) else (layer.x, layer.y)
    if base.c % s**2 or result.size != layer.x.size:
        raise Unsupported(f"stride={s} does not divide its image of {layer.x}")
    c, h, w = base.c // s**2, base.h, base.w
    split, order = (
        ([-1, s, s, c, h, w], [0, 3, 4, 1, 5, 2]) if kind.reverse else ([-1, c, h, s, w, s], [0, 3, 5, 1, 2, 4])
    )
    y = graph.node(layer, "Reshape", x, graph.constant(layer, split, np.int64))
    y = graph.node(layer, "Transpose", y, perm=order)
    return graph.node(layer, "Reshape", y, graph.constant(layer, [-1, result.c, result.h, result.w], np.int64))


def _route(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Each source is cut to its own group, then they are joined (forward_route_layer)."""
    kind: Any = layer.kind
    parts = []
    for name, shape in sources:
        if not shape.is_image:
            raise Unsupported("it joins values that are no image")
        if shape.c % kind.groups:
            raise Unsupported(f"groups={kind.groups} does not divide {shape.c} channels")
        each = shape.c // kind.groups
        parts.append(name if kind.groups == 1 else _channels(graph, layer, name, kind.group_id * each, each))
    return parts[0] if len(parts) == 1 else graph.node(layer, "Concat", *parts, axis=1)


def _channels(graph: Graph, layer: Layer, x: str, start: int, count: int) -> str:
    limits = [graph.constant(layer, [value], np.int64) for value in (start, start + count, 1)]
    return graph.node(layer, "Slice", x, *limits)


def _shortcut(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Add the channels that both have; the others of the previous layer stay (shortcut_multilayer_cpu)."""
    kind: Any = layer.kind
    if kind.weights_type != "none":
        raise Unsupported(f"weights_type={kind.weights_type} cannot be run here yet")
    if (kind.alpha, kind.beta) != (1, 1):
        raise Unsupported("alpha= and beta= other than 1 cannot be run here yet")
    for name, shape in sources:
        if (shape.h, shape.w) != (layer.x.h, layer.x.w):
            raise Unsupported(f"it adds an image of {shape} to one of {layer.x}; the forks disagree what that means")
        x = _added(graph, layer, x, layer.x.c, name, shape.c)
    return activate(graph, layer, x, kind.activation)


def _added(graph: Graph, layer: Layer, x: str, c: int, other: str, other_c: int) -> str:
    if other_c > c:
        other = _channels(graph, layer, other, 0, c)
    if other_c >= c:
        return graph.node(layer, "Add", x, other)
    total = graph.node(layer, "Add", _channels(graph, layer, x, 0, other_c), other)
    return graph.node(layer, "Concat", total, _channels(graph, layer, x, other_c, c - other_c), axis=1)


def _scaled(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """[scale_channels] and [sam]: the source times this layer's values, broadcast where it has fewer."""
    kind: Any = layer.kind
    if layer.x.c < layer.y.c:  # scale_wh; OpenCV 5's new engine cannot broadcast over channels
        x = graph.node(layer, "Expand", x, graph.constant(layer, [1, layer.y.c, 1, 1], np.int64))
    return activate(graph, layer, graph.node(layer, "Mul", sources[0][0], x), kind.activation)


def _softmax(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Softmax over all values, or over each of `groups` equal parts (forward_softmax_layer)."""
    kind: Any = layer.kind
    if kind.tree or kind.spatial:
        raise Unsupported("tree= and spatial= cannot be run here yet")
    if kind.temperature != 1:
        x = graph.node(layer, "Mul", x, graph.constant(layer, [1 / kind.temperature]))
    size = layer.x.size // kind.groups
    parts = graph.node(layer, "Reshape", x, graph.constant(layer, [-1, kind.groups, size], np.int64))
    return _flat(graph, layer, graph.node(layer, "Softmax", parts, axis=2))


def _cost(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """A loss; its output has a length but no image."""
    return _flat(graph, layer, x) if layer.x.h * layer.x.w > 1 else x


def _flat(graph: Graph, layer: Layer, x: str) -> str:
    return graph.node(layer, "Reshape", x, graph.constant(layer, [-1, layer.x.size, 1, 1], np.int64))


Lowering = Callable[[Graph, Layer, str, Sources], str]

LOWER: dict[type[Kind], Lowering] = {
    kinds.Convolutional: _convolutional,
    kinds.Connected: _connected,
    kinds.Batchnorm: _batchnorm,
    kinds.Maxpool: _maxpool,
    kinds.LocalAvgpool: _local_avgpool,
    kinds.Avgpool: _avgpool,
    kinds.Upsample: _upsample,
    kinds.Reorg: _reorg,
    kinds.Reorg3d: _reorg,
    kinds.Activation: _activation,
    kinds.Route: _route,
    kinds.Shortcut: _shortcut,
    kinds.ScaleChannels: _scaled,
    kinds.Sam: _scaled,
    kinds.Softmax: _softmax,
    kinds.Cost: _cost,
    kinds.Yolo: _head,
    kinds.GaussianYolo: _head,
    kinds.Region: _head,
    kinds.Dropout: _as_is,
    kinds.Empty: _as_is,
}

UNSUPPORTED: dict[type[Kind], str] = {
    kinds.Deconvolutional: "pjreddie's transposed convolution is in no detector",
    kinds.Local: "a kernel of its own at every place has no ONNX operator",
    kinds.Implicit: "no layer that reads implicit values is supported",
    kinds.Rnn: "it keeps a state between frames",
    kinds.Gru: "it keeps a state between frames",
    kinds.Lstm: "it keeps a state between frames",
    kinds.Crnn: "it keeps a state between frames",
    kinds.ConvLstm: "it keeps a state between frames",
    kinds.Crop: "it maps pixels to its own range",
    kinds.History: "it keeps earlier frames",
    kinds.Normalization: "local response normalisation is in no detector",
    kinds.L2norm: "pjreddie's embedding layer is in no detector",
    kinds.Logistic: "pjreddie's loss layer is in no detector",
    kinds.Detection: "the YOLOv1 head is not decoded",
    kinds.Iseg: "instance segmentation is not decoded",
    kinds.Contrastive: "it is a loss, which only training needs",
}
