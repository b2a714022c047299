"""An option that is given twice: all its values count, or it is wrong usage; none is silently dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import pytest
from conftest import run

from darkshare.cli import COMMANDS, main

OF_K = ("concat", "stats", "frozen", "bench", "savings", "sweep", "suggest-k")
ONE_K = ("add-task", "cut", "mix", "snap", "kit", "train")


def options_of(name: str) -> Iterator[click.Option]:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    yield from (param for param in command.params if isinstance(param, click.Option))


SINGLE = [
    pytest.param(name, option, spelling, id=f"{name} {spelling}")
    for name in COMMANDS
    for option in options_of(name)
    if not option.multiple
    for spelling in (*option.opts, *option.secondary_opts)
]


@pytest.mark.parametrize(("name", "option", "spelling"), SINGLE)
def test_an_option_with_one_value_is_refused_when_given_twice(name, option, spelling):
    words = [spelling] if option.is_flag else [spelling, "1"]
    result = run(name, *words, "x.cfg", *words, code=2)
    assert f"{' / '.join(option.opts)} is given 2 times; give it once" in " ".join(result.stderr.split())


def test_a_flag_and_its_opposite_are_one_option():
    result = run("train", "x.cfg", "x.data", "--k", 1, "--augment", "--no-augment", code=2)
    assert "--augment is given 2 times" in result.stderr


def test_help_may_be_asked_for_twice():
    run("train", "--help", "-h", code=0)


@pytest.mark.parametrize("name", COMMANDS)
def test_k_takes_several_values_in_both_spellings_wherever_it_takes_more_than_one(name):
    found = [option for option in options_of(name) if option.name == "k"]
    assert bool(found) == (name in (*OF_K, *ONE_K))
    for option in found:
        assert option.multiple == (name in OF_K)
        if name in OF_K:
            context = click.Context(click.Command(name, params=[option]))
            for words in (["0,41", "7"], ["0", "41", "7"], ["0,41,7"], ["0, 41", " 7"]):
                assert option.process_value(context, words) == (0, 41, 7)


def test_everything_that_takes_a_list_may_be_given_again():
    lists = {(name, option.opts[0]) for name in COMMANDS for option in options_of(name) if option.callback is JOINED}
    assert lists == {
        *((name, "--k") for name in OF_K),
        ("sweep", "--seeds"),
        ("branch", "--widths"),
        ("detect", "--save"),
        ("detect", "--classes"),
        ("detect", "--task"),
        ("import-data", "--keep-classes"),
    }
    separated = {
        (name, option.opts[0])
        for name in COMMANDS
        for option in options_of(name)
        if isinstance(option.type, click.ParamType) and "," in option.type.name
    }
    assert separated <= lists


JOINED = next(option.callback for option in options_of("sweep") if option.name == "k")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("detect", "x.cfg", "x.png", "--thresh", "0.2", "--thresh", "0.3"), "is given 2 times"),
        (("detect", "x.cfg", "x.png", "--nms", "a=0.2", "--nms", "a=0.3"), "is given 2 times for a"),
        (("evaluate", "x.cfg", "x.data", "--map", "a=b", "--map", "a=c"), "is given 2 times for a"),
        (("import-data", "x", "-o", "y", *("--rename-classes", "a=b") * 2), "is given 2 times for a"),
    ],
)
def test_a_name_that_gets_two_values_is_refused(words, says):
    assert says in run(*words, code=2).stderr


def test_different_names_get_a_value_each():
    words = ("--thresh", "0.2", "--thresh", "a=0.3", "--nms", "a=0.3", "--nms", "b=0.3")
    assert "x.cfg: cannot be read" in run("detect", "x.cfg", "x.png", *words, code=1).stderr


def test_a_class_is_renamed_once(tiny):
    result = run("classes", tiny, "--rename", "class_0=a", "--rename", "class_0=b", code=1)
    assert "class 'class_0' is renamed 2 times; say one of them" in result.stderr


def test_frozen_takes_a_k_for_each_further_model(tiny):
    weights = tiny.with_suffix(".weights")
    result = run("frozen", tiny, weights, weights, weights, "--k", "3,5", "--format", "json", code=0)
    assert [one["k"] for one in json.loads(result.stdout)["models"]] == [3, 5]
    result = run("frozen", tiny, weights, weights, weights, "--k", 3, "--k", 4, "--k", 5, code=1)
    assert "3 values of k for 2 further networks: give one, or one for each" in result.stderr
