"""The formats of other programs, and Darknet's own; a module reads one, and a row of `FORMATS` makes it known."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from darkshare._files import reading
from darkshare.data.darknet import Watch
from darkshare.data.formats.coco import read_coco
from darkshare.data.formats.coco_text import LEGIBILITY, read_coco_text
from darkshare.data.formats.darknet import is_darknet, read_darknet
from darkshare.data.formats.voc import is_voc, read_voc
from darkshare.data.types import Dataset
from darkshare.errors import DarkshareError

_START = 2**16  # bytes of a file that show what it is
_COCO_TEXT = re.compile(rb'"(cats|anns|imgs|imgToAnns)"\s*:')


class Asked(NamedTuple):
    """The parts of `import_data`'s arguments that readers need."""

    images: Path | None = None
    names: Path | None = None
    legibility: str = LEGIBILITY[0]
    language: Collection[str] = ()
    text_class: Collection[str] = ()
    watch: Watch = iter


class SourceFormat(NamedTuple):
    """A format of labelled pictures.

    Attributes:
        source: what it comes as, in a few words.
        recognises: whether a path, with the first bytes of the file (none of a folder), is of this format.
        read: its parts: train, valid, test, or else "all".
    """

    source: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path, Asked], dict[str, Dataset]]


def _is_json(start: bytes) -> bool:
    return start.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")[:1] == b"{"


FORMATS: dict[str, SourceFormat] = {  # the first that recognises a source
    "voc": SourceFormat(
        "a folder of XML files", is_voc, lambda source, asked: read_voc(source, images=asked.images, watch=asked.watch)
    ),
    "darknet": SourceFormat(
        "a .data file or a list", is_darknet, lambda source, asked: read_darknet(source, asked.names, asked.watch)
    ),
    "coco-text": SourceFormat(
        "a json",
        lambda _, start: _is_json(start) and _COCO_TEXT.search(start.replace(b"\0", b"")) is not None,
        lambda source, asked: read_coco_text(
            source, images=asked.images, legibility=asked.legibility, language=asked.language,
            text_class=asked.text_class, watch=asked.watch,
        ),
    ),
    "coco": SourceFormat(
        "a json",
        lambda _, start: _is_json(start),
        lambda source, asked: {"all": read_coco(source, images=asked.images, watch=asked.watch)},
    ),
}  # fmt: skip


def format_of(source: Path) -> str:
    """Recognise the format of a file or folder.

    Raises:
        DarkshareError: it is none of those that are known.
    """
    start = b""
    if not source.is_dir():
        with reading(source), source.open("rb") as file:
            start = file.read(_START)
    found = next((name for name, form in FORMATS.items() if form.recognises(source, start)), None)
    if found is None:
        known = ", ".join(f"{form.source} ({name})" for name, form in FORMATS.items())
        raise DarkshareError(f"is of no format that is known: {known}; --format names one", file=str(source))
    return found


__all__ = ["FORMATS", "LEGIBILITY", "Asked", "SourceFormat", "format_of", "read_coco", "read_coco_text", "read_voc"]
