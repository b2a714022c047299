"""Errors and warnings, one closed family: every message says where, what and what to do.

A traceback is a bug in darkshare; a `DarkshareError` is a fact about the user's files.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)


class DarkshareError(ValueError):
    """The root of all errors that darkshare raises on purpose.

    Args:
        message: what is wrong and, after it, what to do.
        file: the file the message speaks of, if any.
        line: the line in that file, counted from 1, if known; 0 and None are unknown.
    """

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line or None  # a section that was made here has no line yet

    def __str__(self) -> str:
        if not self.file:
            return self.message
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.message}"

    def locate(self, file: str | None, line: int | None) -> DarkshareError:
        """Fill in the place where it is still unknown, and return the error itself."""
        if self.file is None and file:
            self.file = file
        if self.line is None:
            self.line = line or None
        return self


class CfgSyntaxError(DarkshareError):
    """The text is not a Darknet cfg that any fork reads."""


class UnknownKind(DarkshareError):
    """A section name that the dialect does not know."""


class BadValue(DarkshareError):
    """A key whose value no network can be built from."""


class BadArguments(DarkshareError):
    """Arguments that contradict each other, or that would do nothing; the command line takes them for wrong usage."""


class BadReference(DarkshareError):
    """A layer index that points to itself, forward, before the start or out of the part."""


class ShapeMismatch(DarkshareError):
    """Layers that do not fit together."""


class WeightsSize(DarkshareError):
    """A weights file that is too short or too long for its cfg."""


class TrunkMismatch(DarkshareError):
    """Two networks that do not share the layers they should."""


class Unsupported(DarkshareError):
    """A valid layer or option that darkshare cannot handle; the message names it."""


class DarkshareWarning(UserWarning):
    """A fact that the user should know although nothing failed; the command line prints it to stderr."""


def require_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a value that is not one of a few words.

    Raises:
        BadValue: with the words.
    """
    if value not in choices:
        raise BadValue(f"{name} {str(value)[:40]} must be {' or '.join(choices)}")


def warn(message: str) -> None:
    """Issue a `DarkshareWarning` that points to the line outside of darkshare which called it."""
    depth, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, DarkshareWarning, stacklevel=depth)
