"""Text files as lines, whatever wrote them: CRLF, a byte order mark, names in any encoding."""

from __future__ import annotations

from pathlib import Path

from darkshare._files import read_small
from darkshare.errors import DarkshareError

LARGEST = 2**28  # bytes; a list of two million pictures takes half of it
_MARK = "\ufeff"


def read_text(path: Path, largest: int = LARGEST) -> str:
    r"""A text file with `\n` as its only line end; bytes that are not UTF-8 survive as file names do.

    Raises:
        DarkshareError: it cannot be read, is too large, or is not text.
    """
    data = read_small(path, largest)
    if b"\0" in data:
        raise DarkshareError("holds NUL bytes: this is not a text file in UTF-8", file=str(path))
    text = data.decode("utf-8", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def lines_of(text: str) -> list[str]:
    """The lines of a text without the blanks around them and without the empty ones at its end."""
    return [line.strip(" \t") for line in text.removeprefix(_MARK).rstrip(" \t\n").split("\n")] if text else []


def marked(text: str) -> bool:
    """Whether it starts with a byte order mark, which Darknet takes for part of the first line."""
    return text.startswith(_MARK)
