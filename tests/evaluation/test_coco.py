"""Average precision by COCO's rule, against COCO's tools."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from synthetic import crowded, evaluated, names_of, require_a_tool

from darkshare.errors import DarkshareWarning, Unsupported
from darkshare.evaluation import (
    coco,
)


def library(name: str, monkeypatch) -> None:
    """Let COCO's rule be counted by this tool alone."""
    pytest.importorskip(coco.TOOLS[name][0])
    monkeypatch.setattr(coco, "TOOLS", {name: coco.TOOLS[name]})


@pytest.mark.parametrize("tool", list(coco.TOOLS))
@pytest.mark.parametrize(("seed", "hard", "many"), [(1, 0, 6), (2, 0.3, 6), (3, 0.1, 20), (4, 0, 2)])
@pytest.mark.parametrize("iou", [0.5, 0.55, 0.75, 0.95])
def test_cocos_tools_count_as_we_do(tool, seed, hard, many, iou, monkeypatch):
    """A difference would be a warning, and so an error here."""
    library(tool, monkeypatch)
    found, truths = crowded(seed, 30, 3, hard=hard, many=many)
    made = evaluated(found, truths, names_of(3), 30, rule="coco", iou=iou)
    assert made.coco.tool.startswith(f"{tool} ")
    assert repr(made.coco).startswith(f"<CocoSummary: {made.coco.tool}: AP ")
    place = round((iou - 0.5) / 0.05)
    theirs = [made.coco.average_precision(one.class_id, place) for one in made.classes]
    assert [one.ap for one in made.classes] == pytest.approx(theirs, abs=1e-9)
    assert 0.05 < made.coco.numbers["AP50"] < 0.95
    if iou == 0.5:
        assert made.mean == pytest.approx(made.coco.numbers["AP50"], abs=1e-9)


@pytest.mark.parametrize("tool", list(coco.TOOLS))
def test_only_the_best_hundred_of_a_picture_and_class_count(tool, monkeypatch):
    library(tool, monkeypatch)
    wrong = [(0, 0, 0.9 - i / 1000, 0.1, 0.1, 0.05, 0.05) for i in range(100)]
    truths = [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)]
    last = (0, 0, 0.1, 0.5, 0.5, 0.2, 0.2)
    assert evaluated([*wrong, last], truths, rule="coco").mean == 0
    assert evaluated([*wrong[1:], last], truths, rule="coco").mean == pytest.approx(0.01)


def test_a_tool_that_counts_otherwise_is_a_warning(monkeypatch):
    require_a_tool()
    monkeypatch.setattr(coco.CocoSummary, "average_precision", lambda self, class_id, iou=None: 0.25)
    with pytest.warns(DarkshareWarning, match="gives class a an AP of 0.25, but counted again it is"):
        evaluated([(0, 0, 0.9, 0.5, 0.5, 0.2, 0.2)], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)], rule="coco")


def test_without_a_tool_the_error_names_the_extra(monkeypatch):
    for package, *_ in coco.TOOLS.values():
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.setitem(sys.modules, f"{package}.coco", None)
    with pytest.raises(Unsupported, match=r"darkshare\[coco\]"):
        evaluated([], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)], rule="coco")


def test_both_rules_agree_on_ap_where_nothing_crowds():
    require_a_tool()
    rng = np.random.default_rng(0)
    truths = [(i, 0, 0.5, 0.5, 0.3, 0.3, 0) for i in range(40)]
    found = [(i, 0, s, 0.5 + d, 0.5, 0.3, 0.3) for i, (s, d) in enumerate(rng.uniform(0, (1, 0.2), (40, 2)))]
    darknet = evaluated(found, truths, pictures=40, points=101)
    assert 0.2 < darknet.mean < 0.9
    assert evaluated(found, truths, pictures=40, rule="coco").mean == pytest.approx(darknet.mean, abs=1e-9)
