"""Matching of detections with truths by Darknet's rule and by COCO's, which differ where objects crowd."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from darkshare.evaluation.arrays import Bools, Doubles, Ids, Overlaps, RankedDetections, Truths, overlapping

MOST = 100  # detections per picture and class that COCO looks at
_ALMOST_ONE = 1 - 1e-10  # cocoeval.py asks for no more than that


class Hits(NamedTuple):
    """Whether each detection is right, and whether it counts.

    Attributes:
        hit: whether it is a true positive; else it is a false one, unless it does not count.
        overlap: with the truth that it hit; 0 where it hit none.
        truth: the row of that truth; -1 where it hit none.
        counts: False for what is passed over: on difficult truths, or beyond COCO's limit.
    """

    hit: Bools
    overlap: Doubles
    truth: Ids
    counts: Bools


def darknet_hits(found: RankedDetections, truths: Truths, iou: float) -> Hits:
    """Match as Darknet does (validate_detector_map in AlexeyAB's detector.c).

    A detection's truth is the one it overlaps most, by more than `iou`, whether that is taken already or not; of the
    detections of one truth the best is right and the others are wrong. One that overlaps no truth but a difficult one
    does not count.
    """
    pairs = overlapping(found, truths, iou)
    pairs = pairs.take(pairs.overlap > iou)
    hard = truths.difficult[pairs.truth]
    easy = pairs.take(~hard)
    own = _first_of_each(easy.take(np.lexsort((easy.truth, -easy.overlap, easy.found))))
    _, winners = np.unique(own.truth, return_index=True)  # the first of each truth is its best
    right = own.take(winners)
    overlap, truth = np.zeros(len(found.scores)), np.full(len(found.scores), -1)
    overlap[right.found], truth[right.found] = right.overlap, right.truth
    counts = np.ones(len(found.scores), bool)
    counts[pairs.found[hard]] = False
    counts[own.found] = True
    return Hits(truth >= 0, overlap, truth, counts)


def coco_hits(found: RankedDetections, truths: Truths, iou: float, pairs: Overlaps | None = None) -> Hits:
    """Match as COCO does (evaluateImg in cocoeval.py).

    In each picture and class the 100 best detections take, best first, the free truth that they overlap most, by `iou`
    or more. Difficult truths are what COCO calls crowds: any number of detections may lie on them, and none counts.

    Args:
        found: detections.
        truths: labelled boxes.
        iou: the least overlap.
        pairs: those that overlap by `iou` or more, with `crowds`, where they are known already.
    """
    pairs = overlapping(found, truths, min(iou, _ALMOST_ONE), crowds=True) if pairs is None else pairs
    places = _places(found)
    pairs = pairs.take((pairs.overlap >= min(iou, _ALMOST_ONE)) & (places[pairs.found] < MOST))
    crowd = truths.difficult[pairs.truth]
    order = np.lexsort((-pairs.truth, -pairs.overlap, crowd, pairs.found, places[pairs.found]))
    pairs = pairs.take(order)
    taken, truth = np.zeros(len(truths.pictures), bool), np.full(len(found.scores), -1)
    overlap, counts = np.zeros(len(found.scores)), places < MOST
    turns = np.searchsorted(places[pairs.found], np.arange(MOST + 1))
    for begin, end in pairwise(turns):  # the best of every picture and class, then the next
        turn = pairs.take(np.arange(begin, end))
        turn = _first_of_each(turn.take(~taken[turn.truth]))
        real = ~truths.difficult[turn.truth]
        taken[turn.truth[real]] = True
        truth[turn.found[real]] = turn.truth[real]
        overlap[turn.found[real]] = turn.overlap[real]
        counts[turn.found[~real]] = False
    return Hits(truth >= 0, overlap, truth, counts)


def _first_of_each(pairs: Overlaps) -> Overlaps:
    """The first pair of each detection, best detection first."""
    return pairs.take(np.unique(pairs.found, return_index=True)[1])


def _places(found: RankedDetections) -> Ids:
    """Count for each detection the better ones of the same picture and class."""
    order = np.lexsort((found.class_ids, found.pictures))  # stable, so that each group stays best first
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(found.pictures[order]) != 0) | (np.diff(found.class_ids[order]) != 0)
    begins = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order)) - begins
    return places
