"""Darknet's .data files: which lists, which names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from darkshare._files import LARGEST_TEXT, exists
from darkshare._texts import read_text
from darkshare.darknet.names import read_names as read_class_names
from darkshare.data.lists import finder_of
from darkshare.data.types import Finding
from darkshare.errors import DarkshareError

_KEYS = "backup classes difficult eval labels leaves map names results savelast saveweights test top train tree valid"
KEYS = tuple(sorted(_KEYS.split()))
TWICE = "file twice"  # the kind of what is found from the current folder and from the .data file's own
NAMES = "class names"  # the kind of what is wrong with these, which Darknet only prints


class Option(NamedTuple):
    """A value of a .data file, and its line."""

    value: str
    line: int


class DataFile(NamedTuple):
    """A .data file as read."""

    path: Path
    options: dict[str, Option]
    findings: tuple[Finding, ...]

    @property
    def classifies(self) -> bool:
        """Whether it is for a classifier: detectors have no `labels=`."""
        return "labels" in self.options

    @property
    def parts(self) -> list[str]:
        """The lists that it names, of train, valid and test."""
        return [part for part in ("train", "valid", "test") if part in self.options]


def read_options(path: str | os.PathLike[str]) -> DataFile:
    """Read a .data file (Darknet's `read_data_cfg` in src/option_list.c).

    Raises:
        DarkshareError: it cannot be read, or holds no options.
    """
    path = Path(path)
    text = read_text(path, LARGEST_TEXT)
    options: dict[str, Option] = {}
    findings = [Finding(path, 1, f"{text.oddity}: Darknet misses the first key")] if text.oddity else []
    for number, line in enumerate(text.lines, 1):
        if not line or line[0] in "#;":
            continue
        before, equals, value = line.partition("=")
        key, value = "".join(before.split()), value.strip()
        if not equals or not key:
            findings.append(Finding(path, number, f"'{line[:60]}' is not key=value; left out"))
        elif key in options:
            again = f"{key}= is in line {options[key].line} already, and the first one counts"
            findings.append(Finding(path, number, again))
        else:
            options[key] = Option(value, number)
            findings += _odd_option(path, key, value, number)
    if not options:
        raise DarkshareError("has no key=value lines: this is not a .data file", file=str(path))
    return DataFile(path, options, tuple(findings))


def _odd_option(path: Path, key: str, value: str, number: int) -> Iterator[Finding]:
    if key not in KEYS:
        import difflib

        if near := difflib.get_close_matches(key, KEYS, n=1):
            yield Finding(path, number, f"{key}= is not known to Darknet; is {near[0]}= meant?")
    elif len(value.split()) > 1:
        yield Finding(path, number, f"{key}= holds a blank, and Darknet deletes it; rename the file")


def read_names(path: str | os.PathLike[str]) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """Class names, one a line, and what is wrong with them.

    Raises:
        DarkshareError: the file cannot be read.
    """
    names, faults = read_class_names(path)
    return names, tuple(Finding(Path(path), line, what, NAMES) for line, what in faults)


def class_names(
    data: DataFile, names: Sequence[str] | None = None, *, classify: bool = False
) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """The class names of a .data file: given ones, else those of the file that it names, else numbers.

    Args:
        data: the file.
        names: instead of those that it names.
        classify: read it as Darknet's classifier does, which knows `labels=` only (src/classifier.c); a detector knows
            `names=` only.

    Raises:
        DarkshareError: it has neither names nor their number, or is for the other kind of network.
    """
    key = "labels" if classify else "names"
    count = data.options.get("classes")
    if names is None and key not in data.options:
        _require_purpose(data, classify)
        if count is None or not count.value.isdecimal() or not 0 < int(count.value[:9]) <= LARGEST_TEXT:
            raise DarkshareError(f"has neither {key}= nor classes=; name the file of class names", file=str(data.path))
        missing = Finding(data.path, None, f"has no {key}=; the classes are called by their numbers")
        return tuple(map(str, range(int(count.value)))), (missing,)
    file, findings = (data.path, ()) if names is not None else named_file(data, key)
    known, odd = (tuple(names), ()) if names is not None else read_names(file)
    findings = (*findings, *odd)
    if not known:
        raise DarkshareError("holds no class names", file=str(file))
    if count and count.value != str(len(known)):
        wrong = f"classes={count.value}, but there are {len(known)} names"
        findings = (*findings, Finding(data.path, count.line, wrong))
    return known, findings


def _require_purpose(data: DataFile, classify: bool) -> None:
    """Refuse data for detectors where classes are wanted, and the other way round."""
    if classify:
        what = (
            "has no labels=, so this is data for detectors; for a classifier, name the file of its labels with labels="
        )
        raise DarkshareError(what, file=str(data.path))
    if data.classifies:
        what = (
            "classifies pictures (labels=) and has no boxes; for a detector, name the file of its classes with names="
        )
        raise DarkshareError(what, file=str(data.path), line=data.options["labels"].line)


def named_file(data: DataFile, key: str) -> tuple[Path, tuple[Finding, ...]]:
    """The file that a key of a .data file names, and the finding that it was found by the end of its path, or twice.

    Raises:
        DarkshareError: the key is missing, or names a file that does not exist.
    """
    option = data.options.get(key)
    if option is None or not option.value:
        near = f"; it has {' and '.join(data.parts)}" if data.parts else ""
        raise DarkshareError(f"has no {key}={near}", file=str(data.path))
    finder = finder_of(data.path, [option.value])
    try:
        found = finder(option.value)
    except DarkshareError as error:
        raise DarkshareError(f"{key}={error.message}", file=str(data.path), line=option.line) from None
    if found is None:
        where = f"here or in {data.path.parent}"
        raise DarkshareError(f"{key}={option.value}: no such file, {where}", file=str(data.path), line=option.line)
    what = f"{key}={option.value}: no such file; {found.path}, which ends like it, is taken"
    if finder.moved:
        return Path(found.path), (Finding(data.path, option.line, what),)
    own = data.path.parent / found.name
    if not exists(own) or os.path.samestat(own.stat(), found.status):
        return Path(found.path), ()
    what = f"{key}={option.value} is {found.path} of the current folder, as Darknet takes it, not {own}"
    return Path(found.path), (Finding(data.path, option.line, what, TWICE),)
