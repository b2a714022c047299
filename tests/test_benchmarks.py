"""The programs in benchmarks/ take too long for a test, but they must still fit the package."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

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
