"""Average precision by Darknet's rule: against Darknet's own, and what can be worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import growth
from hypothesis import given
from hypothesis import strategies as st
from synthetic import SIZE, crowded, dataset, detections, evaluated, names_of, require_a_tool

from darkshare.errors import BadValue
from darkshare.evaluation import (
    Evaluations,
    TaskEvaluation,
    evaluate_detections,
)
from darkshare.evaluation.arrays import ranked, truths_of
from darkshare.evaluation.curves import average_precision, curve
from darkshare.evaluation.matching import coco_hits, darknet_hits

# What AlexeyAB's `detector map` prints for boxes and labels that were made for it (its own matching and AP code; the
# boxes replaced those of a network).
GOLDEN = json.loads((Path(__file__).parents[1] / "fixtures" / "evaluation" / "darknet_map.json").read_text())


@pytest.mark.parametrize(
    ("case", "run"), [(name, run) for name, one in GOLDEN.items() for run in one["runs"]],
    ids=lambda value: value if isinstance(value, str) else f"{value['points']}-{value['iou']}",
)  # fmt: skip
def test_darknet_prints_the_same(case, run):
    made = GOLDEN[case]
    names = names_of(made["classes"])
    how = {"points": run["points"], "iou": run["iou"]}
    found = evaluated(made["detections"], made["truths"], names, made["pictures"], **how)
    assert found.mean == pytest.approx(run["map"], abs=6e-7)
    assert [100 * one.ap for one in found.classes] == pytest.approx(run["ap"], abs=6e-3)
    if case != "hard":  # Darknet counts detections on difficult truths as wrong in this block, though not in AP
        assert [one.at.tp for one in found.classes] == run["tp"]
        assert [one.at.fp for one in found.classes] == run["fp"]
        tp, fp, fn, iou, precision, recall, f1 = run["at_025"]
        at = found.at
        assert (at.tp, at.fp, at.fn) == (tp, fp, fn)
        assert [100 * at.average_iou, at.precision, at.recall, at.f1] == pytest.approx(
            [iou, precision, recall, f1], abs=6e-3
        )


def test_the_last_bit_of_a_recall_counts_as_in_darknet():
    """3 hits of 10 truths reach the recalls 0, .1 and .2, but not 3 * .1, which is a bit more than 3 / 10."""
    hits = curve(np.array([0.9, 0.8, 0.7]), np.ones(3, bool), 10)
    assert average_precision(hits, 11) == pytest.approx(3 / 11)


def test_average_precision_by_hand():
    """Right, wrong, right of 2 truths: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1."""
    drawn = curve(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2)
    assert drawn.precision.tolist() == [1, 0.5, pytest.approx(2 / 3)]
    assert drawn.recall.tolist() == [0.5, 0.5, 1]
    assert average_precision(drawn, 0) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision(drawn, 11) == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert average_precision(drawn, 101) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_second_detection_of_a_truth_is_wrong_even_beside_a_free_one():
    """Two truths that overlap by 2/3; both detections lie nearer to the first. COCO gives the second to the other."""
    truths = [(0, 0, 0.5, 0.5, 0.2, 0.2, 0), (0, 0, 0.54, 0.5, 0.2, 0.2, 0)]
    found = [(0, 0, 0.9, 0.5, 0.5, 0.2, 0.2), (0, 0, 0.8, 0.51, 0.5, 0.2, 0.2)]
    assert evaluated(found, truths).at[3:6] == (1, 1, 1)
    require_a_tool()
    assert evaluated(found, truths, rule="coco").at[3:6] == (2, 0, 0)


def test_exactly_half_is_no_hit_for_darknet_and_one_for_coco():
    truths, found = [(0, 0, 0.5, 0.5, 0.5, 0.5, 0)], [(0, 0, 0.9, 0.5, 0.5, 0.5, 0.25)]
    assert evaluated(found, truths).at.tp == 0
    require_a_tool()
    assert evaluated(found, truths, rule="coco").at.tp == 1


@pytest.mark.parametrize("rule", ["darknet", "coco"])
def test_detections_on_difficult_truths_do_not_count(rule):
    if rule == "coco":
        require_a_tool()
    truths = [(0, 0, 0.2, 0.5, 0.2, 0.2, 0), (0, 0, 0.8, 0.5, 0.2, 0.2, 1)]
    found = [(0, 0, s, x, 0.5, 0.2, 0.2) for s, x in ((0.9, 0.8), (0.8, 0.8), (0.7, 0.2), (0.6, 0.5))]
    made = evaluated(found, truths, rule=rule)
    assert made.at[3:6] == (1, 1, 0)
    assert (made.mean, made.truths, made.classes[0].detections) == (1, 1, 2)


@pytest.mark.parametrize("rule", ["darknet", "coco"])
def test_classes_without_truths(rule):
    """They have an AP of 0 in Darknet's mean, and are left out of COCO's."""
    if rule == "coco":
        require_a_tool()
    found = evaluated([(0, 0, 0.9, 0.5, 0.5, 0.2, 0.2)], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)], ("a", "b"), rule=rule)
    assert [one.ap for one in found.classes] == [1, 0 if rule == "darknet" else None]
    assert found.mean == (0.5 if rule == "darknet" else 1)


@given(st.integers(0, 10**6))
def test_perfect_detections_have_an_ap_of_1(seed):
    _, truths = crowded(seed, 3, 2)
    rows = [(at, c, 0.9, *place) for at, c, *place, _ in truths]
    for points in (0, 11, 101):
        found = evaluated(rows, truths, names_of(2), 3, points=points)
        assert [one.ap for one in found.classes] == [pytest.approx(float(one.truths > 0)) for one in found.classes]
        assert found.at.fp == found.at.fn == 0


@given(st.integers(0, 10**6), st.sampled_from(["darknet", "own coco"]))
def test_neither_the_order_of_pictures_nor_that_of_boxes_matters(seed, rule):
    found, truths = crowded(seed, 4, 2)
    rng = np.random.default_rng(seed)
    found = [(at, c, 0.1 + 0.8 * i / len(found), *place) for i, (at, c, _, *place) in enumerate(found)]
    totals = []
    for pictures, rows, labels in (
        (np.arange(4), found, truths),
        (rng.permutation(4), [found[i] for i in rng.permutation(len(found))], truths[::-1]),
    ):
        moved = [(int(pictures[at]), *rest) for at, *rest in rows]
        data = dataset([(int(pictures[at]), *rest) for at, *rest in labels], 4, names_of(2))
        flat = ranked(detections(moved, 4, names_of(2)), [SIZE] * 4)
        hits = (darknet_hits if rule == "darknet" else coco_hits)(flat, truths_of(data.samples, (0, 1)), 0.5)
        totals.append((flat.scores.tolist(), hits.hit.tolist(), hits.overlap.round(5).tolist()))
    assert totals[0] == totals[1]


@given(st.integers(0, 10**6))
def test_a_wrong_box_more_never_helps_and_a_copy_of_each_box_is_wrong(seed):
    found, truths = crowded(seed, 3, 1)
    truths = [*truths, (0, 0, 0.5, 0.5, 0.2, 0.2, 0)]
    before = evaluated(found, truths, pictures=3)
    wrong = evaluated([*found, (1, 0, 0.995, 3, 3, 0.1, 0.1)], truths, pictures=3)
    assert wrong.mean <= before.mean
    doubled = evaluated(found + found, truths, pictures=3, thresh=0)
    once = evaluated(found, truths, pictures=3, thresh=0)
    assert (doubled.at.tp, doubled.at.fp) == (once.at.tp, once.at.fp + len(found))


def test_no_detections_at_all():
    found = evaluated([], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)])
    assert (found.mean, found.at) == (0, (0, 0, 0, 0, 0, 1, 0))
    assert not Evaluations((TaskEvaluation((found,)),)).curves().rows()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"rule": "voc"}, "there is no rule voc"),
        ({"rule": "coco", "points": 11}, "101 points"),
        ({"rule": "coco", "iou": 0.52}, r"0\.95"),
        ({"points": 1}, "at least 2"),
        ({"iou": 0.0}, "between 0 and 1"),
    ],
)
def test_a_rule_that_is_none(how, says):
    with pytest.raises(BadValue, match=says):
        evaluated([], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)], **how)


def test_lists_that_do_not_fit():
    data = dataset([], 2, ("a",))
    with pytest.raises(BadValue, match="2 pictures, but there are 1 detections, 2 sizes"):
        evaluate_detections(detections([], 1, ("a",)), data, [SIZE] * 2)
    with pytest.raises(BadValue, match="no pictures"):
        evaluate_detections([], dataset([], 0, ("a",)), [])
    two = [*detections([], 1, ("a",)), replace(detections([], 1, ("a",))[0], task="other")]
    with pytest.raises(BadValue, match="several tasks: other, task"):
        evaluate_detections(two, data, [SIZE] * 2)
    broken = detections([(0, 0, float("nan"), 0.5, 0.5, 0.1, 0.1)], 2, ("a",))
    with pytest.raises(BadValue, match="not numbers"):
        evaluate_detections(broken, data, [SIZE] * 2)


def test_time_grows_with_the_pictures_and_no_faster():
    """From 2500 pictures to 10 000 with 60 000 detections of 80 classes."""
    found, truths = crowded(9, 100, 80, many=4)
    names = names_of(80)
    once = detections(found, 100, names)
    data = dataset(truths, 100, names)

    def prepared(times):
        big = replace(data, samples=data.samples * times)
        return lambda: evaluate_detections(once * times, big, [SIZE] * 100 * times)

    assert prepared(50)().pictures == 5000
    assert growth(prepared, 25) < 8
