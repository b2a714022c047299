"""Precision over recall, and the one number that the rules make of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from darkshare.evaluation.arrays import Bools, Doubles

AUC = 0  # for `points`: the whole area instead of some points


class Curve(NamedTuple):
    """Precision and recall after each detection of one class, best first.

    Attributes:
        scores: of the detections.
        precision: the part of the detections so far that are right.
        recall: the part of the truths that they found.
    """

    scores: Doubles
    precision: Doubles
    recall: Doubles

    def __repr__(self) -> str:
        return f"<Curve: {len(self.scores)} detections>"

    @property
    def envelope(self) -> Doubles:
        """The best precision at this recall or any higher one."""
        best: Doubles = np.maximum.accumulate(self.precision[::-1])[::-1]
        return best


def curve(scores: Doubles, hit: Bools, truths: int) -> Curve:
    """The curve of one class.

    Args:
        scores: of its detections, falling.
        hit: whether each of them is right.
        truths: how many there are to find.
    """
    right = np.cumsum(hit)
    return Curve(scores, right / np.arange(1, len(hit) + 1), right / max(truths, 1))


def average_precision(found: Curve, points: int) -> float:
    """The mean of the envelope over recall.

    Where a recall is exactly 3/10, say, the last bit of the point decides. COCO's tool has 3 * 0.1, and so has
    Darknet, although it says 3 / 10: its compiler may do so, since the Makefile says -Ofast.

    Args:
        found: a class's curve.
        points: 0 for the area under the envelope, or a number of recalls from 0 to 1.
    """
    if not len(found.scores):
        return 0.0
    envelope = found.envelope
    if points == AUC:
        return float((np.diff(found.recall, prepend=0) * envelope).sum())
    at = np.searchsorted(found.recall, np.linspace(0, 1, points), "left")
    return float(np.append(envelope, 0)[at].mean())
