"""The description of a network for readers that have no cfg: a file's metadata, and the manifest beside it."""

from __future__ import annotations

import json
from typing import Any

from darkshare.darknet.cfg import dumps
from darkshare.darknet.kinds import Boxes
from darkshare.darknet.letterbox import is_letterboxed
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task, tasks_to_json
from darkshare.inference.onnx.graph import INPUT, Graph, HeadOutput, value_dims
from darkshare.inference.onnx.one_output import all_first_ids
from darkshare.inference.onnx.targets import TARGETS

MANIFEST = ".json"
_FORMAT = "darkshare manifest 1"
_HEAD_KEYS = (
    *("scale_x_y", "new_coords", "nms_kind", "beta_nms", "yolo_point", "softmax", "classfix"),
    *("side", "num", "coords", "sqrt"),
)
UNITED = "columns of x, y, w, h in pixels of the input, and objectness times probability of each class of all tasks"
DECODED = "x, y, w, h as fractions of the input, objectness, objectness times probability of each class"


def facts(graph: Graph) -> dict[str, Any]:
    """Describe what goes into a graph and what comes out of it."""
    network = graph.model.network
    shape = value_dims(graph.form, network.input[:3], sized=graph.form.dynamic_size)
    described = {"name": INPUT, "shape": shape, "channels": "RGB", "range": [0, 1], "mean": 0, "scale": 1 / 255}
    return {
        "input": {**described, "letter_box": is_letterboxed(network)},
        "bn_epsilon": graph.form.bn_epsilon,
        "precision": graph.form.precision,
        "tasks": [_described_task(task) for task in graph.model.tasks],
        "heads": [_described(graph, output) for output in graph.outputs],
    }


def manifest(graph: Graph, **more: Any) -> str:
    """Write the text of a manifest: what the program that a file is for has to know of it, in its own names.

    Args:
        graph: that the file holds.
        more: what else is true of it, or true in place of what the graph says.
    """
    known, target = facts(graph) | more, TARGETS[graph.form.target]
    if target.names:
        known["input"]["name"], name = target.names
        order = list(dict.fromkeys(output.name for output in graph.outputs))
        for head in known["heads"]:
            head["output"] = name.format(order.index(head["output"]))
    return json.dumps({"format": _FORMAT, "target": graph.form.target, **known}, indent=1, ensure_ascii=False) + "\n"


def described_model(model: Model) -> dict[str, str]:
    """Describe a model for `reading.read_exported`."""
    network = model.network
    return {"cfg": dumps(network.cfg), "dialect": network.dialect, "tasks": tasks_to_json(model.tasks)}


def _described_task(task: Task) -> dict[str, Any]:
    """A task; k is how many leading layers it shares with the base, 0 for the base itself."""
    return {"name": task.name, "k": task.k, "names": list(task.names), "heads": list(task.heads)}


def _described(graph: Graph, output: HeadOutput) -> dict[str, Any]:
    """Describe the numbers of a head, for readers that have no cfg."""
    layer, task = output.layer, output.task
    kind = layer.kind
    shape = value_dims(graph.form, output.shape, sized=output.sized)
    if graph.form.one_output:
        known = {"values": UNITED, "classes": output.shape[0] - 4, "offset": all_first_ids(graph.model)[task.name]}
        return {"output": output.name, "shape": shape, "task": task.name, **known, "names": list(task.names)}
    decoded = len(output.shape) == 2
    described: dict[str, Any] = {
        "output": output.name,
        "shape": shape,
        "layer": layer.index,
        "kind": kind.name,
        "task": task.name,
        "values": DECODED if decoded else "raw",
        "classes": len(task.names) if decoded else layer.classes,
        "offset": 0 if decoded else task.offset,
        "names": list(task.names),
    }
    if isinstance(kind, Boxes):
        described["anchors"] = kind.anchor_sizes()
        described["stride"] = graph.model.network.input.w // layer.x.w
    return described | {key: getattr(kind, key) for key in _HEAD_KEYS if hasattr(kind, key)}
