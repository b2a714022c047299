from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from darkshare.cli import options
from darkshare.cli.options import Files, load_all, pair
from darkshare.cli.parameters import SIZE
from darkshare.errors import DarkshareError


@pytest.mark.parametrize(
    ("given", "models"),
    [
        ("a.cfg", [("a.cfg", None)]),
        ("a.cfg b.cfg", [("a.cfg", None), ("b.cfg", None)]),
        ("a.cfg a.weights b.cfg b.weights", [("a.cfg", "a.weights"), ("b.cfg", "b.weights")]),
        ("a.cfg a.weights b.cfg", [("a.cfg", "a.weights"), ("b.cfg", None)]),
        ("a.cfg 1.weights 2.weights", [("a.cfg", "1.weights"), ("a.cfg", "2.weights")]),
        ("a.cfg darknet53.conv.74", [("a.cfg", "darknet53.conv.74")]),
        ("x/a.cfg y/b.backup", [("x/a.cfg", "y/b.backup")]),
        ("", []),
    ],
)
def test_files_are_sorted_into_models(given, models):
    assert pair(given.split()) == [Files(*model) for model in models]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a.weights", "a.weights: give the .cfg that these weights belong to before it"),
        ("a.jpg", "a.jpg: expected a .cfg file first, then its .weights"),
    ],
)
def test_weights_need_a_cfg_before_them(given, message):
    with pytest.raises(click.UsageError) as caught:
        pair(given.split())
    assert caught.value.message == message


def test_models_are_loaded_in_order(tiny):
    first, second = load_all([str(tiny), str(tiny.with_suffix(".weights")), str(tiny)], size=(64, 64))
    assert first.weights.path == second.weights.path == str(tiny.with_suffix(".weights"))
    assert str(first.network.input) == "64x64x3"


@pytest.mark.parametrize(
    ("text", "size"), [("416", (416, 416)), ("416x320", (416, 320)), ("416X320", (416, 320)), ((8, 9), (8, 9))]
)
def test_a_size_is_one_number_or_two(text, size):
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "x", "416x", "x320", "big", "416x320x3", "4.5"])
def test_no_size_is_a_usage_error(text):
    with pytest.raises(click.UsageError, match="is not a size; write 416 or 416x320"):
        SIZE.convert(text, None, None)


@click.command()
@options.models_argument
@options.dialect_option
@options.format_option
@options.size_option
def show(files, dialect, form, size):
    click.echo(repr((files, dialect, form, size)))


def test_the_shared_options_mean_the_same_everywhere():
    result = CliRunner().invoke(show, ["a.cfg", "b.cfg", "--dialect", "pjreddie", "--format", "csv", "--size", "8x9"])
    assert result.output == "(('a.cfg', 'b.cfg'), 'pjreddie', 'csv', (8, 9))\n"
    assert CliRunner().invoke(show, ["a.cfg"]).output == "(('a.cfg',), 'alexeyab', 'text', None)\n"


@pytest.mark.parametrize(
    "arguments", [[], ["a.cfg", "--dialect", "x"], ["a.cfg", "--format", "x"], ["a.cfg", "--size", "x"]]
)
def test_wrong_usage_exits_with_2(arguments):
    assert CliRunner().invoke(show, arguments).exit_code == 2


def test_a_darkshare_error_is_a_message_and_exit_code_1():
    from darkshare.cli import Commands

    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise DarkshareError("is\nwrong", file="a.cfg", line=3)

    result = CliRunner().invoke(group, ["fail"])
    assert (result.exit_code, result.output) == (1, "Error: a.cfg:3: is wrong\n")
