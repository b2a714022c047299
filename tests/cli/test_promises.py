"""A file name that promises another format than what a command writes is refused before anything is done."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from conftest import run

from darkshare.cli import COMMANDS, main
from darkshare.darknet.model import load, save
from darkshare.errors import BadValue

STEMS = ("add-task", "concat", "mix", "snap", "classes", "anchors", "train", "reduce", "branch")
FOLDERS = ("split", "detect", "evaluate", "kit", "sweep", "suggest-k", "plan", "import-data", "demo")
FILES = ("cut", "draw", "export", "import-weights", "report", "stats")
REQUIRED = {"train": ["--k", 1], "sweep": ["--k", 1], "kit": ["--k", 1], "cut": ["--k", 1]}


def test_every_output_is_looked_at():
    commands = {name: main.get_command(click.Context(main), name) for name in COMMANDS}
    assert {n for n, one in commands.items() if one and any("-o" in option.opts for option in one.params)} == {
        *STEMS, *FOLDERS, *FILES,
    }  # fmt: skip


def words_of(name: str, output: object) -> list[object]:
    files = {"demo": [], "import-data": ["x"], "detect": ["x.cfg", "x.png"]}.get(name, ["x.cfg"])
    return [name, *files, *REQUIRED.get(name, []), "-o", output]


@pytest.mark.parametrize("name", STEMS)
@pytest.mark.parametrize(
    ("output", "is_what"),
    [("x.onnx", "an ONNX model"), ("a/x.TFLite", "a TensorFlow model"), ("x.json", "JSON"), ("x.data", "a .data file")],
)
def test_a_stem_promises_no_other_format(name, output, is_what):
    what = f"would be the stem of a network's files, but the name promises {is_what}; leave out {Path(output).suffix}"
    assert run(*words_of(name, output), code=1).stderr == f"Error: {output}: {what}\n"


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize(("output", "is_what"), [("x.png", "a picture"), ("x.mp4", "a video"), ("x.cfg", "a Dark")])
def test_a_folder_promises_no_file(name, output, is_what):
    result = run(*words_of(name, output), code=1)
    assert f"{output}: would be a folder, but the name promises {is_what}" in result.stderr


def test_a_folder_that_is_there_may_have_any_name(tmp_path):
    (tmp_path / "x.png").mkdir()
    assert "x.cfg: cannot be read" in run(*words_of("detect", tmp_path / "x.png"), code=1).stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("cut", "--k", 4, "-o", "x.onnx"),
            "would be Darknet weights, but the name promises an ONNX model; end",
        ),
        (("cut", "--k", 4, "-o", "x.cfg"), "would be Darknet weights, but the name promises a Darknet cfg"),
        (("import-weights", "x.onnx", "-o", "x.cfg"), "would be Darknet weights, but the name promises a Darknet cfg"),
        (("export", "-o", "x.weights"), "an ONNX file ends in .onnx"),
        (("export", "-o", "x.xml"), "an ONNX file ends in .onnx"),
        (("stats", "-o", "x.csv"), "would be rows as text, but the name promises a table in CSV; say --format csv"),
        (
            ("stats", "-o", "x.json", "--format", "csv"),
            "would be rows as csv, but the name promises JSON; say",
        ),
        (("stats", "-o", "x.png"), "would be rows as text, but the name promises a picture; end it in .txt"),
        (("stats", "--html", "x.png"), "would be a web page, but the name promises a picture; end it in .html"),
        (("stats", "--plot", "x.tflite"), "no such kind of figure; end its name in .png"),
        (("stats", "--plot", "x.png", "--plot", "x.html"), "no such kind of figure; end its name in .png"),
        (("report", "-o", "x.json"), "would be a web page, but the name promises JSON; end it in .html"),
        (("draw", "-o", "x.json"), "no such kind of drawing; end its name in .html, .htm, .png, .svg or .pdf"),
        (("bench", "--plot", "x.gif"), "no such kind of figure"),
        (("savings", "--plot", "x.csv"), "no such kind of figure"),
        (
            ("evaluate", "x.data", "--csv", "x.json"),
            "would be a table in CSV, but the name promises JSON; end",
        ),
        (("evaluate", "x.data", "--plot", "x.csv"), "no such kind of figure"),
    ],
)
def test_files(tiny, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    name, *others = words
    assert says in run(name, tiny, *others, code=1).stderr
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("output", ["both", "both.cfg", "both.weights", "v1.2", "x.conv.74", "a.onnx/both"])
def test_other_names_are_stems(tiny, tmp_path, output):
    written = run("classes", tiny, "--rename", "class_0=a", "-o", tmp_path / output, code=0).stderr
    stem = output.removesuffix(".cfg").removesuffix(".weights")
    assert str(tmp_path / f"{stem}.cfg") in written


def test_the_library_refuses_them_too(tiny, tmp_path):
    with pytest.raises(BadValue, match=r"x\.onnx: would be the stem of a network's files, but the name"):
        save(load(tiny), tmp_path / "x.onnx")
