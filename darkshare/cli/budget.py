"""`savings`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from darkshare._tables import render
from darkshare.analysis.savings import Saving, at_cuts, separately, to_json, to_rows
from darkshare.cli.options import dialect_option, format_option, load_all, models_argument, size_option
from darkshare.darknet.network import Network

MOST = 1000  # networks


@click.command()
@models_argument
@click.option("--k", "ks", type=int, multiple=True, help="Shared layers; may be given again. Every legal k without it.")
@click.option("--networks", type=click.IntRange(2, MOST), help="How many networks share the base, if one is given: 2.")
@click.option("--plot", metavar="FILE", help="Draw all legal cuts into a .png, .svg or .pdf, with --k marked.")
@size_option
@dialect_option
@format_option
def savings(
    files: tuple[str, ...],
    ks: tuple[int, ...],
    networks: int | None,
    plot: str | None,
    size: tuple[int, int] | None,
    dialect: str,
    form: str,
) -> None:
    """What networks save that share their first k layers.

    weights and FLOPs are shares of the second network, the rest is saved against all networks separately:
    numbers, file and memory. One model stands for two or more like it; several models are a base and the others.

    \b
    Examples:
      darkshare savings yolov3.cfg --k 74 --k 65 --k 49 --k 41
      darkshare savings yolov4-tiny.cfg --networks 4 --plot savings.png
      darkshare savings base.cfg text.cfg logos.cfg --k 74 --format json
    """
    chosen = _networks([model.network for model in load_all(files, dialect=dialect, size=size)], networks)
    found = at_cuts(chosen, ks or None)
    if plot:
        _draw(chosen, ks, plot)
    _print(found, chosen, form)


def _networks(given: list[Network], count: int | None) -> list[Network]:
    if len(given) == 1:
        return given * (count or 2)
    if count not in (None, len(given)):
        raise click.UsageError(f"--networks {count}, but {len(given)} models were given; give one, or leave it out")
    return given


def _draw(networks: Sequence[Network], ks: Sequence[int], path: str) -> None:
    from darkshare.analysis import plots

    plots.plot_savings(to_json(at_cuts(networks)), path, marks=ks)
    click.echo(f"wrote {path}", err=True)


def _print(found: Sequence[Saving], networks: Sequence[Network], form: str) -> None:
    for_people = form in ("text", "markdown")
    click.echo(render(to_rows(found) if for_people else to_json(found), form))
    click.echo(("\n" if for_people else "") + separately(networks), err=not for_people)
