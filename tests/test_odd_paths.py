"""Paths at which nothing can be: a link to itself, a NUL byte, a name that is too long, a folder that is a file."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import TRAINABLE, network_of, run, seeded_floats, write_model

from darkshare._files import exists, is_file, is_folder, read_small, resolved, write_all
from darkshare.errors import DarkshareError

SUFFIXES = (".cfg", ".data", ".weights", ".txt", ".json", ".png", ".onnx", ".names", "")
NAMES = {
    "a link to itself": "loop",
    "below a link to itself": "loop/a",
    "a NUL byte": "a\0b",
    "a long path": "x" * 5000,
    "a long name": "d/" + "y" * 300,
    "below a file": "m.names/a",
}
COMMANDS = (
    """
info {}.cfg|info m.cfg -o {}|check {}.cfg|check {}.data|stats m.cfg {}.weights
stats m.cfg m.weights m.weights --plot {}.png|stats m.cfg m.weights m.weights --html {}.html|savings {}.cfg
savings m.cfg --plot {}.png|frozen m.cfg {}.cfg|concat {}.cfg m.cfg --k 3 -o o|concat m.cfg m.cfg --k 3 -o {}
verify m.cfg {}.cfg|verify m.cfg {}.onnx|verify m.cfg m.cfg --images {}|verify m.cfg m.cfg --images {}.txt
split {}.cfg -o o|cut {}.cfg --k 3 -o o|cut m.cfg --k 3 -o {}|mix m.cfg {}.cfg --k 3 -o o
snap m.cfg {}.cfg --k 3 -o o|classes {}.cfg --add a -o o|classes m.cfg --fresh {} -o o
anchors m.cfg {}.data -o o|kit m.cfg {}.data --k 3 -o o|kit m.cfg d.data --k 3 -o {}
train m.cfg {}.data --k 3 -o o|train m.cfg {} --k 3 -o o
train m.cfg d.data --k 3 --batches 1 --threads 1 -o {}|evaluate m.cfg {}.data|evaluate m.cfg {}
evaluate m.cfg d.data --plot {}.png|evaluate m.cfg d.data --csv {}.csv|sweep m.cfg {}.data --k 3 -o o
suggest-k m.cfg {}.data|detect m.cfg {} -o o|detect m.cfg {}.txt -o o|detect {}.cfg a.png -o o
detect {}.onnx a.png -o o|classify m.cfg {} -o o|bench m.cfg {}.cfg|engines {}.cfg|export {}.cfg -o o
export m.cfg --precision int8 --calibrate {} -o o.onnx
export m.cfg --precision int8 --calibrate {}.txt -o o.onnx|import-data {} -o o|import-data {}.json -o o
reduce {}.cfg -o o|import-data {}.txt --names m.names -o o|import-data l.txt --names {}.names -o o
import-data l.txt --names m.names -o {}|branch {}.cfg --k 3 -o o|demo {}
""".strip()
    .replace("\n", "|")
    .split("|")
)


OUTPUTS = ("-o {}", "--plot", "--html", "--csv")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A detector, a data set of one picture, and links to themselves."""
    monkeypatch.chdir(tmp_path)
    write_model(Path("m"), TRAINABLE, seeded_floats(network_of(TRAINABLE), 1), names=("red", "blue"))
    assert cv2.imwrite("a.png", np.zeros((8, 8, 3), np.uint8))
    Path("a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    Path("l.txt").write_text("a.png\n")
    Path("d.data").write_text("classes=2\ntrain=l.txt\nvalid=l.txt\nnames=m.names\n")
    for suffix in SUFFIXES:
        Path(f"loop{suffix}").symlink_to(f"loop{suffix}")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_at_which_nothing_can_be_is_a_message(here, command):
    for what, name in NAMES.items():
        if what == "a link to itself" and any(output in command for output in OUTPUTS):
            continue  # which is replaced by what is written
        found = run(*(word.format(name) for word in command.split()))
        assert found.exit_code in (1, 2), (what, found.output)
        assert "rror: " in found.output, (what, found.output)


@pytest.mark.parametrize("name", NAMES.values())
def test_nothing_is_there(here, name):
    assert (exists(name), is_file(name), is_folder(name)) == (False, False, False)
    assert resolved(name).name == Path(name).name
    with pytest.raises(DarkshareError, match=r"cannot be read|holds a NUL byte"):
        read_small(Path(name))


def test_a_path_is_resolved_as_far_as_it_goes(here):
    Path("link").symlink_to("m.cfg")
    assert resolved("link") == here.resolve() / "m.cfg"
    with pytest.raises(DarkshareError, match="cannot be written: not the name of a file"):
        write_all({Path("b"): [b"b"], Path("a\0"): [b"a"]})
    assert not Path("b").exists()


@pytest.mark.parametrize("stem", ["gr\udcfcn  m", r"it's $\frac{$ m"])
@pytest.mark.parametrize(
    "words",
    [
        "detect M.cfg M.png -o M --save picture,json,csv,yolo,coco",
        "export M.cfg -o x.onnx",
        "export M.cfg --decode -o x.onnx",
        "stats M.cfg m.cfg --plot M.png --html M.html",
        "concat M.cfg m.cfg --k 3 -o M2",
        "kit M.cfg M.data --k 3 -o M",
        "evaluate M.cfg M.data --plot M.svg",
        "check M.cfg M.data",
        "import-data M.data -o M --findings M.csv --split 0",
    ],
)
def test_bytes_that_are_not_utf8_and_what_looks_like_a_formula_may_be_in_any_name(here, stem, words):
    write_model(here / stem, TRAINABLE, seeded_floats(network_of(TRAINABLE), 1))
    Path(f"{stem}.names").write_bytes(b"r\xe9d\n$^{$\n")
    Path(f"{stem}.png").write_bytes(Path("a.png").read_bytes())
    Path(f"{stem}.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.25 0.5\n")
    Path(f"{stem}.list").write_bytes(os.fsencode(f"{stem}.png\n"))
    lists = f"train={stem}.list\nvalid={stem}.list\n"
    Path(f"{stem}.data").write_bytes(os.fsencode(f"classes=2\n{lists}names={stem}.names\n"))
    found = run(*(word.replace("M", stem) for word in words.split()))
    assert found.exit_code == (1 if words.startswith("check") else 0), found.output  # names= holds a blank


@pytest.mark.parametrize("device", ["pipe", "/dev/zero"])
@pytest.mark.parametrize(
    "command",
    [
        "detect m.cfg {}.jpg",
        "detect m.cfg {}.txt",
        "detect m.cfg {}.mp4",
        "detect {}.onnx p.png",
        "detect {}.xml p.png",
        "info {}.cfg",
        "info m.cfg {}.weights",
        "check {}.data",
        "import-data {}.json -o o",
        "import-data {}.csv -o o",
        "import-data {}.yaml -o o",
        "import-data l.txt --names {}.names -o o",
        "mix m.cfg m.cfg --recipe {}.json -o o",
        "classes m.cfg --fresh {}.names -o o",
    ],
)
def test_what_is_not_a_file_is_refused_at_once(here, command, device):
    """A pipe would block and a device never end, be it by a link."""
    words = [word.format("special") for word in command.split()]
    for word in [word for word in words if word.startswith("special")]:
        if device == "pipe":
            os.mkfifo(word)
        else:
            Path(word).symlink_to(device)
    found = run(*words, code=1)
    assert "not a regular file" in found.output
