"""Every command is one function of the library: same names of parameters, same defaults."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from pathlib import Path

import click
import pytest

import darkshare
from darkshare.cli import COMMANDS, main

# What a command may have and its function not: how it takes models, how it prints and where it writes.
OF_COMMANDS = {"dialect", "size", "format", "output"}
OF_PROGRESS = {
    "watch",
    "progress",
    "tell",
    "trainings",
}  # what a function has and its command not: the command shows a bar
OF_FIGURES = {"plot", "width", "font_size", "title"}  # of result.plot(path, width=, font_size=, title=)
WITHOUT_FUNCTION = {"add-task", "completion", "demo", "git-diff"}
# What differs otherwise, by command: parameter -> why.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "concat": dict.fromkeys(("verify", "images"), "verify(merged, *models, images=), since it needs an engine"),
    "cut": {"for": "a keyword of Python: target", "target": "--for"},
    "export": {"for": "a keyword of Python: target", "target": "--for"},
    "classes": {"from": "a keyword of Python: names", "names": "--from"},
    "reduce": {"list": "residual_blocks(model)", "recalibrate_bn": "recalibrated(model, images), since it needs torch"},
    "branch": {"recalibrate_bn": "recalibrated(model, images, k=model.report.k), since it needs torch"},
    "stats": dict.fromkeys(
        ("html", "k", "log", "layers"), "result.plot(path, k=, log=) and result.write_html(path, k=)"
    ),
    "evaluate": {
        "data": "the command takes it behind the model too",
        "csv": "result.curves()",
    },
}


empty = inspect.Parameter.empty


def function_of(name: str) -> inspect.Signature:
    return inspect.signature(getattr(darkshare, name.replace("-", "_")))


def options_of(command: click.Command) -> dict[str, object]:
    """The options of a command by the name that its function has for them, with their defaults."""
    given = command.make_context("made up", [], resilient_parsing=True).params
    found: dict[str, object] = {}
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.name is not None
            long = max(param.opts, key=len).removeprefix("--").replace("-", "_")
            found[long] = empty if param.required else given[param.name] if param.expose_value else None
    return found


def differences(command: click.Command, function: inspect.Signature, excepted: Collection[str]) -> list[str]:
    """Name everything that a command and its function do not agree on."""
    options, parameters = options_of(command), function.parameters
    found = []
    for option, default in options.items():
        if option in excepted or (option in OF_COMMANDS | OF_FIGURES and option not in parameters):
            continue
        if option not in parameters:
            found.append(f"{option} is not a parameter")
        elif not same(default, parameters[option].default):
            found.append(f"{option} is {default!r} for the command, {parameters[option].default!r} for the function")
    known = {*options, *OF_PROGRESS, *excepted}
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:  # models or files, as many as there are
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            found.append(f"{parameter} hides parameters")
        elif name not in known and not is_input(parameter):
            found.append(f"{name} is not an option")
    return found


def is_input(parameter: inspect.Parameter) -> bool:
    """Whether a parameter stands for a file of the command: its place counts, and without a file it is None."""
    return parameter.kind is not parameter.KEYWORD_ONLY and parameter.default in (empty, None)


def same(option: object, parameter: object) -> bool:
    """Whether two defaults mean the same: an option that may be given again has () where a function may have None."""
    if option == () and (parameter is None or parameter == {}):
        return True
    return option == parameter and isinstance(option, bool) == isinstance(parameter, bool)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_FUNCTION))
def test_a_command_has_its_functions_parameters_and_defaults(name):
    command = main.get_command(click.Context(main), name)
    assert differences(command, function_of(name), EXCEPTIONS.get(name, {})) == []


@click.command()
@click.argument("files", nargs=-1)
@click.option("--k", type=int, multiple=True)
@click.option("--lr", "rate", type=float, default=0.1)
@click.option("--by-order", is_flag=True)
@click.option("--epochs", type=int, required=True)
@click.option("--seed", default=0)
@click.option("--format", default="text")
def made_up(**_):
    """Nothing."""


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        (lambda model, data=None, *, epochs, k=None, lr=0.1, by_order=False, seed=0, watch=iter: None, []),
        (lambda model, *, epochs, k=(), lr=0.1, by_order=False, seed=0, format="text": None, []),
        (lambda model, *, epochs, k=(), lr=0.2, by_order=False, seed=0: None, ["lr is 0.1 for the command, 0.2"]),
        (lambda model, *, epochs, k=3, lr=0.1, by_order=False, seed=0: None, ["k is () for the command, 3"]),
        (lambda model, *, epochs, k=(), lr=0.1, by_order=None, seed=0: None, ["by_order is False for the command, No"]),
        (lambda model, *, epochs, k=(), lr=0.1, by_order=False, seed=None: None, ["seed is 0 for the command, None"]),
        (lambda model, *, epochs=1, k=(), lr=0.1, by_order=False, seed=0: None, ["epochs is <class 'inspect._empty'>"]),
        (lambda model, *, epochs, k=(), rate=0.1, by_order=False, seed=0: None, ["lr is not a p", "rate is not an o"]),
        (lambda model, *, epochs, data=None, k=(), lr=0.1, by_order=False, seed=0: None, ["data is not an option"]),
        (lambda model, extra=1, *, epochs, k=(), lr=0.1, by_order=False, seed=0: None, ["extra is not an option"]),
        (lambda model, *, epochs, k=(), lr=0.1, by_order=False, seed=0, **how: None, ["**how hides"]),
        (lambda model, *, epochs, k=(), lr=0.1, by_order=False, seed=0, format="x": None, ["format is 'text'"]),
    ],
)  # fmt: skip
def test_every_difference_is_found(function, wrong):
    found = differences(made_up, inspect.signature(function), ())
    assert len(found) == len(wrong)
    assert all(text.startswith(begin) for text, begin in zip(found, wrong, strict=True))


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_FUNCTION))
def test_help_of_a_command_can_be_read_from_python(name):
    function = getattr(darkshare, name.replace("-", "_"))
    assert inspect.getdoc(function)
    assert name.replace("-", "_") in dir(darkshare)


def test_all_exceptions_are_in_use():
    for name, excepted in EXCEPTIONS.items():
        command = main.get_command(click.Context(main), name)
        differing = {text.partition(" ")[0] for text in differences(command, function_of(name), ())}
        assert set(excepted) <= differing, name


def test_the_stub_lists_every_name_once():
    lines = (Path(darkshare.__file__).parent / "__init__.pyi").read_text(encoding="utf-8").splitlines()
    names = [line.rpartition(" ")[2] for line in lines]
    assert len(set(names)) == len(names)
    assert set(names) == {*dir(darkshare), "__version__"}


def test_what_public_functions_return_is_public():
    functions = [one for name in dir(darkshare) if inspect.isfunction(one := getattr(darkshare, name))]
    returned = {part.strip() for one in functions for part in str(inspect.signature(one).return_annotation).split("|")}
    plain = {"None", "list[Path]", "list[Model]"}
    assert returned - plain <= set(dir(darkshare))
