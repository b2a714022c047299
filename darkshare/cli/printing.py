"""Printing of results to stdout, and of everything about them to stderr."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from darkshare._files import write_all
from darkshare._tables import PROGRAMS, Result, printable, render, to_json
from darkshare._texts import to_escaped


def show(*results: Result, form: str = "text", output: str | None = None) -> None:
    """Print results: a table and its notes for people, rows for CSV, everything for JSON.

    JSON stands alone on stdout: one object, or a list of them where there are several results. Below CSV, and where the
    table goes to a file, the notes go to stderr.
    """
    if form == "json":
        described = [result.as_dict() for result in results]
        _put(to_json(described[0] if len(described) == 1 else described), output)
        return
    if form in PROGRAMS or output is not None:
        tables = [render(result.rows() if form in PROGRAMS else result.table(), form) for result in results]
        _put("\n".join(filter(None, tables)), output)
        for result in results:
            say(*filter(None, [result.heading()]), *result.notes())
        return
    click.echo("\n\n".join(filter(None, (result.text(form) for result in results))))


def say(*lines: str) -> None:
    """Print lines to stderr."""
    for line in lines:
        click.echo(printable(line), err=True)


def wrote(paths: Iterable[str | Path]) -> None:
    """Name the files that were written, on stderr."""
    say(f"wrote {', '.join(map(str, paths))}")


def _put(text: str, output: str | None) -> None:
    if output is not None:
        write_all({Path(output): [to_escaped(f"{text}\n")]})
    elif text:
        click.echo(text)
