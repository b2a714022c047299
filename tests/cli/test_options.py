from __future__ import annotations

import os
import shlex

import click
import pytest
from click.testing import CliRunner
from conftest import network_of, run, seeded_floats, tiny_text, write_model

from darkshare.cli import options
from darkshare.cli.options import Files, inputs, load_all, one_model, pair
from darkshare.errors import BadArguments, DarkshareError, warn


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
        ("a.cfg a.onnx", "a.onnx: is an exported file; give the .cfg that it was made from"),
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


@pytest.mark.parametrize("files", [[], ["a.cfg", "b.cfg"]])
def test_exactly_one_model_is_wrong_usage_otherwise(files):
    with pytest.raises(click.UsageError, match=f"give one model; {len(files)} were given"):
        one_model(files)


def test_the_files_of_models_are_their_cfg_and_weights(tiny):
    own = one_model([str(tiny)], sibling=False)
    assert inputs(own) == [str(tiny)]
    assert inputs(own, one_model([str(tiny)])) == [str(tiny), str(tiny), str(tiny.with_suffix(".weights"))]


@click.command()
@options.models_argument
@options.dialect_option
@options.format_option
@options.size_option
@options.seed_option("Of all.")
@options.threads_option()
@options.output_option("merged")
@options.plot_option("Draw it.")
def show(files, dialect, form, size, **more):
    click.echo(repr((files, dialect, form, size)))
    click.echo(f"{sorted(more.items())} {options.flags(sorted(more))}")


def test_the_shared_options_mean_the_same_everywhere():
    result = CliRunner().invoke(show, ["a.cfg", "b.cfg", "--dialect", "pjreddie", "--format", "csv", "--size", "8x9"])
    assert result.output.startswith("(('a.cfg', 'b.cfg'), 'pjreddie', 'csv', (8, 9))\n")
    lines = CliRunner().invoke(show, ["a.cfg"]).output.splitlines()
    assert lines[0] == "(('a.cfg',), 'alexeyab', 'text', None)"
    assert lines[1] == "[('output', 'merged'), ('plot', None), ('seed', 0), ('threads', None)] []"


def test_options_that_were_given_are_known_as_typed():
    """An option that has the value of its default was given all the same."""
    words = ["a.cfg", "--seed", "0", "-o", "x", "--plot", "a.svg"]
    assert CliRunner().invoke(show, words).output.endswith("['--seed', '-o', '--plot']\n")


@pytest.mark.parametrize("words", [("--width", 3), ("--font-size", 8), ("--title", "")])
def test_the_look_of_a_figure_needs_a_figure(words, tiny, tmp_path):
    assert f"{words[0]} is about figures: add --plot FILE" in run("savings", tiny, *words, code=2).stderr
    run("savings", tiny, *words, "--plot", tmp_path / "a.svg", code=0)


def test_the_backend_of_a_notebook_that_starts_a_command_does_not_matter(tiny, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://missing.here")
    run("info", tiny, code=0)
    assert os.environ["MPLBACKEND"] == "agg"


def test_the_name_of_a_figure_is_looked_at_before_anything_runs():
    result = CliRunner().invoke(show, ["a.cfg", "--plot", "a.gif"])
    assert isinstance(result.exception, DarkshareError)
    assert "end its name in .png, .svg or .pdf" in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.cfg", "--dialect", "x"],
        ["a.cfg", "--format", "x"],
        ["a.cfg", "--size", "x"],
        ["a.cfg", "--seed", -1],
        ["a.cfg", "--threads", 0],
    ],
)
def test_wrong_usage_exits_with_2(arguments):
    assert CliRunner().invoke(show, arguments).exit_code == 2


def test_errors_are_a_message_and_an_exit_code_and_warnings_a_note():
    from darkshare.cli import Commands

    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise DarkshareError("is\nwrong", file="a.cfg", line=3)

    @group.command()
    def contradict() -> None:
        raise BadArguments("give one\nof them")

    @group.command()
    def note() -> None:
        warn("is\nodd\x1b")

    result = CliRunner().invoke(group, ["fail"])
    assert (result.exit_code, result.output) == (1, "Error: a.cfg:3: is wrong\n")
    result = CliRunner().invoke(group, ["contradict"])
    assert (result.exit_code, result.output) == (2, "Error: give one of them\n")
    result = CliRunner().invoke(group, ["note"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Note: is odd\\x1b\n")


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """base.cfg with 2 classes, and a and b with other numbers of classes, each with its weights; the current folder."""
    for name, classes in {"base": 2, "a": 3, "b b": 5}.items():
        text = tiny_text(classes)
        write_model(tmp_path / f"{name}.cfg", text, seeded_floats(network_of(text), 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "advised"),
    [
        ("stats base.cfg a.weights 'b b.weights'", "stats BASE a.cfg a.weights 'b b.cfg' 'b b.weights'"),
        ("stats base.cfg base.weights a.weights", "stats BASE a.cfg a.weights"),
        ("frozen base.cfg a.weights base.weights --k 4", "frozen BASE a.cfg a.weights BASE --k 4"),
        ("frozen base.cfg base.weights base.weights a.weights", "frozen BASE base.weights a.cfg a.weights"),
        ("stats --format csv a.cfg 'b b.weights'", "stats --format csv a.cfg a.weights 'b b.cfg' 'b b.weights'"),
        ("concat base.cfg a.weights -o 'x y' --force", "concat BASE a.cfg a.weights -o 'x y' --force"),
    ],
)
def test_weights_of_another_cfg_get_the_command_that_names_it(trained, words, advised):
    error = run(*shlex.split(words), code=1).stderr
    assert "in every head: it belongs to another cfg, which stands before it; next: darkshare " in error
    assert error.rstrip("\n").partition("next: darkshare ")[2] == advised.replace("BASE", "base.cfg base.weights")


def test_what_is_advised_for_weights_of_another_cfg_runs(trained):
    error = run("stats", "base.cfg", "a.weights", "b b.weights", code=1).stderr
    run(*shlex.split(error.partition("next: darkshare ")[2]), code=0)


def test_nothing_is_advised_where_no_cfg_lies_beside_the_weights(trained):
    (trained / "a.cfg").unlink()
    assert "next:" not in run("stats", "base.cfg", "a.weights", code=1).stderr
    (trained / "a.cfg").write_text(tiny_text(4))
    assert "next:" not in run("stats", "base.cfg", "a.weights", code=1).stderr
