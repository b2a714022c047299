"""The next command after each that makes something: there is one, and it runs as it is printed."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import residuals
from classifiers import TAIL, TRUNK
from conftest import TRAINABLE, needs_torch, network_of, run, seeded_floats, write_model
from labelled import draw_classes

from darkshare._tables import printable
from darkshare.cli import COMMANDS, WORDS
from darkshare.cli.hints import NEXT, again
from darkshare.darknet.model import load, save
from darkshare.darknet.typed import next_command

CLASSIFIER = TRUNK + TAIL.format(filters=8, classes=3)
MADE_NOTHING = {
    "info",
    "draw",
    "report",
    "check",
    "stats",
    "frozen",
    "detect",
    "classify",
    "engines",
    "bench",
    "savings",
    "evaluate",
    "completion",
    "git-diff",
}
QUICK = ["--batches", 1, "--batch", 4, "--threads", 1, "--workers", 0]
FAST = {"train": ["--threads", "1", "--workers", "0", "--validate-every", "0"], "suggest-k": ["--threads", "1"]}
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def desk(base, data, tmp_path, monkeypatch) -> Path:
    """A folder with a blank in its name that has two models of one trunk and a data set, as the current one."""
    folder = tmp_path / "my models"
    folder.mkdir()
    for path in base.parent.glob("base.*"):
        path.rename(folder / path.name)
    base, floats = folder / "base.cfg", seeded_floats(network_of(TRAINABLE), 1)
    other = floats.copy()
    other[network_of(TRAINABLE).start(5) :] *= 1.5
    write_model(folder / "text", TRAINABLE, other, names=("red", "blue"))
    write_model(folder / "classifier", CLASSIFIER, seeded_floats(network_of(CLASSIFIER), 1))
    (folder / "new.names").write_text("red\nblue\n")
    monkeypatch.chdir(tmp_path)
    return folder


def hint(*words: object, code: int = 0) -> list[str]:
    """The words of the next command, which is the last line of a command's stderr."""
    line = run(*words, code=code).stderr.splitlines()[-1]
    assert line.startswith("next: "), line
    return shlex.split(line.removeprefix("next: darkshare "))


def follow(words: list[str]) -> None:
    """Run a command with its placeholders filled, and short."""
    filled = {"PICTURE": "images/0.png", "DATA.data": "squares.data", "30": "1"}
    filled |= {f"BASE{suffix}": f"my models/base{suffix}" for suffix in (".cfg", ".weights")}
    if words[0] in FAST:
        needs_torch()
    run(*(filled.get(word, word) for word in words), *FAST.get(words[0], []), code=0)


def test_every_command_that_makes_something_has_a_next_one():
    assert set(COMMANDS) - MADE_NOTHING - {"kit", "plan"} == set(NEXT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "begin"),
    [
        ("concat B T --k 5 -o 'a b/both'", "detect 'a b/both.cfg' 'a b/both.weights' PICTURE"),
        ("mix B T --k 5 -o mixed", "evaluate mixed.cfg mixed.weights DATA.data"),
        ("snap B T --k 5 -o snapped", "concat B W snapped.cfg snapped.weights --k 5 -o both"),
        ("snap B T --k 5 -o both", "concat B W both.cfg both.weights --k 5 -o merged"),
        ("cut B --k 4 -o x.conv.4", "train B x.conv.4 DATA.data --k 4 --epochs 30 --batch 64 --subdivisions 8"),
        ("cut B --k 4 --full -o x.weights", "train B x.weights DATA.data --k 4"),
        ("cut B --k 4 --full --for T -o x.weights", "train T x.weights DATA.data --k 4"),
        ("cut C --k 5 -o x.conv.5", "info C"),
        ("export B -o b.onnx", "detect b.onnx PICTURE"),
        ("export B -o b.onnx --decode", "engines B W"),
        ("export B -o b.onnx --batch 4", "engines B W"),
        ("export B -o b.onnx --batch dynamic", "detect b.onnx PICTURE"),
        ("export B -o b.onnx --dynamic-size", "detect b.onnx PICTURE"),
        ("export C -o b.onnx", "classify b.onnx PICTURE"),
        ("classes B --rename cat=lion -o c", "detect c.cfg c.weights PICTURE"),
        ("classes B --fresh N -o c", "suggest-k c.cfg c.weights DATA.data"),
        ("classes B --add logo -o c", "suggest-k c.cfg c.weights DATA.data"),
        ("anchors B squares.data -o a", "suggest-k a.cfg a.weights squares.data"),
        ("suggest-k B squares.data --k 4 --threads 1", "train B W squares.data --k 4 --epochs 30"),
        ("suggest-k B", "train B W DATA.data --k"),
        ("import-data squares.data -o set", "suggest-k BASE.cfg BASE.weights set/set.data"),
        ("train B squares.data --k 5 -o t", "concat B W t.cfg t.weights --k 5 -o both"),
        ("train B squares.data --k 0 -o t", "detect t.cfg t.weights PICTURE"),
        ("train B squares.data --k 5 -o t --size 64x32", "concat B W t.cfg t.weights --k 5 --size 64x32 -o both"),
        ("demo -o d", "detect d/both.cfg d/both.weights d/street.png"),
    ],
)
def test_what_is_printed_runs(desk, words, begin):
    def spelled(text: str) -> list[str]:
        names = {"B": "base.cfg", "W": "base.weights", "T": "text.cfg", "N": "new.names", "C": "classifier.cfg"}
        return [f"my models/{names[word]}" if word in names else word for word in shlex.split(text)]

    given = spelled(words)
    if given[0] in ("train", "suggest-k"):
        needs_torch()
    found = hint(*given, *(QUICK if given[0] == "train" else []))
    assert found[: len(spelled(begin))] == spelled(begin)
    follow(found)


def test_the_part_of_a_merged_network_is_looked_at(desk):
    run("concat", "my models/base.cfg", "my models/text.cfg", "--k", 5, "-o", "both", code=0)
    found = hint("split", "both.cfg", "-o", "a part")
    assert found == ["detect", "a part/base.cfg", "a part/base.weights", "PICTURE"]
    follow(found)


def test_a_network_without_weights_is_looked_at_itself(desk):
    Path("my models/base.weights").unlink()
    found = hint("classes", "my models/base.cfg", "--keep", "cat", "-o", "c")
    assert found == ["info", "c.cfg"]
    follow(found)
    found = hint("anchors", "my models/base.cfg", "squares.data", "-o", "c")
    assert found[:5] == ["train", "c.cfg", "squares.data", "--k", "0"]
    follow(found)


def test_the_best_network_is_merged_where_the_last_is_not_the_best(desk, monkeypatch):
    needs_torch()
    from darkshare.training import train as module

    measured = iter([0.9, 0.1])
    judge = module.evaluate_model

    def scored(model, *, dataset):
        found = judge(model, dataset=dataset)
        monkeypatch.setattr(type(found), "mean", next(measured), raising=False)
        return found

    monkeypatch.setattr(module, "evaluate_model", scored)
    words = ["my models/base.cfg", "squares.data", "--k", 5, "-o", "t", "--validate-every", 1]
    found = hint("train", *words, "--batches", 2, *QUICK[2:])
    assert found[3:5] == ["t-best.cfg", "t-best.weights"]
    follow(found)


def test_a_partial_base_is_not_merged(desk):
    needs_torch()
    run("cut", "my models/base.cfg", "--k", 5, "-o", "base.conv.5", code=0)
    found = hint("train", "my models/base.cfg", "base.conv.5", "squares.data", "--k", 5, "-o", "t", *QUICK)
    assert found == ["detect", "t.cfg", "t.weights", "PICTURE"]


@pytest.mark.slow
def test_the_best_training_of_a_sweep_is_merged(desk):
    needs_torch()
    words = ["my models/base.cfg", "squares.data", "--k", "0,4", "--seeds", 1, "-o", "a sweep", *QUICK]
    found = hint("sweep", *words)
    net = "a sweep/trials/k4-seed1/net"
    base = ["my models/base.cfg", "my models/base.weights"]
    assert found == ["concat", *base, f"{net}.cfg", f"{net}.weights", "--k", "4", "-o", "both"]
    follow(found)


@pytest.mark.slow
def test_a_stopped_training_goes_on(desk, monkeypatch):
    needs_torch()
    from darkshare.cli.training import Bar

    def strike(self, entry):
        raise KeyboardInterrupt

    words = [
        "my models/base.cfg",
        "squares.data",
        "--k",
        4,
        "-o",
        "t",
        *QUICK[2:],
        "--batches",
        3,
        "--validate-every",
        0,
    ]
    with monkeypatch.context() as patch:
        patch.setattr(Bar, "step", strike)
        found = hint("train", *words, code=130)
    assert found == ["train", *map(str, words), "--resume"]
    run(*found, code=0)


@pytest.mark.slow
def test_branches_are_trained(tmp_path, monkeypatch):
    needs_torch()
    monkeypatch.chdir(tmp_path)
    net = residuals.small_darknet()
    save(net, tmp_path / "net")
    draw_classes(tmp_path / "set", 3, names=net.tasks[0].names)
    for words in ("reduce net.cfg -o r", "branch net.cfg --after 'block 2' -m 2 --tolerance 100% -o b"):
        found = hint(*shlex.split(words))
        k = 0 if words.startswith("reduce") else max(task.k for task in load("b.cfg").tasks)
        assert found[0] == "train"
        assert found[found.index("--k") + 1] == str(k)
        follow(["set" if word == "DATA.data" else word for word in found])


def test_the_readme_of_a_kit_is_read(desk):
    line = run("kit", "my models/base.cfg", "squares.data", "--k", 4, "-o", "a kit", code=0).stderr.splitlines()[-1]
    command, path = shlex.split(line.removeprefix("next: "))
    assert command == "cat"
    assert Path(path).read_text().startswith("#")


def test_json_has_no_hint(desk):
    words = ["classes", "my models/base.cfg", "--rename", "cat=lion", "-o", "c"]
    assert "next: " not in run(*words, "--format", "json", code=0).output
    assert "next: " in run(*words, "--format", "csv", code=0).stderr
    assert "next: " not in run("import-data", "squares.data", "-o", "set", "--format", "json", code=0).output


@pytest.mark.parametrize(
    "stem",
    [
        "plain",
        "my  two blanks",
        "it's",
        "-dash",
        "--k",
        "-o",
        "gr\udcfcn",
        "line\nend",
        "tab\t",
        "back\\slash'\udcff",
        "größe",
        "$HOME",
        "*",
    ],
)
def test_bash_reads_a_hint_as_the_names_that_it_means(stem):
    """What is printed, as a terminal shows it, is pasted into bash, which tells the words that a command would get."""
    line = printable(next_command("detect", f"{stem}.cfg", "--k", 3, "-o", stem))
    shell = line.replace("next: darkshare", r"printf '%s\0'")
    got = subprocess.run(["bash", "-c", os.fsencode(shell)], capture_output=True, check=True).stdout.split(b"\0")
    at = "./" if stem.startswith("-") else ""
    option = stem in ("--k", "-o")  # as it would be typed
    assert got[:-1] == list(
        map(os.fsencode, ["detect", f"{at}{stem}.cfg", "--k", "3", "-o", stem if option else at + stem])
    )


def test_the_running_command_is_given_again_with_options_before_the_files_that_may_begin_with_a_dash():
    context = click.Context(click.Command("made"), info_name="made")
    context.meta[WORDS] = ["--k", "3", "--", "-x.cfg"]
    with context, contextlib.redirect_stderr(io.StringIO()) as err:
        again("--more")
    assert err.getvalue() == "next: darkshare made --k 3 --more -- -x.cfg\n"
