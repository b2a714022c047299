"""`stats` and `frozen`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from darkshare._files import write_all
from darkshare._tables import Row, printable, render
from darkshare.analysis import frozen as freezing
from darkshare.analysis import stats as differences
from darkshare.analysis import weight_stats as distributions
from darkshare.analysis.stats import Comparison
from darkshare.cli.options import dialect_option, format_option, load_all, models_argument
from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError

_LONG = 400_000_000  # floats; fewer are compared in a second or two
_COLUMNS = ["layer", "other_layer", "kind", "quantity", "relative", "q1", "median", "q3", "low", "high", "outliers"]
_COLUMNS += ["maximum", "elementwise_median", "elementwise_p99", "clipped", "note"]
_OPTIONAL = ("elementwise_median", "elementwise_p99", "clipped", "note")
_OWN_COLUMNS = ["layer", "kind", "quantity", "count", "norm", "minimum", "filter_q1", "filter_median", "filter_q3"]
_OWN_COLUMNS += ["maximum", "zeros", "dead", "broken"]


@click.command()
@models_argument
@click.option(
    "--space",
    type=click.Choice(differences.SPACES),
    default=differences.SPACES[0],
    show_default=True,
    help="The values of the files, or batch norm folded into kernels and biases.",
)
@click.option("--elementwise", is_flag=True, help="Also the spread over single weights; takes longer.")
@format_option
@click.option("-o", "--output", type=click.Path(), help="Write the rows to this file.")
@click.option("--plot", "plots", type=click.Path(), multiple=True, help="Draw box plots: .png, .svg or .pdf.")
@click.option("--html", type=click.Path(), help="Write a page with the figures and the rows.")
@click.option("--k", "ks", type=int, multiple=True, help="Mark this many shared layers in figures; repeatable.")
@click.option("--log", is_flag=True, help="Logarithmic axis in --plot.")
@dialect_option
def stats(
    files: tuple[str, ...],
    space: str,
    elementwise: bool,
    form: str,
    output: str | None,
    plots: tuple[str, ...],
    html: str | None,
    ks: tuple[int, ...],
    log: bool,
    dialect: str,
) -> None:
    """How far models differ from the first one: per layer, biases, weights and batch norm, relative to it.

    `relative` is ||other-base|| / ||base||; the quartiles and whiskers are those of the same ratio per filter.
    One model alone: its own norms, ranges, zeros and dead filters.

    \b
    Examples:
      darkshare stats yolov3.cfg yolov3.weights logo.weights text.weights
      darkshare stats yolov3.cfg text.cfg --space folded --format csv -o rows.csv
      darkshare stats yolov3.cfg logo.cfg --plot logo.png --k 74
      darkshare stats yolov3.cfg yolov3.weights
    """
    models = load_all(files, dialect=dialect, partial=True)
    _require_sense(models, output, [*plots, *([html] if html else [])], marked=bool(ks or log))
    if len(models) == 1:
        _print_own(distributions.describe_weights(models[0], space=space), form, output)
        return
    with _progress(models, long=elementwise) as bar:
        found = differences.stats(*models, space=space, elementwise=elementwise, progress=bar and bar.update)
    _print(_shown(found, form), [f"{one.other}: {one.verdict}" for one in found], form, output)
    _draw(found, plots, html, ks, log=log)


@click.command()
@models_argument
@click.option("--k", type=int, help="How many leading layers; the longest identical run without it.")
@dialect_option
@format_option
def frozen(files: tuple[str, ...], k: int | None, dialect: str, form: str) -> None:
    """Whether the first k layers of further models are the first model's, bit for bit. Exit code 1 if not.

    Prints every tensor that moved, by how much, and what probably happened to it. Input sizes may differ.

    \b
    Examples:
      darkshare frozen yolov3.cfg yolov3.weights text.cfg text.weights --k 74
      darkshare frozen base.cfg base.weights retrained.weights
    """
    base, *others = load_all(files, dialect=dialect, partial=True)
    if not others:
        raise click.UsageError("give the model to compare with the first one, or its .weights")
    found = [freezing.frozen(base, other, k) for other in others]
    shown = freezing.to_json(found) if form == "json" else freezing.to_rows(found)
    _print(shown, [f"{one.other}: {'; '.join(filter(None, [one.verdict, one.diagnosis]))}" for one in found], form)
    if not all(one.is_frozen for one in found):
        raise click.exceptions.Exit(1)


def _shown(found: Sequence[Comparison], form: str) -> Sequence[Row]:
    """The rows of a table: all columns in a file for other programs, the telling ones for people."""
    if form == "json":
        return differences.to_json(found)
    rows = differences.to_rows(found)
    if form == "csv":
        return rows
    columns = [*(["other"] if len(found) > 1 else []), *_COLUMNS]
    if all(row["layer"] == row["other_layer"] for row in rows):
        columns.remove("other_layer")
    return _without_empty(rows, columns, _OPTIONAL)


def _without_empty(rows: Sequence[Row], columns: Sequence[str], optional: Sequence[str]) -> list[Row]:
    kept = [column for column in columns if column not in optional or any(row[column] for row in rows)]
    return [{column: row[column] for column in kept} for row in rows]


def _print_own(found: Sequence[distributions.Distribution], form: str, output: str | None) -> None:
    rows: Sequence[Row] = distributions.to_rows(found)
    if form in ("text", "markdown"):
        rows = _without_empty(rows, _OWN_COLUMNS, ("broken",))
    _print(rows, [distributions.summary(found)], form, output)


def _print(rows: Sequence[Row], lines: Sequence[str], form: str, output: str | None = None) -> None:
    """Rows to stdout or a file; the lines below them, or to stderr where other programs read stdout."""
    text = render(rows, form)
    if output:
        write_all({Path(output): [(text + "\n").encode()]})
    elif text:
        click.echo(text)
    for line in lines:
        click.echo(printable(line), err=not output and form in ("csv", "json"))


def _draw(found: Sequence[Comparison], plots: Sequence[str], html: str | None, ks: Sequence[int], *, log: bool) -> None:
    for path in plots:
        from darkshare.analysis.plots import plot_differences

        plot_differences(found, Path(path), ks=ks, log=log)
    if html:
        from darkshare.analysis.html import write_html

        write_html(found, Path(html), ks=ks)


def _require_sense(models: Sequence[Model], output: str | None, figures: Sequence[str], *, marked: bool) -> None:
    """Refuse options that would have no effect, and outputs that would replace an input."""
    if marked and not figures:
        raise click.UsageError("--k and --log are about figures: add --plot FILE")
    if figures and len(models) == 1:
        raise click.UsageError("a figure compares models: give at least two")
    inputs = {Path(path).resolve() for m in models for path in (m.name, m.weights.path if m.weights else "") if path}
    for path in filter(None, [output, *figures]):
        if Path(path).resolve() in inputs:
            raise DarkshareError("is one of the inputs and would be replaced; choose another name", file=path)


def _progress(models: Sequence[Model], *, long: bool) -> AbstractContextManager[Any]:
    """A progress bar on stderr, where somebody looks and it takes long."""
    floats = models[0].network.params * (len(models) - 1)
    if not sys.stderr.isatty() or floats < _LONG / (10 if long else 1):
        return nullcontext()
    return click.progressbar(length=floats, file=sys.stderr)
