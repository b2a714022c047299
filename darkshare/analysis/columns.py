"""The columns of a table, each declared once: its value, its meaning, and where it is shown.

Rows, the table that people see, the HTML page and the table of the docs all follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from darkshare._tables import Row
from darkshare.analysis.boxplot import Spread

SPREAD = tuple(field.name for field in fields(Spread))


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its heading, and its key in a row.
        meaning: in a few words, for the docs and the HTML page.
        value: computes its value from what the row is about; without it, the attribute called `name`.
        shown: whether people see it: True, False, or what decides it from all rows.
        on_page: whether the HTML page has it.
    """

    name: str
    meaning: str
    value: Callable[[Any], Any] | None = None
    shown: bool | Callable[[Sequence[Row]], bool] = True
    on_page: bool = False

    def of(self, thing: Any) -> Any:
        """The value for a thing."""
        return self.value(thing) if self.value else getattr(thing, self.name)

    def is_shown(self, rows: Sequence[Row]) -> bool:
        """Whether people see the column in a table of these rows."""
        return self.shown(rows) if callable(self.shown) else self.shown


def filled(name: str) -> Callable[[Sequence[Row]], bool]:
    """Show a column only where one of its values says something."""
    return lambda rows: any(row[name] for row in rows)


def spread(field: str, name: str) -> Callable[[Any], float | None]:
    """Compute a number of a `Spread`, which may be missing."""
    return lambda thing: getattr(getattr(thing, field), name, None)


def rows_of(columns: Iterable[Column], things: Iterable[Any]) -> list[dict[str, Any]]:
    """One row for each thing, with all columns."""
    columns = tuple(columns)
    return [{column.name: column.of(thing) for column in columns} for thing in things]


def shown_columns(columns: Iterable[Column], rows: Sequence[Row]) -> list[str]:
    """The names of the columns that people see."""
    return [column.name for column in columns if column.is_shown(rows)]
