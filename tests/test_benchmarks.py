"""The programs in benchmarks/ take too long for a test, but they must still fit the package."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from conftest import needs_torch

FOLDER = Path(__file__).parent.parent / "benchmarks"
HEAVY = ("cv2", "onnx", "torch")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_finds_all_that_it_imports(path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    try:
        names = runpy.run_path(str(path), run_name="imported")
    except ModuleNotFoundError as error:
        if error.name not in HEAVY:
            raise
        pytest.skip(f"{error.name} is not installed")
    assert names["__doc__"]


def stand_in(path: Path, *lines: str) -> Path:
    """A program of a shell."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_the_gpu_benchmark_goes_through_its_motions(tmp_path, monkeypatch):
    """With a Darknet that takes 0.2 s for an update."""
    needs_torch()
    update = "sleep 0.2; echo ' 1: 2.5, 2.5 avg loss, 0.0001 rate'"
    darknet = stand_in(tmp_path / "darknet", 'grep -q "batch=2" "$4" || exit 1', *[update] * 4)
    words = [
        "--quick",
        "--workers",
        "0",
        "--darknet",
        darknet,
        "--json",
        tmp_path / "g.json",
        "--markdown",
        tmp_path / "g.md",
    ]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, words)])
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    runpy.run_path(str(FOLDER / "gpu.py"), run_name="__main__")
    found = json.loads((tmp_path / "g.json").read_text())
    rows = found["updates"]
    assert [(row["k"], row["amp"]) for row in rows] == [(0, True), (0, False), (13, True), (13, False)]
    for row in rows:
        assert row["Darknet, ms"] > 150
        assert row["ratio"] == row["Darknet, ms"] / row["course, ms"]
        assert (row["kept, ms"] is None) == (row["k"] == 0)
        assert row["times that"] == row["made, ms"] / row["by operations, ms"] > 0
    assert rows[0]["TFLOP"] == pytest.approx(3 * 2 * 0.230e9 * 64**2 / (320 * 192) / 1e12, rel=0.02)
    assert [one["what"] for one in found["without"]][1:-1] == [
        f"without {what}" for what in ("tf32", "channels_last", "inference", "fixed")
    ]
    assert [one["goal"] for one in found["goals"]] == ["ratio at least 1"] * 2
    assert found["left_out"] == []
    assert "| street  | 13 |" in (tmp_path / "g.md").read_text()


def test_what_no_time_is_left_for_is_named(tmp_path, monkeypatch):
    needs_torch()
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--quick", "--seconds", "0", "--json", str(tmp_path / "g.json")])
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    runpy.run_path(str(FOLDER / "gpu.py"), run_name="__main__")
    found = json.loads((tmp_path / "g.json").read_text())
    assert not any(found[name] for name in ("rates", "updates", "without", "goals"))
    assert [one.rpartition(": ")[2] for one in found["left_out"]] == ["no time was left"] * (1 + 4 + 6)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("given", "make", "wanted"),
    [
        ("checkout", "exit 0", "--darknet */darknet/darknet --quick"),
        ("checkout", "exit 1", "--quick"),
        ("program", "exit 1", "--darknet program --quick"),
        ("-", "exit 1", "--quick"),
    ],
)
def test_darknet_is_built_outside_its_checkout(tmp_path, given, make, wanted):
    """With stand-ins for what builds and measures, which write down what they are asked for."""
    (tmp_path / "checkout").mkdir()
    stand_in(tmp_path / "program")
    stand_in(tmp_path / "bin" / "nvidia-smi", "echo 9.0")
    stand_in(tmp_path / "bin" / "make", 'echo "$@" > make.txt', 'touch "$2/darknet"', make)
    python = stand_in(tmp_path / "bin" / "python", 'echo "$@" > python.txt')
    path = f"{python.parent}:{os.environ['PATH']}"
    program = ["bash", str(FOLDER / "gpu.sh"), given, "--quick"]
    environment = {**os.environ, "PATH": path, "PYTHON": str(python)}
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "python.txt").read_text().split("gpu.md ")[1].strip()
    assert fnmatch(asked, wanted)
    assert not [*(tmp_path / "checkout").iterdir()]
    if given == "checkout":
        built = (tmp_path / "make.txt").read_text()
        assert "CUDNN=1" in built
        assert "ARCH=-gencode arch=compute_90,code=[sm_90,compute_90]" in built
        assert ("could not be built" in done.stderr) == (make == "exit 1")
        assert not Path(built.split()[1]).exists(), "the copy is gone afterwards"


def test_figures_of_targets_are_of_what_is_there(monkeypatch):
    """Every model and target was run, and neither a recipe nor what a preset writes has changed since."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    runs = runpy.run_path(str(FOLDER / "target_runs.py"), run_name="imported")
    found = json.loads(runs["RESULTS"].read_text())
    assert list(found) == list(runs["RECIPES"])
    wanted = {name: runs["digest_of_target"](name) for name in runs["ENGINES"]}
    for name, one in found.items():
        assert one["recipe"] == runs["digest_of_model"](name), f"run: python benchmarks/target_runs.py --model {name!r}"
        assert {target: cell["target"] for target, cell in one["cells"].items()} == wanted, "run it with --target"
