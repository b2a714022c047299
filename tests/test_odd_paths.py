"""Paths at which nothing can be: a link to itself, a NUL byte, a name that is too long, a folder that is a file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
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
suggest-k m.cfg {}.data|plan m.cfg t={}.csv --max-loss 1
plan m.cfg t=l.csv --max-loss 1 -o {}|detect m.cfg {} -o o|detect m.cfg {}.txt -o o|detect {}.cfg a.png -o o
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
    Path("l.csv").write_text("k,loss\n3,1\n")
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


@pytest.fixture
def bounded() -> Iterator[None]:
    """A hang, or the reading of what never ends, fails."""
    resource = pytest.importorskip("resource")
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    before = resource.getrlimit(resource.RLIMIT_AS)

    def stop(*_: object) -> None:
        raise AssertionError("it hangs")

    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**32, before[1]))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
    resource.setrlimit(resource.RLIMIT_AS, before)


# Files that are opened: `special` is a pipe or a link to a device, `m` a good model, `d.data` a good data set.
OPENED = (
    """
detect m.cfg special.jpg|detect m.cfg special.txt|detect m.cfg special.mp4|detect special.onnx a.png
detect special.xml a.png|detect n.cfg a.png|detect x.xml a.png|info special.cfg|info m.cfg special.weights|info n.cfg
info w.cfg|info t.cfg|check special.data|check special.cfg|check n.cfg|check w.cfg|check t.cfg|check l.data
check p.data|check q.data|check r.data|import-data special.json -o o|import-data special.csv -o o
import-data special.yaml -o o|import-data special.xml -o o|import-data l.data -o o|import-data p.data -o o
import-data q.data -o o|import-data r.data -o o|import-data l.txt --names special.names -o o
import-data special.txt --names m.names -o o|mix m.cfg m.cfg --recipe special.json -o o
mix m.cfg m.cfg --recipe special.yaml -o o|classes m.cfg --fresh special.names -o o|evaluate m.cfg special.data
evaluate m.cfg l.data|evaluate m.cfg p.data|evaluate m.cfg q.data|evaluate m.cfg r.data|evaluate n.cfg d.data
anchors m.cfg l.data -o o|anchors m.cfg r.data -o o|kit m.cfg l.data --k 3 -o o|kit n.cfg d.data --k 3 -o o
concat m.cfg n.cfg --k 3 -o o|concat m.cfg m.weights special.weights --k 3 -o o|split t.cfg -o o|frozen m.cfg w.cfg
stats m.cfg special.weights|suggest-k m.cfg l.data|plan m.cfg special.csv --max-loss 1
bench m.cfg w.cfg --rounds 6
export w.cfg -o o.onnx|export n.cfg -o o.onnx
export m.cfg --precision int8 --calibrate special.txt -o o.onnx
export m.cfg --precision int8 --calibrate special.jpg -o o.onnx
""".strip()
    .replace("\n", "|")
    .split("|")
)
TRAINED = (
    """
train m.cfg l.data --k 3 -o o|train m.cfg r.data --k 3 --batches 1 -o o|train m.cfg p.data --k 3 -o o
train n.cfg d.data --k 3 -o o
train m.cfg d.data --k 3 --batches 1 --batch 2 --resume -o checkpoint
sweep m.cfg l.data --k 3 -o o|sweep m.cfg d.data --k 3 --batches 1 --batch 2 -o swept
""".strip()
    .replace("\n", "|")
    .split("|")
)
MADE = (  # beside the good ones, where a special file plays a part without being named
    "n.names", "w.weights", "t.tasks.json", "x.bin", "special.list", "special.png", "labelled.txt",
    "checkpoint.checkpoint", "swept/sweep.json",
)  # fmt: skip


NOTED = ("evaluate m.cfg r.data", "train m.cfg r.data --k 3 --batches 1 -o o")  # and done without that file
REFUSED = ("not a regular file", "not beside it", "no such file", "no picture that it lists is there")


@pytest.mark.parametrize("device", ["pipe", "/dev/zero"])
@pytest.mark.parametrize("command", [*OPENED, *(pytest.param(one, marks=pytest.mark.slow) for one in TRAINED)])
def test_what_is_not_a_file_is_refused_at_once(here, bounded, command, device):
    """A pipe would block and a device never end, be it by a link."""
    if command in TRAINED or command.startswith("suggest-k"):
        pytest.importorskip("torch")
    for stem in "nwt":
        Path(f"{stem}.cfg").write_bytes(Path("m.cfg").read_bytes())
    Path("labelled.png").write_bytes(Path("a.png").read_bytes())
    Path("x.xml").write_text("<net/>")
    for stem, name in (("p", "special.png"), ("r", "labelled.png")):
        Path(f"{stem}.txt").write_text(f"{name}\n")
    for stem, train, names in (
        ("l", "special.list", "m"),
        ("p", "p.txt", "m"),
        ("q", "l.txt", "n"),
        ("r", "r.txt", "m"),
    ):
        Path(f"{stem}.data").write_text(f"classes=2\ntrain={train}\nvalid={train}\nnames={names}.names\n")
    for path in map(Path, {*(word for word in command.split() if word.startswith("special")), *MADE}):
        path.parent.mkdir(parents=True, exist_ok=True)
        if device == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(device)
    found = run(*command.split())
    assert found.exit_code == (0 if command in NOTED else 1)
    assert any(what in found.output for what in REFUSED), found.output


def test_a_device_is_not_replaced_by_an_output(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DarkshareError, match="cannot be written: not a regular file"):
        write_all({tmp_path / "pipe": [b"a"]})
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_the_lock_of_a_trial_is_a_file(tmp_path, bounded):
    pytest.importorskip("torch")
    from darkshare.choose_k.trial_run import _claimed

    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(DarkshareError, match=r"\.lock: cannot be written: not a regular file"), _claimed(tmp_path):
        pass
