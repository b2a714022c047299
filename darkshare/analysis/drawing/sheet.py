"""A drawing in plain numbers: what a layout gives and a writer takes. Units are CSS pixels, y grows downwards."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Every paint by its name: as it is on white, and in a dark scheme. Tasks have Okabe and Ito's colours ("Color
# Universal Design", 2008), which colour-blind readers can tell apart, a little lighter on dark grounds.
TASK_PAINTS = (
    ("#0072B2", "#4BA8E8"),
    ("#E69F00", "#F0B030"),
    ("#009E73", "#2CC59B"),
    ("#CC79A7", "#DB92BC"),
    ("#D55E00", "#F58A3C"),
    ("#56B4E9", "#9AD4F7"),
)
PAINTS = {
    "ground": ("#FFFFFF", "#15181C"),
    "band": ("#F1F3F5", "#20252B"),
    "ink": ("#1B1F24", "#E9EDF1"),
    "muted": ("#59636E", "#A3ADB8"),
    "rule": ("#C4CAD1", "#454D56"),
    "link": ("#8A949E", "#7D8894"),
    "shared": ("#39424D", "#D0D7DF"),
    "on-dark": ("#FFFFFF", "#15181C"),
    "on-light": ("#15181C", "#15181C"),
    **{f"task{number}": paint for number, paint in enumerate(TASK_PAINTS)},
}


def task_paint(colour: int | None) -> str:
    """Name the paint of a task by its number; there are fewer paints than some networks have tasks."""
    return "muted" if colour is None else f"task{colour % len(TASK_PAINTS)}"


class Slab(NamedTuple):
    """A rectangle; a hollow one is an outline of dashes."""

    x: float
    y: float
    w: float
    h: float
    paint: str
    is_hollow: bool = False


class Dot(NamedTuple):
    """A circle around its middle."""

    x: float
    y: float
    r: float
    paint: str


class Stroke(NamedTuple):
    """A path: its first point, then either one further point or three, of a cubic curve, at a time.

    `ends` are the places of the layers that it connects.
    """

    start: tuple[float, float]
    steps: tuple[tuple[tuple[float, float], ...], ...]
    paint: str
    width: float
    ends: tuple[int, int] | None = None


class Caption(NamedTuple):
    """A line of text on its baseline; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    size: float
    anchor: str = "start"
    paint: str = "ink"
    is_bold: bool = False


Shape = Slab | Dot | Stroke | Caption


class LayerMarks(NamedTuple):
    """The shapes of one layer, and the field around them that stands for it."""

    place: int
    lane: int
    field: Slab
    shapes: tuple[Shape, ...]


@dataclass
class Sheet:
    """A whole drawing.

    Attributes:
        width: of the sheet.
        height: of the sheet.
        bands: what lies behind all.
        behind: what lies behind the layers.
        layers: each with its shapes.
        spoken: the whole in words, for those who do not see it.
    """

    width: float
    height: float = 0.0
    bands: list[Shape] = field(default_factory=list)
    behind: list[Shape] = field(default_factory=list)
    layers: list[LayerMarks] = field(default_factory=list)
    spoken: str = ""


class Screen(NamedTuple):
    """The room that a drawing is made for, in px.

    Attributes:
        columns: all layers together, where they fit.
        least: a layer's least width.
        margin: on all sides.
        labels: to the right of lanes, for the names of tasks; 0 leaves them out.
    """

    columns: float
    least: float
    margin: float
    labels: float

    @property
    def is_narrow(self) -> bool:
        """Say whether words lie above each other that else stand side by side."""
        return not self.labels


WIDE, NARROW = Screen(1120, 5, 20, 178), Screen(362, 2.5, 14, 0)  # a desk or a page; a phone


def text_width(text: str, size: float, *, is_bold: bool = False) -> float:
    """Estimate the width of a line in any sans serif font, rather too wide than too narrow."""
    return sum(map(_em, text)) * size * (1.07 if is_bold else 1)


def _em(char: str) -> float:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Mn"):
        return 0.0
    if unicodedata.east_asian_width(char) in "WF" or ord(char) > 0x1F000:
        return 1.4
    if char in "mwMW%@" or not char.isascii():
        return 1.0 if char not in "×·–…" else 0.82
    if char in "iljtf.,:;|'!()[] ":
        return 0.42
    return 0.72 if char.isupper() else 0.64


def first_fit(forms: Sequence[str], size: float, room: float, *, is_bold: bool = False) -> str:
    """The first of some forms of a text that fits a width; empty if none does."""
    return next((one for one in forms if text_width(one, size, is_bold=is_bold) <= room), "")


def fitted(text: str, size: float, room: float, *, is_bold: bool = False) -> str:
    """Cut a line to a width; what is left out becomes an ellipsis. Empty where not even two letters fit."""
    if text_width(text, size, is_bold=is_bold) <= room:
        return text
    kept = text[: int(room / size) * 3]
    while kept and text_width(kept + "…", size, is_bold=is_bold) > room:
        kept = kept[:-1]
    return f"{kept.rstrip()}…" if len(kept) > 1 else ""
