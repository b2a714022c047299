"""Boxes and labels in a picture."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from conftest import growth

from darkshare.errors import BadValue
from darkshare.inference import draw as drawing
from darkshare.inference.boxes import Detections
from darkshare.inference.draw import HUES, Style, annotate, colour_of
from darkshare.inference.placing import Area, Free

MANY = tuple(map(str, range(40)))
NAMES = ("person", "car", "license plate")


def found(boxes, task="test", names=NAMES, class_ids=None) -> Detections:
    n = len(boxes)
    ids = np.arange(n) % len(names) if class_ids is None else np.array(class_ids)
    scores = np.linspace(0.9, 0.5, n, dtype=np.float32)
    return Detections(np.array(boxes, np.float32).reshape(n, 4), scores, ids.astype(np.intp), names, task)


@pytest.fixture
def places(monkeypatch):
    """The areas that labels were written on, in the order of writing, the legend first."""
    taken: list[Area] = []
    write = drawing._write

    def noted(canvas, text, colour, area, style):
        taken.append(area)
        return write(canvas, text, colour, area, style)

    monkeypatch.setattr(drawing, "_write", noted)
    return taken


def are_apart(places, size=(480, 640)) -> bool:
    covered = np.zeros(size, int)
    for place in places:
        covered[place.y1 : place.y2, place.x1 : place.x2] += 1
    return covered.max() <= 1


def test_the_picture_given_stays_as_it_is():
    image = np.full((200, 300, 3), 90, np.uint8)
    drawn = annotate(image, [found([[50, 60, 150, 160]])])
    assert (image == 90).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (drawn != 90).any()
    np.testing.assert_array_equal(annotate(image, [found([])]), image)


@pytest.mark.parametrize(("line_width", "thickness"), [(None, 1), (1, 1), (2, 2), (7, 7)])
def test_the_box_is_where_it_should_be(line_width, thickness):
    image = np.full((200, 300, 3), 90, np.uint8)
    drawn = annotate(image, [found([[50, 60, 150, 160]])], line_width=line_width)
    colour = colour_of(0, 0)
    for row in (drawn[100, 30:70], drawn[100, 130:170], drawn[140:180, 100]):
        assert (row == colour).all(axis=1).sum() == thickness
        assert (row == (255, 255, 255)).all(axis=1).sum() == 2  # a line of the opposite brightness on each side
    for x, y in ((50, 100), (149, 100), (100, 159)):
        assert tuple(drawn[y, x].tolist()) == colour
    assert (drawn[80:140, 60:140] == 90).all()  # the object itself can be seen
    assert (drawn[170:, 160:] == 90).all()


@pytest.mark.parametrize("box", [(100, 100, 110, 112), (100, 100, 104, 130), (100, 100, 101, 101)])
def test_lines_leave_the_inside_of_a_tiny_box_in_sight(box):
    x1, y1, x2, y2 = box
    drawn = annotate(np.full((1080, 1920, 3), 90, np.uint8), [found([box])], labels=False)
    assert (drawn[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] == 90).all()
    assert (drawn[y1, x1] == colour_of(0, 0)).all()
    assert (drawn != 90).any(axis=2).sum() == (x2 - x1 + 2) * (y2 - y1 + 2) - max(x2 - x1 - 2, 0) * max(y2 - y1 - 2, 0)


@pytest.mark.parametrize("size", [(60, 80), (200, 300), (1080, 1920)])
@pytest.mark.parametrize(
    "box", [(-50, -50, 20, 20), (0, 0, 5000, 5000), (70, 50, 500, 500), (-90, 190, -20, 220), (10, 10, 11, 11)]
)
def test_labels_lie_inside_the_picture(places, size, box):
    h, w = size
    annotate(np.zeros((h, w, 3), np.uint8), [found([box], names=("car",))])
    (place,) = places
    assert 0 <= place.x1 < place.x2 <= w
    assert 0 <= place.y1 < place.y2 <= h


@pytest.mark.parametrize(("count", "sides"), [(4, (150, 220)), (60, (20, 120)), (150, (4, 40))])
def test_labels_lie_on_no_other_label_nor_on_the_legend(places, count, sides):
    rng = np.random.default_rng(count)
    corners = rng.uniform(-20, 600, (count, 2))
    boxes = np.hstack([corners, corners + rng.uniform(*sides, (count, 2))])
    annotate(np.zeros((480, 640, 3), np.uint8), [found(boxes), found(boxes[:2], task="other")])
    assert 3 + min(count, 20) < len(places) <= count + 2 + 2  # with the legend of two tasks
    assert are_apart(places)


def test_an_infinite_score_is_not_written(places):
    one = found([[100, 100, 200, 200]])
    for score in (0.5, np.inf):
        annotate(np.zeros((480, 640, 3), np.uint8), [replace(one, scores=np.array([score], np.float32))])
    assert places[1].x2 - places[1].x1 < 0.8 * (places[0].x2 - places[0].x1)


def test_where_there_is_no_room_the_best_has_its_label(places):
    annotate(np.zeros((80, 100, 3), np.uint8), [found([[10, 30, 60, 60]] * 20, names=("car",))])
    assert places[0].x1 == 10
    assert places[0].y2 == 30  # above its box
    assert 1 <= len(places) < 20
    assert are_apart(places)


@pytest.mark.parametrize("size", [(60, 24), (9, 200)])
def test_a_label_that_fits_into_no_picture_is_left_off(places, size):
    annotate(np.zeros((*size, 3), np.uint8), [found([[2, 2, 20, 8]], names=("license plate",))])
    assert places == []


def test_a_picture_too_narrow_for_the_score_has_the_name(monkeypatch):
    texts = []
    monkeypatch.setattr(drawing, "_write", lambda canvas, text, *_: texts.append("".join(part for _, part in text)))
    for width in (100, 40):
        annotate(np.zeros((60, width, 3), np.uint8), [found([[2, 20, 20, 40]], names=("car",))])
    assert texts == ["car 0.90", "car"]


def test_no_labels_leaves_the_legend(places):
    image = np.zeros((480, 640, 3), np.uint8)
    annotate(image, [found([[100, 100, 200, 200]]), found([])], labels=False)
    assert len(places) == 2


def test_sizes_follow_the_picture():
    small, large = (Style.of(np.zeros((h, w, 3), np.uint8)) for h, w in ((80, 100), (2160, 3840)))
    assert small == (1, 10)
    assert large == (7, 46)
    assert Style.of(np.zeros((80, 100, 3), np.uint8), 3) == (3, 10)


@pytest.mark.parametrize("wrong", [{"line_width": 0}, {"line_width": -2}])
def test_a_line_has_a_width(wrong):
    with pytest.raises(BadValue, match=r"line_width=.* must be at least 1"):
        annotate(np.zeros((80, 100, 3), np.uint8), [], **wrong)


def test_classes_of_a_single_task_have_the_hues(places):
    image = np.full((200, 300, 3), 90, np.uint8)
    colours = [drawing._class_colour(0, class_id, 1) for class_id in range(21)]
    assert len(set(colours)) == 21
    drawn = annotate(image, [found([[50, 60, 150, 160]], class_ids=[1])])
    assert tuple(drawn[100, 50].tolist()) == colour_of(1, 0) == colours[1]


def test_each_task_has_its_own_family():
    families = [{colour_of(task, class_id) for class_id in range(6)} for task in range(len(HUES))]
    assert all(len(family) == 3 for family in families)
    assert len(set.union(*families)) == 3 * len(HUES)
    assert colour_of(0, 0) == HUES[0][::-1]  # OpenCV has blue first
    assert colour_of(len(HUES), 0) == colour_of(0, 0)


def _luminance(colour) -> float:
    """WCAG 2: relative luminance of blue, green, red."""
    linear = [v / 255 / 12.92 if v / 255 <= 0.03928 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in colour]
    return 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]


@pytest.mark.parametrize("task", range(len(HUES)))
@pytest.mark.parametrize("class_id", range(3))
def test_text_stands_out_from_its_ground(task, class_id):
    ground = colour_of(task, class_id)
    light, dark = sorted([_luminance(ground), _luminance(drawing._ink(ground))], reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 3  # WCAG's least for large text


def _seen_by(colour, kind: str) -> np.ndarray:
    """Colours as protanopes and deuteranopes see them (Vienot, Brettel and Mollon 1999), linear RGB."""
    if kind == "any":
        return np.array(colour[::-1], float)
    rgb = (np.array(colour[::-1]) / 255) ** 2.2
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    lms = to_lms @ rgb
    if kind == "protan":
        lms[0] = 2.02344 * lms[1] - 2.52581 * lms[2]
    else:
        lms[1] = 0.494207 * lms[0] + 1.24827 * lms[2]
    return np.clip(np.linalg.inv(to_lms) @ lms, 0, 1) ** (1 / 2.2) * 255


@pytest.mark.parametrize("kind", ["any", "protan", "deutan"])
def test_the_first_tasks_are_separated_by_everyone(kind):
    families = [[_seen_by(colour_of(task, shade), kind) for shade in range(3)] for task in range(4)]
    for one, two in itertools.combinations(families, 2):
        assert np.linalg.norm(one[0] - two[0]) > 70  # the hues themselves
        assert min(np.linalg.norm(a - b) for a in one for b in two) > 35  # any shade of them


def test_time_grows_with_the_boxes_and_no_faster():
    image = np.zeros((600, 800, 3), np.uint8)

    def prepared(count):
        boxes = np.random.default_rng(0).uniform(0, 600, (count, 4))
        return lambda: annotate(image, [found(boxes)])

    assert growth(prepared, 150) < 8


def test_the_legend_counts_each_task(places):
    image = np.zeros((480, 640, 3), np.uint8)
    one, none = found([[100, 100, 200, 200]], task="coco"), found([], task="plates")
    drawn = annotate(image, [one, none])
    assert {place.y2 for place in places} >= {480}
    assert tuple(drawn[479, 0].tolist()) == colour_of(1, 0)
    annotate(image, [one])
    assert len(places) == 2 + 1 + 1  # a single task needs no legend


@pytest.mark.parametrize(
    ("boxes", "corner"),
    [
        ([[0, 0, 640, 480]], (0, 480)),  # hides little of so large a box
        ([[4, 440, 60, 476]], (640, 480)),
        ([[4, 440, 60, 476], [580, 440, 636, 476]], (0, 0)),
        ([[4, 440, 60, 476], [580, 440, 636, 476], [2, 2, 70, 30]], (640, 0)),
        ([[4, 440, 60, 476], [560, 2, 620, 40], [4, 460, 40, 479], [580, 440, 640, 480], [2, 2, 630, 470]], (0, 0)),
    ],
)
def test_the_legend_lies_in_a_corner_where_it_hides_little(places, boxes, corner):
    annotate(np.zeros((480, 640, 3), np.uint8), [found(boxes), found([], task="plates")], labels=False)
    x, y = corner
    assert x in {side for place in places for side in (place.x1, place.x2)}
    assert y in {side for place in places for side in (place.y1, place.y2)}


@pytest.mark.parametrize(
    ("found_in", "rows"),
    [
        ([found([[100, 100, 200, 200]] * 4)], ["person: 2", "car: 1", "license plate: 1"]),
        ([found([]), found([[1, 1, 9, 9]], task="ab", names=("cap",))], ["ab: cap: 1"]),
        ([found([])], []),
        ([found([[1, 1, 9, 9]] * 40, names=MANY)], [*(f"{name}: 1" for name in MANY[:8]), "and 32 more"]),
    ],
)  # fmt: skip
def test_the_legend_counts_each_class_on_demand(found_in, rows):
    image = np.zeros((240, 320, 3), np.uint8)
    style = Style.of(image)
    legend = list(drawing._legend(found_in, Free((320, 240), [], 16), style, 16, image.shape, classes=True))
    assert ["".join(part for _, part in text) for text, _, _ in legend] == rows
    assert are_apart([area for _, _, area in legend], (240, 320))
    assert all(area.y2 <= 240 for _, _, area in legend)
