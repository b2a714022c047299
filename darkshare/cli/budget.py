"""`savings`."""

from __future__ import annotations

import click

from darkshare.analysis.savings import MOST
from darkshare.cli import command
from darkshare.cli.options import (
    dialect_option,
    figure_look,
    format_option,
    k_option,
    load_all,
    models_argument,
    plot_option,
    size_option,
)
from darkshare.cli.printing import show, wrote


@command()
@models_argument
@k_option("Shared layers. Every legal k without it.")
@click.option("--networks", type=click.IntRange(2, MOST), help="How many networks share the base, if one is given: 2.")
@plot_option("Draw all legal cuts, with --k marked.")
@size_option
@dialect_option
@format_option
def savings(
    files: tuple[str, ...],
    k: tuple[int, ...],
    networks: int | None,
    plot: str | None,
    size: tuple[int, int] | None,
    dialect: str,
    form: str,
) -> None:
    """Count what networks save that share their first k layers.

    weights and FLOPs are shares of the second network, the rest is saved against all networks separately:
    numbers, file and memory. One model stands for two or more like it; several models are a base and the others.

    \b
    Examples:
      darkshare savings yolov3.cfg --k 74 --k 65 --k 49 --k 41
      darkshare savings yolov4-tiny.cfg --networks 4 --plot savings.png
      darkshare savings base.cfg text.cfg logos.cfg --k 74 --format json
    """
    from darkshare.analysis.savings import savings

    models = load_all(files, dialect=dialect, size=size)
    if len(models) > 1 and networks not in (None, len(models)):
        raise click.UsageError(f"--networks {networks}, but {len(models)} models were given; give one, or leave it out")
    found = savings(models, k=k, networks=networks)
    if plot:
        found.plot(plot, **figure_look())
        wrote([plot])
    show(found, form=form)
