"""Errors and warnings, one closed family: every message says where, what and what to do; and the check of arguments.

A traceback is a bug in darkshare; a `DarkshareError` is a fact about the user's files.
"""

from __future__ import annotations

import inspect
import os
import re
import reprlib
import sys
import types
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

P = ParamSpec("P")
R = TypeVar("R")
_PACKAGE = str(Path(__file__).parent)
_UNIONS = (Union, types.UnionType)
_TRUTHS = ("bool", "bool_")  # numpy's have these names; importing numpy for them would cost every start
_MODULES = re.compile(r"\b(?:\w+\.)+")


class DarkshareError(ValueError):
    """The root of all errors that darkshare raises on purpose.

    Args:
        message: what is wrong and, after it, what to do.
        file: the file the message speaks of, if any.
        line: the line in that file, counted from 1, if known; 0 and None are unknown.

    Attributes:
        findings: each `data.Finding` about a data set until then.
    """

    findings: tuple[Any, ...] = ()

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
        if self.line is None and self.file in (None, file):  # a line of the cfg is none of the weights
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


def require_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """Refuse a name that is not among the known ones.

    Raises:
        BadValue: with the names that are near it, or else the first known ones.
    """
    among = set(known)
    for name in names:
        if name in among:
            continue
        few = list(dict.fromkeys(known))
        there = f"; there are {', '.join(few[:20])}{', …' if len(few) > 20 else ''}"
        raise BadValue(f"there is no {what} '{name}'{meant(name, known) or there}")


def meant(name: str, known: Iterable[str], shown: Mapping[str, str] | None = None) -> str:
    """Ask, behind a message, for the known names that are near one that is not known; empty where none is.

    Args:
        name: the one that is not known.
        known: the others.
        shown: what is printed for each of them, if that is not the name itself.
    """
    import difflib

    lower = {one.lower(): one for one in reversed(list(known))}
    found = [lower[one] for one in difflib.get_close_matches(name.lower(), lower, n=3)]
    near = [f"'{shown[one] if shown else one}'" for one in found]
    return f"; is {' or '.join(near)} meant?" if near else ""


def require_least(least: float, *, open_end: bool = False, **given: float | None) -> None:
    """Refuse numbers that are too small; None is not checked.

    Args:
        least: the smallest number that is allowed.
        open_end: whether it is not allowed itself.
        given: the numbers by name.

    Raises:
        BadValue: with the first of them.
    """
    for name, value in given.items():
        if value is not None and not (value > least or (value == least and not open_end)):
            raise BadValue(f"{name}={value} must be {'more than' if open_end else 'at least'} {least:g}")


def warn(message: str) -> None:
    """Issue a `DarkshareWarning` that points to the line outside of darkshare which called it."""
    depth, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, DarkshareWarning, stacklevel=depth)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let a public function refuse arguments whose type is not the one of its signature.

    Otherwise they fail somewhere deep inside, with an error that does not say which argument was wrong, or mean
    something else than was meant. Numbers of numpy count as Python's. A missing argument is Python's TypeError.

    Raises:
        BadValue: the first of them, by the function from then on.
    """
    place = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = _signature(function).bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # which raises it in Python's words
        for name, value in given.arguments.items():
            _require(place, _signature(function).parameters[name], _hints(function).get(name, Any), value)
        return function(*args, **kwargs)

    return call


@cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function)


def _require(place: str, parameter: inspect.Parameter, hint: Any, value: Any) -> None:
    if parameter.kind is parameter.VAR_KEYWORD:
        return
    for one in value if parameter.kind is parameter.VAR_POSITIONAL else (value,):
        if not _fits(one, hint):
            cure = "; darkshare.load makes one of its files" if _words(hint) == "Model" else ""
            raise BadValue(f"{place}: {parameter.name} must be {_words(hint)}, not {_shown(one)}{cure}")
        if isinstance(one, str) and "\0" in one and os.PathLike in [get_origin(kind) for kind in get_args(hint)]:
            raise BadValue(f"{place}: {parameter.name}={_shown(one)} holds a zero byte, which no path does; remove it")


def _shown(value: object) -> str:
    return " ".join(reprlib.repr(value).split())[:60]


def _words(hint: Any) -> str:
    """A hint as it is written in the code, without modules; Python 3.10 has other words for unions."""
    if get_origin(hint) in _UNIONS:
        return " | ".join("None" if one is type(None) else _words(one) for one in get_args(hint))
    return _MODULES.sub("", hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type of a hint; whatever cannot be told fits."""
    origin, inner = get_origin(hint), get_args(hint)
    if (alias := getattr(origin or hint, "__value__", None)) is not None:  # numpy's NDArray, from numpy 2.5 on
        return _fits(value, alias)
    if origin in _UNIONS:
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return isinstance(value, tuple(map(type, inner)))
    if isinstance(origin, type):
        return _holds(value, origin, inner)
    numbers = {int: Integral, float: Real}
    if hint is bool:
        return type(value).__name__ in _TRUTHS
    if hint is Any or not isinstance(hint, type):
        return True
    if getattr(hint, "_is_protocol", False) and not getattr(hint, "_is_runtime_protocol", False):
        return True
    return isinstance(value, numbers.get(hint, hint)) and not (hint in numbers and isinstance(value, bool))


def _holds(value: Any, origin: type, inner: tuple[Any, ...]) -> bool:
    """Whether a value is a container, and all that it holds fits; what can be gone through but once is left alone."""
    if origin is tuple:  # a list will do, as JSON has nothing else
        if not isinstance(value, tuple | list):
            return False
        if inner[-1] is not Ellipsis:
            return len(value) == len(inner) and all(map(_fits, value, inner))
    elif issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    elif origin.__module__ != "collections.abc" or not issubclass(origin, Iterable):  # an array, a function
        return isinstance(value, origin)
    elif isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return False
    return not isinstance(value, Collection) or all(_fits(one, inner[0]) for one in value)
