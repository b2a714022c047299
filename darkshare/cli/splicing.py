"""`concat`, `split` and `cut`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import click

from darkshare._files import require_promise
from darkshare.cli import command, options
from darkshare.cli.hints import Made, hint, model_files
from darkshare.cli.making import finish
from darkshare.cli.printing import WrittenFiles, noted, say, show
from darkshare.darknet.model import Model, load, save_all, save_weights
from darkshare.errors import DarkshareError
from darkshare.surgery import cut as cuts
from darkshare.surgery import splice


@command()
@options.models_argument
@options.k_option("Shared layers, for all further networks or one for each.")
@options.output_option("merged")
@options.choice_option(
    "--layout",
    ["native", "padded"],
    "Heads with their own classes, or padded to those of all, which stock Darknet needs.",
    "native",
)
@click.option("--force", is_flag=True, help="Merge on the base's trunk although the other's weights differ.")
@click.option("--name", multiple=True, help="Name of a task or a whole ensemble, once for each.")
@click.option("--verify", is_flag=True, help="Go on only if it gives what the networks give; see verify.")
@options.images_option("With --verify, compare on these; random ones without.")
@options.size_option
@options.dialect_option
@options.format_option
def concat(
    files: tuple[str, ...], output: str, verify: bool, images: tuple[str, ...], size: Any, dialect: str, form: str,
    **how: Any,
) -> None:  # fmt: skip
    """Splice networks that share their first k layers into one.

    The first network is the base and stays as it is; of each further one, the layers from k on are
    appended behind a [route] to layer k-1. Without --k: the longest bit-identical trunk.
    Writes .cfg, .weights, .names, .data and .tasks.json.

    \b
    Examples:
      darkshare concat base.cfg text.cfg --k 74 -o both
      darkshare concat coco.cfg masks.cfg --layout padded --verify -o both
    """
    if images and not verify:
        raise click.UsageError("--images is for --verify; give both")
    models = options.load_all(files, dialect=dialect, size=size)
    merged = splice.concat(models, **how)
    if verify:
        _prove(merged, models, images, form)
    finish(merged, *models, output=output, form=form)


def _prove(merged: Model, models: Sequence[Model], images: Sequence[str], form: str) -> None:
    """Show where a merged network does not give what its parts give, and end with exit code 1."""
    from darkshare.cli.running import progress_of
    from darkshare.inference.verification import verify

    found = verify(merged, *models, images=images or None, watch=progress_of(with_speed=False))
    if not found.is_equal:
        show(found, form=form)
        raise DarkshareError("the merged network gives other numbers than the networks; nothing was written")
    say(*found.notes())


@command()
@options.models_argument
@options.folder_option(".", "the networks.")
@click.option("--task", multiple=True, help="Only these tasks.")
@options.dialect_option
@options.format_option
def split(files: tuple[str, ...], output: str, task: tuple[str, ...], dialect: str, form: str) -> None:
    """Take a merged network apart: each task's own .cfg, .weights and .names.

    Needs the .tasks.json beside the cfg. The weights come back byte for byte. The vote of an ensemble comes with all
    its branches and a .tasks.json; each branch also comes alone.

    \b
    Examples:
      darkshare split both.cfg -o apart
      darkshare split ensemble.cfg --task small-3 -o apart
    """
    merged = options.one_model(files, dialect=dialect)
    parts = splice.split(merged, task)
    written = save_all([(part, Path(output) / part.tasks[0].name) for part in parts])
    paths = list(chain.from_iterable(written))
    tasks = [{"name": task.name, "k": task.k, "classes": list(task.names)} for part in parts for task in part.tasks]
    show(WrittenFiles(paths, {"tasks": tasks}), form=form)
    noted(paths)
    hint(Made(model_files(written[0]), parts[0]), form)


@command()
@options.models_argument
@click.option("--k", type=int, required=True, help="How many leading layers to keep.")
@options.output_option(text="the weights; STEM.conv.K without it.", is_file=True)
@click.option("--full", is_flag=True, help="Append seeded weights for the rest, for forks that refuse short files.")
@click.option("--for", "target", metavar="PATH", help="With --full: the cfg that will be trained, if another.")
@options.seed_option("Of the appended weights.")
@options.dialect_option
@options.format_option
def cut(files: tuple[str, ...], output: str | None, dialect: str, k: int, form: str, **how: Any) -> None:
    """Write the weights of the first k layers, as `darknet partial` does, to start a training from.

    \b
    Examples:
      darkshare cut yolov3.cfg yolov3.weights --k 74
      darkshare cut yolov3.cfg --k 74 --full --for text.cfg -o start.weights
    """
    model = options.one_model(files, dialect=dialect, partial=True)
    found = cuts.cut(model, k, **how)
    path = output or f"{Path(model.name).with_suffix('')}.conv.{k}"
    require_promise(path, "Darknet weights", ".weights")
    save_weights(found, path, dialect)
    show(WrittenFiles([Path(path)], {"k": k}), form=form)
    noted([path])
    if target := how["target"]:
        model = replace(load(target, dialect=dialect, sibling=False), weights=found)
    hint(Made([model.name, path], model, k=k), form)
