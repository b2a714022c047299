"""`engines` and `bench`: what runs here, and how fast."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from darkshare._tables import render
from darkshare.cli.options import dialect_option, format_option, load_all, models_argument, size_option
from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError, warn
from darkshare.inference import bench as benching
from darkshare.inference.bench import merging, racing
from darkshare.inference.engines import DEFAULT, NAMES, PRECISIONS, available

if TYPE_CHECKING:
    from darkshare.inference.int8 import Attempt

_ROUNDS = click.option(
    "--rounds", type=click.IntRange(benching.FEWEST), default=benching.ROUNDS, show_default=True,
    help="How often each of them runs.",
)  # fmt: skip
_THREADS = click.option("--threads", type=click.IntRange(1), help="To compute with; what the engine takes without it.")


@click.command()
@click.argument("files", nargs=-1, metavar="[MODEL.cfg [MODEL.weights]]")
@click.option("--calibrate", "pictures", metavar="PHOTOS", help="Time int8 too, made with these pictures; see export.")
@_ROUNDS
@_THREADS
@size_option
@dialect_option
@format_option
def engines(files: tuple[str, ...], pictures: str | None, dialect: str, size: Any, form: str, **how: Any) -> None:
    """Which engines are installed; with a model, how fast each of them runs it here and which to use.

    Each engine has a process of its own, and they run in turns. ratio is the time against the first line, from low
    to high with 95 %; difference is the largest one to the first line's heads, as a share of their largest number.

    \b
    Examples:
      darkshare engines
      darkshare engines both.cfg both.weights
      darkshare engines both.cfg --threads 1 --format json
      darkshare engines both.cfg --calibrate photos/
    """
    if not files and pictures:
        raise click.UsageError("--calibrate needs a model to quantise")
    if not files:
        click.echo(render(_installed(), form))
        return
    model = _only(load_all(files, dialect=dialect, size=size))
    with ExitStack() as stack:
        made = _quantised(stack, model, pictures) if pictures else {}
        found = benching.race(model, quantised={engine: one.file for engine, one in made.items()}, **how)
    agreement = [
        f"int8 for {engine} agrees with fp32 in {one.worst:.3f}, its worst head" for engine, one in made.items()
    ]
    said = "\n".join([racing.choice(found), *agreement])
    _print(racing.to_rows(found), racing.to_json(found), said, form)


def _quantised(stack: ExitStack, model: Model, pictures: str) -> dict[str, Attempt]:
    """int8 files for the engines whose quantiser is here; the others are named."""
    from darkshare.inference.int8 import QUANTISERS, attempted, choose, missing

    chosen = choose(pictures)
    reasons = {engine: missing(engine) for engine in QUANTISERS}
    for engine, reason in reasons.items():
        if reason:
            warn(f"int8 for {engine} is left out: {reason}")
    return {
        engine: stack.enter_context(attempted(model, chosen, engine))
        for engine, reason in reasons.items()
        if not reason
    }


@click.command()
@models_argument
@click.option("--k", "ks", type=int, multiple=True, help="Shared layers, for all further networks or one for each.")
@click.option("--force", is_flag=True, help="Merge although the trunks' weights differ: the time is the same.")
@click.option(
    "--engine", "names", type=click.Choice(list(NAMES)), multiple=True, default=[DEFAULT], show_default=True,
    help="May be given again.",
)  # fmt: skip
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=PRECISIONS[0],
    show_default=True,
    help="Of the multiplications.",
)
@click.option("--plot", metavar="FILE", help="Draw the times as bars into a .png, .svg or .pdf.")
@_ROUNDS
@_THREADS
@size_option
@dialect_option
@format_option
def bench(
    files: tuple[str, ...], ks: tuple[int, ...], names: Any, plot: str | None, dialect: str, size: Any, form: str,
    *, force: bool, **how: Any,
) -> None:  # fmt: skip
    """Networks separately against merged on this machine: time, memory, load time, beside what operations promise.

    Several networks are merged in memory; a merged one is taken apart. Each side has a process of its own and they
    run in turns. Without --k: the longest bit-identical trunk.

    \b
    Examples:
      darkshare bench base.cfg text.cfg --k 74
      darkshare bench both.cfg --engine opencv --engine onnxruntime
      darkshare bench base.cfg text.cfg --rounds 40 --threads 1 --format json
    """
    _require_figure(plot)
    models = load_all(files, dialect=dialect, size=size)
    found = benching.bench(*benching.separate_and_merged(models, ks or None, force=force), names, **how)
    _print(merging.to_rows(found), merging.to_json(found), "\n".join(merging.totals(found)), form)
    if plot:
        _draw(found, plot)


def _installed() -> list[dict[str, object]]:
    return [
        {
            "engine": name,
            "version": one.version or None,
            "precisions": ", ".join(one.precisions),
            "remark": one.reason or ("the default" if name == DEFAULT else ""),
        }
        for name, one in available().items()
    ]


def _only(models: Sequence[Model]) -> Model:
    if len(models) != 1:
        raise DarkshareError(f"engines times one model, but {len(models)} were given; merge them with concat")
    return models[0]


def _require_figure(plot: str | None) -> None:
    """Refuse a name before minutes are spent."""
    if plot:
        from darkshare._figures import figure_format

        figure_format(plot)


def _draw(found: benching.Bench, path: str) -> None:
    from darkshare.inference.bench.chart import plot_bench

    plot_bench(found, path)
    click.echo(f"wrote {path}", err=True)


def _print(rows: Sequence[Any], everything: Any, said: str, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(everything, indent=1))
        return
    click.echo(render(rows, form))
    click.echo(f"\n{said}" if form != "csv" else said, err=form == "csv")
