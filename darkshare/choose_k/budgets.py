"""Budgets of a device, as they are typed: `flops<=0.5`, `mb<=12`, `ms<=30`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from darkshare.errors import BadValue

UNITS = {"flops": "% of the separate networks' FLOPs", "mb": "MB of weights", "ms": "ms"}  # as people read them
_WRITTEN = re.compile(r"\s*(\w+)\s*<?=\s*(\d+\.?\d*|\.\d+)\s*(%?)\s*", re.ASCII)


@dataclass(frozen=True)
class Budget:
    """The most that all networks of a device may take together.

    Attributes:
        unit: flops, a share of the operations of separate networks; mb, 10^6 bytes of weights; ms, of a forward pass.
        most: in that unit.
    """

    unit: str
    most: float

    def __str__(self) -> str:
        return f"{self.unit}<={self.most:g}"


def read_budget(text: str) -> Budget:
    """Read a budget; `=` is read as `<=`, which a shell wants in quotes, and 50% as 0.5.

    Raises:
        BadValue: another unit, or not a number above 0.
    """
    found = _WRITTEN.fullmatch(text)
    unit, number, percent = found.groups() if found else ("", "0", "")
    most = float(number) / (100 if percent else 1)
    if unit not in UNITS or most <= 0 or (percent and unit != "flops"):
        raise BadValue(f"{text[:40]!r} is not a budget; write flops<=0.5 (or 50%), mb<=12 or ms<=30, in quotes")
    return Budget(unit, most)
