"""Rows become text, markdown, CSV or JSON. Our own twenty lines, because table libraries cost start-up time."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

PROGRAMS = ("csv", "json")  # the forms that are for them, not for people
FORMATS = ("text", "markdown", *PROGRAMS)
Row = Mapping[str, Any]


def render(rows: Sequence[Row], form: str) -> str:
    """Print rows that all have the same keys.

    Args:
        rows: one mapping per line, column name to value. A column without a name is `quantity` to programs.
        form: text, markdown, csv or json.
    """
    if form in PROGRAMS:
        rows = [{name or "quantity": value for name, value in row.items()} for row in rows]
    if form == "json":
        return json.dumps(_finite(list(rows)), indent=1)
    if not rows:
        return ""
    columns = list(rows[0])
    if form == "csv":
        file = io.StringIO()
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue().rstrip("\n")
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    if form == "markdown":
        cells = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    right = [all(_is_number(row[column]) for row in rows) for column in columns]
    return _aligned(cells, right, markdown=form == "markdown")


def printable(text: str) -> str:
    r"""One line of text for a terminal: what files hold must not move its cursor or break its encoding.

    >>> printable("[\x1b[31mconvolutional]")
    '[\\x1b[31mconvolutional]'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split()))


def _aligned(cells: list[list[str]], right: list[bool], *, markdown: bool) -> str:
    widths = [max(map(len, column), default=0) for column in zip(*cells, strict=True)]

    def line(row: list[str]) -> str:
        padded = [
            cell.rjust(width) if r else cell.ljust(width) for cell, width, r in zip(row, widths, right, strict=True)
        ]
        return "| " + " | ".join(padded) + " |" if markdown else "  ".join(padded).rstrip()

    rule = ["-" * (width - 1) + (":" if r else "-") for width, r in zip(widths, right, strict=True)]
    lines = [line(cells[0]), *([line(rule)] if markdown else []), *map(line, cells[1:])]
    return "\n".join(lines)


def _finite(value: Any) -> Any:
    """The same with null for infinity and NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return printable(str(value))
