"""Darknet's own data sets as a source: .data files, and lists of pictures with the file of the names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from darkshare.data.darknet import Watch, read_data, read_list
from darkshare.data.datafiles import read_names, read_options
from darkshare.data.types import Dataset
from darkshare.errors import DarkshareError


def is_darknet(source: Path, _: bytes) -> bool:
    """Whether it is a .data file or a list by its name."""
    return source.suffix in (".data", ".txt")


def read_darknet(source: Path, names: Path | None, watch: Watch) -> dict[str, Dataset]:
    """Read all parts of a .data file, or a list of pictures as "all".

    Args:
        source: the file.
        names: the file of the class names, which a list needs; for a .data file, instead of its own.
        watch: goes through the pictures.

    Raises:
        DarkshareError: it cannot be read, or has no boxes.
    """
    known, wrong = read_names(names) if names else (None, ())
    if source.suffix == ".data":
        data = read_options(source)
        if data.classifies:
            raise DarkshareError("is for a classifier (labels=), whose pictures have no boxes", file=str(source))
        return {part: read_data(source, part, names=known, watch=watch) for part in data.parts or ["train"]}
    if known is None:
        raise DarkshareError("is a list of pictures; name the file of the class names with --names", file=str(source))
    found = read_list(source, known, watch=watch)
    return {"all": replace(found, findings=(*wrong, *found.findings))}
