"""Results and their tables: text, markdown, CSV, JSON, HTML. Our own, since libraries cost start-up time."""

from __future__ import annotations

import csv
import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from pandas import DataFrame

PROGRAMS = ("csv", "json")  # the forms that are for them, not for people
FORMATS = ("text", "markdown", *PROGRAMS)
SUFFIXES = {"text": ".txt", "markdown": ".md", "csv": ".csv", "json": ".json"}  # of files with these forms
Row = Mapping[str, Any]
T = TypeVar("T")
MOST_HTML = 60  # rows that a notebook shows
WIDTH = 80  # columns of a line that people read
PATH = 16  # columns that a path keeps where it is shortened
NEXT = "next: "  # what stands before a command to paste


class Result(ABC):
    """A table with notes, as every function that answers a question returns it.

    `print` shows it as the command does. A subclass gives `rows` and `summary`, and overrides the others where it has
    more to say.
    """

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """One mapping per line, all with the same keys; numbers at full precision."""

    @abstractmethod
    def summary(self) -> str:
        """The result in a few words, for `repr`."""

    def table(self) -> list[dict[str, Any]]:
        """The rows as people look at them: fewer columns where `rows` has too many."""
        return self.rows()

    def heading(self) -> str:
        """The line above the table."""
        return ""

    def notes(self) -> list[str]:
        """The lines below the table."""
        return []

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        return {"rows": self.rows(), "notes": self.notes()}

    def text(self, form: str = "text", room: int | None = None) -> str:
        """Everything that people read, as plain text or as markdown; text in lines of at most `room` columns."""
        heading, *notes = (fitted(line, room) for line in (self.heading(), *self.notes()))
        above = filter(None, (heading, render(self.table(), form, room)))
        return "\n\n".join(filter(None, ("\n".join(above), "\n".join(notes))))

    def to_dataframe(self) -> DataFrame:
        """The rows as a pandas table."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {printable(self.summary())}>"

    def _repr_html_(self) -> str:
        return to_html(self.table(), self.notes(), self.heading())


@dataclass(frozen=True, repr=False)
class Results(Result, Sequence[T]):
    """A result that is a sequence of values, one for each model or question.

    Attributes:
        items: the values.
    """

    items: tuple[T, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...

    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.items[index]


def without(rows: Sequence[Row], *columns: str) -> list[dict[str, Any]]:
    """Rows without some columns, such as numbers of classes, which programs want and people do not."""
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def to_html(rows: Sequence[Row], notes: Sequence[str] = (), heading: str = "") -> str:
    """The first `MOST_HTML` rows as an HTML table, with its heading and its notes, as a notebook shows them."""
    from html import escape

    def line(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

    columns = list(rows[0]) if rows else []
    shown = [line([_cell(row[column]) for column in columns], "td") for row in rows[:MOST_HTML]]
    more = [f"{len(rows) - MOST_HTML} more rows"] if len(rows) > MOST_HTML else []
    table = f"<table>{line(columns, 'th')}{''.join(shown)}</table>" if rows else ""
    above, *below = [f"<p>{escape(printable(line))}</p>" if line else "" for line in (heading, *more, *notes)]
    return above + table + "".join(below)


def render(rows: Sequence[Row], form: str, room: int | None = None) -> str:
    """Print rows that all have the same keys.

    Args:
        rows: one mapping per line, column name to value. A column without a name is `quantity` to programs.
        form: text, markdown, csv or json.
        room: columns of the terminal that text has to fit: paths are shortened, and what is still too wide becomes
            several tables, one below the other, which all begin with the first columns.
    """
    if form in PROGRAMS:
        rows = [{name or "quantity": value for name, value in row.items()} for row in rows]
    if form == "json":
        return to_json(list(rows))
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
    if room is None or form != "text":
        return _aligned(cells, right, markdown=form == "markdown")
    cells = _with_short_paths(cells, room)
    parts = _parts(cells, room)
    tables = ([[row[place] for place in part] for row in cells] for part in parts)
    return "\n\n".join(_aligned(one, [right[i] for i in part]) for one, part in zip(tables, parts, strict=True))


def to_json(value: Any) -> str:
    """Plain values as JSON; infinity and NaN, which it does not have, as null, and paths as text."""
    return json.dumps(_finite(value), indent=1, default=str)


def printable(text: str) -> str:
    r"""One line of text for a terminal: what files hold must not move its cursor or break its encoding.

    >>> printable("[\x1b[31mconvolutional]")
    '[\\x1b[31mconvolutional]'
    """
    if text.isprintable() and "  " not in text and not text.endswith(" "):
        return text
    indent = " " * (len(text) - len(text.lstrip(" ")))
    line = indent + " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def wrapped(text: str, width: int = WIDTH) -> list[str]:
    """Break a line of words into lines of at most `width` columns, of which all but the first are indented."""
    from textwrap import wrap

    return wrap(text, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def fitted(text: str, room: int | None) -> str:
    """One line of text for a terminal, broken between words if it is longer; a command to paste stays one line."""
    line = printable(text)
    return line if room is None or len(line) <= room or NEXT in line else "\n".join(wrapped(line, room))


def columns_of(text: str) -> int:
    """Count the columns that printable text takes on a terminal: wide characters take two, accents above others none.

    >>> columns_of("車 cafe\u0301")
    7
    """
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def shortened(path: str, room: int) -> str:
    """Leave out the middle of a path that takes more columns than there is room for; its end says more.

    >>> shortened("models/of/last/summer/yolov3.cfg", 20)
    'models…er/yolov3.cfg'
    """
    if columns_of(path) <= room:
        return path
    name = columns_of(path.rpartition("/")[2]) + 1
    ahead = min((room - 1) // 3, room - 1 - name if name < room else room)
    front, back = "", ""
    for c in path:
        if columns_of(front + c) > ahead:
            break
        front += c
    for c in reversed(path):
        if columns_of(c + back) > room - 1 - columns_of(front):
            break
        back = c + back
    return f"{front}…{back}"


def runs(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Numbers as runs of neighbours, (start, stop).

    >>> runs([0, 1, 2, 5])
    ((0, 3), (5, 6))
    """
    found: list[tuple[int, int]] = []
    for number in numbers:
        start = found.pop()[0] if found and found[-1][1] == number else number
        found.append((start, number + 1))
    return tuple(found)


def ranges(numbers: Iterable[int], dash: str = "-") -> str:
    """Numbers as people write them.

    >>> ranges([0, 1, 2, 5])
    '0-2, 5'
    """
    return ", ".join(f"{a}" if b == a + 1 else f"{a}{dash}{b - 1}" for a, b in runs(numbers))


def _widths(cells: list[list[str]]) -> list[int]:
    return [max(map(columns_of, column)) for column in zip(*cells, strict=True)]


def _are_paths(cells: Sequence[str]) -> bool:
    """Whether there are paths among cells, and no sentences."""
    return any("/" in cell for cell in cells) and not any(mark in cell for cell in cells for mark in (", ", ": ", "; "))


def _with_short_paths(cells: list[list[str]], room: int) -> list[list[str]]:
    """The same with paths shortened, the widest column first, until all fit or no path can be shorter."""
    widths = _widths(cells)
    paths = {i for i, (_, *column) in enumerate(zip(*cells, strict=True)) if _are_paths(column)}
    while (over := sum(widths) + 2 * len(widths) - 2 - room) > 0:
        wide = [place for place in paths if widths[place] > PATH]
        if not wide:
            break
        place = max(wide, key=widths.__getitem__)
        widths[place] = max(PATH, widths[place] - over)
    return [[shortened(cell, widths[i]) if i in paths else cell for i, cell in enumerate(row)] for row in cells]


def _parts(cells: list[list[str]], room: int) -> list[list[int]]:
    """The columns of each table that fits; those that tell rows apart, if they are few and narrow, begin every one."""
    widths = _widths(cells)
    known = next((n for n in (1, 2, 3) if len({tuple(row[:n]) for row in cells}) == len(cells)), 1)
    keys = list(range(known if sum(widths[:known]) + 2 * known <= room // 2 else 1))
    parts, used = [list(keys)], sum(widths[i] + 2 for i in keys)
    for place in range(len(keys), len(widths)):
        if used + widths[place] > room and len(parts[-1]) > len(keys):
            parts.append(list(keys))
            used = sum(widths[i] + 2 for i in keys)
        parts[-1].append(place)
        used += widths[place] + 2
    return parts


def _aligned(cells: list[list[str]], right: list[bool], *, markdown: bool = False) -> str:
    least = 2 if markdown else 0  # room for the "-:" below a heading
    widths = [max(least, width) for width in _widths(cells)]

    def line(row: list[str]) -> str:
        padded = []
        for cell, width, r in zip(row, widths, right, strict=True):
            blanks = " " * (width - columns_of(cell))
            padded.append(blanks + cell if r else cell + blanks)
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
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return printable(str(value))
