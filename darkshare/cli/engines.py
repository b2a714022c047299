"""`engines` and `bench`."""

from __future__ import annotations

from typing import Any

import click

from darkshare.cli import command, options
from darkshare.cli.printing import show, wrote
from darkshare.inference.bench import bench as bench_models
from darkshare.inference.bench import engines as list_engines
from darkshare.inference.engines import DEFAULT


@command()
@click.argument("files", nargs=-1, metavar="[MODEL.cfg [MODEL.weights]]")
@click.option("--calibrate", metavar="PHOTOS", help="Time int8 too, made with these pictures; see export.")
@options.rounds_option("How often each of them runs.")
@options.threads_option()
@options.size_option
@options.dialect_option
@options.format_option
def engines(files: tuple[str, ...], dialect: str, size: Any, form: str, **how: Any) -> None:
    """List the engines here; with a model, tell how fast each of them runs it and which to use.

    Each engine has a process of its own, and they run in turns. ratio is the time against the first line, from low
    to high with 95 %; difference is the largest one to the first line's heads, as a share of their largest number.

    \b
    Examples:
      darkshare engines
      darkshare engines both.cfg both.weights
      darkshare engines both.cfg --threads 1 --format json
      darkshare engines both.cfg --calibrate photos/
    """
    if not files and how["calibrate"]:
        raise click.UsageError("--calibrate needs a model to quantise")
    model = options.one_model(files, dialect=dialect, size=size) if files else None
    show(list_engines(model, **how), form=form)


@command()
@options.models_argument
@options.k_option("Shared layers, for all further networks or one for each.")
@click.option("--force", is_flag=True, help="Merge although the trunks' weights differ: the time is the same.")
@options.engine_option((DEFAULT,), multiple=True, text="What computes; may be given again.")
@options.precision_option
@options.plot_option("Draw the times as bars.")
@options.rounds_option("How often each side runs.")
@options.threads_option()
@options.size_option
@options.dialect_option
@options.format_option
def bench(files: tuple[str, ...], plot: str | None, dialect: str, size: Any, form: str, **how: Any) -> None:
    """Measure networks separately against merged on this machine: time, memory, load time, beside the operations.

    Several networks are merged in memory; a merged one is taken apart. Each side has a process of its own and they
    run in turns. Without --k: the longest bit-identical trunk.

    \b
    Examples:
      darkshare bench base.cfg text.cfg --k 74
      darkshare bench both.cfg --engine opencv --engine onnxruntime
      darkshare bench base.cfg text.cfg --rounds 40 --threads 1 --format json
    """
    found = bench_models(options.load_all(files, dialect=dialect, size=size), **how)
    show(found, form=form)
    if plot:
        found.plot(plot)
        wrote([plot])
