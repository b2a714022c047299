"""The problems that rules find, and the sections that they look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

from darkshare.darknet.cfg import Cfg, Line, Section
from darkshare.darknet.kinds import Kind, Net, find_kind, read_kind
from darkshare.darknet.kinds.base import Described
from darkshare.darknet.network import Network
from darkshare.errors import BadValue, DarkshareError, UnknownKind

Severity = Literal["error", "warning", "note"]
D = TypeVar("D", bound=Described)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong or worth knowing.

    Attributes:
        severity: "error" for what Darknet refuses, crashes on or silently computes otherwise than the cfg says;
            "warning" for what works and is probably not meant; "note" for what one should know.
        message: what it is and what to do.
        file: the file it is in.
        line: the line there, counted from 1, None for a whole file.
    """

    severity: Severity
    message: str
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.severity}: {self.message}"


@dataclass(frozen=True)
class ReadSection:
    """A section with its kind, so far as it can be read. [net] has index -1."""

    index: int
    section: Section
    kind: Kind | Net | None

    @property
    def label(self) -> str:
        return "[net]" if self.index < 0 else f"layer {self.index} [{self.section.kind.rstrip(']')}]"


@dataclass(frozen=True)
class Subject:
    """The sections of a cfg, as the rules look at them.

    Attributes:
        parts: all sections, [net] first.
        network: the resolved network, None where something keeps it from resolving.
        merged: whether a .tasks.json says which head belongs to which task.
    """

    cfg: Cfg
    dialect: str
    net: Net
    parts: tuple[ReadSection, ...]
    network: Network | None
    merged: bool = False

    @cached_property
    def layers(self) -> tuple[ReadSection, ...]:
        return self.parts[1:]


Rule = Callable[[Subject], Iterator[Problem]]


def error(line: int | None, message: str) -> Problem:
    """A problem that Darknet refuses, crashes on, or computes otherwise than the cfg says."""
    return Problem("error", message, line=line)


def warning(line: int | None, message: str) -> Problem:
    """A problem that works, and is probably not meant."""
    return Problem("warning", message, line=line)


def note(line: int | None, message: str) -> Problem:
    """A fact that one should know."""
    return Problem("note", message, line=line)


def from_error(found: DarkshareError) -> Problem:
    """An error of another module as a problem."""
    return Problem("error", found.message, found.file or "", found.line)


def read_subject(
    cfg: Cfg, dialect: str, network: Network | None, *, merged: bool
) -> tuple[Subject, list[DarkshareError]]:
    """Read every section on its own, whether or not they fit together.

    Returns:
        The subject, and every value that no network can be built from (a resolver stops at a section's first one).
    """
    if network is not None:  # every section could be read
        read = [ReadSection(layer.index, layer.section, layer.kind) for layer in network.layers]
        parts = [ReadSection(-1, cfg.sections[0], network.net), *read]
        return Subject(cfg, dialect, network.net, tuple(parts), network, merged), []
    errors: list[DarkshareError] = []
    net = _read(Net, cfg.sections[0], dialect, errors)
    parts = [ReadSection(-1, cfg.sections[0], net)]
    for index, section in enumerate(cfg.sections[1:]):
        kind = _kind_of(section, dialect)
        parts.append(ReadSection(index, section, _read(kind, section, dialect, errors) if kind else None))
    return Subject(cfg, dialect, net, tuple(parts), network, merged), errors


def _kind_of(section: Section, dialect: str) -> type[Kind] | None:
    try:
        return find_kind(section.kind, dialect)
    except UnknownKind:  # which `network.problems` reports
        return None


def _read(kind: type[D], section: Section, dialect: str, errors: list[DarkshareError]) -> D:
    """Read a section with its impossible values left out."""
    try:
        return read_kind(kind, section, dialect)
    except BadValue as found:
        errors.append(found)
        bad = section.lines[(found.line or 0) - section.lineno].key
    lines = tuple(Line(line.text) if line.key == bad else line for line in section.lines)
    return _read(kind, replace(section, lines=lines), dialect, errors)
