"""Faults inside a process: a call of the system that fails, is cut short, or that the process does not survive.

Every opening, renaming, linking, making and removing is a step, which Python announces to its audit hooks; so is every
write, flush to the disk and copy. Only steps below one folder count, so that imports are none.
"""

from __future__ import annotations

import builtins
import errno
import io
import mmap
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

NAMES = {"os.rename", "os.link", "os.symlink", "os.mkdir"}  # steps that make a name
REMOVALS = {"os.remove", "os.rmdir"}
# What the system answers, and the steps that it answers so.
ERRORS = {
    "ENOSPC": NAMES | {"create", "write"},
    "EIO": NAMES | REMOVALS | {"open", "create", "write", "fsync"},
    "EACCES": NAMES | REMOVALS | {"open", "create"},
    "EROFS": NAMES | REMOVALS | {"create"},
}
ALL = ERRORS["EIO"]
CODES = ["", *sorted(ALL)]
MOST = 100_000  # steps
Act = Callable[..., None]  # of the number of the step, its kind, and its path if it has one


class Steps:
    """The steps of this process, counted where its parent sees them, and what happens at each.

    Args:
        folder: below which they count.
        kinds: that count.
        act: what happens, by the number of the step from 1.
        short: whether every write takes a third.
    """

    def __init__(self, folder: Path, kinds: set[str] = ALL, act: Act | None = None, *, short: bool = False) -> None:
        self._folder, self._kinds = str(folder), kinds
        self._numbers = count(1)
        self._shared = mmap.mmap(-1, MOST)
        self._act, self._short = act, short

    @property
    def seen(self) -> list[str]:
        """The kinds of the steps that there were."""
        return [CODES[code] for code in self._shared[: self._shared.find(b"\0")]]

    def watch(self) -> None:
        """Begin to count, in a process that has nothing else to do."""
        sys.addaudithook(self._hook)
        own: Any = os
        own.fsync, own.sendfile = self._flushing(os.fsync), self._copying(os.sendfile)
        builtins.open = io.open = self._opening(io.open)

    def step(self, kind: str, *path: object) -> None:
        """Count one, and let happen what happens then."""
        if kind in self._kinds:
            number = next(self._numbers)
            self._shared[min(number, MOST) - 1] = CODES.index(kind)
            if self._act:
                self._act(number, kind, *path)

    def _hook(self, event: str, given: tuple[Any, ...]) -> None:
        kind = "create" if event == "open" and given[2] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR) else event
        inside = [path for path in given[: 1 if event == "open" else 2] if self._is_inside(path)]
        if kind in self._kinds and inside:
            self.step(kind, *inside[:1])

    def _is_inside(self, path: object) -> bool:
        if isinstance(path, bytes | str):
            return os.path.abspath(os.fsdecode(path)).startswith(self._folder)  # noqa: PTH100 - links stay as they are
        return False

    def _flushing(self, fsync: Callable[[Any], None]) -> Callable[[Any], None]:
        def counted(handle: Any) -> None:
            self.step("fsync")
            fsync(handle)

        return counted

    def _copying(self, sendfile: Callable[..., int]) -> Callable[..., int]:
        def counted(*given: Any) -> int:
            self.step("write")
            return sendfile(*given)

        return counted

    def _opening(self, opened: Callable[..., Any]) -> Callable[..., Any]:
        """Files that are written, with a class of ours below their buffers."""
        steps = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                view = memoryview(data).cast("B")
                steps.step("write")
                return super().write(view[: len(view) // 3 + 1] if steps._short else view) or 0

        def counted(
            file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
            newline: Any = None, closefd: bool = True, opener: Any = None,
        ) -> Any:  # fmt: skip
            if not set(mode) & set("wax+"):
                return opened(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            if buffering == 0:
                return raw
            buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

        return counted


def kill(at: int) -> Act:
    """Kill this process before its step of this number."""

    def act(number: int, kind: str, *path: str) -> None:
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def pause(at: int) -> Act:
    """Stop this process before its step of this number, until somebody lets it go on."""

    def act(number: int, kind: str, *path: str) -> None:
        if number == at:
            os.kill(os.getpid(), signal.SIGSTOP)

    return act


def fail(name: str, at: int, *, stays: bool) -> Act:
    """Refuse the step of this number, and all behind it where the fault stays."""

    def act(number: int, kind: str, *path: str) -> None:
        if number == at or (stays and number > at):
            code = getattr(errno, name)
            raise OSError(code, os.strerror(code), *path)

    return act


def note_opened(folder: Path, log: int) -> None:
    """Note in a file what this process opens in a folder."""

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(given[0], str):
            path = os.path.abspath(given[0])  # noqa: PTH100 - links stay as they are
            if path.startswith(f"{folder}/") and not os.path.isdir(path):  # noqa: PTH112 - in every opening
                os.write(log, f"{path}\n".encode())

    sys.addaudithook(hook)
