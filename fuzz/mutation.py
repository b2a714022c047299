"""Mutations that know a format: of a valid input one thing is broken, and the rest stays as it is to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from darkshare.darknet.cfg import Cfg, Line, Section, dumps, new_section, option_line, parse
from darkshare.darknet.kinds import ALL_KINDS, BY_NAME, DIALECTS, Net, keys_of
from darkshare.darknet.network import resolve
from darkshare.errors import DarkshareError

LARGEST = 4096  # bytes of an input; small ones are tried more often
NUMBERS = (
    "0 1 -1 2 3 7 -2 255 4.7 -0 +3 .5 1e9 1e400 1e-400 nan inf -inf 0x10 2147483647 2147483648 -2147483648".split()
)
NUMBERS += ["99999999999", "1" * 400, "", "1,2", "-1,", "1,,2", "1#2", "x", "\N{FULLWIDTH DIGIT ONE}", "1_0", "\udcff"]
TEXTS = ["", " ", "..", "../a", "/", "a/b", "a\nb", "\0", "\x1b[2J", "\udc80", "é", "\u202e", "x" * 300, "<b>&"]
VALUES: list[Any] = [
    None,
    True,
    [],
    {},
    [[]],
    [0, 1],
    {"a": 1},
    0,
    1,
    -1,
    1.5,
    1e308,
    10**20,
    float("nan"),
    float("inf"),
]
VALUES += [*TEXTS, *NUMBERS[:12], "\ud800"]
Mutation = Callable[[bytes, Random], bytes]


def havoc(data: bytes, rng: Random, words: Sequence[bytes]) -> bytes:
    """Change some bytes: a word of the dictionary, a bit, a stretch that goes, comes twice or moves."""
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    near = min(b, a + rng.choice((1, 2, 4, 16)))
    match rng.randrange(8):
        case 0 | 1:
            return data[:a] + rng.choice(words) + data[a:]
        case 2:
            return data[:a] + rng.choice(words) + data[near:]
        case 3:
            return data[:a] + bytes([rng.randrange(256)]) + data[near:]
        case 4:
            return data[:a] + data[near:]
        case 5:
            return data[:b] + data[a:b] + data[b:]
        case 6:
            return data[:a] + data[b:]
        case _:
            return data[:a] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[a : a + 1]) + data[a + 1 :]


# cfg


def break_cfg(data: bytes, rng: Random) -> bytes:
    """Change one line of one section, or one section."""
    cfg = parse(data.decode("utf-8", "surrogateescape"))
    parts = list(cfg.sections)
    if not parts:
        return dumps(random_cfg(rng)).encode()
    at = rng.randrange(len(parts))
    match rng.randrange(10):
        case 0:
            del parts[at]
        case 1:
            parts.insert(at, parts[at])
        case 2:
            parts[at : at + 2] = parts[at : at + 2][::-1]
        case 3:
            parts.insert(at, proposed(rng))
        case 4:
            parts[at] = _renamed(parts[at], rng)
        case _:
            parts[at] = _with_one_line_broken(parts[at], rng)
    return dumps(replace(cfg, sections=tuple(parts))).encode("utf-8", "surrogateescape")


def _renamed(part: Section, rng: Random) -> Section:
    head = part.lines[0].text
    names = [*BY_NAME, "net", "", "convolutionl", part.kind.upper(), f"{part.kind}]#", "x" * 100]
    return replace(part, lines=(Line(head.replace(part.kind or "[", rng.choice(names), 1)), *part.lines[1:]))


def _with_one_line_broken(part: Section, rng: Random) -> Section:
    lines = list(part.lines)
    options = [i for i, line in enumerate(lines) if line.key] or [0]
    at = rng.choice(options)
    text = lines[at].text
    match rng.randrange(8):
        case 0 if lines[at].key:
            del lines[at]
        case 1:
            lines.insert(at + 1, lines[at])
        case 2:
            place = rng.randrange(len(text) + 1)
            noise = rng.choice(
                ["\0", "\r", " ", "\t", "#", ";", "=", "[", "]", ",", "-", "\x0c", "\ufeff", "\udce9", "9"]
            )
            lines[at] = Line(text[:place] + noise + text[place:])
        case 3 | 4:
            kind = BY_NAME.get(part.kind, Net)
            lines.insert(1, option_line(rng.choice(list(keys_of(kind))), rng.choice(NUMBERS)))
        case _ if lines[at].key:
            lines[at] = option_line(lines[at].key, rng.choice(NUMBERS))
        case _:
            lines.append(option_line(rng.choice(list(keys_of(Net))), rng.choice(NUMBERS)))
    return replace(part, lines=tuple(lines))


def proposed(rng: Random) -> Section:
    """A section of any kind with values that are often right."""
    kind = rng.choice(ALL_KINDS)
    options: dict[str, str] = {}
    for name, key in rng.sample(sorted(keys_of(kind).items()), k=min(4, len(keys_of(kind)))):
        small = ",".join(str(rng.choice((-1, -2, 1, 2))) for _ in range(rng.choice((1, 1, 2, 4))))
        if key.is_refs:
            options[name] = rng.choice(("-1", "-2", "-1,-2", "0"))
        elif not key.training:
            options[name] = small if "tuple" in str(key.declared.type) else str(rng.choice((1, 1, 2, 3, 4)))
    return new_section(rng.choice(kind.names), **options)


def random_cfg(rng: Random) -> Cfg:
    """A cfg that some dialect resolves: sections are proposed, and those that fit stay."""
    dialect = rng.choice(DIALECTS)
    cfg = Cfg((), (new_section("net", width=8, height=8, channels=2), new_section("conv", filters=rng.randint(1, 6))))
    for _ in range(rng.randint(1, 12)):
        longer = replace(cfg, sections=(*cfg.sections, proposed(rng)))
        try:
            resolve(longer, dialect=dialect)
        except DarkshareError:
            continue
        cfg = longer
    return cfg


# JSON, XML, lines


def break_json(data: bytes, rng: Random) -> bytes:
    """Replace, remove, repeat or rename one value; an input that is not JSON stays as it is."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places = list(_places([document]))[:400]
    holder, key = rng.choice(places)
    choice = rng.randrange(6)
    if choice == 0 and len(places) > 1:
        del holder[key]
    elif choice == 1 and isinstance(holder, dict):
        names = {"", "id", key[:-1], key.upper(), "__proto__"} - holder.keys()
        holder[rng.choice(sorted(names) or [key])] = holder.pop(key)
    elif choice == 2 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif choice == 3:
        holder[key] = rng.choice([[holder[key]], {"x": holder[key]}, str(holder[key])])
    else:
        holder[key] = rng.choice(VALUES)
    top = places[0][0]
    return json.dumps(top[0] if top else None, ensure_ascii=bool(rng.randrange(2))).encode("utf-8", "surrogatepass")


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with every key in it."""
    found = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for key, value in list(found):
        yield holder, key
        if isinstance(value, dict | list):
            yield from _places(value)


_VALUE = re.compile(rb'="([^"]*)"')
_LEAF = re.compile(rb"<(\w+)[^<>]*>([^<]*)</\1>")


def break_xml(data: bytes, rng: Random) -> bytes:
    """Change one attribute or the text of one element without children, or remove, repeat or rename that element."""
    values, leaves = list(_VALUE.finditer(data)), list(_LEAF.finditer(data))
    if values and (not leaves or rng.randrange(2)):
        value = rng.choice(values)
        return data[: value.start(1)] + _hostile(rng) + data[value.end(1) :]
    if not leaves:
        return data
    leaf = rng.choice(leaves)
    tags = [found[1] for found in leaves]
    whole = leaf[0]
    made = (whole[: leaf.start(2) - leaf.start()] + _hostile(rng) + whole[leaf.end(2) - leaf.start() :], b"", whole * 2)
    other = whole.replace(leaf[1], rng.choice(tags))
    return data[: leaf.start()] + rng.choice([made[0], made[0], *made, other]) + data[leaf.end() :]


def break_lines(data: bytes, rng: Random) -> bytes:
    """Change one field of one line, or remove, repeat or move one line."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines.insert(rng.randrange(len(lines)), lines.pop(at))
        case _:
            fields = re.split(rb"([ ,]+)", lines[at])
            fields[rng.randrange(len(fields))] = _hostile(rng)
            lines[at] = b"".join(fields)
    return b"\n".join(lines)


def _hostile(rng: Random) -> bytes:
    return rng.choice([*NUMBERS, *TEXTS]).encode("utf-8", "surrogateescape")
