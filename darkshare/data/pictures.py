"""The pictures that files of other programs describe, found by the names in these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

from darkshare._images import PICTURES
from darkshare.data.lists import elsewhere, inner_parts
from darkshare.data.types import Fault

NEAR = ("", "JPEGImages", "images", "../JPEGImages", "../images")  # folders of pictures, seen from that of the file
NO_PICTURE = "no picture"  # the kind of finding


class Pictures:
    """The pictures that files describe; each folder is listed once.

    A name never leads out of the folders, for the file may be a stranger's. Links in them are followed: they are the
    user's, and data sets are often made of links.

    Args:
        folders: where to look first, and below.
        near: where else, seen from the folder of the file.
    """

    def __init__(self, folders: Sequence[Path], near: Sequence[str]) -> None:
        self._folders, self._near = tuple(map(str, folders)), near
        self._places: dict[str, tuple[str, ...]] = {}
        self._listings: dict[str, dict[str, list[str]]] = {}

    def of(self, file: Path, name: str, *, alone: bool) -> tuple[Path | None, Fault | None]:
        """The picture and what there is to say about it, or why there is none.

        A file that describes one picture has its stem: it goes with the picture when both are renamed, and the name in
        it does not. Where several pictures have the stem, the suffix in it decides.

        Args:
            file: that describes the picture.
            name: of the picture, as the file has it.
            alone: whether the file describes no other one.
        """
        tails = _tails(name)
        own = [file.stem + (_suffix(tails[-1]) if tails else "")] if alone else []
        places = self._near_to(str(file.parent))
        for wanted in (own, tails):
            for exactly in (True, False):
                for tail in wanted:
                    found = self._first(places, tail, exactly=exactly)
                    if len(found) > 1:
                        both = " and ".join(found)
                        return None, Fault(f"there are {both}, and it does not say which; left out", "two pictures")
                    if found:
                        doubt = self._other(found[0], places, tails) if alone else _shortened(found[0], tail, tails)
                        return Path(found[0]), doubt
        what = f"no picture of this name and no '{name}'" if alone else f"no picture '{name}'"
        return None, Fault(f"{what} near it{elsewhere(name)}; left out", NO_PICTURE)

    def _near_to(self, folder: str) -> tuple[str, ...]:
        if folder not in self._places:
            self._places[folder] = (*self._folders, *(str(Path(folder, near)) for near in self._near))
        return self._places[folder]

    def _first(self, places: Sequence[str], tail: str, *, exactly: bool) -> list[str]:
        """The pictures of this name, or of the same stem, in the first folder that has any."""
        folder, _, name = tail.rpartition("/")
        for place in places:
            found = self._listing(f"{place}/{folder}" if folder else place).get(_stem(name), [])
            if found := [path for path in found if path.endswith(f"/{name}")] if exactly else found:
                return found
        return []

    def _other(self, found: str, places: Sequence[str], tails: Sequence[str]) -> Fault | None:
        """Say where the name in the file is another picture's."""
        if not tails or _stem(tails[-1]) == _stem(found.rpartition("/")[2]):
            return None
        other = next((paths[0] for tail in tails if (paths := self._first(places, tail, exactly=True))), None)
        what = f"names {other}, but is taken for {found}, whose stem it has"
        return Fault(what, "two names") if other else None

    def _listing(self, folder: str) -> dict[str, list[str]]:
        """The pictures in a folder by their stems."""
        if folder not in self._listings:
            listing: dict[str, list[str]] = {}
            try:
                names = sorted(entry.name for entry in os.scandir(folder))
            except (OSError, ValueError):
                names = []
            for name in filter(_suffix, names):
                listing.setdefault(_stem(name), []).append(f"{folder}/{name}")
            self._listings[folder] = listing
        return self._listings[folder]


def _tails(name: str) -> list[str]:
    """A path without its first folders, from none of them to all."""
    parts = inner_parts(name)
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _shortened(found: str, tail: str, tails: Sequence[str]) -> Fault | None:
    what = f"'{tails[0]}' is taken for {found}"
    whole = tail == tails[0] or found.endswith(f"/{tails[0]}")
    return None if whole else Fault(what, "found by the end of its path")


def _suffix(name: str) -> str:
    """The suffix of a picture; others are part of its name."""
    suffix = os.path.splitext(name)[1]  # noqa: PTH122 - many thousand times, and Path is slow
    return suffix if suffix.lower() in PICTURES else ""


def _stem(name: str) -> str:
    """The name without the suffix, composed: macOS writes an accent as a character of its own."""
    stem = name.removesuffix(_suffix(name))
    return stem if stem.isascii() else normalize("NFC", stem)
