"""The progress bar of every command: on stderr, and only where that is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import click

from darkshare._tables import printable

T = TypeVar("T")
_SHORT = 8  # columns of a bar with a text behind it
_NUMBERS = len("  100%  10d 00:00:00  ") + 1  # between them; the last column stays free
_LABEL, _INFO = 16, 52  # columns of the label of a bar, and of all that stands beside one that counts
QUIET = "darkshare.quiet"  # among what click keeps of the running command: say nothing but results and errors
CLEAR = "\r\x1b[K"  # moves to the start of the line and empties it


def is_quiet() -> bool:
    """Whether the running command was told to say results and errors only."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def put(text: str, *, err: bool = False) -> None:
    """Print text to stdout or stderr. If nobody reads there any more, as behind `| head`, the command goes on."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), (sys.stderr if err else sys.stdout).fileno())


def is_watched() -> bool:
    """Whether stderr is a terminal, and a bar is wanted there."""
    return sys.stderr.isatty() and not is_quiet()


def say_above(text: str, *, always: bool = False) -> None:
    """Print a line to stderr where the bar stands, which then appears below it again; `always` if it is an error."""
    if always or not is_quiet():
        put(f"{CLEAR if is_watched() else ''}{printable(text)}", err=True)


def bar(length: int | None = None, *, label: str = "", shows_text: bool = False) -> AbstractContextManager[Any]:
    """A bar to be moved with `update(steps)`, or `update(steps, text)`; None where stderr is not a terminal.

    A text is cut to what fits behind a short bar: a line that is too long for the terminal would be left at each step.
    """
    if not is_watched():
        return nullcontext()
    if not shows_text:
        return click.progressbar(length=length, label=printable(label), file=sys.stderr)
    template = "%(label)s%(bar)s  %(info)s"
    room = _columns() - len(label) - _SHORT - _NUMBERS
    return click.progressbar(
        length=length, label=printable(label), item_show_func=lambda text: text and text[: max(room, 0)],
        bar_template=template, width=_SHORT, file=sys.stderr,
    )  # fmt: skip


def _columns() -> int:
    """The columns of the terminal that stderr is, wherever stdout goes."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def watched(
    items: Iterable[T],
    length: int | None = None,
    *,
    label: str = "",
    least: int = 0,
    show: Callable[[], str] | None = None,
) -> Iterator[T]:
    """Go through items with a bar.

    Args:
        items: any iterable.
        length: how many they are, where they do not know it; None is unknown.
        label: before the bar.
        least: with fewer items there is no bar.
        show: gives the text behind the bar.
    """
    count = len(items) if length is None and isinstance(items, Sequence) else length
    if not is_watched() or (count is not None and count < least):
        yield from items
        return
    text = None if show is None else (lambda item: show())
    label = printable(label)[:_LABEL]
    width = min(30, max(_SHORT, _columns() - 1 - len(label) - _INFO))
    with click.progressbar(
        items, count, label=label, show_pos=True, item_show_func=text, file=sys.stderr, width=width
    ) as shown:
        yield from shown


def watcher(label: str = "", *, least: int = 0) -> Callable[[Sequence[T]], Iterable[T]]:
    """`watched` with a label, as library functions take it for `watch`."""
    return lambda items: watched(items, label=label, least=least)
