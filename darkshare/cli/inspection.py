"""`info` and `check`."""

from __future__ import annotations

import json
from typing import Any

import click

from darkshare import measure
from darkshare.cli.options import dialect_option, format_option, load_all, models_argument, pair, size_option
from darkshare.report import printable, render


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
@format_option
def check(files: tuple[str, ...], dialect: str, strict: bool, form: str) -> None:
    """Everything that is wrong with a model, at once, with lines and cures. Exit code 1 if there are errors.

    \b
    Examples:
      darkshare check yolov3.cfg
      darkshare check yolov3.cfg yolov3.weights --dialect hank-ai
      darkshare check merged.cfg --strict --format json
    """
    from darkshare import checking  # here, so that `info` starts without the rules

    found = [problem for cfg, weights in pair(files) for problem in checking.check(cfg, weights, dialect=dialect)]
    if form == "text":
        click.echo("\n".join([*(printable(str(problem)) for problem in found), checking.summary(found)]))
    else:
        click.echo(render([problem.row for problem in found], form))
    if any(problem.severity == "error" or (strict and problem.severity == "warning") for problem in found):
        raise click.exceptions.Exit(1)
