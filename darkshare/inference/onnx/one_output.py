"""One output for all tasks: (batch, 4 + classes of all tasks, boxes), the form of yolov8's files.

A column is a box: its center and size in pixels of the input, and a score for each class, objectness times probability;
of classes of other tasks than the box's own that is 0. Classes are counted through all tasks in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from darkshare.darknet.admission import located
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Floats
from darkshare.errors import Unsupported
from darkshare.inference.boxes import first_ids
from darkshare.inference.onnx.decoding import DECODE, box_count, united
from darkshare.inference.onnx.graph import FLOAT_TYPE, Graph, HeadOutput

ONE_OUTPUT = "output0"  # as those files call it


def heads_of(model: Model) -> list[tuple[Task, int]]:
    """Give each head with its task, by layer; a head of several tasks is given out for each."""
    return sorted(((task, head) for task in model.tasks for head in task.heads), key=lambda pair: pair[1])


def one_output(graph: Graph, values: Mapping[int, str]) -> Iterator[HeadOutput]:
    """Give the boxes of all tasks out side by side; the one output is described for each task."""
    model, blocks, first = graph.model, [], all_first_ids(graph.model)
    total = sum(len(task.names) for task in model.tasks)
    for task, index in heads_of(model):
        layer, value = model.network.layers[index], values[index]
        with located(model.network, layer):
            if type(layer.kind) not in DECODE:
                raise Unsupported(f"task {task.name} gives no boxes, which the one output needs; export raw heads")
            value = value if graph.form.precision == "fp32" else graph.node(layer, "Cast", value, to=FLOAT_TYPE)
            blocks.append(united(graph, layer, task, value, (first[task.name], total)))
    graph.named(ONE_OUTPUT, "Concat", *blocks, axis=2)
    shape = one_output_shape(model)
    return (HeadOutput(ONE_OUTPUT, task, model.network.layers[task.heads[0]], shape, False) for task in model.tasks)


def columns_of(model: Model) -> Iterator[tuple[Task, int, slice]]:
    """Give each head with its task and the columns that its boxes have in the one output."""
    start = 0
    for task, index in heads_of(model):
        stop = start + box_count(model.network.layers[index])
        yield task, index, slice(start, stop)
        start = stop


def one_output_shape(model: Model) -> tuple[int, int]:
    """Give the shape of the one output of all tasks, without the batch."""
    boxes = sum(box_count(model.network.layers[index]) for _, index in heads_of(model))
    return 4 + sum(len(task.names) for task in model.tasks), boxes


def all_first_ids(model: Model) -> dict[str, int]:
    """Give for each task the number of its first class in the one output."""
    return dict(zip((task.name for task in model.tasks), first_ids(model), strict=True))


def by_head(model: Model, values: Floats) -> list[Floats]:
    """Take the one output apart again.

    Args:
        model: the whole one that was exported.
        values: (batch, 4 + classes of all tasks, boxes).

    Returns:
        For each of the model's heads (batch, 4 + classes of the head, boxes): center and size in pixels of the input,
        and scores.
    """
    first, found = all_first_ids(model), dict[int, list[Floats]]()
    for task, index, columns in columns_of(model):
        layer, block = model.network.layers[index], values[:, :, columns]
        whole = np.zeros((len(values), 4 + (layer.classes or 0), block.shape[2]), np.float32)
        own, at = len(task.names), 4 + first[task.name]
        whole[:, :4], whole[:, 4 + task.offset : 4 + task.offset + own] = block[:, :4], block[:, at : at + own]
        found.setdefault(index, []).append(whole)
    return [np.concatenate(found[index], axis=2) for index in model.heads]
