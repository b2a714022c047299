"""Evaluations as rows, JSON, curves and figures."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from synthetic import crowded, evaluated

from darkshare.errors import DarkshareError
from darkshare.evaluation import (
    Evaluations,
    TaskEvaluation,
)
from darkshare.evaluation.accuracy import ALL
from darkshare.evaluation.chart import _grid


def compared(pictures: int = 5) -> TaskEvaluation:
    found, truths = crowded(7, pictures, 2)
    own = evaluated(found, truths, ("a", "b"), pictures)
    other = evaluated(found[::2], truths, ("a", "b"), pictures)
    return TaskEvaluation((own,), (other,), "both.cfg", "alone.cfg")


def test_rows_have_the_difference_and_name_rule_and_iou():
    one = compared()
    rows = Evaluations((one,)).rows()
    assert [row["class"] for row in rows] == ["a", "b", ALL]
    for row in rows:
        assert row["darknet_ap50_difference"] == row["darknet_ap50"] - row["darknet_ap50_beside"]
    assert rows[-1]["darknet_ap50"] == one.own[0].mean
    assert rows[-1]["truths"] == one.own[0].truths == rows[0]["truths"] + rows[1]["truths"]
    parsed = json.loads(json.dumps(Evaluations((one,)).as_dict()))["tasks"][0]
    assert parsed["own"][0]["map"] == one.own[0].mean
    assert parsed["own"][0]["rule"]["points"] == 0


def test_a_table_has_the_rule_in_every_row():
    table = compared().own[0].to_dataframe()
    assert list(table["name"]) == ["a", "b"]
    assert set(table["rule"]) == {"Darknet's rule: area under the curve, IoU > 0.50, all classes"}


def test_curve_rows_hold_what_ap_is_made_of():
    one = compared()
    rows = [row for row in Evaluations((one,)).curves().rows() if row["model"] == "both.cfg" and row["class"] == "a"]
    steps = np.diff([0, *(row["recall"] for row in rows)])
    assert (steps * [row["envelope"] for row in rows]).sum() == pytest.approx(one.own[0].classes[0].ap)


def test_curves_are_drawn_one_panel_a_class(tmp_path):
    Evaluations((compared(), TaskEvaluation(compared().own))).plot(tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text()
    assert text.count("<!-- recall -->") == 2 * 2
    Evaluations((compared(),)).plot(tmp_path / "curves.png")
    image = cv2.imread(str(tmp_path / "curves.png"))
    blue, orange = (0xB2, 0x72, 0x00), (0x00, 0x9F, 0xE6)  # as BGR: Okabe and Ito
    for colour in (blue, orange):
        assert (image == colour).all(axis=2).sum() > 50


@pytest.mark.parametrize(
    ("panels", "most", "grid"),
    [(0, 3, (1, 1)), (1, 2, (1, 1)), (3, 3, (1, 3)), (4, 3, (2, 2)), (5, 3, (2, 3)), (100, 13, (8, 13))],
)
def test_panels_leave_little_empty(panels, most, grid):
    assert _grid(panels, most) == grid


def test_there_must_be_something_to_draw(tmp_path):
    with pytest.raises(DarkshareError, match="no class has truths"):
        Evaluations((TaskEvaluation((evaluated([], []),)),)).plot(tmp_path / "x.png")
