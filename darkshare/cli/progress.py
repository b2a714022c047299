"""The progress bar of every command: on stderr, and only where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import click

from darkshare._tables import printable

T = TypeVar("T")
CLEAR = "\r\x1b[K"  # moves to the start of the line and empties it


def is_watched() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr.isatty()


def say_above(text: str) -> None:
    """Print a line to stderr where the bar stands, which then appears below it again."""
    click.echo(f"{CLEAR if is_watched() else ''}{printable(text)}", err=True)


def bar(length: int | None = None, *, label: str = "", shows_text: bool = False) -> AbstractContextManager[Any]:
    """A bar to be moved with `update(steps)`, or `update(steps, text)`; None where stderr is not a terminal."""
    if not is_watched():
        return nullcontext()
    show: Callable[[Any], str | None] | None = (lambda text: text) if shows_text else None
    return click.progressbar(length=length, label=printable(label), item_show_func=show, file=sys.stderr)


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
    with click.progressbar(
        items, count, label=printable(label), show_pos=True, item_show_func=text, file=sys.stderr
    ) as shown:
        yield from shown


def watcher(label: str = "", *, least: int = 0) -> Callable[[Sequence[T]], Iterable[T]]:
    """`watched` with a label, as library functions take it for `watch`."""
    return lambda items: watched(items, label=label, least=least)
