"""`info`, `draw` and `check`."""

from __future__ import annotations

import click

from darkshare._files import require_unread
from darkshare.cli import command
from darkshare.cli.options import dialect_option, format_option, load_all, models_argument, pair, size_option
from darkshare.cli.printing import say, show, wrote
from darkshare.cli.progress import watcher

MANY = 500  # pictures, from which on a progress bar is worth its line


@command()
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
    from darkshare.analysis.info import info

    show(*map(info, load_all(files, dialect=dialect, size=size)), form=form)


def _drawing(_: click.Context, __: click.Parameter, path: str) -> str:
    """Refuse a name that no drawing can have before anything is read."""
    from darkshare.analysis.drawing import drawing_format

    drawing_format(path)
    return path


@command()
@models_argument
@click.option(
    "-o", "--output", metavar="FILE", required=True, callback=_drawing,
    help="Where to write the drawing: a .html page, or .svg, .png, .pdf.",
)  # fmt: skip
@size_option
@dialect_option
@format_option
def draw(files: tuple[str, ...], output: str, size: tuple[int, int] | None, dialect: str, form: str) -> None:
    """Draw a network: its trunk, branches and heads, whose each layer is, and what it costs.

    A .html page or .svg file describes each layer that is pointed at. Several models are drawn over the trunk that
    they share with the first one, as they would lie in one network.

    \b
    Examples:
      darkshare draw both.cfg -o both.html
      darkshare draw yolov3.cfg -o yolov3.svg
      darkshare draw base.cfg text.cfg -o plan.html
    """
    from darkshare.analysis.drawing import draw

    models = load_all(files, dialect=dialect, size=size, partial=True)
    require_unread([output])
    found = draw(*models)
    found.write(output)
    if form == "text":  # the drawing is what people look at
        say(*found.notes())
    else:
        show(found, form=form)
    wrote([output])


@command()
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
      darkshare check mine.cfg masks.data
    """
    from darkshare.analysis.check import check

    pair([file for file in files if not file.endswith(".data")])  # a usage error before anything is read
    found = check(*files, dialect=dialect, strict=strict, decode=decode, watch=watcher(least=MANY))
    show(found, form=form)
    if not found.is_fine:
        raise click.exceptions.Exit(1)
