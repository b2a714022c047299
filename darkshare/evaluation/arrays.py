"""Boxes of all pictures in flat arrays, and the pairs that overlap: the input of every matching rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare.data import Sample
from darkshare.errors import BadValue
from darkshare.inference.boxes import Detections, iou_of_pairs

Ids = NDArray[np.int64]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
PAIRS_AT_ONCE = 2_000_000  # pairs of boxes; about 200 MB


class RankedDetections(NamedTuple):
    """Detections of all pictures, best first; of equal scores the one of the earlier picture comes first.

    `corners` is (n, 4): x1, y1, x2, y2 as fractions of the picture.
    """

    pictures: Ids
    class_ids: Ids
    scores: Doubles
    corners: Doubles

    def take(self, rows: Ids | Bools) -> RankedDetections:
        return RankedDetections(self.pictures[rows], self.class_ids[rows], self.scores[rows], self.corners[rows])


class Truths(NamedTuple):
    """Labelled boxes of all pictures, in order."""

    pictures: Ids
    class_ids: Ids
    corners: Doubles
    difficult: Bools

    def take(self, rows: Ids | Bools) -> Truths:
        return Truths(self.pictures[rows], self.class_ids[rows], self.corners[rows], self.difficult[rows])


class Overlaps(NamedTuple):
    """A detection and a truth of the same picture and class that overlap, by their rows."""

    found: Ids
    truth: Ids
    overlap: Doubles

    def take(self, rows: Ids | Bools) -> Overlaps:
        return Overlaps(self.found[rows], self.truth[rows], self.overlap[rows])


def ranked(detections: Sequence[Detections], sizes: Sequence[tuple[int, int]]) -> RankedDetections:
    """Put the detections of all pictures into one array, best first.

    Args:
        detections: of each picture.
        sizes: width and height of each picture.

    Raises:
        BadValue: scores or boxes that are not numbers.
    """
    counts = [len(one) for one in detections]
    extents = np.repeat(np.array(sizes, np.float64).reshape(-1, 2), counts, axis=0)
    corners = np.concatenate([np.empty((0, 4)), *(one.boxes for one in detections)]) / np.tile(extents, 2)
    scores = np.concatenate([np.empty(0), *(one.scores for one in detections)]).astype(np.float64)
    if not (np.isfinite(scores).all() and np.isfinite(corners).all()):
        raise BadValue("detections hold scores or boxes that are not numbers")
    ids = np.concatenate([np.empty(0, np.int64), *(one.class_ids for one in detections)]).astype(np.int64)
    pictures = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    order = np.argsort(-scores, kind="stable")
    return RankedDetections(pictures, ids, scores, corners).take(order)


def truths_of(samples: Sequence[Sample], classes: Sequence[int]) -> Truths:
    """Put the labelled boxes of all pictures into one array.

    Args:
        samples: pictures and boxes.
        classes: for each class of the data set the class it counts as, or -1 for none.
    """
    rows = [(at, *box) for at, sample in enumerate(samples) for box in sample.boxes if classes[box.class_id] >= 0]
    table = np.array(rows, np.float64).reshape(-1, 7)
    centers, half = table[:, 2:4], table[:, 4:6] / 2
    ids = np.array(classes, np.int64)[table[:, 1].astype(np.int64)]
    corners = np.concatenate([centers - half, centers + half], axis=1)
    return Truths(table[:, 0].astype(np.int64), ids, corners, table[:, 6] > 0)


def overlapping(found: RankedDetections, truths: Truths, least: float, *, crowds: bool = False) -> Overlaps:
    """Find all pairs of the same picture and class whose intersection over union is at least `least`.

    Args:
        found: detections.
        truths: labelled boxes.
        least: above 0.
        crowds: measure a difficult truth as COCO measures a crowd: intersection over the detection's own area.
    """
    parts = [Overlaps(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for rows, others in _neighbours(found, truths):
        crowd = truths.difficult[others] & crowds
        overlap = iou_of_pairs(found.corners[rows], truths.corners[others], crowd=crowd)
        kept = overlap >= least
        parts.append(Overlaps(rows[kept], others[kept], overlap[kept]))
    return Overlaps(*map(np.concatenate, zip(*parts, strict=True)))


def _neighbours(found: RankedDetections, truths: Truths) -> Iterator[tuple[Ids, Ids]]:
    """Give rows of detections and of truths that share picture and class, some millions at once."""
    classes = 1 + max(found.class_ids.max(initial=0), truths.class_ids.max(initial=0))
    keys = truths.pictures * classes + truths.class_ids
    order = np.argsort(keys, kind="stable")
    wanted = found.pictures * classes + found.class_ids
    first = np.searchsorted(keys[order], wanted, "left")
    counts = np.searchsorted(keys[order], wanted, "right") - first
    blocks = np.cumsum(counts) // PAIRS_AT_ONCE
    for block in np.unique(blocks[counts > 0]):
        rows = np.flatnonzero((blocks == block) & (counts > 0))
        many = counts[rows]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        yield np.repeat(rows, many), order[np.repeat(first[rows], many) + within]
