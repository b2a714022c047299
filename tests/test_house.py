"""What holds the house together: imports go down, starting is quick, everything says what it is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "darkshare"

# A module may import from lower floors only; the modules of one package may import each other.
FLOORS = {
    "errors": 0,
    "files": 1,
    "interrupts": 1,
    "cfg": 1,
    "kinds": 2,
    "network": 3,
    "plain": 3,
    "liveness": 4,
    "pictures": 4,
    "recipes": 4,
    "weights": 4,
    "datasets": 5,
    "initialisation": 5,
    "diagnosis": 5,
    "folding": 5,
    "spread": 5,
    "tasks": 5,
    "model": 6,
    "distances": 6,
    "compare": 7,
    "quantities": 7,
    "measure": 7,
    "checking": 7,
    "detections": 7,
    "assembly": 7,
    "guesses": 7,
    "heads": 7,
    "differences": 8,
    "distributions": 8,
    "freezing": 8,
    "interpolation": 8,
    "cuts": 8,
    "relabelling": 8,
    "onnxfile": 8,
    "engines": 8,
    "drawing": 8,
    "figures": 8,
    "savings": 9,
    "blend": 9,
    "splice": 9,
    "opencv": 9,
    "report": 9,
    "residual": 9,
    "plots": 9,
    "anchoring": 9,
    "htmlreport": 10,
    "demonstration": 10,
    "media": 10,
    "evaluation": 10,
    "benching": 10,
    "training": 10,
    "kit": 10,
    "choosing": 11,
    "quantisation": 11,
    "cli": 12,
    "__init__": 13,
    "__main__": 13,
}
HEAVY = (
    "cv2",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "pandas",
    "matplotlib",
    "torch",
    "pycocotools",
    "faster_coco_eval",
    "distributed",
)
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
LONGEST_FUNCTION, LONGEST_MODULE = 60, 400  # lines

MODULES = sorted(PACKAGE.rglob("*.py"))
IDS = [path.relative_to(PACKAGE).as_posix() for path in MODULES]
each_module = pytest.mark.parametrize("path", MODULES, ids=IDS)


def room(path: Path) -> str:
    """The module or package of a file, as the floors name it."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@cache  # six tests ask for each module
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[tuple[str, str, int]]:
    """(module, name, line) of all that a file imports from darkshare, wherever in the file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from ((node.module or "", alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)


def rooms_read(path: Path) -> Iterator[tuple[str, int]]:
    for module, name, line in imported(path):
        parts = module.split(".")
        if parts[0] != "darkshare":
            continue
        if len(parts) > 1:
            yield parts[1], line
        elif name in FLOORS:
            yield name, line
        elif name != "__version__":
            yield "__init__", line


@each_module
def test_every_module_has_a_floor(path):
    assert room(path) in FLOORS


@each_module
def test_imports_go_strictly_down(path):
    own = room(path)
    for other, line in rooms_read(path):
        assert other in FLOORS, f"{path}:{line}"
        if not (other == own and path.parent != PACKAGE):
            assert FLOORS[other] < FLOORS[own], f"{path}:{line}: {own} must not import {other}"


def test_the_walk_sees_an_import_that_goes_up(tmp_path):
    lines = ["def f():", "  from darkshare import cfg, __version__", "  import darkshare.cli.options", "  import numpy"]
    (tmp_path / "x.py").write_text("\n".join(lines))
    assert list(rooms_read(tmp_path / "x.py")) == [("cfg", 2), ("cli", 3)]


@each_module
def test_heavy_imports_stand_in_the_function_that_needs_them(path):
    for node in tree(path).body:
        names = [alias.name for alias in getattr(node, "names", [])] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in names} & set(HEAVY), f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    "start",
    [
        "import darkshare",
        "import darkshare.model",
        "import darkshare.cli; darkshare.cli.main(['--help'], standalone_mode=False)",
    ],
)
def test_starting_loads_nothing_heavy(start):
    code = f"import sys; {start}; print(*sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert done.stderr.split() == []


def test_the_package_runs_as_a_program():
    run = [sys.executable, "-m", "darkshare", "--help"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert done.stdout.startswith("Usage: ")


@each_module
def test_every_module_and_public_function_says_what_it_is(path):
    module = tree(path)
    assert ast.get_docstring(module), path
    in_cli = room(path) == "cli"  # there the docstring of a command is its help; options need none
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}:{node.lineno}: class {node.name}"
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not in_cli:
            assert ast.get_docstring(node), f"{path}:{node.lineno}: {node.name}"


@each_module
def test_no_function_is_long(path):
    for node in (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)):
        length = (node.end_lineno or 0) - node.lineno + 1
        assert length <= LONGEST_FUNCTION, f"{path}:{node.lineno}: {node.name} has {length} lines"


@pytest.mark.parametrize("package", sorted({path.parent for path in MODULES}), ids=lambda path: path.name)
def test_no_module_shares_a_name_with_a_public_function(package):
    """In its package; a module of the first level with none at all."""
    inside = [path for path in MODULES if package in path.parents and room(path) != "cli"]
    modules = {path.stem for path in package.glob("*.py")} | {path.name for path in package.iterdir() if path.is_dir()}
    functions = {node.name for path in inside for node in tree(path).body if isinstance(node, ast.FunctionDef)}
    assert modules & functions == set()


def test_modules_are_named_for_subjects():
    assert {path.stem for path in MODULES} & FORBIDDEN_NAMES == set()


@each_module
def test_no_module_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


def test_the_design_page_shows_these_floors():
    text = (PACKAGE.parent / "docs" / "explanation" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.MULTILINE)
    shown = {name.strip(" `/"): int(floor) for floor, names in rows for name in names.split(",")}
    built = {room(path) for path in MODULES if not path.stem.startswith("__") or path.parent != PACKAGE}
    assert shown == {name: FLOORS[name] for name in built}
