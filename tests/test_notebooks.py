"""The notebooks of examples/notebooks: every cell runs, in order, with few updates for the trainings."""

from __future__ import annotations

import ast
import json
import shlex
import types
import warnings

import pytest
from conftest import ROOT, needs_torch, run
from sweeps import trained_here

from darkshare.errors import DarkshareWarning

FOLDER = ROOT / "examples" / "notebooks"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
QUICK = {  # so that a test ends soon
    "batches = 80": "batches = 2",
    "batches = 50": "batches = 1",
    "--batch 16": "--batch 2 --threads 1",
    "batch=16": "batch=2, workers=0",
    "seeds=[1, 2]": "seeds=1",
    'Path("stars"), 100)': 'Path("stars"), 30)',
}


def cells(name: str) -> list[dict]:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]


def executed(source: str, namespace: dict) -> object:
    """Run a cell as Jupyter does: lines with ! are for the shell; the value is that of a last expression."""
    for line in source.splitlines():
        if line.startswith("!"):
            program, *words = shlex.split(line[1:].format_map(namespace))
            assert program == "darkshare"
            run(*words, code=0)
        elif line.startswith("batches ="):
            exec(line, namespace)  # a shell's line below it takes the value
    code = ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("!")))
    last = code.body.pop() if code.body and isinstance(code.body[-1], ast.Expr) else None
    exec(compile(code, "cell", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace) if last else None


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs_and_shows_what_it_gives(name, tmp_path, monkeypatch):
    if name != "1-merge.ipynb":
        needs_torch()
        monkeypatch.setattr("darkshare.choose_k.sweep.run_here", trained_here)
    monkeypatch.chdir(tmp_path)
    namespace = vars(types.ModuleType("notebook"))
    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DarkshareWarning)
        for cell in cells(name):
            source = "".join(cell["source"])
            for long, short in QUICK.items():
                source = source.replace(long, short)
            if cell["cell_type"] == "code":
                shown.append(executed(source, namespace))
    rich = [one for one in shown if hasattr(one, "_repr_html_") or hasattr(one, "_repr_png_")]
    assert len(rich) >= 4
    assert all(one._repr_png_() if hasattr(one, "_repr_png_") else one._repr_html_() for one in rich)


def test_notebooks_hold_no_outputs_and_what_shortens_them_is_in_them():
    sources = [cell for name in NAMES for cell in cells(name)]
    assert len(NAMES) == 3
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in sources)
    text = "\n".join("".join(cell["source"]) for cell in sources)
    assert [long for long in QUICK if long not in text] == []
