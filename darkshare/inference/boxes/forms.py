"""Detections in the forms that others read: Darknet's JSON and label lines, COCO annotations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np

from darkshare.darknet.model import Model
from darkshare.darknet.weights import Floats
from darkshare.inference.boxes.found import Detections


def first_ids(model: Model) -> list[int]:
    """For each task, where its classes begin when the classes of all tasks are counted through.

    This is the order of the .names file that `concat` writes.
    """
    return [0, *accumulate(len(task.names) for task in model.tasks)][:-1]


def darknet_objects(found: Detections, picture: tuple[int, int]) -> list[dict[str, Any]]:
    """The boxes in the form that Darknet's `-out result.json` has (detection_to_json), plus the task."""
    rows = []
    centers = _centers(found.boxes, picture).tolist()
    for (name, score, _), class_id, place in zip(found, found.class_ids, centers, strict=True):
        keys = ("center_x", "center_y", "width", "height")
        coordinates = {key: round(value, 6) for key, value in zip(keys, place, strict=True)}
        row = {"class_id": int(class_id), "name": name, "relative_coordinates": coordinates}
        rows.append({**row, "confidence": round(score, 6), "task": found.task})
    return rows


def label_lines(found: Detections, picture: tuple[int, int], first: int = 0) -> Iterator[str]:
    """The lines of a YOLO label file: class, center x, center y, width, height as fractions of the picture.

    Args:
        found: boxes; what lies beyond the picture is cut off, since Darknet refuses such labels.
        picture: its width and height.
        first: what is added to the class ids; see `first_ids`.
    """
    inside = found.within(picture)
    for class_id, place in zip(inside.class_ids.tolist(), _centers(inside.boxes, picture).tolist(), strict=True):
        yield f"{first + class_id} " + " ".join(f"{value:.6f}" for value in place)


def coco_annotations(
    found: Detections, picture: tuple[int, int], image_id: int, first: int = 0
) -> list[dict[str, Any]]:
    """The boxes as COCO annotations with a score, cut off at the picture's edge; category ids count from 1."""
    inside = found.within(picture)
    annotations = []
    for (_, score, (x1, y1, x2, y2)), class_id in zip(inside, inside.class_ids.tolist(), strict=True):
        box = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
        area, category = round((x2 - x1) * (y2 - y1), 2), first + class_id + 1
        one = {"image_id": image_id, "category_id": category, "bbox": box, "area": area, "iscrowd": 0}
        annotations.append({**one, "score": round(score, 6)})
    return annotations


def _centers(boxes: Floats, picture: tuple[int, int]) -> Floats:
    """Corners in pixels as center and size in fractions of the picture."""
    low, high, size = boxes[:, :2].astype(float), boxes[:, 2:].astype(float), np.array(picture, float)
    return np.concatenate([(low + high) / 2 / size, (high - low) / size], axis=1)
