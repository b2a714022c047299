"""Other programs' data sets become Darknet's."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from darkshare.data.classes import united, with_classes, with_difficult, without_negatives
from darkshare.data.coco import read_coco
from darkshare.data.cocotext import read_coco_text
from darkshare.data.darknet import Watch, read_data, read_list
from darkshare.data.datafiles import read_names, read_options
from darkshare.data.splitting import split
from darkshare.data.types import Dataset, Finding
from darkshare.data.voc import read_voc
from darkshare.data.writing import write_data
from darkshare.errors import DarkshareError

FORMATS = ("voc", "coco", "coco-text", "darknet")
SHARE = 0.2  # for validation, where the source does not say which pictures are for that
_START = 2**16  # bytes of a json that tell which kind it is


@dataclass(frozen=True)
class Wanted:
    """Which part of a data set, and how it is to be divided.

    Attributes:
        keep: the classes, as they are called after renaming, in this order; none for all.
        rename: new names by old ones.
        single: one name for all classes.
        difficult: "list", "keep" or "drop" boxes that evaluation is to pass over, see `with_difficult`.
        negatives: whether to keep pictures without boxes.
        share: of the pictures, to set aside for validation by their content (see `split`), whatever the source says;
            0 for none. None for the source's own parts, or 0.2 where it has none.
        seed: of that split.
    """

    keep: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    single: str | None = None
    difficult: str = "list"
    negatives: bool = True
    share: float | None = None
    seed: int = 0


ALL = Wanted()


@dataclass(frozen=True)
class Imported:
    """What was written.

    Attributes:
        path: of the .data file.
        parts: as they were read, before the labels went to their files.
        findings: everything that is wrong with the source.
    """

    path: Path
    parts: Mapping[str, Dataset]
    findings: tuple[Finding, ...]


def format_of(source: Path) -> str:
    """Which format a file or folder has.

    Raises:
        DarkshareError: it cannot be told.
    """
    if source.is_dir():
        if next(source.rglob("*.xml"), None):
            return "voc"
        raise DarkshareError("holds no Pascal VOC XML files; give the json or the .data file", file=str(source))
    if source.suffix in (".data", ".txt"):
        return "darknet"
    try:
        with source.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise DarkshareError(f"cannot be read: {error.strerror or error}", file=str(source)) from None
    if start.lstrip()[:1] == b"{":
        return "coco-text" if re.search(rb'"(cats|anns|imgs|imgToAnns)"\s*:', start) else "coco"
    raise DarkshareError(f"is of no format that is known; say --format {', '.join(FORMATS)}", file=str(source))


def read_parts(
    source: str | os.PathLike[str],
    form: str | None = None,
    *,
    images: Path | None = None,
    names: Path | None = None,
    legibility: str = "both",
    languages: Collection[str] = (),
    kinds: Collection[str] = (),
    watch: Watch = iter,
) -> dict[str, Dataset]:
    """Read a data set of any format, in the parts that it names: train, valid, test, or else "all".

    Args:
        source: a folder of XML files, a json, a .data file or a list of pictures.
        form: its format, if it cannot be told.
        images: the folder of the pictures, for XML and json.
        names: the file of class names, for a list of pictures; for a .data file, instead of its own.
        legibility: of COCO-Text, see `read_coco_text`; `languages` and `kinds` likewise.
        languages: of COCO-Text.
        kinds: of COCO-Text.
        watch: goes through the pictures, for a progress bar.

    Raises:
        DarkshareError: it cannot be read as that.
    """
    source = Path(source)
    form = form or format_of(source)
    if form == "voc":
        return read_voc(source, images=images, watch=watch)
    if form == "coco":
        return {"all": read_coco(source, images=images, watch=watch)}
    if form == "coco-text":
        return read_coco_text(
            source, images=images, legibility=legibility, languages=languages, kinds=kinds, watch=watch
        )
    return _read_darknet(source, names, watch)


def import_data(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    wanted: Wanted = ALL,
    *,
    valid: str | os.PathLike[str] | None = None,
    copy: bool = False,
    watch: Watch = iter,
    **how: Any,
) -> Imported:
    """Make Darknet's files of a data set in another format, or of one of Darknet's with other classes.

    Args:
        source: see `read_parts`.
        folder: to write to, see `write_data`.
        wanted: which part of the source.
        valid: a second source, for validation.
        copy: copy the pictures instead of linking to them.
        watch: goes through the pictures, for a progress bar.
        **how: how to read the sources, see `read_parts`.

    Raises:
        DarkshareError: a source cannot be read, or the folder not written.
    """
    parts = read_parts(source, watch=watch, **how)
    if valid is not None:
        parts = {"train": _pooled(parts), "valid": _pooled(read_parts(valid, watch=watch, **how))}
    parts = united(parts)
    findings = tuple(dict.fromkeys(finding for part in parts.values() for finding in part.findings))
    parts = with_difficult(with_classes(parts, wanted.keep, wanted.rename, wanted.single), wanted.difficult)
    parts = _split(parts if wanted.negatives else without_negatives(parts), wanted.share, wanted.seed, watch)
    if not any(part.samples for part in parts.values()):
        raise DarkshareError("no picture is left", file=str(source))
    record = {"source": str(source), "valid": valid and str(valid), **asdict(wanted)}
    path = write_data(parts, folder, copy=copy, record=record, watch=watch)
    return Imported(path, parts, findings)


def _read_darknet(source: Path, names: Path | None, watch: Watch) -> dict[str, Dataset]:
    known, wrong = read_names(names) if names else (None, ())
    if source.suffix == ".data":
        data = read_options(source)
        if data.classifies:
            raise DarkshareError("is for a classifier (labels=), whose pictures have no boxes", file=str(source))
        return {part: read_data(source, part, names=known, watch=watch) for part in data.parts or ["train"]}
    if known is None:
        raise DarkshareError("is a list of pictures; name the file of the class names with --names", file=str(source))
    found = read_list(source, known, watch=watch)
    return {"all": replace(found, findings=(*wrong, *found.findings))}


def _pooled(parts: Mapping[str, Dataset]) -> Dataset:
    parts = united(parts)
    samples = tuple(sample for part in parts.values() for sample in part.samples)
    findings = tuple(finding for part in parts.values() for finding in part.findings)
    return replace(next(iter(parts.values())), samples=samples, findings=findings)


def _split(parts: Mapping[str, Dataset], share: float | None, seed: int, watch: Watch) -> dict[str, Dataset]:
    if share is None and "all" not in parts:
        return dict(parts)
    whole = _pooled(parts)
    share = SHARE if share is None else share
    if share == 0:
        return {"train": whole}
    train, valid = split(whole, share, seed, watch=watch)
    return {"train": train, "valid": valid}
