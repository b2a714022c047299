"""Layers that read others by index: route, shortcut, scale_channels, sam."""

from __future__ import annotations

import numpy as np

from darkshare.darknet.kinds import Route, Sam, ScaleChannels, Shape, Shortcut
from darkshare.darknet.network import Layer
from darkshare.darknet.weights import Floats
from darkshare.errors import BadValue, Unsupported
from darkshare.inference.onnx.activations import activate
from darkshare.inference.onnx.graph import Graph, Sources


def channels(graph: Graph, layer: Layer, x: str, start: int, count: int) -> str:
    """Some channels of a value."""
    limits = [graph.integers(layer, value) for value in (start, start + count, 1)]
    return graph.node(layer, "Slice", x, *limits)


def route(graph: Graph, layer: Layer[Route], x: str, sources: Sources) -> str:
    """Each source is cut to its own group, then they are joined (forward_route_layer)."""
    kind = layer.kind
    parts = []
    for name, shape in sources:
        c = shape.c if shape.is_image else shape.size
        if c % kind.groups:
            raise Unsupported(f"groups={kind.groups} does not divide {c} channels")
        each = c // kind.groups
        parts.append(name if kind.groups == 1 else channels(graph, layer, name, kind.group_id * each, each))
    return parts[0] if len(parts) == 1 else graph.node(layer, "Concat", *parts, axis=1)


def shortcut(graph: Graph, layer: Layer[Shortcut], x: str, sources: Sources) -> str:
    """Add the channels that both have; the others of the previous layer stay (shortcut_multilayer_cpu)."""
    kind = layer.kind
    if (kind.alpha, kind.beta) != (1, 1) and any(shape[:3] != layer.x[:3] for _, shape in sources):
        raise Unsupported("alpha= and beta= work on images of one shape only")
    own, *others = _factors(layer, graph.model.tensors(layer.index).get("weights"))
    x = _times(graph, layer, x, own)
    for (name, shape), factor in zip(sources, others, strict=True):
        both = min(shape.c, layer.x.c)
        other = _thinned(graph, layer, name, shape)
        other = channels(graph, layer, other, 0, both) if both < shape.c else other
        x = _added(graph, layer, x, _times(graph, layer, other, factor[:both]), both)
    return activate(graph, layer, x, kind.activation)


def _factors(layer: Layer[Shortcut], weights: Floats | None) -> Floats:
    """The factors of this layer and of each source: (1 + sources, 1 or channels)."""
    kind = layer.kind
    count = len(kind.from_) + 1
    if weights is None:
        return np.array([[kind.alpha], *[[kind.beta]] * (count - 1)], np.float32)
    rows = weights.reshape(count, -1).astype(np.float64)
    if kind.weights_normalization in ("relu", "avg_relu"):
        rows = np.maximum(rows, 0)
    elif kind.weights_normalization == "softmax":
        rows = np.exp(rows - rows.max(axis=0))
    elif kind.weights_normalization == "none":
        return rows.astype(np.float32)
    else:
        raise BadValue(f"weights_normalization={kind.weights_normalization}: use none, relu or softmax")
    shares: Floats = (rows / (rows.sum(axis=0) + 0.0001)).astype(np.float32)
    return shares


def _times(graph: Graph, layer: Layer, x: str, factor: Floats) -> str:
    shaped = factor if factor.size == 1 else factor.reshape(-1, 1, 1, 1)
    if layer.tensors:
        weights = graph.block(layer, "weights", shaped.shape, lambda: [shaped])
    elif (factor == 1).all():
        return x
    else:
        weights = graph.constant(layer, shaped)
    if factor.size == 1:
        return graph.node(layer, "Mul", x, weights)
    return graph.node(layer, "Conv", x, weights, kernel_shape=[1, 1], group=factor.size)


def _thinned(graph: Graph, layer: Layer, name: str, shape: Shape) -> str:
    """A larger source gives every n-th of its values, n rounded down (shortcut_cpu; AlexeyAB's code for GPUs).

    AlexeyAB's code for CPUs asserts that the sizes are equal, and without asserts adds up buffers of another shape.
    """
    (_, h, w, *_), (_, from_h, from_w, *_) = layer.x, shape
    if (from_h, from_w) == (h, w):
        return name
    stride = from_w // w
    if not 0 < stride == from_h // h:
        raise Unsupported(f"it adds an image of {shape} to one of {layer.x}, which is not a number of times smaller")
    if stride > 1:
        name = graph.node(layer, "MaxPool", name, kernel_shape=[1, 1], strides=[stride] * 2)
    if ((from_h - 1) // stride + 1, (from_w - 1) // stride + 1) == (h, w):
        return name
    graph.require_fixed(name)
    return graph.node(layer, "Slice", name, *(graph.integers(layer, *pair) for pair in ((0, 0), (h, w), (2, 3))))


def _added(graph: Graph, layer: Layer, x: str, other: str, other_c: int) -> str:
    """The sum as far as the other's channels reach."""
    c = layer.x.c
    if other_c == c:
        return graph.node(layer, "Add", x, other)
    total = graph.node(layer, "Add", channels(graph, layer, x, 0, other_c), other)
    return graph.node(layer, "Concat", total, channels(graph, layer, x, other_c, c - other_c), axis=1)


def scaled(graph: Graph, layer: Layer[ScaleChannels | Sam], x: str, sources: Sources) -> str:
    """[scale_channels] and [sam]: the source times this layer's values, broadcast where it has fewer."""
    kind = layer.kind
    if layer.x.c < layer.y.c:  # scale_wh; OpenCV 5's new engine cannot broadcast over channels
        x = graph.node(layer, "Expand", x, graph.integers(layer, 1, layer.y.c, 1, 1))
    return activate(graph, layer, graph.node(layer, "Mul", sources[0][0], x), kind.activation)
