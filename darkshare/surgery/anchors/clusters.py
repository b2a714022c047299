"""Sizes of boxes, and anchors that represent them: k-means with 1 - IoU as the distance.

As in AlexeyAB's `calc_anchors` (detector.c): boxes are compared by their sizes alone, as if they had one centre.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._images import picture_size
from darkshare.darknet.letterbox import fitted, is_letterboxed
from darkshare.darknet.network import Network
from darkshare.data import Dataset
from darkshare.errors import DarkshareError

Sizes = NDArray[np.float64]  # n x 2: width and height
RESTARTS = 10
CENTRE = np.median  # of a cluster
_ROUNDS = 300  # of one k-means; it converges long before
_MOST = 50_000  # boxes that are clustered; of more, a seeded sample


class Quality(NamedTuple):
    """Measures of how well anchors fit boxes.

    Attributes:
        average_iou: of each box with its best anchor.
        recall_25: which part of the boxes has an anchor with an IoU above 0.25.
        recall_50: the same with 0.5.
    """

    average_iou: float
    recall_25: float
    recall_50: float


def box_sizes(dataset: Dataset, network: Network) -> Sizes:
    """Width and height of every box in pixels of the network's input; boxes without size are left out.

    Where letter_box=1 fits pictures into the input, the pictures themselves are read for their size.

    Raises:
        DarkshareError: there is no box; a picture that has to be read cannot be.
    """
    found = []
    for sample in dataset.samples:
        if not sample.boxes:
            continue
        inner = (network.input.w, network.input.h)
        if is_letterboxed(network):
            inner = fitted(network, picture_size(sample.picture))
        found += [(box.w * inner[0], box.h * inner[1]) for box in sample.boxes if box.w > 0 and box.h > 0]
    if not found:
        raise DarkshareError(f"{dataset.name}: there is no box to find anchors for")
    return np.array(found, np.float64)


def ious(sizes: Sizes, anchors: Sizes) -> NDArray[np.float64]:
    """The IoU of each box with each anchor as if they had one centre: n x anchors."""
    common = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)
    found: NDArray[np.float64] = common / (sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - common)
    return found


def quality(sizes: Sizes, anchors: Sizes) -> Quality:
    """Measure how well anchors fit boxes."""
    best = ious(sizes, anchors).max(axis=1)
    return Quality(float(best.mean()), float((best > 0.25).mean()), float((best > 0.5).mean()))


def best_anchors(sizes: Sizes, count: int, *, seed: int = 0, restarts: int = RESTARTS) -> Sizes:
    """The anchors of the best of several k-means, smallest area first.

    A cluster's anchor is the median width and height of its boxes. AlexeyAB takes means; the median moves less for a
    few huge boxes, and its anchors fit at least as well (docs/how-to/anchors.md has numbers).

    Args:
        sizes: of the boxes.
        count: how many anchors.
        seed: of the starts.
        restarts: how many k-means to choose from, by their average IoU.

    Raises:
        DarkshareError: there are fewer different sizes than anchors.
    """
    different = len(np.unique(sizes, axis=0))
    if not 1 <= count <= different:
        raise DarkshareError(f"{count} anchors cannot be found in boxes of {different} different sizes")
    rng = np.random.default_rng(seed)
    sample = sizes if len(sizes) <= _MOST else sizes[rng.choice(len(sizes), _MOST, replace=False)]
    tried = [_k_means(sample, count, rng) for _ in range(restarts)]
    best = max(tried, key=lambda anchors: quality(sample, anchors).average_iou)
    return best[np.argsort(best.prod(axis=1), kind="stable")]


def _k_means(sizes: Sizes, count: int, rng: np.random.Generator) -> Sizes:
    anchors = _spread_starts(sizes, count, rng)
    nearest = np.full(len(sizes), -1)
    for _ in range(_ROUNDS):
        found = ious(sizes, anchors)
        now = found.argmax(axis=1)
        if np.array_equal(now, nearest):
            break
        nearest = now
        for at in range(count):
            own = sizes[nearest == at]
            # an anchor that lost all its boxes starts again at the box that fits worst
            anchors[at] = CENTRE(own, axis=0) if len(own) else sizes[found.max(axis=1).argmin()]
    return anchors


def _spread_starts(sizes: Sizes, count: int, rng: np.random.Generator) -> Sizes:
    """k-means++: each start is drawn with a chance that grows with the distance from those before."""
    chosen = [sizes[rng.integers(len(sizes))]]
    while len(chosen) < count:
        distance = 1 - ious(sizes, np.array(chosen)).max(axis=1)
        chance = np.maximum(distance, 0) ** 2
        total = chance.sum()
        chosen.append(sizes[rng.choice(len(sizes), p=chance / total if total > 0 else None)])
    return np.array(chosen)
