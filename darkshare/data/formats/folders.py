"""Folders of files that describe pictures: which files they are, and which part of the data set."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from darkshare._files import is_folder, reading
from darkshare.data.types import Dataset, Finding, Sample
from darkshare.data.writing import RECORD
from darkshare.errors import DarkshareError

_START = 2**16  # bytes of a file that show what it is
_PART = re.compile(
    r"(?:obj_)?(?:(train)(?:ing)?|(val)(?:id|idate|idation)?|(test)(?:ing)?)"
    r"(?:20\d\d|[_-](?:data|set|labels?|images?|annotations?)(?:[_-]\w+)?)?",
    re.IGNORECASE,
)
_GROUPS = ("", "train", "valid", "test")


def files_below(folder: Path, *suffixes: str) -> Iterator[Path]:
    """The files in a folder and below it with one of these suffixes, in the order of their paths.

    Hidden ones are passed over, and folders that an import has made.

    Raises:
        DarkshareError: it is not a folder.
    """
    if not is_folder(folder):
        raise DarkshareError("is not a folder", file=str(folder))
    found: list[str] = []
    for at, folders, names in os.walk(folder):
        if RECORD in names and Path(at) != folder:
            folders.clear()
            continue
        places = (os.path.join(at, name) for name in names if name[0] != ".")  # noqa: PTH118 - Path is slow
        found += (place for place in places if place.lower().endswith(suffixes))
    return map(Path, sorted(found))


def start_of(source: Path, suffix: str = "") -> bytes:
    """The beginning of a file, or of the first one with that suffix in a folder, as if it were not in UTF-16.

    Nothing where there is none.

    Raises:
        DarkshareError: it cannot be read.
    """
    found = source
    if is_folder(source):
        found = next(files_below(source, suffix), source)
    if is_folder(found):
        return b""
    with reading(found), found.open("rb") as file:
        return file.read(_START).replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")


def by_folder(whole: Dataset, root: Path) -> dict[str, Dataset]:
    """The parts that folders below a root make, such as `train` and `val`; see `divided`."""
    below = {sample.picture: Path(os.path.relpath(sample.picture, root)) for sample in whole.samples}
    return divided(whole, lambda picture: part_of(below[picture].parent), "the folder")


def part_of(path: Path) -> str:
    """The part ("train", "valid", "test", or nothing) that a folder in a path is named for, or the file at its end."""
    found = filter(None, (_PART.fullmatch(part.partition(".")[0]) for part in path.parts))
    return next((_GROUPS[match.lastindex or 0] for match in found), "")


def divided(whole: Dataset, part_of: Callable[[Path], str], place: str) -> dict[str, Dataset]:
    """The parts of a data set, if one is for training and another is not; else all in one: "all".

    Args:
        whole: the data set.
        part_of: "train", "valid", "test" or nothing for a picture.
        place: that decides, for the finding about a picture that is in none.
    """
    parts: dict[str, list[Sample]] = {"train": [], "valid": [], "test": [], "": []}
    for sample in whole.samples:
        parts[part_of(sample.picture)].append(sample)
    if not parts["train"] or not (parts["valid"] or parts["test"]):
        return {"all": whole}
    lost = [Finding(sample.picture, None, f"is in {place} of no part; left out") for sample in parts.pop("")]
    made = {part: Dataset(whole.name, whole.names, tuple(found)) for part, found in parts.items() if found}
    return {**made, "train": replace(made["train"], findings=(*whole.findings, *lost))}
