"""Places for labels: at their boxes or led out, over no other label, and over little of what is in the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_HIDDEN = 1 / 3  # of the boxes under a label, added up
_CELL = 6  # cells, in which that is counted, in the height of a label
_ARMS = (1.0, 2.5)  # heights of a label between it and the box that it is led out of

Point = tuple[int, int]


class Area(NamedTuple):
    """A rectangle of pixels; x2 and y2 are outside."""

    x1: int
    y1: int
    x2: int
    y2: int

    def of(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of a picture or mask that it covers, as a view."""
        return pixels[self.y1 : self.y2, self.x1 : self.x2]

    def nearest(self, x: int, y: int) -> Point:
        """Its point nearest to another."""
        return min(max(x, self.x1), self.x2 - 1), min(max(y, self.y1), self.y2 - 1)


class LabelPlace(NamedTuple):
    """The place of a label, and the line from its box where it lies apart."""

    area: Area
    line: tuple[Point, Point] | None = None


class Free:
    """The room in a picture.

    Args:
        size: width and height in pixels.
        boxes: all that are drawn, so that labels leave them in sight.
        cell: pixels to a side, in which it is counted what a label hides.
    """

    def __init__(self, size: tuple[int, int], boxes: Sequence[Area], label: int) -> None:
        self._w, self._h = size
        self._taken = np.zeros((self._h, self._w), np.uint8)
        self._cell = max(1, label // _CELL)
        self._shares = self._summed(np.array(boxes, np.intp).reshape(-1, 4))

    def take(self, area: Area) -> None:
        """Keep labels off an area."""
        area.of(self._taken)[:] = 1

    def corner(self, width: int, height: int) -> Area:
        """The place of a block of that size: the bottom left, or if too much is hidden there, the corner with least."""
        lefts, tops = (0, self._w - width), (self._h - height, 0)
        corners = [Area(x, y, x + width, y + height) for y in tops for x in lefts]
        first = corners[0]
        return first if self._hidden(first) <= _HIDDEN else min(corners, key=lambda one: round(self._hidden(one), 6))

    def place(self, box: Area, width: int, height: int) -> LabelPlace | None:
        """Find a place for the label of a box, and take it; None where there is not any.

        The first of these that is free: above it, below, inside, beside; last led out, if it is hardly larger.
        """
        import cv2

        for place in self._places(box, width, height):
            if not self._is_free(place):
                continue
            self.take(place.area)
            if place.line:
                cv2.line(self._taken, *place.line, 1, 3)  # so that none crosses it between two points
            return place
        return None

    def _places(self, box: Area, width: int, height: int) -> Iterator[LabelPlace]:
        """The places of a label in the order in which they are tried."""
        x1, y1, x2, y2 = box
        right, low = x2 - width, y2 - height
        above_below = ((x1, y1 - height), (right, y1 - height), (x1, y2), (right, y2))
        inside = ((x1, y1), (right, y1), (x1, low), (right, low))
        beside = ((x2, y1), (x1 - width, y1), (x2, low), (x1 - width, low))
        for x, y in (*above_below, *inside, *beside):
            yield LabelPlace(self._moved_in(x, y, width, height))
        if (x2 - x1) * (y2 - y1) > 2 * width * height:
            return
        middle = ((x1 + x2 - width) // 2, (y1 + y2 - height) // 2)
        for arm in _ARMS:
            off = round(arm * height)
            lefts, tops = (x1 - width - off, middle[0], x2 + off), (y1 - height - off, middle[1], y2 + off)
            for i, j in ((1, 0), (2, 0), (0, 0), (1, 2), (2, 2), (0, 2), (2, 1), (0, 1)):
                area = self._moved_in(lefts[i], tops[j], width, height)
                start = area.nearest((x1 + x2) // 2, (y1 + y2) // 2)
                yield LabelPlace(area, (start, box.nearest(*start)))

    def _moved_in(self, x: int, y: int, width: int, height: int) -> Area:
        x, y = max(0, min(x, self._w - width)), max(0, min(y, self._h - height))
        return Area(x, y, x + width, y + height)

    def _is_free(self, place: LabelPlace) -> bool:
        import cv2

        area = place.area
        if cv2.countNonZero(area.of(self._taken)) or self._hidden(area) > _HIDDEN:
            return False
        return place.line is None or not self._taken[_points(*place.line)].any()

    def _summed(self, boxes: NDArray[np.intp]) -> NDArray[np.float64]:
        """The shares of boxes left of and above each corner of a cell, added up: each box is 1 in all."""
        import cv2

        low, high = boxes[:, :2] // self._cell, -(-boxes[:, 2:] // self._cell)
        high = np.maximum(high, low + 1)
        share = 1 / (high - low).prod(axis=1)
        corners = np.zeros((self._h // self._cell + 2, self._w // self._cell + 2))
        for xs, ys, sign in ((low, low, 1), (high, high, 1), (high, low, -1), (low, high, -1)):
            np.add.at(corners, (ys[:, 1], xs[:, 0]), sign * share)
        shares = cv2.integral(corners)  # of each cell
        return np.asarray(cv2.integral(shares), np.float64)[1:, 1:]

    def _hidden(self, area: Area) -> float:
        """The shares of all boxes that an area hides, added up."""
        x1, y1, x2, y2 = ((side + self._cell // 2) // self._cell for side in area)
        sums = self._shares
        return float(sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1])


def _points(start: Point, end: Point) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the points of a line between its ends, which lie in the label and at the box."""
    (x1, y1), (x2, y2) = start, end
    steps = max(abs(x2 - x1), abs(y2 - y1), 1)
    share = np.arange(1, steps)
    return y1 + (y2 - y1) * share // steps, x1 + (x2 - x1) * share // steps
