"""Nothing runs that lies in the user's folder, and nothing connects to a network."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from classifiers import classifier
from conftest import needs_torch, tiny_text
from models import model
from residuals import small_resnet
from sweeps import planned

from darkshare import _children
from darkshare.choose_k.processes import run_here
from darkshare.cli import COMMANDS
from darkshare.darknet.model import save
from darkshare.inference.engines import available
from darkshare.inference.engines.files import File
from darkshare.inference.engines.openvino import unreported
from darkshare.inference.engines.worker import Worker
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


def test_engines_that_report_their_use_are_imported_in_one_place_each():
    """Where they are kept from that; the quantiser of ONNX Runtime imports it by that place first."""
    found = set()
    for path in (ROOT / "darkshare").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {(path.name, name) for name in names if name.split(".")[0] in REPORTING}
    own = {("openvino.py", "openvino"), ("nncf.py", "nncf"), ("onnxruntime.py", "onnxruntime")}
    quantiser = {"onnxruntime.quantization", "onnxruntime.quantization.quant_utils"}
    assert found == own | {("onnxruntime.py", name) for name in quantiser}


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs ONNX Runtime")
def test_importing_onnx_runtime_leaves_nothing_behind(tmp_path):
    """Version 1.32 keeps a number of the machine, and reports to send, in the home and the temporary folder."""
    code = "from pathlib import Path; from darkshare.inference.int8 import onnxruntime as one; "
    code += "one._ranges(Path('x.onnx'), [])"
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    folders = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=unset | folders, cwd="/", capture_output=True, text=True, check=False)
    assert "x.onnx" in done.stderr  # it got as far as that
    assert not list(tmp_path.iterdir())


def test_the_reports_are_off_while_something_is_imported_and_as_before_then(monkeypatch):
    for before in (None, ast):  # not imported yet; imported by somebody else
        monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
        if before:
            monkeypatch.setitem(sys.modules, "openvino_telemetry", before)
        with unreported(), pytest.raises(ImportError):
            import_module("openvino_telemetry")
        assert sys.modules.get("openvino_telemetry") is before


# --- the network -----------------------------------------------------------------------------------------------------

FEW = "--k 3 --batches 1 --batch 2 --subdivisions 1"
REPORTING = ("openvino", "nncf", "onnxruntime")
INT8 = "--precision int8 --calibrate photo.png --rounds 6"
# Of each group, one process runs all lines, so that what takes long to import is imported once.
LINES = {
    "models": """
        completion bash
        info base.cfg
        draw base.cfg -o base.html
        report base.cfg photo.png --beside base.cfg -o report.html
        check base.cfg
        stats base.cfg base.cfg --plot a.png --html a.html
        frozen base.cfg base.cfg --k 3
        git-diff base.cfg
        concat base.cfg base.cfg --k 3 -o both
        verify both.cfg base.cfg base.cfg
        split both.cfg -o apart
        cut base.cfg --k 3
        savings base.cfg --k 3 --plot savings.png
        mix base.cfg base.cfg --alpha 0.5 -o mixed
        snap base.cfg base.cfg --k 3 -o snapped
        plan base.cfg text=losses.csv --max-loss 2 -o planned
        classes base.cfg --drop cat -o dogs
        reduce resnet.cfg --keep all -o paired
        branch paired.cfg --after 4 -m 2 -o branched
        export base.cfg -o a.onnx
        import-weights base.cfg a.onnx -o imported.weights
    """,
    "data": """
        import-data squares.data -o imported
        check squares.data
        anchors base.cfg squares.data -o fitted --plot anchors.png
        kit base.cfg squares.data --k 3 -o kit
        evaluate base.cfg squares.data --map red=cat --map blue=dog
        demo -o demo
    """,
    "engines": "\n".join(f"detect base.cfg photo.png -o {name} --engine {name}" for name in INSTALLED)
    + """
        classify colour.cfg photo.png
        engines
        engines base.cfg --rounds 6
        bench base.cfg base.cfg --rounds 6
    """,
    "int8": "\n".join(
        f"export base.cfg -o b{suffix} --engine {name} {INT8}" for name, suffix in SUFFIXES.items() if not missing(name)
    ),
    "training": f"""
        suggest-k base.cfg squares.data
        train base.cfg squares.data {FEW} -o net
        add-task base.cfg squares.data --k 3 --batches 1 --batch 2 -o grown
        sweep base.cfg squares.data {FEW} --seeds 1 -o sweep
    """,
}
RUN = "import sys; from darkshare.cli import main; [main.main(x.split(), standalone_mode=False) for x in sys.argv[1:]]"
LOCAL = re.compile(r"AF_UNIX|AF_NETLINK")  # the C library asks a daemon of this machine who the user is
needs_tracer = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def sockets(folder: Path, *words: str) -> list[str]:
    """The calls by which a Python program, or a child of it, used a socket that leads elsewhere."""
    tracer = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=%network", "-e", "signal=none", "-o", "record"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*tracer, sys.executable, "-c", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = (folder / "record").read_text().splitlines()
    return [one for one in record if "AF_" in one and not LOCAL.search(one)]


def test_every_command_is_traced():
    traced = {line.split()[0] for lines in LINES.values() for line in lines.splitlines() if line.strip()}
    assert traced == set(COMMANDS)


@needs_tracer
def test_the_tracer_sees_what_a_grandchild_does(tmp_path):
    own = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {own!r}])"
    found = " ".join(sockets(tmp_path, child))
    assert "socket(AF_INET" in found
    assert "connect(" in found


@pytest.mark.slow
@needs_tracer
@pytest.mark.parametrize("group", LINES)
def test_nothing_connects(base, data, tmp_path, group):
    """No process of a command, or of its children, opens a socket; so it asks for no host either."""
    if group == "training":
        needs_torch()
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "losses.csv").write_text("k,loss\n3,1.5\n")
    save(small_resnet(), tmp_path / "resnet")
    save(classifier(), tmp_path / "colour")
    assert not sockets(tmp_path, RUN, *(line.strip() for line in LINES[group].splitlines() if line.strip()))
