"""Pictures cut into tiles that overlap, and what is found in each of them joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare.darknet.weights import Floats
from darkshare.errors import BadArguments, BadValue, require_least
from darkshare.inference.boxes.nms import Candidates, overlap_of

_NEAR = 0.02  # of a tile's side: a box that ends so near to an edge within the picture may go on beyond it


OVERLAP = 0.2  # of tiles


class View(NamedTuple):
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


def require_tiles(tiles: tuple[int, int] | None, overlap: float) -> None:
    """Refuse tiles that cannot be, and an overlap that nothing has.

    Raises:
        BadValue: a count below 1, or an overlap that does not lie between 0 and 1.
        BadArguments: an overlap without tiles.
    """
    require_least(1, tiles=min(tiles or (1,)))
    if not 0 <= overlap < 1:
        raise BadValue(f"overlap={overlap} must be at least 0 and below 1")
    if tiles is None and overlap != OVERLAP:
        raise BadArguments("overlap is that of tiles; give tiles too, such as 2x2")


def views_of(picture: tuple[int, int], tiles: tuple[int, int], overlap: float) -> list[View]:
    """Cut a picture into tiles of one size, whose first and last end at its edges.

    Args:
        picture: its width and height.
        tiles: columns and rows.
        overlap: the share of a tile's side that its neighbour has too, from 0 to below 1.

    Returns:
        The whole picture and the tiles behind it, row by row; none of them twice.
    """
    (lefts, width), (tops, height) = (_parts(*one, overlap) for one in zip(picture, tiles, strict=True))
    parts = (View(left, top, width, height) for top, left in product(tops, lefts))
    return list(dict.fromkeys([View(0, 0, *picture), *parts]))


def _parts(size: int, count: int, overlap: float) -> tuple[list[int], int]:
    """The places where the parts of a side begin, and their length."""
    length = min(size, math.ceil(size / (count - (count - 1) * overlap)))
    return [round(i * (size - length) / max(count - 1, 1)) for i in range(count)], length


def joined(
    parts: Sequence[Candidates], views: Sequence[View], threshold: float, exponent: float | None, *, agnostic: bool
) -> Candidates:
    """Join the boxes of a picture's views, so that each object is there once.

    Two boxes are of one object if they overlap by more than the threshold, or if what both views show of them does:
    of an object at a seam one tile shows a part. A box that ends at the edge of its tile, within the picture, may be
    such a part, so the others come first whatever their scores. Where only parts are found, the best one becomes as
    large as all of them.

    Args:
        parts: the boxes of each view, as fractions of it, after suppression within the view.
        views: the whole picture, then tiles of it.
        threshold: the overlap, above which boxes are of one object; 0 leaves all as they are.
        exponent: of the overlap, see `diou_exponent`.
        agnostic: whether boxes of different classes may be of one object.

    Returns:
        Boxes as fractions of the picture, best first.
    """
    found = Candidates.join(parts)
    of_view = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    size = np.array(views[0][2:], np.float32)
    begin, extent = (np.array(views, np.float32).reshape(-1, 2, 2)[of_view] / size).transpose(1, 0, 2)
    boxes = np.concatenate([found.boxes[:, :2] * extent + begin, found.boxes[:, 2:] * extent], axis=1)
    if not threshold > 0:
        order = np.argsort(-found.scores, kind="stable")
        return found._replace(boxes=boxes).take(order)
    ids = found.of_one_class().class_ids if agnostic else found.class_ids
    cut = _may_go_on(boxes, begin, extent)
    kept, grown, left = [], boxes.copy(), np.lexsort((-found.scores, cut))
    while len(left):
        first, rest = left[0], left[1:]
        others = of_view[rest] != of_view[first]
        low = np.maximum(begin[rest], begin[first])
        high = np.maximum(np.minimum(begin[rest] + extent[rest], begin[first] + extent[first]), low)
        seen = overlap_of(_within(boxes[first], low, high), _within(boxes[rest], low, high), exponent) > threshold
        over = overlap_of(boxes[first], boxes[rest], exponent) > threshold
        same = (ids[rest] == ids[first]) & (over | (seen & others))
        if cut[first]:
            grown[first] = _around(boxes[[first, *rest[same & others]]])
        kept.append(first)
        left = rest[~same]
    rows = np.array(kept, np.intp)
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    return found._replace(boxes=grown).take(rows)


def _may_go_on(boxes: Floats, begin: Floats, extent: Floats) -> NDArray[np.bool_]:
    """Tell which boxes end at an edge of their view that is not an edge of the picture."""
    near, end = _NEAR * extent, begin + extent
    low, high = boxes[:, :2] - boxes[:, 2:] / 2 < begin + near, boxes[:, :2] + boxes[:, 2:] / 2 > end - near
    found: NDArray[np.bool_] = np.any((low & (begin > 0)) | (high & (end < 1 - np.float32(1e-6))), axis=1)
    return found


def _within(boxes: Floats, low: Floats, high: Floats) -> Floats:
    """The parts of boxes that lie between two corners."""
    first, last = (np.clip(boxes[..., :2] + side * boxes[..., 2:] / 2, low, high) for side in (-1, 1))
    return np.concatenate([(first + last) / 2, last - first], axis=1)


def _around(boxes: Floats) -> Floats:
    """The smallest box that holds all of these."""
    first, last = (boxes[:, :2] - boxes[:, 2:] / 2).min(axis=0), (boxes[:, :2] + boxes[:, 2:] / 2).max(axis=0)
    return np.concatenate([(first + last) / 2, last - first])
