"""AlexeyAB's mosaic: four pictures around one cut point, and their boxes (blend_truth_mosaic in data.c)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from darkshare._images import Picture
from darkshare.darknet.weights import Floats
from darkshare.training.pictures.geometry import Size, Window

_MARGIN = 0.2  # the cut point keeps this part of the input's sides away from the edges


class Shot(NamedTuple):
    """A picture at the input's size, what of it was cut off, and the size that it had before."""

    picture: Picture
    truths: Floats
    window: Window  # with left and right changed where it is flipped
    original: Size


def drawn_cut(size: Size, rng: np.random.Generator) -> tuple[int, int]:
    """Draw the point where the four pictures of a mosaic meet."""
    x, y = (int(rng.integers(int(s * _MARGIN), int(s * (1 - _MARGIN)) + 1)) for s in size)
    return x, y


def assembled(shots: Sequence[Shot], cut: tuple[int, int], size: Size, *, bound: bool) -> tuple[Picture, Floats]:
    """A mosaic and its truths.

    Args:
        shots: four, in the order upper left, upper right, lower left, lower right.
        cut: the point where they meet.
        size: of the mosaic.
        bound: cut boxes at their own quarter (mosaic_bound=1), not only at the input's edges.
    """
    canvas = np.empty_like(shots[0].picture)
    found = []
    for quarter, shot in enumerate(shots):
        x0, x1, source_x = _span(size[0], cut[0], quarter % 2, shot.window.left, shot.window.right, shot.original[0])
        y0, y1, source_y = _span(size[1], cut[1], quarter // 2, shot.window.top, shot.window.bottom, shot.original[1])
        canvas[y0:y1, x0:x1] = shot.picture[source_y : source_y + y1 - y0, source_x : source_x + x1 - x0]
        limits = (x0, y0, x1, y1) if bound else None
        found.append(_shifted(shot.truths, (x0 - source_x, y0 - source_y), size, limits))
    return canvas, np.concatenate(found)


def _span(length: int, cut: int, second: int, before: int, after: int, original: int) -> tuple[int, int, int]:
    """Start and stop of a quarter along one axis, and where in its own picture it starts.

    Pictures that were made smaller are moved so that less of their padding shows.
    """
    if second:
        return cut, length, min(cut, max(0, int(-before * length / original)))
    padding = min(length - cut, max(0, int(-after * length / original)))
    return 0, cut, length - cut - padding


def _shifted(truths: Floats, offset: tuple[int, int], size: Size, limits: tuple[int, ...] | None) -> Floats:
    """Truths in their quarter: cut at the limits or at the input's edges, dropped where less than a pixel is left."""
    scale = np.array(size, np.float32)
    center = truths[:, 1:3] + np.array(offset, np.float32) / scale
    half = truths[:, 3:5] / 2
    low, high = np.trunc((center - half) * scale), np.trunc((center + half) * scale)
    if limits is not None:
        low, high = np.maximum(low, limits[:2]) / scale, np.minimum(high, limits[2:]) / scale
    else:
        low = np.where(low < 0, center - half - low / scale, center - half)
        high = np.where(high > scale, center + half - (high - scale) / scale, center + half)
    center, sides = (low + high) / 2, high - low
    inside = (np.trunc(low * scale) >= 0) & (np.trunc(high * scale) <= scale)
    sound = inside & (sides > 1 / scale) & (sides < 1) & (center > 0) & (center < 1)
    return np.concatenate([truths[:, :1], center, sides], axis=1)[sound.all(axis=1)].astype(np.float32)
