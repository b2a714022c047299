"""Darknet's data sets: lists of pictures, with labels beside these."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from darkshare._images import PICTURES
from darkshare._texts import read_text
from darkshare.data.datafiles import class_names, first_file, named_file, read_options
from darkshare.data.labels import label_path, read_labels
from darkshare.data.types import Dataset, Finding, Sample
from darkshare.errors import DarkshareError, Unsupported

Watch = Callable[[Sequence[Any]], Iterable[Any]]  # goes through things and may show how far it is
_TRIED = 1000  # pictures of a list, until it is refused
_LABELLED = "an empty one would say that nothing is on the picture"


class Listed(NamedTuple):
    """A line of a list: the picture, and where it is listed."""

    picture: Path
    line: int
    text: str


def read_data(
    path: str | os.PathLike[str], part: str = "train", *, names: Sequence[str] | None = None, watch: Watch = iter
) -> Dataset:
    """Read one part of a .data file: its pictures, their boxes, and all that is wrong with them.

    Relative paths start where Darknet lets them start, at the current folder; if there is no such file, at the folder
    of the .data file or of the list.

    Args:
        path: of the .data file.
        part: "train", "valid" or "test".
        names: of the classes, instead of those that it names.
        watch: goes through the pictures, for a progress bar.

    Raises:
        DarkshareError: a file that it names cannot be read, or it does not name this part.
    """
    if Path(path).is_dir():
        raise Unsupported("is a folder, but the network finds boxes: give a .data file", file=str(path))
    data = read_options(path)
    known, findings = class_names(data, names)
    listed = named_file(data, part)
    hard = named_file(data, "difficult") if part == "valid" and "difficult" in data.options else None
    found = _read(listed, known, data.path.stem, (data.path.parent,), hard, watch)
    return Dataset(found.name, known, found.samples, (*data.findings, *findings, *found.findings))


def read_list(
    list_path: str | os.PathLike[str], names: Sequence[str], name: str | None = None, *, watch: Watch = iter
) -> Dataset:
    """Read a list of pictures and the labels beside them.

    Args:
        list_path: a text file with one picture a line, relative to the current folder or to its own.
        names: of the classes.
        name: of the data set; without it, the stem of the list.
        watch: goes through the pictures, for a progress bar.

    Raises:
        DarkshareError: the list cannot be read.
    """
    path = Path(list_path)
    return _read(path, tuple(names), name or path.stem, (), None, watch)


def listed_pictures(path: Path, bases: Sequence[Path], watch: Watch = iter) -> Iterator[Listed | Finding]:
    """The pictures of a list that are files, and what is wrong with the other lines.

    Args:
        path: of the list.
        bases: folders to start relative paths at, beside the current one and the list's own.
        watch: goes through the lines.

    Raises:
        DarkshareError: the list cannot be read.
    """
    text = read_text(path)
    if text.oddity:
        yield Finding(path, 1, f"{text.oddity}: Darknet does not find the first picture")
    folders = tuple(dict.fromkeys([Path(), *bases, path.parent]))
    seen: dict[tuple[int, int], int] = {}
    lines = text.lines
    _require_pictures(path, lines, folders)
    for number, line in watch(list(enumerate(lines, 1))):
        found = first_file(line, folders) if line else None
        if found is None:
            what = f"{line}: no such picture; left out" if line else "an empty line is a picture to Darknet; left out"
            yield Finding(path, number, what)
            continue
        picture, status = found
        if not status.st_size or picture.suffix.lower() not in PICTURES:
            why = "is not a picture by its name" if status.st_size else "an empty file is not a picture"
            yield Finding(path, number, f"{line}: {why}; left out")
            continue
        first = seen.setdefault((status.st_dev, status.st_ino), number)
        if first != number:
            yield Finding(path, number, f"{line}: the same picture as in line {first}; it counts twice")
        yield Listed(picture, number, line)


def _require_pictures(path: Path, lines: Sequence[str], folders: Sequence[Path]) -> None:
    """Refuse a list none of whose first pictures is there: it is not a list, or this is not the folder to start in.

    Raises:
        DarkshareError: with the folders that were tried.
    """
    if not any(lines):
        raise DarkshareError("lists no pictures", file=str(path))
    if not any(first_file(line, folders) for line in lines[:_TRIED] if line):
        tried = ", ".join(str(folder.absolute()) for folder in folders)
        first = next(filter(None, lines))[:200]
        raise DarkshareError(f"no picture that it lists is there, such as {first}; looked in {tried}", file=str(path))


def _read(
    path: Path, names: tuple[str, ...], name: str, bases: Sequence[Path], difficult: Path | None, watch: Watch
) -> Dataset:
    samples: list[Sample] = []
    findings: list[Finding] = []
    hard, more = _difficult_labels(difficult, (*bases, path.parent)) if difficult else ({}, ())
    for found in listed_pictures(path, bases, watch):
        if isinstance(found, Finding):
            findings.append(found)
            continue
        place = label_path(found.picture)
        if not place.is_file():
            findings.append(Finding(path, found.line, f"{place}: no such label file; left out ({_LABELLED})"))
            continue
        labels = read_labels(place, len(names))
        passed = read_labels(hard[found.line], len(names)) if found.line in hard else None
        boxes = chain(labels.boxes, (box._replace(difficult=True) for box in passed.boxes) if passed else ())
        samples.append(Sample(found.picture, tuple(boxes)))
        findings += labels.findings + (passed.findings if passed else ())
    if not samples:
        raise DarkshareError(f"none of its pictures can be used; {findings[0]}", file=str(path))
    return Dataset(name, names, tuple(samples), (*findings, *more))


def _difficult_labels(path: Path, bases: Sequence[Path]) -> tuple[dict[int, Path], tuple[Finding, ...]]:
    """The label files of a `difficult=` list, by the line of the picture in the valid list that they belong to.

    Darknet (`validate_detector_map` in AlexeyAB's src/detector.c) pairs both lists line by line and only looks beside
    the pictures of the second one, which need not exist.
    """
    places: dict[int, Path] = {}
    findings: list[Finding] = []
    folders = tuple(dict.fromkeys([Path(), *bases, path.parent]))
    for number, line in enumerate(read_text(path).lines, 1):
        place = next((p for folder in folders if (p := label_path(folder / line)).is_file()), None)
        if place is None:
            findings.append(Finding(path, number, f"{line}: no label file beside it; no box counts as difficult"))
        else:
            places[number] = place
    return places, tuple(findings)
