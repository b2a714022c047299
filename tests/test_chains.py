"""Trainings that are killed again and again, and go on: the same bytes as one that nobody disturbed.

DARKSHARE_KILLS says how often a sweep is killed, which starts two processes each time.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, needs_torch
from labelled import draw, write_data

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked for each run")]

KILLS = 20
SWEEP_KILLS = int(os.environ.get("DARKSHARE_KILLS", "4"))
QUICK = "--batch 2 --subdivisions 1 --workers 0 --threads 1 --device cpu --checkpoint-every 0"
# One process imports what a training needs; for each line with a moment and words it forks one that runs these, and
# kills itself before the step of this number.
FORKING = """
import os, signal, sys
import torch, matplotlib.figure, cv2
from itertools import count
from darkshare.cli import main, training

STEPS = ("open", "os.rename", "os.link", "os.remove")
for line in sys.stdin:
    moment, *words = line.split()
    child = os.fork()
    if not child:
        steps = count(1)

        def hook(event, _):
            if event in STEPS and next(steps) == int(moment):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        main(words)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path, draw(tmp_path, 6), valid=2)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def untimed(path: Path) -> list[dict[str, str]]:
    """The rows of a table without what depends on the clock."""
    with open(path, encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if "seconds" not in name} for row in csv.DictReader(file)]


def models(folder: Path) -> dict[str, bytes]:
    """All files that a training leaves, without its journal and the figure of that."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".csv", ".png", ".json"))
    kept = (path for path in files if path.name not in (".lock", "log.txt"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def test_twenty_kills_of_a_training(base, data, tmp_path):
    needs_torch()
    rng, options = np.random.default_rng(0), f"--k 4 --batches 40 --validate-every 20 {QUICK} --resume"
    with subprocess.Popen(
        [sys.executable, "-c", FORKING],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as forking:

        def code_of(moment: int, folder: str) -> int:
            (tmp_path / folder).mkdir(exist_ok=True)
            forking.stdin.write(f"{moment} train {base} {data} {options} -o {tmp_path / folder / 'net'}\n")
            forking.stdin.flush()
            while not (line := forking.stdout.readline().strip()).lstrip("-").isdigit():
                pass  # what a training prints
            return int(line)

        assert code_of(0, "whole") == 0
        killed = [code_of(int(rng.integers(15, 70)), "killed") for _ in range(KILLS)]
        assert killed == [-signal.SIGKILL] * KILLS
        assert code_of(0, "killed") == 0
        forking.stdin.close()
    assert models(tmp_path / "killed") == models(tmp_path / "whole")
    assert untimed(tmp_path / "killed" / "net.csv") == untimed(tmp_path / "whole" / "net.csv")
    assert [path.name for path in (tmp_path / "killed").glob(".*")] == []


def lines_of(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.csv"))


def children_of(process: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by /proc")
def test_kills_of_a_sweep_and_of_its_trainings(base, data, tmp_path):
    """In turn the sweep, whose training then ends, and the training, which the sweep tells."""
    needs_torch()
    rng = np.random.default_rng(0)
    words = f"sweep {base} {data} --k 3 --seeds 1 --batches 40 --validate-every 20 {QUICK}".split()

    def started(folder: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "darkshare", *words, "-o", str(tmp_path / folder)]
        return subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert started("whole").wait() == 0
    for number in range(SWEEP_KILLS):
        running = started("killed")
        target = lines_of(tmp_path / "killed") + int(rng.integers(2, 12))
        while lines_of(tmp_path / "killed") < target and running.poll() is None:
            time.sleep(0.01)
        (training,) = children_of(running.pid)
        os.kill(training if number % 2 else running.pid, signal.SIGKILL)
        assert running.wait() == (1 if number % 2 else -signal.SIGKILL)
        while Path(f"/proc/{training}").exists():
            time.sleep(0.01)
    assert started("killed").wait() == 0
    assert models(tmp_path / "killed") == models(tmp_path / "whole")
    for path in (tmp_path / "whole").rglob("*.csv"):
        assert untimed(tmp_path / "killed" / path.relative_to(tmp_path / "whole")) == untimed(path)
    results = [json.loads((tmp_path / folder / "results.json").read_text()) for folder in ("whole", "killed")]
    assert results[0]["choices"][0].keys() == results[1]["choices"][0].keys()
    assert results[0]["failed"] == results[1]["failed"] == []
    assert not list((tmp_path / "killed").rglob(".darkshare-*"))
