"""Lists of pictures, one a line, and the files that their lines name, wherever a list was written."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from darkshare._images import PICTURES
from darkshare._texts import read_text
from darkshare.data.types import Finding
from darkshare.errors import DarkshareError

_TRIED = 1000  # lines of a list that show whether its paths are of this machine
_QUOTES = ('"', "'")


class Located(NamedTuple):
    """A file that a line names.

    Attributes:
        path: of the file.
        folder: where the path starts.
        name: the path from there on, with slashes and without quotes.
        status: of the file.
    """

    path: str
    folder: str
    name: str
    status: os.stat_result


class Listed(NamedTuple):
    """A picture of a list, its line there, and where it is: `name`, which starts at `folder`."""

    picture: Path
    line: int
    folder: str
    name: str


class Finder:
    """Find the files that the lines of a list name.

    A line is taken as it is written, with slashes for backslashes, without quotes around it, or with the characters
    that an address has as %20, from each of the folders. If nothing is there, the list may have been written elsewhere,
    so that the beginning of its paths means nothing: then the longest end of the path that exists in one of the folders
    is taken. A file name alone is such an end only in `home`, and only where `moved_whole` says that nothing of the
    list was found as written: else another file of its name would be taken for one that was deleted.

    Args:
        folders: to start relative paths at, the first ones first.
        home: the list's own folder.
        status: of a path, or None if it is not a file that may be meant.
        confined: whether no path leads out of the folders, as in files of strangers.
    """

    def __init__(
        self,
        folders: Iterable[str | os.PathLike[str]],
        home: str = "",
        status: Callable[[str], Any] | None = None,
        *,
        confined: bool = False,
    ) -> None:
        self.confined = confined
        self.folders = tuple(dict.fromkeys(_plain(str(folder)) for folder in folders))
        self._home, self._status = _plain(home), status or file_status
        self._listings: dict[str, frozenset[str]] = {}
        self._taken: dict[tuple[int, int], str] = {}
        self._example = ""
        self.moved = 0
        self.moved_whole = False

    def __call__(self, line: str) -> Located | None:
        """The file that a line names.

        Raises:
            DarkshareError: the end of the path fits several files, or that of another line fits the same file.
        """
        located = self.as_written(line)
        if located is None and (found := self.by_end(line)):
            return self._only(line, found)
        return located

    def as_written(self, line: str) -> Located | None:
        """The file of the whole path."""
        for spelling in _spellings(line):
            for folder in self.folders:
                name = _below(folder, spelling) if self.confined else spelling
                path = os.path.join(folder, name)  # noqa: PTH118 - many thousand times, and Path is slow
                if status := self._status(path):
                    return Located(path, folder, name, status)
        return None

    def said(self, lines: int | None = None) -> str:
        """Say how many files were found by the end of their path, or nothing.

        Args:
            lines: of the list; None where more may come.
        """
        many = "files are" if lines is None else f"{self.moved} of {lines} files were"
        return f"{many} found by the end of their path, such as {self._example}" if self.moved else ""

    def by_end(self, line: str) -> list[Located]:
        """The files of the longest end of a path that exists, one for each folder that has it."""
        parts = _parts(line)
        for start in range(len(parts)):
            alone = start == len(parts) - 1
            folders = self.folders if not alone else [self._home] if self.moved_whole else []
            places = [folder for folder in folders if parts[start] in self._listing(folder)]
            name = "/".join(parts[start:])
            paths = ((folder, os.path.join(folder, name)) for folder in places)  # noqa: PTH118
            found = [Located(path, folder, name, got) for folder, path in paths if (got := self._status(path))]
            if found:
                return found
        return []

    def _only(self, line: str, found: list[Located]) -> Located:
        first, whole = found[0], "/".join(_parts(line))
        key = first.status.st_dev, first.status.st_ino
        if other := next((one for one in found if (one.status.st_dev, one.status.st_ino) != key), None):
            both = f"{first.path} and {other.path}"
            raise DarkshareError(f"{line}: there is no such file, and both {both} end like it; correct the path")
        before = self._taken.setdefault(key, whole)
        if before != whole:
            raise DarkshareError(
                f"{line}: there is no such file, and {first.path}, which ends like it, is {before} already"
            )
        self._example = self._example or f"{line} as {first.path}"
        self.moved += 1
        return first

    def _listing(self, folder: str) -> frozenset[str]:
        """The names in a folder, read once."""
        if folder not in self._listings:
            try:
                with os.scandir(folder or ".") as entries:
                    self._listings[folder] = frozenset(entry.name for entry in entries)
            except (OSError, ValueError):
                self._listings[folder] = frozenset()
        return self._listings[folder]


def file_status(path: str) -> os.stat_result | None:
    """The status of a regular file, or None."""
    status = any_status(path)
    return status if status and stat.S_ISREG(status.st_mode) else None


def any_status(path: str) -> os.stat_result | None:
    """The status of what is at a path, or None."""
    try:
        return os.stat(path)  # noqa: PTH116 - many thousand times, and Path is slow
    except (OSError, ValueError):
        return None


def _plain(folder: str) -> str:
    return "" if folder == "." else folder


def inner_parts(path: str) -> list[str]:
    """The folders of a path and its file name, without a root or drive and without climbing above where it starts."""
    parts: list[str] = []
    for part in re.split(r"[\\/]", os.path.splitdrive(path)[1]):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def elsewhere(path: str) -> str:
    """Say that a path which leads out of where it starts is followed as far as it lies within; empty for another."""
    within = "/".join(inner_parts(path)) == path.replace("\\", "/").removeprefix("./").rstrip("/")
    return "" if within else ", and its path is not followed elsewhere"


def _below(folder: str, name: str) -> str:
    """The path in a folder that a name means: as it is if it lies there, else from its inner parts."""
    base = os.path.join(os.path.abspath(folder), "")  # noqa: PTH100, PTH118 - many thousand times, and Path is slow
    whole = os.path.abspath(os.path.join(base, name))  # noqa: PTH100, PTH118
    return whole.removeprefix(base) if whole.startswith(base) else "/".join(inner_parts(name))


def _parts(line: str) -> list[str]:
    """The folders of a path and its file name, as `inner_parts` gives them."""
    return inner_parts(_unquoted(line))


def _spellings(line: str) -> Iterator[str]:
    yield line
    bare = _unquoted(line)
    if bare != line:
        yield bare
    if "\\" in bare:
        yield bare.replace("\\", "/")
    if "%" in bare:
        from urllib.parse import unquote

        yield unquote(bare, errors="surrogateescape")


def _unquoted(line: str) -> str:
    return line[1:-1].strip() if len(line) > 2 and line[0] == line[-1] and line[0] in _QUOTES else line


def listed_pictures(
    path: Path,
    bases: Sequence[Path],
    watch: Callable[[Sequence[Any]], Iterable[Any]] = iter,
    *,
    confined: bool = False,
) -> Iterator[Listed | Finding]:
    """The pictures of a list that are files, and what is wrong with the other lines.

    Args:
        path: of the list.
        bases: folders to start relative paths at, beside the current one and the list's own.
        watch: goes through the lines.
        confined: as of `finder_of`.

    Raises:
        DarkshareError: the list cannot be read, or it is not clear which picture a line names.
    """
    text = read_text(path)
    if text.oddity:
        yield Finding(path, 1, f"{text.oddity}: Darknet does not find the first picture")
    lines = text.lines
    finder = finder_of(path, lines, bases, confined=confined)
    _require_pictures(path, lines, finder)
    seen: dict[tuple[int, int], int] = {}
    for number, line in watch(list(enumerate(lines, 1))):
        try:
            found = finder(line) if line else None
        except DarkshareError as error:
            raise error.locate(str(path), number) from None
        if found is None:
            outside = elsewhere(line) if confined else ""
            what = (
                f"{line}: no such picture{outside}; left out"
                if line
                else "an empty line is a picture to Darknet; left out"
            )
            yield Finding(path, number, what, "no such picture" if line else "")
            continue
        picture, status = Path(found.path), found.status
        if not status.st_size or picture.suffix.lower() not in PICTURES:
            why = "is not a picture by its name" if status.st_size else "an empty file is not a picture"
            yield Finding(path, number, f"{line}: {why}; left out", "not a picture")
            continue
        first = seen.setdefault((status.st_dev, status.st_ino), number)
        if first != number:
            what = f"{line}: the same picture as in line {first}; it counts twice"
            yield Finding(path, number, what, "picture twice")
        yield Listed(picture, number, found.folder, found.name)
    if moved := finder.said(len(lines)):
        yield Finding(path, None, f"{moved}; correct the list for Darknet")


def finder_of(
    path: Path,
    lines: Sequence[str],
    bases: Iterable[Path] = (),
    status: Callable[[str], Any] | None = None,
    *,
    confined: bool = False,
) -> Finder:
    """The finder of the files of a list.

    Args:
        path: of the list.
        lines: of it.
        bases: folders to start relative paths at, beside the current one and the list's own.
        status: as `Finder` takes it.
        confined: no line leads out of the bases and the list's own folder; the current one does not count.
    """
    folders = (*bases, path.parent) if confined else (Path(), *bases, path.parent)
    finder = Finder(folders, str(path.parent), status, confined=confined)
    finder.moved_whole = not any(finder.as_written(line) for line in lines[:_TRIED] if line)
    return finder


def _require_pictures(path: Path, lines: Sequence[str], finder: Finder) -> None:
    """Refuse a list none of whose first pictures is there: it is not a list, or this is not the folder to start in.

    Raises:
        DarkshareError: with the folders that were tried.
    """
    if not any(lines):
        raise DarkshareError("lists no pictures", file=str(path))
    if finder.moved_whole and not any(finder.by_end(line) for line in lines[:_TRIED] if line):
        tried = ", ".join(str(Path(folder).absolute()) for folder in finder.folders)
        first = next(filter(None, lines))[:200]
        raise DarkshareError(f"no picture that it lists is there, such as {first}; looked in {tried}", file=str(path))
