"""Geometry of augmentation, for a picture and its boxes: jitter, resize, flip, letterbox.

Truths are float32 rows (class_id, x, y, w, h), centres and sizes as fractions of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from darkshare._images import Picture
from darkshare.darknet.weights import Floats
from darkshare.data import Box

Size = tuple[int, int]  # width, height
_SMALLEST = 0.001  # pjreddie drops boxes that are smaller than this part of the input


class Window(NamedTuple):
    """The margins cut off a picture's sides, in its pixels; negative ones are added (load_data_detection in data.c)."""

    left: int
    right: int
    top: int
    bottom: int

    def inner(self, picture: Size) -> Size:
        """Width and height that are left."""
        return picture[0] - self.left - self.right, picture[1] - self.top - self.bottom

    def is_legal(self, picture: Size) -> bool:
        """Whether anything of the picture is in it."""
        return min(*self.inner(picture), picture[0] - self.left, picture[1] - self.top) > 0


def drawn_window(picture: Size, jitter: float, resize: float, rng: np.random.Generator) -> Window:
    """AlexeyAB's random window: each side moved by up to `jitter`, and zoomed by up to `resize`."""
    zooms = rng.random(2)
    moves = rng.random(4)
    sides: list[int] = []
    for side in range(4):
        length = picture[side // 2]
        reach = int(length * jitter)
        moved = int(moves[side] * 2 * reach - reach)
        down, up = min(resize, 1 / resize), max(resize, 1 / resize)
        lowest = int(length * (1 - 1 / down) / 2)
        highest = 0 if resize < 1 else int(length * (1 - 1 / up) / 2)
        sides.append(int(moved + zooms[side % 2] * (highest - lowest) + lowest))
    return Window(*sides)


def letterboxed(window: Window, picture: Size, size: Size) -> Window:
    """The window with what the picture lacks to the input's aspect ratio (letter_box=1)."""
    (ow, oh), (left, right, top, bottom) = picture, window
    aspect = size[0] / size[1]
    if ow / oh / aspect > 1:
        missing = (ow / aspect - oh) / 2
        return Window(left, right, int(top - missing), int(bottom - missing))
    missing = (oh * aspect - ow) / 2
    return Window(int(left - missing), int(right - missing), top, bottom)


def to_corner(window: Window, quarter: int, *, flip: bool) -> Window:
    """The window moved so that in its quarter of a mosaic most of the picture shows."""
    left, right, top, bottom = window
    left, right = (left + right, 0) if (quarter in (1, 3)) != flip else (0, left + right)
    top, bottom = (0, top + bottom) if quarter in (0, 1) else (top + bottom, 0)
    return Window(left, right, top, bottom)


def cropped(picture: Picture, window: Window, size: Size) -> Picture:
    """The window of a picture, stretched to a size; what lies outside has the picture's mean colour."""
    import cv2

    height, width = picture.shape[:2]
    wide, high = window.inner((width, height))
    x, y = max(0, -window.left), max(0, -window.top)
    inside = picture[max(0, window.top) : window.top + high, max(0, window.left) : window.left + wide]
    below, right = high - y - inside.shape[0], wide - x - inside.shape[1]
    if max(x, y, below, right):
        mean = [round(value) for value in cv2.mean(picture)]
        inside = np.asarray(cv2.copyMakeBorder(inside, y, below, x, right, cv2.BORDER_CONSTANT, value=mean), np.uint8)
    return np.asarray(cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def placed(picture: Floats, inner: Size, corner: tuple[int, int], size: Size) -> Floats:
    """A picture stretched to `inner` at a corner of a gray input (place_image in pjreddie's image.c).

    Darknet's sampling points are x/w, not pixel centres, and behind the last pixel all is black.
    """
    import cv2

    (wide, high), (x, y) = inner, corner
    to_source = np.array([[picture.shape[1] / wide, 0, 0], [0, picture.shape[0] / high, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    small = cv2.warpAffine(picture, to_source, inner, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    canvas = np.full((size[1], size[0], *picture.shape[2:]), 0.5, np.float32)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + wide, size[0]), min(y + high, size[1])
    canvas[y0:y1, x0:x1] = small[y0 - y : y1 - y, x0 - x : x1 - x]
    return canvas


def truths_of(boxes: Sequence[Box]) -> Floats:
    """A picture's boxes as rows, relative to the picture."""
    return np.array([box[:5] for box in boxes], np.float32).reshape(-1, 5)


def moved(
    truths: Floats, scale: tuple[float, float], shift: tuple[float, float], *, flip: bool, smallest: tuple[float, float]
) -> Floats:
    """Truths after the picture was scaled, then shifted, then flipped, cut at the input's edges (correct_boxes).

    Args:
        truths: relative to the picture.
        scale: x and y: the picture's size as part of the input's.
        shift: x and y of the picture's corner in the input.
        flip: whether left and right change places.
        smallest: boxes narrower or lower than this are dropped.
    """
    factors, offset = np.array(scale, np.float32), np.array(shift, np.float32)
    half = truths[:, 3:5] / 2
    low = (truths[:, 1:3] - half) * factors + offset
    high = (truths[:, 1:3] + half) * factors + offset
    if flip:
        low[:, 0], high[:, 0] = 1 - high[:, 0], 1 - low[:, 0]
    low, high = low.clip(0, 1), high.clip(0, 1)
    size, center = high - low, (low + high) / 2
    kept = (size >= np.array(smallest, np.float32)).all(axis=1) & (center > 0).all(axis=1)
    return np.concatenate([truths[:, :1], center, size], axis=1)[kept].astype(np.float32)


def smallest_of(size: Size, dialect: str) -> tuple[float, float]:
    """The smallest box that is kept: a pixel, or pjreddie's thousandth."""
    return (_SMALLEST, _SMALLEST) if dialect == "pjreddie" else (1 / size[0], 1 / size[1])
