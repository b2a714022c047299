"""Warnings of what is wrong with a data set that can be used all the same."""

from __future__ import annotations

from collections.abc import Sequence

from darkshare.data.types import Finding
from darkshare.errors import warn

SHOWN = 5


def warn_of(findings: Sequence[Finding], name: str) -> None:
    """Issue a `DarkshareWarning` for each of the first findings, and one that says how many more there are.

    Args:
        findings: of a data set.
        name: of the data set.
    """
    for finding in findings[:SHOWN]:
        warn(str(finding))
    if (more := len(findings) - SHOWN) > 0:
        warn(f"{more} more such notes about {name}; darkshare check has all")
