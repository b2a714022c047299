"""Commands meet hostile inputs with one line of error, and leave nothing behind.

`info` and `check` meet every input: what is wrong with a file is found by one reader, which all commands share. Every
other command meets one input of each class of error, which shows that it lets the reader's message through.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import growth, network_of, run, seeded_floats, tiny_text, write_model
from hostile import CASES, DATA, LARGE, LITERAL, SMALL, Case, Given

from darkshare.analysis.check import check
from darkshare.cli import COMMANDS as ALL_COMMANDS
from darkshare.cli import main
from darkshare.darknet.model import load
from darkshare.errors import DarkshareError

# How each command takes a model; a new command joins with one line.
COMMANDS = {
    "info": ["MODEL"],
    "draw": ["MODEL", "-o", "out.svg"],
    "report": ["MODEL", "-o", "out.html"],
    "check": ["MODEL"],
    "stats": ["GOOD", "MODEL"],
    "frozen": ["GOOD", "MODEL", "--k", "2"],
    "concat": ["GOOD", "MODEL", "--k", "2", "-o", "out"],
    "savings": ["MODEL"],
    "mix": ["GOOD", "MODEL", "--k", "2", "-o", "out"],
    "snap": ["GOOD", "MODEL", "--k", "2", "-o", "out"],
    "verify": ["GOOD", "MODEL", "--pictures", "1"],
    "split": ["MODEL", "-o", "out"],
    "cut": ["MODEL", "--k", "2", "-o", "out"],
    "detect": ["MODEL", "photo.jpg", "-o", "out"],
    "classify": ["MODEL", "photo.jpg"],
    "engines": ["MODEL", "--rounds", "6"],
    "bench": ["GOOD", "MODEL", "--k", "2", "--rounds", "6"],
    "reduce": ["MODEL", "--keep", "all", "-o", "out"],
    "branch": ["MODEL", "--after", "2", "-m", "2", "-o", "out"],
    "export": ["MODEL", "-o", "out"],
    "evaluate": ["MODEL", "masks.data"],
    "classes": ["MODEL", "--keep", "0", "-o", "out"],
    "anchors": ["MODEL", "masks.data", "-o", "out"],
    "kit": ["MODEL", "masks.data", "--k", "2", "-o", "out"],
    "train": ["MODEL", "masks.data", "--k", "2", "-o", "out"],
    "sweep": ["MODEL", "masks.data", "--k", "2", "-o", "out"],
    "suggest-k": ["MODEL"],
    "plan": ["MODEL", "text=losses.csv", "--max-loss", "1"],
    "add-task": ["MODEL", "masks.data", "-o", "out"],
}
READERS = ("info", "check")
# One input of each class of error, of each file that may be to blame, and of each way to be incomplete.
ONE_OF_EACH = (
    "bom.cfg",  # CfgSyntaxError, in a line
    "json.cfg",  # CfgSyntaxError, of the whole file
    "[upsmaple] for [upsample]",  # UnknownKind
    "filters=0 for filters=8",  # BadValue, of a key
    "width=2000000000 for width=32",  # BadValue, of a section
    "layers: far out of range",  # BadReference
    "mask=0,1,2 for mask=0,1",  # ShapeMismatch
    "one line of 10 MB",  # refused before it is read
    "weights: ends inside seen",  # WeightsSize, in the header
    "weights: ends inside variances",  # WeightsSize, too short
    "weights: a float too many",  # WeightsSize, too long
    "weights: end between layers",  # fine for some commands
    "cfg: missing",  # an error of the system
    "cfg: pipe",  # a file that would never end
    "weights: missing",
    "weights: device",
    "too few names",
    "tasks that are not JSON",
    "tasks of another cfg",
)
TIME, MEMORY = 5, 2  # at most, as multiples of what a small good model takes
ROOT = Path(__file__).parent.parent


def arguments(command: str, given: Given, folder: Path) -> list[str]:
    """The command line for a case; `GOOD` is a model without fault."""
    words: list[str] = [command]
    for word in COMMANDS[command]:
        if word == "MODEL":
            words += map(str, given.arguments)
        elif word == "GOOD":
            text = tiny_text()
            words.append(str(write_model(folder / "good", text, seeded_floats(network_of(text), 1))))
        else:
            words.append(word)
    return words


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path with its size and time of change."""
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in sorted(folder.rglob("*"))}


def given_for(case: Case, folder: Path) -> Given:
    given = case.make(folder)
    if "forbidden" in case.name and os.access(given.blamed, os.R_OK):
        pytest.skip("this user may read everything")
    return given


def met() -> list[object]:
    """Which command meets which input."""
    pairs = [(case, command) for case in CASES for command in COMMANDS if command in ALL_COMMANDS]
    return [
        pytest.param(case, command, id=f"{case.name[:60]}-{command}")
        for case, command in pairs
        if command in READERS or case.name in ONE_OF_EACH
    ]


@pytest.mark.parametrize(("case", "command"), met())
def test_a_bad_input_gives_one_line_and_exit_code_1(case, command, tmp_path, monkeypatch):
    if command in case.fine_for:
        pytest.skip(f"{command} takes such a file")
    if command == "sweep":
        pytest.importorskip("torch", reason="sweep asks for PyTorch before it reads anything")
    monkeypatch.chdir(tmp_path)
    given = given_for(case, tmp_path)
    words = arguments(command, given, tmp_path)
    before = contents(tmp_path)
    result = run(*words, code=1)
    assert contents(tmp_path) == before
    place = str(given.blamed) if given.line is None else f"{given.blamed}:{given.line}:"
    lines = result.output.splitlines() if command == "check" else [result.stderr.rstrip("\n")]
    named = [line for line in lines if place in line and case.says in line]
    assert named, result.output
    assert all(line.isprintable() for line in lines)
    if command != "check":
        assert result.stdout == ""
        assert named[0].startswith("Error: ")


def test_every_command_that_takes_a_model_is_tried():
    commands = {name: main.get_command(None, name) for name in ALL_COMMANDS}
    takes_models = {
        name
        for name, command in commands.items()
        if any(
            param.name in ("files", "paths", "cfg") for param in command.params if param.param_type_name == "argument"
        )
    }
    assert takes_models <= set(COMMANDS)


def test_the_collection_is_large_and_every_stored_file_is_used():
    assert len(CASES) >= 60
    assert {name for name, *_ in LITERAL} == {path.name for path in DATA.glob("*.cfg")}
    assert len({case.name for case in CASES}) == len(CASES)


def test_one_of_each_covers_every_class_of_error(tmp_path):
    def error_of(case: Case) -> type[Exception]:
        folder = tmp_path / str(CASES.index(case))
        folder.mkdir()
        with pytest.raises(DarkshareError) as caught:
            load(*case.make(folder).arguments)
        return caught.type

    long = {name for name, *_ in LARGE} - {*ONE_OF_EACH}  # of classes that short ones have too
    cases = [case for case in CASES if "forbidden" not in case.name and case.name not in long]
    chosen = [case for case in cases if case.name in ONE_OF_EACH]
    assert len(chosen) == len(ONE_OF_EACH)
    assert {error_of(case) for case in chosen} == {error_of(case) for case in cases if case not in chosen}


def test_the_good_model_behind_the_cases_is_good(tiny):
    for command in ("info", "check"):
        run(command, tiny, code=0)


MEASURED = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "darkshare", *sys.argv[1:]], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss)
print(done.stderr + done.stdout)
"""
SLOW = ("10 MB", "20 MB", "300 000", "200 000", "million", "10 000", "30 000", "names of 2 MB", "1000000000", "deep")


def heaviest() -> list[Case]:
    """The cases that could take time or memory, and one of the others to compare with."""
    return [case for case in CASES if any(word in case.name for word in SLOW)] + [CASES[0]]


def measured(words: list[str]) -> tuple[int, float, int, str]:
    """(exit code, CPU seconds, bytes, output) of a whole process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *words], capture_output=True, text=True, env=environment, check=True
    )
    numbers, _, output = done.stdout.partition("\n")
    code, seconds, kilobytes = numbers.split()
    return int(code), float(seconds), int(kilobytes) * 1024, output


@pytest.fixture(scope="module", params=["info", "check"])
def good_run(request, tmp_path_factory) -> tuple[str, float, int]:
    """A command, and the CPU seconds and bytes that it takes on this machine now for a small good model."""
    text = tiny_text()
    cfg = write_model(tmp_path_factory.mktemp("good") / "tiny", text, seeded_floats(network_of(text), 1))
    runs = [measured([request.param, str(cfg)]) for _ in range(3)]
    assert [code for code, *_ in runs] == [0] * 3
    return request.param, min(seconds for _, seconds, *_ in runs), max(memory for *_, memory, _ in runs)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
@pytest.mark.parametrize("case", heaviest(), ids=lambda case: case.name[:60])
def test_a_bad_input_takes_little_more_than_a_small_good_model(case, good_run, tmp_path):
    command, least, usual = good_run
    code, seconds, memory, output = measured([command, *map(str, case.make(tmp_path).arguments)])
    assert code == 1, output
    assert "Traceback" not in output
    assert seconds < TIME * least
    assert memory < MEMORY * usual


# What may be long within a cfg, and must be read to its end before the fault is found.
GROWING = {
    "layers": (lambda count: SMALL + "[dropout]\n" * count + "[drop]\n", "unknown section"),
    "unknown sections": (lambda count: SMALL + "[a]\n" * count, "unknown section"),
    "options": (lambda count: SMALL + "a=b\n" * count + "size=0\n", "size=0"),
    "references": (lambda count: SMALL + "[route]\nlayers=" + "0," * count + "9\n", "refers to layer 9"),
    "empty lines": (lambda count: "\n" * count, r"no \[section\]"),
}


@pytest.mark.parametrize("text", GROWING)
def test_time_grows_with_the_input_and_no_faster(text):
    build, says = GROWING[text]

    def prepared(count):
        source = build(count)

        def refused():
            with pytest.raises(DarkshareError, match=says):
                network_of(source)

        return refused

    assert growth(prepared, 5000) < 8


ONE = "[convolutional]\nfilters=4\n"
# Much that fits together: nothing ends the reading, and every rule of `check` looks at it.
FITTING = {
    "routes": lambda count: SMALL + "[route]\nlayers=-1\n" * count,
    "routes to the first layer": lambda count: SMALL + "[route]\nlayers=0\n" * count,
    "routes on one pixel": lambda count: SMALL.replace("=8", "=1") + "[route]\nlayers=-1\n" * count,
    "attention": lambda count: SMALL + "[sam]\nfrom=-1\n" * count,
    "dropout": lambda count: SMALL + "[dropout]\n" * count,
    "recurrent": lambda count: SMALL + "[gru]\n" * count,
    "shared weights": lambda count: SMALL + ONE + f"{ONE}share_index=-1\n" * (count // 4),
    "heads": lambda count: SMALL + "[convolutional]\nfilters=6\n[yolo]\nnum=1\nclasses=1\n" * (count // 4),
    "references behind options": lambda count: SMALL + "[route]\n" + "a=b\n" * count + "layers=" + "0," * count + "0\n",
    "wrong references": lambda count: SMALL + "[route]\n" + "a=b\n" * count + "layers=" + "9," * count + "9\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("text", FITTING)
def test_time_of_a_check_grows_with_the_layers_and_no_faster(tmp_path, text):
    def prepared(count):
        path = tmp_path / f"{count}.cfg"
        path.write_text(FITTING[text](count))
        return lambda: check(path)

    assert growth(prepared, 3000) < 8


def test_a_long_chain_of_routes_is_followed_to_its_end(tmp_path):
    path = tmp_path / "m.cfg"
    path.write_text(FITTING["routes on one pixel"](3000))
    assert [one.message.partition(",")[0] for one in check(path)] == ["no layer works on an image larger than 1x1"]
