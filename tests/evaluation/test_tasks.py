"""`darkshare.evaluate` from Python: what the command does with one call."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_text
from models import model, quiet_concat, retrained
from synthetic import colour_classifier, drawn, labelled_by, painted

from darkshare import evaluate
from darkshare.data import Classified, ClassifiedDataset, Dataset
from darkshare.data.types import Finding
from darkshare.errors import BadArguments, BadValue, DarkshareWarning
from darkshare.evaluation import Accuracies, Evaluations, Runner, evaluate_model

LOWEST = 0.3  # networks with random weights find a lot


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    return drawn(tmp_path_factory.mktemp("pictures"), 2, [(40, 40)] * 3)


@pytest.fixture(scope="module")
def base(pictures):
    """A detector with a data set that it labelled itself."""
    own = model(tiny_text(), "base")
    return own, labelled_by(own, pictures)


@pytest.fixture(scope="module")
def both(base, pictures):
    """A merged model, its second part alone, and a data set for each task."""
    first, data = base
    text = retrained(first, tiny_text(3), "text", 5)
    return quiet_concat([first, text], k=5), text, {"base": data, "text": labelled_by(text, pictures)}


def test_one_data_set_is_enough_for_one_task(base):
    own, data = base
    found = evaluate(own, data, lowest=LOWEST)
    assert isinstance(found, Evaluations)
    alone = evaluate_model(own, data, lowest=LOWEST)
    assert found.means == {"base": alone.mean}
    assert [row["class"] for row in found.rows()] == ["base_0", "base_1", "(all)"]
    assert found.rows()[-1]["darknet_ap50"] == alone.mean
    assert found.notes() == alone.notes()
    assert found.to_dataframe()["class"].tolist() == ["base_0", "base_1", "(all)"]
    assert str(alone) in " ".join(" ".join(found.notes()).split())


def test_each_task_has_its_data_and_models_beside_it(both):
    merged, text, data = both
    found: Any = evaluate(merged, data, beside={"text": text}, lowest=LOWEST, iou=0.8)
    assert list(found.means) == ["base", "text"]
    assert [one.other for one in found.tasks] == ["", text.name]
    rows = found.rows()
    assert [row["darknet_ap80_difference"] is None for row in rows] == [True] * 3 + [False] * 4
    for way in (text, [text], [("text", text)]):
        assert evaluate(merged, list(data.items()), beside=way, lowest=LOWEST, iou=0.8).rows() == rows
    described = json.loads(json.dumps(found.as_dict()))
    assert described["rows"] == rows
    assert described["tasks"][1]["beside"][0]["map"] == found.tasks[1].beside[0].mean
    heads = [line.split(" on own")[0] for line in found.notes() if " on own" in line]
    assert heads == ["base", "text", f"{text.name}: text"]  # although both models have the same name


def test_a_model_is_loaded_once_however_many_tasks_it_stands_beside(both, monkeypatch):
    merged, _, data = both
    loaded, load = [], Runner.of

    def counted(one, **how):
        loaded.append(one)
        return load(one, **how)

    monkeypatch.setattr(Runner, "of", counted)
    evaluate(merged, data, beside=merged, lowest=LOWEST)
    assert loaded == [merged]


def test_results_are_one_line_and_a_table_in_a_notebook(both):
    merged, text, data = both
    found: Any = evaluate(merged, data, beside=text, lowest=LOWEST)
    own = found.tasks[0].own[0]
    assert repr(found) == f"<Evaluations: mAP@0.50 base {own.mean:.4f}, text {found.means['text']:.4f}>"
    assert repr(own) == f"<Evaluation: base on own, 3 pictures: mAP@0.50 {own.mean:.6f}>"
    assert repr(found.curves()) == "<Curves: 8 curves>"
    assert repr(own.classes[0]).endswith(f"curve=<Curve: {own.classes[0].detections} detections>)")
    assert repr(found.tasks[0]).startswith("TaskEvaluation(own=(<Evaluation: base on own, ")
    assert found._repr_html_().startswith("<table><tr><th>task</th>")
    assert "<th>precision</th>" in found.curves()._repr_html_()
    assert "<td>base_0</td>" in own._repr_html_()
    assert repr(Runner.of(text)).startswith("<Runner: test.cfg on opencv ")


def test_pictures_are_watched_with_a_label_for_each_task(both):
    merged, text, data = both
    seen = []

    def watch(label):
        def through(items):
            for item in items:
                seen.append(label)
                yield item

        return through

    evaluate(merged, data, beside=text, lowest=LOWEST, watch=watch)
    assert seen == [*["base of test.cfg"] * 3, *["text of test.cfg"] * 6]


def test_what_is_wrong_with_files_is_a_warning(tmp_path, base, pictures):
    own, data = base
    findings = tuple(Finding(Path("x.txt"), at, "is odd") for at in range(1, 8))
    assert evaluate(own, replace(data, findings=findings), lowest=LOWEST)  # the caller has them already
    (tmp_path / "set.names").write_text("base_0\nbase_1\n")
    (tmp_path / "set.txt").write_text("".join(f"{path}\n" for path in [pictures[0], *["missing.png"] * 7]))
    (tmp_path / "set.data").write_text("valid=set.txt\nnames=set.names\n")
    pictures[0].with_suffix(".txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.warns(DarkshareWarning) as caught:
        evaluate(own, tmp_path / "set.data", lowest=LOWEST)
    texts = [str(one.message) for one in caught]
    assert len(texts) == 4
    assert "set.txt:2: missing.png" in texts[0]
    assert texts[-1] == "7 findings of this kind (no such picture), 3 are shown; darkshare check has all"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"top": 3}, "top: about classes of pictures, and this model finds boxes"),
        ({"split": 0.2, "seed": 1}, "split, seed: about classes of pictures"),
        ({"map": {"base_0": "base_1"}, "by_order": True}, "give one of them"),
        ({"overlap": 0.5}, "overlap is that of tiles; give tiles too"),
        ({"rule": "voc"}, "there is no rule voc; use darknet, coco or both"),
        ({"rule": "coco", "points": 11}, "COCO's has 101"),
    ],
)
def test_arguments_that_contradict_each_other(base, how, says):
    with pytest.raises(BadArguments, match=says):
        evaluate(*base, **how)


def test_there_must_be_a_data_set_of_the_right_kind(base):
    own, _ = base
    with pytest.raises(BadArguments, match="give a data set"):
        evaluate(own, {})
    classes = ClassifiedDataset("photos", ("base_0",), (Classified(Path("x"), 0),))
    with pytest.raises(BadValue, match="photos has classes of pictures, which is not what base gives"):
        evaluate(own, classes)


def test_a_classifier(tmp_path):
    paths = painted(tmp_path, [(200, 100, 0), (0, 200, 100), (200, 100, 0), (100, 0, 200)])
    data = ClassifiedDataset("set", ("red", "green", "blue"), tuple(map(Classified, paths, (0, 1, 1, 1))))
    classifier = colour_classifier(tmp_path)
    found = evaluate(classifier, data, top=2)
    assert isinstance(found, Accuracies)
    assert found.means == {"colour": 0.5}
    assert [row["top2"] for row in found.rows()] == [1, pytest.approx(2 / 3), 0.75]
    assert repr(found) == "<Accuracies: top-1 colour 0.5000>"
    assert repr(found.tasks[0][0]) == "<Accuracy: colour on set, 4 pictures: top-1 0.5000, top-2 0.7500>"
    assert "<td>(all)</td>" in found.tasks[0][0]._repr_html_()
    assert found.as_dict()["tasks"][0]["top1"] == 0.5
    assert evaluate(classifier, data, top=3).notes()[-1] == (
        "Note: colour has 3 classes, so top-3 holds all and is not shown"
    )
    assert not [line for line in evaluate(classifier, data).notes() if line.startswith("Note")]
    with pytest.raises(BadArguments, match="iou, beside: about boxes, and this model classifies pictures"):
        evaluate(classifier, data, iou=0.6, beside=classifier)
    with pytest.raises(BadValue, match="boxes has boxes, which is not what colour gives"):
        evaluate(classifier, Dataset("boxes", ("red",), ()))
