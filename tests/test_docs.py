"""The documentation says what is so: links lead somewhere, examples run, every command has its page."""

from __future__ import annotations

import doctest
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import cv2
import pytest

from darkshare.cli import GENERAL, main

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted(path for folder in ("darkshare", "tests", "docs") for path in (ROOT / folder).rglob("*.py"))
COMMANDS = {name: main.get_command(None, name) for name in main.list_commands(None)}

# No place on anybody's machine and no work that was left for later.
FORBIDDEN = re.compile(r"(?<![\w./<])/(home|root|Users|tmp|mnt|work|srv)/\w|\b(TODO|FIXME|XXX)\b")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_link_leads_to_a_file_and_heading(page):
    for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page}: {link}"


@each_page
def test_the_examples_in_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testfile(str(page), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS)
    assert failed == 0


@each_page
def test_the_python_in_a_page_compiles_and_imports(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        if ">>>" in code:
            continue  # run above
        compile(code, str(page), "exec")
        imports = [line for line in code.split("\n") if re.match(r"(from|import) darkshare", line)]
        exec("\n".join(imports), {})  # what the page imports exists


@each_page
def test_a_page_speaks_of_the_project_alone(page):
    text = page.read_text(encoding="utf-8")
    found = FORBIDDEN.search(text)
    assert not found, f"{page}: {found and found[0]}"
    assert text.endswith("\n")
    assert "\r" not in text


@each_page
def test_a_page_begins_with_its_title(page):
    assert page.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_code_names_nobody_s_machine_and_leaves_nothing_for_later(path):
    if path != Path(__file__):
        found = FORBIDDEN.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path}: {found and found[0]}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_page(command):
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "how-to").glob("*.md"))
    assert re.search(rf"\bdarkshare {command}\b", pages), f"no page in docs/how-to shows `darkshare {command}`"
    by_job = (ROOT / "docs" / "which-command.md").read_text(encoding="utf-8")
    assert re.search(rf"`darkshare {command}\b", by_job), f"docs/which-command.md says of no job: `darkshare {command}`"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_s_help_ends_with_an_example(command):
    found = COMMANDS[command]
    text = found.help or ""
    assert found.get_short_help_str(), command
    *_, last = text.strip().split("\n\n")
    assert last.lstrip().startswith("\b"), f"{command}: the last paragraph of its help is not an example block"
    assert f"darkshare {command}" in last


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_does(command):
    options = [parameter for parameter in COMMANDS[command].params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


@each_page
def test_a_page_shows_only_commands_and_options_that_exist(page):
    text = page.read_text(encoding="utf-8")
    inline = re.findall(r"(?<!`)`(darkshare [^`\n]+)`(?!`)", without_code(text))
    fences = "\n".join([*re.findall(r"```.*?```", text, re.DOTALL), *inline])
    for line in re.findall(r"^(?:\$ )?darkshare ([^\n|]+)$", fences, re.MULTILINE):
        words = line.split()
        if words[0].startswith("-"):
            continue
        assert words[0] in COMMANDS, f"{page}: darkshare {line}"
        parameters = COMMANDS[words[0]].params
        known = {name for parameter in parameters for name in [*parameter.opts, *parameter.secondary_opts]}
        used = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-zA-Z]", word)}
        assert used <= known | {"-h", "--help", *(name for option in GENERAL for name in option.opts)}, (
            f"{page}: darkshare {line}"
        )


@pytest.mark.parametrize("name", ["make_api", "make_cli", "make_kinds", "make_target_runs"])
def test_a_generated_page_is_fresh(name):
    generator = runpy.run_path(str(ROOT / "docs" / f"{name}.py"))
    assert generator["PAGE"].read_text(encoding="utf-8") == generator["page"](), f"run: python docs/{name}.py"


def test_the_page_of_formats_names_every_kind_that_stores_something():
    from darkshare.darknet.kinds import ALL_KINDS, Kind

    page = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    storing = [kind.names[0] for kind in ALL_KINDS if kind.tensors is not Kind.tensors]
    assert [name for name in storing if f"`[{name}]`" not in page] == []


@pytest.mark.filterwarnings("ignore:labels say")  # OpenCV 4 brings no font for Chinese, and the system may not either
def test_the_picture_of_a_crowd_can_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_crowd.py", str(tmp_path / "crowd.png")])
    made = runpy.run_path(str(ROOT / "docs" / "make_crowd.py"), run_name="__main__")
    shown = cv2.imread(str(ROOT / "docs" / "images" / "crowd.png"))
    assert cv2.imread(str(tmp_path / "crowd.png")).shape == shown.shape
    assert len(made["truths"]) > 50


def test_the_site_has_every_page_once_and_leads_outward_links_to_the_repository():
    hooks = runpy.run_path(str(ROOT / "docs" / "site_pages.py"))
    nav = str(hooks["on_config"]({})["nav"])
    listed = re.findall(r"'([\w/-]+\.md)'", nav)
    assert sorted(listed) == sorted(
        page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")
    )
    page = SimpleNamespace(file=SimpleNamespace(src_uri="how-to/cut.md"))
    text = "[a](../../SECURITY.md#b) [b](../index.md) [c](../../docs/images/d.png) [e](train.md)"
    led = hooks["on_page_markdown"](text, page, {"extra": {"files": "https://h"}}, None)
    assert led == text.replace("../../SECURITY.md", "https://h/SECURITY.md")


def test_the_messages_that_troubleshooting_explains_are_the_package_s():
    page = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) == len(set(messages)) >= 40
    texts = [re.sub(r"{[^{}]*}", "…", joined(path)) for path in (ROOT / "darkshare").rglob("*.py")]
    assert [one for one in messages if not any(one in text for text in texts)] == []


def joined(path: Path) -> str:
    """The code of a module, in which texts on several lines are one."""
    return re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))
