"""How good a guess at k is against measured mAP: regret, Kendall's tau, a bootstrap, and tests of paired differences.

`which_k.py` uses it. Average precision is Darknet's (the area under the curve), of resampled pictures too: a picture
that is drawn twice counts twice, with its objects and its detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ids = NDArray[np.int64]
_AT_ONCE = 50  # draws; some 10 MB
_MOST_PAIRS = 18  # whose signs are all tried


class Outcomes(NamedTuple):
    """What one network found in the test pictures, and what there was to find.

    Attributes:
        classes: of each detection that counts, best first.
        pictures: the number of its picture.
        hit: whether it is right.
        truth_classes: of each object.
        truth_pictures: the number of its picture.
    """

    classes: Ids
    pictures: Ids
    hit: NDArray[np.bool_]
    truth_classes: Ids
    truth_pictures: Ids


def mean_ap(found: Outcomes, weights: NDArray[Any]) -> Doubles:
    """The mAP over the classes that have objects, of 0..1, for each row of weights.

    Args:
        found: detections and objects.
        weights: how often each picture was drawn, (draws, pictures).
    """
    parts = [weights[at : at + _AT_ONCE].astype(np.float64) for at in range(0, len(weights), _AT_ONCE)]
    return np.concatenate([_mean_ap(found, part) for part in parts])


def _mean_ap(found: Outcomes, weights: Doubles) -> Doubles:
    total, classes = np.zeros(len(weights)), np.zeros(len(weights))
    for one in np.unique(found.truth_classes):
        truths = weights[:, found.truth_pictures[found.truth_classes == one]].sum(axis=1)
        rows = np.flatnonzero(found.classes == one)
        own, hits = weights[:, found.pictures[rows]], np.flatnonzero(found.hit[rows])
        seen, right = np.cumsum(own, axis=1)[:, hits], own[:, hits]
        precision = np.cumsum(right, axis=1) / np.maximum(seen, 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        total += (right * envelope).sum(axis=1) / np.maximum(truths, 1)
        classes += truths > 0
    return total / np.maximum(classes, 1)


def drawn_pictures(count: int, draws: int, rng: np.random.Generator) -> Ids:
    """How often each picture is in each resample, (draws, pictures)."""
    found: Ids = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    return found


def over_seeds(maps: Doubles, rng: np.random.Generator | None = None) -> Doubles:
    """The mean over seeds, (draws, ks); with a generator over resampled ones, drawn anew for each draw and k.

    Args:
        maps: (draws, ks, seeds).
        rng: of the resamples.
    """
    if rng is not None:
        maps = np.take_along_axis(maps, rng.integers(maps.shape[2], size=maps.shape), axis=2)
    means: Doubles = maps.mean(axis=2)
    return means


def regret(truth: Doubles, chosen: int) -> Doubles:
    """What the choice costs against the best, for each row of true values.

    Args:
        truth: (draws, ks).
        chosen: the column that was chosen.
    """
    lost: Doubles = truth.max(axis=1) - truth[:, chosen]
    return lost


def tau(values: Sequence[float], truth: Doubles) -> Doubles:
    """Kendall's tau-b of a guess with each row of true values; 0 where either is all equal.

    Args:
        values: of each k.
        truth: (draws, ks).
    """
    first, second = np.array(list(combinations(range(len(values)), 2)), np.int64).reshape(-1, 2).T
    own = np.sign(np.asarray(values)[first] - np.asarray(values)[second])
    true = np.sign(truth[:, first] - truth[:, second])
    size = np.sqrt(np.abs(own).sum() * np.abs(true).sum(axis=1))
    found: Doubles = (true @ own) / np.maximum(size, 1)
    return found


def interval(values: Doubles) -> tuple[float, float]:
    """The middle 95 % of resampled values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def by_signs(differences: Sequence[float]) -> float:
    """How probable a mean so high or higher is if each difference might as well have the other sign.

    All signs are tried (Fisher's exact test for pairs), so that four pairs give no less than 1/16.
    """
    given = np.array([one for one in differences if one != 0], np.float64)
    if len(given) > _MOST_PAIRS:
        raise ValueError(f"{len(given)} pairs have too many signs to try")
    sums = np.array(list(product((1, -1), repeat=len(given)))).reshape(2 ** len(given), len(given)) @ given
    return float((sums >= given.sum() - 1e-12).mean())


def by_ranks(differences: Sequence[float]) -> float:
    """The same of the ranks of their sizes, so that no pair outweighs the others (Wilcoxon's signed-rank test)."""
    given = np.array([one for one in differences if one != 0], np.float64)
    sizes = np.abs(given)
    ranks = (sizes[:, None] > sizes).sum(1) + ((sizes[:, None] == sizes).sum(1) + 1) / 2
    return by_signs((np.sign(given) * ranks).tolist())


def holm(ps: Sequence[float]) -> list[float]:
    """Probabilities corrected for their number (Holm, 1979), in the same order."""
    found, highest = [0.0] * len(ps), 0.0
    for rank, at in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = found[at] = max(highest, min(1.0, (len(ps) - rank) * ps[at]))
    return found
