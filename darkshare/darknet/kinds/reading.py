"""Read a section as a kind: keys by their type, numbers as C's atoi and atof read them."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any, NamedTuple, TypeVar

from darkshare.darknet.cfg import Section
from darkshare.darknet.kinds.base import INT_MAX, Described, H, Refs
from darkshare.errors import BadValue


class Key(NamedTuple):
    """A declared key with its parser."""

    field: str
    parse: Callable[[str, str, Field[Any]], Any]
    declared: Field[Any]
    is_refs: bool

    @property
    def forks(self) -> tuple[str, ...]:
        forks: tuple[str, ...] = self.declared.metadata["forks"]
        return forks

    @property
    def training(self) -> bool:
        """Whether only training reads it."""
        return bool(self.declared.metadata["training"])

    @property
    def reads(self) -> bool:
        """Whether the layer reads the outputs of the layers that it names."""
        return bool(self.declared.metadata["reads"])


K = TypeVar("K", bound="Described")


_keys: dict[type[Described], dict[str, Key]] = {}
_references: dict[type[Described], dict[str, Key]] = {}


def keys_of(kind: type[Described]) -> dict[str, Key]:
    """Map the cfg keys of a kind by their spelling in the file (`from_` is the key `from`)."""
    if kind not in _keys:
        hints = typing.get_type_hints(kind, include_extras=True)
        _keys[kind] = {
            f.name.rstrip("_"): Key(f.name, _parser(hints[f.name]), f, hints[f.name] == Refs)
            for f in fields(kind)
            if f.metadata
        }
    return _keys[kind]


def references_of(kind: type[Described]) -> dict[str, Key]:
    """Map those of the keys of a kind that name layers."""
    if kind not in _references:
        _references[kind] = {name: declared for name, declared in keys_of(kind).items() if declared.is_refs}
    return _references[kind]


def read_kind(kind: type[K], section: Section, dialect: str) -> K:
    """Build a kind from a section as the dialect reads it; keys that it does not know are left out.

    Raises:
        BadValue: a number that no layer can be built from, with its line.
    """
    known = keys_of(kind)
    values: dict[str, Any] = {}
    for number, line in enumerate(section.lines, section.lineno):
        found = known.get(line.key)
        if found is None or found.field in values or dialect not in found.forks:
            continue
        try:
            values[found.field] = found.parse(as_read(line.value, dialect), dialect, found.declared)
        except BadValue as error:
            raise BadValue(f"{line.key}={line.value[:40]}: {error.message}", line=number) from None
    return kind(dialect=dialect, **values)


def as_read(value: str, dialect: str) -> str:
    """Cut a value to what the dialect reads: only hank-ai has comments behind a value."""
    return value.partition("#")[0] if dialect == H else value


# Blanks are gone by now, but for two that Darknet keeps and C's atoi and atof skip.
_INT = re.compile(r"[\f\v]*([+-]?)0*([0-9]{0,11})")
_FLOAT = re.compile(r"[\f\v]*([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)")
_ODD_FLOAT = re.compile(r"[\f\v]*[+-]?(0x\.?[0-9a-f]|inf|nan)", re.IGNORECASE)


def atoi(text: str) -> int:
    """Read the leading digits as C's atoi does, or 0.

    Raises:
        BadValue: the number does not fit a C int, where atoi is undefined.

    >>> atoi("232#192"), atoi("4.7"), atoi("abc")
    (232, 4, 0)
    """
    found = _INT.match(text)
    assert found is not None  # every part may be empty
    number = int(found[1] + (found[2] or "0"))
    if not -INT_MAX - 1 <= number <= INT_MAX:
        raise BadValue("does not fit Darknet's 32-bit int")
    return number


def atof(text: str) -> float:
    """Read the leading number as C's atof does, or 0.

    Raises:
        BadValue: hexadecimal or infinite or NaN, which C reads but no network needs.

    >>> atof(".3"), atof("1e-3x"), atof("abc")
    (0.3, 0.001, 0.0)
    """
    if _ODD_FLOAT.match(text):
        raise BadValue("is not a plain decimal number")
    found = _FLOAT.match(text)
    return float(found[1]) if found else 0.0


def list_items(text: str, dialect: str, hash_ends: tuple[str, ...] = ()) -> list[str]:
    """Split a list into the items that the dialect counts.

    AlexeyAB and pjreddie count the commas of the whole value, a trailing comment included, so that
    `-1,` and `-1 # a, b` both have a second item, which atoi reads as 0.

    >>> list_items("-1,", "alexeyab"), list_items("1,2#a,b", "alexeyab", ("alexeyab",))
    (['-1', ''], ['1', '2'])
    """
    if dialect == H:
        return re.findall(r"-?[\d.]+", text)
    return (text.partition("#")[0] if dialect in hash_ends else text).split(",")


def _int(text: str, dialect: str, declared: Field[Any]) -> int:
    number = atoi(text)
    low = declared.metadata["low"]
    if low is not None and number < low:
        raise BadValue(f"must be at least {low}")
    high = declared.metadata["high"]
    if high is not None and number > high:
        raise BadValue(f"must be at most {high}")
    return number


def _ints(text: str, dialect: str, declared: Field[Any]) -> tuple[int, ...]:
    return tuple(atoi(item) for item in list_items(text, dialect, declared.metadata["hash_ends"]))


def _floats(text: str, dialect: str, declared: Field[Any]) -> tuple[float, ...]:
    return tuple(atof(item) for item in list_items(text, dialect, declared.metadata["hash_ends"]))


def _refs(text: str, dialect: str, declared: Field[Any]) -> tuple[int, ...]:
    if declared.metadata["none"] is not None and atoi(text) == declared.metadata["none"]:
        return ()
    if dialect in declared.metadata["first_only"]:
        return (atoi(text),)
    return _ints(text, dialect, declared)


def _parser(hint: Any) -> Callable[[str, str, Field[Any]], Any]:
    if hint == Refs:
        return _refs
    if isinstance(hint, types.UnionType):  # "int | None": the default depends on another key
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    parsers: dict[Any, Callable[[str, str, Field[Any]], Any]] = {
        int: _int,
        float: lambda text, dialect, declared: atof(text),
        str: lambda text, dialect, declared: text,
        tuple[int, ...]: _ints,
        tuple[float, ...]: _floats,
    }
    return parsers[hint]
