"""Text files as lines, whatever wrote them: CRLF, byte order marks, UTF-16, names in any encoding.

Bytes that are not UTF-8 stay what they are: as surrogates in the text (PEP 383, as in file names), and again as bytes
in what `raw_bytes` writes.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Iterator
from io import IncrementalNewlineDecoder
from pathlib import Path
from typing import IO, Any, NamedTuple

from darkshare._files import read_small
from darkshare.errors import BadValue, DarkshareError, Unsupported

LARGEST = 2**28  # bytes; a list of two million pictures takes half of it
_MARKS = {BOM_UTF8: "utf-8", BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
_SAMPLE = 2**16  # bytes that are enough to tell an encoding
_FOREIGN = re.compile(rb"[\x80-\xff]+")
_LETTER = re.compile(rb"[A-Za-z]")
_CYRILLIC = 3  # letters of one word in a row: Western languages rarely have so many with accents


# No program shows these, and some crash on half a surrogate pair; U+DC80 to U+DCFF stand for bytes. A tab is a blank.
_UNFIT = re.compile("[\0-\x08\n-\x1f\x7f-\x9f\ud800-\udc7f\udd00-\udfff]")


class Text(NamedTuple):
    r"""A text file.

    Attributes:
        text: with `\n` as its only line end and without a byte order mark; bytes that are not UTF-8 are surrogates.
        oddity: what Darknet does not read in it, such as "starts with a byte order mark"; empty where there is nothing.
        likely: the probable encoding of a text that is not UTF-8; empty where it is.
    """

    text: str
    oddity: str = ""
    likely: str = ""

    @property
    def lines(self) -> list[str]:
        """The lines without the blanks around them and without the empty ones at the end."""
        return lines_of(self.text)


def read_text(path: Path, largest: int = LARGEST) -> Text:
    """Read a text file of any encoding.

    Raises:
        DarkshareError: it cannot be read, is too large, or is not text.
    """
    try:
        return decoded_text(read_small(path, largest))
    except DarkshareError as error:
        raise error.locate(str(path), None) from None


def decoded_text(data: bytes) -> Text:
    """Decode the content of a text file.

    Raises:
        DarkshareError: it is not text.
    """
    mark, encoding = _encoding(data)
    if encoding == "utf-8":
        if b"\0" in data:
            raise DarkshareError("holds NUL bytes: this is not a text file")
        text = data[len(mark) :].decode("utf-8", "surrogateescape")
        oddity = "starts with a byte order mark" if mark else ""
    else:
        try:
            text, oddity = data[len(mark) :].decode(encoding), "is in UTF-16"
        except UnicodeDecodeError:
            raise DarkshareError("begins like a text in UTF-16, and is none") from None
        if "\0" in text:
            raise DarkshareError("holds NUL characters: this is not a text file")
    text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    return Text(text, oddity, "" if _is_unicode(text) else likely_encoding(data))


def is_wide(head: bytes) -> bool:
    """Say whether what begins like this is a text in UTF-16, which has NUL bytes as binary files have."""
    return _encoding(head[: len(head) // 2 * 2])[1] != "utf-8"


def streamed_lines(head: bytes, rest: IO[bytes]) -> Iterator[str]:
    """The lines of a text of any encoding, without the blanks around them, each as soon as it is there.

    Args:
        head: the beginning of it.
        rest: what follows.
    """
    mark, encoding = _encoding(head[: len(head) // 2 * 2])
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    decoder = IncrementalNewlineDecoder(getincrementaldecoder(encoding)(errors), translate=True)
    data, begun = head[len(mark) :], ""
    while data:
        *whole, begun = (begun + decoder.decode(data)).split("\n")
        yield from map(str.strip, whole)
        data = rest.read1(_SAMPLE)  # type: ignore[attr-defined] # of what is there, not waiting for more
    yield (begun + decoder.decode(b"", final=True)).strip()


def lines_of(text: str) -> list[str]:
    """The lines of a text without the blanks around them and without the empty ones at its end."""
    return [line.strip(" \t") for line in text.rstrip(" \t\n").split("\n")] if text else []


def raw_bytes(text: str) -> bytes:
    """The bytes of a text for Darknet: UTF-8, and the bytes that were not UTF-8 when it was read."""
    return text.encode("utf-8", "surrogateescape")


def to_escaped(text: str) -> bytes:
    r"""The bytes of a text for programs that insist on UTF-8: what was not becomes an escape, such as `\udcdf`.

    In JSON that is the same character again.
    """
    return text.encode("utf-8", "backslashreplace")


def require_fit(what: str, *names: str) -> None:
    """Refuse names with characters that no name has: control characters, halves of surrogate pairs.

    Raises:
        BadValue: with the first of them; `what` says of what it is the name.
    """
    for name in names:
        if found := _UNFIT.search(name):
            kind = "a control character" if ord(found[0]) < ord("\ud800") else "half a character"
            raise BadValue(f"{what} {name[:60]!a} holds {kind}, U+{ord(found[0]):04X}; remove it")


def fit(name: str) -> str:
    """A name with an underscore for each character that `require_fit` refuses."""
    return _UNFIT.sub("_", name)


def likely_encoding(data: bytes) -> str:
    """Guess the encoding of a text that is not UTF-8, from how its bytes above 127 stand together.

    East Asian encodings write such bytes in pairs, and their words stand apart from Latin letters. Of the others,
    Western words have few accents in a row, Cyrillic ones nothing else.
    """
    runs = [match.span() for match in _FOREIGN.finditer(data[:_SAMPLE])]
    if all(_is_east_asian(data, start, stop) for start, stop in runs):
        return "GBK"
    return "Windows-1251" if any(stop - start >= _CYRILLIC for start, stop in runs) else "Latin-1"


def _is_east_asian(data: bytes, start: int, stop: int) -> bool:
    if (stop - start) % 2 or _LETTER.match(data[max(start - 1, 0) : start]) or _LETTER.match(data[stop : stop + 1]):
        return False
    try:
        data[start:stop].decode("gb2312")
    except UnicodeDecodeError:
        return False
    return True


def _encoding(data: bytes) -> tuple[bytes, str]:
    """The byte order mark of a text, and its encoding."""
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    return mark, _MARKS.get(mark) or _wide(data) or "utf-8"


def _wide(data: bytes) -> str:
    """UTF-16 without a mark: at least the line ends have a byte that is 0, always on the same side."""
    zeros = data[0::2].count(0), data[1::2].count(0)
    if len(data) % 2 or min(zeros) or not max(zeros):
        return ""
    encoding = "utf-16-be" if zeros[0] else "utf-16-le"
    return encoding if "".join(data.decode(encoding, "replace").split()).isprintable() else ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parsed_yaml(text: bytes, otherwise: str) -> Any:
    """The value that a YAML text describes; without aliases, which let a small text stand for a huge value.

    Args:
        text: in UTF-8, or UTF-16 with a byte order mark.
        otherwise: what to do without PyYAML.

    Raises:
        BadValue: it is not YAML.
        Unsupported: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise Unsupported(f"YAML needs PyYAML: pip install 'darkshare[yaml]', or {otherwise}") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
        """The safe one, without aliases."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError(f"it has an alias{self.peek_event().start_mark}; write the value out")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader)  # noqa: S506 - it is a safe one
    except (yaml.YAMLError, ValueError, KeyError, RecursionError) as error:  # of a date such as 2020-13-01, of !!bool x
        raise BadValue(f"is not YAML: {' '.join(str(error).split())}") from None
