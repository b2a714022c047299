"""`concat`, `split` and `cut`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from darkshare._tables import render
from darkshare.analysis.savings import saved
from darkshare.cli.options import dialect_option, format_option, load_all, models_argument, pair, size_option
from darkshare.darknet.cfg import read_cfg
from darkshare.darknet.model import Model, load, only_votes, save, save_weights
from darkshare.darknet.network import resolve
from darkshare.errors import DarkshareError
from darkshare.surgery import cut as cuts
from darkshare.surgery import splice


def _inputs(models: list[Model]) -> list[str]:
    return [path for model in models for path in (model.name, model.weights.path if model.weights else "")]


@click.command()
@models_argument
@click.option("--k", "ks", type=int, multiple=True, help="Shared layers, for all further networks or one for each.")
@click.option("-o", "--output", default="merged", show_default=True, help="Path of the new files, without suffix.")
@click.option(
    "--layout",
    type=click.Choice(["native", "padded"]),
    default="native",
    show_default=True,
    help="Heads with their own classes, or padded to those of all, which stock Darknet needs.",
)
@click.option("--force", is_flag=True, help="Merge on the base's trunk although the other's weights differ.")
@click.option("--name", "names", multiple=True, help="Name of a task or a whole ensemble, once for each.")
@size_option
@dialect_option
@format_option
def concat(files: tuple[str, ...], output: str, dialect: str, size: Any, form: str, ks: Any, **how: Any) -> None:
    """Splice networks that share their first k layers into one.

    The first network is the base and stays as it is; of each further one, the layers from k on are
    appended behind a [route] to layer k-1. Without --k: the longest bit-identical trunk.
    Writes .cfg, .weights, .names, .data and .tasks.json.

    \b
    Examples:
      darkshare concat base.cfg text.cfg --k 74 -o both
      darkshare concat coco.cfg masks.cfg --layout padded -o both
    """
    models = load_all(files, dialect=dialect, size=size)
    merged = splice.concat(models, ks or None, **how)
    written = save(merged, output, protect=_inputs(models))
    click.echo(render(saved(models, merged), form))
    cuts = ", ".join(f"{task.name} k={task.k}" for task in only_votes(merged).tasks if task.k)
    click.echo(f"{cuts}; wrote {', '.join(map(str, written))}", err=True)


@click.command()
@models_argument
@click.option("-o", "--output", default=".", show_default=True, help="Folder for the networks.")
@click.option("--task", "wanted", multiple=True, help="Only these tasks.")
@dialect_option
def split(files: tuple[str, ...], output: str, wanted: tuple[str, ...], dialect: str) -> None:
    """Take a merged network apart: each task's own .cfg, .weights and .names.

    Needs the .tasks.json beside the cfg. The weights come back byte for byte. The vote of an ensemble comes with all
    its branches and a .tasks.json; each branch also comes alone.

    \b
    Examples:
      darkshare split both.cfg -o apart
      darkshare split ensemble.cfg --task small-3 -o apart
    """
    (merged,) = _only(load_all(files, dialect=dialect), 1)
    parts = splice.split(merged, wanted)
    for part in parts:
        for path in save(part, Path(output) / part.tasks[0].name, protect=_inputs([merged])):
            click.echo(path)


@click.command()
@models_argument
@click.option("--k", type=int, required=True, help="How many leading layers to keep.")
@click.option("-o", "--output", help="The file to write; STEM.conv.K without it.")
@click.option("--full", is_flag=True, help="Append seeded weights for the rest, for forks that refuse short files.")
@click.option("--for", "target", type=click.Path(), help="With --full: the cfg that will be trained, if another.")
@click.option("--seed", default=0, show_default=True, help="Of the appended weights.")
@dialect_option
def cut(files: tuple[str, ...], k: int, output: str | None, target: str | None, dialect: str, **how: Any) -> None:
    """Write the weights of the first k layers, as `darknet partial` does, to start a training from.

    \b
    Examples:
      darkshare cut yolov3.cfg yolov3.weights --k 74
      darkshare cut yolov3.cfg --k 74 --full --for text.cfg -o start.weights
    """
    ((cfg, weights),) = _only(pair(files), 1)
    model = load(cfg, weights, dialect=dialect, partial=True)
    network = resolve(read_cfg(target), dialect=dialect) if target else None
    found = cuts.cut(model, k, target=network, **how)
    path = output or f"{Path(cfg).with_suffix('')}.conv.{k}"
    save_weights(path, found, dialect, protect=_inputs([model]))
    click.echo(path)


def _only(models: list[Any], count: int) -> list[Any]:
    if len(models) != count:
        raise DarkshareError(f"this command takes one model, but {len(models)} were given")
    return models
