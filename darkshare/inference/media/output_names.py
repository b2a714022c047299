"""Names for the files of a run: none of them twice, none over an input."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

from darkshare._files import is_file, keep, resolved
from darkshare.errors import DarkshareError
from darkshare.inference.media.frames import Frame


class OutputNames:
    """The folder that a run writes to, and the names in it that are taken.

    Args:
        folder: it is made when the first file is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}
        self._inside: dict[Path, bool] = {}
        self._video: tuple[str, str] = ("", "")
        self._streams: dict[str, str] = {}

    def admit(self, name: str) -> None:
        """Refuse an input that lies where outputs go.

        Raises:
            DarkshareError: it does, and so could be replaced.
        """
        if "\0" in name:  # not the name of a file
            return
        keep(name)  # now, for another one's output may come before it is read
        path = Path(name)
        inside = self._inside.get(path.parent)
        if inside is None:
            inside = self._inside[path.parent] = resolved(path.parent) == resolved(self.folder)
        if inside and is_file(path):
            raise DarkshareError(
                "is an input and would be replaced; choose another -o", file=str(self.folder / path.name)
            )

    def stem(self, frame: Frame) -> str:
        """The name, without suffix, of what belongs to a frame: numbered where two sources have the same."""
        if not frame.is_numbered:
            return self._new_stem(frame.source)
        if frame.clip and frame.clip.apart:
            if frame.source not in self._streams:
                self._streams[frame.source] = self._new_stem(frame.source)
            return self._streams[frame.source]
        if self._video[0] != frame.source:
            self._video = (frame.source, self._new_stem(frame.source))
        return self._video[1]

    def _new_stem(self, source: str) -> str:
        bare = source.partition("?")[0].rstrip("/") if "://" in source else source
        wanted = re.sub(r"[^\w.-]+", "-", Path(bare).stem) if "://" in source else Path(bare).stem
        first = self._next.get(wanted, 1)
        number = next(n for n in count(first) if _numbered(wanted, n) not in self._taken)
        self._next[wanted] = number + 1
        self._taken.add(_numbered(wanted, number))
        return _numbered(wanted, number)


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"
