"""`evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from darkshare import evaluation
from darkshare._files import require_unread
from darkshare.cli import command, is_step, options
from darkshare.cli.hints import BASE
from darkshare.cli.parameters import NAMED_FILE, RENAMING
from darkshare.cli.printing import noted, say, show, wrote
from darkshare.cli.progress import watcher
from darkshare.darknet.model import Model
from darkshare.darknet.pairing import is_of_model
from darkshare.darknet.typed import DATA, as_read_from, next_command, train_words
from darkshare.errors import BadArguments
from darkshare.evaluation import LOWEST, RULES, THRESHOLD, Cross, Evaluations
from darkshare.evaluation.accuracy import TOP
from darkshare.evaluation.tasks import NOT_FOR_CLASSIFIERS, NOT_FOR_DETECTORS, OF_BOXES, OF_CLASSES
from darkshare.inference.boxes import NMS
from darkshare.inference.engines import DEFAULT
from darkshare.inference.onnx import SUFFIXES as EXPORTED

PARTS = ("valid", "train", "test")


@command()
@click.argument("paths", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights] [FILE.data]")
@click.option("--data", type=NAMED_FILE, multiple=True, help="A task's own data set.")
@options.choice_option("--part", PARTS, "Of the data set.", PARTS[0])
@options.choice_option("--rule", [*RULES, "both"], "Whose rule.", RULES[0])
@click.option("--points", type=click.IntRange(0), help="Of Darknet's rule: 11, 101; 0 is the area.  [default: 0]")
@click.option("--iou", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="The overlap of a hit.")
@click.option("--thresh", type=click.FloatRange(0, 1), default=THRESHOLD, show_default=True, help="For precision, F1.")
@click.option("--lowest", type=click.FloatRange(0, 1), default=LOWEST, show_default=True, help="Scores above it count.")
@click.option("--nms", type=click.FloatRange(0, 1), default=NMS, show_default=True, help="Largest overlap of boxes.")
@options.tiles_options
@click.option("--top", type=click.IntRange(1), default=TOP, show_default=True, help="Guesses that count.")
@click.option("--split", type=click.FloatRange(0, 1, max_open=True), default=0, help="Of a folder, see train.")
@options.seed_option("Of --split.")
@options.keyed_option("--map", RENAMING, help="See above.")
@click.option("--by-order", is_flag=True, help="Match classes by their numbers, whatever their names.")
@click.option("--beside", type=NAMED_FILE, multiple=True, help="Compare with this model.")
@click.option("--cross", is_flag=True, help="Count what each task finds in the others' pictures.")
@options.plot_option("Draw precision over recall.")
@options.file_option("--csv", "table", text="Write the points of these curves.", what="a table in CSV", right=(".csv",))
@options.folder_option(None, "the boxes, to keep them; the same command goes on with them.")
@options.chunk_options
@options.running_options(DEFAULT)
@options.size_option
@options.dialect_option
@options.format_option
def evaluate(
    paths: tuple[str, ...], data: tuple[tuple[str, str], ...], beside: tuple[tuple[str, str], ...], plot: str | None,
    table: str | None, form: str, dialect: str, size: Any, **how: Any,
) -> None:  # fmt: skip
    """Mean average precision per task and class on labelled pictures, with the rule beside every number.

    Each task of a merged model is evaluated on its own data set, and beside other models if you like: their tasks of
    the same name. Classes are matched by name; --map person=human counts the data set's persons as the task's humans,
    and --map person= leaves them out. Of classifiers top-1 and top-5 are measured, of an ensemble those of each branch
    too; their data set is a .data file with labels=, or a folder with one folder of pictures per class.

    \b
    Examples:
      darkshare evaluate masks.cfg masks.weights masks.data
      darkshare evaluate both.cfg --data masks=masks.data --data coco=coco.data
      darkshare evaluate both.cfg --data base=a.data --data text=b.data --cross
      darkshare evaluate both.cfg masks.data --beside masks.cfg --plot curves.png
      darkshare evaluate both.cfg coco.data --scheduler tcp://10.0.0.1:8786
    """
    if exported := [path for path in paths if Path(path).suffix in EXPORTED]:
        raise click.UsageError(
            f"evaluate takes a .cfg, and {exported[0]} is an exported file; give the .cfg that it was made from"
        )
    loading = {"dialect": dialect, "size": size}
    if how["cross"] and form == "csv":
        raise click.UsageError("with --cross there are two tables, and CSV holds one; --format json has everything")
    model = options.one_model([path for path in paths if is_of_model(path)], **loading)
    _require_use(model)
    others = _beside(beside, loading)
    sources = [*(("", path) for path in paths if not is_of_model(path)), *data]
    require_unread(filter(None, (plot, table)), (path for _, path in sources))
    found = evaluation.evaluate(model, sources, beside=others, watch=watcher, **how)
    show(found, form=form)
    noted(filter(None, [how["output"]]))
    if plot and isinstance(found, Evaluations):
        found.plot(plot, **options.figure_look())
        wrote([plot])
    if table and isinstance(found, Evaluations):
        show(found.curves(), form="csv", output=table)
        wrote([table])
    if isinstance(found, Evaluations) and found.cross and form != "json" and not is_step():
        _advise(model, found.cross, dict(data))


def _require_use(model: Model) -> None:
    """Refuse options that would do nothing for any task of the model, also where their defaults were given."""
    kinds = {model.classifies(task) for task in model.tasks}
    if kinds == {True} and (given := options.flags([*OF_BOXES, "plot", "table"])):
        raise BadArguments(f"{', '.join(given)}: {NOT_FOR_CLASSIFIERS}")
    if kinds == {False} and (given := options.flags(list(OF_CLASSES))):
        raise BadArguments(f"{', '.join(given)}: {NOT_FOR_DETECTORS}")


def _advise(model: Model, cross: Cross, sources: dict[str, str]) -> None:
    """Print the training that helps each task that finds much where nothing is; the base is not to be trained again."""
    for name, k in dict.fromkeys((one.task, one.k) for one in cross.counts if one.is_much and one.k):
        words = train_words(as_read_from(model, *BASE), k, "trained", sources.get(name, DATA))
        say(next_command("train", *words, "--negatives", "FOLDER", of=model))


def _beside(given: Sequence[tuple[str, str]], loading: dict[str, Any]) -> list[tuple[str, Model]]:
    """Load the other models, each with the task that it was given for, or ""."""
    files: list[tuple[str, list[str]]] = []
    for task, path in given:
        if is_of_model(path) and Path(path).suffix != ".cfg" and files and not task:
            files[-1][1].append(path)
        else:
            files.append((task, [path]))
    return [(task, model) for task, paths in files for model in options.load_all(paths, **loading)]
