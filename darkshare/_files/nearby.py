"""Names of files that are near one that is not there."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice
from pathlib import Path

from darkshare.errors import meant

MOST = 2000  # files that are looked at
SUFFIXES = (".cfg", ".weights", ".data", ".names", ".onnx")  # of pictures there may be millions, missing and there


def nearby(name: str | os.PathLike[str]) -> str:
    """Name, behind a message, the files beside one that is not there that may be meant; empty where there are none.

    Windows hides a second suffix that editors add.
    """
    path = Path(name)
    longer = Path(f"{os.fspath(name)}.txt")
    with suppress(OSError, ValueError):
        if longer.is_file():
            return f", but {longer.name} is there: rename it"
    if path.suffix not in SUFFIXES:
        return ""
    with suppress(OSError, ValueError), os.scandir(path.parent) as found:
        names = (Path(one.name) for one in islice(found, MOST))
        known = {name.stem: f"{path.with_name(name.name)}" for name in names if name.suffix == path.suffix}
        return meant(path.stem, known, known)
    return ""
