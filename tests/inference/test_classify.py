"""`classify` and `Classifier`: pictures through every classifier of a model, on every engine."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import conftest
import cv2
import numpy as np
import pytest
from classifiers import NAMES_OF, TRUNK, classifier, model, picture
from conftest import tiny_text

from darkshare import Classifier, branch, classify, concat, load, save, split
from darkshare.darknet.model import Model
from darkshare.errors import BadValue, DarkshareWarning, Unsupported
from darkshare.inference.engines import NAMES, presence
from darkshare.inference.onnx import write_onnx


def ensemble(**how) -> Model:
    return branch(classifier(), 0, 2, **{"widths": (10,), **how})


def on_the_trunk_of(base: Model, other: Model) -> Model:
    start = base.network.start(1)
    floats = other.weights.view(0, other.weights.size).copy()
    floats[:start] = base.weights.view(0, start)
    return replace(other, weights=replace(other.weights, runs=(floats,)))


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """An ensemble, a folder with two pictures and a broken one."""
    monkeypatch.chdir(tmp_path)
    save(ensemble(), "votes")
    (tmp_path / "photos").mkdir()
    for number in range(2):
        cv2.imwrite(f"photos/{number}.png", picture(number, 20, 30))
    Path("photos/broken.jpg").write_bytes(b"no picture")
    return tmp_path


run = partial(conftest.run, "classify", code=0)


def by_hand(one: Model, image: np.ndarray) -> np.ndarray:
    """The probabilities of the first classifier, layer by layer in numpy."""
    x = image[..., ::-1].transpose(2, 0, 1).astype(np.float64) / 255
    for layer in one.network.layers:
        given = one.tensors(layer.index)
        name = layer.kind.name
        if name == "convolutional":
            size, stride, pad = layer.kind.size, layer.kind.strides[0], layer.kind.pads
            padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
            spots = [(r * stride, c * stride) for r in range(layer.y.h) for c in range(layer.y.w)]
            columns = np.stack([padded[:, r : r + size, c : c + size].ravel() for r, c in spots])
            x = (columns @ given["weights"].reshape(layer.y.c, -1).T).T.reshape(layer.y.c, layer.y.h, layer.y.w)
            if layer.kind.norm:
                shape = (-1, 1, 1)
                x = (x - given["rolling_mean"].reshape(shape)) / np.sqrt(
                    given["rolling_variance"].reshape(shape) + 1e-5
                )
                x = x * given["scales"].reshape(shape)
            x = x + given["biases"].reshape(-1, 1, 1)
            x = np.where(x > 0, x, 0.1 * x) if layer.kind.activation == "leaky" else x
        elif name == "avgpool":
            x = x.mean(axis=(1, 2), keepdims=True)
    powers = np.exp(x.ravel() - x.max())
    return powers / powers.sum()


def test_a_picture_by_hand():
    one = classifier()
    (found,) = Classifier(one).classify(picture())
    np.testing.assert_allclose(found.probabilities, by_hand(one, picture()), atol=1e-5)
    assert found.best.name == NAMES_OF[int(by_hand(one, picture()).argmax())]


@pytest.mark.parametrize("engine", NAMES)
def test_every_engine_gives_the_vote_and_the_branches_in_one_pass(engine):
    if presence(engine).reason:
        pytest.skip(presence(engine).reason)
    found = Classifier(ensemble(), engine=engine, branches=True).classify(picture())
    assert [one.task for one in found] == ["colour", "colour-1", "colour-2"]
    apart = [Classifier(part).classify(picture())[0] for part in split(ensemble(combine="none"))]
    for one, alone in zip(found[1:], apart, strict=True):
        np.testing.assert_allclose(one.probabilities, alone.probabilities, atol=1e-5)
    logits = np.exp(np.mean([np.log(one.probabilities) for one in apart], axis=0))
    np.testing.assert_allclose(found[0].probabilities, logits / logits.sum(), atol=1e-5)


def test_the_mean_of_probabilities_is_the_same_in_the_file_and_outside():
    votes = [
        Classifier(ensemble(combine=combine), mean=mean).classify(picture())[0].probabilities
        for combine, mean in (("softmax", "file"), ("logits", "softmax"), ("none", "file"))
    ]
    np.testing.assert_allclose(votes[0], votes[1], atol=1e-6)
    np.testing.assert_allclose(votes[0], votes[2], atol=1e-6)


def test_a_batch_of_pictures_of_any_size_is_one_after_the_other():
    images = [picture(1), picture(2, 40, 20), picture(3, 9, 31)]
    one = Classifier(classifier())
    for alone, together in zip((one.classify(i) for i in images), one.classify_batch(images), strict=True):
        np.testing.assert_allclose(alone[0].probabilities, together[0].probabilities, atol=1e-6)
    assert one.classify_batch([]) == []


def test_several_classifiers_on_one_trunk(tmp_path):
    base, other = classifier(), classifier("size", ("small", "large"), seed=2)
    both = concat([base, on_the_trunk_of(base, other)], 1)
    found = Classifier(both).classify(picture())
    assert [(one.task, len(one.probabilities)) for one in found] == [("colour", 3), ("size", 2)]
    np.testing.assert_allclose(found[0].probabilities, by_hand(base, picture()), atol=1e-5)


@pytest.fixture
def mixed(files) -> Path:
    """A detector and a classifier that share a layer."""
    base = classifier()
    text = TRUNK + "".join(f"[{section}" for section in tiny_text(1).split("[")[2:])
    found = on_the_trunk_of(base, model(text, "things", ("thing",)))
    save(concat([base, found], 1), files / "mixed")
    return files


def test_of_a_mixed_model_each_command_runs_its_own_and_names_the_others(mixed):
    result = run("mixed.cfg", "photos/0.png")
    assert "Note: things: finds boxes, which darkshare detect does" in result.stderr
    assert {line.split()[1] for line in result.stdout.splitlines()[1:]} == {"colour"}
    detected = conftest.run("detect", "mixed.cfg", "photos/0.png", "--format", "json")
    assert detected.exit_code == 0, detected.output
    assert "Note: colour: classifies whole pictures, which darkshare classify does" in detected.stderr
    assert {row["task"] for row in json.loads(detected.stdout)["rows"]} <= {"things"}
    wrong = conftest.run("evaluate", "mixed.cfg", "--data", "colour=a", "--data", "things=b")
    assert "some of the tasks find boxes, others classify pictures" in wrong.stderr


def test_a_command_that_is_the_wrong_one_names_the_right_one(mixed):
    for task, command, right in (("colour", "detect", "classify"), ("things", "classify", "detect")):
        (alone,) = split(load("mixed.cfg"), [task])
        save(alone, "alone")
        result = conftest.run(command, "alone.cfg", "photos/0.png")
        assert result.exit_code == 1
        assert f"darkshare {right} runs it" in result.stderr
    with pytest.raises(Unsupported, match="classifies nothing"):
        Classifier(load("alone.cfg"))


def test_what_is_printed(files):
    result = run("votes.cfg", "photos/0.png", "--top", "2")
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    assert header == ["picture", "task", "place", "class_id", "name", "probability"]
    assert [row[1:3] for row in rows] == [["colour", "1"], ["colour", "2"]]
    assert "1 of 1 pictures" in result.stderr
    found = Classifier(load("votes.cfg")).classify(cv2.imread("photos/0.png"))[0]
    assert float(rows[0][5]) == pytest.approx(found.best.probability, abs=1e-4)


def test_what_is_broken_is_named_and_skipped(files):
    result = run("votes.cfg", "photos", "nowhere.png", "--top", "1", "--format", "csv", "--batch", "2", code=1)
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [row["picture"] for row in rows] == ["photos/0.png", "photos/1.png"]
    assert "broken.jpg: is not a picture" in result.stderr
    assert "nowhere.png: cannot be read" in result.stderr
    assert "2 of 4 pictures" in result.stderr


def test_branches_and_json_of_a_list(files):
    Path("list.txt").write_text("photos/0.png\nphotos/1.png\n")
    rows = json.loads(run("votes.cfg", "list.txt", "--branches", "--top", "1", "--format", "json").stdout)["rows"]
    assert [row["task"] for row in rows] == ["colour", "colour-1", "colour-2"] * 2
    assert all(isinstance(row["class_id"], int) and "frame" not in row for row in rows)


def test_frames_of_a_video_are_numbered(files):
    video = cv2.VideoWriter("clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    for number in range(4):
        video.write(picture(number, 32, 32))
    video.release()
    rows = json.loads(run("votes.cfg", "clip.avi", "--every", "2", "--top", "1", "--format", "json").stdout)["rows"]
    assert [row["frame"] for row in rows] == [1, 3]


def test_an_exported_file_is_a_model_too(files):
    write_onnx(load("votes.cfg"), "votes.onnx")
    wanted = json.loads(run("votes.cfg", "photos/0.png", "--format", "json").stdout)["rows"]
    found = json.loads(run("votes.onnx", "photos/0.png", "--format", "json").stdout)["rows"]
    assert [row["name"] for row in found] == [row["name"] for row in wanted]
    assert found[0]["probability"] == pytest.approx(wanted[0]["probability"], abs=1e-5)
    assert Classifier.of_file("votes.onnx").classify(picture())[0].task == "colour"


def test_evaluate_tells_each_branch_and_both_means(files):
    for number, name in enumerate(NAMES_OF):
        (files / "set" / name).mkdir(parents=True)
        cv2.imwrite(f"set/{name}/x.png", picture(number))
    result = conftest.run("evaluate", "votes.cfg", "set", "--top", "2", "--format", "csv")
    assert result.exit_code == 0, result.output
    rows = {row["task"]: row for row in csv.DictReader(result.stdout.splitlines()) if row["class"] == "(all)"}
    found = Classifier(load("votes.cfg"), branches=True)
    right = dict.fromkeys(("colour", "colour-1", "colour-2"), 0)
    for number, name in enumerate(NAMES_OF):
        for one in found.classify(picture(number)):
            right[one.task] += one.best.name == name
    assert list(rows) == [*right, "colour (mean of probabilities)", "colour (mean of logits)"]
    for task, count in right.items():
        assert float(rows[task]["top1"]) == pytest.approx(count / 3)
    assert rows["colour"]["top1"] == rows["colour (mean of logits)"]["top1"]
    assert float(rows["colour"]["top2"]) >= float(rows["colour"]["top1"])


def test_a_mean_that_there_is_not():
    with pytest.raises(BadValue, match="unknown mean median"):
        Classifier(ensemble(), mean="median")


def test_the_function_does_what_the_command_does(files):
    printed = json.loads(run("votes.cfg", "photos", "--branches", "--top", "2", "--format", "json", code=1).stdout)
    with pytest.warns(DarkshareWarning, match=r"broken\.jpg: is not a picture"):
        found = classify("votes.cfg", "photos", branches=True, top=2)
    assert found.rows() == printed["rows"]
    assert repr(found) == "<PictureClasses: 2 of 3 pictures>"
    assert (found.done, found.failed) == (printed["done"], printed["failed"]) == (2, 1)
    with pytest.raises(BadValue, match="top must be at least 1, not 0"):
        classify("votes.cfg", "photos", top=0)


def test_values_are_one_line(files):
    one = Classifier(load("votes.cfg"))
    assert repr(one) == "<Classifier: votes.cfg, tasks colour, colour-1, colour-2, on opencv>"
    (found,) = one.classify("photos/0.png")
    assert repr(found).startswith(f"<Guesses: colour: {found.best.name} 0.")
    assert f"<td>{found.best.name}</td>" in found._repr_html_()
    assert [row["class_id"] for row in found.rows()] == [guess.class_id for guess in found.top(3)]
    with pytest.raises(BadValue, match="a picture is a path"):
        one.classify(None)
    with pytest.raises(BadValue, match="a picture must be uint8"):
        one.classify(np.zeros(9))
