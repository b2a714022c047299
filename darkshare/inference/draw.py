"""Boxes drawn into a picture: one colour family per task, labels that can be read on any ground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import hypot
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._images import Picture
from darkshare._tables import printable
from darkshare.inference.boxes import Detections

# Okabe and Ito, "Color Universal Design", 2008: distinct with any kind of colour vision. Red, green, blue.
# In this order, the first four stay apart in all their shades.
HUES = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (240, 228, 66), (213, 94, 0), (86, 180, 233), (204, 121, 167))
SHADES = ((0, 0.0), (255, 0.4), (0, 0.35))  # the hue itself, lighter, darker: (mixed with, share)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
_BRIGHT = 128  # luma from which black text reads better than white

Colour = tuple[int, int, int]  # blue, green, red, as OpenCV wants it


class Area(NamedTuple):
    """A rectangle of pixels; x2 and y2 are outside."""

    x1: int
    y1: int
    x2: int
    y2: int

    def of(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The part of a mask that it covers, as a view."""
        return mask[self.y1 : self.y2, self.x1 : self.x2]


class Style(NamedTuple):
    """Sizes that fit a picture: the width of lines and the height of letters, in pixels."""

    line: int
    letters: int

    @classmethod
    def of(cls, image: Picture) -> Style:
        diagonal = hypot(*image.shape[:2])
        return cls(max(2, round(diagonal / 600)), max(9, round(diagonal / 110)))


class Label(NamedTuple):
    """A text on a ground of its task's colour."""

    text: str
    colour: Colour
    box: Area


def annotate(image: Picture, found: Sequence[Detections]) -> Picture:
    """A copy of the picture with boxes, class names and scores, and a legend where there are several tasks.

    Args:
        image: uint8 BGR or BGRA, height x width x channels; alpha does not show.
        found: what `Detector.detect` gave; the first task gets the first hue.
    """
    canvas, style = image[..., :3].copy(), Style.of(image)
    labels = sorted(_labels(found, image), key=lambda scored: scored[0])
    for _, label in labels:  # the best last, so that they lie on top
        _outline(canvas, label, style)
    taken = np.zeros(image.shape[:2], bool)
    if len(found) > 1:
        _legend(canvas, found, taken, style)
    placed = [(label, _free_place(label, taken, style)) for _, label in reversed(labels)]
    for label, place in reversed(placed):
        _write(canvas, label.text, label.colour, place, style)
    return canvas


def colour_of(task: int, class_id: int) -> Colour:
    """The task's hue in the shade of the class."""
    towards, share = SHADES[class_id % len(SHADES)]
    red, green, blue = (round(value + (towards - value) * share) for value in HUES[task % len(HUES)])
    return blue, green, red


def _ink(colour: Colour) -> Colour:
    """Black or white, whichever reads better on the colour."""
    blue, green, red = colour
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > _BRIGHT else WHITE


def _labels(found: Iterable[Detections], image: Picture) -> Iterator[tuple[float, Label]]:
    h, w = image.shape[:2]
    for task, detections in enumerate(found):
        for (name, score, corners), class_id in zip(detections, detections.class_ids, strict=True):
            x1, y1, x2, y2 = np.clip(np.round(corners), 0, [w, h, w, h]).astype(int).tolist()
            text = f"{_printable(name, int(class_id))} {score:.2f}"
            yield score, Label(text, colour_of(task, int(class_id)), Area(x1, y1, x2, y2))


def _printable(name: str, class_id: int) -> str:
    """OpenCV 4 has letters for ASCII only, OpenCV 5 for nearly all scripts; bytes that are not UTF-8 crash it."""
    import cv2

    shown = printable(name)
    return shown if shown.isascii() or int(cv2.__version__.partition(".")[0]) > 4 else f"class {class_id}"


def _outline(canvas: Picture, label: Label, style: Style) -> None:
    """The box in its colour between thin lines of the opposite brightness: one of them shows on any ground."""
    import cv2

    x1, y1, x2, y2 = label.box
    for colour, width in ((_ink(label.colour), style.line + 2), (label.colour, style.line)):
        cv2.rectangle(canvas, (x1, y1), (max(x2 - 1, x1), max(y2 - 1, y1)), colour, width)


def _measured(text: str, style: Style) -> tuple[Any, float, int, int, int, int]:
    """(font, scale, thickness, width, height above the base line, height below it)."""
    import cv2

    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(style.letters / 12))
    scale = cv2.getFontScaleFromHeight(font, style.letters, thickness)
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    return font, scale, thickness, width, height, below


def _extent(text: str, style: Style) -> tuple[int, int]:
    """Width and height of a text's ground."""
    _, _, _, width, height, below = _measured(text, style)
    return width + 2 * style.line + 2, height + below + 2 * style.line


def _free_place(label: Label, taken: NDArray[np.bool_], style: Style) -> Area:
    """At the top or the bottom of its box, outside or inside, left or right: where it covers other labels least.

    The place is marked in `taken`, the mask of the pixels that labels have.
    """
    h, w = taken.shape
    wide, high = _extent(label.text, style)
    box = label.box
    tops = (box.y1 - high, box.y1, box.y2, box.y2 - high, box.y1 - 2 * high, box.y2 + high)
    lefts = (box.x1, box.x2 - wide)
    corners = [(max(0, min(x, w - wide)), max(0, min(y, h - high))) for x in lefts for y in tops]
    places = [Area(x, y, x + wide, y + high) for x, y in corners]
    best = min(places, key=lambda place: np.count_nonzero(place.of(taken)))
    best.of(taken)[:] = True
    return best


def _write(canvas: Picture, text: str, colour: Colour, place: Area, style: Style) -> None:
    import cv2

    font, scale, thickness, _, height, _ = _measured(text, style)
    cv2.rectangle(canvas, place[:2], (place.x2 - 1, place.y2 - 1), colour, cv2.FILLED)
    start = (place.x1 + style.line + 1, place.y1 + style.line + height)
    cv2.putText(canvas, text, start, font, scale, _ink(colour), thickness, cv2.LINE_AA)


def _legend(canvas: Picture, found: Sequence[Detections], taken: NDArray[np.bool_], style: Style) -> None:
    """The tasks in their hues, bottom left, last task lowest."""
    bottom = canvas.shape[0]
    for task, detections in reversed(list(enumerate(found))):
        text = f"{printable(detections.task)}: {len(detections)}"
        wide, high = _extent(text, style)
        place = Area(0, max(bottom - high, 0), wide, max(bottom, high))
        _write(canvas, text, colour_of(task, 0), place, style)
        place.of(taken)[:] = True
        bottom -= high
