"""COCO's own numbers, by its usual tools: faster-coco-eval or pycocotools."""

from __future__ import annotations

import contextlib
import io
from bisect import bisect_left
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from darkshare.errors import Unsupported
from darkshare.evaluation.arrays import Doubles, RankedDetections, Truths

TOOLS = {  # the faster one first; what each calls its parts
    "faster-coco-eval": ("faster_coco_eval", "COCO", "COCOeval_faster"),
    "pycocotools": ("pycocotools", "coco.COCO", "cocoeval.COCOeval"),
}
_NUMBERS = {  # name: (kind, index of the IoU, of the area, of the most detections), as `summarize` prints them
    "AP": ("precision", None, 0, 2),
    "AP50": ("precision", 0, 0, 2),
    "AP75": ("precision", 5, 0, 2),
    "AP_small": ("precision", None, 1, 2),
    "AP_medium": ("precision", None, 2, 2),
    "AP_large": ("precision", None, 3, 2),
    "AR_1": ("recall", None, 0, 0),
    "AR_10": ("recall", None, 0, 1),
    "AR_100": ("recall", None, 0, 2),
    "AR_small": ("recall", None, 1, 2),
    "AR_medium": ("recall", None, 2, 2),
    "AR_large": ("recall", None, 3, 2),
}


class CocoSummary(NamedTuple):
    """The numbers of COCO's tool.

    Attributes:
        tool: its name and version.
        numbers: AP (mean over IoU .50 to .95), AP50, AP75, AR_100 and so on; None where there are no such truths.
            Small, medium and large are areas of boxes, since there are no masks.
        class_ids: of the task, rising, in the order of the next two.
        precision: (10 IoUs, 101 recalls, classes); -1 for classes without truths.
        recall: (10 IoUs, classes), likewise.
    """

    tool: str
    numbers: dict[str, float | None]
    class_ids: tuple[int, ...]
    precision: Doubles
    recall: Doubles

    def __repr__(self) -> str:
        known = ", ".join(f"{name} {value:.4f}" for name, value in self.numbers.items() if value is not None)
        return f"<CocoSummary: {self.tool}: {known}>"

    def average_precision(self, class_id: int, iou: int | None = None) -> float | None:
        """Of a class at one of the ten IoUs, or the mean over them; None without truths."""
        own = self.precision[:, :, bisect_left(self.class_ids, class_id)]
        return _mean(own if iou is None else own[iou])

    def of_class(self, class_id: int) -> dict[str, float | None]:
        """AP over all IoUs, AP50 and AR_100 of one class."""
        ar = _mean(self.recall[:, bisect_left(self.class_ids, class_id)])
        return {
            "coco_ap": self.average_precision(class_id),
            "coco_ap50": self.average_precision(class_id, 0),
            "coco_ar": ar,
        }


def summarise(
    found: RankedDetections, truths: Truths, sizes: Sequence[tuple[int, int]], class_ids: Sequence[int]
) -> CocoSummary:
    """Let COCO's tool count.

    Args:
        found: detections, cut off at the picture's edge.
        truths: labelled boxes; difficult ones are its crowds.
        sizes: width and height of each picture.
        class_ids: the classes to look at.

    Raises:
        Unsupported: neither tool is installed.
    """
    name, coco, evaluator = require_tool()
    extents = np.tile(np.array(sizes, np.float64).reshape(-1, 2), 2)
    images = [{"id": at, "width": w, "height": h} for at, (w, h) in enumerate(sizes)]
    head = {"images": images, "categories": [{"id": i, "name": str(i)} for i in class_ids]}
    labelled = _annotations(truths.pictures, truths.class_ids, truths.corners * extents[truths.pictures])
    for row, crowd in zip(labelled, truths.difficult.tolist(), strict=True):
        row["iscrowd"] = int(crowd)
    results = _annotations(found.pictures, found.class_ids, found.corners * extents[found.pictures])
    for row, score in zip(results, found.scores.tolist(), strict=True):
        row["score"] = score
    with contextlib.redirect_stdout(io.StringIO()):  # both print
        parts = [_loaded(coco, {**head, "annotations": rows}) for rows in (labelled, results)]
        counted = evaluator(*parts, iouType="bbox")
        counted.evaluate()
        counted.accumulate()
    return _summary(f"{name} {version(name)}", counted.eval, tuple(class_ids))


def require_tool() -> tuple[str, Any, Any]:
    """Name, class of data and class of evaluation of the first tool that is installed.

    Raises:
        Unsupported: there is none.
    """
    for name, (package, *parts) in TOOLS.items():
        with contextlib.suppress(ImportError):
            found = []
            for part in parts:
                module, _, attribute = f"{package}.{part}".rpartition(".")
                found.append(getattr(import_module(module), attribute))
            return name, found[0], found[1]
    raise Unsupported(
        "COCO's rule is counted by faster-coco-eval or pycocotools, and neither is installed: "
        "pip install 'darkshare[coco]', or take --rule darknet"
    )


def _annotations(pictures: Any, class_ids: Any, corners: Doubles) -> list[dict[str, Any]]:
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    areas = (boxes[:, 2] * boxes[:, 3]).tolist()
    rows = zip(pictures.tolist(), class_ids.tolist(), boxes.tolist(), areas, strict=True)
    return [
        {"id": at, "image_id": picture, "category_id": class_id, "bbox": box, "area": area, "iscrowd": 0}
        for at, (picture, class_id, box, area) in enumerate(rows, 1)
    ]


def _loaded(coco: Any, content: dict[str, Any]) -> Any:
    made = coco()
    made.dataset = content
    made.createIndex()
    return made


def _summary(tool: str, counted: dict[str, Any], class_ids: tuple[int, ...]) -> CocoSummary:
    precision = np.asarray(counted["precision"]).reshape(10, 101, len(class_ids), 4, 3)
    recall = np.asarray(counted["recall"]).reshape(10, len(class_ids), 4, 3)
    numbers = {}
    for name, (kind, iou, area, most) in _NUMBERS.items():
        values = (precision if kind == "precision" else recall)[..., area, most]
        numbers[name] = _mean(values if iou is None else values[iou])
    return CocoSummary(tool, numbers, class_ids, precision[..., 0, 2], recall[..., 0, 2])


def _mean(values: Doubles) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None
