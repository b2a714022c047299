"""Import data sets of other programs as Darknet's files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from darkshare._tables import printable
from darkshare.data.classes import DIFFICULT, alike, united, with_classes, with_difficult, without_negatives
from darkshare.data.darknet import Watch
from darkshare.data.findings import NothingLeft, joined, telling
from darkshare.data.forks import changed
from darkshare.data.formats import FORMATS, LEGIBILITY, Asked, format_of
from darkshare.data.negatives import lack_of_negatives
from darkshare.data.splitting import SHARE, split
from darkshare.data.tables import DataResult
from darkshare.data.twins import counted, cure, twins_in, without_twins
from darkshare.data.types import Dataset, Finding, Sample
from darkshare.data.writing import write_data
from darkshare.errors import BadValue, DarkshareError, checked, warn


class Wanted(NamedTuple):
    """The part of a data set that is wanted, and how it is divided; see `import_data`."""

    keep: tuple[str, ...]
    rename: Mapping[str, str]
    single: str | None
    difficult: str
    negatives: bool
    share: float | None
    test: float
    seed: int
    drop_twins: bool


class Imported(DataResult):
    """The data set that was written, as it was read, and everything that is wrong with its source."""

    def notes(self) -> list[str]:
        learn = self.parts.get("train")
        lack = lack_of_negatives(learn, self.path.with_name("train.txt")) if isinstance(learn, Dataset) else []
        wrote = f"Wrote {printable(str(self.path))}; start Darknet in {printable(str(self.path.parent))}"
        return ["\n".join(lack), wrote] if lack else [wrote]


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
    form = format or format_of(source)
    if form not in FORMATS:
        raise BadValue(f"unknown format {form}; use one of {', '.join(FORMATS)}")
    folder, known = (None if path is None else Path(path) for path in (images, names))
    if folder is not None and not folder.is_dir():
        raise DarkshareError("is not a folder of pictures", file=str(folder))
    asked = Asked(folder, known, legibility, language, text_class, watch)
    given = (name for name, value in asked._asdict().items() if value and value != getattr(Asked(watch=watch), name))
    if idle := [f"--{name.replace('_', '-')}" for name in given if name not in FORMATS[form].takes]:
        warn(f"{source}: {', '.join(idle)}: not used for a source in the format {form}")
    return FORMATS[form].read(source, asked)


@checked
def import_data(
    source: str | os.PathLike[str], output: str | os.PathLike[str], *,
    source_format: str | None = None, images: str | os.PathLike[str] | None = None,
    valid: str | os.PathLike[str] | None = None, split: float | None = None, test: float = 0.0, seed: int = 0,
    keep_classes: Sequence[str] = (), rename_classes: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    single_class: str | None = None, difficult: str = DIFFICULT[0], no_negatives: bool = False,
    drop_twins: bool = False, copy: bool = False, names: str | os.PathLike[str] | None = None,
    legibility: str = LEGIBILITY[0], language: Collection[str] = (), text_class: Collection[str] = (),
    findings: str | os.PathLike[str] | None = None, watch: Watch = iter,
) -> Imported:  # fmt: skip
    """Make Darknet's files of a data set in another format, or of one of Darknet's with other classes.

    Args:
        source: a file or folder of one of `formats.FORMATS`, such as a json, a folder of XML files or a data.yaml.
        output: the folder to make, see `write_data`.
        source_format: one of `formats.FORMATS`; without it, it is recognised.
        images: the folder of the pictures, if they are not near the source; for a data.yaml, where its paths start.
        valid: a second source, for validation.
        split: the share of the pictures, by their content, for validation; without it, the source's own, or 0.2.
        test: the share of the pictures to set aside for a measure that nothing was chosen by: of all of them, or of
            the source's own for training.
        seed: another number gives another split.
        keep_classes: the classes, as they are called after renaming, in this order; none for all.
        rename_classes: new names by old ones; classes that get the same name become one.
        single_class: one name for all classes.
        difficult: "list", "keep" or "drop" boxes that evaluation is to pass over, see `with_difficult`.
        no_negatives: leave out pictures without boxes.
        drop_twins: leave out pictures that are there twice, rather to train on; else one of two parts is an error.
        copy: copy the pictures instead of linking to them.
        names: the file of class names, where the source has none, or in the order wanted; not for COCO-Text.
        legibility: of COCO-Text: "both", "legible" or "illegible".
        language: of COCO-Text: "english", "not english", …; none for all.
        text_class: of COCO-Text: "machine printed", "handwritten", "others"; none for all.
        findings: a file for everything that is wrong with the sources: lines of text, or a table if it is a .csv.
        watch: goes through the pictures, for a progress bar.

    Raises:
        DarkshareError: a source cannot be read or has no such class, nothing is left, or the folder cannot be written.
    """
    read = partial(read_parts, format=source_format, images=images, names=names, legibility=legibility, watch=watch)
    read = partial(read, language=language, text_class=text_class)
    classes = tuple(keep_classes), dict(rename_classes), single_class
    choice = Wanted(*classes, difficult, not no_negatives, split, test, seed, drop_twins)
    found: list[Finding] = []
    with telling(found, findings):
        parts = _chosen({"train": source} if valid is None else {"train": source, "valid": valid}, read, choice, found)
        parts = _single(_divided(parts, choice, watch), choice, source, watch, found)
        record = {"source": str(source), "valid": valid and str(valid), **choice._asdict()}
        return Imported(write_data(parts, output, copy=copy, record=record, watch=watch), parts, tuple(found))


def _chosen(
    sources: Mapping[str, str | os.PathLike[str]],
    read: Callable[[str | os.PathLike[str]], dict[str, Dataset]],
    choice: Wanted,
    found: list[Finding],
) -> dict[str, Dataset]:
    """The parts of what is wanted of some sources; what is wrong with them is added to what was found.

    Raises:
        NothingLeft: there is no picture, or no box though there should be.
        DarkshareError: a picture is in two parts, and is not to be left out.
    """
    all_read: dict[str, dict[str, Dataset]] = {}
    for part, source in sources.items():
        all_read[part] = read(source)
        found[:] = joined([found, *(one.findings for one in all_read[part].values())])
    several = len(sources) > 1
    parts = {part: _pooled(one) for part, one in all_read.items()} if several else all_read["train"]
    parts = with_difficult(with_classes(united(parts), choice.keep, choice.rename, choice.single), choice.difficult)
    parts = parts if choice.negatives else without_negatives(parts)
    if missing := _missing(parts, divided=choice.share is None, expected=bool(found)):
        raise NothingLeft(f"no {missing} is left", file=str(sources["train"]), findings=found)
    source = Path(sources["train"])
    found += changed(source, parts.values())
    for name, other in alike(next(iter(parts.values())).names):
        rename = f"--rename-classes {shlex.quote(f'{name}={other}')}"
        found.append(
            Finding(source, None, f"{name} and {other} are two classes; {rename} makes them one", "classes alike")
        )
    return parts


def _single(
    parts: dict[str, Dataset],
    choice: Wanted,
    source: str | os.PathLike[str],
    watch: Watch,
    found: list[Finding],
) -> dict[str, Dataset]:
    """The parts with each picture once, if that is wanted; those that are there twice are added to what was found.

    Raises:
        DarkshareError: one is in two parts and is not to be left out, or none would be left to train on.
    """
    twins = twins_in(parts, watch)
    apart = next(counted(twins, parts), "")
    way = cure(parts, watch) if apart else ("--drop-twins",)
    if apart and not (choice.drop_twins and way == ("--drop-twins",)):
        does = "leaves them out" if way == ("--drop-twins",) else "divides them anew"
        what = f"{apart}; measured on them, results are too good; {' '.join(way)} {does}"
        raise DarkshareError(what, file=str(source))
    if not choice.drop_twins:
        found += (one.finding() for one in twins)
        return parts
    kept, gone = without_twins(parts, watch)
    found += (one.finding()._replace(text=f"{one.finding().text}; left out") for one in gone)
    return kept


def _missing(parts: Mapping[str, Dataset], *, divided: bool, expected: bool) -> str:
    """Name what the parts lack to be a data set, or nothing.

    Args:
        parts: of the data set.
        divided: whether they stay as they are.
        expected: whether there should be boxes.
    """
    samples = [sample for part in parts.values() for sample in part.samples]
    if not samples:
        return "picture"
    if divided and "train" in parts and not parts["train"].samples:
        return "picture to train on"
    return "box" if expected and not any(sample.boxes for sample in samples) else ""


def _pooled(parts: Mapping[str, Dataset]) -> Dataset:
    """The parts as one; a picture of two parts is in it as it was in the first."""
    samples: list[Sample] = []
    for part in (parts := united(parts)).values():
        before = {sample.picture for sample in samples}
        samples += (sample for sample in part.samples if sample.picture not in before)
    findings = joined(part.findings for part in parts.values())
    return replace(next(iter(parts.values())), samples=tuple(samples), findings=findings)


def _divided(parts: Mapping[str, Dataset], choice: Wanted, watch: Watch) -> dict[str, Dataset]:
    share = choice.share
    if share is None and "train" in parts:
        if choice.test and "test" in parts:
            raise BadValue("the source has a test part of its own; leave --test out")
        return _tested(dict(parts), choice, watch)
    share = SHARE if share is None else share
    found = _tested({"train": _pooled(parts)}, choice, watch)
    if share == 0:
        return found
    if share + choice.test >= 1:
        raise BadValue(f"--split {share:g} and --test {choice.test:g} leave nothing to train on")
    found["train"], valid = split(found["train"], share / (1 - choice.test), choice.seed, watch=watch)
    return {"train": found.pop("train"), "valid": valid, **found}


def _tested(parts: dict[str, Dataset], choice: Wanted, watch: Watch) -> dict[str, Dataset]:
    """The parts with a share of the training pictures as a part of its own, where one is asked for."""
    if not choice.test:
        return parts
    train, test = split(parts["train"], choice.test, choice.seed, watch=watch)
    return {**parts, "train": train, "test": test}
