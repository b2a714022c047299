"""`engines`, `bench` and `verify`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from darkshare.cli import command, options
from darkshare.cli.hints import Made, hint
from darkshare.cli.printing import show, wrote
from darkshare.cli.running import progress_of
from darkshare.darknet.model import Model
from darkshare.darknet.typed import files_of
from darkshare.inference.bench import bench as bench_models
from darkshare.inference.bench import engines as list_engines
from darkshare.inference.engines import DEFAULT
from darkshare.inference.onnx import SUFFIXES
from darkshare.inference.verification import PICTURES
from darkshare.inference.verification import verify as verify_models


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
        found.plot(plot, **options.figure_look())
        wrote([plot])


@command()
@click.argument("files", nargs=-1, required=True, metavar="MERGED.cfg [MERGED.weights] NETWORK.cfg|NETWORK.onnx ...")
@options.images_option("Compare on these; random ones without.")
@click.option("--pictures", type=click.IntRange(1), default=PICTURES, show_default=True, help="How many random ones.")
@options.seed_option("Of the random ones.")
@options.engine_option(None, text=f"What computes.  [default: {DEFAULT}, or what an int8 file is for]")
@options.precision_option
@click.option(
    "--bound", type=click.FloatRange(0), metavar="SHARE",
    help="Equal is what differs by no more, as a share of the head's largest number.  [default: 0 in fp32]",
)  # fmt: skip
@options.size_option
@options.dialect_option
@options.format_option
def verify(files: tuple[str, ...], size: Any, dialect: str, form: str, **how: Any) -> None:
    """Prove that a merged network gives what its parts give, head by head. Exit code 1 if it does not.

    All networks see the same pictures, and the raw numbers of their heads are compared. Two forms of one network are
    compared in the same way: a .cfg and what export made of it, or two models that should be equal.

    \b
    Examples:
      darkshare verify both.cfg base.cfg text.cfg
      darkshare verify both.cfg base.cfg text.cfg --images photos/
      darkshare verify both.cfg both.onnx --engine onnxruntime
    """
    if how["images"] and (idle := options.flags(("pictures", "seed"))):
        raise click.UsageError(f"{idle[0]} is for random pictures; leave it out, or --images")
    given = list(_given(files, dialect=dialect, size=size))
    how["images"] = how["images"] or None
    found = verify_models(*given, **how, watch=progress_of(with_speed=False))
    show(found, form=form)
    if not found.is_equal:
        raise click.exceptions.Exit(1)
    if isinstance(given[0], Model):
        hint(Made(files_of(given[0]), given[0]), form)


def _given(files: Iterable[str], **how: Any) -> Iterable[Model | str]:
    """The models that file names mean, and exported files as they are, in order."""
    for is_exported, group in groupby(files, lambda name: Path(name).suffix in SUFFIXES):
        names = list(group)
        yield from names if is_exported else options.load_all(names, **how)
