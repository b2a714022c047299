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

# A package imports only packages above it in this list, and the private modules, which import each other and `errors`.
PACKAGES = (
    "darknet",
    "data",
    "analysis",
    "surgery",
    "inference",
    "evaluation",
    "training",
    "choose_k",
    "reporting",
    "cli",
)
PRIVATE = ("_children", "_figures", "_files", "_images", "_signals", "_tables", "_texts", "_version", "errors")
TOP = ("__init__", "__main__")  # both import everything
HEAVY = (
    "cv2",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "pandas",
    "matplotlib",
    "PIL",
    "torch",
    "pycocotools",
    "faster_coco_eval",
    "distributed",
    "pyarrow",
)
NOT_AN_OPENING = re.compile(r"(What|Where|How|Why|Which)\b")  # of a docstring: a verb or a noun opens it
# "is not a …" in place of "is no …", unless a thing is missing: "there is no …".
NOT_A_WORD = re.compile(r"(?<![Tt]here )\b(is no(?! longer| more)|voices?|bouts?|upright)\b")
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
    """(module or package of the first level, line) of all that a file imports from darkshare."""
    known = {*PACKAGES, *PRIVATE}
    for module, name, line in imported(path):
        parts = module.split(".")
        if parts[0] == "darkshare":
            found = parts[1] if len(parts) > 1 else name if name in known else "__init__"
            if name != "__version__":
                yield found, line


def may_import(own: str, other: str) -> bool:
    """Whether a module or package of the first level may import another."""
    if own in TOP or other in PRIVATE or own == other:
        return True
    return own in PACKAGES and other in PACKAGES[: PACKAGES.index(own)]


def test_the_package_holds_what_the_list_says():
    assert {room(path) for path in MODULES} == {*PACKAGES, *PRIVATE, *TOP}
    assert len(set(PACKAGE.glob("*.py"))) <= 9


@each_module
def test_a_package_imports_only_packages_above_it(path):
    own = room(path)
    for other, line in rooms_read(path):
        assert may_import(own, other), f"{path}:{line}: {own} must not import {other}"


def test_the_walk_sees_an_import_that_goes_up(tmp_path):
    lines = ["def f():", "  from darkshare import cli, __version__", "  import darkshare.darknet.cfg", "  import numpy"]
    (tmp_path / "x.py").write_text("\n".join(lines))
    assert list(rooms_read(tmp_path / "x.py")) == [("cli", 2), ("darknet", 3)]
    assert not may_import("data", "cli")
    assert may_import("data", "darknet")


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
        "import darkshare.darknet.model",
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
        if isinstance(node, ast.FunctionDef) and not (node.name.startswith("_") or in_cli or is_overload(node)):
            assert ast.get_docstring(node), f"{path}:{node.lineno}: {node.name}"


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every docstring of a module."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


@each_module
def test_docstrings_open_with_a_verb_or_a_noun(path):
    wrong = [f"{path}:{line}: {text[:60]}" for line, text in docstrings(path) if NOT_AN_OPENING.match(text)]
    assert not wrong


@each_module
def test_messages_and_comments_are_plain_english(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    wrong = [f"{path}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if NOT_A_WORD.search(line)]
    assert not wrong


def test_the_rules_on_words_see_what_they_forbid():
    assert NOT_AN_OPENING.match("What a file holds.")
    assert NOT_AN_OPENING.match("Which layers there are.")
    assert not NOT_AN_OPENING.match("Whatever a file holds.")
    assert NOT_A_WORD.search('raise BadValue(f"{x} is no number")')
    assert not NOT_A_WORD.search("there is no layer 7; x is not None; this is no longer so")


def is_overload(node: ast.FunctionDef) -> bool:
    """Whether it only tells a type checker what the function below it takes and gives."""
    return any(isinstance(name, ast.Name) and name.id == "overload" for name in node.decorator_list)


@each_module
def test_no_function_is_long(path):
    for node in (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)):
        length = (node.end_lineno or 0) - node.lineno + 1
        assert length <= LONGEST_FUNCTION, f"{path}:{node.lineno}: {node.name} has {length} lines"


@pytest.mark.parametrize("package", sorted({path.parent for path in MODULES}), ids=lambda path: path.name)
def test_no_package_gives_a_name_that_one_of_its_modules_has(package):
    """Else `from package import name` would mean one or the other, as the imports before it happen to be."""
    modules = {path.stem for path in package.glob("*.py")} | {path.name for path in package.iterdir() if path.is_dir()}
    body = tree(package / "__init__.py").body
    defined = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    given = {
        alias.asname or alias.name
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (node.module or "").startswith("darkshare") and not is_module(node.module or "", alias.name)
    }
    assert modules & (defined | given) == set()


def is_module(module: str, name: str) -> bool:
    """Whether an import of a name from darkshare is one of a module."""
    place = PACKAGE.parent.joinpath(*module.split("."), name)
    return place.is_dir() or place.with_suffix(".py").exists()


def test_a_class_name_stands_for_one_class():
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_modules_are_named_for_subjects():
    assert {path.stem for path in MODULES} & FORBIDDEN_NAMES == set()


@each_module
def test_no_module_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


def test_the_design_page_lists_the_packages_in_this_order():
    text = (PACKAGE.parent / "docs" / "explanation" / "design.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)
    assert tuple(shown) == PACKAGES
