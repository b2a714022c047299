"""Help: what it costs, and that it fits a terminal."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from conftest import ROOT

from darkshare._tables import FORMATS
from darkshare.cli import ALIASES, COMMANDS, GROUPS, main

HELP = "import darkshare.cli; darkshare.cli.main(['--help'], standalone_mode=False)"
LARGEST_RATIO = 3  # to a Python that only imports click; 1.3 on the machine where this was written


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout


def processor_time(code: str) -> float:
    """Processor seconds of a Python that runs this."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=lambda words: "".join(words) or "all")
def test_help_fits_80_columns_however_wide_the_terminal_is(words):
    result = CliRunner().invoke(main, [*words, "--help"], terminal_width=None, env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert [line for line in result.output.splitlines() if len(line) > 80] == []


def test_help_costs_little_more_than_click():
    times = [(processor_time("import click"), processor_time(HELP)) for _ in range(5)]
    assert min(ours for _, ours in times) < LARGEST_RATIO * min(click for click, _ in times)


def test_help_imports_no_command():
    code = f"import sys; {HELP}; print(*(name for name in sys.modules if name.startswith('darkshare')))"
    found = set(run(code).splitlines()[-1].split())
    allowed = {"_version", "_tables", "_files", "_files.renames", "_signals", "errors", "cli", "cli.progress"}
    assert "darkshare.cli" in found
    assert found <= {"darkshare", *(f"darkshare.{name}" for name in allowed)}


def test_every_command_is_in_one_group_with_a_short_line_of_its_own():
    listed = [name for group in GROUPS.values() for name in group]
    assert sorted(listed) == sorted(set(listed)) == sorted(COMMANDS)
    assert list(GROUPS) == ["Start", "Look", "Merge", "Train", "Run", "Ship", "Backbones"]
    assert list(GROUPS["Backbones"]) == ["reduce", "branch"]
    assert [text for _, text in COMMANDS.values() if len(text) >= 60 or not text.endswith(".")] == []
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()
    for group, commands in GROUPS.items():
        begin = lines.index(f"{group}:") + 1
        shown = [line.split(maxsplit=1) for line in lines[begin : begin + len(commands)]]
        assert shown == [[name, text] for name, (_, text) in commands.items()]


OPTIONS = {name: main.get_command(click.Context(main), name).params for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_all_commands_have_stands_at_the_end_of_each_help_in_one_section(name):
    text = CliRunner().invoke(main, [name, "--help"]).output
    own, _, general = text.partition("\nGeneral:\n")
    named = ["--dialect", "--format", "-q, --quiet", "-v, --verbose", "-h, --help"]
    found = re.findall(r"^  (-.*?)(?:  | \[|$)", general, re.MULTILINE)
    known = {one for param in OPTIONS[name] for one in param.opts}
    assert found == [one for one in named if one[:2] != "--" or one in known]
    assert not re.search("^  (-q|-v|-h|--format|--dialect)", own, re.MULTILINE)
    assert ("Options:" in own) == bool(known - {"--dialect", "--format", "shell", "files", "words"})


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("completion", "add-task", "git-diff")])
def test_o_is_the_place_of_what_a_command_makes_and_format_is_that_of_its_rows(name):
    options = {option: param for param in OPTIONS[name] for option in param.opts}
    assert tuple(options["--format"].type.choices) == FORMATS
    if place := options.get("-o"):
        assert place.opts == ["-o", "--output"]
        assert place.metavar in ("STEM", "FOLDER", "FILE")
        assert place.help.startswith("Where to write ")


def test_a_batch_is_of_pictures_and_batches_are_updates():
    options = [param for params in OPTIONS.values() for param in params if isinstance(param, click.Option)]
    by_name = [(one, param.help) for param in options for one in param.opts]
    assert [text for one, text in by_name if one == "--batch" and not text.startswith("Pictures per ")] == []
    assert [text for one, text in by_name if one == "--batches" and not text.startswith("Updates to ")] == []


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("inof", "there is no command 'inof'; is 'info' meant?"),
        ("Detekt", "there is no command 'Detekt'; is 'detect' meant?"),
        ("merg", "there is no command 'merg'; is 'merge' meant?"),
        ("xyz", "there is no command 'xyz'\n"),
        ("both.cfg", "there is no command 'both.cfg'; next: darkshare info both.cfg"),
    ],
)
def test_a_wrong_command_gets_those_that_are_near(word, says):
    result = CliRunner().invoke(main, [word, "x"])
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_what_others_call_a_command_runs_it_and_stands_in_its_help(alias, name):
    assert alias not in COMMANDS
    helps = [CliRunner().invoke(main, [word, "--help"]).output for word in (alias, name)]
    assert helps[0] == helps[1]
    assert helps[0].startswith(f"Usage: main {name} [OPTIONS] ")
    assert helps[0].endswith(f"\n\n  Also: darkshare {alias}\n")
    assert alias not in CliRunner().invoke(main, ["--help"]).output.replace("merged", "").replace("evaluate", "")


def test_ctrl_c_in_any_command_exits_with_130(tiny, monkeypatch):
    def strike(*_: object, form: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("darkshare.cli.inspection.show", strike)
    result = CliRunner().invoke(main, ["info", str(tiny)])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Interrupted\n")
