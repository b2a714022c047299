"""Precision over recall, and the one number that the rules make of it."""

from __future__ import annotations

from collections.abc import Sequence
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


class BestF1(NamedTuple):
    """The threshold of the best F1, and what lies above it.

    Attributes:
        threshold: scores above it are kept.
        precision: the part of them that are right.
        recall: the part of the truths that they find.
        f1: the harmonic mean of both.
    """

    threshold: float
    precision: float
    recall: float
    f1: float

    def __str__(self) -> str:
        return (
            f"best F1 {self.f1:.2f} at scores > {self.threshold:g}: "
            f"precision {self.precision:.2f}, recall {self.recall:.2f}"
        )


def best_f1(curves: Sequence[Curve], truths: int) -> BestF1 | None:
    """Find the one threshold for all classes of these curves that has the best F1; of equal ones the highest.

    Args:
        curves: of each class.
        truths: how many there are to find in all classes.

    Returns:
        None where nothing is found.
    """
    ranks = [np.arange(1, len(one.scores) + 1) for one in curves]
    hits = [np.diff(np.rint(one.precision * rank), prepend=0) for one, rank in zip(curves, ranks, strict=True)]
    scores, hit = (np.concatenate([np.empty(0), *parts]) for parts in ([one.scores for one in curves], hits))
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], np.cumsum(hit[order])
    ends = np.flatnonzero(np.diff(scores, append=-np.inf))  # a threshold keeps all detections of one score, or none
    if not truths or not right[-1:].any():
        return None
    f1 = 2 * right[ends] / (ends + 1 + truths)
    at = int(np.argmax(f1))
    end, below = ends[at], scores[ends[at + 1]] if at + 1 < len(ends) else None
    threshold = _between(float(scores[end]), None if below is None else float(below))
    return BestF1(threshold, float(right[end] / (end + 1)), float(right[end] / truths), float(f1[at]))


def _between(score: float, below: float | None) -> float:
    """A short number that keeps a score and drops the next one below; without one, a number close to the score.

    Detectors compare in float32, so the number must lie below the score there too.
    """
    lower = 0.999 * score if below is None else below
    for digits in range(2, 9):
        found = round((lower + score) / 2, digits)
        if lower <= found and np.float32(found) < np.float32(score):
            return found
    return lower
