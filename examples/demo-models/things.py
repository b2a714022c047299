"""Draw what stands in a street: cars, buses, people, lamps, trees, marks and lines of text.

Places and sizes are in units of a street of 640 x 384, whatever the size of the picture (height, width, 3; BGR).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]  # left, top, right, bottom

WIDTH, HEIGHT = 640, 384
MARKS = ("sun", "leaf", "fox")
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
WHEEL, GLASS, SILVER, POST = (45, 40, 38), (232, 214, 190), (200, 196, 190), (70, 62, 56)
YELLOW, RED = (140, 230, 250), (60, 60, 210)

# Outlines as shares of a box.
BODY = [
    (0, 0.84), (0, 0.5), (0.06, 0.42), (0.2, 0.38), (0.33, 0), (0.7, 0), (0.85, 0.4), (0.97, 0.48), (1, 0.56),
    (1, 0.84),
]  # fmt: skip
SILL = [(0, 0.66), (1, 0.66), (1, 0.84), (0, 0.84)]
PANES = (
    [(0.25, 0.38), (0.36, 0.09), (0.49, 0.09), (0.49, 0.38)],
    [(0.53, 0.38), (0.53, 0.09), (0.68, 0.09), (0.79, 0.38)],
)
HEADLIGHT, TAILLIGHT = (
    [(0.95, 0.52), (1, 0.56), (1, 0.64), (0.95, 0.64)],
    [(0, 0.52), (0.03, 0.52), (0.03, 0.64), (0, 0.64)],
)
COAT = [
    (0.19, 0.2), (0.81, 0.2), (1, 0.5), (0.89, 0.55), (0.75, 0.36), (0.775, 0.6), (0.225, 0.6), (0.25, 0.36),
    (0.11, 0.55), (0, 0.5),
]  # fmt: skip
FACE = [(0, 0), (0.24, 0.2), (0.5, 0.27), (0.76, 0.2), (1, 0), (0.98, 0.5), (0.5, 1), (0.02, 0.5)]
CHEEKS = ([(0.04, 0.53), (0.36, 0.55), (0.5, 0.95)], [(0.96, 0.53), (0.64, 0.55), (0.5, 0.95)])
CROWN = ((-0.14, 0.55, 0.17, 0.85), (0.14, 0.57, 0.17, 0.92), (0, 0.75, 0.2, 1), (-0.04, 0.8, 0.1, 1.15))


def scale(image: Picture) -> float:
    """How many pixels a unit has."""
    return image.shape[1] / WIDTH


def sixteenths(image: Picture, points: ArrayLike) -> NDArray[np.int32]:
    """Points in a sixteenth of a pixel, as OpenCV takes them with a shift of 4."""
    return np.round(np.asarray(points) * scale(image) * 16).astype(np.int32)


def fill(image: Picture, points: ArrayLike, colour: Colour) -> None:
    """A polygon with smooth edges, by its corners."""
    cv2.fillPoly(image, [sixteenths(image, points)], colour, cv2.LINE_AA, 4)


def block(image: Picture, box: Box, colour: Colour) -> None:
    """A filled rectangle."""
    left, top, right, bottom = (round(side * scale(image)) for side in box)
    cv2.rectangle(image, (left, top), (right - 1, bottom - 1), colour, cv2.FILLED)


def disc(image: Picture, x: float, y: float, radius: float, colour: Colour) -> None:
    """A filled circle."""
    x, y, radius = sixteenths(image, (x, y, radius)).tolist()
    cv2.circle(image, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA, 4)


def shade(colour: Colour, share: float) -> Colour:
    """The colour, darker below 1 and lighter above."""
    b, g, r = (round(one * share if share <= 1 else one + (255 - one) * (share - 1)) for one in colour)
    return b, g, r


def inside(box: Box, points: Sequence[tuple[float, float]], flipped: bool = False) -> NDArray[np.float64]:
    """Corners that are given as shares of a box."""
    left, top, right, bottom = box
    there = np.array(points, float)
    if flipped:
        there[:, 0] = 1 - there[:, 0]
    return np.array([left, top]) + there * np.array([right - left, bottom - top])


def car(image: Picture, box: Box, colour: Colour, flipped: bool) -> None:
    """A body, a cabin with two panes, two wheels and lights."""
    wheel = (box[3] - box[1]) * 0.18
    fill(image, inside(box, BODY, flipped), colour)
    fill(image, inside(box, SILL), shade(colour, 0.8))
    for pane in PANES:
        fill(image, inside(box, pane, flipped), GLASS)
    for share in (0.22, 0.79):
        x, y = inside(box, [(share, 1)], flipped)[0] - (0, wheel)
        disc(image, x, y, wheel, WHEEL)
        disc(image, x, y, wheel * 0.5, SILVER)
    fill(image, inside(box, HEADLIGHT, flipped), YELLOW)
    fill(image, inside(box, TAILLIGHT, flipped), RED)


def bus(image: Picture, box: Box, colour: Colour, flipped: bool) -> Box:
    """A long body with windows and wheels; what it gives is the panel below the windows, free for text and mark."""
    left, top, right, bottom = box
    wheel = (bottom - top) * 0.13
    block(image, (left, top + 2, right, bottom - wheel), colour)
    block(image, (left + 3, top, right - 3, top + 4), shade(colour, 1.3))
    block(image, (left, bottom - wheel * 1.6, right, bottom - wheel * 0.9), shade(colour, 0.75))
    count = max(4, round((right - left) / 42))
    for i in range(count):
        ends = [((i + 0.12) / count, 0.12), ((i + 0.94) / count, 0.43)]
        (x1, y1), (x2, y2) = inside(box, ends, flipped)
        block(image, (min(x1, x2), y1, max(x1, x2), y2), GLASS)
    for share in (0.16, 0.83):
        x = inside(box, [(share, 0)], flipped)[0][0]
        disc(image, x, bottom - wheel, wheel, WHEEL)
        disc(image, x, bottom - wheel, wheel * 0.5, SILVER)
    lamp = inside(box, [(0.98, 0.68), (1, 0.68), (1, 0.76), (0.98, 0.76)], flipped)
    fill(image, lamp, YELLOW)
    tall = bottom - top
    return left + tall * 0.1, top + tall * 0.47, right - tall * 0.1, top + tall * 0.76


def person(image: Picture, box: Box, colours: tuple[Colour, Colour, Colour, Colour], step: float) -> None:
    """Legs apart by a step, a coat with arms, and a head; colours are of coat, legs, skin and hair."""
    coat, legs, skin, hair = colours
    left, top, right, bottom = box
    tall, x = bottom - top, (left + right) / 2
    half, head = (right - left) / 2, tall * 0.085
    for side in (-1, 1):
        foot = x + side * half * step
        wide, narrow, hip = half * 0.4, half * 0.22, bottom - tall * 0.46
        fill(image, [(x - wide, hip), (x + wide, hip), (foot + narrow, bottom), (foot - narrow, bottom)], legs)
    fill(image, inside(box, COAT), coat)
    disc(image, x, top + head, head, hair)
    disc(image, x, top + head * 1.3, head * 0.8, skin)


def lamp(image: Picture, box: Box) -> None:
    """A post on a foot with a lantern on top."""
    left, top, right, bottom = box
    x, wide = (left + right) / 2, right - left
    block(image, (x - wide * 0.1, top + wide * 0.7, x + wide * 0.1, bottom), POST)
    block(image, (x - wide * 0.26, bottom - wide * 0.45, x + wide * 0.26, bottom), POST)
    head = (left, top, right, top + wide)
    fill(image, inside(head, [(0.1, 0.3), (0.9, 0.3), (0.72, 1.1), (0.28, 1.1)]), (150, 235, 255))
    fill(image, inside(head, [(0, 0.36), (0.38, 0), (0.62, 0), (1, 0.36)]), POST)


def tree(image: Picture, x: float, ground: float, tall: float, green: Colour) -> None:
    """A trunk with a crown of discs."""
    block(image, (x - tall * 0.035, ground - tall * 0.5, x + tall * 0.035, ground), (60, 84, 110))
    for dx, dy, radius, light in CROWN:
        disc(image, x + dx * tall, ground - dy * tall, radius * tall, shade(green, light))


def mark(image: Picture, kind: int, at: tuple[float, float, float], colour: Colour, ground: Colour) -> Box:
    """One of `MARKS` around a point, with its width behind, in a colour on a ground of another; gives its box."""
    x, y, side = at
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    if MARKS[kind] == "sun":
        for turn in np.arange(8) * np.pi / 4:
            rays = [(turn - 0.3, 0.31), (turn, 0.5), (turn + 0.3, 0.31)]
            fill(image, [(x + np.cos(a) * r * side, y + np.sin(a) * r * side) for a, r in rays], colour)
        disc(image, x, y, side * 0.27, colour)
        disc(image, x, y, side * 0.14, ground)
        return box
    if MARKS[kind] == "fox":
        box = (x - side / 2, y - side * 0.44, x + side / 2, y + side * 0.44)
        fill(image, inside(box, FACE), colour)
        for cheek in CHEEKS:
            fill(image, inside(box, cheek), ground)
        for share in (0.34, 0.66):
            disc(image, *inside(box, [(share, 0.46)])[0], side * 0.055, ground)
        return box
    along = np.linspace(0, 1, 24)
    half = np.sin(along * np.pi) ** 0.8 * 0.27
    edge = np.concatenate([np.stack([along, half], 1), np.stack([along[::-1], -half[::-1]], 1)]) - (0.5, 0)
    slant = 0.9 * np.array([edge[:, 0] - edge[:, 1], -edge[:, 0] - edge[:, 1]]).T / np.sqrt(2)
    fill(image, slant * side * 1.25 + (x, y), colour)
    ends = np.array([(-0.44, 0.44), (0.24, -0.24)]) * side + (x, y)
    first, last = sixteenths(image, ends).tolist()
    cv2.line(image, first, last, ground, max(1, round(side * scale(image) * 0.06)), cv2.LINE_AA, 4)
    reach = np.abs(slant).max() * side * 1.25
    return x - reach, y - reach, x + reach, y + reach


def text_mask(words: str, font: int) -> NDArray[np.uint8]:
    """A line of text, white on black, large, with nothing around it."""
    (width, tall), below = cv2.getTextSize(words, font, 2, 3)
    mask = np.zeros((tall + below + 60, width + 80), np.uint8)
    cv2.putText(mask, words, (40, tall + 30), font, 2, (255,), 3, cv2.LINE_AA)
    left, top, wide, high = cv2.boundingRect(cv2.findNonZero(np.ascontiguousarray((mask > 40).astype(np.uint8))))
    return mask[top : top + high, left : left + wide]


def lay(image: Picture, mask: NDArray[np.uint8], box: Box, colour: Colour) -> None:
    """A mask in a colour into a box, which may lie partly outside of the picture."""
    left, top, right, bottom = (round(side * scale(image)) for side in box)
    share = cv2.resize(mask, (max(right - left, 1), max(bottom - top, 1)), interpolation=cv2.INTER_AREA)
    there = image[top:bottom, max(left, 0) : max(right, 0)]
    share = share[:, max(-left, 0) :][:, : there.shape[1], None] / 255
    there[:] = np.round(there * (1 - share) + np.array(colour) * share).astype(np.uint8)
