"""A few seconds of fuzzing with the engine that needs nothing, and what the mutations and the runner promise."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import attack
import mutation
import pytest
import run
from conftest import ROOT
from targets import TARGETS

from darkshare.darknet.cfg import dumps, parse
from darkshare.darknet.kinds import DIALECTS
from darkshare.darknet.network import problems
from darkshare.errors import DarkshareError

RUNS = 300  # mutations of each target


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_finds_nothing_in_its_seeds_and_some_mutations(name, tmp_path):
    target = TARGETS[name]
    corpus = target.seeds()
    count = len(corpus)
    with attack.prepared(name, target, tmp_path) as judge:
        attack.attack(judge, target, corpus, seconds=60, runs=count + RUNS, seed=1)
    assert {what: find.text for what, find in judge.finds.items()} == {}
    assert judge.executions == count + RUNS
    if name not in ("numbers", "html", "onnx", "onnx-weights", "names", "journals"):  # whose inputs all end alike
        assert len(corpus) > count


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_small_and_the_dictionary_has_words(name):
    assert all(len(data) <= mutation.LARGEST for data in TARGETS[name].seeds())
    assert len(TARGETS[name].words()) >= 9


# mutations


def parts_of(data: bytes) -> list[str]:
    cfg = parse(data.decode("utf-8", "surrogateescape"))
    return ["".join(line.text for line in part.lines) for part in cfg.sections]


def changed(before: list, after: list) -> tuple[int, int]:
    """How many items between those at both ends that two lists share were replaced by how many."""
    least = min(len(before), len(after))
    head = next((i for i in range(least) if before[i] != after[i]), least)
    tail = next((i for i in range(least - head) if before[-1 - i] != after[-1 - i]), least - head)
    return len(before) - head - tail, len(after) - head - tail


def test_random_cfgs_resolve_and_hold_most_kinds():
    rng = Random(3)
    kinds = set()
    for _ in range(100):
        cfg = mutation.random_cfg(rng)
        found = [network for fork in DIALECTS if (network := problems(cfg, dialect=fork)[0])]
        assert found
        kinds |= {layer.kind.name for layer in found[0].layers}
    assert len(kinds) > 25


def test_a_broken_cfg_differs_in_one_section_or_in_the_order_of_two():
    rng = Random(4)
    refused = 0
    for _ in range(300):
        whole = dumps(mutation.random_cfg(rng)).encode()
        broken = mutation.break_cfg(whole, rng)
        before, after = parts_of(whole), parts_of(broken)
        found = changed(before, after)
        assert found in ((0, 0), (1, 1), (0, 1), (1, 0), (1, 2), (2, 1)) or sorted(before) == sorted(after)
        forks = [fork for fork in DIALECTS if problems(parse(whole.decode()), dialect=fork)[0]]
        text = broken.decode("utf-8", "surrogateescape")
        refused += not any(problems(parse(text), dialect=fork)[0] for fork in forks)
    assert 60 < refused < 240  # neither all nor none are still networks


def places(one: object, other: object) -> int:
    """In how many places two JSON values differ; a key that is called something else is one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return int(one.keys() != other.keys()) + sum(places(one[key], other[key]) for key in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return sum(map(places, one, other))
    return int(json.dumps(one) != json.dumps(other))


@pytest.mark.parametrize("name", ["tasks", "coco", "coco-text", "recipes"])
def test_broken_json_is_json_that_differs_in_one_place(name):
    (whole, *_) = TARGETS[name].seeds()
    rng = Random(5)
    broken = [mutation.break_json(whole, rng) for _ in range(300)]
    found = [places(json.loads(whole), json.loads(data.decode("utf-8", "surrogatepass"))) for data in broken]
    assert set(found) <= {0, 1}
    assert sum(found) > 250
    assert mutation.break_json(b"{", rng) == b"{"


@pytest.mark.parametrize(
    ("breaks", "data", "apart"),
    [
        (mutation.break_xml, TARGETS["voc"].seeds()[0], b"<"),
        (mutation.break_lines, b"".join(b"%d 2 3\n" % i for i in range(9)), b"\n"),
    ],
)
def test_one_place_of_xml_or_of_lines_is_broken(breaks, data, apart):
    rng = Random(6)
    seen = set()
    for _ in range(200):
        broken = breaks(data, rng)
        seen.add(broken)
        before, after = data.split(apart), broken.split(apart)
        assert max(changed(before, after)) <= 3 or sorted(before) == sorted(after)
    assert len(seen) > 50


def test_havoc_changes_a_stretch_of_any_input():
    rng = Random(7)
    assert {mutation.havoc(b"", rng, [b"word"]) for _ in range(50)} >= {b"", b"word"}
    assert len({mutation.havoc(b"0123456789", rng, [b"word"]) for _ in range(200)}) > 100


# the judge and the runner


def planted(monkeypatch, function, name: str = "numbers") -> None:
    monkeypatch.setitem(TARGETS, name, TARGETS[name]._replace(prepare=lambda folder: function))


def fails_for_some(data: bytes) -> None:
    if b"e" in data:
        raise ValueError("planted")
    if b"x" in data:
        raise DarkshareError("is not a number")


def test_a_planted_fault_is_found_kept_and_shown_again(monkeypatch, tmp_path, capsys):
    planted(monkeypatch, fails_for_some)
    folder = tmp_path / "numbers"
    (folder / "corpus").mkdir(parents=True)
    words = ["numbers", "--engine", "own", "-o", str(tmp_path)]
    assert run.main([*words, "--child", "fuzz", "--runs", "200"]) == 0
    kept, told = sorted(folder.glob("find-*"))
    assert b"e" in kept.read_bytes()
    assert "ValueError" in told.read_text()
    assert f"python fuzz/run.py numbers --input {kept}" in told.read_text()
    capsys.readouterr()
    assert run.main([*words, "--input", str(kept)]) == 1
    assert "ValueError: planted" in capsys.readouterr().out
    kept.write_bytes(b"1")
    assert run.main([*words, "--input", str(kept)]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


@pytest.mark.parametrize("limit", ["SLOWEST", "MOST_MEMORY"])
def test_what_is_slow_or_large_is_a_find(monkeypatch, tmp_path, limit):
    monkeypatch.setattr(attack, limit, -1)
    monkeypatch.setattr(attack, "_peak", iter(range(9)).__next__)
    judge = attack.Judge("numbers", len, tmp_path)
    assert judge(b"1") == {"SLOWEST": "slow", "MOST_MEMORY": "memory"}[limit]
    assert len(judge.finds) == 1


def test_a_hang_ends_and_is_a_find(monkeypatch, tmp_path):
    def hang(data: bytes) -> None:
        while data == b"1":
            pass

    planted(monkeypatch, hang)
    monkeypatch.setattr(attack, "LONGEST", 0.05)
    with attack.prepared("numbers", TARGETS["numbers"], tmp_path) as judge:
        attack.attack(judge, TARGETS["numbers"], [b"0", b"1", b"2"], seconds=0, runs=0, seed=1)
    (what,) = judge.finds
    assert what.startswith("Hang in test_fuzz.py")
    assert judge.executions == 3


def test_the_runner_prints_a_table_and_keeps_the_corpus(tmp_path, capfd):
    words = ["tasks", "--engine", "own", "--runs", "200", "-o", str(tmp_path)]
    assert run.main(words) == 0
    head, row, total = capfd.readouterr().out.splitlines()
    assert head.split() == ["target", "executions", "per", "second", "minutes", "edges", "lines", "corpus", "finds"]
    cells = [re.split(r"  +", line.strip()) for line in (row, total)]
    assert [row[:2] for row in cells] == [["tasks", "200"], ["all", "200"]]
    reached, _, lines = cells[0][5].partition(" of ")
    assert 40 < int(reached) <= int(lines) < 200
    assert len(list((tmp_path / "tasks" / "corpus").iterdir())) == int(cells[0][6]) > 3
    assert cells[1][7] == "0"
    assert max(map(len, (head, total))) <= 80


def test_what_a_process_worked_on_when_it_crashed_is_kept(tmp_path):
    code = (
        "import sys, os, pathlib; sys.path[:0] = sys.argv[1:3]; import attack\n"
        "judge = attack.Judge('numbers', lambda data: data == b'bad' and os.abort(), pathlib.Path(sys.argv[3]))\n"
        "judge(b'something good'); judge(b'bad')"
    )
    folder = tmp_path / "numbers"
    words = [sys.executable, "-c", code, Path(run.__file__).parent, ROOT, folder]
    done = subprocess.run(words, check=False, capture_output=True)
    assert done.returncode == -signal.SIGABRT
    run._keep_crash(folder, "signal 6")
    kept, told = sorted(folder.glob("find-*"))
    assert kept.read_bytes() == b"bad"
    assert f"numbers --input {kept}" in told.read_text()


def test_an_input_belongs_to_one_target(capsys):
    with pytest.raises(SystemExit):
        run.main(["--input", "x"])
    assert "--input is for one target: name it" in capsys.readouterr().err


def test_an_unknown_target_is_named(capsys):
    assert run.main(["nmes"]) == 2
    assert "there is no target nmes; there are cfg, check" in capsys.readouterr().err


def test_lines_are_those_of_functions(tmp_path):
    target = TARGETS["numbers"]
    lines = attack.lines_of(target)
    (path,) = lines
    text = Path(path).read_text().splitlines()
    assert all(text[line - 1].strip() for line in lines[path])
    assert not any(text[line - 1].startswith(("def ", "class ", "import ")) for line in lines[path])
    with attack.prepared("numbers", target, tmp_path) as judge:
        few, all_of_them = attack.covered(judge, target, [b"1"], 60)
        more, _ = attack.covered(judge, target, [b"1", b"inf", b"99999999999"], 60)
    assert 0 < few < more < all_of_them == len(lines[path])
