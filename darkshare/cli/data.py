"""`import-data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from darkshare.cli import command
from darkshare.cli.hints import Made, hint
from darkshare.cli.options import choice_option, folder_option, format_option, keyed_option, several_option
from darkshare.cli.parameters import NAMES, RENAMING, Written
from darkshare.cli.printing import noted, say, show
from darkshare.cli.progress import watcher
from darkshare.data.classes import DIFFICULT
from darkshare.data.formats import FORMATS, LEGIBILITY
from darkshare.data.types import Dataset
from darkshare.errors import DarkshareError

_FEWEST = 10  # pictures with boxes, which suggest-k needs
_MANY = 500  # pictures, from which on a progress bar is worth its line
_PATH = Written("path", Path)


@command("import-data")
@click.argument("source", type=_PATH)
@folder_option(None, "the data set.", required=True, type=_PATH)
@click.option(
    "--source-format", type=click.Choice(list(FORMATS)), metavar="NAME",
    help=f"If it is not recognised: {', '.join(FORMATS)}.",
)  # fmt: skip
@click.option("--images", type=_PATH, help="The folder of the pictures, if they are not near the source.")
@click.option("--valid", type=_PATH, metavar="SOURCE", help="A second source, for validation.")
@click.option(
    "--split",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help=(
        "The share of the pictures to set aside for validation, by their content. "
        "Default: the source's own parts, else 0.2."
    ),
)
@click.option(
    "--test",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    metavar="SHARE",
    help="The share to set aside for a measure at the end, by which nothing is chosen.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another number gives another split.")
@several_option("--keep-classes", NAMES, help="Only these, in this order.")
@keyed_option(
    "--rename-classes",
    RENAMING,
    help=("Call a class otherwise; two with the same new name become one. May be repeated."),
)
@click.option("--single-class", metavar="NAME", help="Make all classes one.")
@choice_option(
    "--difficult",
    DIFFICULT,
    "Difficult boxes, crowds and text not asked for: list for evaluation to pass over, keep as all, or drop.",
    DIFFICULT[0],
)
@click.option("--no-negatives", is_flag=True, help="Leave out pictures without boxes.")
@click.option(
    "--drop-twins", is_flag=True, help="Leave out pictures that are there twice, of two parts the one of train."
)
@click.option("--copy", is_flag=True, help="Copy the pictures instead of linking to them.")
@click.option("--names", type=_PATH, help="The file of class names in their order; a list of pictures needs it.")
@choice_option("--legibility", LEGIBILITY, "COCO-Text: which text is asked for.", LEGIBILITY[0])
@click.option("--language", multiple=True, help="COCO-Text: only text of this language. May be repeated.")
@click.option("--text-class", multiple=True, help="COCO-Text: 'machine printed', 'handwritten', 'others'.")
@click.option("--findings", type=_PATH, metavar="FILE", help="Write all that is wrong here; a table if it is a .csv.")
@format_option
def import_data(source: Path, output: Path, form: str, **options: Any) -> None:
    """Make Darknet's .data, lists and labels from data sets of other programs.

    These are Pascal VOC, COCO, COCO-Text, other Darknet files, YOLO folders, Ultralytics' data.yaml, labelme, CVAT,
    tables of boxes (CSV) and DOTA.

    \b
    Examples:
      darkshare import-data BCCD -o cells
      darkshare import-data logos/voc_format -o logos --single-class logo
      darkshare import-data raccoon --split 0.15 --test 0.15 -o raccoons
      darkshare import-data a.json --valid b.json --keep-classes person -o people
      darkshare import-data cocotext.v2.json --images train2014 -o text
      darkshare import-data train.txt --valid test.txt --names obj.names -o masks
      darkshare import-data labelled --names classes.txt -o yolo
      darkshare import-data roboflow/data.yaml -o cells
      darkshare import-data annotated --source-format labelme -o shapes
      darkshare import-data annotations.xml --images frames -o cvat
      darkshare import-data train_labels.csv --valid test_labels.csv -o tables
      darkshare import-data DOTA/train --source-format dota -o ships
    """
    from darkshare.data import import_data
    from darkshare.data.findings import folded

    rest = str(options["findings"] or "--findings FILE")
    try:
        found = import_data(source, output, watch=watcher(least=_MANY), **options)
    except DarkshareError as error:
        say(*folded(error.findings, rest))
        raise
    if form != "json":
        say(*folded(found.findings, rest))
    show(found, form=form)
    noted([output, found.path, *([options["findings"]] if options["findings"] else [])])
    learn = found.parts.get("train")
    labelled = sum(bool(sample.boxes) for sample in learn.samples) if isinstance(learn, Dataset) else 0
    hint(Made((), k=int(labelled >= _FEWEST), data=str(found.path)), form)
