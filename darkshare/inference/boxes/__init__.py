"""Raw heads become boxes: decoding, NMS per task and class, and the places in the original picture.

Everything follows AlexeyAB's code; the sources are named where the forks differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkshare.darknet.letterbox import fitted
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Floats
from darkshare.inference.boxes.decoding import DECODE, decode, softmax
from darkshare.inference.boxes.forms import coco_annotations, darknet_objects, first_ids, label_lines
from darkshare.inference.boxes.found import Detections
from darkshare.inference.boxes.nms import Candidates, diou_exponent, suppress
from darkshare.inference.boxes.overlap import iou, iou_of_pairs
from darkshare.inference.boxes.rules import AGNOSTIC, NMS, THRESHOLD, BoxRule, Levels, Overlaps, rules_of
from darkshare.inference.boxes.tiles import OVERLAP, View, joined, require_tiles, views_of

Raw = Mapping[int, Floats]  # for each head layer its values, (channels, height, width)


def interpret(model: Model, raw: Raw, picture: tuple[int, int], **how: Any) -> list[Detections]:
    """Read the raw heads of one picture.

    Args:
        model: whose tasks and heads they are.
        raw: for each head layer its values.
        picture: width and height of the original picture.
        how: see `rules_of`: threshold, nms, classes, clip, max_det.

    Returns:
        One `Detections` per task, in the model's order.

    Raises:
        DarkshareError: a head gives values that are not numbers, or is not a box head.
        BadValue: see `rules_of`.
    """
    return find(model, [(View(0, 0, *picture), raw)], rules_of(model.tasks, **how))


def find(model: Model, seen: Sequence[tuple[View, Raw]], rules: Mapping[str, BoxRule]) -> list[Detections]:
    """Read the raw heads of the parts of one picture that went through the network.

    Args:
        model: whose tasks and heads they are.
        seen: each part with its heads; the first is the whole picture.
        rules: of each task.

    Raises:
        DarkshareError: a head gives values that are not numbers, or is not a box head.
    """
    return [_of_task(model, task, seen, rules[task.name]) for task in model.tasks]


def _of_task(model: Model, task: Task, seen: Sequence[tuple[View, Raw]], rule: BoxRule) -> Detections:
    exponent = diou_exponent(model.network.layers[task.heads[-1]].kind)
    parts = [_of_view(model, task, view, raw, rule, exponent) for view, raw in seen]
    views = [view for view, _ in seen]
    best = parts[0] if len(parts) == 1 else joined(parts, views, rule.overlap, agnostic=rule.agnostic)
    picture = views[0].width, views[0].height
    found = Detections(_corners(best.boxes, picture), best.scores, best.class_ids, task.names, task.name)
    inside = found.within(picture) if rule.clip else found
    return inside if rule.most is None else inside.take(slice(rule.most))


def _of_view(model: Model, task: Task, view: View, raw: Raw, rule: BoxRule, exponent: float | None) -> Candidates:
    """The boxes that are found in one part of a picture, as fractions of that part, best first."""
    together = Candidates.join([decode(model, task, index, raw[index], rule.threshold) for index in task.heads])
    if rule.class_ids is not None:
        together = together.take(np.flatnonzero(np.isin(together.class_ids, rule.class_ids)))
    placed = together._replace(boxes=_unfitted(together.boxes, model.network, (view.width, view.height)))
    compared = placed.of_one_class() if rule.agnostic else placed
    overlap = rule.overlap
    kept = suppress(compared, overlap, exponent) if overlap > 0 else np.argsort(-placed.scores, kind="stable")
    return placed.take(kept)


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
    "AGNOSTIC",
    "DECODE",
    "NMS",
    "OVERLAP",
    "THRESHOLD",
    "BoxRule",
    "Candidates",
    "Detections",
    "Levels",
    "Overlaps",
    "coco_annotations",
    "darknet_objects",
    "decode",
    "find",
    "first_ids",
    "interpret",
    "iou",
    "iou_of_pairs",
    "label_lines",
    "require_tiles",
    "rules_of",
    "softmax",
    "suppress",
    "views_of",
]
