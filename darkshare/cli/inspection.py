"""`info` and `check`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from darkshare._tables import printable, render
from darkshare.analysis import info as measure
from darkshare.cli.options import dialect_option, format_option, load_all, models_argument, pair, size_option

if TYPE_CHECKING:
    from darkshare.analysis.check import Problem
    from darkshare.data import Review


@click.command()
@models_argument
@size_option
@dialect_option
@format_option
def info(files: tuple[str, ...], size: tuple[int, int] | None, dialect: str, form: str) -> None:
    """The layers of a model as Darknet prints them, with parameters and BFLOPs.

    \b
    Examples:
      darkshare info yolov3.cfg
      darkshare info yolov3.cfg yolov3.weights --format json
      darkshare info yolov3.cfg yolov3-tiny.cfg --size 608
    """
    found = [measure.info(model) for model in load_all(files, dialect=dialect, size=size)]
    if form == "json":
        described: Any = [measure.to_json(one) for one in found]
        click.echo(json.dumps(described if len(found) > 1 else described[0], indent=1))
        return
    for one in found:
        click.echo(printable(f"{one.file} ({one.dialect})"), err=form == "csv")
        click.echo(render(measure.to_rows(one), form))
        click.echo("\n".join(["", *measure.totals(one), ""]), err=form == "csv")


@click.command()
@models_argument
@dialect_option
@click.option("--strict", is_flag=True, help="Let warnings count as errors.")
@click.option("--decode", is_flag=True, help="Decode every picture of a .data file.")
@format_option
def check(files: tuple[str, ...], dialect: str, strict: bool, decode: bool, form: str) -> None:
    """Everything that is wrong with a model or a data set, with lines and cures. Exit code 1 if there are errors.

    \b
    Examples:
      darkshare check yolov3.cfg
      darkshare check yolov3.cfg yolov3.weights --dialect hank-ai
      darkshare check merged.cfg --strict --format json
      darkshare check masks.data --decode
    """
    from darkshare.analysis import check as checking  # here, so that `info` starts without the rules

    models = pair([file for file in files if not file.endswith(".data")])
    found = [problem for cfg, weights in models for problem in checking.check(cfg, weights, dialect=dialect)]
    reviews = _reviews([file for file in files if file.endswith(".data")], decode)
    found += [checking.Problem("error", text, str(path), line) for one in reviews for path, line, text in one.findings]
    click.echo(_shown(found, reviews, form))
    if any(problem.severity == "error" or (strict and problem.severity == "warning") for problem in found):
        raise click.exceptions.Exit(1)


def _reviews(files: Sequence[str], decode: bool) -> list[Review]:
    if not files:
        return []
    from darkshare import data as datasets  # here, because models are looked at without it
    from darkshare.cli.data import watched

    return [datasets.review(file, decode=decode, watch=watched) for file in files]


def _shown(found: Sequence[Problem], reviews: Sequence[Review], form: str) -> str:
    from darkshare.analysis import check as checking
    from darkshare.cli.data import tables

    rows = [problem.row for problem in found]
    described: list[dict[str, Any]] = [{"data": str(one.path), **tables(one.parts)} for one in reviews]
    if form == "json" and described:
        return json.dumps({"problems": rows, "datasets": described}, indent=1)
    if form != "text":
        return render(rows, form)
    texts = [render(part, form) for one in described for part in (one["parts"], one["classes"]) if part]
    return "\n\n".join(["\n".join([*(printable(str(one)) for one in found), checking.summary(found)]), *texts])
