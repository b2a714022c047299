"""The formats of other programs, and Darknet's own; a module reads one, and a row of `FORMATS` makes it known."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from darkshare._files import is_folder
from darkshare.data.darknet import Watch
from darkshare.data.datafiles import read_names
from darkshare.data.formats.coco import read_coco
from darkshare.data.formats.coco_text import LEGIBILITY, read_coco_text
from darkshare.data.formats.csv import is_csv, read_csv
from darkshare.data.formats.cvat import is_cvat, read_cvat
from darkshare.data.formats.darknet import is_darknet, read_darknet
from darkshare.data.formats.dota import is_dota, read_dota
from darkshare.data.formats.folders import start_of
from darkshare.data.formats.labelme import is_labelme, read_labelme
from darkshare.data.formats.ultralytics import is_ultralytics, read_ultralytics
from darkshare.data.formats.voc import is_voc, read_voc
from darkshare.data.formats.yolo import is_yolo, read_yolo
from darkshare.data.types import Dataset
from darkshare.errors import DarkshareError

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
        takes: what of `Asked` it uses.
    """

    source: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path, Asked], dict[str, Dataset]]
    takes: tuple[str, ...] = ("images", "names")


def _with_names(read: Callable[..., dict[str, Dataset]]) -> Callable[[Path, Asked], dict[str, Dataset]]:
    """Give a reader the class names of a file, and its data set what is wrong with these."""

    def reads(source: Path, asked: Asked) -> dict[str, Dataset]:
        names, wrong = read_names(asked.names) if asked.names else (None, ())
        if names == ():
            raise DarkshareError("holds no class names", file=str(asked.names))
        parts = read(source, images=asked.images, names=names, watch=asked.watch)
        first = next(iter(parts))
        return {**parts, first: replace(parts[first], findings=(*wrong, *parts[first].findings))}

    return reads


FORMATS: dict[str, SourceFormat] = {  # of a file, the first that recognises it
    "voc": SourceFormat("a folder of XML files", is_voc, _with_names(read_voc)),
    "darknet": SourceFormat(
        "a .data file or a list",
        is_darknet,
        lambda source, asked: read_darknet(source, asked.names, asked.watch),
        ("names",),
    ),
    "coco-text": SourceFormat(
        "a json",
        lambda _, start: start[:1] == b"{" and _COCO_TEXT.search(start) is not None,
        lambda source, asked: read_coco_text(
            source, images=asked.images, legibility=asked.legibility, language=asked.language,
            text_class=asked.text_class, watch=asked.watch,
        ),
        ("images", "legibility", "language", "text_class"),
    ),
    "labelme": SourceFormat("a json, or a folder of them", is_labelme, _with_names(read_labelme)),
    "coco": SourceFormat(
        "a json",
        lambda _, start: start[:1] == b"{",
        _with_names(lambda source, **how: {"all": read_coco(source, **how)}),
    ),
    "cvat": SourceFormat("an XML file", is_cvat, _with_names(read_cvat)),
    "ultralytics": SourceFormat("a data.yaml", is_ultralytics, _with_names(read_ultralytics)),
    "csv": SourceFormat("a table", is_csv, _with_names(read_csv)),
    "dota": SourceFormat("a folder of text files", is_dota, _with_names(read_dota)),
    "yolo": SourceFormat("a folder of text files", is_yolo, _with_names(read_yolo)),
}  # fmt: skip


def format_of(source: Path) -> str:
    """Recognise the format of a file or folder.

    Raises:
        DarkshareError: it is none of those that are known.
    """
    start = b"" if is_folder(source) else start_of(source)
    found = [name for name, form in FORMATS.items() if form.recognises(source, start)]
    if "ultralytics" in found:
        found = [name for name in found if name != "yolo"]  # these are the label files of the data.yaml
    if len(found) > 1:
        found = [name for name in found if name != "csv"]  # a table often says the same once more
    if not found:
        known = ", ".join(f"{form.source} ({name})" for name, form in FORMATS.items())
        raise DarkshareError(f"is of no format that is known: {known}; --source-format names one", file=str(source))
    if is_folder(source) and len(found) > 1:
        raise DarkshareError(f"could be {' or '.join(found)}; say which with --source-format", file=str(source))
    return found[0]


__all__ = ["FORMATS", "LEGIBILITY", "Asked", "SourceFormat", "format_of", "read_coco", "read_coco_text", "read_voc"]
