"""From a model to a graph: the layers that the heads need, in order."""

from __future__ import annotations

from collections.abc import Sequence

from darkshare.errors import BadValue, Unsupported
from darkshare.model import Model
from darkshare.network import Layer, Network
from darkshare.onnxfile.graph import INPUT, Graph, Node, output_name
from darkshare.onnxfile.layers import LOWER, UNSUPPORTED, Lowering

_DATA = ("layers", "from")  # the keys whose layers' values are read; share_index= and the like name layers otherwise


def lower(model: Model, epsilon: float = 1e-5) -> Graph:
    """Turn the layers that the tasks' heads need into a graph with one raw output per head.

    Raises:
        Unsupported: a layer that has no ONNX form here, or whose weights are missing.
        BadValue: an epsilon that is not above 0.
    """
    if not epsilon > 0:
        raise BadValue(f"the batch norm epsilon must be above 0, not {epsilon}; Darknet uses 0.00001")
    if model.weights is None:
        raise Unsupported("has no weights file; give one behind the cfg", file=model.name)
    graph = Graph(model, epsilon)
    network = model.network
    if not network.input.is_image:
        raise Unsupported("its input is no image: only networks with width, height and channels run", file=model.name)
    values = {-1: INPUT}
    for index in needed(network, heads_of(model)):
        layer = network.layers[index]
        sources = [(values[i], network.layers[i].y) for i in _read(layer)]
        try:
            values[index] = _lowering(layer)(graph, layer, values.get(index - 1, ""), sources)
        except (BadValue, Unsupported) as error:
            if error.file is None:
                error.message = f"{layer.label}: {error.message}"
            raise error.locate(network.name, layer.section.lineno) from None
    for index in heads_of(model):
        graph.nodes.append(Node("Identity", (values[index],), output_name(network.layers[index]), {}))
    return graph


def heads_of(model: Model) -> list[int]:
    """The layers that are outputs of any task, in order."""
    return sorted({head for task in model.tasks for head in task.heads})


def needed(network: Network, heads: Sequence[int]) -> list[int]:
    """The layers that the heads are computed from, in order."""
    found: set[int] = set()
    waiting = list(heads)
    while waiting:
        index = waiting.pop()
        if index < 0 or index in found:
            continue
        found.add(index)
        layer = network.layers[index]
        waiting += _read(layer) + ([index - 1] if layer.kind.reads_previous else [])
    return sorted(found)


def _read(layer: Layer) -> list[int]:
    return [ref.target for ref in layer.refs if ref.key in _DATA]


def _lowering(layer: Layer) -> Lowering:
    kind = type(layer.kind)
    if kind in UNSUPPORTED:
        raise Unsupported(f"{UNSUPPORTED[kind]}; it cannot be run here yet")
    wanted = () if any(ref.key == "share_index" for ref in layer.refs) else layer.kind.tensors(layer.x, layer.y)
    if wanted != layer.tensors:
        raise Unsupported("dontload=, dontloadscales= or numload= leave its weights out of the file; remove these keys")
    return LOWER[kind]
