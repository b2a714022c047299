"""The differences of models as one page: figures and sortable tables in a single file that opens offline.

Everything is inside: figures as SVG, a few lines of script for sorting, and a content security policy that forbids
the page to load anything at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from darkshare._files import write_all
from darkshare._texts import to_escaped
from darkshare._version import __version__
from darkshare.analysis import differences
from darkshare.analysis.differences import Comparison
from darkshare.analysis.plots import differences_svg

HERE = Path(__file__).parent
COLUMNS = tuple(column for column in differences.COLUMNS if column.on_page)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_html(comparisons: Sequence[Comparison], path: Path | str, *, k: int | Sequence[int] = ()) -> None:
    """Write the page, as a whole or not at all; see `Differences.write_html`."""
    write_all({Path(path): [to_escaped(page(comparisons, k=k))]})


def page(comparisons: Sequence[Comparison], *, k: int | Sequence[int] = ()) -> str:
    """The page as text."""
    title = escape(f"What differs from {comparisons[0].base}") if comparisons else "Differences"
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    verdicts = "".join(f"<li><b>{escape(one.other)}</b>: {escape(one.verdict)}</li>" for one in comparisons)
    tables = "\n".join(_table(one) for one in comparisons)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<h1>{title}</h1>
<ul class="verdicts">{verdicts}</ul>
{_figure("By layer", differences_svg(comparisons, k=k), "linear", is_open=True)}
{_figure("By layer, logarithmic", differences_svg(comparisons, k=k, log=True), "log", is_open=False)}
{tables}
<p class="foot">darkshare {escape(__version__)}, space: {escape(comparisons[0].space)}. A heading sorts its column.</p>
<script>
{script}</script>
</body>
</html>
"""


def _figure(title: str, svg: str, prefix: str, *, is_open: bool) -> str:
    """A figure in the page; a prefix keeps the names inside two drawings apart."""
    named = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{prefix}-", svg[svg.index("<svg") :])
    drawing = named.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    opened = " open" if is_open else ""
    return f'<details class="figure"{opened}><summary>{escape(title)}</summary><div>{drawing}</div></details>'


def _table(comparison: Comparison) -> str:
    heads = "".join(
        f'<th scope="col" title="{escape(one.meaning)}"><button type="button">{escape(one.name)}</button></th>'
        for one in COLUMNS
    )
    body = "\n".join(f"<tr>{''.join(_cells(row))}</tr>" for row in comparison.rows())
    return (
        f"<h2>{escape(comparison.other)}</h2>\n<div class='scroll'><table>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _cells(row: dict[str, Any]) -> Iterator[str]:
    """Cells that carry their full number for sorting and show four digits of it."""
    for column in COLUMNS:
        value = row[column.name]
        if value is None:
            yield '<td class="none">-</td>'
        elif isinstance(value, str):
            yield f"<td>{escape(value)}</td>"
        else:
            yield f'<td class="number" data-value="{value!r}">{escape(f"{value:.4g}")}</td>'
