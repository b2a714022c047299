"""Names as pixels, in fonts that have their letters: DejaVu Sans, which matplotlib brings, OpenCV 5's, the system's."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darkshare._tables import printable
from darkshare.errors import warn

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Mask = NDArray[np.uint8]  # height x width, 255 where ink is
Runs = tuple[tuple[str, str], ...]  # (font, text): the path of a file, or one of the two below
DEJAVU, OPENCV = "dejavu", "opencv"
_PROBE = 20  # pixels, at which it is seen whether a font has a letter
_ABSENT = "\U0010ffff"  # no font has it, so what it shows there stands for every missing letter


@lru_cache(16)
def spelled(names: tuple[str, ...]) -> tuple[Runs, ...]:
    """Each name as runs of letters of one font; "class 3" in place of the fourth where it cannot be written.

    That is so where no font has one of its letters, or where letters must be joined, or go from right to left, and
    Pillow has no Raqm, which does that. A warning names them.
    """
    shown = [printable(name).replace("\N{VARIATION SELECTOR-16}", "") for name in names]
    fonts = _fonts_of(frozenset("".join(shown)))
    lost = [place for place, name in enumerate(shown) if not fonts.keys() >= set(name)]
    if lost:
        letters = "".join(dict.fromkeys(c for place in lost for c in shown[place] if c not in fonts))
        others = f" (and so for {len(lost) - 1} more)" if len(lost) > 1 else ""
        says = f"labels say class {lost[0]} for {shown[lost[0]]}{others}"
        warn(f"{says}: no font here can write {letters[:20]}; {_cure(letters)}")
    return tuple(
        plain(f"class {place}") if place in lost or not name else tuple(_runs(name, fonts))
        for place, name in enumerate(shown)
    )


def plain(text: str) -> Runs:
    """ASCII as runs."""
    return ((DEJAVU, text),)


def line_height(size: int) -> int:
    """The pixels from the highest accent to the lowest descender, at a size of letters."""
    return sum(_font(DEJAVU, size).getmetrics())


@lru_cache(1024)
def written(runs: Runs, size: int) -> Mask:
    """The runs beside one another, `line_height` high."""
    return np.hstack([_written(font, text, size) for font, text in runs])


@lru_cache(4096)
def _written(name: str, text: str, size: int) -> Mask:
    above, below = _font(DEJAVU, size).getmetrics()
    if name == OPENCV:
        import cv2

        face: Any = cv2.FontFace("uni")
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), face, size)
        mask = np.zeros((above + below, width + 1), np.uint8)
        cv2.putText(mask, text, (0, above), (255,), face, size)
        return mask
    from PIL import Image, ImageDraw

    font = _font(name, size)
    image = Image.new("L", (ceil(font.getlength(text)) + 1, above + below))
    ImageDraw.Draw(image).text((0, above), text, 255, font, anchor="ls")
    return np.asarray(image)


@lru_cache(64)
def _font(name: str, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    if name != DEJAVU:
        return ImageFont.truetype(name, size)
    import matplotlib as mpl

    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


def _runs(text: str, fonts: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Letters of one font together; what has no shape of its own goes with the letter before it."""
    chosen: list[str] = []
    for letter in text:
        chosen.append(fonts[letter] or (chosen[-1] if chosen else DEJAVU))
    for font, letters in groupby(zip(chosen, text, strict=True), key=lambda pair: pair[0]):
        yield font, "".join(letter for _, letter in letters)


def _fonts_of(letters: Iterable[str]) -> dict[str, str]:
    """The font for each letter, "" for any; without those that cannot be written."""
    wanted = {letter for letter in letters if _joins() or not _needs_layout(letter)}
    fonts = {letter: "" for letter in wanted if _is_shapeless(letter)}
    for name in _candidates():
        if not (open_ones := sorted(wanted - fonts.keys())):
            break
        fonts.update(dict.fromkeys(_those_in(name, open_ones), name))
    return fonts


def _candidates() -> Iterator[str]:
    import cv2

    yield DEJAVU
    if hasattr(cv2, "FontFace"):
        yield OPENCV
    from matplotlib.font_manager import findSystemFonts

    yield from sorted(findSystemFonts())


def _those_in(name: str, letters: Sequence[str]) -> list[str]:
    """The letters that a font has, of which it shows others than its sign for missing ones."""
    try:
        missing = _written(name, "?" if name == OPENCV else _ABSENT, _PROBE)
        drawn = {letter: _written(name, letter, _PROBE) for letter in letters}
    except OSError:  # a broken file, or one of pictures of one size
        return []
    return [letter for letter, mask in drawn.items() if letter == "?" or not np.array_equal(mask, missing)]


def _is_shapeless(letter: str) -> bool:
    return unicodedata.category(letter) in {"Zs", "Cf", "Mn"}


def _needs_layout(letter: str) -> bool:
    return unicodedata.bidirectional(letter) in {"R", "AL"} or unicodedata.category(letter) in {"Mn", "Mc"}


def _joins() -> bool:
    """Whether letters can be joined, and written from right to left."""
    from PIL import features

    return bool(features.check("raqm"))


def _cure(letters: str) -> str:
    if not _joins() and any(map(_needs_layout, letters)):
        return "it takes a Pillow with Raqm, such as its wheels on PyPI"
    return "install a font that has them: Noto has nearly all"
