"""The differences of models as one page: figures and sortable tables in a single file that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from darkshare._files import write_all
from darkshare._texts import to_escaped
from darkshare._version import __version__
from darkshare.analysis import differences
from darkshare.analysis.columns import rows_of
from darkshare.analysis.differences import Comparison, Difference
from darkshare.analysis.page import figure_part, page_of, table_part
from darkshare.analysis.plots import differences_svg, row_anchor

HERE = Path(__file__).parent
COLUMNS = tuple(column for column in differences.COLUMNS if column.on_page)
_MEANINGS = {column.name: column.meaning for column in COLUMNS}


def write_html(comparisons: Sequence[Comparison], path: Path | str, *, k: int | Sequence[int] = ()) -> None:
    """Write the page, as a whole or not at all; see `Differences.write_html`."""
    write_all({Path(path): [to_escaped(page(comparisons, k=k))]})


def page(comparisons: Sequence[Comparison], *, k: int | Sequence[int] = ()) -> str:
    """The page as text."""
    title = f"What differs from {comparisons[0].base}" if comparisons else "Differences"
    verdicts = "".join(f"<li><b>{escape(one.other)}</b>: {escape(one.verdict)}</li>" for one in comparisons)
    body = f"""<h1>{escape(title)}</h1>
<ul class="verdicts">{verdicts}</ul>
{differences_part(comparisons, k=k)}
<p class="foot">darkshare {escape(__version__)}, space: {escape(comparisons[0].space)}. A heading sorts its column.</p>
"""
    return page_of(title, body, HERE)


def differences_part(
    comparisons: Sequence[Comparison], *, k: int | Sequence[int] = (), is_brief: bool = False,
    places: Sequence[Mapping[int, int]] = (),
) -> str:  # fmt: skip
    """The figures and the tables, as a part of a page.

    Args:
        comparisons: of one base with others.
        k: the cuts to mark.
        is_brief: leave out the rows of what is identical.
        places: of the layers in a drawing in the page, for the base and each of the others.
    """
    figures = [
        figure_part("By layer", differences_svg(comparisons, k=k), "linear"),
        figure_part("By layer, logarithmic", differences_svg(comparisons, k=k, log=True), "log", is_open=False),
    ]
    level = 3 if is_brief else 2
    tables = []
    for number, one in enumerate(comparisons):
        kept = [found for found in one.differences if found.relative != 0 or not is_brief]
        marks = [f' id="{escape(row_anchor(number, found))}"{_place(number, found, places)}' for found in kept]
        tables.append(
            f"<h{level}>{escape(one.other)}</h{level}>\n{table_part(rows_of(COLUMNS, kept), _MEANINGS, marks)}"
        )
    return "\n".join(['<div class="filtered">', *figures, *tables, "</div>"])


def _place(number: int, found: Difference, places: Sequence[Mapping[int, int]]) -> str:
    """The places in the drawing of the layers that a row is about, the other's first, as an attribute."""
    if not places:
        return ""
    pairs = ((places[number + 1], found.other_layer), (places[0], found.layer))
    known = dict.fromkeys(str(own[layer]) for own, layer in pairs if layer in own)
    return f' data-place="{" ".join(known)}"'
