"""Class names: a `.names` file, one in each line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from darkshare._files import LARGEST_TEXT
from darkshare._texts import read_text, require_fit
from darkshare.errors import DarkshareError

# Byte order marks are not a part of a name: they stand where files were joined. In a text that is not UTF-16, the bytes
# of its marks are surrogates.
_BLANK = "\ufeff \t"
_BEFORE = re.compile(f"(?:[{_BLANK}]|\udcfe\udcff|\udcff\udcfe)*")


class Names(NamedTuple):
    """The class names of a file, and what is wrong with it.

    Attributes:
        names: in order and all different; an empty line and a name that was there before are called by their number.
        faults: lines from 1, and what is wrong there.
    """

    names: tuple[str, ...]
    faults: tuple[tuple[int, str], ...] = ()


def ids_of(names: Iterable[str]) -> dict[str, int]:
    """Give the class ids by their names; of names that are the same the first."""
    ids: dict[str, int] = {}
    for index, name in enumerate(names):
        ids.setdefault(name, index)
    return ids


def read_names(path: str | os.PathLike[str]) -> Names:
    """Read a file of class names; each line is a class, as for Darknet (`get_paths` in src/data.c).

    Raises:
        DarkshareError: the file cannot be read, or a name holds what no name does.
    """
    text = read_text(Path(path), LARGEST_TEXT)
    names: dict[str, int] = {}
    faults = [(1, f"{text.oddity}, which Darknet prints")] if text.oddity else []
    if text.likely:
        faults.append((1, f"is not UTF-8, but probably {text.likely}; its bytes are kept. UTF-8 would show them"))
    for number, line in enumerate(text.lines, 1):
        try:
            require_fit("class name", line)
        except DarkshareError as error:
            raise error.locate(str(path), number) from None
        name = line[_BEFORE.match(line).end() :].rstrip(_BLANK)  # type: ignore[union-attr]  # it may be empty
        if name != line:
            faults.append((number, "holds a byte order mark, which Darknet prints; left out of the name"))
        if not name or name in names:
            what = f"the name of line {names[name]} again" if name else "an empty line, which is a class to Darknet"
            name = f"class {number - 1}"
            while name in names:
                name += "_"
            faults.append((number, f"{what}; called '{name}'"))
        names[name] = number
    return Names(tuple(names), tuple(faults))
