"""Sources by name: a picture, folder, pattern, list, video, camera, stream or standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from darkshare._files import is_file, reading
from darkshare._images import PICTURES, SEVERAL, FilePictures, all_pictures, header, pictures
from darkshare._texts import is_wide, read_text, streamed_lines
from darkshare.data.lists import Finder, any_status, finder_of
from darkshare.errors import BadValue, DarkshareError, warn
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.videos import SUFFIXES as VIDEOS
from darkshare.inference.media.videos import Video

STDIN = "-"
_PORTABLE_MAPS = (b"P4\n", b"P5\n", b"P6\n", b"P7\n")  # pictures that may have no NUL byte; names never have one
Admit = Callable[[str], None]
Names = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def admit_all(name: str) -> None:
    """Refuse no file."""


class Item(Protocol):
    """Something that gives frames when it is asked to."""

    @property
    def name(self) -> str:
        """The name that the user gave."""

    def length(self, step: int = 1, limit: int | None = None) -> int | None:
        """Count the frames that will come; None where that is not known."""

    def frames(self, step: int = 1, limit: int | None = None) -> Iterator[Frame]:
        """Decode them; DarkshareError where that cannot go on."""


class PictureFile(NamedTuple):
    """A picture on disk, or several in one file; with their alpha, where the network reads that."""

    name: str
    alpha: bool = False

    def length(self, step: int = 1, limit: int | None = None) -> int:
        if Path(self.name).suffix.lower() not in SEVERAL:
            return 1
        try:
            return _taken(header(self.name).pictures, step, limit)
        except DarkshareError:
            return 1

    def frames(self, step: int = 1, limit: int | None = None) -> Iterator[Frame]:
        return _frames(self.name, all_pictures(self.name, alpha=self.alpha), step, limit)


class EncodedPicture(NamedTuple):
    """The content of a picture file, such as came through standard input."""

    name: str
    data: bytes
    alpha: bool = False

    def length(self, step: int = 1, limit: int | None = None) -> int:
        return 1

    def frames(self, step: int = 1, limit: int | None = None) -> Iterator[Frame]:
        return _frames(self.name, pictures(self.data, self.name, alpha=self.alpha), step, limit)


def _frames(name: str, found: FilePictures, step: int, limit: int | None) -> Iterator[Frame]:
    taken = islice(enumerate(found.each, 1), 0, None if limit is None else limit * step, step)
    return (Frame(name, image, number=number, paged=found.total > 1) for number, image in taken)


def _taken(count: int, step: int, limit: int | None) -> int:
    """Count the frames that are taken of so many."""
    whole = -(-count // step)
    return min(whole, limit or whole)


class Broken(NamedTuple):
    """A name that means nothing; its error comes where its frames would."""

    name: str
    error: DarkshareError

    def length(self, step: int = 1, limit: int | None = None) -> int:
        return 1

    def frames(self, step: int = 1, limit: int | None = None) -> Iterator[Frame]:
        raise self.error


class Selection(NamedTuple):
    """The items that are known at the start, and those that come through standard input later on."""

    known: tuple[Item, ...]
    later: Iterable[Item] = ()

    def length(self, step: int = 1, limit: int | None = None) -> int | None:
        """Count the frames that will come; None where that is not known."""
        lengths = [item.length(step, limit) for item in self.known]
        return None if self.later or None in lengths else sum(filter(None, lengths))

    def frames(
        self, step: int = 1, limit: int | None = None, admit: Admit = admit_all,
        apart: Callable[[Video], None] | None = None,
    ) -> Generator[Frame, None, None]:  # fmt: skip
        """All frames in order; what cannot be read comes as a frame with an error.

        Args:
            step: of videos, take every step-th frame.
            limit: of each video, take no more frames than that.
            admit: called with the name of each file before it is read; it may refuse with a DarkshareError.
            apart: takes the cameras and streams, which are then left out here.
        """
        for item in chain(self.known, self.later):
            if apart and isinstance(item, Video) and not item.is_file:
                apart(item)
            else:
                yield from safely(item.name, partial(item.frames, step, limit), admit)


def safely(name: str, frames: Callable[[], Iterator[Frame]], admit: Admit) -> Iterator[Frame]:
    """The frames of a source; where it cannot be read, or not on, its error comes as the last one."""
    try:
        admit(name)
        yield from frames()
    except DarkshareError as error:
        yield Frame(name, error=error)


def require_counts(*, reconnect: float = 0.0, **counts: int | None) -> None:
    """Refuse counts below 1, where None means no limit, and a negative time.

    Raises:
        BadValue: one of them, by its name.
    """
    if not reconnect >= 0:
        raise BadValue(f"reconnect must be at least 0, not {reconnect}")
    for name, count in counts.items():
        if count is not None and count < 1:
            raise BadValue(f"{name} must be at least 1, not {count}")


def select(names: Names, stdin: IO[bytes] | None = None, *, alpha: bool = False) -> Selection:
    """Find out what names mean; what is named twice counts once.

    Args:
        names: one or more files, folders, patterns, .txt lists, videos, numbers of cameras, addresses, or "-" for
            standard input, which may hold one encoded picture or a list of names.
        stdin: instead of the program's own.
        alpha: read the fourth channel of pictures, too.
    """
    known: dict[str, Item] = {}
    later: Iterable[Item] = ()
    given = [names] if isinstance(names, str | os.PathLike) else names
    for name in dict.fromkeys(os.fspath(one) for one in given):
        if name == STDIN:
            picture, later = _piped(stdin or sys.stdin.buffer)
            known.update({one.name: one for one in picture})
            continue
        try:
            items: Iterable[Item] = [item_of(leaf) for leaf in _expanded(name)]
        except DarkshareError as error:
            items = [Broken(name, error)]
        for item in items:
            known.setdefault(item.name, item)
    if not alpha:
        return Selection(tuple(known.values()), later)
    return Selection(tuple(map(_with_alpha, known.values())), later and map(_with_alpha, later))


def _with_alpha(item: Item) -> Item:
    return item._replace(alpha=True) if isinstance(item, PictureFile | EncodedPicture) else item


def item_of(name: str) -> Item:
    """A single camera, stream, video or picture."""
    if "\0" in name:
        return Broken(name, DarkshareError("is not the name of a file", file=name))
    if name.isdecimal():
        return Video(f"camera-{name}", int(name))
    if "://" in name or name.startswith("/dev/") or Path(name).suffix.lower() in VIDEOS:
        return Video(name, name)
    return PictureFile(name)


def _expanded(name: str) -> Iterable[str]:
    """Expand a name."""
    return next(expand(name) for means, expand in _EXPANSIONS if means(name))


def _in_folder(name: str) -> list[str]:
    with reading(name):
        found = sorted(str(path) for path in Path(name).iterdir() if _is_medium(path))
    if not found:
        raise DarkshareError("is a folder without a picture or video", file=name)
    return found


def _matching(name: str) -> list[str]:
    found = sorted(path for path in glob.iglob(name, recursive=True) if _is_medium(Path(path)))  # noqa: PTH207 - Path has no absolute patterns
    if not found:
        raise DarkshareError("matches no picture or video", file=name)
    return found


def _listed(name: str) -> list[str]:
    """The names in a list, as in Darknet's train.txt; see `Finder` for where they are looked for."""
    path = Path(name)
    lines = [line for line in read_text(path).lines if line]
    if not lines:
        raise DarkshareError("is a list without a name", file=name)
    finder = finder_of(path, lines, status=any_status)
    try:
        found = [_placed(line, finder) for line in lines]
    except DarkshareError as error:
        raise error.locate(name, None) from None
    if moved := finder.said(len(lines)):
        warn(f"{name}: {moved}")
    return found


def _placed(line: str, finder: Finder) -> str:
    located = None if "://" in line else finder(line)
    return located.path if located else line


_EXPANSIONS: tuple[tuple[Callable[[str], Any], Callable[[str], Iterable[str]]], ...] = (
    (os.path.isdir, _in_folder),
    (lambda name: "://" not in name and glob.has_magic(name) and not _exists(name), _matching),
    (lambda name: name.lower().endswith(".txt"), _listed),
    (lambda name: True, lambda name: [name]),
)


def _exists(name: str) -> bool:
    return any_status(name) is not None


def _is_medium(path: Path) -> bool:
    return path.suffix.lower() in PICTURES | VIDEOS and is_file(path)


def _piped(stdin: Any) -> tuple[list[Item], Iterable[Item]]:
    """(the picture that standard input holds, the items of the list that it is)."""
    head: bytes = stdin.read1(8192)
    if (b"\0" in head and not is_wide(head)) or head[:3] in _PORTABLE_MAPS:
        return [EncodedPicture("stdin", head + stdin.read())], ()
    if not head:
        return [
            Broken("stdin", DarkshareError("standard input is empty; pipe a picture or a list of names into it"))
        ], ()
    return [], _from_lines(head, stdin)


def _from_lines(head: bytes, stdin: IO[bytes]) -> Iterator[Item]:
    """One item per line, as soon as the line is there."""
    finder, said = Finder([""], status=any_status), False
    for line in filter(None, streamed_lines(head, stdin)):
        try:
            yield item_of(_placed(line, finder))
        except DarkshareError as error:
            yield Broken(line, error)
        if finder.moved and not said:
            said = True
            warn(f"stdin: {finder.said()}")
