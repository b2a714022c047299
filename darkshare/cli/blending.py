"""`mix` and `snap`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from darkshare._tables import render
from darkshare.analysis.trunk import Moved, describe, diagnose, last_stored, moved_tensors
from darkshare.cli.options import dialect_option, format_option, models_argument, pair
from darkshare.darknet.model import Model, load, save
from darkshare.surgery import mix as blend
from darkshare.surgery import mix_recipe as recipes

SHOWN = ("layer", "kind", "tensor", "relative", "cosine", "scale")  # of a tensor that had moved


@click.command()
@models_argument
@click.option("--k", type=int, help="Layers 0..k-1 are the base's; the others the second model's, or mixed by --alpha.")
@click.option("--alpha", type=click.FloatRange(0, 1), help="Share of the second model where no rule says another.")
@click.option("--recipe", metavar="FILE", help="Rules for layers, kinds and tensors, in JSON or YAML.")
@click.option(
    "--method", type=click.Choice(recipes.METHODS), help="linear, or slerp for the kernels; else the recipe's."
)
@click.option("--space", type=click.Choice(recipes.SPACES), help="raw, or batch norm folded in; else the recipe's.")
@click.option("-o", "--output", default="mixed", show_default=True, help="Path of the new files, without suffix.")
@dialect_option
@format_option
def mix(files: tuple[str, ...], recipe: str | None, output: str, dialect: str, form: str, **said: Any) -> None:
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
    rules = recipes.read(recipe) if recipe else recipes.Recipe()
    mixed = blend.mix(base, other, recipe=rules, **said)
    written = save(mixed, output, protect=_inputs(base, other, recipe))
    click.echo(render(blend.to_rows(base, other, recipes.told(rules, **said)), form))
    click.echo(f"wrote {', '.join(map(str, written))}", err=True)


@click.command()
@models_argument
@click.option("--k", type=int, help="Layers 0..k-1 are put back; without it, those that were meant to be frozen.")
@click.option("-o", "--output", default="snapped", show_default=True, help="Path of the new files, without suffix.")
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
    k = blend.meant_trunk(base, other) if k is None else k
    snapped = blend.snap(base, other, k)
    moved = moved_tensors(snapped, other, k)
    written = save(snapped, output, protect=_inputs(base, other))
    click.echo(render([{column: getattr(m, column) for column in SHOWN} for m in moved], form))
    click.echo(_summary(base, other, moved, k), err=True)
    click.echo(f"wrote {', '.join(map(str, written))}", err=True)


def _two(files: Sequence[str], dialect: str) -> tuple[Model, Model]:
    """The base, which may be a partial file, and the other model."""
    found = pair(files)
    if len(found) != 2:
        raise click.UsageError(f"give two models, the base first; {len(found)} were given")
    (cfg, weights), second = found
    return load(cfg, weights, dialect=dialect, partial=True), load(*second, dialect=dialect)


def _inputs(base: Model, other: Model, *more: str | None) -> list[str]:
    paths = [path for model in (base, other) for path in (model.name, model.weights.path if model.weights else "")]
    return [*paths, *(path for path in more if path)]


def _summary(base: Model, other: Model, moved: Sequence[Moved], k: int) -> str:
    if not moved:
        return f"k={k}: layers 0..{k - 1} of {other.name} are already identical with the base's, bit for bit"
    cause = diagnose(moved, last_stored(base.network, k))
    return f"k={k}: put the base's trunk back; {describe(moved, base, k)}; {cause}"
