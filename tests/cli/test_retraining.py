"""`classes`, `anchors` and `kit` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import network_of, run, seeded_floats, tiny_text, write_model, zoo_path
from models import quiet_concat

from darkshare.analysis.check import check
from darkshare.darknet.model import load, save


@pytest.fixture
def base(tmp_path: Path) -> Path:
    text = tiny_text(3)
    floats = seeded_floats(network_of(text), 1)
    return write_model(tmp_path / "base", text, floats, names=("person", "car", "a=b"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """masks.data with 12 pictures of two classes, labels beside them."""
    folder = tmp_path / "p"
    folder.mkdir()
    rng, paths = np.random.default_rng(2), []
    for number in range(12):
        path = folder / f"{number}.jpg"
        path.write_bytes(b"picture")
        boxes = [f"{number % 2} 0.5 0.5 {w:.3f} {h:.3f}\n" for w, h in rng.uniform(0.1, 0.9, (3, 2))]
        path.with_suffix(".txt").write_text("".join(boxes))
        paths.append(path)
    (tmp_path / "train.txt").write_text("".join(f"{path}\n" for path in paths[:9]))
    (tmp_path / "valid.txt").write_text("".join(f"{path}\n" for path in paths[9:]))
    (tmp_path / "masks.names").write_text("good\nbad\n")
    path = tmp_path / "masks.data"
    path.write_text("classes=2\ntrain=train.txt\nvalid=valid.txt\nnames=masks.names\nbackup=backup\n")
    return path


def test_classes_are_listed_and_nothing_is_written(base, tmp_path):
    before = sorted(tmp_path.iterdir())
    result = run("classes", base)
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["0", "person", "0", "person"],
        ["1", "car", "1", "car"],
        ["2", "a=b", "2", "a=b"],
    ]
    assert result.stderr == "nothing was written; say where with -o\n"
    assert sorted(tmp_path.iterdir()) == before


def test_classes_are_kept_renamed_and_added(base, tmp_path):
    how = ("--keep", "car,person", "--rename", "car=vehicle", "--add", "logo", "-o", tmp_path / "small")
    result = run("classes", base, *how, "--format", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"] == [
        {"class": 0, "name": "vehicle", "was": 1, "old_name": "car"},
        {"class": 1, "name": "person", "was": 0, "old_name": "person"},
        {"class": 2, "name": "logo", "was": None, "old_name": "new"},
    ]
    changed = load(tmp_path / "small.cfg")
    assert changed.tasks[0].names == ("vehicle", "person", "logo")
    assert changed.tensors(5)["biases"][7] == -20
    assert [problem.severity for problem in check(tmp_path / "small.cfg")] == ["note"]  # the new class has no kernel


def test_a_name_may_hold_what_separates(base, tmp_path):
    result = run("classes", base, "--rename", "a=b=c,d", "-o", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert load(tmp_path / "new.cfg").tasks[0].names == ("person", "car", "c,d")
    assert run("classes", tmp_path / "new.cfg", "--drop", "c,d", "-o", tmp_path / "two").exit_code == 0
    assert load(tmp_path / "two.cfg").tasks[0].names == ("person", "car")


@pytest.mark.parametrize(("option", "is_drawn"), [("--from", False), ("--fresh", True)])
def test_a_file_says_all_classes(base, tmp_path, option, is_drawn):
    (tmp_path / "own.names").write_text("car\nlogo\n")
    result = run("classes", base, option, tmp_path / "own.names", "-o", tmp_path / "new")
    assert result.exit_code == 0, result.output
    old, new = load(base).tensors(5)["weights"], load(tmp_path / "new.cfg").tensors(5)["weights"]
    assert np.array_equal(new[:5], old[:5])
    assert np.array_equal(new[5], old[6]) != is_drawn
    assert new[6].any() == is_drawn


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (("--keep", "tram"), 1, "no class 'tram'; the classes are person, car, a=b"),
        (("--rename", "car"), 1, "--rename 'car' does not say OLD=NEW"),
        (("--task", "text"), 1, "has no task text; it has base"),
        (("--task", "bases"), 1, "has no task bases; it has base; is 'base' meant?"),
        (("--from", "x.names", "--drop", "car"), 2, "--from and --fresh each say all classes"),
        (("--from", "missing.names"), 1, "missing.names: cannot be read"),
    ],
)
def test_classes_that_cannot_be_are_one_line(base, options, code, why):
    result = run("classes", base, *options)
    assert result.exit_code == code
    assert why in result.stderr


def test_an_input_is_not_replaced(base):
    result = run("classes", base, "--drop", "car", "-o", base.with_suffix(""))
    assert result.exit_code == 1
    assert "is one of the inputs" in result.stderr


def test_a_merged_model_needs_a_task(base, tmp_path):
    other = write_model(
        tmp_path / "text", tiny_text(3), seeded_floats(network_of(tiny_text(3)), 1), names=("x", "y", "z")
    )
    save(quiet_concat([load(base), load(other)], 4), tmp_path / "both")
    assert "has the tasks base, text; say which one" in run("classes", tmp_path / "both.cfg").stderr
    result = run("classes", tmp_path / "both.cfg", "--task", "text", "--keep", "y", "-o", tmp_path / "less")
    assert result.exit_code == 0, result.output
    assert [task.names for task in load(tmp_path / "less.cfg").tasks] == [("person", "car", "a=b"), ("y",)]


def test_anchors_are_found_drawn_and_written(base, data, tmp_path):
    figure = tmp_path / "anchors.png"
    result = run("anchors", base, data, "--num", 5, "--plot", figure, "-o", tmp_path / "new")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["anchors", "num", "average_iou", "recall_25", "recall_50"]
    before, after = lines[1:3]
    assert (before[:2], after[:2]) == (["before", "3"], ["after", "5"])
    assert float(after[2]) > float(before[2])
    assert figure.read_bytes()[:4] == b"\x89PNG"
    kinds = [head.kind for head in load(tmp_path / "new.cfg").network.heads]
    assert sorted(kinds[0].mask + kinds[1].mask) == [0, 1, 2, 3, 4]
    assert len(check(tmp_path / "new.cfg")) == 0


def test_anchors_of_a_cfg_alone_as_json(base, data, tmp_path):
    base.with_suffix(".weights").unlink()
    result = run("anchors", base, data, "--assign", "count", "--format", "json", "-o", tmp_path / "new")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [row["num"] for row in found["rows"]] == [3, 4]  # masks 0,1 and 1,2 share one
    assert [(head["layer"], head["mask"]) for head in found["heads"]] == [(6, [2, 3]), (12, [0, 1])]
    assert not (tmp_path / "new.weights").exists()
    assert len(check(tmp_path / "new.cfg")) == 0


def test_what_is_wrong_with_the_data_is_told(base, data, tmp_path):
    train = tmp_path / "train.txt"
    train.write_text(train.read_text() + "".join(f"missing{i}.jpg\n" for i in range(8)))
    result = run("anchors", base, data)
    assert result.exit_code == 0, result.output
    assert result.stderr.count(": no such picture") == 3
    assert "8 findings of this kind (no such picture), 3 are shown" in result.stderr
    assert run("anchors", base).exit_code == 2
    (tmp_path / "p" / "0.txt").unlink()
    train.write_text("p/0.jpg\n")
    assert "none of its pictures can be used" in run("anchors", base, data).stderr


def test_a_kit_is_written(base, data, tmp_path):
    result = run("kit", base, data, "--k", 4, "--anchors", "--full", "--batches", 100, "-o", tmp_path / "kit")
    assert result.exit_code == 0, result.output
    home = tmp_path / "kit"
    assert f"{home}/masks.conv.4\n" in result.stdout
    model = load(home / "masks.cfg", home / "masks-full.weights")
    assert model.tasks[0].names == ("good", "bad")
    assert model.network.net.max_batches == 100
    listed = (home / "valid.txt").read_text().splitlines()
    assert listed == [str(tmp_path / "p" / f"{i}.jpg") for i in (9, 10, 11)]
    for path in (home / "masks.cfg", home / "masks-cpu.cfg"):
        assert "error" not in {problem.severity for problem in check(path)}


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (("--k", 6), 1, "k=6 freezes layer 6 [yolo]"),
        (("--k", 99), 1, "k=99 must be 1..13"),
        ((), 2, "Missing option '--k'"),
    ],
)
def test_a_kit_that_cannot_be_is_one_line(base, data, tmp_path, options, code, why):
    result = run("kit", base, data, *options, "-o", tmp_path / "kit")
    assert result.exit_code == code
    assert why in result.stderr
    assert not (tmp_path / "kit").exists()


@pytest.mark.zoo
def test_the_three_on_a_real_model(tmp_path):
    model = zoo_path("models", "f10-coco", "f10-coco.cfg")
    folder = zoo_path("datasets", "face-mask-yolo")
    data = tmp_path / "masks.data"
    data.write_text(f"classes=3\ntrain={folder}/train.txt\nnames={folder}/obj.names\n")
    assert run("classes", model, "--keep", "person,car", "-o", tmp_path / "small").exit_code == 0
    result = run("anchors", tmp_path / "small.cfg", data, "--restarts", 2, "-o", tmp_path / "fitting")
    assert result.exit_code == 0, result.output
    result = run("kit", model, data, "--k", 88, "-o", tmp_path / "kit")
    assert result.exit_code == 0, result.output
    for path in ("small.cfg", "fitting.cfg", "kit/masks.cfg"):
        assert {problem.severity for problem in check(tmp_path / path)} <= {"note"}
