"""`train` as a user types it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import needs_torch, run
from labelled import draw, write_data

from darkshare.analysis.frozen import compare_trunks
from darkshare.cli.training import Bar
from darkshare.darknet.model import load
from darkshare.training.journal import Update

ROOT = Path(__file__).parent.parent
QUICK = ("--batch", 4, "--threads", 1, "--device", "cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path, draw(tmp_path, 8), valid=2)


@pytest.mark.slow
def test_a_training_as_in_the_manual(base, data, tmp_path):
    needs_torch()
    weights = base.with_suffix(".weights")
    result = run("train", base, weights, data, "--k", 4, "-o", tmp_path / "out", "--epochs", 3, *QUICK)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path}/out.cfg: after batch 5 of 5, mAP ")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert lines[1].startswith(f"{tmp_path}/out-best.cfg: the best, after batch ")
    assert lines[2] == "the best is chosen by what measures it; import-data --test sets others aside"
    assert lines[3] == "mAP: Darknet's rule: area under the curve, IoU > 0.50, all classes"
    assert "those of red, blue start with drawn ones" in result.stderr
    assert "schedule for 5 batches of 4 pictures: max_batches=5 learning_rate=0.0025 burn_in=2" in result.stderr
    assert "5/5 loss " in result.stderr
    trained = load(tmp_path / "out.cfg")
    assert compare_trunks(load(base), trained, 4).identical == 4
    assert (tmp_path / "out.names").read_text() == "red\nblue\n"
    assert run("concat", base, tmp_path / "out.cfg", "--k", 4, "-o", tmp_path / "both").exit_code == 0
    assert run("detect", tmp_path / "both.cfg", tmp_path / "images" / "0.png", "-o", tmp_path / "seen").exit_code == 0


def test_a_base_may_be_the_first_layers_under_darknets_own_name(base, data, tmp_path):
    needs_torch()
    part = tmp_path / "base.conv.4"
    assert run("cut", base, "--k", 4, "-o", part).exit_code == 0
    result = run("train", base, part, data, "--k", 4, "-o", tmp_path / "out", "--batches", 1, *QUICK)
    assert result.exit_code == 0, result.output
    assert compare_trunks(load(base), load(tmp_path / "out.cfg"), 4).identical == 4


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_bytes(base, data, tmp_path):
    """SIGKILL between two checkpoints, of which there is one at each validation."""
    needs_torch()
    words = ("train", base, data, "--k", 4, "--batches", 12, "--validate-every", 4, *QUICK)
    assert run(*words, "-o", tmp_path / "whole").exit_code == 0
    command = [sys.executable, "-m", "darkshare", *map(str, words), "-o", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal, checkpoint = tmp_path / "out.csv", tmp_path / "out.checkpoint"
    while process.poll() is None and not (checkpoint.exists() and journal.read_bytes().count(b"\n") > 6):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "out.weights").exists()
    result = run(*words, "-o", tmp_path / "out", "--resume")
    assert result.exit_code == 0, result.output
    assert "goes on after batch " in result.stderr
    for name in ("out.weights", "out-best.weights", "out.cfg"):
        assert (tmp_path / name).read_bytes() == (tmp_path / name.replace("out", "whole")).read_bytes()
    assert journal.read_text().count("\n") == 13


@pytest.mark.usefixtures("undrawn")
def test_the_course_of_each_task_is_a_figure_of_its_own(base, data, tmp_path):
    needs_torch()
    (tmp_path / "more.data").write_text(data.read_text())
    words = ("--k", 4, "--batches", 1, "--validate-every", 0, *QUICK, "-o", tmp_path / "out")
    result = run(
        "train", base, data, tmp_path / "more.data", *words, "--plot", tmp_path / "c.svg", "--width", 4, code=0
    )
    names = [tmp_path / f"c-{task}.svg" for task in ("squares", "more")]
    assert f"wrote {names[0]}, {names[1]}\n" in result.stderr
    assert all('width="288pt"' in path.read_text() for path in names)


def test_ctrl_c_saves_and_exits_with_130(base, data, tmp_path, monkeypatch):
    needs_torch()

    def strike(self: Bar, entry: Update) -> None:
        if entry.batch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Bar, "step", strike)
    words = ("train", base, data, "--k", 4, "--batches", 4, "--validate-every", 0, *QUICK, "-o", tmp_path / "out")
    result = run(*words)
    assert result.exit_code == 130
    assert "stopped after batch 2 of 4; --resume goes on" in result.stderr
    monkeypatch.undo()
    assert "is of a training that was stopped; --resume goes on" in run(*words).stderr
    assert run(*words, "--resume").exit_code == 0


def test_findings_in_the_data_are_told(base, data, tmp_path):
    needs_torch()
    (tmp_path / "labels" / "0.txt").write_text("7 0.5 0.5 0.1 0.1\n")
    (tmp_path / "labels" / "1.txt").unlink()
    result = run("train", base, data, "--k", 4, "--batches", 1, "--validate-every", 0, *QUICK, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    notes = [line for line in result.stderr.splitlines() if line.startswith("Note: ")]
    assert any("labels/0.txt:1: " in note for note in notes)
    assert any("1" in note and "label" in note for note in notes[1:])


def test_data_without_pictures(base, data, tmp_path):
    needs_torch()
    for path in (tmp_path / "labels").iterdir():
        path.unlink()
    result = run("train", base, data, "--k", 4, "-o", tmp_path / "out", *QUICK, "--validate-every", 0)
    assert result.exit_code == 1
    assert "train.txt: none of its pictures can be used; " in result.stderr


def test_without_pytorch_it_says_what_to_install(base, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("train", base, data, "--k", 4, "-o", tmp_path / "out", *QUICK)
    assert result.exit_code == 1
    assert result.stderr.endswith("Error: training needs PyTorch: pip install 'darkshare[train]'\n")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A second data set: plates.data."""
    (tmp_path / "two").mkdir()
    return write_data(tmp_path / "two", draw(tmp_path / "two", 6, seed=3)).rename(tmp_path / "two" / "plates.data")


def test_tasks_side_by_side_and_the_next_command(base, data, other, tmp_path, undrawn):
    needs_torch()
    words = ("train", base, data, other, "--k", 4, "--validate-every", 0, *QUICK)
    result = run(*words, "--batches", 2, "-o", tmp_path / "out", code=0)
    assert "squares: schedule for 2 batches of 4 pictures" in result.stderr
    assert "plates: 2/2 loss " in result.stderr
    assert [line.partition(":")[0] for line in result.stdout.splitlines() if "after batch 2 of 2" in line] == [
        f"{tmp_path}/out-squares.cfg", f"{tmp_path}/out-plates.cfg"
    ]  # fmt: skip
    names = [f"{tmp_path}/{name}.{suffix}" for name in ("out-squares", "out-plates") for suffix in ("cfg", "weights")]
    following = f"next: darkshare concat {base} {base.with_suffix('.weights')} {' '.join(names)} --k 4 -o both"
    assert result.stderr.splitlines()[-1] == following
    merged = run(*following.split()[2:-1], tmp_path / "both", code=0)
    assert merged.exit_code == 0
    assert [task.name for task in load(tmp_path / "both.cfg").tasks] == ["base", "out-squares", "out-plates"]


def test_a_task_that_fails_beside_another(base, data, other, tmp_path, undrawn):
    needs_torch()
    for picture in (tmp_path / "two" / "images").iterdir():
        picture.write_bytes(b"broken")
    words = ("train", base, data, other, "--k", 4, "--batches", 2, "--validate-every", 0, *QUICK)
    result = run(*words, "-o", tmp_path / "out", code=1)
    assert "plates failed: " in result.stdout
    assert (tmp_path / "out-squares.weights").exists()
    assert not (tmp_path / "out-plates.weights").exists()


@pytest.mark.slow
def test_killed_again_and_again_tasks_come_to_the_same_bytes(base, data, other, tmp_path):
    """SIGKILL at a random place of each run, until one comes to its end."""
    needs_torch()
    words = (
        "train",
        base,
        data,
        other,
        "--k",
        4,
        "--epochs",
        8,
        "--checkpoint-every",
        0,
        "--validate-every",
        4,
        *QUICK,
    )
    run(*words, "-o", tmp_path / "whole", code=0)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    journals = [tmp_path / f"out-{name}.csv" for name in ("squares", "plates")]
    for lines in (4, 10, 22):
        command = [sys.executable, "-m", "darkshare", *map(str, words), "-o", str(tmp_path / "out"), "--resume"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and sum(one.read_bytes().count(b"\n") for one in journals if one.exists()) < lines:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert "plates: goes on after batch " in run(*words, "-o", tmp_path / "out", "--resume", code=0).stderr
    for whole in tmp_path.glob("whole-*.[cw]*"):
        mine = whole.with_name(whole.name.replace("whole", "out"))
        if whole.suffix == ".csv":
            rows = [[line.split(",")[:9] for line in path.read_text().splitlines()] for path in (mine, whole)]
            assert rows[0] == rows[1]
        else:
            assert mine.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.mark.parametrize("words", [(), ("a.data", "b.data"), ("base.cfg", "other.cfg", "a.data")])
def test_one_base_and_one_data_file(words):
    result = run("train", *words, "--k", 4)
    assert result.exit_code == 2
    assert "BASE.cfg" in result.stderr


def test_data_that_is_not_there(base):
    result = run("train", base, "nosuch", "--k", 4)
    assert (result.exit_code, result.stderr) == (1, "Error: nosuch: cannot be read: No such file or directory\n")


def test_the_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    entry = Update(3, 12, 0.001, 32, 32, 2.5, 2.25, None, None, 0.5, 0, 0.75)
    with Bar() as bar:
        bar.cached(4, 8)
        bar.cached(8, 8)
        bar.begin(2, 4)
        bar.step(entry)
        assert bar._shown.current_item == "3/4 loss 2.250, mAP 75.0 %, 8.0 pictures/s"
        bar.say("told")
        assert bar._shown is not None
    assert bar._shown is None


LONG_TRAINING = """
from darkshare.cli.training import Bar
from darkshare.training.journal import Update
with Bar() as shown:
    shown.begin(0, 500500)
    for number in range(1, 100):
        measured = 0.4567 if number > 3 else None
        shown.step(Update(number, 64 * number, 0.001, 416, 416, 123.456, 123.456, 0.5, 0.5, 0.01, 0, measured))
"""


@pytest.mark.skipif(os.name != "posix", reason="a terminal is made of a pair of pseudo-terminals")
@pytest.mark.parametrize("columns", [80, 60])
def test_a_bar_stays_on_one_line_of_a_terminal(columns):
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    words = [sys.executable, "-c", LONG_TRAINING]
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=theirs, env={**kept, "PYTHONPATH": str(ROOT.parent)}
    ) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := os.read(ours, 65536):
                said += piece
    os.close(ours)
    assert process.returncode == 0
    lines = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", said.decode()).replace("\n", "\r").split("\r")
    assert any("99/500500 loss 123.456" in line for line in lines)
    assert max(map(len, lines)) < columns
    assert said.count(b"\n") <= 1


def test_the_bar_of_several_tasks_counts_the_updates_of_all(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    entry = Update(3, 12, 0.001, 32, 32, 2.5, 2.25, None, None, 0.5, 0, 0.75)
    with Bar() as bar:
        one, two = bar.of("a"), bar.of("b")
        one.begin(2, 4)
        two.begin(0, 10)
        assert bar._shown.length == 2 + 10
        two.step(entry)
        one.step(entry)
        assert bar._shown.pos == 2
        assert bar._shown.current_item == "a: 3/4 loss 2.250, mAP 75.0 %, 8.0 pictures/s"
