"""The differences of models as one page: figures and sortable tables in a single file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from darkshare._files import write_all
from darkshare._texts import to_escaped
from darkshare._version import __version__
from darkshare.analysis import differences
from darkshare.analysis.differences import Comparison
from darkshare.analysis.page import figure_part, page_of, table_part
from darkshare.analysis.plots import differences_svg

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


def differences_part(comparisons: Sequence[Comparison], *, k: int | Sequence[int] = (), is_brief: bool = False) -> str:
    """The figures and the tables, as a part of a page; a brief one has no rows of what is identical."""
    figures = [
        figure_part("By layer", differences_svg(comparisons, k=k), "linear"),
        figure_part("By layer, logarithmic", differences_svg(comparisons, k=k, log=True), "log", is_open=False),
    ]
    level = 3 if is_brief else 2
    tables = [f"<h{level}>{escape(one.other)}</h{level}>\n{_table(one, is_brief=is_brief)}" for one in comparisons]
    return "\n".join([*figures, *tables])


def _table(comparison: Comparison, *, is_brief: bool) -> str:
    rows = [{name: row[name] for name in _MEANINGS} for row in comparison.rows()]
    return table_part([row for row in rows if row["relative"] != 0 or not is_brief], _MEANINGS)
