"""Findings for people: folded by kind, as warnings, as a file."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from darkshare._files import write_all
from darkshare._tables import render
from darkshare.data.types import Finding
from darkshare.errors import DarkshareError, warn

SHOWN = 3  # of each kind
KINDS = 8  # that are shown


class NothingLeft(DarkshareError):
    """A data set of which nothing can be used; the message ends in the first reason."""

    def __init__(self, message: str, *, file: str | None = None, findings: Sequence[Finding] = ()) -> None:
        more = f"; {len(findings) - 1} more findings" if len(findings) > 1 else ""
        super().__init__(f"{message}; {findings[0]}{more}" if findings else message, file=file)
        self.findings = tuple(findings)


def joined(parts: Iterable[Sequence[Finding]]) -> tuple[Finding, ...]:
    """The findings of several parts; what was found in one is not said again for another."""
    found: list[Finding] = []
    for part in parts:
        before = set(found)
        found += (one for one in part if one not in before)
    return tuple(found)


def by_kind(findings: Sequence[Finding]) -> Mapping[str, list[Finding]]:
    """The findings of each kind, in order."""
    found: dict[str, list[Finding]] = defaultdict(list)
    for one in findings:
        found[one.kind or one.text].append(one)
    return found


def counts_of(findings: Sequence[Finding]) -> dict[str, int]:
    """Count the findings of each kind."""
    return {kind: len(ones) for kind, ones in by_kind(findings).items()}


def folded(findings: Sequence[Finding], rest: str) -> list[str]:
    """Lines that show the first findings of each kind, and how many there are of it.

    Args:
        findings: in any order.
        rest: what has them all, for the lines that say that some are not shown.
    """
    kinds = by_kind(findings)
    lines: list[str] = []
    for kind, ones in list(kinds.items())[:KINDS]:
        lines += map(str, ones[:SHOWN])
        if len(ones) > SHOWN:
            what = f"findings of this kind ({kind})" if ones[0].kind else "such findings"
            lines.append(f"{len(ones)} {what}, {SHOWN} are shown; {rest} has all")
    if others := list(kinds.values())[KINDS:]:
        lines.append(f"{sum(map(len, others))} findings of {len(others)} more kinds; {rest} has all")
    return lines


def rows_of(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings as plain values."""
    return [{"file": str(one.path), "line": one.line, "message": one.text, "kind": one.kind} for one in findings]


@contextmanager
def telling(found: Sequence[Finding], into: str | os.PathLike[str] | None) -> Iterator[None]:
    """Add what was found to an error, and write it to a file in any case, one a line; as a table to a .csv.

    Raises:
        DarkshareError: that of the block; or the file cannot be written.
    """
    try:
        yield
    except DarkshareError as error:
        error.findings = found = joined([found, error.findings])
        raise
    finally:
        if into is not None:
            table = Path(into).suffix.lower() == ".csv"
            text = render(rows_of(found), "csv") if table else "\n".join(map(str, found))
            write_all({Path(into): [f"{text}\n".encode("utf-8", "surrogateescape")]})


def warn_of(findings: Sequence[Finding]) -> None:
    """Issue a `DarkshareWarning` for each line that `folded` gives."""
    for line in folded(findings, "darkshare check"):
        warn(line)
