"""`detect`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from darkshare import files
from darkshare.cli.options import dialect_option, format_option, load_all, size_option
from darkshare.detections import Detections, darknet_objects
from darkshare.drawing import annotate
from darkshare.errors import DarkshareError
from darkshare.model import Model
from darkshare.opencv import ENGINES, Detector, encoded, read_picture, writable
from darkshare.report import render

RESULT = "result.json"
_FRACTION = click.FloatRange(0, 1)


class Seen(NamedTuple):
    """A picture and what was found in it."""

    source: str
    size: tuple[int, int]
    found: list[Detections]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights] PICTURE...")
@click.option("-o", "--output", default="detections", show_default=True, help=f"Folder for pictures and {RESULT}.")
@click.option("--thresh", "threshold", type=_FRACTION, default=0.25, show_default=True, help="Keep scores above it.")
@click.option("--nms", type=_FRACTION, default=0.45, show_default=True, help="Largest overlap of two boxes; 0: any.")
@click.option("--bn-epsilon", type=float, default=1e-5, show_default=True, help="OpenCV 4's own importer has 1e-6.")
@click.option("--engine", type=click.Choice(ENGINES), help="Of OpenCV 5; new if not given.")
@size_option
@dialect_option
@format_option
def detect(paths: tuple[str, ...], output: str, size: Any, dialect: str, form: str, **how: Any) -> None:
    """Find the objects of every task in pictures, in one pass.

    Writes each picture with its boxes, and result.json in the form of Darknet's -out, plus the task.

    \b
    Examples:
      darkshare detect both.cfg both.weights street.jpg -o out
      darkshare detect both.cfg photos/*.jpg --thresh 0.5 --format csv
    """
    model, pictures = _sorted(paths, dialect=dialect, size=size)
    targets = _targets(pictures, Path(output))
    detector = Detector(model, **how)
    seen = [one for item in targets.items() if (one := _seen(detector, *item))]
    files.write_all({Path(output) / RESULT: [_darknet_json(seen).encode()]})
    click.echo(render([row for one in seen for row in _rows(one)], form))
    boxes = sum(len(detections) for one in seen for detections in one.found)
    click.echo(f"{len(seen)} of {len(targets)} pictures, {boxes} boxes; wrote {Path(output) / RESULT}", err=True)
    if len(seen) < len(targets):
        raise click.exceptions.Exit(1)


def _sorted(paths: Sequence[str], **how: Any) -> tuple[Model, list[str]]:
    """The model, and the pictures behind it."""
    of_model = [path for path in paths if Path(path).suffix in (".cfg", ".weights")]
    pictures = [path for path in paths if path not in of_model]
    models = load_all(of_model, **how)
    if len(models) != 1:
        raise click.UsageError(f"detect runs one model, but {len(models)} were given; merge them with concat")
    if not pictures:
        raise click.UsageError("give at least one picture behind the model")
    return models[0], pictures


def _targets(pictures: Sequence[str], folder: Path) -> dict[str, Path]:
    """Where each picture goes: under its own name, numbered where two have the same.

    Raises:
        DarkshareError: an input would be replaced.
    """
    inputs = {Path(picture).resolve() for picture in pictures}
    found: dict[str, Path] = {}
    for picture in dict.fromkeys(pictures):
        name = Path(picture)
        suffix = name.suffix if writable(name.suffix) else ".png"
        numbered = (folder / f"{name.stem}{end}{suffix}" for end in ("", *(f"-{i}" for i in range(2, 10**6))))
        found[picture] = next(target for target in numbered if target not in found.values())
        if found[picture].resolve() in inputs:
            raise DarkshareError("is an input and would be replaced; choose another -o", file=str(found[picture]))
    return found


def _seen(detector: Detector, source: str, target: Path) -> Seen | None:
    """Run one picture; what is wrong with it is said, so that the others can go on."""
    try:
        image = read_picture(source)
        found = detector.detect(image)
        files.write_all({target: [encoded(annotate(image, found), target.suffix)]})
    except DarkshareError as error:
        click.echo(f"Error: {error}", err=True)
        return None
    return Seen(source, (image.shape[1], image.shape[0]), found)


def _rows(seen: Seen) -> Iterator[dict[str, Any]]:
    for detections in seen.found:
        for name, score, box in detections:
            corners = dict(zip(("x1", "y1", "x2", "y2"), map(round, box), strict=True))
            yield {"picture": seen.source, "task": detections.task, "name": name, "score": round(score, 4), **corners}


def _darknet_json(seen: Sequence[Seen]) -> str:
    """One entry per picture, as Darknet numbers and names them."""
    frames = [
        {
            "frame_id": number,
            "filename": one.source,
            "objects": [row for detections in one.found for row in darknet_objects(detections, one.size)],
        }
        for number, one in enumerate(seen, 1)
    ]
    return json.dumps(frames, indent=1, ensure_ascii=False) + "\n"
