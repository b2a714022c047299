"""Printing of results to stdout, and of everything about them to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import get_terminal_size
from time import perf_counter
from typing import Any

import click

from darkshare._files import PROMISED, read_names, write_all
from darkshare._tables import PROGRAMS, Result, printable, render, to_json
from darkshare._texts import to_escaped
from darkshare._version import __version__
from darkshare.cli import WORDS
from darkshare.cli.progress import is_quiet, put

MOST = 20  # files that `tell` names
WRITTEN = "darkshare.written"  # among what click keeps of the running command: the files that it has written


@dataclass(frozen=True, repr=False)
class WrittenFiles(Result):
    """The files that a command has written, for those that have nothing else to say.

    Attributes:
        paths: of the files.
        facts: what else is known, for JSON.
    """

    paths: Sequence[Path]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        return [{"file": str(path), "bytes": path.stat().st_size} for path in self.paths]

    def text(self, form: str = "text", room: int | None = None) -> str:
        """A name on each line; paths that are to be typed again are not shortened."""
        return "\n".join(printable(str(path)) for path in self.paths) if form == "text" else super().text(form, room)

    def as_dict(self) -> dict[str, Any]:
        return {**self.facts, **super().as_dict()}

    def summary(self) -> str:
        return f"{len(self.paths)} files"


def show(*results: Result, form: str = "text", output: str | None = None) -> None:
    """Print results: a table and its notes for people, rows for CSV, everything for JSON.

    JSON stands alone on stdout: one object, printed when the command ends, since only then all files are written. Below
    CSV, and where the table goes to a file, the notes go to stderr. Text fits the terminal, if stdout is one.
    """
    if form == "json":
        context = click.get_current_context(silent=True)
        if context is not None and output is None:
            context.call_on_close(lambda: put(to_json(envelope(results, context))))
        else:
            noted([output] if output else [])
            _put(to_json(envelope(results, context)), output)
        return
    if form in PROGRAMS or output is not None:
        tables = [render(result.rows() if form in PROGRAMS else result.table(), form) for result in results]
        _put("\n".join(filter(None, tables)), output)
        for result in results:
            say(*filter(None, [result.heading()]), *result.notes())
        return
    put("\n\n".join(filter(None, (result.text(form, room()) for result in results))))


def envelope(results: Sequence[Result], context: click.Context | None) -> dict[str, Any]:
    """The object that `--format json` prints, the same for all commands; see docs/reference/output.md."""
    described = [result.as_dict() for result in results]
    if len(described) == 1:
        facts = described[0]
        rows, notes = facts.pop("rows", []), facts.pop("notes", [])
    else:
        facts = {"results": described}
        rows = [{"file": one.get("file"), **row} for one in described for row in one.get("rows", ())]
        notes = [note for result in results for note in result.notes()]
    head: dict[str, Any] = {"command": context and context.info_name, "version": __version__}
    named = context.meta.get(WORDS, ()) if context else ()
    head["inputs"] = [
        one for one in read_names() if one in named or PROMISED.get(Path(one).suffix.lower()) not in _MANY
    ]
    head["options"] = _options(context) if context else {}
    written = list(dict.fromkeys(context.meta.get(WRITTEN, ()))) if context else []
    return {**head, **facts, "rows": rows, "written": written, "notes": notes}


_MANY = ("a picture", "a video", "text")  # what there may be thousands of; rows tell of each that counts


def _options(context: click.Context) -> dict[str, Any]:
    """The options of the running command that have a value, as they are called on the line."""
    options = (one for one in context.command.params if isinstance(one, click.Option))
    values = {max(one.opts, key=len).lstrip("-"): context.params.get(str(one.name)) for one in options}
    return {name: value for name, value in values.items() if value not in (None, ())}


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
    """Name the files that were written, on stderr and in JSON."""
    names = noted(paths)
    say(f"wrote {', '.join(names)}")


def noted(paths: Iterable[str | Path]) -> list[str]:
    """Name the files that were written in JSON alone."""
    names = list(map(str, paths))
    if context := click.get_current_context(silent=True):
        context.meta.setdefault(WRITTEN, []).extend(names)
    return names


def _put(text: str, output: str | None) -> None:
    if output is not None:
        write_all({Path(output): [to_escaped(f"{text}\n")]})
    elif text:
        put(text)
