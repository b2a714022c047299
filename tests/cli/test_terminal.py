"""The terminal: output that nobody reads on, lines that fit, what is said and when."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from classifiers import classifier
from conftest import ROOT, needs_torch, run, write_pair
from labelled import draw, write_data
from residuals import small_resnet

from darkshare._version import __version__
from darkshare.cli import COMMANDS, main
from darkshare.cli.progress import bar, watched
from darkshare.darknet.model import save

TRAINING = "--k 3 --batches 1 --batch 2 --subdivisions 1 --workers 0"
LINES = [  # every command, with output
    "info base.cfg", "draw base.cfg -o base.svg", "check base.cfg",
    "report merged.cfg photo.png -o report.html",
    "stats base.cfg other.cfg", "stats base.cfg", "frozen base.cfg other.cfg --k 4",
    "savings base.cfg --k 4", "concat base.cfg other.cfg --k 4 -o both", "verify base.cfg base.cfg --pictures 1",
    "split merged.cfg -o apart", "mix base.cfg other.cfg --k 4 -o mixed", "snap base.cfg other.cfg --k 4 -o snapped",
    "import-data squares.data -o imported", "classes base.cfg", "anchors base.cfg squares.data",
    "evaluate base.cfg squares.data --by-order", "kit base.cfg squares.data --k 4 -o kit", "cut base.cfg --k 4",
    "detect base.cfg photo.png -o found", "classify colour.cfg photo.png",
    "export base.cfg --for opencv --runner cpp -o a.onnx", "engines",
    "plan base.cfg text=losses.csv --max-loss 2 -o planned",
    "reduce resnet.cfg --list", "branch paired.cfg --after 4 -m 2", "demo -o demo", "completion bash",
    "git-diff base.cfg", "import-weights base.cfg base.onnx -o imported.weights",
]  # fmt: skip
SLOW = [
    "bench base.cfg other.cfg --k 4 --rounds 6", "suggest-k base.cfg squares.data",
    "add-task base.cfg squares.data --k 3 --batches 1 --batch 2 -o grown",
    f"train base.cfg squares.data -o net {TRAINING}", f"sweep base.cfg squares.data --seeds 1 -o sweep {TRAINING}",
]  # fmt: skip
EVERY = [*LINES, *(pytest.param(line, marks=pytest.mark.slow) for line in SLOW)]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with models of all sorts, a data set and a picture."""
    folder = tmp_path_factory.mktemp("made")
    base, other = write_pair(folder)
    write_data(folder, draw(folder, 24), valid=4)
    cv2.imwrite(str(folder / "photo.png"), np.zeros((48, 64, 3), np.uint8))
    (folder / "losses.csv").write_text("k,loss\n0,0\n4,1.5\n")
    save(small_resnet(), folder / "resnet")
    save(classifier(), folder / "colour")
    run("reduce", folder / "resnet.cfg", "--keep", "all", "-o", folder / "paired", code=0)
    run("concat", base, other, "--k", 4, "-o", folder / "merged", code=0)
    run("export", base, "-o", folder / "base.onnx", code=0)
    return folder


@pytest.fixture
def desk(made, monkeypatch) -> Path:
    monkeypatch.chdir(made)
    return made


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch, *words: str, columns: int = 80, **environment: str) -> tuple[str, str]:
    """What a terminal of so many columns gets on stdout and stderr."""
    out, err = Terminal(), Terminal()
    for name, value in {"COLUMNS": str(columns), **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    main(list(words), standalone_mode=False)
    return out.getvalue(), err.getvalue()


def test_the_list_has_every_command():
    assert {line.split()[0] for line in (*LINES, *SLOW)} == set(COMMANDS)


@pytest.mark.parametrize("line", EVERY)
def test_a_command_whose_output_nobody_reads_ends_well(line, desk, monkeypatch):
    """As before `| head`: it does its work, says nothing of it and exits with 0."""
    if line.split()[0] in ("train", "sweep", "suggest-k"):
        needs_torch()
    reader, writer = os.pipe()
    os.close(reader)
    err = io.StringIO()
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            main(line.split(), prog_name="darkshare")
        assert ended.value.code == 0, err.getvalue()
    assert "roken" not in err.getvalue()


@pytest.mark.parametrize(
    ("line", "code"),
    [("info merged.cfg", 0), ("--help", 0), ("info --help", 0), ("check none.cfg", 1)],
)
def test_the_exit_code_behind_a_pipe_is_the_commands(line, code, desk):
    program = f"{sys.executable} -m darkshare {line}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {program} 2>&1 | true"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


@pytest.mark.parametrize("line", LINES)
def test_tables_and_notes_fit_80_columns(line, desk, monkeypatch):
    if line == "completion bash":
        pytest.skip("a script is not read by people")
    out, _ = shown(monkeypatch, *line.split())
    pasted = ("next: ", "for f in ")  # begins what goes into a shell as it is
    assert [text for text in out.splitlines() if len(text) > 80 and not text.startswith(pasted)] == []


def test_a_wide_table_is_broken_only_for_a_terminal_that_is_narrow(desk, monkeypatch):
    narrow, _ = shown(monkeypatch, "stats", "base.cfg")
    wide, _ = shown(monkeypatch, "stats", "base.cfg", columns=200)
    assert narrow.count("layer  kind") > wide.count("layer  kind") == 1
    monkeypatch.undo()
    monkeypatch.chdir(desk)
    monkeypatch.setenv("COLUMNS", "80")
    assert run("stats", "base.cfg", code=0).stdout == wide


OPENING = ["command", "version", "inputs", "options"]


@pytest.mark.parametrize(
    "line", [line for line in EVERY if not any(name in str(line) for name in ("completion", "add-task", "git-diff"))]
)
def test_json_is_one_envelope_that_names_every_file(line, desk):
    """Alone on stdout. Each file that is new or has changed is in `written`, or in a folder that is."""
    if line.split()[0] in ("train", "sweep", "suggest-k"):
        needs_torch()
    before = {path: path.stat().st_mtime_ns for path in desk.rglob("*") if path.is_file()}
    found = json.loads(run(*line.split(), "--format", "json", code=0).stdout)
    assert [*found][:4] == OPENING
    assert [*found][-3:] == ["rows", "written", "notes"]
    assert (found["command"], found["version"]) == (line.split()[0], __version__)
    assert {word for word in line.split() if word.endswith((".cfg", ".data"))} <= {*found["inputs"]}
    assert {name: found["options"].get(name) for name in ("format",)} == {"format": "json"}
    written = [desk / name for name in found["written"]]
    changed = {p for p in desk.rglob("*") if p.is_file() and before.get(p) != p.stat().st_mtime_ns}
    assert [path for path in written if not path.exists()] == []
    assert [path for path in changed if not {path, *path.parents} & {*written}] == []
    assert all(isinstance(row, dict) for row in found["rows"])


def test_json_says_k_and_classes_by_number(desk):
    def asked(*words):
        return json.loads(run(*words, "--format", "json", code=0).stdout)

    merged = asked("concat", "base.cfg", "other.cfg", "-o", "both")
    assert [(one["name"], one["k"], one["classes"]) for one in merged["tasks"]] == [
        ("base", 0, ["red", "blue"]),
        ("other", 4, ["red", "blue"]),
    ]
    assert asked("snap", "base.cfg", "other.cfg", "--k", 4, "-o", "snapped")["k"] == 4
    assert asked("cut", "base.cfg", "--k", 4)["options"]["k"] == 4
    rows = asked("evaluate", "base.cfg", "squares.data", "--by-order")["rows"]
    assert [row["class_id"] for row in rows] == [0, 1, None]
    rows = asked("detect", "base.cfg", "photo.png", "-o", "found", "--thresh", 0)["rows"]
    assert {(row["class_id"], row["name"]) for row in rows} == {(0, "red"), (1, "blue")}


def test_inputs_are_models_and_data_and_what_stands_on_the_line(desk):
    (desk / "list.txt").write_text("photo.png\n")
    for words, expected in {
        ("detect", "base.cfg", "list.txt", "-o", "found"): {"list.txt"},
        ("detect", "base.cfg", "photo.png", "-o", "found"): {"photo.png"},
        ("check", "base.cfg", "squares.data"): {"squares.data"},
    }.items():
        found = json.loads(run(*words, "--format", "json", code=0).stdout)["inputs"]
        assert {Path(name).name for name in found} == {"base.cfg", "base.weights", "base.names"} | expected


@pytest.mark.parametrize("line", LINES[:8])
def test_nothing_is_coloured(line, desk, monkeypatch):
    """So NO_COLOR has nothing to switch off."""
    without = shown(monkeypatch, *line.split(), NO_COLOR="1")
    assert without == shown(monkeypatch, *line.split(), NO_COLOR="")
    assert not re.search(r"\x1b\[[\d;]*m", "".join(without))


@pytest.mark.parametrize("label", ["", "pictures of a long label"])
@pytest.mark.parametrize("count", [7, 400, 1_000_000])
def test_bars_stay_on_one_line(monkeypatch, label, count):
    err = Terminal()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", err)
    now = iter(range(10**6))
    monkeypatch.setattr("click._termui_impl.time.time", lambda: next(now))  # a bar that lasts, so it has an estimate
    for _, _ in zip(watched(range(count), count, label=label, show=lambda: "1234.5 frames/s"), range(9), strict=False):
        pass
    with bar(count) as moved, bar(count, label=label[:8], shows_text=True) as told:
        for _ in range(7):
            moved.update(1)
            told.update(1, "1/1000000 loss 12345.678, mAP 100.0 %, 12345.6 pictures/s and more that is cut off")
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\w]*", "", err.getvalue()))
    assert "frames/s" in err.getvalue()
    assert max(len(line.rstrip()) for line in lines) < 80


def test_a_quiet_command_prints_its_result_alone(desk):
    loud, quiet = (run("cut", "base.cfg", "--k", 4, *more, code=0) for more in ([], ["-q"]))
    assert loud.stdout == quiet.stdout == "base.conv.4\n"
    assert "next: " in loud.stderr
    assert quiet.stderr == ""


def test_a_quiet_command_tells_of_errors_and_warnings(desk):
    assert "cannot be read" in run("info", "none.cfg", "--quiet", code=1).stderr
    result = run("detect", "base.cfg", "none.png", "photo.png", "-o", "seen", "-q", code=1)
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["Error"]
    assert run("concat", "base.cfg", "colour.cfg", "--k", 4, "-q").stderr.startswith("Error: ")


def test_a_quiet_command_shows_no_bar(desk, monkeypatch):
    words = ["check", "squares.data"]
    monkeypatch.setattr("darkshare.cli.inspection.MANY", 1)
    assert "%" in shown(monkeypatch, *words)[1] or "/" in shown(monkeypatch, *words)[1]
    assert shown(monkeypatch, *words, "-q")[1] == ""


def test_a_talkative_command_says_what_it_read(desk):
    assert "read base.cfg, base.weights, base.names\ntook " in run("info", "base.cfg", "-v", code=0).stderr
    assert " read no file\n" in run("info", "none.cfg", "-v", code=1).stderr
    assert run("info", "base.cfg", "-v", "-q", code=0).stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_quiet_or_talkative(name):
    context = click.Context(main, **main.context_settings)
    found = {one for param in main.get_command(context, name).get_params(context) for one in param.opts}
    assert {"-q", "--quiet", "-v", "--verbose", "--help"} <= found
