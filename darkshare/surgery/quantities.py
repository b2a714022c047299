"""Tables whose rows are quantities: layers, parameters, operations of what was and of what was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from darkshare._tables import Result, Row


class Quantities(Result):
    """A result whose first column names a quantity, which people need no heading for."""

    def table(self) -> list[dict[str, Any]]:
        return self.untitled(self.rows())

    @staticmethod
    def untitled(rows: Sequence[Row]) -> list[dict[str, Any]]:
        """The rows without the heading."""
        return [{"" if key == "quantity" else key: value for key, value in row.items()} for row in rows]
