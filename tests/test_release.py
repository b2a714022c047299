"""What is released: complete distributions, honest metadata, pages and forms that say what is so."""

from __future__ import annotations

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import pytest

import darkshare

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "darkshare"
SCRIPTS = sorted(path for folder in ROOT.glob("[!.]*/") for path in folder.rglob("*.py"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
BINARY = {".jpg", ".npz", ".png", ".weights"}


def settings() -> ConfigParser:
    found = ConfigParser()
    found.read(ROOT / "setup.cfg", encoding="utf-8")
    return found


def classified() -> list[str]:
    """The Python versions that the metadata name, oldest first."""
    return re.findall(r"Python :: (3\.\d+)", settings()["metadata"]["classifiers"])


@pytest.fixture(scope="module")
def files() -> list[str]:
    """The files of the project: git's, or those that a source distribution lists."""
    listed = PACKAGE.with_suffix(".egg-info") / "SOURCES.txt"
    if (ROOT / ".git").exists() and shutil.which("git"):
        words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        found = done.stdout.splitlines()
    elif (ROOT / "PKG-INFO").exists():
        found = [name for name in listed.read_text().splitlines() if not name.startswith(listed.parent.name)]
    else:
        pytest.skip("only git, or the list in a source distribution, tells which files are the project's")
    return sorted(name for name in found if (ROOT / name).is_file())


class Built(NamedTuple):
    """What the build backend made of a copy of the project."""

    sdist: set[str]  # names of files, below the folder that bears name and version
    wheel: set[str]
    metadata: Message
    description: str


@pytest.fixture(scope="module")
def built(files, tmp_path_factory) -> Built:
    """The source distribution of the project, and the wheel of that source distribution."""
    pytest.importorskip("setuptools", minversion="77", reason="building needs setuptools 77; pip install '.[test]'")
    folder = tmp_path_factory.mktemp("built")
    for name in files:
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "copy" / name)
    backend(folder / "copy", "build_sdist", folder)
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # early releases of 3.10 and 3.11 have none
        archive.extractall(folder)
    backend(folder / packed.name.removesuffix(".tar.gz"), "build_wheel", folder)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(f"darkshare-{darkshare.__version__}.dist-info/METADATA")
        inside = set(archive.namelist())
    metadata = message_from_bytes(raw)
    return Built(names, inside, metadata, raw.partition(b"\n\n")[2].decode())


def backend(source: Path, hook: str, out: Path) -> None:
    """Run one hook of the build backend in a process of its own, as a front end does."""
    code = f"import sys; from setuptools import build_meta; build_meta.{hook}(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Distributions


def test_the_source_distribution_holds_the_whole_project(built, files):
    made = {"PKG-INFO", *(name for name in built.sdist if name.startswith("darkshare.egg-info/"))}
    assert built.sdist - made == set(files)
    assert {"tests/conftest.py", ".ci/run", "README.md", "LICENSE"} <= built.sdist


def test_the_wheel_holds_the_package_and_nothing_else(built, files):
    info = f"darkshare-{darkshare.__version__}.dist-info/"
    assert {name for name in built.wheel if not name.startswith(info)} == {
        name for name in files if name.startswith("darkshare/")
    }
    assert f"{info}licenses/LICENSE" in built.wheel


def test_the_metadata_is_complete(built):
    found = built.metadata
    assert found["Name"] == "darkshare"
    assert found["Version"] == darkshare.__version__
    assert found["License-Expression"] == "Apache-2.0"
    assert found["License-File"] == "LICENSE"
    assert found["Author"]
    assert found["Keywords"]
    assert found["Description-Content-Type"] == "text/markdown"
    labels = [line.partition(", ")[0] for line in found.get_all("Project-URL", [])]
    assert labels == ["Documentation", "Changelog", "Issues"]
    assert not [
        line for line in found.get_all("Classifier", []) if line.startswith("License ::")
    ]  # the expression says it


def test_the_long_description_is_the_readme_with_links_that_lead_somewhere(built):
    url, version = settings()["metadata"]["url"], f"v{darkshare.__version__}"
    home, pictures = f"{url}/blob/{version}/", f"{url}/raw/{version}/"
    links = re.findall(r"\]\(([^)\s]+)\)", built.description)
    assert len(links) > 30
    assert [link for link in links if not link.startswith("https://")] == []
    inside = [
        link.removeprefix(home).removeprefix(pictures).partition("#")[0]
        for link in links
        if link.startswith((home, pictures))
    ]
    assert "docs/images/both.svg" in inside
    assert [path for path in inside if not (ROOT / path).exists()] == []
    assert (
        built.description.replace(home, "").replace(pictures, "").strip()
        == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    )


def test_only_relative_links_are_rewritten():
    pytest.importorskip("setuptools", reason="setup.py needs setuptools; pip install '.[test]'")
    absolute = runpy.run_path(str(ROOT / "setup.py"))["absolute"]
    text = "[a](docs/a.md#b) [two\nlines](b.md) ![p](docs/p.png) [c](https://c.org/d) [d](#here) [m](mailto:a@b.c) f(x)"
    assert absolute(text, "https://h", "v1") == (
        "[a](https://h/blob/v1/docs/a.md#b) [two\nlines](https://h/blob/v1/b.md) ![p](https://h/raw/v1/docs/p.png) "
        "[c](https://c.org/d) [d](#here) [m](mailto:a@b.c) f(x)"
    )


# Versions


def test_the_version_is_the_same_everywhere():
    yaml = pytest.importorskip("yaml", reason="reading CITATION.cff needs pyyaml; pip install '.[yaml]'")
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == darkshare.__version__
    assert re.search(
        rf"^## \[(Unreleased|{re.escape(darkshare.__version__)})\]", (ROOT / "CHANGELOG.md").read_text(), re.M
    )


def test_the_supported_versions_are_those_that_are_tested():
    first, *_, last = classified()
    assert classified() == [f"3.{minor}" for minor in range(int(first[2:]), int(last[2:]) + 1)]
    assert settings()["options"]["python_requires"] == f">={first}"
    assert f"for version in {first} {last}; do" in (ROOT / ".ci" / "run").read_text()
    assert f"Python {first} to {last}" in (ROOT / "README.md").read_text()
    assert f'target-version = "py{first.replace(".", "")}"' in (ROOT / "pyproject.toml").read_text()


def test_every_file_compiles_by_the_oldest_grammar():
    oldest = tuple(map(int, classified()[0].split(".")))
    assert PACKAGE / "__init__.py" in SCRIPTS
    for path in SCRIPTS:
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=oldest)


def test_the_oldest_grammar_refuses_what_came_later():
    with pytest.raises(SyntaxError):
        ast.parse("type A = int", feature_version=(3, 10))


# Pages, forms and settings


def test_every_text_file_ends_with_one_newline_and_no_line_with_blanks(files):
    """What .editorconfig asks for, of every file but those whose odd bytes are what is tested."""
    if (ROOT / "PKG-INFO").exists():
        pytest.skip("the files of a source distribution are not all as they were written: setup.cfg is not")
    for name in files:
        if Path(name).suffix not in BINARY and not name.startswith("tests/fixtures/"):
            data = (ROOT / name).read_bytes()
            assert not data or data.endswith(b"\n"), name
            assert not data.endswith(b"\n\n"), name
            assert not re.search(rb"[ \t\r]$", data, re.MULTILINE), name


def test_the_citation_names_both_papers():
    yaml = pytest.importorskip("yaml", reason="reading CITATION.cff needs pyyaml; pip install '.[yaml]'")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == settings()["metadata"]["license_expression"]
    assert citation["repository-code"] == settings()["metadata"]["url"]
    papers = {
        paper["title"]: [author["family-names"] for author in paper["authors"]] for paper in citation["references"]
    }
    assert papers == {
        "Resource-efficient Object Detection by Sharing Backbone CNNs": ["Bailer", "Fassold"],
        "RRR-Net: Reusing, Reducing, and Recycling a Deep Backbone Network": ["Sun", "Guyon", "Mohr", "Tabia"],
    }


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one(path):
    yaml = pytest.importorskip("yaml", reason="reading the forms needs pyyaml; pip install '.[yaml]'")
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert [link["url"] for link in form["contact_links"]] == [f"{settings()['metadata']['url']}/security"]
        return
    assert {"name", "description", "body"} <= form.keys()
    fields = [item for item in form["body"] if item["type"] != "markdown"]
    assert len({item["id"] for item in fields}) == len(fields)
    assert all(item["attributes"]["label"] for item in fields)
    assert any(item.get("validations", {}).get("required") for item in fields)


def test_every_hook_runs_a_program_that_the_dev_extra_brings():
    yaml = pytest.importorskip("yaml", reason="reading the hooks needs pyyaml; pip install '.[yaml]'")
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    brought = {re.match(r"[\w-]+", line)[0] for line in settings()["options.extras_require"]["dev"].split()} | {
        "python"
    }
    assert {hook["entry"].split()[0] for hook in repo["hooks"]} <= brought
    named = [word for hook in repo["hooks"] for word in hook["entry"].split() if word.endswith(".py")]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def floors() -> Iterator[str]:
    """The patterns of files that .ci/run wants covered without exception."""
    for patterns in re.findall(
        r"coverage report .*--fail-under=100 --include='([^']+)'", (ROOT / ".ci" / "run").read_text()
    ):
        yield from patterns.split(",")


@pytest.mark.parametrize("pattern", list(floors()))
def test_a_floor_of_coverage_stands_under_some_file(pattern):
    assert list(PACKAGE.rglob(pattern.removeprefix("*/")))


def test_the_ci_script_is_a_program():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# What CONTRIBUTING.md promises about files

WALKS = {  # heading: the examples that it gives, which are named where there is something to do
    "A layer kind": ("L2norm", "l2norm"),
    "A column of `stats`": ("clipped", "elementwise_ratios"),
    "An output format of `detect`": ("Coco",),
    "A source of `import-data`": ("read_labelme",),
    "An engine": ("openvino",),
}


def walks() -> dict[str, str]:
    """The text below each heading of the third level."""
    _, *parts = re.split(r"^### ", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading: text for heading, _, text in (part.partition("\n") for part in parts)}


def words(node: ast.AST) -> list[str]:
    """What a piece of code names: functions that it defines, classes, keywords, parts of what it imports, strings."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.ClassDef(name=name) | ast.Name(id=name) | ast.Attribute(attr=name) if name[0].isupper():
            return [name]
        case ast.FunctionDef(name=name) | ast.keyword(arg=str(name)):
            return [name]
        case ast.alias(name=name) | ast.ImportFrom(module=str(name)):
            return name.split(".")
    return []


def modules_that_name(word: str) -> set[str]:
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    trees = {path: ast.parse(text) for path, text in texts.items() if word in text}
    found = [path for path, tree in trees.items() if any(word in words(node) for node in ast.walk(tree))]
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.mark.parametrize("heading", WALKS)
def test_the_list_of_files_to_touch_is_complete(heading):
    text = walks()[heading]
    paths = set(re.findall(r"`([\w.-]+/[\w./-]+|[\w-]+\.\w+)`", text))
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert f"`{WALKS[heading][0]}`" in text
    touched = set().union(*map(modules_that_name, WALKS[heading]))
    assert {path for path in paths if path.startswith("darkshare/")} == touched


def test_every_walk_has_its_example():
    assert walks().keys() == WALKS.keys()
