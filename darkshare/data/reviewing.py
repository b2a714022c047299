"""Review a .data file: count what is in it, and find what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from darkshare._files import is_folder
from darkshare._images import header, read_picture
from darkshare.data.classified import read_class_list
from darkshare.data.darknet import Watch, read_data
from darkshare.data.datafiles import NAMES, TWICE, DataFile, class_names, named_file, read_options
from darkshare.data.findings import joined, rows_of
from darkshare.data.forks import Audit, turned
from darkshare.data.tables import DataResult, Parts
from darkshare.data.twins import twins_in
from darkshare.data.types import ClassifiedDataset, Dataset, Finding
from darkshare.errors import DarkshareError

_HARMLESS = ("box twice", "picture twice", NAMES, TWICE)  # kinds of findings that change nothing but weights or words
_SEVERAL = "are files of several pages or frames ({}), of which the first one counts"

_UNREADABLE = "not a picture"  # the kind of finding


@dataclass(frozen=True, repr=False)
class Review(DataResult):
    """The pictures of a .data file and everything that is wrong with it.

    Attributes:
        warnings: what not every fork of Darknet finds, reads or trains, what is there twice in one part, and odd names.
    """

    warnings: tuple[Finding, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"warnings": rows_of(self.warnings)}


def review(
    path: str | os.PathLike[str],
    *,
    decode: bool = False,
    most_boxes: Mapping[str, int] | None = None,
    watch: Watch = iter,
) -> Review:
    """Read all parts of a .data file, and compare the pictures with each other.

    Args:
        path: of the .data file, for a detector or a classifier.
        decode: also decode every picture.
        most_boxes: of a picture that are trained, by what says so, such as "max= of m.cfg"; without it, the defaults.
        watch: goes through the pictures, for a progress bar.

    Raises:
        DarkshareError: the .data file itself cannot be read.
    """
    data = read_options(path)
    audits = {part: Audit() for part in data.parts}
    found = {
        part: _tried(read_class_list if data.classifies else partial(read_data, audit=audit), data.path, part, watch)
        for part, audit in audits.items()
    }
    parts = {part: one for part, one in found.items() if not isinstance(one, Finding)}
    findings = list(joined([one] if isinstance(one, Finding) else one.findings for one in found.values()))
    if not data.parts:
        findings += [*data.findings, *class_names(data, classify=data.classifies)[1]]
    twins = [one for one in twins_in(parts, watch) if one.picture != one.other]  # those are told as shared
    findings += [*_shared(data.path, parts), *(one.finding() for one in twins if one.is_apart)]
    findings += _undecoded(parts, watch) if decode else ()
    warnings = [one for one in findings if one.kind in _HARMLESS]
    warnings += (one for part in parts for one in audits[part].findings(named_file(data, part)[0], most_boxes))
    warnings += (one.finding() for one in twins if not one.is_apart)
    heads = list(_of_headers(data.path, parts, watch))
    warnings += (one for one in heads if not one.kind)
    findings += (one for one in heads if one.kind)
    warnings += _unsaved(data)
    errors = dict.fromkeys(one for one in findings if one.kind not in _HARMLESS)
    return Review(data.path, parts, tuple(errors), tuple(dict.fromkeys(warnings)))


def _tried(read: Callable[..., Any], path: Path, part: str, watch: Watch) -> Dataset | ClassifiedDataset | Finding:
    """A part, or why it cannot be read."""
    try:
        found: Dataset | ClassifiedDataset = read(path, part, watch=watch)
    except DarkshareError as error:
        return Finding(Path(error.file or path), error.line, error.message)
    return found


def _shared(path: Path, parts: Parts) -> Iterator[Finding]:
    """Find the pictures that are in two parts."""
    pictures = {part: dict.fromkeys(sample.picture for sample in one.samples) for part, one in parts.items()}
    for one, other in combinations(pictures, 2):
        if both := [picture for picture in pictures[other] if picture in pictures[one]]:
            few = ", ".join(picture.name for picture in both[:3]) + (", …" if len(both) > 3 else "")
            what = f"{len(both)} of {len(pictures[other])} {other} pictures are {one} pictures too ({few})"
            yield Finding(path, None, f"{what}; measured on them, results are too good")


def _of_headers(path: Path, parts: Parts, watch: Watch) -> Iterator[Finding]:
    """Pictures that are stored turned, and files of several pictures: a finding for each kind."""
    pictures = list(dict.fromkeys(sample.picture for one in parts.values() for sample in one.samples))
    orientations: dict[Path, int] = {}
    several: list[str] = []
    for picture in watch(pictures):
        try:
            about = header(picture)
        except DarkshareError as error:
            yield Finding(picture, None, error.message, _UNREADABLE)
            continue
        orientations[picture] = about.orientation
        several += [f"{picture.name}: {about.pictures}"] if about.pictures > 1 else []
    if what := turned(orientations, len(pictures)):
        yield Finding(path, None, what)
    few = ", ".join(several[:3]) + (", …" if len(several) > 3 else "")
    if several:
        yield Finding(path, None, f"{len(several)} of {len(pictures)} pictures {_SEVERAL.format(few)}")


def _unsaved(data: DataFile) -> Iterator[Finding]:
    """Find that Darknet cannot save what it trains; AlexeyAB's stops then, at batch 100."""
    backup = data.options.get("backup")
    if backup and "train" in data.parts and not any(is_folder(at / backup.value) for at in (Path(), data.path.parent)):
        what = f"backup={backup.value}: no such folder, so Darknet stops when it saves for the first time; make it"
        yield Finding(data.path, backup.line, what)


def _undecoded(parts: Parts, watch: Watch) -> Iterator[Finding]:
    pictures = dict.fromkeys(sample.picture for dataset in parts.values() for sample in dataset.samples)
    for picture in watch(list(pictures)):
        if found := _unreadable(picture):
            yield found


def _unreadable(picture: Path) -> Finding | None:
    try:
        read_picture(picture)
    except DarkshareError as error:
        return Finding(picture, None, error.message, _UNREADABLE)
    return None
