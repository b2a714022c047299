r"""Darknet cfg text as sections, losslessly: `dumps(parse(text)) == text` for any text.

The reader follows Darknet's own (`read_cfg` in `src/parser.c`, `strip` and `read_option` in
`src/utils.c` and `src/option_list.c`): blanks are deleted anywhere in a line, a line that then
starts with `#` or `;` is a comment, one that starts with `[` opens a section, and an option is
split at its first `=`. Lines end at `\n` only. Nothing is refused here; `network.resolve` does that.
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from darkshare._files import reading, require_itself, require_regular
from darkshare._tables import printable
from darkshare._texts import raw_bytes
from darkshare.errors import CfgSyntaxError, checked

LARGEST_CFG = 2**20  # bytes; the largest public cfg has 28 kB, 200 yolov4 on one base have 923 kB
LONGEST_LINE = 2**16  # characters; public cfgs have lines of a few hundred
MOST_LAYERS = 50_000  # 200 yolov4 on one base have 11 500
_BLANKS = str.maketrans("", "", " \t\r\n")  # what Darknet's strip() deletes
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Line(NamedTuple):
    """One line of text with its line end; `key` is empty unless Darknet sees an option in it."""

    text: str
    key: str = ""
    value: str = ""

    @property
    def is_comment(self) -> bool:
        return self.text.translate(_BLANKS)[:1] in ("", "#", ";")


_EMPTY = Line("\n")


@dataclass(frozen=True, slots=True)
class Section:
    """A section as written: its header is `lines[0]`, `lineno` counts from 1."""

    kind: str
    lines: tuple[Line, ...]
    lineno: int = 0

    def get(self, key: str) -> str | None:
        """The value of `key` without blanks; the first of several wins, as in Darknet."""
        return next((line.value for line in self.lines if line.key == key), None)

    @property
    def options(self) -> dict[str, str]:
        """All keys with their values; the first of several wins."""
        found: dict[str, str] = {}
        for line in self.lines:
            if line.key:
                found.setdefault(line.key, line.value)
        return found

    def line_of(self, key: str) -> int:
        """The number of the line that holds `key`, or of the section's header."""
        offsets = (i for i, line in enumerate(self.lines) if line.key == key)
        return self.lineno + next(offsets, 0)

    def __repr__(self) -> str:
        return f"<Section {printable(f'[{self.kind[:40]}]')}: line {self.lineno}, {len(self.options)} keys>"

    def set(self, /, **values: object) -> Section:
        """Change or append keys (`None` removes one); other lines stay as they are."""
        lines = list(self.lines)
        for key, value in values.items():
            at = next((i for i, line in enumerate(lines) if line.key == key), None)
            if value is None:
                lines = [line for line in lines if line.key != key]
            elif at is None:
                lines.insert(_end_of_options(lines), option_line(key, value))
            elif lines[at].value != option_line(key, value).value:
                lines[at] = _rewritten(lines[at], value)
        return replace(self, lines=tuple(lines))


@dataclass(frozen=True, slots=True)
class Cfg:
    """A whole file: the lines before the first section, then the sections."""

    head: tuple[Line, ...]
    sections: tuple[Section, ...]
    name: str = ""  # the file it came from, for messages

    def __repr__(self) -> str:
        return f"<Cfg {printable(self.name or 'unnamed')}: {len(self.sections)} sections>"


def option_line(key: str, value: object) -> Line:
    """Make a new `key=value` line; for a number as `number_text` writes it."""
    text = number_text(value)
    return Line(f"{key}={text}\n", key, text.translate(_BLANKS))


def number_text(value: object) -> str:
    """Write a number without exponent or plus sign, which hank-ai's Darknet would refuse; text as it is.

    >>> number_text(5e-05), number_text(2.0), number_text("leaky")
    ('0.00005', '2', 'leaky')
    """
    return f"{Decimal(repr(float(value))):f}".removesuffix(".0") if isinstance(value, float) else str(value)


def new_section(kind: str, /, **values: object) -> Section:
    """Make a new section with these options and an empty line after them.

    >>> print(dumps(Cfg((), (new_section("route", layers=73),))), end="")
    [route]
    layers=73
    <BLANKLINE>
    """
    options = (option_line(key, value) for key, value in values.items())
    return Section(kind, (Line(f"[{kind}]\n"), *options, Line("\n")))


def comment_line(text: str) -> Line:
    """Make a comment on a line of its own, which every fork skips."""
    return Line(f"# {text}\n")


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python from looking for cycles where many values come to be, of which none is in any.

    It would go through all of them again and again, and take half of the time of a large cfg.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@checked
@no_collection()
def parse(text: str, name: str = "") -> Cfg:
    """Split a cfg text into sections. Never fails: `resolve` and `check` say what is wrong.

    Args:
        text: the file's text with its own line ends.
        name: the file's name, for messages.
    """
    head: list[Line] = []
    sections: list[Section] = []
    lines, kind, start = head, "", 0
    for number, raw in enumerate(_LINE.findall(text), 1):
        bare = raw.translate(_BLANKS)
        if not bare:
            lines.append(_EMPTY if raw == "\n" else Line(raw))
        elif bare[0] == "[":
            if start:
                sections.append(Section(kind, tuple(lines), start))
            kind, start = bare[1:].removesuffix("]"), number
            lines = [Line(raw)]
        elif bare[0] in "#;":
            lines.append(Line(raw))
        else:
            key, _, value = bare.partition("=")
            # Without a value Darknet drops the option and takes the default.
            lines.append(Line(raw, key, value) if value else Line(raw))
    if start:
        sections.append(Section(kind, tuple(lines), start))
    return Cfg(tuple(head), tuple(sections), name)


def dumps(cfg: Cfg) -> str:
    """Give the text of a cfg; where nothing was edited it has the bytes that were parsed."""
    pieces = [line.text for line in cfg.head]
    for part in cfg.sections:
        pieces.extend(line.text for line in part.lines)
    return "".join(pieces)


def read_cfg(path: str | os.PathLike[str]) -> Cfg:
    """Read a cfg file. Bytes that are not UTF-8 (comments in other encodings) survive a round trip.

    Raises:
        DarkshareError: the file cannot be read.
        CfgSyntaxError: it is too large to be a cfg.
    """
    name = os.fspath(path)
    with reading(path):
        size = require_regular(path)
        if size > LARGEST_CFG:
            raise CfgSyntaxError(f"has {size} bytes, which is not a Darknet cfg; give the .cfg file", file=name)
        data = Path(path).read_bytes()
    require_itself(path, data[:100])
    return parse(data.decode("utf-8", "surrogateescape"), name)


def to_bytes(cfg: Cfg) -> bytes:
    """Give the bytes of a file that `read_cfg` reads as this cfg.

    Raises:
        CfgSyntaxError: it would be too large for that.
    """
    data = raw_bytes(dumps(cfg))
    if len(data) > LARGEST_CFG:
        raise CfgSyntaxError(
            f"would have {len(data)} bytes, more than a cfg may have, which is {LARGEST_CFG}", file=cfg.name
        )
    return data


def require_readable(cfg: Cfg) -> None:
    """Refuse a text that no fork of Darknet reads.

    Raises:
        CfgSyntaxError: with the line and the cure.
    """

    def refuse(message: str, line: int | None = None) -> None:
        raise CfgSyntaxError(message, file=cfg.name, line=line)

    lines = [*cfg.head, *(line for part in cfg.sections for line in part.lines)]
    if lines and lines[0].text.startswith("\ufeff"):
        refuse("starts with a UTF-8 byte order mark, which crashes Darknet; save it without one", 1)
    for number, line in enumerate(lines, 1):
        if "\0" in line.text:
            refuse("holds a NUL byte: this is not a cfg text", number)
        if "\r" in line.text.removesuffix("\n").removesuffix("\r"):
            refuse("uses CR alone as line end, so Darknet sees one line; convert it to LF", number)
        if len(line.text) > LONGEST_LINE:
            refuse(f"a line of {len(line.text)} characters: this is not a cfg text", number)
    if not cfg.sections:
        refuse("has no [section]: this is not a Darknet cfg")
    for number, line in enumerate(cfg.head, 1):
        if not line.is_comment:
            what = f"option '{line.key[:40]}'" if line.key else f"'{line.text.strip()[:40]}'"
            refuse(f"{what} before any section crashes Darknet; start with [net]", number)
    first = cfg.sections[0]
    if first.kind not in ("net", "network"):
        refuse(f"starts with [{first.kind[:40]}], but the first section must be [net]", first.lineno)
    for part in cfg.sections:
        if "]" not in part.lines[0].text:
            refuse(f"section [{part.kind[:40]} has no ']' behind its name", part.lineno)
    if len(cfg.sections) > MOST_LAYERS + 1:
        refuse(f"has {len(cfg.sections) - 1} layers, more than any network; the limit is {MOST_LAYERS}")
    if len(cfg.sections) == 1:
        refuse("has no layers: a network needs at least one section after [net]", first.lineno)


def _end_of_options(lines: list[Line]) -> int:
    last = max((i for i, line in enumerate(lines) if line.key), default=0)
    if not lines[last].text.endswith("\n"):
        lines[last] = lines[last]._replace(text=lines[last].text + "\n")
    return last + 1


def _rewritten(line: Line, value: object) -> Line:
    """The line with another value; its spacing and line end stay, a comment after the old value goes."""
    found = re.match(r"[^=]*=[ \t]*", line.text)
    assert found is not None  # a line with a key has a '='
    end = line.text[len(line.text.rstrip("\r\n")) :]
    return Line(f"{found[0]}{value}{end}", line.key, option_line(line.key, value).value)
