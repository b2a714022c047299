"""The types of option values that click does not have."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from darkshare._files import exists


class Written(click.ParamType):  # type: ignore[type-arg]
    """A value that a function reads from what was typed; its ValueError is the message."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value; one that is not a text has been converted before."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _by(what: str, text: str) -> tuple[int, int]:
    """Two numbers with an x between them, or one for both; `what` says what they are and gives examples."""
    width, by, height = text.lower().partition("x")
    try:
        return int(width), int(height if by else width)
    except ValueError:
        raise ValueError(f"{text!r} is not {what}") from None


def _numbers(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise ValueError(f"{text!r} is not a list of whole numbers; write 0,41,74")
    return tuple(map(int, words))


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and len(text) < 20):
        raise ValueError(f"{text!r} is not a stretch of layers; write 74-106")
    return int(first), int(last)


def _share(text: str) -> float:
    """A share written as 1% or 0.01; 3 alone may be meant as 3 %, so it is refused."""
    most = math.inf if text.strip().endswith("%") else 1
    try:
        number = float(text.strip().removesuffix("%")) / (100 if most > 1 else 1)
    except ValueError:
        number = -1
    if not 0 <= number <= most or number == math.inf:
        raise ValueError(f"{text!r} is not a share; write 1% or 0.01")
    return number


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor 'dynamic'") from None


def _rate(text: str) -> float | str:
    from darkshare.training.settings import AUTO

    return text if text == AUTO else click.FloatRange(0, min_open=True)(text)


def _cut(text: str) -> int | str:
    from darkshare.training.settings import AUTO

    return text if text == AUTO else click.IntRange(1)(text)


def _named_level(text: str) -> tuple[str, float]:
    task, _, number = text.rpartition("=")
    return task, click.FloatRange(0, 1)(number)


def _named_points(text: str) -> tuple[str, float]:
    task, _, number = text.rpartition("=")
    return task, click.FloatRange(0)(number)


def _named_overlap(text: str) -> tuple[str, list[float | str]]:
    from darkshare.inference.boxes import AGNOSTIC

    task, _, words = text.rpartition("=")
    level = click.FloatRange(0, 1)
    try:
        found = [word if word == AGNOSTIC else level(word) for word in map(str.strip, words.split(","))]
    except click.BadParameter as error:
        raise ValueError(f"{error.message.rstrip('.')}; write 0.4, {AGNOSTIC}, or 0.4,{AGNOSTIC}") from None
    if len(set(found) - {AGNOSTIC}) > 1:
        raise ValueError(f"{text!r} has two levels; write 0.4, {AGNOSTIC}, or 0.4,{AGNOSTIC}")
    return task, found


def _named_file(text: str) -> tuple[str, str]:
    """NAME=FILE, or a file alone, whose name may hold an = itself."""
    name, equals, file = text.partition("=")
    return ("", text) if not equals or os.sep in name or exists(text) else (name, file)


def _renaming(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals):
        raise ValueError(f"{text!r} does not say OLD=NEW")
    return old, new


def choices(known: tuple[str, ...]) -> Written:
    """One or more of these words, separated by commas."""
    one = click.Choice(known)
    return Written("|".join(known), lambda text: tuple(one(word.strip()) for word in text.split(",")))


SIZE = Written("WxH", partial(_by, "a size; write 416 or 416x320"))
SPAN = Written("FIRST-LAST", _span)
TILES = Written("COLUMNSxROWS", partial(_by, "a number of tiles; write 2x2 or 3x2"))
NAMES = Written("A,B,...", lambda text: tuple(name.strip() for name in text.split(",") if name.strip()))
RATE = Written("RATE|auto", _rate)
CUT = Written("K|auto", _cut)
NUMBERS = Written("N,N,...", _numbers)
SHARE = Written("percent", _share)
BATCH = Written("N|dynamic", _batch)
LEVEL = Written("[TASK=]LEVEL", _named_level)
POINTS = Written("[TASK=]POINTS", _named_points)
OVERLAP = Written("[TASK=]LEVEL|agnostic", _named_overlap)
NAMED_FILE = Written("[TASK=]FILE", _named_file)
RENAMING = Written("OLD=NEW", _renaming)
