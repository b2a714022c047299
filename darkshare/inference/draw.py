"""Boxes drawn into a picture, with labels that can be read on any ground and do not lie on one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import hypot, inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._images import Picture
from darkshare.errors import checked, require_least
from darkshare.inference.boxes import Detections
from darkshare.inference.lettering import Runs, line_height, plain, spelled, written
from darkshare.inference.placing import Area, Free, LabelPlace

# Okabe and Ito, "Color Universal Design", 2008: distinct with any kind of colour vision. Red, green, blue.
# In this order, the first four stay apart in all their shades.
HUES = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (240, 228, 66), (213, 94, 0), (86, 180, 233), (204, 121, 167))
SHADES = ((0, 0.0), (255, 0.4), (0, 0.35))  # the hue itself, lighter, darker: (mixed with, share)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
_BRIGHT = 128  # luma from which black text reads better than white
_TINY = 16  # pixels to a side
_LEGEND = 0.6  # of the picture's height

Colour = tuple[int, int, int]  # blue, green, red, as OpenCV wants it


class Style(NamedTuple):
    """Sizes in pixels: the width of lines, the size of letters."""

    line: int
    letters: int

    @classmethod
    def of(cls, image: Picture, line: int | None = None) -> Style:
        """Sizes that fit a picture.

        Args:
            image: the picture.
            line: the width of lines, where that is settled.
        """
        diagonal = hypot(*image.shape[:2])
        letters = max(9 + min(diagonal, 400) / 130, diagonal / 95)
        return cls(line or max(1 if diagonal < 400 else 2, round(diagonal / 600)), round(letters))

    def fitting(self, box: Area) -> int:
        """The width of a box's lines: in a tiny one they would hide what is in it."""
        return max(1, min(self.line, min(box.x2 - box.x1, box.y2 - box.y1) // 8))


class Label(NamedTuple):
    """A box, its colour and its text, with the text to take where there is no room for the whole."""

    box: Area
    colour: Colour
    texts: tuple[Runs, Runs]


@checked
def annotate(
    image: Picture, found: Sequence[Detections], *, line_width: int | None = None, labels: bool = True,
    legend: bool = False,
) -> Picture:  # fmt: skip
    """Draw boxes with class names and scores into a copy of a picture; several tasks are counted in a corner.

    Sizes follow the picture. Several tasks have a hue each and their classes its shades; the classes of a single task
    have the hues. A label lies on no other label, and leaves what is in the picture in sight: see
    docs/how-to/detect.md for the places that are tried. Where none is free, the box has no label.

    Args:
        image: uint8 BGR or BGRA, height x width x channels; alpha does not show.
        found: what `Detector.detect` gave; a box whose score is infinite, such as a labelled one, is drawn without it.
        line_width: pixels, instead of what fits the picture and its boxes.
        labels: whether boxes have labels.
        legend: whether the classes that are in the picture are counted in a corner, in place of the tasks.

    Raises:
        DarkshareError: a width below 1.
    """
    require_least(1, line_width=line_width)
    canvas, style = image[..., :3].copy(), Style.of(image, line_width)
    pairs = sorted(_labels(found, image), key=lambda pair: -pair[0])
    known = [label for _, label in pairs]
    for label in reversed(known):  # the best last, so that they lie on top
        _outline(canvas, label, style.line if line_width else style.fitting(label.box))
    height = line_height(style.letters) + 2
    free = Free((image.shape[1], image.shape[0]), [label.box for label in known], height)
    for row, colour, area in _legend(found, free, style, height, image.shape, classes=legend):
        _write(canvas, row, colour, area, style)
        free.take(area)
    placed = [(label, *where) for label in known if labels and (where := _placed(label, free, style, height, canvas))]
    for label, _, place in placed:
        _lead(canvas, label, place, style)
    for label, text, place in placed:
        _write(canvas, text, label.colour, place.area, style)
    return canvas


@lru_cache(1024)
def colour_of(hue: int, shade: int) -> Colour:
    """A hue in one of its shades; both begin again behind their last."""
    towards, share = SHADES[shade % len(SHADES)]
    red, green, blue = (round(value + (towards - value) * share) for value in HUES[hue % len(HUES)])
    return blue, green, red


def _class_colour(task: int, class_id: int, tasks: int) -> Colour:
    return colour_of(task, class_id) if tasks > 1 else colour_of(class_id, class_id // len(HUES))


def _ink(colour: Colour) -> Colour:
    """Black or white, whichever reads better on the colour."""
    blue, green, red = colour
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > _BRIGHT else WHITE


def _labels(found: Sequence[Detections], image: Picture) -> Iterator[tuple[float, Label]]:
    """(score, label) of each box."""
    h, w = image.shape[:2]
    for task, detections in enumerate(found):
        names = spelled(detections.names)
        corners = np.clip(np.round(detections.boxes), 0, [w, h, w, h]).astype(int)
        rows = zip(corners.tolist(), detections.scores.tolist(), detections.class_ids.tolist(), strict=True)
        for corner, score, class_id in rows:
            name, colour = names[class_id], _class_colour(task, class_id, len(found))
            number = plain(f" {score:.2f}") if score < inf else ()
            yield score, Label(Area(*corner), colour, ((*name, *number), name))


def _outline(canvas: Picture, label: Label, line: int) -> None:
    """The box in its colour between lines of the opposite brightness: one of them shows on any ground."""
    x1, y1, x2, y2 = label.box
    outside = line // 2
    inside = line - outside
    edge = 1 if min(x2 - x1, y2 - y1) > _TINY else 0  # inside a tiny box it would hide the object
    _frame(canvas, label.box, outside + 1, inside + edge, _ink(label.colour))
    _frame(canvas, label.box, outside, inside, label.colour)


def _frame(canvas: Picture, box: Area, outside: int, inside: int, colour: Colour) -> None:
    """Lines on the edges of a box, so many pixels outside and inside of it."""
    import cv2

    x1, y1, x2, y2 = box.x1 - outside, box.y1 - outside, box.x2 + outside - 1, box.y2 + outside - 1
    wide = outside + inside - 1
    for start, end in (
        ((x1, y1), (x2, y1 + wide)),
        ((x1, y2 - wide), (x2, y2)),
        ((x1, y1), (x1 + wide, y2)),
        ((x2 - wide, y1), (x2, y2)),
    ):
        cv2.rectangle(canvas, start, end, colour, cv2.FILLED)


def _pad(style: Style) -> int:
    """The pixels left and right of a text."""
    return max(1, style.letters // 5)


def _placed(label: Label, free: Free, style: Style, height: int, canvas: Picture) -> tuple[Runs, LabelPlace] | None:
    """The text of a label, without its score where the picture is too narrow for that, and its place."""
    for text in label.texts:
        width = written(text, style.letters).shape[1] + 2 * _pad(style)
        if width <= canvas.shape[1] and height <= canvas.shape[0]:
            place = free.place(label.box, width, height)
            return None if place is None else (text, place)
    return None


def _lead(canvas: Picture, label: Label, place: LabelPlace, style: Style) -> None:
    """The line from a label to its box."""
    import cv2

    if place.line:
        for colour, width in ((_ink(label.colour), style.line + 2), (label.colour, style.line)):
            cv2.line(canvas, *place.line, colour, width, cv2.LINE_AA)


def _write(canvas: Picture, text: Runs, colour: Colour, area: Area, style: Style) -> None:
    """A text on a ground of its colour, which is cut off at the end of its area."""
    import cv2

    ground, left = area.of(canvas), _pad(style)
    cv2.rectangle(canvas, (area.x1, area.y1), (area.x2 - 1, area.y2 - 1), colour, cv2.FILLED)
    mask = written(text, style.letters)[: ground.shape[0] - 1, : ground.shape[1] - left]
    ground[1 : 1 + mask.shape[0], left : left + mask.shape[1]] = cv2.applyColorMap(mask, _shades(colour))


@lru_cache(len(HUES) * len(SHADES) + 1)
def _shades(ground: Colour) -> NDArray[np.uint8]:
    """From a ground to the ink on it."""
    return np.linspace(ground, _ink(ground), 256).round().astype(np.uint8)[:, None]


def _legend(
    found: Sequence[Detections], free: Free, style: Style, height: int, shape: Sequence[int], *, classes: bool
) -> Iterator[tuple[Runs, Colour, Area]]:
    """(text, colour, area) of each row: the tasks, where there are several, or the classes seen, the last lowest."""
    if classes:
        rows = list(_class_rows(found))
    else:
        several = found if len(found) > 1 else ()
        rows = [(_counted((each.task,), 0, len(each)), colour_of(task, 0)) for task, each in enumerate(several)]
    h, w = shape[:2]
    most = max(1, int(h * _LEGEND) // height)
    if len(rows) > most:
        rows[most - 1 :] = [(plain(f"and {len(rows) - most + 1} more"), BLACK)]
    width = min(w, max((written(text, style.letters).shape[1] for text, _ in rows), default=0) + 2 * _pad(style))
    block = free.corner(width, min(len(rows) * height, h))
    for place, (text, colour) in enumerate(rows):
        top = block.y2 - (len(rows) - place) * height
        yield text, colour, Area(block.x1, max(top, 0), block.x2, max(top + height, 0))


def _class_rows(found: Sequence[Detections]) -> Iterator[tuple[Runs, Colour]]:
    """The classes of each task that were found, by their number in it."""
    for task, detections in enumerate(found):
        own = (*spelled((detections.task,))[0], *plain(": ")) if len(found) > 1 else ()
        for class_id, count in sorted(Counter(detections.class_ids.tolist()).items()):
            colour = _class_colour(task, class_id, len(found))
            yield (*own, *_counted(detections.names, class_id, count)), colour


def _counted(names: tuple[str, ...], place: int, count: int) -> Runs:
    return (*spelled(names)[place], *plain(f": {count}"))
