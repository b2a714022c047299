"""Cfg text that all three Darknet forks read alike.

LF line ends, ASCII, comments on their own lines behind `#`, no duplicate, empty or unknown keys, plain decimals,
lists without a trailing comma. A line that is plain already stays as it is, byte for byte.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from darkshare.darknet.cfg import Cfg, Line, Section, comment_line, number_text, option_line
from darkshare.darknet.kinds import Net, find_kind, keys_of, read_kind
from darkshare.darknet.kinds.base import Described
from darkshare.darknet.kinds.reading import Key
from darkshare.errors import BadValue

_HEADER = re.compile(r"\[[A-Za-z0-9_]+\]\n")
_COMMENT = re.compile(r"(#[\t\x20-\x7e]*)?\n")
_OPTION = re.compile(r"[A-Za-z0-9_]+ ?= ?[^\s#;,]+( ?, *[^\s#;,]+)*\n")
_NUMBERS = re.compile(r"[-.0-9, ]+")


def plain_cfg(cfg: Cfg, dialect: str) -> Cfg:
    """Write a cfg in the subset that all forks read alike.

    Raises:
        BadValue: a text value with a comment behind it, which the forks read as different things.
    """
    net, *layers = cfg.sections
    sections = [plain_section(net, Net, dialect)]
    sections += [plain_section(section, find_kind(section.kind, dialect), dialect) for section in layers]
    return replace(cfg, head=tuple(map(_plain_comment, cfg.head)), sections=tuple(sections))


def plain_section(section: Section, kind: type[Described], dialect: str) -> Section:
    """Write one section in the subset that all forks read alike."""
    known = keys_of(kind)
    value = read_kind(kind, section, dialect)
    seen: set[str] = set()
    lines = [_plain_header(section.lines[0], section.kind)]
    for number, line in enumerate(section.lines[1:], section.lineno + 1):
        declared = known.get(line.key)
        if not line.key:
            lines.append(_plain_comment(line))
        elif declared is None or dialect not in declared.forks or line.key in seen:
            why = "given twice" if line.key in seen else "not read by Darknet"
            lines.append(comment_line(f"{line.key}={line.value}  ({why})".encode("ascii", "backslashreplace").decode()))
        else:
            lines.append(_plain_option(line, declared, getattr(value, declared.field), number))
        seen.add(line.key)
    return replace(section, lines=tuple(lines))


def list_text(values: tuple[Any, ...]) -> str:
    """Write a list as all forks read it.

    >>> list_text((-1, 61))
    '-1,61'
    """
    return ",".join(map(number_text, values))


def _plain_header(line: Line, kind: str) -> Line:
    return line if _HEADER.fullmatch(line.text) else Line(f"[{kind.partition(']')[0]}]\n")


def _plain_comment(line: Line) -> Line:
    if _COMMENT.fullmatch(line.text):
        return line
    text = line.text.strip().lstrip("#;\ufeff").strip()
    return comment_line(text.encode("ascii", "backslashreplace").decode()) if text else Line("\n")


def _plain_option(line: Line, declared: Key, value: Any, number: int) -> Line:
    text = isinstance(value, str)
    if text and set("#;") & set(line.value):
        raise BadValue(
            f"{line.key}={line.value}: AlexeyAB's and pjreddie's Darknet read the comment as part of the name; "
            "put it on a line of its own",
            line=number,
        )
    whole = line.text if line.text.endswith("\n") else line.text + "\n"
    if _OPTION.fullmatch(whole) and (text or _NUMBERS.fullmatch(line.value)) and whole.isascii():
        return line._replace(text=whole)
    return option_line(line.key, list_text(value if isinstance(value, tuple) else (value,)))
