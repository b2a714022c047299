"""Darknet's data sets: lists of pictures, with labels beside these."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from darkshare._files import is_folder
from darkshare._texts import read_text
from darkshare.data.datafiles import class_names, named_file, read_options
from darkshare.data.findings import NothingLeft
from darkshare.data.forks import Audit
from darkshare.data.labels import LABEL_RULES, PictureLabels, label_files, label_path, read_labels
from darkshare.data.lists import file_status, finder_of, listed_pictures
from darkshare.data.types import Dataset, Finding, Sample
from darkshare.errors import DarkshareError, Unsupported

Watch = Callable[[Sequence[Any]], Iterable[Any]]  # goes through things and may show how far it is
_LABELLED = "an empty one would say that nothing is on the picture"


def read_data(
    path: str | os.PathLike[str],
    part: str = "train",
    *,
    names: Sequence[str] | None = None,
    watch: Watch = iter,
    audit: Audit | None = None,
) -> Dataset:
    """Read one part of a .data file: its pictures, their boxes, and all that is wrong with them.

    Relative paths start where Darknet lets them start, at the current folder; if there is no such file, at the folder
    of the .data file or of the list.

    Args:
        path: of the .data file.
        part: "train", "valid" or "test".
        names: of the classes, instead of those that it names.
        watch: goes through the pictures, for a progress bar.
        audit: counts what each fork of Darknet does not find or read.

    Raises:
        DarkshareError: a file that it names cannot be read, or it does not name this part.
    """
    if is_folder(path):
        raise Unsupported("is a folder, but the network finds boxes: give a .data file", file=str(path))
    data = read_options(path)
    known, findings = class_names(data, names)
    listed, moved = named_file(data, part)
    has_hard = part == "valid" and "difficult" in data.options
    hard, also = named_file(data, "difficult") if has_hard else (None, ())
    found = _read(listed, known, data.path.stem, (data.path.parent,), hard, watch, audit)
    return Dataset(found.name, known, found.samples, (*data.findings, *findings, *moved, *also, *found.findings))


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
    return _read(path, tuple(names), name or path.stem, (), None, watch, None)


def _read(
    path: Path,
    names: tuple[str, ...],
    name: str,
    bases: Sequence[Path],
    difficult: Path | None,
    watch: Watch,
    audit: Audit | None,
) -> Dataset:
    samples: list[Sample] = []
    findings: list[Finding] = []
    hard, more = _difficult_labels(difficult, bases) if difficult else ({}, ())
    used: dict[str, Path] = {}
    for found in listed_pictures(path, bases, watch):
        if isinstance(found, Finding):
            findings.append(found)
            continue
        picture = str(found.picture)
        places = label_files(picture)
        if not places:
            place = label_path(found.picture)
            what = f"{place}: no such label file; left out ({_LABELLED})"
            findings.append(Finding(path, found.line, what, "no labels"))
            continue
        labels = read_labels(Path(places[0]), len(names))
        passed = read_labels(hard[found.line], len(names)) if found.line in hard else None
        boxes = chain(labels.boxes, (box._replace(difficult=True) for box in passed.boxes) if passed else ())
        samples.append(Sample(found.picture, tuple(boxes)))
        findings += labels.findings + (passed.findings if passed else ())
        findings += _other_labels(found.picture, places, labels, len(names))
        if (other := used.setdefault(places[0], found.picture)) != found.picture:
            what = f"has the label file {places[0]} in common with {other}"
            findings.append(Finding(found.picture, None, what, "labels in common"))
        if audit:
            audit.add(samples[-1], found)
    if not samples:
        raise NothingLeft("none of its pictures can be used", file=str(path), findings=findings)
    return Dataset(name, names, tuple(samples), (*findings, *more))


def _other_labels(picture: Path, places: Sequence[str], labels: PictureLabels, classes: int) -> Iterator[Finding]:
    """Find the label files of a picture that hold other boxes than the first, which is taken."""
    for other in places[1:]:
        if set(read_labels(Path(other), classes).boxes) != set(labels.boxes):
            readers = {place: _readers(picture, place) for place in (places[0], other)}
            said = f"{other} holds other boxes of the same picture{readers[other]}; taken are these{readers[places[0]]}"
            yield Finding(Path(places[0]), None, said, "other labels")


def _readers(picture: Path, place: str) -> str:
    forks = [fork for fork, rule in LABEL_RULES.items() if rule(str(picture)) == place]
    return f" (for {' and '.join(forks)})" if forks else ""


def _difficult_labels(path: Path, bases: Sequence[Path]) -> tuple[dict[int, Path], tuple[Finding, ...]]:
    """The label files of a `difficult=` list, by the line of the picture in the valid list that they belong to.

    Darknet (`validate_detector_map` in AlexeyAB's src/detector.c) pairs both lists line by line and only looks beside
    the pictures of the second one, which need not exist.
    """
    places: dict[int, Path] = {}
    findings: list[Finding] = []
    lines = read_text(path).lines
    finder = finder_of(path, lines, bases, _label_status)
    for number, line in enumerate(lines, 1):
        try:
            found = finder(line)
        except DarkshareError as error:
            raise error.locate(str(path), number) from None
        if found is None:
            what = f"{line}: no label file beside it; no box counts as difficult"
            findings.append(Finding(path, number, what, "no difficult boxes"))
        else:
            places[number] = label_path(Path(found.path))
    if moved := finder.said(len(lines)):
        findings.append(Finding(path, None, f"{moved}; correct the list for Darknet"))
    return places, tuple(findings)


def _label_status(picture: str) -> os.stat_result | None:
    return next(filter(None, map(file_status, label_files(picture))), None)
