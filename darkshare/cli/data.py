"""`import-data`, and what `check` says of a .data file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from darkshare import data as datasets
from darkshare._tables import printable, render
from darkshare.data.classes import DIFFICULT
from darkshare.data.cocotext import LEGIBILITY
from darkshare.data.importing import FORMATS

_MANY = 500  # pictures, from which on a progress bar is worth its lines
_PATH = click.Path(path_type=Path)


def watched(things: Sequence[Any]) -> Iterable[Any]:
    """Go through things with a progress bar, where somebody looks and it takes long."""
    if len(things) < _MANY or not sys.stderr.isatty():
        yield from things
        return
    with click.progressbar(things, show_pos=True, file=sys.stderr) as bar:
        yield from bar


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if value else ()


def _renamed(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> dict[str, str]:
    pairs = [tuple(part.strip() for part in word.partition("=")) for word in value]
    if any(not old or not equals or not new for old, equals, new in pairs):
        raise click.BadParameter("write OLD=NEW")
    return {old: new for old, _, new in pairs}


@click.command("import-data")
@click.argument("source", type=_PATH)
@click.option("-o", "--output", "folder", required=True, type=_PATH, help="The folder to make.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="The source's, if it cannot be told.")
@click.option("--images", type=_PATH, help="The folder of the pictures, if they are not near the source.")
@click.option("--valid", type=_PATH, metavar="SOURCE", help="A second source, for validation.")
@click.option(
    "--split",
    "share",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help=(
        "The share of the pictures to set aside for validation, by their content. "
        "Default: the source's own parts, else 0.2."
    ),
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another number gives another split.")
@click.option("--keep-classes", "keep", callback=_names, metavar="A,B,...", help="Only these, in this order.")
@click.option(
    "--rename-classes",
    "rename",
    multiple=True,
    callback=_renamed,
    metavar="OLD=NEW",
    help=("Call a class otherwise; two with the same new name become one. May be repeated."),
)
@click.option("--single-class", "single", metavar="NAME", help="Make all classes one.")
@click.option(
    "--difficult",
    type=click.Choice(DIFFICULT),
    default=DIFFICULT[0],
    show_default=True,
    help=("Difficult boxes, crowds and text not asked for: list for evaluation to pass over, keep as all, or drop."),
)
@click.option("--no-negatives", is_flag=True, help="Leave out pictures without boxes.")
@click.option("--copy", is_flag=True, help="Copy the pictures instead of linking to them.")
@click.option("--names", type=_PATH, help="The class names, for a list of pictures.")
@click.option(
    "--legibility",
    type=click.Choice(LEGIBILITY),
    default=LEGIBILITY[0],
    show_default=True,
    help=("COCO-Text: which text is asked for."),
)
@click.option("--language", "languages", multiple=True, help="COCO-Text: only text of this language. May be repeated.")
@click.option("--text-class", "kinds", multiple=True, help="COCO-Text: 'machine printed', 'handwritten', 'others'.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one json object.")
def import_data(
    source: Path, folder: Path, keep: tuple[str, ...], no_negatives: bool, as_json: bool, **options: Any
) -> None:
    """Make Darknet's .data, lists and labels from Pascal VOC, COCO, COCO-Text or other Darknet files.

    \b
    Examples:
      darkshare import-data BCCD -o cells
      darkshare import-data logos/voc_format -o logos --single-class logo
      darkshare import-data train.json --valid val.json --keep-classes person
      darkshare import-data cocotext.v2.json --images train2014 -o text
      darkshare import-data train.txt --valid test.txt --names obj.names -o masks
    """
    choice = {key: options.pop(key) for key in ("rename", "single", "difficult", "share", "seed")}
    wanted = datasets.Wanted(keep, negatives=not no_negatives, **choice)
    found = datasets.import_data(source, folder, wanted, watch=watched, **options)
    if as_json:
        click.echo(json.dumps({"data": str(found.path), "findings": rows_of(found.findings), **tables(found.parts)}))
        return
    for finding in found.findings:
        click.echo(printable(str(finding)), err=True)
    click.echo("\n\n".join(render(rows, "text") for rows in tables(found.parts).values()))
    click.echo(f"\nWrote {printable(str(found.path))}; start Darknet in {printable(str(folder))}")


def tables(parts: datasets.Parts) -> dict[str, list[dict[str, Any]]]:
    """What is in the parts, as rows."""
    return {"parts": datasets.part_rows(parts), "classes": datasets.class_rows(parts)}


def rows_of(findings: Iterable[datasets.Finding]) -> list[dict[str, Any]]:
    """What is wrong, as rows."""
    return [{"file": str(path), "line": line, "message": text} for path, line, text in findings]
