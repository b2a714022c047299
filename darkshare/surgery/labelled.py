"""Data sets as the functions that change models take them: a .data file, read with warnings."""

from __future__ import annotations

import os

from darkshare.data import Dataset, read_data
from darkshare.data.findings import warn_of


def read_labelled(path: str | os.PathLike[str], part: str = "train") -> Dataset:
    """Read a part of a .data file; the first things that are wrong with it are warnings.

    Raises:
        DarkshareError: it cannot be read, or none of its pictures can be used.
    """
    dataset = read_data(path, part)
    warn_of(dataset.findings)
    return dataset
