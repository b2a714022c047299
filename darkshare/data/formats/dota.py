"""DOTA's text files: one for each picture, a line `x1 y1 x2 y2 x3 y3 x4 y4 class difficult` for each object."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from darkshare._files import is_folder
from darkshare._texts import read_text
from darkshare.data.annotated import Annotated, Outline, dataset
from darkshare.data.darknet import Watch
from darkshare.data.formats.folders import by_folder, files_below
from darkshare.data.formats.yolo import Names
from darkshare.data.labels import LARGEST_LABELS
from darkshare.data.types import Dataset, Finding
from darkshare.errors import DarkshareError

_HEADING = re.compile(r"(imagesource|gsd|acquisition dates)\s*:", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s,]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_TRIED = 20  # files of a folder, that may begin with empty ones
_CORNERS = 8  # numbers


def is_dota(source: Path, _: bytes) -> bool:
    """Whether it is a folder with a text file in which eight numbers and a name make a line."""
    if not is_folder(source):
        return False
    return any(map(_describes, islice(files_below(source, ".txt"), _TRIED)))


def _describes(path: Path) -> bool:
    try:
        lines = read_text(path, LARGEST_LABELS).lines
    except DarkshareError:
        return False
    first = next((line for line in lines if line and not _HEADING.match(line)), "")
    *corners, name = _BETWEEN.split(first)[: _CORNERS + 1]
    return len(corners) == _CORNERS and all(map(_NUMBER.fullmatch, corners)) and not _NUMBER.fullmatch(name)


def read_dota(
    folder: Path, *, images: Path | None = None, names: Names | None = None, watch: Watch = iter
) -> dict[str, Dataset]:
    """Read all text files of DOTA's in a folder and below it; its quadrangles become the box around them.

    Args:
        folder: with the text files.
        images: the folder of the pictures; without it, they are looked for beside the text files and in `images`.
        names: of the classes, in order; without them, those of the files.
        watch: goes through the files, for a progress bar.

    Returns:
        The parts that folders such as `train` and `val` make, or else all in one: "all".

    Raises:
        DarkshareError: there are no such files, or none of their pictures.
    """
    texts = [path for path in files_below(folder, ".txt") if not path.name.startswith("README")]
    whole = dataset(str(folder), map(_annotated, watch(texts)), images=images, names=names)
    return by_folder(whole, images or folder)


def _annotated(path: Path) -> Annotated | Finding:
    try:
        lines = read_text(path, LARGEST_LABELS).lines
    except DarkshareError as error:
        return Finding(path, error.line, f"{error.message}; left out", "not readable as text")
    return Annotated(path, path.stem, None, list(_outlines(path, lines)), alone=True)


def _outlines(path: Path, lines: list[str]) -> Iterator[Outline | Finding]:
    for number, line in enumerate(lines, 1):
        if not line or _HEADING.match(line):
            continue
        fields = _BETWEEN.split(line)
        try:
            values = list(map(float, fields[:_CORNERS]))
            name, difficult = fields[_CORNERS], fields[_CORNERS + 1 :] not in ([], ["0"])
            yield Outline(name, list(zip(values[::2], values[1::2], strict=True)), number, difficult)
        except (ValueError, IndexError):
            what = f"'{line[:60]}' is not eight numbers, a class and whether it is difficult; left out"
            yield Finding(path, number, what, "not eight numbers and a class")
