"""Completion: files by suffix, tasks and classes of the models on the line, through click and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class
from conftest import ROOT, run, write_pair

from darkshare.cli import COMMANDS, main
from darkshare.cli.completing import VARIABLE, Completed, prepare

FILES = ["start.cfg", "start.conv.5", "squares.data", "photo.png", "a b.cfg", ".hidden.cfg", "more/deep/x.cfg"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with two networks, the merged one, its export, and files of many kinds."""
    folder = tmp_path_factory.mktemp("desk")
    base, other = write_pair(folder)
    run("concat", base, other, "--k", 4, "-o", folder / "both", code=0)
    run("export", base, "-o", folder / "base.onnx", code=0)
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def completed(*words: str, shell: str = "bash") -> list[str]:
    """What may stand in the place of the last word; files that the shell completes by itself are <file>, <dir>."""
    found = get_completion_class(shell)(main, {}, "darkshare", VARIABLE).get_completions([*words[:-1]], words[-1])
    return [one.value if one.type == "plain" else f"<{one.type}>" for one in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fro", "frozen"),
        ("info ", "a_b.cfg base.cfg both.cfg more/ other.cfg start.cfg"),
        ("info b", "base.cfg both.cfg"),
        ("info ./b", "./base.cfg ./both.cfg"),
        ("info mor", "more/deep/x.cfg"),
        ("info .", ".hidden.cfg"),
        ("info none/", ""),
        ("info base.cfg base", "base.weights"),
        ("cut start.cfg start", "start.conv.5"),
        ("merge b", "base.cfg both.cfg"),
        ("train s", "squares.data start.cfg"),
        ("verify both.cfg b", "base.cfg base.onnx base.weights both.weights"),
        ("detect b", "base.cfg base.onnx both.cfg"),
        ("detect both.cfg p", "<file>"),
        ("detect base.onnx p", "<file>"),
        ("classes base.cfg --from b", "base.names both.names"),
        ("concat base.cfg -o b", "<file>"),
        ("train base.cfg --negatives m", "<dir>"),
        ("split both.cfg --task ", "base other"),
        ("detect both.cfg x.png --task o", "other"),
        ("detect --task base,o both.cfg", "both.cfg"),
        ("detect both.cfg --task base,o", "base,other"),
        ("detect both.cfg --thresh b", "base="),
        ("evaluate both.cfg --thresh b", ""),
        ("detect base.onnx --task ", "base"),
        ("detect start.cfg none.cfg --task ", ""),
        ("classes base.cfg --drop ", "red blue"),
        ("classes base.cfg --rename b", "blue="),
        ("detect both.cfg --classes red,b", "red,blue"),
        ("evaluate both.cfg --data ", "base= other= both.data more/ squares.data"),
        ("evaluate both.cfg --data other=s", "other=squares.data"),
        ("evaluate both.cfg --beside other=o", "other=other.cfg other=other.weights"),
        ("info base.cfg --dialect p", "pjreddie"),
        ("train base.cfg --k 3 --k 4 s", "squares.data start.cfg start.conv.5"),
        ("nosuch fro", "frozen"),
        ("--max", "--max-megapixels"),
    ],
)
def test_words_are_completed(desk, monkeypatch, words, expected):
    monkeypatch.chdir(desk)
    assert [word.replace(" ", "_") for word in completed(*words.split(" "))] == expected.split()


def test_commands_come_with_their_lines_and_without_being_imported():
    items = get_completion_class("zsh")(main, {}, "darkshare", VARIABLE).get_completions([], "")
    assert [(one.value, one.help) for one in items] == [(name, text) for name, (_, text) in COMMANDS.items()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_answers(name, desk, monkeypatch):
    """Each suffix that a metavar names is known, and what takes files or folders completes them."""
    monkeypatch.chdir(desk)
    command = main.get_command(click.Context(main), name)
    prepare(command)
    context = click.Context(command)
    for param in command.params:
        assert all(isinstance(one.value, str) for one in param.shell_complete(context, ""))
        if any(word in (param.metavar or "") for word in ("FILE", ".cfg", "PATH", "FOLDER", "PHOTOS", "TASK")):
            assert isinstance(param.type, Completed), param


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_clicks(shell):
    script = run("completion", shell, code=0).stdout
    assert "_darkshare_completion" in script
    assert f"{VARIABLE}={shell}_complete" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script_sourced(desk, tmp_path):
    program = tmp_path / "darkshare"
    own = "import sys; from darkshare.cli import main; sys.argv[0] = 'darkshare'; main()"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{own}" "$@"\n')
    program.chmod(0o755)
    asked = [("info", "a"), ("info", "'a"), ("info", "mor"), ("detect", "both.cfg", "--thresh", "b"), ("inf",)]
    lines = ["source <(darkshare completion bash)", "complete -p darkshare"]
    for words in asked:
        quoted = " ".join(f'"{word}"' for word in ("darkshare", *words))
        lines.append(f"COMP_WORDS=({quoted}) COMP_CWORD={len(words)} COMPREPLY=()")
        lines.append('_darkshare_completion darkshare; printf "[%s]" "${COMPREPLY[@]}"; echo')
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)],
        cwd=desk,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "complete -o nosort -o nospace -F _darkshare_completion darkshare",
        "[a\\ b.cfg ]",
        "[a b.cfg]",
        "[more/deep/x.cfg ]",
        "[base=]",
        "[info ]",
    ]
