"""Review a .data file: count what is in it, and find what is wrong with it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from darkshare._files import sha256
from darkshare._images import header, read_picture
from darkshare.data.classified import read_class_list
from darkshare.data.darknet import Watch, read_data
from darkshare.data.datafiles import class_names, named_file, read_options
from darkshare.data.findings import joined, rows_of
from darkshare.data.forks import Audit
from darkshare.data.tables import DataResult, Parts
from darkshare.data.types import ClassifiedDataset, Dataset, Finding
from darkshare.errors import DarkshareError

_TURNED = (
    "are stored turned or mirrored, with a note in EXIF ({}); labels are for the picture as it is shown, but Darknet "
    "without OpenCV shows it as stored and trains on wrong boxes; turn the files: mogrify -auto-orient"
)
_SEVERAL = "are files of several pages or frames ({}), of which the first one counts"


@dataclass(frozen=True, repr=False)
class Review(DataResult):
    """The pictures of a .data file and everything that is wrong with it.

    Attributes:
        warnings: what not every fork of Darknet finds, reads or trains.
    """

    warnings: tuple[Finding, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"warnings": rows_of(self.warnings)}


def review(path: str | os.PathLike[str], *, decode: bool = False, watch: Watch = iter) -> Review:
    """Read all parts of a .data file, and compare the pictures with each other.

    Args:
        path: of the .data file, for a detector or a classifier.
        decode: also decode every picture.
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
    findings += [*_shared(data.path, parts), *_twins(parts, watch), *(_undecoded(parts, watch) if decode else ())]
    warnings = [one for part in parts for one in audits[part].findings(named_file(data, part)[0])]
    warnings += _of_headers(data.path, parts, watch)
    return Review(data.path, parts, tuple(findings), tuple(warnings))


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


def _twins(parts: Parts, watch: Watch) -> Iterator[Finding]:
    """Pictures of the same content under different names; only files of the same length are read for that."""
    lengths: dict[int, dict[Path, str]] = defaultdict(dict)
    for part, dataset in parts.items():
        for sample in dataset.samples:
            lengths[sample.picture.stat().st_size].setdefault(sample.picture, part)
    same = [(picture, part) for group in lengths.values() if len(group) > 1 for picture, part in group.items()]
    first: dict[str, tuple[Path, str]] = {}
    for picture, part in watch(same):
        twin, before = first.setdefault(sha256(picture), (picture, part))
        if twin != picture:
            apart = f", which is for {before} while this is for {part}" if before != part else ""
            yield Finding(picture, None, f"is the same picture as {twin}{apart}", "the same picture")


def _of_headers(path: Path, parts: Parts, watch: Watch) -> Iterator[Finding]:
    """Pictures that are stored turned, and files of several pictures: a finding for each kind."""
    pictures = list(dict.fromkeys(sample.picture for one in parts.values() for sample in one.samples))
    turned: list[str] = []
    several: list[str] = []
    for picture in watch(pictures):
        with suppress(DarkshareError):  # for `decode` to find
            about = header(picture)
            turned += [f"{picture.name}: {about.orientation}"] if about.orientation > 1 else []
            several += [f"{picture.name}: {about.pictures}"] if about.pictures > 1 else []
    for found, what in ((turned, _TURNED), (several, _SEVERAL)):
        few = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        if found:
            yield Finding(path, None, f"{len(found)} of {len(pictures)} pictures {what.format(few)}")


def _undecoded(parts: Parts, watch: Watch) -> Iterator[Finding]:
    pictures = dict.fromkeys(sample.picture for dataset in parts.values() for sample in dataset.samples)
    for picture in watch(list(pictures)):
        if found := _unreadable(picture):
            yield found


def _unreadable(picture: Path) -> Finding | None:
    try:
        read_picture(picture)
    except DarkshareError as error:
        return Finding(picture, None, error.message, "not a picture")
    return None
