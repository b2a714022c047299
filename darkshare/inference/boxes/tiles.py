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
from darkshare.inference.boxes.nms import Candidates
from darkshare.inference.boxes.overlap import iou_of_pairs

_NEAR = 0.05  # of a tile's side: a box that ends so near to an edge within the picture may go on beyond it


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


def joined(parts: Sequence[Candidates], views: Sequence[View], level: float, *, agnostic: bool) -> Candidates:
    """Join the boxes of a picture's views, so that each object is there once.

    Boxes of two views are of one object if their overlap is above the level, or if that of what both views show of
    them is: of an object at a seam one tile shows a part. A box that ends at the edge of its tile, within the picture,
    may be such a part. So the others come first whatever their scores, and it goes where enough of it lies in one of
    them, measured by its own area. Where only parts are found, the best one becomes as large as all of them.

    Args:
        parts: the boxes of each view, as fractions of it, after suppression within the view.
        views: the whole picture, then tiles of it.
        level: of the intersection over union, or over a part's own area; 0 leaves all boxes as they are.
        agnostic: whether boxes of different classes may be of one object.

    Returns:
        Boxes as fractions of the picture, best first.
    """
    found = Candidates.join(parts)
    of_view = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    areas = np.array(views, np.float32) / np.tile(np.array(views[0][2:], np.float32), 2)
    begin, extent = areas[of_view, :2], areas[of_view, 2:]
    low = (found.boxes[:, :2] - found.boxes[:, 2:] / 2) * extent + begin
    boxes = np.concatenate([low, low + found.boxes[:, 2:] * extent], axis=1)
    shown = np.concatenate([begin, begin + extent], axis=1)
    ids = found.of_one_class().class_ids if agnostic else found.class_ids
    cut = _may_go_on(boxes, shown)
    kept, grown = [] if level else list(range(len(boxes))), boxes.copy()
    left = np.lexsort((-found.scores, cut))[: None if level else 0]
    while len(left):
        first, rest = left[0], left[1:]
        both = np.concatenate(
            [np.maximum(shown[rest, :2], shown[first, :2]), np.minimum(shown[rest, 2:], shown[first, 2:])], axis=1
        )
        overlap = np.maximum(
            iou_of_pairs(boxes[rest], boxes[first]),
            iou_of_pairs(_within(boxes[rest], both), _within(boxes[first], both), crowd=cut[rest]),
        )
        same = (overlap > level) & (ids[rest] == ids[first]) & (of_view[rest] != of_view[first])
        if cut[first]:
            around = boxes[[first, *rest[same]]]
            grown[first] = [*around[:, :2].min(axis=0), *around[:, 2:].max(axis=0)]
        kept.append(first)
        left = rest[~same]
    centers = np.concatenate([(grown[:, :2] + grown[:, 2:]) / 2, grown[:, 2:] - grown[:, :2]], axis=1)
    rows = np.array(kept, np.intp)
    return found._replace(boxes=centers).take(rows[np.argsort(-found.scores[rows], kind="stable")])


def _may_go_on(boxes: Floats, shown: Floats) -> NDArray[np.bool_]:
    """Tell which boxes end at an edge of what their view shows that is not an edge of the picture."""
    near = _NEAR * (shown[:, 2:] - shown[:, :2])
    low = (boxes[:, :2] < shown[:, :2] + near) & (shown[:, :2] > 0)
    high = (boxes[:, 2:] > shown[:, 2:] - near) & (shown[:, 2:] < 1 - np.float32(1e-6))
    found: NDArray[np.bool_] = np.any(low | high, axis=1)
    return found


def _within(boxes: Floats, area: Floats) -> Floats:
    """The parts of boxes that lie in an area; where that is empty they have no size."""
    low, high = area[:, :2], np.maximum(area[:, 2:], area[:, :2])
    return np.concatenate([np.clip(boxes[..., :2], low, high), np.clip(boxes[..., 2:], low, high)], axis=1)
