"""Average precision against Darknet's own, COCO's tools, and what can be worked out by hand."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import growth, tiny_text, write_model, zoo_path
from hypothesis import given
from hypothesis import strategies as st
from models import model, quiet_concat, retrained

from darkshare import load
from darkshare.darknet.tasks import Task
from darkshare.data import Box, Classified, ClassifiedDataset, Dataset, Sample
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning, Unsupported
from darkshare.evaluation import (
    Evaluations,
    Runner,
    TaskEvaluation,
    coco,
    evaluate_detections,
    evaluate_guesses,
    evaluate_model,
)
from darkshare.evaluation.accuracy import ALL
from darkshare.evaluation.arrays import ranked, truths_of
from darkshare.evaluation.classes import match_classes
from darkshare.evaluation.curves import average_precision, curve
from darkshare.evaluation.matching import coco_hits, darknet_hits
from darkshare.inference.boxes import Detections

# What AlexeyAB's `detector map` prints for boxes and labels that were made for it (its own matching and AP code; the
# boxes replaced those of a network).
GOLDEN = json.loads((Path(__file__).parents[1] / "fixtures" / "evaluation" / "darknet_map.json").read_text())
SIZE = (100, 50)


def dataset(rows, pictures: int, names: tuple[str, ...]) -> Dataset:
    """Rows of picture, class, x, y, w, h, difficult."""
    boxes = [
        tuple(Box(int(c), x, y, w, h, bool(hard)) for at, c, x, y, w, h, hard in rows if at == i)
        for i in range(pictures)
    ]
    return Dataset("set", names, tuple(Sample(Path(f"{i}.png"), own) for i, own in enumerate(boxes)))


def detections(rows, pictures: int, names: tuple[str, ...]) -> list[Detections]:
    """Rows of picture, class, score, x, y, w, h."""
    found = []
    for picture in range(pictures):
        own = np.array([row for row in rows if row[0] == picture], np.float64).reshape(-1, 7)
        corners = np.concatenate([own[:, 3:5] - own[:, 5:] / 2, own[:, 3:5] + own[:, 5:] / 2], axis=1)
        boxes = (corners * np.tile(SIZE, 2)).astype(np.float32)
        found.append(Detections(boxes, own[:, 2].astype(np.float32), own[:, 1].astype(int), names, "task"))
    return found


def judged(found, labelled, names=("a",), pictures=1, **how):
    data = dataset(labelled, pictures, names)
    return evaluate_detections(detections(found, pictures, names), data, [SIZE] * pictures, **how)


def crowded(seed: int, pictures: int, classes: int, *, hard: float = 0.0, many: int = 6):
    """Truths that overlap each other, several detections of each, and noise; scores with ties."""
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for picture in range(pictures):
        for _ in range(rng.integers(0, many)):
            c, place = int(rng.integers(classes)), np.concatenate([rng.uniform(0.2, 0.8, 2), rng.uniform(0.05, 0.3, 2)])
            for shift in (0, 0.3)[: rng.integers(1, 3)]:
                own = place + np.array([shift * place[2], 0, 0, -0.1 * shift * place[3]])
                truths.append((picture, c, *own, rng.random() < hard))
                for _ in range(rng.integers(0, 4)):
                    moved = own + rng.normal(0, 0.15, 4) * own[[2, 3, 2, 3]]
                    found.append((picture, c, round(rng.uniform(0.01, 1), 2), *moved[:2], *np.abs(moved[2:])))
        for _ in range(rng.poisson(3)):
            place = np.concatenate([rng.uniform(0, 1, 2), rng.uniform(0.05, 0.5, 2)])
            found.append((picture, int(rng.integers(classes)), round(rng.uniform(0.01, 1), 2), *place))
    return found, truths


def require_a_tool() -> None:
    """Skip where none of COCO's tools is installed."""
    try:
        coco.require_tool()
    except Unsupported as error:
        pytest.skip(str(error))


def names_of(classes: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(classes))


# Darknet's rule


@pytest.mark.parametrize(
    ("case", "run"), [(name, run) for name, one in GOLDEN.items() for run in one["runs"]],
    ids=lambda value: value if isinstance(value, str) else f"{value['points']}-{value['iou']}",
)  # fmt: skip
def test_darknet_prints_the_same(case, run):
    made = GOLDEN[case]
    names = names_of(made["classes"])
    how = {"points": run["points"], "iou": run["iou"]}
    found = judged(made["detections"], made["truths"], names, made["pictures"], **how)
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
    assert judged(found, truths).at[3:6] == (1, 1, 1)
    require_a_tool()
    assert judged(found, truths, rule="coco").at[3:6] == (2, 0, 0)


def test_exactly_half_is_no_hit_for_darknet_and_one_for_coco():
    truths, found = [(0, 0, 0.5, 0.5, 0.5, 0.5, 0)], [(0, 0, 0.9, 0.5, 0.5, 0.5, 0.25)]
    assert judged(found, truths).at.tp == 0
    require_a_tool()
    assert judged(found, truths, rule="coco").at.tp == 1


@pytest.mark.parametrize("rule", ["darknet", "coco"])
def test_detections_on_difficult_truths_do_not_count(rule):
    if rule == "coco":
        require_a_tool()
    truths = [(0, 0, 0.2, 0.5, 0.2, 0.2, 0), (0, 0, 0.8, 0.5, 0.2, 0.2, 1)]
    found = [(0, 0, s, x, 0.5, 0.2, 0.2) for s, x in ((0.9, 0.8), (0.8, 0.8), (0.7, 0.2), (0.6, 0.5))]
    made = judged(found, truths, rule=rule)
    assert made.at[3:6] == (1, 1, 0)
    assert (made.mean, made.truths, made.classes[0].detections) == (1, 1, 2)


@pytest.mark.parametrize("rule", ["darknet", "coco"])
def test_classes_without_truths(rule):
    """They have an AP of 0 in Darknet's mean, and are left out of COCO's."""
    if rule == "coco":
        require_a_tool()
    found = judged([(0, 0, 0.9, 0.5, 0.5, 0.2, 0.2)], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)], ("a", "b"), rule=rule)
    assert [one.ap for one in found.classes] == [1, 0 if rule == "darknet" else None]
    assert found.mean == (0.5 if rule == "darknet" else 1)


@given(st.integers(0, 10**6))
def test_perfect_detections_have_an_ap_of_1(seed):
    _, truths = crowded(seed, 3, 2)
    rows = [(at, c, 0.9, *place) for at, c, *place, _ in truths]
    for points in (0, 11, 101):
        found = judged(rows, truths, names_of(2), 3, points=points)
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
    before = judged(found, truths, pictures=3)
    wrong = judged([*found, (1, 0, 0.995, 3, 3, 0.1, 0.1)], truths, pictures=3)
    assert wrong.mean <= before.mean
    doubled = judged(found + found, truths, pictures=3, thresh=0)
    once = judged(found, truths, pictures=3, thresh=0)
    assert (doubled.at.tp, doubled.at.fp) == (once.at.tp, once.at.fp + len(found))


def test_no_detections_at_all():
    found = judged([], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)])
    assert (found.mean, found.at) == (0, (0, 0, 0, 0, 0, 1, 0))
    assert not Evaluations((TaskEvaluation((found,)),)).curves().rows()


# COCO's rule


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
    made = judged(found, truths, names_of(3), 30, rule="coco", iou=iou)
    assert made.coco.tool.startswith(f"{tool} ")
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
    assert judged([*wrong, last], truths, rule="coco").mean == 0
    assert judged([*wrong[1:], last], truths, rule="coco").mean == pytest.approx(0.01)


def test_a_tool_that_counts_otherwise_is_told(monkeypatch):
    require_a_tool()
    monkeypatch.setattr(coco.CocoSummary, "average_precision", lambda self, class_id, iou=None: 0.25)
    with pytest.warns(DarkshareWarning, match="gives class a an AP of 0.25, but counted again it is"):
        judged([(0, 0, 0.9, 0.5, 0.5, 0.2, 0.2)], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)], rule="coco")


def test_without_a_tool_the_error_names_the_extra(monkeypatch):
    for package, *_ in coco.TOOLS.values():
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.setitem(sys.modules, f"{package}.coco", None)
    with pytest.raises(Unsupported, match=r"darkshare\[coco\]"):
        judged([], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)], rule="coco")


def test_both_rules_agree_on_ap_where_nothing_crowds():
    require_a_tool()
    rng = np.random.default_rng(0)
    truths = [(i, 0, 0.5, 0.5, 0.3, 0.3, 0) for i in range(40)]
    found = [(i, 0, s, 0.5 + d, 0.5, 0.3, 0.3) for i, (s, d) in enumerate(rng.uniform(0, (1, 0.2), (40, 2)))]
    darknet = judged(found, truths, pictures=40, points=101)
    assert 0.2 < darknet.mean < 0.9
    assert judged(found, truths, pictures=40, rule="coco").mean == pytest.approx(darknet.mean, abs=1e-9)


# what cannot be evaluated


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
        judged([], [(0, 0, 0.5, 0.5, 0.2, 0.2, 0)], **how)


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


# classes


def matched(names, given, by_order=False, **renamed):
    return match_classes("task", names, "data", given, renamed, by_order=by_order)


def test_classes_are_matched_by_name():
    assert matched(("a", "b"), ("a", "b")) == ((0, 1), ())
    classes, (note,) = matched(("a", "b"), ("b", "a"))
    assert classes == (1, 0)
    assert "another order" in note
    classes, (note,) = matched(("a", "b", "c"), ("c",))
    assert classes == (2,)
    assert note == "data has no labels for a, b of task, which do not count"


def test_a_class_that_the_task_does_not_know_is_never_guessed():
    with pytest.raises(BadValue, match=r"does not know: Person; task has person: say which.*--map 'Person=person'"):
        matched(("person",), ("Person",))
    with pytest.raises(BadValue, match="task has no class human; it has person"):
        matched(("person",), ("Person",), Person="human")
    with pytest.raises(BadValue, match="data has no class persno to be counted otherwise; it has person"):
        matched(("person",), ("person",), persno="")
    with pytest.raises(BadValue, match="several classes called a"):
        matched(("a", "a"), ("a",))


def test_classes_can_be_mapped_merged_and_left_out():
    classes, notes = matched(
        ("vehicle", "person"), ("car", "bus", "person", "tree"), car="vehicle", bus="vehicle", tree=""
    )
    assert classes == (0, 0, 1, -1)
    assert notes == ("tree of data is left out", "counted under another name: car as vehicle, bus as vehicle")


def test_classes_can_be_matched_by_order_if_somebody_says_so():
    classes, notes = matched(("a", "b"), ("x", "b"), by_order=True)
    assert (classes, notes) == ((0, 1), ("x is counted as a",))
    with pytest.raises(BadValue, match="2 classes and data has 1"):
        matched(("a", "b"), ("x",), by_order=True)


def test_the_classes_of_the_data_set_are_counted_as_those_of_the_task():
    truths = [(0, 0, 0.2, 0.5, 0.2, 0.2, 0), (0, 1, 0.8, 0.5, 0.2, 0.2, 0), (0, 2, 0.5, 0.5, 0.2, 0.2, 0)]
    found = [(0, 1, 0.9, 0.2, 0.5, 0.2, 0.2), (0, 0, 0.9, 0.8, 0.5, 0.2, 0.2), (0, 2, 0.9, 0.1, 0.1, 0.1, 0.1)]
    made = evaluate_detections(
        detections(found, 1, ("a", "b", "z")), dataset(truths, 1, ("b", "a", "x")), [SIZE], map={"x": ""}
    )
    assert [(one.class_id, one.name, one.ap) for one in made.classes] == [(0, "a", 1), (1, "b", 1)]
    assert made.mean == 1
    assert len(made.remarks) == 3


# models


def drawn(folder: Path, seed: int, sizes) -> list[Path]:
    """Pictures of noise, so that a network with random weights finds something."""
    rng = np.random.default_rng(seed)
    paths = []
    for at, (w, h) in enumerate(sizes):
        noise = rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)
        paths.append(folder / f"{at}.png")
        cv2.imwrite(str(paths[-1]), cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC))
    return paths


def labelled_by(detector_model, paths, task=None, lowest=0.5, **how) -> Dataset:
    """A data set whose labels are what the model itself finds."""
    names = next(t.names for t in detector_model.tasks if task in (None, t.name))
    empty = Dataset("own", names, tuple(Sample(path, ()) for path in paths))
    seen = Runner.of(detector_model, lowest=lowest, **how).detect_dataset(empty, task)
    samples = []
    for path, found, (w, h) in zip(paths, seen.detections, seen.sizes, strict=True):
        places = [
            ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h) for _, _, (x1, y1, x2, y2) in found
        ]
        boxes = [Box(int(c), *place) for c, place in zip(found.class_ids, places, strict=True)]
        samples.append(Sample(path, tuple(boxes)))
    return Dataset("own", names, tuple(samples))


@pytest.mark.parametrize("letterbox", [0, 1])
def test_a_model_agrees_with_its_own_boxes(letterbox, tmp_path):
    text = tiny_text().replace("channels=3", f"channels=3\nletter_box={letterbox}")
    own = model(text)
    data = labelled_by(own, drawn(tmp_path, 1, [(64, 40), (40, 64), (32, 32)]), lowest=0.2)
    assert sum(len(sample.boxes) for sample in data.samples) > 20
    found = evaluate_model(own, data, batch=2, lowest=0.2)
    assert found.mean == pytest.approx(1)
    how = "letterboxed" if letterbox else "stretched"
    assert found.conditions.startswith(f"scores > 0.2, NMS 0.45, {how} to 32x32, opencv ")
    assert found.conditions in str(found)
    assert "Darknet's rule: area under the curve, IoU > 0.50" in str(found)


def test_heads_of_a_merged_network_reach_what_the_separate_ones_do(tmp_path):
    base = model(tiny_text(), "base")
    text = retrained(base, tiny_text(3), "text", 5)
    both = quiet_concat([base, text], k=5)
    paths = drawn(tmp_path, 2, [(40, 40)] * 4)
    for separate, task in ((base, "base"), (text, "text")):
        data = labelled_by(separate, paths)
        alone = evaluate_model(separate, data, iou=0.8, lowest=0.3)
        merged = evaluate_model(both, data, task=task, iou=0.8, lowest=0.3)
        assert 0 < alone.mean <= 1
        assert merged.task == task
        assert merged.mean == pytest.approx(alone.mean, abs=1e-6)
    with pytest.raises(BadValue, match="has the tasks base, text; say which one"):
        evaluate_model(both, data)
    with pytest.raises(BadValue, match="has no task logo; it has base, text"):
        evaluate_model(both, data, task="logo")


def test_a_picture_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    data = Dataset("set", ("base_0", "base_1"), (Sample(tmp_path / "broken.png", ()),))
    with pytest.raises(DarkshareError, match=r"broken.png: is not a picture"):
        evaluate_model(model(tiny_text()), data)


def test_pictures_are_watched_one_by_one(tmp_path):
    seen = []

    def watch(items):
        for item in items:
            yield item
            seen.append(item.picture.name)

    data = Dataset("set", ("base_0", "base_1"), tuple(Sample(p, ()) for p in drawn(tmp_path, 3, [(32, 32)] * 5)))
    evaluate_model(model(tiny_text()), data, batch=2, lowest=0.5, watch=watch)
    assert seen == [f"{i}.png" for i in range(5)]


@pytest.mark.zoo
def test_a_real_model_reaches_what_darknet_says_it_does():
    """AlexeyAB's `detector map` says 0.513494, 0.497213 and 0.512240; it decodes and shrinks pictures otherwise."""
    place = zoo_path("datasets", "face-mask-yolo")
    paths = [place / line for line in (place / "test.txt").read_text().split()]
    samples = []
    for path in paths:
        rows = [line.split() for line in path.with_suffix(".txt").read_text().splitlines() if line.strip()]
        samples.append(Sample(path, tuple(Box(int(row[0]), *map(float, row[1:])) for row in rows)))
    data = Dataset("masks", ("good", "bad", "none"), tuple(samples))
    seen = Runner.of(load(zoo_path("models", "f10-mask-a", "f10-mask-a.cfg"))).detect_dataset(data)
    for points, theirs in ((0, 0.513494), (11, 0.497213), (101, 0.512240)):
        assert seen.evaluate(data, points=points).mean == pytest.approx(theirs, abs=0.006)


# classifiers

CLASSIFIER = """\
[net]
width=8
height=8
channels=3

[convolutional]
filters=3
size=1
stride=1
activation=linear

[avgpool]

[softmax]
groups=1
"""


def colour_judge(folder: Path):
    """A classifier that says which of red, green and blue there is most of."""
    floats = np.concatenate([np.zeros(3), 5 * np.eye(3).ravel()])
    return load(write_model(folder / "colour", CLASSIFIER, floats, names=("red", "green", "blue")))


def painted(folder: Path, colours) -> tuple[Path, ...]:
    """Pictures that are grey at the sides and have a colour (R, G, B) in their middle square."""
    paths = []
    for at, colour in enumerate(colours):
        image = np.full((20, 40, 3), 255, np.uint8)
        image[:, 10:30] = colour[::-1]
        paths.append(folder / f"{at}.png")
        cv2.imwrite(str(paths[-1]), image)
    return tuple(paths)


def test_a_classifier_is_judged_by_its_best_guesses(tmp_path):
    paths = painted(tmp_path, [(200, 100, 0), (0, 200, 100), (200, 100, 0), (100, 0, 200)])
    names = ("blue", "green", "red")
    labels = (2, 1, 1, 1)  # right, right, second, third
    data = ClassifiedDataset("set", names, tuple(map(Classified, paths, labels)))
    found = Runner.of(colour_judge(tmp_path), batch=3).classify(data, top=2)
    assert (found.top, found.ks, found.pictures) == ((0.5, 0.75), (1, 2), 4)
    assert [(one.name, one.pictures, one.top) for one in found.classes] == [
        ("red", 1, (1, 1)), ("green", 3, (pytest.approx(1 / 3), pytest.approx(2 / 3))),
    ]  # fmt: skip
    assert "another order" in found.remarks[0]
    assert "top-1 0.5000, top-2 0.7500 (central square, stretched to 8x8, opencv" in str(found)
    assert [row["class"] for row in found.table()] == ["red", "green", ALL]
    assert found.to_dataframe()["top2"].tolist() == [1, pytest.approx(2 / 3)]


def test_equal_guesses_go_to_the_lower_class_as_in_darknet():
    task = Task("t", ("a", "b", "c"), (0,), ((0, 1),))
    data = ClassifiedDataset("set", ("a", "b", "c"), tuple(Classified(Path("x"), i) for i in range(3)))
    assert evaluate_guesses(np.full((3, 3), 1 / 3), task, data, top=2).top == pytest.approx((1 / 3, 2 / 3))


def test_a_detector_is_no_classifier(tmp_path):
    data = ClassifiedDataset("set", ("base_0",), (Classified(tmp_path / "x.png", 0),))
    with pytest.raises(Unsupported, match="base is a detector"):
        Runner.of(model(tiny_text())).classify(data)


# forms


def compared(pictures: int = 5) -> TaskEvaluation:
    found, truths = crowded(7, pictures, 2)
    own = judged(found, truths, ("a", "b"), pictures)
    other = judged(found[::2], truths, ("a", "b"), pictures)
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


def test_there_must_be_something_to_draw(tmp_path):
    with pytest.raises(DarkshareError, match="no class has truths"):
        Evaluations((TaskEvaluation((judged([], []),)),)).plot(tmp_path / "x.png")


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
