"""The common part of COCO's and COCO-Text's json: images by id, boxes in pixels by image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from darkshare._files import reading, require_regular
from darkshare._images import PICTURES, read_picture
from darkshare.data.darknet import Watch
from darkshare.data.labels import gathered, within
from darkshare.data.types import Box, Finding, Sample
from darkshare.errors import DarkshareError

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
LARGEST_SIDE = 2**20  # pixels
_TRIED = 50  # pictures, to find the folder that they are in


class Image(NamedTuple):
    """A picture as the json has it; width and height are 0 where it does not give them."""

    name: str
    width: int
    height: int


class Marked(NamedTuple):
    """A box as the json has it: left, top, width and height in pixels."""

    label: str
    bbox: tuple[float, float, float, float]
    class_id: int
    difficult: bool


class Collected(NamedTuple):
    """Pictures with their boxes, and what is wrong."""

    samples: tuple[Sample, ...]
    findings: tuple[Finding, ...]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a json file.

    Raises:
        DarkshareError: it cannot be read, or is not a JSON object.
    """
    with reading(path):
        require_regular(path)
        data = path.read_bytes()
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise DarkshareError(f"is not json: {error}", file=str(path), line=line) from None
    if not isinstance(document, dict):
        raise DarkshareError("is not a json object", file=str(path))
    return document


def images_of(rows: Iterable[Any], path: Path) -> tuple[dict[Any, Image], list[Finding]]:
    """The images of a json by their ids, and what is wrong with them.

    Raises:
        DarkshareError: there are none.
    """
    found: dict[Any, Image] = {}
    findings: list[Finding] = []
    for row in rows:
        key, image = _image(row)
        if image is None:
            findings.append(Finding(path, None, f"image {str(row)[:60]}: no id and file_name; left out"))
        elif found.setdefault(key, image) is not image:
            findings.append(Finding(path, None, f"image {key} is there twice; the first one counts"))
    if not found:
        raise DarkshareError("has no images", file=str(path))
    return found, findings


def _image(row: Any) -> tuple[Any, Image | None]:
    try:
        image = Image(str(row["file_name"]), _side(row.get("width")), _side(row.get("height")))
        hash(row["id"])
        return row["id"], image
    except MALFORMED:
        return None, None


def bbox_of(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """The `bbox` of an annotation.

    Raises:
        ValueError, TypeError, KeyError: it is not four numbers.
    """
    left, top, width, height = map(float, row["bbox"])
    return left, top, width, height


def collected(
    path: Path, known: Mapping[Any, Image], marked: Mapping[Any, Sequence[Marked]], images: Path | None, watch: Watch
) -> Collected:
    """The images whose pictures are there, with their boxes as fractions, clipped to the picture.

    Args:
        path: of the json, for the findings.
        known: images by id.
        marked: boxes by the image's id.
        images: the folder of the pictures; without it, the usual places near the json are tried.
        watch: goes through the images.

    Raises:
        DarkshareError: no picture was found.
    """
    folder = images or _folder(path, [image.name for image in known.values()])
    samples: dict[Path, Sample] = {}
    findings: list[Finding] = []
    for key, image in watch(list(known.items())):
        picture = folder / image.name
        why = "another image has this picture" if picture in samples else _missing(picture)
        if why:
            findings.append(Finding(path, None, f"image {key}: {picture}: {why}; left out"))
            continue
        try:
            labels = gathered(((None, box) for box in _boxes(_sized(image, picture), marked.get(key, ()))), path)
        except DarkshareError as error:
            findings.append(Finding(path, None, f"image {key}: {error}; left out"))
            continue
        samples[picture] = Sample(picture, labels.boxes)
        findings += labels.findings
    if not samples:
        raise DarkshareError(f"none of its pictures is in {folder}; name their folder with --images", file=str(path))
    return Collected(tuple(samples.values()), tuple(findings))


def _missing(picture: Path) -> str:
    if not picture.is_file():
        return "no such picture"
    return "" if picture.suffix.lower() in PICTURES else "is not a picture by its name"


def _boxes(image: Image, marked: Iterable[Marked]) -> Iterator[Box | str]:
    _, columns, rows = image
    for label, (left, top, width, height), class_id, difficult in marked:
        x, y = (left + width / 2) / columns, (top + height / 2) / rows
        box = Box(class_id, x, y, width / columns, height / rows, difficult)
        for found in within(box, (1.01 / columns, 1.01 / rows)):
            yield found if isinstance(found, Box) else f"{label}: {found}"


def _sized(image: Image, picture: Path) -> Image:
    """The image with width and height, if need be from its picture."""
    if image.width and image.height:
        return image
    rows, columns = read_picture(picture).shape[:2]
    return Image(image.name, columns, rows)


def _folder(path: Path, names: Sequence[str]) -> Path:
    """The folder that the pictures are in: beside the json, or as COCO's own folders are."""
    near, above = path.parent, path.parent.parent
    parts = dict.fromkeys([".", path.stem.rpartition("_")[2], "train2014"])
    places = [top / middle / part for top in (near, above) for middle in (".", "images") for part in parts]
    found = next((place for place in places if any((place / name).is_file() for name in names[:_TRIED])), None)
    if found is None:
        raise DarkshareError("its pictures are not near it; name their folder with --images", file=str(path))
    return found


def _side(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value <= LARGEST_SIDE else 0
