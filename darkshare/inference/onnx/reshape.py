"""Layers that only move values."""

from __future__ import annotations

from darkshare.darknet.kinds import Activation, Crop, Reorg, Reorg3d, Upsample
from darkshare.darknet.network import Layer
from darkshare.errors import Unsupported
from darkshare.inference.onnx.activations import activate
from darkshare.inference.onnx.graph import Graph, Sources


def as_is(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Give the input, since the layer changes nothing at inference."""
    return x


def activation(graph: Graph, layer: Layer[Activation], x: str, sources: Sources) -> str:
    """A non-linearity as a layer of its own."""
    kind = layer.kind
    return activate(graph, layer, x, kind.activation)


def crop(graph: Graph, layer: Layer[Crop], x: str, sources: Sources) -> str:
    """The middle, and -1..1 instead of 0..1 unless noadjust (forward_crop_layer)."""
    kind = layer.kind
    graph.require_fixed(x)
    (_, h, w, *_), (_, out_h, out_w, *_) = layer.x, layer.y
    if out_h > h or out_w > w:
        raise Unsupported(f"it cuts {layer.y} out of the smaller {layer.x}; make the input larger")
    if (out_h, out_w) != (h, w):
        top, left = (h - out_h) // 2, (w - out_w) // 2
        limits = [(top, left), (top + out_h, left + out_w), (2, 3)]
        x = graph.node(layer, "Slice", x, *(graph.integers(layer, *values) for values in limits))
    if kind.noadjust:
        return x
    twice = graph.node(layer, "Mul", x, graph.constant(layer, [2]))
    return graph.node(layer, "Add", twice, graph.constant(layer, [-1]))


def upsample(graph: Graph, layer: Layer[Upsample], x: str, sources: Sources) -> str:
    """Repeat each value `stride` times; a negative stride sums up its squares instead (upsample_cpu)."""
    kind = layer.kind
    stride = abs(kind.stride)
    if kind.stride > 0:
        scales = graph.constant(layer, [1, 1, stride, stride], "f4")
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        y, factor = graph.node(layer, "Resize", x, "", scales, **how), kind.scale
    else:
        if layer.x.h % stride or layer.x.w % stride:
            raise Unsupported(f"stride={kind.stride} does not divide its image of {layer.x}")
        y = graph.node(layer, "AveragePool", x, kernel_shape=[stride] * 2, strides=[stride] * 2)
        factor = kind.scale * stride**2
    return y if factor == 1 else graph.node(layer, "Mul", y, graph.constant(layer, [factor]))


def reorg(graph: Graph, layer: Layer[Reorg], x: str, sources: Sources) -> str:
    """Space to channels, or back, on the buffer read as `base` (reorg_cpu).

    [reorg] reads its input as if it had the shape that it does not have (reorg_old_layer.c): YOLOv2's
    weights are trained for that order. [reorg3d] reads it as it is.
    """
    kind = layer.kind
    graph.require_fixed(x)
    if kind.flatten:
        return _turned(graph, layer, x)
    if kind.extra:
        return _lengthened(graph, layer, x)
    s = kind.stride
    base, result = (layer.y, layer.y) if isinstance(kind, Reorg3d) else (layer.x, layer.y)
    if base.c % s**2 or result.size != layer.x.size:
        raise Unsupported(f"stride={s} does not divide its image of {layer.x}")
    c, h, w = base.c // s**2, base.h, base.w
    split, order = (
        ([-1, s, s, c, h, w], [0, 3, 4, 1, 5, 2]) if kind.reverse else ([-1, c, h, s, w, s], [0, 3, 5, 1, 2, 4])
    )
    y = graph.node(layer, "Reshape", x, graph.integers(layer, *split))
    y = graph.node(layer, "Transpose", y, perm=order)
    return graph.node(layer, "Reshape", y, graph.integers(layer, -1, *result[:3]))


def _turned(graph: Graph, layer: Layer[Reorg], x: str) -> str:
    """flatten=1 of pjreddie's fork: the channels of a place next to each other, or back (blas.c)."""
    kind = layer.kind
    if layer.y.size != layer.x.size:
        raise Unsupported("flatten=1 with a stride that does not divide its image")
    planes, places = layer.x.c, layer.x.h * layer.x.w
    split = (places, planes) if kind.reverse else (planes, places)
    y = graph.node(layer, "Reshape", x, graph.integers(layer, -1, *split))
    y = graph.node(layer, "Transpose", y, perm=[0, 2, 1])
    shape = layer.y[:3] if layer.y.is_image else (layer.y.size, 1, 1)
    return graph.node(layer, "Reshape", y, graph.integers(layer, -1, *shape))


def _lengthened(graph: Graph, layer: Layer[Reorg], x: str) -> str:
    """extra= of pjreddie's fork: the values in a row, and zeros behind them."""
    kind = layer.kind
    y = flat(graph, layer, x)
    return graph.node(layer, "Pad", y, graph.integers(layer, 0, 0, 0, 0, 0, kind.extra, 0, 0))


def flat(graph: Graph, layer: Layer, x: str) -> str:
    """All values of a picture as channels."""
    if not layer.x.is_image or layer.x.h * layer.x.w == 1:
        return x
    graph.require_fixed(x)
    return graph.node(layer, "Reshape", x, graph.integers(layer, -1, layer.x.size, 1, 1))
