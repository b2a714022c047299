"""Signals that end a command: each is a KeyboardInterrupt, and held back until a piece of work is complete."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = {
    getattr(signal, name): word
    for name, word in (("SIGINT", "Interrupted"), ("SIGTERM", "Terminated"), ("SIGHUP", "Hung up"))
    if hasattr(signal, name)
}
_struck: list[int] = []  # in this command


@contextmanager
def stoppable(*, always: bool = False) -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does; what is ignored, as behind `nohup`, stays ignored.

    Behind a block that one of them ended, a further one ends the process at once. In other threads than the main one
    this does nothing.

    Args:
        always: not even then; a shell lets what runs in the background ignore Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: handler for one in ENDING if (handler := signal.getsignal(one)) is not None}
    _struck.clear()
    for one, handler in before.items():
        if always or handler != signal.SIG_IGN:
            signal.signal(one, _strike)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, signal.SIG_DFL if _struck else handler)


def _strike(number: int, _: FrameType | None) -> None:
    _struck.append(number)
    if number == getattr(signal, "SIGHUP", None):
        for handle in (1, 2):
            if os.isatty(handle):  # it is gone, and whatever is written there an error
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), handle)
    raise KeyboardInterrupt


def stopped() -> tuple[int, str]:
    """Give the exit code of a command that a signal ended, which is 128 and its number, and a word for it."""
    number = _struck[0] if _struck else signal.SIGINT
    return 128 + number, ENDING[signal.Signals(number)]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold signals that end a command back until the block has ended; then raise the first.

    Python gives signals to the main thread only; in other threads this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = {one: handler for one in ENDING if callable(handler := signal.getsignal(one))}
    for one in before:
        signal.signal(one, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if caught:
            signal.raise_signal(caught[0])
