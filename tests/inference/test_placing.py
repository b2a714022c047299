"""Places for labels: order, room, lines."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from darkshare.inference.placing import Area, Free, LabelPlace

BOX = Area(100, 100, 200, 180)
WIDE, HIGH = 45, 20  # of the labels


def free(*boxes: Area) -> Free:
    return Free((300, 300), boxes, HIGH)


def test_places_are_tried_in_order():
    room = free(BOX)
    found = [room.place(BOX, WIDE, HIGH) for _ in range(9)]
    assert [place.area[:2] for place in found if place] == [
        (100, 80), (155, 80), (100, 180), (155, 180),  # above, below: left, right
        (100, 100), (155, 100), (100, 160), (155, 160), (200, 100),  # inside, beside
    ]  # fmt: skip
    assert all(place and place.line is None for place in found)


@pytest.mark.parametrize(
    ("box", "start"),
    [
        (Area(0, 0, 30, 12), (0, 12)),  # at the top it would hide the box
        (Area(0, 5, 100, 80), (0, 0)),
        (Area(0, 0, 300, 300), (0, 0)),
        (Area(280, 290, 300, 300), (255, 270)),
    ],
)
def test_what_would_lie_outside_is_moved_in(box, start):
    place = free(box).place(box, WIDE, HIGH)
    assert place is not None
    assert place.area == (*start, start[0] + WIDE, start[1] + HIGH)


def test_a_label_leaves_other_boxes_in_sight():
    tiny = Area(110, 85, 120, 95)  # where it would lie first
    place = free(BOX, tiny).place(BOX, WIDE, HIGH)
    assert place == LabelPlace(Area(155, 80, 200, 100))


@pytest.mark.parametrize("taken", [Area(0, 0, 300, 300), Area(0, 0, 300, 290)])
def test_without_room_there_is_no_place(taken):
    room = free(BOX)
    room.take(taken)
    assert room.place(BOX, WIDE, HIGH) is None


def test_a_small_box_has_its_label_led_out():
    room = free(small := Area(150, 150, 160, 160))
    for x, y in ((151, 145), (159, 145), (151, 165), (159, 165), (165, 155), (145, 155)):
        room.take(Area(x, y, x + 1, y + 1))  # above, below and beside it
    assert room.place(small, WIDE, HIGH) == LabelPlace(Area(132, 110, 177, 130), ((155, 129), (155, 150)))


def test_a_large_box_has_not():
    room = free(BOX)
    room.take(Area(BOX.x1 - 1, BOX.y1 - 1, BOX.x2 + 1, BOX.y2 + 1))
    assert room.place(BOX, WIDE, HIGH) is None


def test_lines_cross_no_label_and_no_other_line():
    rng = np.random.default_rng(0)
    boxes = [Area(x, y, x + 9, y + 9) for x, y in rng.integers(60, 240, (120, 2)).tolist()]
    room = free(*boxes)
    places = [place for box in boxes if (place := room.place(box, WIDE, HIGH))]
    assert sum(place.line is not None for place in places) > 5
    marks = np.zeros((300, 300), np.uint8)
    for place in places:
        own = np.zeros_like(marks)
        place.area.of(own)[:] = 1
        if place.line:
            cv2.line(own, *place.line, 1)
            own[place.line[1][::-1]] = 0  # at the box, where others may end
        marks += own
    assert marks.max() == 1
