"""`mix` and `snap`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from darkshare.cli import command
from darkshare.cli.making import finish
from darkshare.cli.options import choice_option, dialect_option, format_option, models_argument, output_option, pair
from darkshare.darknet.model import Model, load
from darkshare.surgery import mix as mixing
from darkshare.surgery.mix_recipe import METHODS, SPACES


@command()
@models_argument
@click.option("--k", type=int, help="Layers 0..k-1 are the base's; the others the second model's, or mixed by --alpha.")
@click.option("--alpha", type=click.FloatRange(0, 1), help="Share of the second model where no rule says another.")
@click.option("--recipe", metavar="FILE", help="Rules for layers, kinds and tensors, in JSON or YAML.")
@choice_option("--method", METHODS, "linear, or slerp for the kernels; else the recipe's.")
@choice_option("--space", SPACES, "raw, or batch norm folded in; else the recipe's.")
@click.option("--bn-epsilon", type=float, default=1e-5, show_default=True, help="Of batch norm, where it is folded in.")
@output_option("mixed")
@dialect_option
@format_option
def mix(files: tuple[str, ...], output: str, dialect: str, form: str, **how: Any) -> None:
    """Mix the weights of two models: the base up to layer k and the other behind it, or ratios.

    Prints what comes from where: alpha 0 is the base's own bits, 1 the second model's. Layers that differ, such as
    heads with other classes, can only be taken whole; cfg and class names come with them.

    \b
    Examples:
      darkshare mix yolov3.cfg text.cfg --k 74 -o mixed
      darkshare mix yolov3.cfg a.weights b.weights --alpha 0.5 -o average
      darkshare mix yolov3.cfg text.cfg --recipe recipe.json -o mixed
    """
    base, other = _two(files, dialect)
    finish(mixing.mix(base, other, **how), base, other, output=output, form=form)


@command()
@models_argument
@click.option("--k", type=int, help="Layers 0..k-1 are put back; without it, those that were meant to be frozen.")
@output_option("snapped")
@dialect_option
@format_option
def snap(files: tuple[str, ...], k: int | None, output: str, dialect: str, form: str) -> None:
    """Put the base's trunk back, byte for byte, under a model that was trained from it.

    Prints every tensor that had moved, by which part of its norm, its cosine with the base's, and the factor that
    brings the base's nearest to it. The base may be a partial file of k layers.

    \b
    Examples:
      darkshare snap yolov3.cfg text.cfg --k 74 -o text-snapped
      darkshare snap yolov3.cfg yolov3.conv.74 text.cfg -o text-snapped
    """
    base, other = _two(files, dialect)
    made = mixing.snap(base, other, k)
    assert isinstance(made.report, mixing.Restored)
    finish(made, base, other, output=output, form=form, k=made.report.k)


def _two(files: Sequence[str], dialect: str) -> tuple[Model, Model]:
    """The base, which may be a partial file, and the other model."""
    found = pair(files)
    if len(found) != 2:
        raise click.UsageError(f"give two models, the base first; {len(found)} were given")
    (cfg, weights), second = found
    return load(cfg, weights, dialect=dialect, partial=True), load(*second, dialect=dialect)
