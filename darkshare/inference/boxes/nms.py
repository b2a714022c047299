"""Non-maximum suppression as Darknet does it (box.c), in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare.darknet.kinds import Kind
from darkshare.darknet.weights import Floats
from darkshare.inference.boxes.overlap import iou_of_pairs

Ids = NDArray[np.intp]
FEW = 1024  # boxes


class Candidates(NamedTuple):
    """Boxes over the threshold, one row per box and class.

    `boxes` holds center x, center y, width and height as fractions of the picture.
    """

    boxes: Floats
    scores: Floats
    class_ids: Ids

    def take(self, rows: Ids) -> Candidates:
        return Candidates(self.boxes[rows], self.scores[rows], self.class_ids[rows])

    def of_one_class(self) -> Candidates:
        """The same boxes as if all were of one class, so that they suppress one another."""
        return self._replace(class_ids=np.zeros_like(self.class_ids))

    @staticmethod
    def join(parts: Sequence[Candidates]) -> Candidates:
        boxes, scores, class_ids = zip(*parts, strict=True)
        return Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(class_ids))


def diou_exponent(kind: Kind) -> float | None:
    """Read nms_kind: plain overlap (None), or overlap minus (distance / diagonal) to this power.

    Darknet's greedynms is not plain greedy NMS: diounms_sort calls box_diou for it, with a power of 0.6.
    """
    exponents = {"greedynms": 0.6, "diounms": getattr(kind, "beta_nms", 0.6)}
    return exponents.get(getattr(kind, "nms_kind", "default"))


def suppress(found: Candidates, threshold: float, exponent: float | None = None) -> Ids:
    """Non-maximum suppression within each class (do_nms_sort and diounms_sort in box.c).

    Args:
        found: boxes of one task.
        threshold: the overlap above which the worse of two boxes goes.
        exponent: see `diou_exponent`.

    Returns:
        The rows that stay, best first.
    """
    if len(found.scores) <= FEW:  # all classes at once: there is less to compute than to begin anew for each class
        return _greedy(found, threshold, exponent)
    groups = (np.flatnonzero(found.class_ids == i) for i in np.unique(found.class_ids))
    rows = np.sort(np.concatenate([rows[_greedy(found.take(rows), threshold, exponent)] for rows in groups]))
    return rows[np.argsort(-found.scores[rows], kind="stable")]


def _greedy(found: Candidates, threshold: float, exponent: float | None, block: int = 256) -> Ids:
    """The rows that stay, best first, compared a block at a time so that memory stays small."""
    order = np.argsort(-found.scores, kind="stable")
    boxes, ids = found.boxes, found.class_ids
    kept: list[Ids] = [order[:0]]
    while len(order):
        first = order[:block]
        better, worse = np.nonzero(np.triu(ids[first, None] == ids[order], 1))
        hits = np.zeros((len(first), len(order)), bool)
        hits[better, worse] = _overlap(boxes[order[better]], boxes[order[worse]], exponent) > threshold
        alive = np.ones(len(order), bool)
        for row in np.flatnonzero(hits.any(axis=1)):
            if alive[row]:
                alive[row + 1 :] &= ~hits[row, row + 1 :]
        kept.append(first[alive[: len(first)]])
        order = order[len(first) :][alive[len(first) :]]
    return np.concatenate(kept)


def _overlap(a: Floats, b: Floats, exponent: float | None) -> Floats:
    """Intersection over union of boxes, row by row (box_iou), or its DIoU form (box_diounms)."""
    low = [box[..., :2] - box[..., 2:] / 2 for box in (a, b)]
    high = [box[..., :2] + box[..., 2:] / 2 for box in (a, b)]
    corners = [np.concatenate(ends, axis=-1) for ends in zip(low, high, strict=True)]
    overlap = iou_of_pairs(*corners, areas=(a[..., 2:].prod(axis=-1), b[..., 2:].prod(axis=-1)))
    if exponent is None:
        return overlap
    diagonal = ((np.maximum(*high) - np.minimum(*low)) ** 2).sum(axis=-1)
    distance = ((a[..., :2] - b[..., :2]) ** 2).sum(axis=-1)
    share = np.divide(distance, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)
    closer: Floats = overlap - share ** np.float32(exponent)
    return closer
