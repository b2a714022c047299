"""What tasks find in the pictures of others, and thresholds of best F1: by hand and by brute force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_text
from models import model, quiet_concat, retrained
from synthetic import crowded, drawn, evaluated, labelled_by

from darkshare import evaluate
from darkshare.data import Dataset, Sample
from darkshare.data.types import Box
from darkshare.errors import BadArguments
from darkshare.evaluation import Cross, Runner
from darkshare.evaluation.cross import cross_count
from darkshare.evaluation.curves import best_f1, curve
from darkshare.inference.boxes import Detections
from darkshare.inference.detector import Detector

LOWEST = 0.3  # networks with random weights find a lot


def drawn_curve(scores, hits, truths):
    return curve(np.array(scores, np.float32).astype(float), np.array(hits, bool), truths)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # F1 = 2 TP / (boxes + truths): 2/3, 2/4, 4/5 of one class with 2 truths
        ([([0.9, 0.8, 0.7], [1, 0, 1], 2)], (0.7, None, 2 / 3, 1, 4 / 5)),
        # 2/5, 4/6, 4/7 of one class with 4 truths: the second
        ([([0.9, 0.8, 0.3], [1, 1, 0], 4)], (0.8, 0.3, 1, 2 / 4, 4 / 6)),
        # equal scores stand or fall together: never 2/3, which the first alone would have
        ([([0.9, 0.9, 0.5, 0.4], [1, 0, 0, 0], 2)], (0.9, 0.5, 1 / 2, 1 / 2, 2 / 4)),
        # two classes at one threshold: 2/4, 4/5, 4/6, 4/7 of 3 truths
        ([([0.9, 0.2], [1, 0], 1), ([0.8, 0.6], [1, 0], 2)], (0.8, 0.6, 1, 2 / 3, 4 / 5)),
        # 2/3 twice, of 1 and of 4 boxes: the higher threshold
        ([([0.9, 0.8, 0.7, 0.6], [1, 0, 0, 1], 2)], (0.9, 0.8, 1, 1 / 2, 2 / 3)),
        # neighbours among the float32: only the lower of them lies between
        ([([0.5 + 2**-24, 0.5], [1, 0], 1)], (0.5 + 2**-24, 0.5, 1, 1, 1)),
        ([([0.9], [0], 1)], None),
        ([([], [], 3)], None),
        ([([0.9], [0], 0)], None),
        ([], None),
    ],
)
def test_the_threshold_of_best_f1_by_hand(parts, expected):
    found = best_f1([drawn_curve(*part) for part in parts], sum(truths for *_, truths in parts))
    if expected is None:
        assert found is None
        return
    score, below, *numbers = expected
    assert found is not None
    assert list(found[1:]) == pytest.approx(numbers)
    assert np.float32(found.threshold) < np.float32(score)
    assert found.threshold >= (0.99 * score if below is None else np.float32(below))


@pytest.mark.parametrize("seed", range(4))
def test_no_threshold_has_a_better_f1_and_that_one_has_it(seed):
    found, truths = crowded(seed, 6, 2, hard=0.2)
    whole = evaluated(found, truths, ("a", "b"), 6)
    assert whole.best is not None
    at = evaluated(found, truths, ("a", "b"), 6, thresh=whole.best.threshold)
    assert (at.at.precision, at.at.recall, at.at.f1) == pytest.approx(whole.best[1:])
    scores = {0.0, *(float(np.float32(row[2])) for row in found)}
    others = [evaluated(found, truths, ("a", "b"), 6, thresh=score) for score in scores]
    assert whole.best.f1 == pytest.approx(max(one.at.f1 for one in others))
    for number, one in enumerate(whole.classes):
        assert (one.best.f1 if one.best else 0) == pytest.approx(max(each.classes[number].at.f1 for each in others))
    assert f"best F1 {whole.best.f1:.2f} at scores > {whole.best.threshold:g}" in " ".join(whole.notes())
    described = json.loads(json.dumps(whole.as_dict()))
    assert described["best_f1"]["threshold"] == whole.best.threshold
    assert [one["best_f1"]["recall"] for one in described["classes"]] == [one.best.recall for one in whole.classes]


def boxes_of(*found: tuple[int, float]) -> Detections:
    """Boxes of class and score, of a task that knows logos and people."""
    ids, scores = zip(*found, strict=True) if found else ((), ())
    place = np.tile(np.float32([1, 1, 5, 5]), (len(found), 1))
    return Detections(place, np.array(scores, np.float32), np.array(ids, np.intp), ("logo", "person"), "logos")


def labelled(*class_ids: int) -> Sample:
    return Sample(Path("x.png"), tuple(Box(one, 0.5, 0.5, 0.1, 0.1) for one in class_ids))


FOUND = [
    boxes_of((0, 0.9), (0, 0.3), (1, 0.6)),
    boxes_of((0, 0.75)),
    boxes_of(),
    boxes_of((1, 0.2)),
    boxes_of((1, 0.95)),
]
STREET = Dataset(
    "street", ("car", "person", "sign"), (labelled(0), labelled(2), labelled(), labelled(0), labelled(0, 1))
)


def test_boxes_in_pictures_of_others_by_hand():
    found = cross_count(FOUND, STREET, "cars", 0.25, 0.5, {})
    assert (found.task, found.owner, found.data, found.shared) == ("logos", "cars", "street", ("person",))
    assert (found.pictures, found.left_out) == (4, 1)  # the fifth shows a person by its labels
    whole, logo, person = Cross((found,)).rows()
    assert [whole[key] for key in ("boxes", "per_100", "share", "best_boxes")] == [4, 100, 0.5, 3]
    assert [logo[key] for key in ("class_id", "class", "boxes", "share", "best_boxes")] == [0, "logo", 3, 0.5, 2]
    assert [person[key] for key in ("class_id", "class", "boxes", "share", "best_boxes")] == [1, "person", 1, 0.25, 1]
    assert [row["highest"] for row in (whole, logo, person)] == pytest.approx([0.9, 0.9, 0.6])
    assert [row["class"] for row in Cross((found,)).table()] == ["(all)", "logo", "person"]
    notes = " ".join(" ".join(Cross((found,)).notes()).split())
    assert "left out for logos: 1 of 5 pictures of street, whose labels hold its person" in notes
    assert "logos finds something in 50 % of the pictures of street" in notes


@pytest.mark.parametrize(
    ("map", "pictures", "boxes"),
    [({"sign": "logo"}, 3, 3), ({"person": ""}, 4, 4), ({"car": "person", "sign": "logo"}, 1, 0)],
)
def test_a_class_under_another_name_is_the_tasks_too(map, pictures, boxes):
    found = cross_count(FOUND, STREET, "cars", 0.25, None, map)
    assert (found.pictures, found.left_out, found.all.boxes, found.all.best_boxes) == (
        pictures,
        5 - pictures,
        boxes,
        None,
    )


def test_no_picture_is_left_where_all_show_the_tasks_classes():
    found = cross_count(FOUND[:1], Dataset("logos", ("logo",), (labelled(0),)), "cars", 0.25, 0.5, {})
    (row, *_) = Cross((found,)).table()
    assert (row["pictures"], row["boxes"], row["per_100"], row["share"], row["highest"]) == (0, 0, None, None, None)
    assert not found.is_much


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A merged model, and a data set for each of its tasks."""
    pictures = drawn(tmp_path_factory.mktemp("pictures"), 2, [(40, 40)] * 3)
    base = model(tiny_text(), "base")
    text = retrained(base, tiny_text(3), "text", 5)
    return quiet_concat([base, text], k=5), {"base": labelled_by(base, pictures), "text": labelled_by(text, pictures)}


def test_all_tasks_see_each_picture_in_one_run(both, monkeypatch):
    merged, data = both
    plain: Any = evaluate(merged, data, lowest=LOWEST)
    boxes = {
        (task, own): sum((one.scores > 0.4).sum() for one in Runner.of(merged, lowest=LOWEST).detect_dataset(
            data[own], task).detections) for task, own in (("text", "base"), ("base", "text"))
    }  # fmt: skip
    ran, run = list[int](), Detector.raw_batch

    def counted(self, images):
        ran.append(len(images))
        return run(self, images)

    monkeypatch.setattr(Detector, "raw_batch", counted)
    found: Any = evaluate(merged, data, lowest=LOWEST, thresh=0.4, cross=True)
    assert sum(ran) == 6  # 3 pictures of each data set
    assert found.means == plain.means
    assert {(one.task, one.owner): one.all.boxes for one in found.cross.counts} == boxes
    best = {one.own[0].task: one.own[0].best.threshold for one in found.tasks}
    assert [one.best for one in found.cross.counts] == [best["text"], best["base"]]
    described = json.loads(json.dumps(found.as_dict()))
    assert len(described["cross"]["rows"]) == (1 + 3) + (1 + 2)
    assert described["rows"] == found.rows()
    assert str(found).endswith(str(found.cross))
    assert found._repr_html_().endswith(found.cross._repr_html_())
    assert plain.cross is None
    assert "cross" not in plain.as_dict()


def test_a_task_without_a_data_set_is_counted_on_those_of_others(both):
    merged, data = both
    found: Any = evaluate(merged, {"text": data["text"]}, lowest=LOWEST, cross=True)
    assert [(one.task, one.owner, one.best) for one in found.cross.counts] == [("base", "text", None)]


def test_one_task_has_no_pictures_of_others(both):
    base = model(tiny_text(), "base")
    with pytest.raises(BadArguments, match=r"merged models of several detectors.*train --negatives FOLDER"):
        evaluate(base, both[1]["base"], cross=True)
