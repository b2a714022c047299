"""labelme's json, as X-AnyLabeling and others write it too: one file for each picture, with its outlines as shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import hypot
from pathlib import Path
from typing import Any

from darkshare._files import is_folder
from darkshare.data.annotated import Annotated, Outline, dataset
from darkshare.data.darknet import Watch
from darkshare.data.formats.coco_json import MALFORMED, read_json
from darkshare.data.formats.folders import by_folder, files_below, start_of
from darkshare.data.formats.yolo import Names
from darkshare.data.pictures import NEAR, Pictures
from darkshare.data.types import Dataset, Finding
from darkshare.errors import DarkshareError

_KEYS = re.compile(rb'"(imagePath|imageData|shapes)"\s*:')
_YES = ("true", "1")  # programs write "false" as a text too
_WITHOUT_AREA = ("line", "linestrip", "point", "points")


def is_labelme(source: Path, _: bytes) -> bool:
    """Whether it is a json of labelme's, or a folder of which the first json is one."""
    start = start_of(source, ".json")
    return start[:1] == b"{" and _KEYS.search(start) is not None


def read_labelme(
    source: Path, *, images: Path | None = None, names: Names | None = None, watch: Watch = iter
) -> dict[str, Dataset]:
    """Read a json of labelme's, or all in a folder and below it.

    Polygons, circles and rotated boxes become the box around them; lines and points have no area and are left out.

    Args:
        source: the file or folder.
        images: the folder of the pictures; without it, they are looked for where the files name them.
        names: of the classes, in order; without them, those of the shapes.
        watch: goes through the files, for a progress bar.

    Returns:
        The parts that folders such as `train` and `valid` make, or else all in one: "all".

    Raises:
        DarkshareError: there is no such file, or none of their pictures.
    """
    files = list(files_below(source, ".json")) if is_folder(source) else [source]
    pictures = Pictures((images,) if images else (), NEAR)
    found = (one for path in watch(files) for one in _annotated(path, pictures))
    whole = dataset(str(source), found, images=images, names=names)
    return by_folder(whole, images or (source if is_folder(source) else source.parent))


def _annotated(path: Path, pictures: Pictures) -> Iterator[Annotated | Finding]:
    try:
        document = read_json(path)
        shapes = document["shapes"]
        outlines = [_outline(path, number, shape) for number, shape in enumerate(shapes, 1)]
    except DarkshareError as error:
        yield Finding(path, error.line, f"{error.message}; left out", "not readable as json")
        return
    except MALFORMED:
        yield Finding(path, None, "has no list of shapes, so it is not labelme's; left out")
        return
    one = Annotated(path, str(document.get("imagePath") or ""), _size(document), outlines, alone=True)
    if document.get("imageData") and pictures.of(path, one.picture, alone=True)[0] is None:
        yield Finding(path, None, "its picture is not near it, but within it (imageData): write it out; left out")
    else:
        yield one


def _size(document: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        width, height = int(document["imageWidth"]), int(document["imageHeight"])
    except MALFORMED:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _outline(path: Path, number: int, shape: Any) -> Outline | Finding:
    """A shape's outline: points around it, two corners in any order, or the centre of a circle and a point on it."""
    try:
        name, kind = " ".join(str(shape["label"]).split()), shape.get("shape_type") or "polygon"
        points = [(float(x), float(y)) for x, y in shape["points"]]
        if kind in _WITHOUT_AREA:
            what = f"{name}, shape {number}: a {kind} is not an area; left out"
            return Finding(path, None, what, f"a {kind} is not an area")
        if kind == "circle":
            (x, y), (x_on, y_on) = points
            radius = hypot(x_on - x, y_on - y)
            points = [(x - radius, y - radius), (x + radius, y + radius)]
        xs, ys = zip(*points, strict=True)
        beyond = kind == "mask"  # its second corner is its last pixel
        corners = [(min(xs), min(ys)), (max(xs) + beyond, max(ys) + beyond)]
    except MALFORMED:
        return Finding(path, None, f"shape {number}: no label and points; left out", "no outline")
    return Outline(name, corners, None, str(shape.get("difficult")).lower() in _YES, f"{name}, shape {number}")
