"""Printing of results to stdout, and of everything about them to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from shutil import get_terminal_size
from time import perf_counter

from darkshare._files import read_names, write_all
from darkshare._tables import PROGRAMS, Result, printable, render, to_json
from darkshare._texts import to_escaped
from darkshare._version import __version__
from darkshare.cli.progress import is_quiet, put

MOST = 20  # files that `tell` names


def show(*results: Result, form: str = "text", output: str | None = None) -> None:
    """Print results: a table and its notes for people, rows for CSV, everything for JSON.

    JSON stands alone on stdout: one object, or a list of them where there are several results. Below CSV, and where the
    table goes to a file, the notes go to stderr. Text fits the terminal, if stdout is one.
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
    put("\n\n".join(filter(None, (result.text(form, room()) for result in results))))


def room() -> int | None:
    """The columns of the terminal that stdout is; None where it is not one."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


def say(*lines: str) -> None:
    """Print lines to stderr, unless the command is quiet."""
    if lines and not is_quiet():
        put("\n".join(map(printable, lines)), err=True)


def tell(begun: float) -> None:
    """Say what a command read, and what it took."""
    names = read_names()
    more = [f"{len(names) - MOST} more"] if len(names) > MOST else []
    say(f"darkshare {__version__} read {', '.join([*names[:MOST], *more]) or 'no file'}")
    say(f"took {perf_counter() - begun:.1f} s")


def wrote(paths: Iterable[str | Path]) -> None:
    """Name the files that were written, on stderr."""
    say(f"wrote {', '.join(map(str, paths))}")


def _put(text: str, output: str | None) -> None:
    if output is not None:
        write_all({Path(output): [to_escaped(f"{text}\n")]})
    elif text:
        put(text)
