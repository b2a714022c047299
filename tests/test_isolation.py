"""Nothing runs that lies in the user's folder, and nothing connects to a network."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import needs_torch, tiny_text
from models import model
from sweeps import planned

from darkshare import _children
from darkshare.choose_k.processes import run_here
from darkshare.inference.engines import available
from darkshare.inference.engines.openvino import unreported
from darkshare.inference.engines.worker import File, Worker
from darkshare.inference.int8 import SUFFIXES, missing
from darkshare.inference.onnx import output_name, write_onnx

ROOT = Path(__file__).parent.parent
INSTALLED = [name for name, found in available().items() if not found.reason]
# Of the standard library, of what darkshare needs, of what is optional, of what Python looks for by itself.
TRAPS = (
    *("json", "signal", "importlib", "contextlib", "typing", "numpy", "cv2", "onnx", "torch", "openvino", "darkshare"),
    *("sitecustomize", "usercustomize", "nncf", "ml_dtypes", "lazy_loader", "click", "encodings"),
)


@pytest.fixture
def trapped(tmp_path, monkeypatch) -> Path:
    """A folder that is the current one and holds modules of many names; each leaves a file when it runs."""
    folder = tmp_path / "trapped"
    for name in TRAPS:
        place = folder / name / "__init__.py" if name == "encodings" else folder / f"{name}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"open({str(folder / 'ran')!r}, 'a').write({name!r}); raise SystemExit(3)\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("entry", [None, "", ".", "HERE"])
def test_a_trial_runs_no_module_of_the_current_folder(base, data, tmp_path, trapped, monkeypatch, entry):
    """Also not where this process has the folder on its path, as `python -m` and a prompt have."""
    needs_torch()
    found = planned(base, data, tmp_path / "out", batches=1)
    if entry is not None:
        monkeypatch.setattr(sys, "path", [str(trapped) if entry == "HERE" else entry, *sys.path])
    (*_, last) = run_here(found.waiting(), 1)
    assert (last.event, (trapped / "ran").exists()) == ("done", False), last.text


@pytest.mark.parametrize("engine", INSTALLED)
def test_an_engine_in_a_process_of_its_own_runs_no_module_beside_its_file(tmp_path, trapped, engine):
    """It works in the folder of the file."""
    one = model(tiny_text())
    write_onnx(one, trapped / "x.onnx")
    outputs = [output_name(one.network.layers[index]) for index in one.heads]
    with Worker(engine, [File(str(trapped / "x.onnx"), outputs, [1, *one.network.input[:3]])]) as worker:
        assert len(worker.run()) == 1
    assert not (trapped / "ran").exists()


@pytest.mark.parametrize(
    ("before", "after"), [(":/a:", "/a"), ("/a::/b", "/a:/b"), (":", ""), ("/a", "/a"), (None, None)]
)
def test_no_library_of_the_current_folder_is_loaded(tmp_path, monkeypatch, before, after):
    """An empty entry is the current folder; importing cv2 leaves one behind."""
    seen = {}
    monkeypatch.setattr(subprocess, "Popen", lambda words, env, **_: seen.update(env))
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    if before is not None:
        monkeypatch.setenv("LD_LIBRARY_PATH", before)
    with open(tmp_path / "log", "wb") as log:
        _children.start("x", tmp_path, log, {"OMP_NUM_THREADS": "3"})
    assert (seen.get("LD_LIBRARY_PATH"), seen["OMP_NUM_THREADS"]) == (after, "3")


def test_openvino_and_nncf_are_imported_in_one_place_each():
    """Where they are kept from reporting that."""
    found = set()
    for path in (ROOT / "darkshare").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {(path.name, name) for name in names if name.split(".")[0] in ("openvino", "nncf")}
    assert found == {("openvino.py", "openvino"), ("nncf.py", "nncf")}


def test_the_reports_are_off_while_something_is_imported_and_as_before_then(monkeypatch):
    for before in (None, ast):  # not imported yet; imported by somebody else
        monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
        if before:
            monkeypatch.setitem(sys.modules, "openvino_telemetry", before)
        with unreported(), pytest.raises(ImportError):
            import_module("openvino_telemetry")
        assert sys.modules.get("openvino_telemetry") is before


# --- the network -----------------------------------------------------------------------------------------------------

INT8 = "--precision int8 --calibrate . --rounds 6"
FEW = "--k 3 --batches 1 --batch 2 --subdivisions 1"
COMMANDS = [
    *(f"detect base.cfg photo.png -o out --engine {name}" for name in INSTALLED),
    "engines",
    "engines base.cfg --rounds 6",
    "bench base.cfg base.cfg --rounds 6",
    "check base.cfg",
    "stats base.cfg base.cfg --plot a.png --html a.html",
    "export base.cfg -o a.onnx",
    *(f"export base.cfg -o b{suffix} --engine {name} {INT8}" for name, suffix in SUFFIXES.items() if not missing(name)),
    "evaluate base.cfg DATA --map red=cat --map blue=dog",
    f"train base.cfg DATA {FEW} -o net",
    f"sweep base.cfg DATA {FEW} --seeds 1 -o sweep",
    "suggest-k base.cfg DATA",
    "demo -o demo",
]
LOCAL = re.compile(r"AF_UNIX|AF_NETLINK")  # the C library asks a daemon of this machine who the user is


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("line", COMMANDS)
def test_nothing_connects(base, data, line):
    """No process of a command, or of its children, opens a socket; so it asks for no host either."""
    if line.startswith(("train", "sweep", "suggest")):
        needs_torch()
    cv2.imwrite(str(base.with_name("photo.png")), np.zeros((48, 64, 3), np.uint8))
    words = [str(data) if word == "DATA" else word for word in line.split()]
    record = base.with_name("record")
    tracer = ["strace", "-f", "-qq", "-e", "trace=%network", "-e", "signal=none", "-o", str(record)]
    done = subprocess.run(
        [*tracer, sys.executable, "-m", "darkshare", *words],
        cwd=base.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not [one for one in record.read_text().splitlines() if "AF_" in one and not LOCAL.search(one)]
