"""Raw heads become boxes: decoding, NMS per task and class, and the places in the original picture.

Everything follows AlexeyAB's code; the sources are named where the forks differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from darkshare.darknet.letterbox import fitted
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Floats
from darkshare.errors import BadValue
from darkshare.inference.boxes.decoding import DECODE, decode, softmax
from darkshare.inference.boxes.forms import coco_annotations, darknet_objects, first_ids, label_lines
from darkshare.inference.boxes.found import Detections
from darkshare.inference.boxes.nms import Candidates, diou_exponent, suppress
from darkshare.inference.boxes.overlap import iou, iou_of_pairs

Levels = float | Mapping[str, float]  # one number for all tasks, or some tasks' own by name and "" for the others
THRESHOLD, NMS = 0.25, 0.45  # what Darknet takes (detector.c, demo.c)


def interpret(
    model: Model,
    raw: Mapping[int, Floats],
    picture: tuple[int, int],
    *,
    threshold: Levels = THRESHOLD,
    nms: Levels = NMS,
) -> list[Detections]:
    """Read the raw heads of one picture.

    Args:
        model: whose tasks and heads they are.
        raw: for each head layer its values, (channels, height, width).
        picture: width and height of the original picture.
        threshold: keep scores above it; a box counts once for each class that passes. Nothing else is ever cut off.
        nms: of two boxes of one class that overlap more, keep the better one; 0 keeps all, as in Darknet.
            Both may differ by task: {"masks": 0.4}; tasks that are not named have the default.

    Returns:
        One `Detections` per task, in the model's order.

    Raises:
        DarkshareError: a head gives values that are not numbers, or is not a box head.
        BadValue: a threshold that does not lie between 0 and 1, or one for a task that is not there.
    """
    thresholds, overlaps = levels(model.tasks, threshold, THRESHOLD), levels(model.tasks, nms, NMS)
    return [_of_task(model, task, raw, picture, thresholds[task.name], overlaps[task.name]) for task in model.tasks]


def levels(tasks: Sequence[Task], given: Levels, default: float) -> dict[str, float]:
    """Give each task its own threshold.

    Args:
        tasks: of the model.
        given: one number, or some tasks' own by name; "" names all others.
        default: for the others, where "" is not among them.

    Raises:
        BadValue: one that does not lie between 0 and 1, or one for a task that is not there.
    """
    named = dict(given) if isinstance(given, Mapping) else {"": given}
    known = dict.fromkeys((task.name for task in tasks), named.pop("", default))
    if unknown := [name for name in named if name not in known]:
        raise BadValue(f"unknown task {unknown[0]}; the tasks are {', '.join(known)}")
    for value in (merged := {**known, **named}).values():
        if not 0 <= value <= 1:
            raise BadValue(f"a threshold must lie between 0 and 1, not {value}")
    return merged


def _of_task(
    model: Model, task: Task, raw: Mapping[int, Floats], picture: tuple[int, int], threshold: float, nms: float
) -> Detections:
    together = Candidates.join([decode(model, task, index, raw[index], threshold) for index in task.heads])
    placed = together._replace(boxes=_unfitted(together.boxes, model.network, picture))
    last = model.network.layers[task.heads[-1]].kind
    kept = suppress(placed, nms, diou_exponent(last)) if nms > 0 else np.argsort(-placed.scores, kind="stable")
    best = placed.take(kept)
    return Detections(_corners(best.boxes, picture), best.scores, best.class_ids, task.names, task.name)


def _unfitted(boxes: Floats, network: Network, picture: tuple[int, int]) -> Floats:
    """Fractions of the network's input as fractions of the picture (correct_yolo_boxes)."""
    net = np.array([network.input.w, network.input.h], np.float32)
    inner = np.array(fitted(network, picture), np.float32)
    centers = (boxes[:, :2] - (net - inner) / 2 / net) * (net / inner)
    return np.concatenate([centers, boxes[:, 2:] * (net / inner)], axis=1)


def _corners(boxes: Floats, picture: tuple[int, int]) -> Floats:
    size = np.array(picture, np.float32)
    centers, half = boxes[:, :2] * size, boxes[:, 2:] * size / 2
    return np.concatenate([centers - half, centers + half], axis=1)


__all__ = [
    "DECODE",
    "NMS",
    "THRESHOLD",
    "Candidates",
    "Detections",
    "Levels",
    "coco_annotations",
    "darknet_objects",
    "decode",
    "first_ids",
    "interpret",
    "iou",
    "iou_of_pairs",
    "label_lines",
    "levels",
    "softmax",
    "suppress",
]
