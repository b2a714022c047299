"""No fault costs a file: every command that writes, under every fault.

All places of every fault are tried with DARKSHARE_ALL_FAULTS=1, which takes an hour; else some, always the same ones.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

if sys.platform != "linux":
    pytest.skip("faults are made by means of Linux", allow_module_level=True)

from faults.columns import COLUMNS, WAYS
from faults.rows import ROWS
from faults.running import MARK, SLOW, Bench, Row, Tree, is_part
from faults.server import Server

from darkshare.cli import COMMANDS, main
from darkshare.inference.media.sinks import FORMATS

ROOT = Path(__file__).parents[2]
EVERY = os.environ.get("DARKSHARE_ALL_FAULTS") == "1"
COSTLY = 8  # commands from this cost on meet a fifth of the faults, each another one, unless all are tried
WRITES = re.compile(r"Write|Draw|Path of the new|The (file|folder) to|Folder for")
NEEDS = {"train": "torch", "sweep": "torch", "export in int8": "onnxruntime", "export for OpenVINO": "nncf"}


@pytest.fixture(scope="module")
def server():
    with Server() as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_fault_costs_a_file(row, server):
    if find_spec(library := NEEDS.get(row.name, "darkshare")) is None:
        pytest.skip(f"needs {library}")
    if row.cost == SLOW and not EVERY:
        pytest.skip("takes seconds for each fault; DARKSHARE_ALL_FAULTS=1 tries it")
    only = list(COLUMNS)[ROWS.index(row) % 5 :: 5] if row.cost >= COSTLY and not EVERY else list(COLUMNS)
    found = server.ask(row.name, every=EVERY, only=only)
    assert list(found) == only
    assert {name: fault["wrong"] for name, fault in found.items() if fault["wrong"]} == {}
    if skipped := {name: fault["skipped"] for name, fault in found.items() if fault["skipped"]}:
        pytest.skip(f"the other faults were tried, and {skipped}")


def test_every_option_that_names_an_output_is_in_the_matrix():
    for name in set(COMMANDS) - {"add-task", "suggest-k"}:  # whose steps and whose sweep are commands of the matrix
        words = {word for row in ROWS for word in row.words.split() if row.words.split()[0] == name}
        for option in main.get_command(click.Context(main), name).params:
            if isinstance(option, click.Option) and ("-o" in option.opts or WRITES.match(option.help or "")):
                assert {*option.opts} & words, f"{name} {option.opts} is in no row of faults/rows.py"


def test_every_format_of_detect_is_in_the_matrix():
    saved = {one for row in ROWS for words in re.findall(r"--save (\S+)", row.words) for one in words.split(",")}
    assert saved == set(FORMATS)


def test_the_page_of_faults_has_every_command_and_every_fault():
    head, _, *lines = (line for line in (ROOT / "docs/reference/faults.md").read_text().splitlines() if line[:1] == "|")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, *lines)]
    assert cells[0][1:] == list(COLUMNS), "run: python docs/make_faults.py"
    assert [row[0] for row in cells[1:]] == [row.name for row in ROWS], "run: python docs/make_faults.py"
    assert all(all(row) and len(row) == len(cells[0]) for row in cells)


# --- whether anything would be found


@pytest.fixture
def judge(tmp_path):
    """One that knows what was there and what should be, and has run nothing."""
    bench = object.__new__(Bench)
    bench.row = Row("x", "x", lambda folder, kind: None, sets={"b": "b"}, grows="csv$")
    bench.before = {"in": None, "in/a": b"a", "out": None}
    bench.old = {"out/a": b"1", "out/a2": b"1", "out/b": b"1", "out/c.csv": b"1\n"}
    bench.new = {"out/a": b"2", "out/a2": b"2", "out/b": b"2", "out/c.csv": b"2\n3\n"}
    bench.temporary = tmp_path
    return bench


OLD: Tree = {"in": None, "in/a": b"a", "out": None, "out/a": b"1", "out/a2": b"1", "out/b": b"1", "out/c.csv": b"1\n"}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, ""),
        ({"out/b": b"2"}, ""),
        ({"out/a": b"2", "out/a2": b"2", "out/c.csv": b"2\n"}, ""),
        ({"out/a": b"2"}, "set 'all' is"),
        ({"out/a": b""}, "set 'all' is"),
        ({"out/b": b"3"}, "set 'b' is"),
        ({"out/c.csv": b"3\n"}, "out/c.csv is broken"),
        ({"in/a": b"b"}, "input in/a is not what it was"),
        ({"in/b": b"b"}, "input in/b is not what it was"),
        ({f"out/{MARK}1": b""}, f"out/{MARK}1 is left"),
        ({"out/strange": b""}, "out/strange is not of this command"),
        ({"strange": b""}, "strange is not of this command"),
    ],
)
def test_what_is_wrong_is_found(judge, change, wrong):
    found = judge.wrong(OLD | change, "")
    assert len(found) == bool(wrong)
    assert wrong in "".join(found)


def test_what_a_killed_run_left_among_the_systems_temporary_files_is_found(judge, tmp_path):
    (tmp_path / "tried").write_bytes(b"blat")
    (tmp_path / "left").write_bytes(b"x")
    assert judge.wrong(OLD, "") == [f"{tmp_path / 'left'} is left"]


@pytest.mark.parametrize(
    ("name", "data", "fine"),
    [
        ("a.json", b"[1]", True),
        ("a.json", b"[1", False),
        ("a.json", b"[2]", False),
        ("a.csv", b"[1", True),
        ("a.csv", b"[2", False),
        ("a.avi", b"x", True),
    ],
)
def test_the_begin_of_a_file_is_known(name, data, fine):
    assert is_part(name, data, b"[1, 2]") == fine


@pytest.mark.parametrize("way", WAYS)
def test_in_every_way_the_output_is_the_input(tmp_path, way):
    (tmp_path / "in").mkdir()
    (tmp_path / "out" / "deep").mkdir(parents=True)
    own, out = tmp_path / "in" / "a", tmp_path / "out" / "deep" / "b"
    own.write_bytes(b"input")
    out.write_bytes(b"output")
    WAYS[way](tmp_path, out, own)
    assert own.read_bytes() == out.read_bytes() == b"input"
    assert own.samefile(out)
