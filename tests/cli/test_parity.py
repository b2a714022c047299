"""Every command is one function of the library: same names of parameters, same defaults."""

from __future__ import annotations

import inspect
from pathlib import Path

import click
import pytest

import darkshare
from darkshare.cli import COMMANDS, main

# What a command has and its function has not: how it takes models, how it prints and where it writes.
OF_LOADING = {"dialect", "size"}
OF_PRINTING = {"format", "output"}
OF_FILES = {"files", "paths", "source"}
OF_PROGRESS = {"watch", "progress"}  # what a function has and its command has not: the progress bar
WITHOUT_FUNCTION = {"demo"}
# What differs otherwise, by command: parameter -> why.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "import-data": {"json": "how the command prints; --format is the source's"},
    "savings": {"plot": "result.plot(path)"},
    "stats": dict.fromkeys(("plot", "html", "k", "log"), "result.plot(path, k=, log=) and result.write_html(path, k=)"),
}
PENDING = {  # commands whose function does not do all of it yet
    "concat", "split", "cut", "detect", "classify", "engines", "bench",
    "mix", "snap", "export", "classes", "anchors", "kit", "evaluate", "reduce", "branch",
}  # fmt: skip


def function_of(name: str) -> inspect.Signature:
    return inspect.signature(getattr(darkshare, name.replace("-", "_")))


def options_of(name: str) -> dict[str, object]:
    """The options of a command by the name that its function has for them, with their defaults."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    context = command.make_context(name, [], resilient_parsing=True)
    found = {}
    for param in command.params:
        if isinstance(param, click.Option):
            long = max(param.opts, key=len).removeprefix("--").replace("-", "_")
            found[long] = inspect.Parameter.empty if param.required else context.params[param.name]
    return found


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_FUNCTION - PENDING))
def test_a_command_has_its_functions_parameters_and_defaults(name):
    parameters = function_of(name).parameters
    excepted = EXCEPTIONS.get(name, {})
    for option, default in options_of(name).items():
        if option in OF_LOADING | OF_PRINTING or option in excepted:
            continue
        assert option in parameters, f"--{option.replace('_', '-')} is not a parameter of darkshare.{name}"
        assert (parameters[option].default or None) == (default or None), option
    known = set(options_of(name)) | OF_FILES | OF_PROGRESS | set(excepted)
    for parameter in parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.name in known, f"{parameter.name} of darkshare.{name} is not an option"


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_FUNCTION - PENDING))
def test_help_of_a_command_can_be_read_from_python(name):
    function = getattr(darkshare, name.replace("-", "_"))
    assert inspect.getdoc(function)
    assert name.replace("-", "_") in dir(darkshare)


def test_all_exceptions_are_in_use():
    for name, excepted in EXCEPTIONS.items():
        assert set(excepted) <= {*options_of(name), *function_of(name).parameters}, name


def test_the_stub_lists_every_name_once():
    lines = (Path(darkshare.__file__).parent / "__init__.pyi").read_text(encoding="utf-8").splitlines()
    names = [line.rpartition(" ")[2] for line in lines]
    assert len(set(names)) == len(names)
    assert set(names) == {*dir(darkshare), "__version__"}
