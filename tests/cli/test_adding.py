from __future__ import annotations

import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import needs_torch, run
from labelled import draw, write_data

from darkshare.analysis.frozen import compare_trunks
from darkshare.cli.training import Bar
from darkshare.darknet.model import load

QUICK = ("--batches", 2, "--batch", 4, "--threads", 1, "--device", "cpu")
STEPS = ["check", "check", "train", "frozen", "concat", "evaluate", "report"]
OWN = ("--base-data", "own.data")


@pytest.fixture
def squares(base, tmp_path, monkeypatch) -> Path:
    """A folder with a base and labelled pictures, which is the current one."""
    needs_torch()
    write_data(tmp_path, draw(tmp_path, 8), valid=2)
    own = (tmp_path / "squares.data").read_text().replace("classes.txt", "base.names")
    (tmp_path / "own.data").write_text(own)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def steps(result) -> list[list[str]]:
    """The commands that were printed."""
    return [shlex.split(line)[2:] for line in result.stderr.splitlines() if line.startswith("$ darkshare ")]


def test_a_base_gets_a_task_and_keeps_its_own(base, squares):
    result = run("add-task", base.name, "squares.data", "--k", 4, *OWN, *QUICK, code=0)
    assert [step[0] for step in steps(result)] == STEPS
    both = load("both.cfg")
    assert [task.name for task in both.tasks] == ["base", "squares"]
    assert compare_trunks(load(base.name), load("both-squares.cfg"), 4).identical == 4
    assert "equal: " in result.output
    assert "squares on squares, 2 pictures: mAP" in result.stdout
    assert "base on own, 2 pictures: mAP" in result.stdout
    assert Path("both.html").read_text().startswith("<!doctype html>")
    assert [line for line in result.stderr.splitlines() if line.startswith("next: ")] == [
        "next: darkshare detect both.cfg both.weights PICTURE"
    ]
    made = {path: path.read_bytes() for path in squares.glob("both*.weights")}
    for step in steps(result):  # each is what could have been typed
        run(*step, code=0)
    assert {path: path.read_bytes() for path in made} == made


def test_a_stop_is_gone_on_from_and_what_is_trained_is_not_trained_again(base, squares, monkeypatch):
    words = ("add-task", base.name, "squares.data", "--k", 4, *OWN, *QUICK, "-o", "my both")

    def strike(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bar, "step", strike)
        stopped = run(*words, code=130)
    assert [step[0] for step in steps(stopped)] == STEPS[:3]
    (line,) = (line for line in stopped.stderr.splitlines() if line.startswith("next: "))
    assert shlex.split(line)[2:] == [*map(str, words), "--resume"]
    resumed = run(*shlex.split(line)[2:], code=0)
    assert [step[0] for step in steps(resumed)] == STEPS
    assert "goes on after batch 1 of 2" in resumed.stderr
    weights = Path("my both.weights").read_bytes()
    again = run(*words, "--resume", code=0)
    assert [step[0] for step in steps(again)] == [step for step in STEPS if step != "train"]
    assert Path("my both.weights").read_bytes() == weights


def test_a_folder_is_imported_and_k_is_what_suggest_k_says(base, squares, monkeypatch):
    Path("desk/voc").mkdir(parents=True)
    monkeypatch.chdir("desk")  # where no list of the squares is taken for one of voc
    rng = np.random.default_rng(1)
    for number in range(30):
        cv2.imwrite(f"voc/{number}.png", rng.integers(0, 255, (32, 32, 3)).astype(np.uint8))
        box = "<xmin>4</xmin><ymin>4</ymin><xmax>20</xmax><ymax>20</ymax>"
        name = ("red", "blue")[number % 2]
        text = f"<filename>{number}.png</filename><object><name>{name}</name><bndbox>{box}</bndbox></object>"
        Path(f"voc/{number}.xml").write_text(f"<annotation>{text}</annotation>")
    result = run("add-task", f"../{base.name}", "voc", *QUICK, "--size", 64)
    assert result.exit_code == 0, result.output
    assert load("both.cfg").network.input.w == 64
    first, *rest = steps(result)
    assert first == ["import-data", "voc", "-o", "both-voc-data"]
    assert [step[0] for step in rest[:3]] == ["check", "suggest-k", "train"]
    assert rest[2][rest[2].index("--k") + 1] in result.stdout.partition("standard error: k=")[2]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("base.cfg", 2, "give a base and one data set"),
        ("base.cfg a.data b.data", 2, "give a base and one data set"),
        ("base.cfg nowhere.data", 1, "nowhere.data: cannot be read"),
        ("base.cfg squares.data --base-data nowhere.data", 1, "nowhere.data: cannot be read"),
        ("base.cfg base.data", 2, "has a task 'base' already"),
        ("bare.cfg squares.data", 2, "bare.cfg has no weights"),
        ("base.cfg squares.data --k 0", 2, "0 is not in the range x>=1"),
        ("base.cfg squares.data --k 3,4", 2, "'3,4' is not a valid integer"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_made(base, squares, words, code, said):
    Path("bare.cfg").write_bytes(base.read_bytes())
    before = sorted(squares.rglob("*"))
    assert said in run("add-task", *words.split(), code=code).stderr
    assert sorted(squares.rglob("*")) == before
