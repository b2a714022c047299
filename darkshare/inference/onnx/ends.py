"""Heads, classifiers and losses, as far as they belong to the raw outputs."""

from __future__ import annotations

from darkshare.darknet.kinds import Boxes, Detection, Softmax
from darkshare.darknet.network import Layer
from darkshare.errors import Unsupported
from darkshare.inference.onnx.graph import Graph, Sources
from darkshare.inference.onnx.reshape import flat


def boxes(graph: Graph, layer: Layer[Boxes], x: str, sources: Sources) -> str:
    """The graph ends with the head's raw input; what it means must be known all the same."""
    kind = layer.kind
    kind.anchor_sizes()
    return x


def softmax(graph: Graph, layer: Layer[Softmax], x: str, sources: Sources) -> str:
    """Softmax over all values, over each of `groups` equal parts, or at each place (forward_softmax_layer)."""
    kind = layer.kind
    if kind.tree:
        raise Unsupported("tree=: the softmax of a tree of classes needs a file that the cfg only names")
    if kind.spatial and layer.x.is_image:  # only in the code for GPUs, which ignores the temperature
        return flat(graph, layer, graph.node(layer, "Softmax", x, axis=1))
    if kind.temperature != 1:
        x = graph.node(layer, "Mul", x, graph.constant(layer, [1 / kind.temperature]))
    if kind.groups == 1:
        return graph.node(layer, "Softmax", flat(graph, layer, x), axis=1)
    if layer.x.size % kind.groups:
        raise Unsupported(f"groups={kind.groups} does not divide its {layer.x.size} values")
    graph.require_fixed(x)
    size = layer.x.size // kind.groups
    parts = graph.node(layer, "Reshape", x, graph.integers(layer, -1, kind.groups, size))
    y = graph.node(layer, "Softmax", parts, axis=2)
    return graph.node(layer, "Reshape", y, graph.integers(layer, -1, layer.x.size, 1, 1))


def cost(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """A loss; its output has a length but no image."""
    return flat(graph, layer, x)


def logistic(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """A classifier of independent classes (pjreddie)."""
    return graph.node(layer, "Sigmoid", x)


def detection(graph: Graph, layer: Layer[Detection], x: str, sources: Sources) -> str:
    """YOLOv1: everything is final already, but for a softmax over the classes of each cell."""
    kind = layer.kind
    y = flat(graph, layer, x)
    if not (kind.softmax and kind.classes):
        return y
    cells = kind.side**2
    start, stop, end = (graph.integers(layer, n) for n in (0, cells * kind.classes, layer.x.size))
    axis = graph.integers(layer, 1)
    classes, rest = graph.node(layer, "Slice", y, start, stop, axis), graph.node(layer, "Slice", y, stop, end, axis)
    apart = graph.node(layer, "Reshape", classes, graph.integers(layer, -1, cells, kind.classes))
    shares = graph.node(layer, "Softmax", apart, axis=2)
    joined = graph.node(layer, "Reshape", shares, graph.integers(layer, -1, cells * kind.classes, 1, 1))
    return graph.node(layer, "Concat", joined, rest, axis=1)
