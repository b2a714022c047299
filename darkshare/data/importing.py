"""Import data sets of other programs as Darknet's files."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from darkshare._files import is_folder, reading
from darkshare._tables import printable
from darkshare.data.classes import DIFFICULT, united, with_classes, with_difficult, without_negatives
from darkshare.data.coco import read_coco
from darkshare.data.cocotext import LEGIBILITY, read_coco_text
from darkshare.data.darknet import Watch, read_data, read_list
from darkshare.data.datafiles import read_names, read_options
from darkshare.data.forks import changed
from darkshare.data.splitting import split
from darkshare.data.tables import DataResult
from darkshare.data.types import Dataset
from darkshare.data.voc import read_voc
from darkshare.data.writing import write_data
from darkshare.errors import BadValue, DarkshareError, checked

FORMATS = ("voc", "coco", "coco-text", "darknet")
SHARE = 0.2  # for validation, where the source does not say which pictures are for that
_START = 2**16  # bytes of a json that show which kind it is


class Wanted(NamedTuple):
    """The part of a data set that is wanted, and how it is divided; see `import_data`."""

    keep: tuple[str, ...]
    rename: Mapping[str, str]
    single: str | None
    difficult: str
    negatives: bool
    share: float | None
    seed: int


class Imported(DataResult):
    """The data set that was written, as it was read, and everything that is wrong with its source."""

    def notes(self) -> list[str]:
        return [f"Wrote {printable(str(self.path))}; start Darknet in {printable(str(self.path.parent))}"]


def format_of(source: Path) -> str:
    """Recognise the format of a file or folder.

    Raises:
        DarkshareError: it is none of those that are known.
    """
    if is_folder(source):
        if next(source.rglob("*.xml"), None):
            return "voc"
        raise DarkshareError("holds no Pascal VOC XML files; give the json or the .data file", file=str(source))
    if source.suffix in (".data", ".txt"):
        return "darknet"
    with reading(source), source.open("rb") as file:
        start = file.read(_START)
    if start.lstrip()[:1] == b"{":
        return "coco-text" if re.search(rb'"(cats|anns|imgs|imgToAnns)"\s*:', start) else "coco"
    raise DarkshareError(f"is of no format that is known; say --format {', '.join(FORMATS)}", file=str(source))


def read_parts(
    source: str | os.PathLike[str],
    *,
    format: str | None = None,
    images: str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | None = None,
    legibility: str = LEGIBILITY[0],
    language: Collection[str] = (),
    text_class: Collection[str] = (),
    watch: Watch = iter,
) -> dict[str, Dataset]:
    """Read a data set of any format, in the parts that it names: train, valid, test, or else "all".

    The parameters are those of `import_data`.

    Raises:
        DarkshareError: it cannot be read as that.
    """
    source = Path(source)
    folder = None if images is None else Path(images)
    form = format or format_of(source)
    if form == "voc":
        return read_voc(source, images=folder, watch=watch)
    if form == "coco":
        return {"all": read_coco(source, images=folder, watch=watch)}
    if form == "coco-text":
        return read_coco_text(
            source, images=folder, legibility=legibility, language=language, text_class=text_class, watch=watch
        )
    if form != "darknet":
        raise BadValue(f"unknown format {form}; use one of {', '.join(FORMATS)}")
    return _read_darknet(source, None if names is None else Path(names), watch)


@checked
def import_data(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str | None = None,
    images: str | os.PathLike[str] | None = None,
    valid: str | os.PathLike[str] | None = None,
    split: float | None = None,
    seed: int = 0,
    keep_classes: Sequence[str] = (),
    rename_classes: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    single_class: str | None = None,
    difficult: str = DIFFICULT[0],
    no_negatives: bool = False,
    copy: bool = False,
    names: str | os.PathLike[str] | None = None,
    legibility: str = LEGIBILITY[0],
    language: Collection[str] = (),
    text_class: Collection[str] = (),
    watch: Watch = iter,
) -> Imported:
    """Make Darknet's files of a data set in another format, or of one of Darknet's with other classes.

    Args:
        source: a folder of XML files, a json, a .data file or a list of pictures.
        output: the folder to make, see `write_data`.
        format: of the source: voc, coco, coco-text or darknet; without it, it is recognised.
        images: the folder of the pictures, for XML and json, if they are not near the source.
        valid: a second source, for validation.
        split: the share of the pictures, by their content, that are set aside for validation, whatever the source
            says; 0 for none. Without it, the source's own parts, or 0.2 where it has none.
        seed: another number gives another split.
        keep_classes: the classes, as they are called after renaming, in this order; none for all.
        rename_classes: new names by old ones; classes that get the same name become one.
        single_class: one name for all classes.
        difficult: "list", "keep" or "drop" boxes that evaluation is to pass over, see `with_difficult`.
        no_negatives: leave out pictures without boxes.
        copy: copy the pictures instead of linking to them.
        names: the file of class names, for a list of pictures; for a .data file, instead of its own.
        legibility: of COCO-Text: "both", "legible" or "illegible".
        language: of COCO-Text: "english", "not english", …; none for all.
        text_class: of COCO-Text: "machine printed", "handwritten", "others"; none for all.
        watch: goes through the pictures, for a progress bar.

    Raises:
        DarkshareError: a source cannot be read, has no such class, or the folder cannot be written.
    """
    read = partial(
        read_parts, format=format, images=images, names=names, legibility=legibility, language=language,
        text_class=text_class, watch=watch,
    )  # fmt: skip
    choice = Wanted(tuple(keep_classes), dict(rename_classes), single_class, difficult, not no_negatives, split, seed)
    parts = read(source) if valid is None else {"train": _pooled(read(source)), "valid": _pooled(read(valid))}
    chosen = _chosen(united(parts), choice, watch)
    if not any(part.samples for part in chosen.values()):
        raise DarkshareError("no picture is left", file=str(source))
    record = {"source": str(source), "valid": valid and str(valid), **choice._asdict()}
    findings = tuple(dict.fromkeys(finding for part in parts.values() for finding in part.findings))
    findings += tuple(changed(Path(source), chosen.values()))
    return Imported(write_data(chosen, output, copy=copy, record=record, watch=watch), chosen, findings)


def _chosen(parts: Mapping[str, Dataset], choice: Wanted, watch: Watch) -> dict[str, Dataset]:
    parts = with_difficult(with_classes(parts, choice.keep, choice.rename, choice.single), choice.difficult)
    return _divided(parts if choice.negatives else without_negatives(parts), choice.share, choice.seed, watch)


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


def _divided(parts: Mapping[str, Dataset], share: float | None, seed: int, watch: Watch) -> dict[str, Dataset]:
    if share is None and "all" not in parts:
        return dict(parts)
    whole = _pooled(parts)
    share = SHARE if share is None else share
    if share == 0:
        return {"train": whole}
    train, valid = split(whole, share, seed, watch=watch)
    return {"train": train, "valid": valid}
