"""`classes`, `anchors` and `kit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from darkshare.cli import command, options
from darkshare.cli.making import finish
from darkshare.cli.printing import WrittenFiles, noted, say, show
from darkshare.darknet.typed import plain_path, typed
from darkshare.surgery import anchors as anchoring
from darkshare.surgery import classes as relabelling
from darkshare.surgery import kit as kits

model_and_data_argument = click.argument(
    "files", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights] PICTURES.data"
)
task_option = click.option("--task", help="Which task of a merged model.")


@command()
@options.models_argument
@click.option("--keep", multiple=True, metavar="CLASS,…", help="Keep these classes only, in this order.")
@click.option("--drop", multiple=True, metavar="CLASS,…", help="Leave these classes out.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Call a class otherwise.")
@click.option("--add", multiple=True, metavar="CLASS", help="A new class, behind the others.")
@click.option("--from", "names", metavar="FILE.names", help="The classes in this file; same names stay.")
@click.option("--fresh", metavar="FILE.names", help="The classes in this file, all of them new: to be trained.")
@task_option
@options.choice_option(
    "--init", relabelling.INITS, "New classes: silent, which are never found, or random; else by --fresh."
)
@options.seed_option("Of random weights.")
@options.new_files_option
@options.dialect_option
@options.format_option
def classes(files: tuple[str, ...], output: str | None, dialect: str, form: str, **how: Any) -> None:
    """Change the classes of a detector in cfg, weights and names at once; what stays need not be trained again.

    A class is called by its name, or by its number where no class has that name. Boxes and scores of the classes that
    stay do not change. Prints which class each one was; without anything to change, the classes as they are.

    \b
    Examples:
      darkshare classes coco.cfg --keep person,car --rename car=vehicle -o small
      darkshare classes coco.cfg --fresh masks.names -o start
    """
    model = options.one_model(files, dialect=dialect)
    made = relabelling.classes(model, **how)
    finish(made, model, output=output, form=form)


@command()
@model_and_data_argument
@click.option("--num", type=click.IntRange(1, 1000), help="How many anchors; as many as the heads use without it.")
@options.choice_option(
    "--assign",
    anchoring.RULES,
    "Which head takes which: by size against its stride, or each as many as it has.",
    "stride",
)
@task_option
@options.seed_option("Of k-means.")
@click.option("--restarts", type=click.IntRange(1, 1000), default=anchoring.RESTARTS, show_default=True, help="Tries.")
@options.plot_option("Draw box sizes and anchors.")
@options.new_files_option
@options.size_option
@options.dialect_option
@options.format_option
def anchors(
    files: tuple[str, ...], plot: str | None, output: str | None, size: Any, dialect: str, form: str, **how: Any
) -> None:
    """Find the anchors that fit a data set, and write anchors, masks, num and filters of every head.

    Prints how well anchors fit before and after: the average IoU of each box with its best anchor, and the part of
    the boxes that have one above 0.25 and 0.5. The network has to be trained with them.

    \b
    Examples:
      darkshare anchors yolov3.cfg masks.data --plot anchors.png
      darkshare anchors yolov3.cfg yolov3.weights masks.data --num 6 -o masks
    """
    given, data = _apart(files)
    model = options.one_model(given, dialect=dialect, size=size)
    made = anchoring.anchors(model, data, **how)
    if plot:
        assert isinstance(made.report, anchoring.AnchorFit)
        made.report.plot(plot, **options.figure_look())
        noted([plot])
    finish(made, model, output=output, form=form, data=data)


@command()
@model_and_data_argument
@click.option("--k", type=int, required=True, help="How many leading layers stay as they are.")
@click.option("--anchors", is_flag=True, help="Find the anchors that fit the data set; each head keeps its number.")
@click.option("--batches", type=click.IntRange(1, 10**7), help="Updates to train for; by AlexeyAB's advice without it.")
@click.option("--full", is_flag=True, help="Weights of full length too, which hank-ai's Darknet needs.")
@options.seed_option("Of k-means, and of new weights.")
@options.folder_option("kit", "the kit.")
@options.size_option
@options.dialect_option
@options.format_option
def kit(files: tuple[str, ...], size: Any, dialect: str, form: str, **how: Any) -> None:
    """Write all that it takes to train a network from layer k on in stock Darknet.

    The cfg has the classes of the data set and freezes the layers before k; README.md in the folder has the commands
    for each fork, what still drifts there, and how to finish with snap, frozen and concat.

    \b
    Examples:
      darkshare kit yolov3.cfg yolov3.weights masks.data --k 74 -o kit
      darkshare kit yolov3.cfg masks.data --k 74 --anchors --full -o kit
    """
    given, data = _apart(files)
    base = options.one_model(given, dialect=dialect, size=size, partial=True)
    written = kits.kit(base, data, **how).files
    show(WrittenFiles(written, {"k": how["k"], "data": data}), form=form)
    noted(written)
    if form != "json":
        say(f"next: cat {typed(plain_path(next(path for path in written if path.name == 'README.md')))}")


def _apart(files: Sequence[str]) -> tuple[list[str], str]:
    """The files of the model, and the one .data file."""
    data = [path for path in files if path.endswith(".data")]
    if len(data) != 1:
        raise click.UsageError(f"give one .data file, behind the model; {len(data)} were given")
    return [path for path in files if path != data[0]], data[0]
