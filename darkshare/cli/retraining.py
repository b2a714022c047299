"""`classes`, `anchors` and `kit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from darkshare._tables import render
from darkshare.cli.findings import tell
from darkshare.cli.options import dialect_option, format_option, pair, size_option
from darkshare.cli.options import models_argument as model_argument
from darkshare.darknet.initial import drawn, silent
from darkshare.darknet.model import Model, load, save
from darkshare.data import Dataset, read_data, read_options
from darkshare.errors import BadValue
from darkshare.surgery import anchors as anchoring
from darkshare.surgery import classes as relabelling
from darkshare.surgery import kit as kits
from darkshare.surgery.classes import Classes

model_and_data_argument = click.argument(
    "files", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights] PICTURES.data"
)
INITIAL = ("silent", "random")


@click.command()
@model_argument
@click.option("--keep", multiple=True, metavar="CLASS,…", help="Keep these classes only, in this order.")
@click.option("--drop", multiple=True, metavar="CLASS,…", help="Leave these classes out.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Call a class otherwise.")
@click.option("--add", multiple=True, metavar="CLASS", help="A new class, behind the others.")
@click.option("--from", "wanted", metavar="FILE.names", help="The classes in this file; same names stay.")
@click.option("--fresh", metavar="FILE.names", help="The classes in this file, all of them new: to be trained.")
@click.option("--task", help="Which task of a merged model.")
@click.option(
    "--init", type=click.Choice(INITIAL), help="New classes: silent, which are never found, or random; else by --fresh."
)
@click.option("--seed", default=0, show_default=True, help="Of random weights.")
@click.option("-o", "--output", help="Path of the new files, without suffix; without it nothing is written.")
@dialect_option
@format_option
def classes(files: tuple[str, ...], task: str | None, output: str | None, dialect: str, form: str, **how: Any) -> None:
    """Change the classes of a detector in cfg, weights and names at once; what stays need not be trained again.

    A class is called by its name, or by its number where no name is so. Boxes and scores of the classes that stay
    do not change. Prints which class each one was; without anything to change, the classes as they are.

    \b
    Examples:
      darkshare classes coco.cfg --keep person,car --rename car=vehicle -o small
      darkshare classes coco.cfg --fresh masks.names -o start
    """
    model = one_model(files, dialect)
    own = relabelling.task_of(model, task)
    chosen = _chosen(own.names, how)
    if chosen != relabelling.edited(own.names):
        init = how["init"] or ("random" if how["fresh"] else "silent")
        initial = drawn(how["seed"]) if init == "random" else silent
        model = relabelling.relabelled(model, chosen, task=own.name, initial=initial)
    click.echo(render(_class_rows(own.names, chosen), form))
    write(model, output, [*files, how["wanted"], how["fresh"]])


@click.command()
@model_and_data_argument
@click.option("--num", type=click.IntRange(1, 1000), help="How many anchors; as many as the heads use without it.")
@click.option(
    "--assign",
    type=click.Choice(anchoring.RULES),
    default="stride",
    show_default=True,
    help="Which head takes which: by size against its stride, or each as many as it has.",
)
@click.option("--task", help="Which task of a merged model.")
@click.option("--seed", default=0, show_default=True, help="Of k-means.")
@click.option("--restarts", type=click.IntRange(1, 1000), default=anchoring.RESTARTS, show_default=True, help="Tries.")
@click.option("--plot", metavar="FILE", help="Draw box sizes and anchors as .png, .svg or .pdf.")
@click.option("-o", "--output", help="Path of the new files, without suffix; without it nothing is written.")
@size_option
@dialect_option
@format_option
def anchors(files: tuple[str, ...], plot: str | None, output: str | None, dialect: str, form: str, **how: Any) -> None:
    """Find the anchors that fit a data set, and write anchors, masks, num and filters of every head.

    Prints how well anchors fit before and after: the average IoU of each box with its best anchor, and the part of
    the boxes that have one above 0.25 and 0.5. The network has to be trained with them.

    \b
    Examples:
      darkshare anchors yolov3.cfg masks.data --plot anchors.png
      darkshare anchors yolov3.cfg yolov3.weights masks.data --num 6 -o masks
    """
    model, dataset = _model_and_data(files, dialect, size=how.pop("size"))
    found = anchoring.reanchor(model, dataset, count=how.pop("num"), rule=how.pop("assign"), **how)
    if plot:
        anchoring.plot_anchors(
            plot, found.sizes, found.heads, found.before, title=f"{dataset.name}: {len(found.sizes)} boxes"
        )
    click.echo(_anchor_report(found, form))
    for head in found.changed_counts:
        click.echo(f"layer {head.layer}: {len(head.mask)} anchors instead of {head.was}", err=True)
    write(found.model, output, files)


@click.command()
@model_and_data_argument
@click.option("--k", type=int, required=True, help="How many leading layers stay as they are.")
@click.option("--anchors", is_flag=True, help="Find the anchors that fit the data set; each head keeps its number.")
@click.option("--batches", type=click.IntRange(1, 10**7), help="How many to train; by AlexeyAB's advice without it.")
@click.option("--full", is_flag=True, help="Weights of full length too, which hank-ai's Darknet needs.")
@click.option("--seed", default=0, show_default=True, help="Of k-means, and of new weights.")
@click.option("-o", "--output", default="kit", show_default=True, help="The folder to write.")
@size_option
@dialect_option
def kit(files: tuple[str, ...], k: int, output: str, dialect: str, size: tuple[int, int] | None, **how: Any) -> None:
    """Write all that it takes to train a network from layer k on in stock Darknet.

    The cfg has the classes of the data set and freezes the layers before k; README.md in the folder has the commands
    for each fork, what still drifts there, and how to finish with snap, frozen and concat.

    \b
    Examples:
      darkshare kit yolov3.cfg yolov3.weights masks.data --k 74 -o kit
      darkshare kit yolov3.cfg masks.data --k 74 --anchors --full -o kit
    """
    base, train = _model_and_data(files, dialect, size=size, partial=True)
    valid = read_dataset(_data_file(files), "valid") if "valid" in read_options(_data_file(files)).options else None
    made = kits.make_kit(base, k, train, valid, **how)
    weights = base.weights.path if base.weights else base.name
    for path in kits.write_kit(made, output, protect=[*files, weights]):
        click.echo(path)


def _data_file(files: Sequence[str]) -> str:
    data = [path for path in files if path.endswith(".data")]
    if len(data) != 1:
        raise click.UsageError(f"give one .data file, behind the model; {len(data)} were given")
    return data[0]


def _model_and_data(files: Sequence[str], dialect: str, **how: Any) -> tuple[Model, Dataset]:
    """The model and the train= pictures of the data set that a command takes."""
    data = _data_file(files)
    model = one_model([path for path in files if path != data], dialect, **how)
    return model, read_dataset(data)


def read_dataset(path: str, part: str = "train") -> Dataset:
    """A part of a .data file; what is wrong with it goes to stderr."""
    dataset = read_data(path, part)
    tell(dataset.findings, path)
    return dataset


def one_model(files: Sequence[str], dialect: str, **how: Any) -> Model:
    """The one model that a command takes."""
    found = pair(files)
    if len(found) != 1:
        raise click.UsageError(f"give one model; {len(found)} were given")
    return load(*found[0], dialect=dialect, **how)


def write(model: Model, output: str | None, inputs: Sequence[str | None]) -> None:
    """Write a changed model, if somebody said where."""
    if output is None:
        click.echo("nothing was written; say where with -o", err=True)
        return
    paths = [*inputs, model.weights.path if model.weights else None]
    written = save(model, output, protect=[path for path in paths if path])
    click.echo(f"wrote {', '.join(map(str, written))}", err=True)


def _chosen(names: Sequence[str], how: dict[str, Any]) -> Classes:
    edits = {key: how[key] for key in ("keep", "drop", "rename", "add") if how[key]}
    if sum(map(bool, (edits, how["wanted"], how["fresh"]))) > 1:
        raise click.UsageError("--from and --fresh each say all classes; leave the other options out")
    if how["wanted"]:
        return relabelling.matched(names, relabelling.wanted_names(how["wanted"]))
    if how["fresh"]:
        return relabelling.afresh(relabelling.wanted_names(how["fresh"]))
    lists = {key: _listed(edits[key], names) for key in ("keep", "drop") if key in edits}
    renamed = dict(_renaming(text, names) for text in how["rename"])
    return relabelling.edited(names, **lists, rename=renamed, add=how["add"])


def _listed(given: Sequence[str], names: Sequence[str]) -> list[str]:
    """Names with commas between them; a name may hold a comma itself."""
    return [part for text in given for part in ([text] if text in names else text.split(","))]


def _renaming(text: str, names: Sequence[str]) -> tuple[str, str]:
    whole = next((name for name in names if text.startswith(f"{name}=")), "")  # a name may hold an = itself
    old, equals, new = (whole, "=", text[len(whole) + 1 :]) if whole else text.partition("=")
    if not (equals and new):
        raise BadValue(f"--rename {text!r} does not say OLD=NEW")
    return old, new


def _class_rows(names: Sequence[str], chosen: Classes) -> list[dict[str, Any]]:
    return [
        {"class": at, "name": name, "was": row, "old_name": "new" if row is None else names[row]}
        for at, (name, row) in enumerate(zip(*chosen, strict=True))
    ]


def _anchor_report(found: anchoring.Reanchored, form: str) -> str:
    """How well anchors fit, and what each head has; JSON as one object in a list."""
    fits = [
        {"anchors": when, "num": num, **quality._asdict()}
        for when, num, quality in (
            ("before", len(found.before), found.quality_before),
            ("after", sum(len(head.mask) for head in found.heads), found.quality_after),
        )
    ]
    heads = [
        {
            "layer": head.layer,
            "stride": head.stride,
            "mask": head.mask,
            "anchors": [f"{w:g}x{h:g}" for w, h in head.anchors],
        }
        for head in found.heads
    ]
    if form == "json":
        return render([{"fit": fits, "heads": heads}], form)
    return f"{render(fits, form)}\n\n{render(heads, form)}"
