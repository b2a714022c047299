"""From a model to a graph: the layers that the heads need, in order, and what is given out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.tasks import Task
from darkshare.errors import BadValue, Unsupported
from darkshare.inference.onnx.decoding import DECODE, decoded
from darkshare.inference.onnx.graph import INPUT, ExportForm, Graph, HeadOutput, output_name
from darkshare.inference.onnx.layers import LOWER, UNSUPPORTED, Lowering

_FLOAT, _HALF = 1, 10  # TensorProto.FLOAT and FLOAT16


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
    values = {-1: graph.named("half", "Cast", INPUT, to=_HALF) if form.precision == "fp16" else INPUT}
    for index in network.needed(model.heads):
        layer = network.layers[index]
        with _located(network, layer):
            lowering = _lowering(network, layer)
            sources = [(values[i], network.layers[i].y) for i in layer.operands]
            values[index] = lowering(graph, layer, values.get(index - 1, ""), sources)
    for task, index in _heads(model):
        layer = network.layers[index]
        with _located(network, layer):
            graph.outputs.append(_output(graph, task, layer, values[index]))
    return graph


def _heads(model: Model) -> list[tuple[Task, int]]:
    """Each head with its task, by layer; a head of several tasks is given out for each."""
    return sorted(((task, head) for task in model.tasks for head in task.heads), key=lambda pair: pair[1])


def _output(graph: Graph, task: Task, layer: Layer, value: str) -> HeadOutput:
    """Give a value out in fp32 under its name; decoded it is the task's own part of a head, so that names the task."""
    as_boxes = graph.form.decode and type(layer.kind) in DECODE
    name = f"{task.name}_{output_name(layer)}" if as_boxes else output_name(layer)
    known = [output for output in graph.outputs if output.name == name]
    if known:  # the raw head of another task
        return known[0]._replace(task=task)
    if graph.form.precision == "fp16":
        value = graph.node(layer, "Cast", value, to=_FLOAT)
    result = layer.onward  # where it is blurred, that image and not the one before
    shape: tuple[int, ...] = result[:3] if result.is_image else (result.size, 1, 1)
    if as_boxes:
        value, shape = decoded(graph, layer, task, value)
    sized = graph.is_sized(value)
    return HeadOutput(graph.named(name, "Identity", value), task, layer, shape, sized)


@contextmanager
def _located(network: Network, layer: Layer) -> Iterator[None]:
    """Say of which layer and line an error speaks."""
    try:
        yield
    except (BadValue, Unsupported) as error:
        if error.file is None:
            error.message = f"{layer.label}: {error.message}"
        raise error.locate(network.name, layer.section.lineno) from None


def _lowering(network: Network, layer: Layer) -> Lowering:
    kind = type(layer.kind)
    if kind in UNSUPPORTED:
        raise Unsupported(f"it has no ONNX form: {UNSUPPORTED[kind]}")
    wanted = () if any(ref.key == "share_index" for ref in layer.refs) else layer.kind.tensors(layer.x, layer.y)
    if wanted != layer.tensors:
        raise Unsupported("dontload=, dontloadscales= or numload= leave its weights out of the file; remove these keys")
    for index in layer.operands:
        source = network.layers[index]
        if source.onward != source.y:
            raise Unsupported(f"it reads {source.label}, of which only the layer behind it gets the antialiased image")
    return LOWER[kind]
