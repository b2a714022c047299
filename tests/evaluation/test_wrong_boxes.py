"""Wrong boxes: as many as an evaluation counts, said in words, the worst pictures first."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import SIZE, crowded, evaluated, names_of, require_a_tool

from darkshare.evaluation.wrong_boxes import KINDS

TRUTHS = [
    (0, 0, 0.2, 0.5, 0.2, 0.4, 0), (0, 1, 0.7, 0.5, 0.2, 0.4, 0), (0, 0, 0.5, 0.1, 0.1, 0.1, 1),  # difficult
    (1, 0, 0.2, 0.5, 0.2, 0.4, 0), (1, 0, 0.7, 0.5, 0.2, 0.4, 0),
]  # fmt: skip
FOUND = [
    (0, 0, 0.9, 0.2, 0.5, 0.2, 0.4), (0, 0, 0.8, 0.2, 0.5, 0.2, 0.4),  # a hit, and once more
    (0, 0, 0.7, 0.7, 0.5, 0.2, 0.4),  # another class
    (0, 1, 0.6, 0.8, 0.5, 0.2, 0.4), (0, 1, 0.4, 0.45, 0.9, 0.1, 0.1),  # a third of it; nothing
    (1, 0, 0.2, 0.7, 0.5, 0.2, 0.4),  # a hit below the threshold
    (2, 0, 0.95, 0.5, 0.5, 0.2, 0.4),
]  # fmt: skip


def test_each_wrong_box_is_told():
    found = evaluated(FOUND, TRUTHS, ("a", "b"), pictures=4).wrong
    assert {one.picture.stem: dict(zip(KINDS, one.words, strict=True)) for one in found.worst(9)} == {
        "0": {
            "missed": "b",
            "false": "a 0.80, found twice; b 0.60, IoU 0.33 with b; b 0.40",
            "wrong class": "a 0.70, labelled b",
        },
        "1": {"missed": "2 × a", "false": "", "wrong class": ""},
        "2": {"missed": "", "false": "a 0.95", "wrong class": ""},
    }


def test_the_worst_of_each_kind_comes_first_and_has_its_boxes_in_pixels():
    found = evaluated(FOUND, TRUTHS, ("a", "b"), pictures=4).wrong
    assert [one.picture.stem for one in found.worst(9)] == ["1", "2", "0"]  # most misses, best score, other class
    (first,) = found.worst(1)
    missed, *others = first.boxes
    np.testing.assert_allclose(missed.boxes, np.array([[0.1, 0.3, 0.3, 0.7], [0.6, 0.3, 0.8, 0.7]]) * np.tile(SIZE, 2))
    assert missed.scores.tolist() == [np.inf] * 2
    assert [len(one) for one in others] == [0, 0]


@pytest.mark.parametrize("rule", ["darknet", "coco"])
def test_they_are_as_many_as_are_counted(rule):
    if rule == "coco":
        require_a_tool()
    boxes, truths = crowded(3, 20, 3, hard=0.2)
    found = evaluated(boxes, truths, names_of(3), pictures=20, rule=rule)
    assert len(found.wrong.found.scores) == found.at.fp > 20
    assert len(found.wrong.missed.pictures) == found.at.fn > 5
    worst = found.wrong.worst(20)
    assert sum(len(boxes) for one in worst for boxes in one.boxes) == len(found.wrong) == found.at.fp + found.at.fn
    assert all(bool(words) == bool(len(boxes)) for one in worst for words, boxes in zip(*one[:0:-1], strict=True))
