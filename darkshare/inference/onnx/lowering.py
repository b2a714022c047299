"""From a model to a graph: the layers that the heads need, in order, and what is given out."""

from __future__ import annotations

from collections.abc import Mapping

from darkshare._texts import to_escaped
from darkshare.darknet.admission import admitted, located
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer
from darkshare.darknet.tasks import Task
from darkshare.errors import Unsupported
from darkshare.inference.onnx.decoding import DECODE, decoded
from darkshare.inference.onnx.graph import (
    FLOAT_TYPE,
    HALF_TYPE,
    INPUT,
    ExportForm,
    Graph,
    HeadOutput,
    output_name,
    output_shape,
)
from darkshare.inference.onnx.layers import LOWER, UNSUPPORTED
from darkshare.inference.onnx.one_output import heads_of, one_output
from darkshare.inference.onnx.targets import require_layer


def lower(model: Model, form: ExportForm | None = None) -> Graph:
    """Turn the layers that the tasks' heads need into a graph with one output per head.

    Raises:
        Unsupported: a layer that has no ONNX form, or whose weights are missing.
    """
    form = form or ExportForm()
    network = model.network
    if not network.input.is_image:
        raise Unsupported(
            "its input is not an image: only networks with width, height and channels run", file=model.name
        )
    if model.weights is None:
        raise Unsupported("has no weights file; give one behind the cfg", file=model.name)
    graph = Graph(model, form)
    values = {-1: graph.named("half", "Cast", INPUT, to=HALF_TYPE) if form.precision == "fp16" else INPUT}
    for index in network.needed(model.heads):
        layer = network.layers[index]
        with located(network, layer):
            require_layer(form.target, layer.kind.name)
            lowering = admitted(network, layer, LOWER, UNSUPPORTED, "it has no ONNX form")
            sources = [(values[i], network.layers[i].y) for i in layer.operands]
            values[index] = lowering(graph, layer, values.get(index - 1, ""), sources)
    if form.one_output:
        graph.outputs.extend(one_output(graph, values))
        return graph
    known: dict[str, HeadOutput] = {}
    for task, index in heads_of(model):
        layer = network.layers[index]
        with located(network, layer):
            output = _output(graph, task, layer, values[index], known)
        graph.outputs.append(output)
        known.setdefault(output.name, output)
    return graph


def _output(graph: Graph, task: Task, layer: Layer, value: str, known: Mapping[str, HeadOutput]) -> HeadOutput:
    """Give a value out in fp32 under its name; decoded it is the task's own part of a head, so that names the task."""
    as_boxes = graph.form.decode and type(layer.kind) in DECODE
    name = f"{to_escaped(task.name).decode()}_{output_name(layer)}" if as_boxes else output_name(layer)
    if name in known:  # the raw head of another task
        return known[name]._replace(task=task)
    if graph.form.precision == "fp16":
        value = graph.node(layer, "Cast", value, to=FLOAT_TYPE)
    shape = output_shape(layer)
    if as_boxes:
        value, shape = decoded(graph, layer, task, value)
    sized = graph.is_sized(value)
    return HeadOutput(graph.named(name, "Identity", value), task, layer, shape, sized)
