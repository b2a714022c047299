"""The common part of all figures: colours, formats, and a file that is written whole.

Matplotlib's objects and its default style are used: no window, no global state, no trace of the user's own settings.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from darkshare._files import write_all
from darkshare.errors import BadValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

# Okabe and Ito, "Color Universal Design", 2008: blue, orange, green, purple.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
GREY = "#767676"
FORMATS: dict[str, dict[str, Any]] = {  # without dates: the same numbers give the same bytes
    "png": {"dpi": 120, "metadata": {"Software": "darkshare"}},
    "svg": {"metadata": {"Date": None, "Creator": "darkshare"}},
    "pdf": {"metadata": {"CreationDate": None, "Creator": "darkshare"}},
}
NARROWEST, WIDEST = 1.0, 100.0  # inches, of a figure
SMALLEST, LARGEST = 1.0, 100.0  # points, of its letters


class Look(TypedDict, total=False):
    """The look of a figure in place of its own, as `plot` of every result takes it.

    Attributes:
        width: in inches; the height stays.
        font_size: in points, of numbers and labels; others keep their ratio to it.
        title: above all; "" leaves it out.
    """

    width: float | None
    font_size: float | None
    title: str | None


def figure_format(path: Path | str, kind: str = "figure", pages: Sequence[str] = ()) -> str:
    """The format that a file name asks for.

    Args:
        path: the file.
        kind: what it is to be, for the message.
        pages: formats beside FORMATS.

    Raises:
        BadValue: it is none of these.
    """
    known = (*pages, *FORMATS)
    found = Path(path).suffix.lower().removeprefix(".")
    if found in known:
        return found
    *others, last = (f".{name}" for name in known)
    raise BadValue(f"no such kind of {kind}; end its name in {', '.join(others)} or {last}", file=str(path))


def write_figure(path: Path | str, draw: Callable[[], Figure], **look: Unpack[Look]) -> None:
    """Draw a figure into a .png, .svg or .pdf file, which is replaced as a whole.

    Raises:
        BadValue: a look that no figure can have, or in which this one has no room.
        DarkshareError: another suffix, or the file cannot be written; what `draw` raises.
    """
    form = figure_format(path)
    size = look.get("font_size")
    for name, value, least, most in (
        ("width", look.get("width"), NARROWEST, WIDEST),
        ("font_size", size, SMALLEST, LARGEST),
    ):
        if value is not None and not least <= value <= most:
            raise BadValue(f"{name}={value:g} must be {least:g} to {most:g}", file=str(path))

    def looked() -> Figure:
        figure = draw()
        if (width := look.get("width")) is not None:
            figure.set_figwidth(width)
        if (title := look.get("title")) is not None:
            figure.suptitle(drawable(title), wrap=True)
        return figure

    with warnings.catch_warnings():
        warnings.filterwarnings("error", "constrained_layout not applied")
        try:
            content = rendered(looked, form, **({} if size is None else {"font.size": size}))
        except UserWarning:
            raise BadValue(
                "the figure has no room in it: make it wider, or its letters smaller", file=str(path)
            ) from None
    write_all({Path(path): [content]})


def rendered(draw: Callable[[], Figure], form: str, **settings: Any) -> bytes:
    """A figure in one of FORMATS, drawn with matplotlib's default settings and these."""
    from matplotlib import rc_context, style

    file = io.BytesIO()
    chosen: Any = {"svg.hashsalt": "darkshare", **settings}
    with style.context("default"), rc_context(chosen):
        draw().savefig(file, format=form, **FORMATS[form])
    return file.getvalue()


def drawable(text: str) -> str:
    """A name in letters that matplotlib's own font has, others as escapes, none of them read as a formula."""
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    letters = FT2Font(findfont("DejaVu Sans")).get_charmap()
    shown = "".join(c if ord(c) in letters else c.encode("unicode_escape").decode() for c in text)
    return shown.replace("$", r"\$")


def legend_columns(texts: Sequence[str], inches: float) -> int:
    """Columns of a legend of these texts for which there is room, at least one."""
    from matplotlib import rcParams

    letter = 0.0075 * rcParams["font.size"]  # inches
    return min(len(texts), max(1, int(inches / max(0.5 + letter * len(text) for text in texts))))


def label_above(axes: Axes, x: float, text: str, row: int) -> None:
    """A label above the axes at x; rows count upwards."""
    from matplotlib import rcParams

    axes.annotate(
        text,
        xy=(x, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 3 + 1.2 * rcParams["font.size"] * row),
        textcoords="offset points",
        ha="center",
        weight="bold",
    )
