"""Pages that open offline: one file with its style and script inside, and parts that they are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"  # loads nothing


def page_of(title: str, body: str, *folders: Path) -> str:
    """A whole page.

    Args:
        title: of its window.
        body: its content, as HTML.
        folders: that hold a `page.css` and perhaps a `page.js`; of styles that contradict, the last counts.
    """
    styles = [(folder / "page.css").read_text(encoding="utf-8") for folder in folders]
    scripts = [path.read_text(encoding="utf-8") for folder in folders if (path := folder / "page.js").is_file()]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{"".join(styles)}</style>
</head>
<body>
{body}<script>
{"".join(scripts)}</script>
</body>
</html>
"""


def figure_part(title: str, svg: str, prefix: str, *, is_open: bool = True) -> str:
    """A figure that can be folded; a prefix keeps the names inside two drawings apart."""
    named = re.sub(r'( id="|url\(#|href="#(?!row-))', rf"\g<1>{prefix}-", svg[svg.index("<svg") :])
    drawing = named.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    opened = " open" if is_open else ""
    return f'<details class="figure"{opened}><summary>{escape(title)}</summary><div>{drawing}</div></details>'


def table_part(rows: list[dict[str, Any]], meanings: Mapping[str, str] = {}, marks: Sequence[str] | None = None) -> str:
    """A table whose headings sort it, each with what it means as its title; `marks` are attributes of its rows."""

    def head(name: str) -> str:
        numbers = ' class="number"' if any(isinstance(row[name], int | float) for row in rows) else ""
        about = escape(meanings.get(name, name))
        return f'<th{numbers} scope="col" title="{about}"><button type="button">{escape(name)}</button></th>'

    heads = "".join(map(head, rows[0] if rows else meanings))
    marked = zip(rows, marks or [""] * len(rows), strict=True)
    body = "\n".join(f"<tr{mark}>{''.join(map(_cell, row.values()))}</tr>" for row, mark in marked)
    return f"<div class='scroll'><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"


def _cell(value: Any) -> str:
    """A cell that carries its full number for sorting and shows four digits of a fraction."""
    if value is None:
        return '<td class="none">-</td>'
    if isinstance(value, int | float):
        return f'<td class="number" data-value="{value!r}">{value:{"" if isinstance(value, int) else ".4g"}}</td>'
    return f"<td>{escape(str(value))}</td>"
