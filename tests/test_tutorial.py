"""The tutorial: every command of docs/tutorial.md runs, in order, and says what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, needs_torch, run

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
MERGING, RETRAINING = PAGE.split("\n## Your own data\n")
# What makes the second half short; its figures are those of the whole training, so only the commands are tried.
QUICK = {"--epochs 10": "--batches 2 --batch 4 --workers 0", "--train 400 --valid 100": "--train 12 --valid 4"}


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a part of the page, each with the lines that it prints there."""
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    _, *found = re.split(r"^\$ ", blocks, flags=re.MULTILINE)
    return [(line, rest.splitlines()) for line, _, rest in (one.partition("\n") for one in found)]


def typed(line: str) -> str:
    """What a command prints that ends well."""
    program, *words = shlex.split(line)
    if program == "darkshare":
        return run(*words, code=0).output
    if program == "python":
        program, words[0] = sys.executable, str(ROOT / words[0])
    return subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout


def stripped(line: str) -> str:
    """A line without numbers that the engine rounds, and without the width of a column."""
    return " ".join(re.sub(r"0\.\d+", "", line).split())


def test_two_models_become_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line, said in commands(MERGING):
        printed = {"", "...", *(stripped(one) for one in typed(line).splitlines())}
        assert [one for one in said if stripped(one) not in printed] == [], line
    assert Path("found/street.png").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_task_of_one_s_own(tmp_path, monkeypatch):
    needs_torch()
    monkeypatch.chdir(tmp_path)
    run("demo", "-o", "demo", code=0)
    text = RETRAINING
    for long, short in QUICK.items():
        assert long in text
        text = text.replace(long, short)
    printed = {line: typed(line) for line, _ in commands(text)}
    assert any("layers 0..12 are bit-identical (k=13)" in one for one in printed.values())
    assert any("darknet_ap50_beside" in one for one in printed.values())
