"""A plain YOLO folder: pictures, a .txt of labels for each, and a file of class names."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from darkshare._files import is_file, is_folder, read_small, resolved
from darkshare._images import PICTURES, picture_size
from darkshare._texts import read_text
from darkshare.data.darknet import Watch
from darkshare.data.datafiles import read_names
from darkshare.data.findings import NothingLeft
from darkshare.data.formats.folders import by_folder, divided, files_below
from darkshare.data.labels import LARGEST_LABELS, WHOLE, label_path, parse_labels
from darkshare.data.lists import Listed, listed_pictures
from darkshare.data.types import Dataset, Finding, Sample
from darkshare.errors import DarkshareError

NAME_FILES = ("classes.txt", "class_list.txt", "labels.txt", "_darknet.labels")  # and *.names, and Label Studio's:
NOTES = "notes.json"
_TRIED = 100  # text files of a folder, of which the first may be empty or something else
MOST_NUMBERS = 1000  # classes, where no file names them
_LISTS = {"train.txt": "train", "val.txt": "valid", "valid.txt": "valid", "test.txt": "test"}
Names = tuple[str, ...]


class Found(NamedTuple):
    """Labelled pictures, and what is wrong with them."""

    samples: tuple[Sample, ...]
    findings: tuple[Finding, ...]


def is_yolo(source: Path, _: bytes) -> bool:
    """Whether it is a folder with a text file that begins with a line of five numbers or more."""
    if not is_folder(source):
        return False
    return any(map(_describes, islice(files_below(source, ".txt"), _TRIED)))


def _describes(path: Path) -> bool:
    try:
        first = next(filter(None, read_text(path, LARGEST_LABELS).lines), "")
        class_id, *numbers = map(float, first.split() or ["-1"])
        return class_id >= 0 and class_id.is_integer() and len(numbers) > 3 and all(map(isfinite, numbers))
    except (DarkshareError, ValueError):
        return False


def read_yolo(
    folder: Path, *, images: Path | None = None, names: Names | None = None, watch: Watch = iter
) -> dict[str, Dataset]:
    """Read all pictures below a folder that have label files beside them, or in `labels` where they are in `images`.

    Lines with a polygon of three or more points become the box around it. Pictures without a label file are left out.

    Args:
        folder: with the pictures, or with the label files alone.
        images: the folder of the pictures, if they are elsewhere; their labels have the same names in `folder`, or in
            a folder in it if no other label file and no other picture is called so.
        names: of the classes; without them, those of a classes.txt, a .names file or a notes.json in the folder, or
            else numbers.
        watch: goes through the pictures, for a progress bar.

    Returns:
        The parts that train.txt, valid.txt and test.txt in the folder make, or folders of such names, or else all in
        one: "all".

    Raises:
        DarkshareError: it has no pictures with labels, or several files of class names that differ.
    """
    known, findings = (names, []) if names else _names(folder)
    pictures = list(files_below(images or folder, *PICTURES))
    if not pictures:
        raise DarkshareError("holds no pictures; name their folder with --images", file=str(images or folder))

    texts = {path for path in files_below(folder, ".txt") if path.name not in NAME_FILES}
    places = (
        _apart(pictures, images, folder, texts) if images else {picture: label_path(picture) for picture in pictures}
    )
    texts -= set(places.values())
    lists = [path for name in _LISTS if (path := folder / name) in texts]
    lost = sorted(path for path in texts.difference(lists) if not path.name.startswith("README"))
    findings += [Finding(path, None, "no picture has these labels; left out", "no picture") for path in lost]
    found = labelled(places, len(known) if known else MOST_NUMBERS, watch=watch)
    if not found.samples:
        cure = "" if images else "; if they lie in a folder of their own, give that, and with --images the pictures'"
        what = f"none of its pictures has labels{cure}"
        raise NothingLeft(what, file=str(folder), findings=(*findings, *found.findings))
    if known is None:
        known = tuple(map(str, range(1 + max((b.class_id for s in found.samples for b in s.boxes), default=0))))
        findings.append(Finding(folder, None, "names no classes (--names does); they are called by their numbers"))
    whole = Dataset(resolved(folder).name, known, found.samples, (*findings, *found.findings))
    return _by_list(whole, lists) if folder / "train.txt" in lists else by_folder(whole, images or folder)


def _apart(pictures: Sequence[Path], images: Path, folder: Path, texts: Collection[Path]) -> dict[Path, Path]:
    """The label files of pictures in another folder than these."""
    called: dict[str, list[Path]] = defaultdict(list)
    for path in (*pictures, *texts):
        called[path.stem].append(path)
    places: dict[Path, Path] = {}
    for picture in pictures:
        beside = (folder / picture.relative_to(images)).with_suffix(".txt")
        lone = [path for path in called[picture.stem] if path != picture]
        others = [beside, label_path(picture), *(lone if len(lone) == 1 else ())]
        places[picture] = next(filter(is_file, others), beside)
    return places


def _by_list(whole: Dataset, lists: Sequence[Path]) -> dict[str, Dataset]:
    """The parts that lists of pictures make, see `divided`; a picture of two lists counts in the first."""
    found: dict[str, str] = {}
    findings: list[Finding] = []
    for path in lists:
        for one in listed(path, ()):
            if isinstance(one, Finding):
                findings.append(one)
            elif (first := found.setdefault(os.path.realpath(one.picture), path.name)) != path.name:
                what = f"{one.name} is in {first} too, where it counts"
                findings.append(Finding(path, one.line, what, "in two lists"))
    whole = replace(whole, findings=(*whole.findings, *findings))
    return divided(whole, lambda picture: _LISTS.get(found.get(os.path.realpath(picture), ""), ""), "the list")


def listed(
    path: Path, bases: Sequence[Path], watch: Watch = iter, *, confined: bool = False
) -> Iterator[Listed | Finding]:
    """The pictures of a list, see `listed_pictures`, or why it cannot be read."""
    try:
        yield from listed_pictures(path, bases, watch, confined=confined)
    except DarkshareError as error:
        yield Finding(path, error.line, f"{error.message}; left out")


def labelled(
    places: Mapping[Path, Path],
    classes: int,
    *,
    keypoints: int = 0,
    background: bool = False,
    watch: Watch = iter,
) -> Found:
    """The pictures with what their label files say.

    Args:
        places: the label file of each picture.
        classes: how many there are.
        keypoints: how many numbers follow the box in a line.
        background: a picture without a label file has nothing on it; otherwise it is left out.
        watch: goes through the pictures.
    """
    samples: list[Sample] = []
    findings: list[Finding] = []
    owners: dict[Path, Path] = {}
    for picture, place in watch(list(places.items())):
        try:
            picture_size(picture)
            text = read_text(place, LARGEST_LABELS).text if is_file(place) else None
        except DarkshareError as error:
            kind = "not a label file" if error.file == str(place) else "not a picture"
            findings.append(Finding(Path(error.file or picture), None, f"{error.message}; left out", kind))
            continue
        if text is not None:
            lines = "\n".join(_as_box(line, keypoints) for line in text.split("\n"))
            labels = parse_labels(lines, classes, place)
            if (owner := owners.setdefault(place, picture)) != picture:
                what = f"shares its labels with {owner.name}"
                findings.append(Finding(picture, None, what, "two pictures of one label file"))
            samples.append(Sample(picture, labels.boxes))
            findings += labels.findings
        elif background:
            samples.append(Sample(picture, ()))
            findings.append(Finding(picture, None, "no label file: nothing is on it, as Ultralytics reads it"))
        else:
            what = "no label file; left out (an empty one says that nothing is on it)"
            findings.append(Finding(picture, None, what, "no label file"))
    return Found(tuple(samples), tuple(findings))


def _as_box(line: str, keypoints: int) -> str:
    """A line with a polygon, or a box and keypoints, as a line with a box; any other one as it is."""
    class_id, *fields = line.split() or [""]
    class_id = WHOLE.sub("", class_id)
    if keypoints and len(fields) == 4 + keypoints:
        fields = fields[:4]
    if len(fields) == 4:
        return " ".join([class_id, *fields])
    try:
        values = [float(field) for field in fields]
    except ValueError:
        return line
    if len(values) < 6 or len(values) % 2 or not all(map(isfinite, values)):
        return line
    left, right, top, bottom = min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])
    return f"{class_id} {(left + right) / 2!r} {(top + bottom) / 2!r} {right - left!r} {bottom - top!r}"


def _names(folder: Path) -> tuple[Names | None, list[Finding]]:
    """The class names that a file in the folder gives, and what is wrong with them.

    Raises:
        DarkshareError: several such files differ.
    """
    files = [
        path
        for path in files_below(folder, ".names", *NAME_FILES)
        if path.suffix == ".names" or path.name in NAME_FILES
    ]
    found: dict[Path, tuple[Names, Sequence[Finding]]] = {path: read_names(path) for path in files}
    for path in files_below(folder, f"{os.sep}{NOTES}"):
        with suppress(DarkshareError) if files else nullcontext():
            found[path] = _noted(path), ()
    if len({known for known, _ in found.values()}) > 1:
        places = ", ".join(str(path.relative_to(folder)) for path in found)
        raise DarkshareError(f"has files of class names that differ ({places}); choose with --names", file=str(folder))
    known, findings = next(iter(found.values()), ((), ()))
    return known or None, list(findings)


def _noted(path: Path) -> Names:
    """The class names of Label Studio's notes.json, in the order of their ids.

    Raises:
        DarkshareError: it has no such names.
    """
    try:
        rows = {int(row["id"]): str(row["name"]).strip() for row in json.loads(read_small(path))["categories"]}
        return tuple(rows[index] for index in range(len(rows)))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DarkshareError("has no categories with id and name; choose with --names", file=str(path)) from None
