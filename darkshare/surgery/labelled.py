"""Data sets as the functions that change models take them: a .data file, read with warnings."""

from __future__ import annotations

import os

from darkshare._tables import printable
from darkshare.data import Dataset, read_data
from darkshare.errors import warn

SHOWN = 5


def read_labelled(path: str | os.PathLike[str], part: str = "train") -> Dataset:
    """Read a part of a .data file; the first things that are wrong with it are warnings.

    Raises:
        DarkshareError: it cannot be read, or none of its pictures can be used.
    """
    dataset = read_data(path, part)
    for finding in dataset.findings[:SHOWN]:
        warn(printable(str(finding)))
    if (more := len(dataset.findings) - SHOWN) > 0:
        warn(f"{more} more such notes about {path}; darkshare check has all")
    return dataset
