"""`evaluate` on the command line."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from functools import partial
from pathlib import Path

import conftest
import cv2
import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text, write_model
from synthetic import CLASSIFIER, drawn, painted, require_a_tool

from darkshare import load
from darkshare.data import Dataset, Sample
from darkshare.evaluation import Runner, coco
from darkshare.inference.boxes import label_lines

SIZES = [(64, 40), (40, 64), (32, 32), (50, 50)]
OPERATING = ["precision", "recall", "f1", "tp", "fp", "average_iou"]
LOWEST = 0.5  # networks with random weights find a lot


evaluated = partial(conftest.run, "evaluate", code=0)


def run(*words, code: int = 0):
    return evaluated(*words, "--lowest", LOWEST, code=code)


def one_line(text: str) -> str:
    return " ".join(text.split())


def table(result) -> str:
    """The lines above the notes."""
    return result.stdout.partition("\n\n")[0]


def write_set(folder: Path, name: str, names, seed: int, labeller=None, task: str | None = None) -> Path:
    """Pictures of noise, labelled with what a model finds in them above LOWEST."""
    place = folder / f"{name}_pictures"
    place.mkdir()
    paths = drawn(place, seed, SIZES)
    empty = Dataset(name, names, tuple(Sample(path, ()) for path in paths))
    seen = None if labeller is None else Runner.of(labeller, lowest=LOWEST).detect_dataset(empty, task)
    for at, path in enumerate(paths):
        lines = [] if seen is None else label_lines(seen.detections[at], seen.sizes[at])
        path.with_suffix(".txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / f"{name}.txt").write_text("".join(f"{place.name}/{path.name}\n" for path in paths))
    (folder / f"{name}.names").write_text("".join(f"{one}\n" for one in names))
    data = folder / f"{name}.data"
    data.write_text(f"classes={len(names)}\nvalid={name}.txt\nnames={name}.names\n")
    return data


def written(folder: Path, name: str, classes: int, seed: int, shared: np.ndarray | None = None) -> Path:
    text = tiny_text(classes)
    network = network_of(text)
    floats = seeded_floats(network, seed)
    if shared is not None:
        floats[: network.start(5)] = shared[: network.start(5)]
    return write_model(folder / name, text, floats, names=tuple(f"{name} {i}" for i in range(classes)))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A base and a text network that share 5 layers, merged, and a data set for each."""
    folder = tmp_path_factory.mktemp("made")
    base = written(folder, "base", 2, 1)
    shared = seeded_floats(network_of(tiny_text()), 1)
    text = written(folder, "text", 3, 2, shared)
    words = ["concat", base, text, "--k", 5, "-o", folder / "both"]
    conftest.run(*words, code=0)
    for seed, path in ((1, base), (2, text)):
        own = load(path)
        write_set(folder, path.stem, own.tasks[0].names, seed, own)
    return folder


@pytest.fixture
def home(made, tmp_path, monkeypatch) -> Path:
    """A copy of them, which is the current folder."""
    shutil.copytree(made, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def test_one_task(home):
    result = run("base.cfg", "base.weights", "base.data")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["task", "class", "truths", "boxes", "darknet_ap50", *OPERATING]
    assert [line.split()[:3] for line in lines[1:3]] == [["base", "base", "0"], ["base", "base", "1"]]
    truths = sum(len(path.read_text().splitlines()) for path in Path("base_pictures").glob("*.txt"))
    assert lines[3].split()[:3] == ["base", "(all)", str(truths)]
    said = one_line(result.stdout)
    assert lines[5].startswith("base on base, 4 pictures: mAP@0.50 ")
    rule = "Darknet's rule: area under the curve, IoU > 0.50, all classes; scores > 0.5, NMS 0.45, stretched to 32x32, "
    assert rule + "opencv " in said
    assert "\n  at scores > 0.25: precision " in result.stdout
    assert max(map(len, lines[4:])) <= 80
    assert result.stderr == ""


def test_the_merged_network_beside_the_separate_ones(home):
    words = ["both.cfg", "--data", "base=base.data", "--data", "text=text.data", "--beside", "base.cfg"]
    result = run(*words, "--beside", "text.cfg", "--beside", "text.weights", "--format", "json")
    found = json.loads(result.stdout)["tasks"]
    assert [(one["own"][0]["task"], one["model"], one["other"]) for one in found] == [
        ("base", "both.cfg", "base.cfg"), ("text", "both.cfg", "text.cfg"),
    ]  # fmt: skip
    for one in found:
        own, beside = one["own"][0], one["beside"][0]
        assert 0 < own["map"] <= 1
        assert own["map"] == pytest.approx(beside["map"], abs=1e-6)
    rows = list(csv.DictReader(run(*words, "--format", "csv").stdout.splitlines()))
    assert [row["darknet_ap50_difference"] != "" for row in rows] == [True] * 3 + [False] * 4
    assert float(rows[2]["darknet_ap50_difference"]) == pytest.approx(0, abs=1e-6)


def test_what_tasks_find_in_the_pictures_of_others(home):
    words = ["both.cfg", "--data", "base=base.data", "--data", "text=text.data", "--cross"]
    result = run(*words)
    heading = "\n\nIn the pictures of other tasks, at scores > 0.25: probably mistakes\n"
    lines = result.stdout.partition(heading)[2].splitlines()
    columns = "task data class pictures boxes per_100 share highest best_boxes"
    assert lines[0].split() == columns.split()
    assert [line.split()[:4] for line in lines if "(all)" in line] == [
        ["text", "base", "(all)", "4"], ["base", "text", "(all)", "4"],
    ]  # fmt: skip
    command = "train BASE.cfg BASE.weights text.data --k 5 --epochs 30 --batch 64 --subdivisions 8 -o trained"
    assert result.stderr == f"next: darkshare {command} --negatives FOLDER\n"  # not for the base
    found = run(*words, "--format", "json")
    assert json.loads(found.stdout)["cross"]["rows"][0]["task"] == "text"
    assert found.stderr == ""
    assert "CSV holds one" in run(*words, "--format", "csv", code=2).stderr
    assert "several detectors" in run("base.cfg", "base.data", "--cross", code=2).stderr


def test_both_rules_side_by_side(home):
    require_a_tool()
    result = run("base.cfg", "base.data", "--rule", "both", "--points", "11")
    head = result.stdout.splitlines()[0].split()
    assert head[4:8] == ["darknet_ap50", "coco_ap50", "coco_ap", "coco_ar"]
    assert "Darknet's rule: 11 points, IoU > 0.50" in one_line(result.stdout)
    assert "COCO's rule: 101 points, IoU >= 0.50, classes with truths; " in one_line(result.stdout)
    assert "AP75 " in one_line(result.stdout)


def test_curves_as_picture_and_table(home):
    result = run("base.cfg", "base.data", "--plot", "curves.png", "--csv", "curves.csv")
    assert result.stderr == "wrote curves.png\nwrote curves.csv\n"
    assert cv2.imread("curves.png") is not None
    rows = list(csv.DictReader(Path("curves.csv").read_text().splitlines()))
    assert list(rows[0]) == ["task", "model", "rule", "class", "score", "precision", "recall", "envelope"]
    table = json.loads(run("base.cfg", "base.data", "--format", "json").stdout)["tasks"][0]["own"][0]
    assert len(rows) == sum(one["detections"] for one in table["classes"])


def test_classes_that_do_not_match_are_named_and_can_be_mapped(home):
    Path("base.names").write_text("cat\nbase 1\n")
    Path("other.names").write_text("base 0\nbase 1\n")
    shutil.copy("base.cfg", "other.cfg")
    shutil.copy("base.weights", "other.weights")
    error = run("other.cfg", "base.data", code=1).stderr
    assert "base has classes that other does not know: cat; other has base 0, base 1: say which is which with" in error
    mapped = run("other.cfg", "base.data", "--map", "cat=base 0")
    assert "Note: counted under another name: cat as base 0" in mapped.stdout
    ordered = run("other.cfg", "base.data", "--by-order")
    assert "Note: cat is counted as base 0\n" in ordered.stdout
    assert table(ordered) == table(mapped)
    left = run("other.cfg", "base.data", "--map", "cat=")
    assert "Note: cat of base is left out" in left.stdout
    assert "base has no labels for base 0 of other, which does not count" in left.stdout
    assert len(table(left).splitlines()) == len(table(mapped).splitlines()) - 1


def test_a_class_of_one_data_set_is_mapped_beside_another(home):
    Path("base.names").write_text("cat\nbase 1\n")
    shutil.copy("base.names", "other.names")
    Path("other.data").write_text("classes=2\nvalid=base.txt\nnames=other.names\n")
    Path("base.names").write_text("base 0\nbase 1\n")
    result = run("both.cfg", "--data", "text=text.data", "--data", "base=other.data", "--map", "cat=base 0")
    assert "Note: counted under another name: cat as base 0" in result.stdout


def test_classes_are_matched_before_anything_runs(home, monkeypatch):
    monkeypatch.setattr(Runner, "detect_dataset", lambda *_: pytest.fail("it ran"))
    assert "does not know" in run("base.cfg", "text.data", code=1).stderr


def test_faults_of_the_data_set_are_printed(home):
    Path("base_pictures/0.txt").unlink()
    result = run("base.cfg", "base.data")
    assert "3 pictures" in result.stdout
    assert "Note: base.txt:1:" in result.stderr.replace(f"{home}/", "")
    assert "no such label file" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["both.cfg", "base.data"], 1, "has the tasks base, text; say which one, with --data TASK=base.data"),
        (
            ["base.cfg", "base_pictures"],
            1,
            "base_pictures: is a folder, but the network finds boxes: give a .data file",
        ),
        (["base.onnx", "base.data"], 2, "evaluate takes a .cfg, and base.onnx is an exported file"),
        (["base.cfg", "base.data", "--map", "cat="], 1, "--map cat=…: base has no such class; it has base 0, base 1"),
        (["base.cfg", "base.data", "--map", "base 0=dog"], 1, "base has no class dog; it has base 0, base 1"),
        (["base.cfg", "base.data", "--map", "base 0=base 1", "--by-order"], 2, "give one of them"),
        (["base.cfg", "base.data", "--top", "3", "--seed", "0"], 2, "--top, --seed: about classes of pictures"),
        (["base.cfg", "base.data", "--split", "1"], 2, "not in the range 0<=x<1"),
        (["both.cfg", "--data", "logo=base.data"], 1, "has no task logo; it has base, text"),
        (["both.cfg", "--data", "base=base.data", "--data", "base=text.data"], 1, "two data sets for base"),
        (["base.cfg"], 2, "give a data set"),
        (["base.data"], 2, "0 were given"),
        (["base.cfg", "text.cfg", "base.data"], 2, "2 were given"),
        (["base.cfg", "missing.data"], 1, "missing.data: cannot be read"),
        (["base.cfg", "base.data", "--part", "test"], 1, "has no test="),
        (["base.cfg", "base.data", "--rule", "coco", "--points", "11"], 2, "COCO's has 101"),
        (["base.cfg", "base.data", "--plot", "curves.gif"], 1, "no such kind of figure"),
        (["base.cfg", "base.csv", "--csv", "base.csv"], 1, "is one of the inputs"),
        (["base.cfg", "base.data", "--map", "cat"], 2, "'cat' does not say OLD=NEW"),
        (["both.cfg", "--data", "base=base.data", "--beside", "text.cfg"], 1, "none of base: say which it is"),
        (["both.cfg", "--data", "base=base.data", "--beside", "logo=text.cfg"], 1, "no data set for a task logo"),
        (
            ["both.cfg", "--data", "base=base.data", "--beside", "base.cfg", "--beside", "both.cfg"],
            1,
            "two models to compare base with",
        ),
    ],
)
def test_what_makes_no_sense_is_an_error(words, code, says, home):
    before = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}
    result = run(*words, code=code)
    assert says in result.stderr
    assert result.stdout == ""
    assert {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()} == before


def test_without_cocos_tools_the_error_names_the_extra_before_anything_runs(home, monkeypatch):
    for package, *_ in coco.TOOLS.values():
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.setitem(sys.modules, f"{package}.coco", None)
    monkeypatch.setattr(Runner, "detect_dataset", lambda *_: pytest.fail("it ran"))
    assert "pip install 'darkshare[coco]'" in run("base.cfg", "base.data", "--rule", "both", code=1).stderr


@pytest.fixture
def colours(tmp_path, monkeypatch) -> Path:
    """A classifier of colours."""
    monkeypatch.chdir(tmp_path)
    floats = np.concatenate([np.zeros(3), 5 * np.eye(3).ravel()])
    return write_model(tmp_path / "colour", CLASSIFIER, floats, names=("red", "green", "blue"))


def test_a_classifier_on_folders(colours, tmp_path):
    for name, colour in (("red", (200, 100, 0)), ("green", (0, 200, 100)), ("blue", (200, 0, 100))):
        folder = tmp_path / "set" / "val" / name
        folder.mkdir(parents=True)
        painted(folder, [colour, colour])
    result = evaluated("colour.cfg", "colour.weights", "set")
    assert [line.split() for line in result.stdout.splitlines()[:5]] == [
        ["task", "class", "pictures", "top1"],
        ["colour", "red", "2", "1"],
        ["colour", "green", "2", "1"],
        ["colour", "blue", "2", "0"],
        ["colour", "(all)", "6", "0.6667"],
    ]
    assert "colour on set, 6 pictures: top-1 0.6667 (central square, stretched to 8x8, opencv" in one_line(
        result.stdout
    )
    assert "has no folder for test; it has valid" in evaluated("colour.cfg", "set", "--part", "test", code=1).stderr
    assert json.loads(evaluated("colour.cfg", "set", "--format", "json").stdout)["tasks"][0]["top1"] == pytest.approx(
        2 / 3
    )


def test_a_classifier_on_a_darknet_list(colours, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (path,) = painted(folder, [(200, 100, 0)])
    path = path.rename(folder / "one_red.png")
    Path("list.txt").write_text(f"{path}\n")
    Path("colour.labels").write_text("red\ngreen\nblue\n")
    Path("colour.data").write_text("classes=3\nvalid=list.txt\nlabels=colour.labels\n")
    result = evaluated("colour.cfg", "colour.data")
    assert "1 pictures: top-1 1.0000" in result.stdout
    assert "--split" not in result.stderr
    note = "Note: colour.data has parts of its own, so --split is not used\n"
    assert note in evaluated("colour.cfg", "colour.data", "--split", 0.2).stderr


@pytest.fixture
def painted_set(colours, tmp_path) -> Path:
    """A picture of each colour."""
    for name, colour in (("red", (200, 100, 0)), ("green", (0, 200, 100)), ("blue", (100, 0, 200))):
        (tmp_path / "set" / name).mkdir(parents=True)
        painted(tmp_path / "set" / name, [colour])
    return tmp_path / "set"


@pytest.mark.parametrize(
    "words",
    [
        ("--rule", "coco"), ("--rule", "darknet"), ("--points", 11), ("--iou", 0.5), ("--thresh", 0.3), ("--nms", 0.45),
        ("--lowest", 0.1), ("--plot", "x.png"), ("--csv", "x.csv"), ("--beside", "colour.cfg"),
        ("--cross",),
    ],
)  # fmt: skip
def test_options_about_boxes_are_refused_for_classifiers(painted_set, words):
    result = evaluated("colour.cfg", "set", *words, code=2)
    assert f"Error: {words[0]}: about boxes, and this model classifies pictures" in result.stderr


def test_a_top_that_holds_all_classes_is_said(painted_set):
    result = evaluated("colour.cfg", "set", "--top", 30)
    assert "Note: colour has 3 classes, so top-30 holds all and is not shown\n" in result.stdout
    assert "holds all" not in evaluated("colour.cfg", "set").stdout  # of the default
    assert "top2" in evaluated("colour.cfg", "set", "--top", 2).stdout


def test_typos_in_classes_of_pictures_are_errors(painted_set):
    result = evaluated("colour.cfg", "set", "--map", "rde=", code=1)
    assert "--map rde=…: set has no such class; it has blue, green, red" in result.stderr
    assert "colour has no class gren" in evaluated("colour.cfg", "set", "--map", "red=gren", code=1).stderr
    assert "red of set is left out" in evaluated("colour.cfg", "set", "--map", "red=").stdout
