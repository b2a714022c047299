"""The common part of COCO's and COCO-Text's json: images by id, outlines in pixels by image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from darkshare._files import reading, require_regular
from darkshare._texts import likely_encoding
from darkshare.data.annotated import Annotated, Outline, dataset
from darkshare.data.darknet import Watch
from darkshare.data.types import Dataset, Finding
from darkshare.errors import DarkshareError

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
LARGEST_SIDE = 2**20  # pixels


def read_json(path: Path) -> dict[str, Any]:
    """The object in a json file; its byte order mark, or else its zeros, tell UTF-16 from UTF-8.

    Raises:
        DarkshareError: it cannot be read, or is not a JSON object.
    """
    with reading(path):
        require_regular(path)
        data = path.read_bytes()
    try:
        document = json.loads(data)
    except UnicodeDecodeError as error:
        what = f"is not in {error.encoding}, but probably in {likely_encoding(data)}; save it as UTF-8"
        raise DarkshareError(what, file=str(path)) from None
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise DarkshareError(f"is not json: {error}", file=str(path), line=line) from None
    if not isinstance(document, dict):
        raise DarkshareError("is not a json object", file=str(path))
    return document


def images_of(rows: Iterable[Any], path: Path) -> tuple[dict[Any, Annotated], list[Finding]]:
    """The images of a json by their ids, without their objects, and what is wrong with them.

    Raises:
        DarkshareError: there are none.
    """
    found: dict[Any, Annotated] = {}
    findings: list[Finding] = []
    for row in rows:
        key, image = _image(row, path)
        if image is None:
            what = f"image {str(row)[:60]}: no id and file_name; left out"
            findings.append(Finding(path, None, what, "image without a name"))
        elif found.setdefault(key, image) is not image:
            findings.append(Finding(path, None, f"image {key} is there twice; the first one counts", "image id twice"))
    if not found:
        raise DarkshareError("has no images", file=str(path))
    return found, findings


def id_of(value: Any) -> Any:
    """An id as COCO means it: several programs write the whole number as a text."""
    return int(value) if isinstance(value, str) and value.isdecimal() and str(int(value)) == value else value


def _image(row: Any, path: Path) -> tuple[Any, Annotated | None]:
    try:
        key = id_of(row["id"])
        hash(key)
        size = _side(row.get("width")), _side(row.get("height"))
        name = str(row["file_name"])
        return key, Annotated(path, name, size if all(size) else None, (), f"image {key}")
    except MALFORMED:
        return None, None


def corners_of(row: Mapping[str, Any]) -> list[tuple[float, float]]:
    """The corners of the `bbox` of an annotation; without one, the points of its polygons.

    Raises:
        ValueError, TypeError, KeyError: it is not four numbers, and there are no polygons.
    """
    if row.get("bbox"):
        left, top, width, height = map(float, row["bbox"])
        return [(left, top), (left + width, top + height)]
    values = [float(value) for polygon in row["segmentation"] for value in polygon]
    if len(values) < 6 or len(values) % 2:
        raise ValueError
    return list(zip(values[::2], values[1::2], strict=True))


def coco_dataset(
    path: Path,
    names: Sequence[str],
    known: Mapping[Any, Annotated],
    marked: Mapping[Any, Sequence[Outline]],
    findings: Iterable[Finding],
    images: Path | None,
    watch: Watch,
) -> Dataset:
    """The data set of a json.

    Args:
        path: of the json.
        names: of the classes.
        known: images by id.
        marked: outlines by the image's id.
        findings: what is wrong with the json.
        images: the folder of the pictures; without it, the usual places near the json are tried.
        watch: goes through the images.

    Raises:
        DarkshareError: no picture was found.
    """
    parts = dict.fromkeys(["", path.stem.rpartition("_")[2], "train2014"])
    near = [f"{top}{middle}/{part}" for top in ("./", "../") for middle in (".", "images") for part in parts]
    near.remove(".././")  # what is above the json was not named
    annotated = (image._replace(objects=marked.get(key, ())) for key, image in watch(list(known.items())))
    found = dataset(str(path), chain(findings, annotated), images=images, near=near, names=names)
    return Dataset(path.stem, found.names, found.samples, found.findings)


def _side(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value <= LARGEST_SIDE else 0
