"""The page of the paper's figures: every command of docs/how-to/paper.md runs, on small networks of the same names."""

from __future__ import annotations

import re
import shlex

import pytest
from conftest import ROOT, TRAINABLE, needs_torch, network_of, run, seeded_floats, write_model
from labelled import NAMES, draw, write_data
from sweeps import trained_here

PAGE = (ROOT / "docs" / "how-to" / "paper.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^darkshare (.*)$", "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)), re.MULTILINE)
SMALL = {"0,41,49,65,74": "4", "74": "4", "65": "3", "49": "2", "41": "1"}  # k of these networks
QUICK = ("--seeds", 1, "--batches", 1, "--batch", 4, "--threads", 1, "--workers", 0, "--device", "cpu")


@pytest.fixture
def named_as_in_the_paper(tmp_path, monkeypatch):
    """A base, two models that were trained from it, and the data of both tasks, in the current folder."""
    monkeypatch.chdir(tmp_path)
    network = network_of(TRAINABLE)
    for seed, name in enumerate(("yolov3", "logo", "text")):
        write_model(
            tmp_path / name, TRAINABLE, seeded_floats(network, 1) + seeded_floats(network, seed) / 10, names=NAMES
        )
    (tmp_path / "logo.cfg").unlink()
    write_data(tmp_path, draw(tmp_path, 6), valid=2).rename("logo.data")
    (tmp_path / "text.data").write_text((tmp_path / "logo.data").read_text())


def test_the_page_has_figures_1_to_5_and_the_table():
    assert re.findall(r"figure-(\d)", " ".join(COMMANDS)) == ["1", "2", "3", "4", "5", "5"]
    assert [line.split()[0] for line in COMMANDS][4:] == ["sweep", "sweep", "savings"]


@pytest.mark.usefixtures("named_as_in_the_paper", "undrawn")
@pytest.mark.parametrize("line", [line for line in COMMANDS if "figure-5-text" not in line])
def test_each_command_draws_its_figure(line, tmp_path, monkeypatch):
    words = [SMALL.get(word, word) for word in shlex.split(line)]
    if words[0] == "sweep":
        needs_torch()
        monkeypatch.setattr("darkshare.choose_k.sweep.run_here", trained_here)
        words += QUICK
    said = run(*words, code=0).stdout
    assert said
    for path in (word for word in words if str(word).endswith(".pdf")):
        assert (tmp_path / path).read_bytes().startswith(b"%PDF")
