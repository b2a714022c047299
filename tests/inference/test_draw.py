"""Boxes and labels in a picture."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from conftest import growth

from darkshare.inference import draw as drawing
from darkshare.inference.boxes import Detections
from darkshare.inference.draw import HUES, Area, Style, annotate, colour_of

NAMES = ("person", "car", "license plate")


def found(boxes, task="test", names=NAMES, class_ids=None) -> Detections:
    n = len(boxes)
    ids = np.arange(n) % len(names) if class_ids is None else np.array(class_ids)
    scores = np.linspace(0.9, 0.5, n, dtype=np.float32)
    return Detections(np.array(boxes, np.float32).reshape(n, 4), scores, ids.astype(np.intp), names, task)


@pytest.fixture
def places(monkeypatch):
    """The areas that labels were written on, in the order of writing."""
    taken: list[Area] = []
    write = drawing._write

    def noted(canvas, text, colour, place, style):
        taken.append(place)
        return write(canvas, text, colour, place, style)

    monkeypatch.setattr(drawing, "_write", noted)
    return taken


def test_the_picture_given_stays_as_it_is():
    image = np.full((200, 300, 3), 90, np.uint8)
    drawn = annotate(image, [found([[50, 60, 150, 160]])])
    assert (image == 90).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (drawn != 90).any()
    np.testing.assert_array_equal(annotate(image, [found([])]), image)


def test_the_box_is_where_it_should_be():
    image = np.full((200, 300, 3), 90, np.uint8)
    drawn = annotate(image, [found([[50, 60, 150, 160]])])
    colour = colour_of(0, 0)
    for x, y in ((50, 100), (149, 100), (100, 159)):
        assert tuple(drawn[y, x].tolist()) == colour
    assert (drawn[80:140, 60:140] == 90).all()  # the object itself can be seen
    assert (drawn[170:, 160:] == 90).all()


@pytest.mark.parametrize("size", [(60, 80), (200, 300), (1080, 1920)])
@pytest.mark.parametrize(
    "box", [(-50, -50, 20, 20), (0, 0, 5000, 5000), (70, 50, 500, 500), (-90, 190, -20, 220), (10, 10, 11, 11)]
)
def test_labels_lie_inside_the_picture(places, size, box):
    h, w = size
    annotate(np.zeros((h, w, 3), np.uint8), [found([box], names=("car",))])
    (place,) = places
    assert 0 <= place.x1 < place.x2
    assert 0 <= place.y1 < place.y2 <= h
    assert place.x2 <= w or place.x1 == 0  # only a text wider than the picture reaches beyond it


def test_labels_do_not_cover_each_other(places):
    boxes = [[100, 100, 300, 300], [105, 102, 310, 290], [98, 110, 290, 305], [102, 99, 305, 310]]
    annotate(np.zeros((480, 640, 3), np.uint8), [found(boxes), found(boxes[:2], task="other")])
    assert len(places) == 6 + 2  # with the legend of two tasks
    covered = np.zeros((480, 640), int)
    for place in places:
        covered[place.y1 : place.y2, place.x1 : place.x2] += 1
    assert covered.max() == 1


def test_the_best_label_is_written_last(places):
    """Where labels cannot help covering each other, the best stays readable."""
    boxes = [[10, 10, 60, 60]] * 20
    annotate(np.zeros((80, 100, 3), np.uint8), [found(boxes, names=("car",))])
    assert places[-1].x1 == 10


def test_sizes_follow_the_picture():
    small, large = (Style.of(np.zeros((h, w, 3), np.uint8)) for h, w in ((240, 320), (2160, 3840)))
    assert small == (2, 9)
    assert large.line >= 3 * small.line
    assert large.letters >= 4 * small.letters


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


def test_names_in_other_scripts_are_never_question_marks():
    text = drawing._printable("лицо", 3)
    assert text == ("лицо" if int(cv2.__version__[0]) > 4 else "class 3")
    assert drawing._printable("face", 3) == "face"


def test_time_grows_with_the_boxes_and_no_faster():
    image = np.zeros((600, 800, 3), np.uint8)

    def prepared(count):
        boxes = np.random.default_rng(0).uniform(0, 600, (count, 4))
        return lambda: annotate(image, [found(boxes)])

    assert growth(prepared, 500) < 8


def test_the_legend_counts_each_task(places):
    image = np.zeros((480, 640, 3), np.uint8)
    one, none = found([[100, 100, 200, 200]], task="coco"), found([], task="plates")
    drawn = annotate(image, [one, none])
    assert {place.y2 for place in places} >= {480}
    assert tuple(drawn[479, 0].tolist()) == colour_of(1, 0)
    annotate(image, [one])
    assert len(places) == 2 + 1 + 1  # a single task needs no legend
