"""Wrong boxes of an evaluation, and the pictures in which they are worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from darkshare.data import Sample
from darkshare.evaluation.arrays import Bools, Doubles, Ids, RankedDetections, Truths, overlapping
from darkshare.evaluation.matching import Hits
from darkshare.inference.boxes import Detections

KINDS = ("missed", "false", "wrong class")
_NEAR = 0.1  # from this overlap on a wrong box is about an object
_TOLD = 3  # wrong boxes of a kind in words


class WrongPicture(NamedTuple):
    """A picture with the wrong boxes in it.

    Attributes:
        picture: its file.
        boxes: in pixels, for each of KINDS: truths that no box hit, with a score of infinity; boxes where nothing is,
            or that do not fit it; and boxes on an object of another class.
        words: for each of KINDS what they are; "" where there are none.
    """

    picture: Path
    boxes: tuple[Detections, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class WrongBoxes:
    """The false positives and the misses of a task above a threshold.

    Attributes:
        names: the task's classes.
        samples: the pictures.
        sizes: width and height of each picture.
        found: the false positives, best first.
        missed: the truths that were not hit.
        truths: all of them.
        iou: the overlap of a hit.
    """

    names: tuple[str, ...]
    samples: Sequence[Sample]
    sizes: Sequence[tuple[int, int]]
    found: RankedDetections
    missed: Truths
    truths: Truths
    iou: float

    def __len__(self) -> int:
        return len(self.found.scores) + len(self.missed.pictures)

    def worst(self, most: int) -> list[WrongPicture]:
        """The worst pictures, in turn that with most misses and those with the best score of each other kind."""
        objects, overlaps = self._nearest()
        strange = (overlaps > self.iou) & (objects != self.found.class_ids)
        missing, counts = np.unique(self.missed.pictures, return_counts=True)
        orders = (
            missing[np.argsort(-counts, kind="stable")].tolist(),
            self.found.pictures[~strange].tolist(),
            self.found.pictures[strange].tolist(),
        )
        chosen = [at for turn in zip_longest(*map(dict.fromkeys, orders)) for at in turn if at is not None]
        return [self._picture(at, strange, objects, overlaps) for at in [*dict.fromkeys(chosen)][:most]]

    def _nearest(self) -> tuple[Ids, Doubles]:
        """For each false positive the class of the truth that it overlaps most, and by how much; -1 and 0 for none."""
        count = len(self.found.scores)
        whole = self.truths._replace(class_ids=np.zeros_like(self.truths.class_ids))
        pairs = overlapping(self.found._replace(class_ids=np.zeros(count, np.int64)), whole, _NEAR)
        pairs = pairs.take(np.argsort(pairs.overlap, kind="stable"))
        objects, overlaps = np.full(count, -1), np.zeros(count)
        objects[pairs.found] = self.truths.class_ids[pairs.truth]  # of several the last counts, the largest
        overlaps[pairs.found] = pairs.overlap
        return objects, overlaps

    def _picture(self, at: int, strange: Bools, objects: Ids, overlaps: Doubles) -> WrongPicture:
        missed = self.missed.take(self.missed.pictures == at)
        own = self.found.pictures == at
        parts = [(missed.class_ids, missed.corners, np.full(len(missed.pictures), np.inf))]
        words = [_listed([self.names[i] for i in missed.class_ids])]
        for rows in (np.flatnonzero(own & ~strange), np.flatnonzero(own & strange)):
            parts.append((self.found.class_ids[rows], self.found.corners[rows], self.found.scores[rows]))
            words.append(_listed([self._told(row, int(objects[row]), overlaps[row]) for row in rows.tolist()]))
        extent = np.tile(np.array(self.sizes[at], np.float64), 2)
        boxes = tuple(
            Detections((corners * extent).astype(np.float32), scores.astype(np.float32), ids, self.names, kind)
            for kind, (ids, corners, scores) in zip(KINDS, parts, strict=True)
        )
        return WrongPicture(self.samples[at].picture, boxes, tuple(words))

    def _told(self, row: int, other: int, overlap: float) -> str:
        """A false positive in words, with what it lies on."""
        own = self.found.class_ids[row]
        found = f"{self.names[own]} {self.found.scores[row]:.2f}"
        if overlap > self.iou:
            return f"{found}, found twice" if other == own else f"{found}, labelled {self.names[other]}"
        return f"{found}, IoU {overlap:.2f} with {self.names[other]}" if other >= 0 else found


def wrong_boxes(
    names: tuple[str, ...], samples: Sequence[Sample], sizes: Sequence[tuple[int, int]], found: RankedDetections,
    truths: Truths, hits: Hits, iou: float, threshold: float,
) -> WrongBoxes:  # fmt: skip
    """Choose the detections above a threshold that hit nothing, and the truths that none of the others hit."""
    above = hits.counts & (found.scores > threshold)
    missed = ~truths.difficult
    missed[hits.truth[above & hits.hit]] = False
    return WrongBoxes(names, samples, sizes, found.take(above & ~hits.hit), truths.take(missed), truths, iou)


def _listed(told: Sequence[str]) -> str:
    """The first, those alike counted, and how many more there are."""
    alike = Counter(told)
    shown = [f"{count} × {one}" if count > 1 else one for one, count in islice(alike.items(), _TOLD)]
    more = len(told) - sum(count for _, count in islice(alike.items(), _TOLD))
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])
