"""A plain YOLO folder: pictures, a .txt of labels for each, and a file of class names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from darkshare._files import read_small
from darkshare._images import PICTURES
from darkshare._texts import read_text
from darkshare.data.darknet import Watch
from darkshare.data.datafiles import read_names
from darkshare.data.findings import NothingLeft
from darkshare.data.formats.folders import by_folder, divided, files_below
from darkshare.data.labels import LARGEST_LABELS, PictureLabels, label_path, parse_labels
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
    if not source.is_dir():
        return False
    texts = (path for path in files_below(source) if path.suffix == ".txt")
    return any(map(_describes, islice(texts, _TRIED)))


def _describes(path: Path) -> bool:
    try:
        first = next(filter(None, read_text(path, LARGEST_LABELS).lines), "").split()
        return len(first) > 4 and first[0].isdecimal() and all(map(isfinite, map(float, first)))
    except (DarkshareError, ValueError):
        return False


def read_yolo(
    folder: Path, *, images: Path | None = None, names: Names | None = None, watch: Watch = iter
) -> dict[str, Dataset]:
    """Read all pictures below a folder that have label files beside them, or in `labels` where they are in `images`.

    Lines with a polygon of three or more points become the box around it. Pictures without a label file are left out.

    Args:
        folder: with the pictures, or with the label files alone.
        images: the folder of the pictures, if they are elsewhere; their labels have the same names in `folder`.
        names: of the classes; without them, those of a classes.txt, a .names file or a notes.json in the folder, or
            else numbers.
        watch: goes through the pictures, for a progress bar.

    Returns:
        The parts that train.txt, valid.txt and test.txt in the folder make, or folders of such names, or else all in
        one: "all".

    Raises:
        DarkshareError: it has no pictures with labels, or several files of class names that differ.
    """
    files = files_below(folder)
    known, findings = (names, []) if names else _names(files, folder)
    pictures = [path for path in (files_below(images) if images else files) if path.suffix.lower() in PICTURES]
    if not pictures:
        raise DarkshareError("holds no pictures; name their folder with --images", file=str(images or folder))

    def place_of(picture: Path) -> Path:
        beside = (folder / picture.relative_to(images)).with_suffix(".txt") if images else picture
        return beside if beside.is_file() and images else label_path(picture)

    used = {place_of(picture) for picture in pictures}
    texts = [path for path in files if path.suffix == ".txt" and path not in used and path.name not in NAME_FILES]
    lists = {_LISTS[path.name]: path for path in texts if path.parent == folder and path.name in _LISTS}
    lost = [path for path in texts if path not in lists.values() and not path.name.startswith("README")]
    findings += [Finding(path, None, "no picture has these labels; left out") for path in lost]
    found = labelled(pictures, len(known) if known else MOST_NUMBERS, place_of, watch=watch)
    if not found.samples:
        raise NothingLeft("none of its pictures has labels", file=str(folder), findings=(*findings, *found.findings))
    if known is None:
        known = tuple(map(str, range(1 + max((b.class_id for s in found.samples for b in s.boxes), default=0))))
        findings.append(Finding(folder, None, "names no classes (--names does); they are called by their numbers"))
    whole = Dataset(folder.resolve().name, known, found.samples, (*findings, *found.findings))
    return _by_list(whole, lists) if "train" in lists else by_folder(whole, images or folder)


def _by_list(whole: Dataset, lists: Mapping[str, Path]) -> dict[str, Dataset]:
    """The parts that lists of pictures make, by the names of these; see `divided`."""
    parts = {
        PurePosixPath(line.replace("\\", "/")).name: part
        for part, path in lists.items()
        for line in read_text(path).lines
    }
    return divided(whole, lambda picture: parts.get(picture.name, ""), "the list")


def labelled(
    pictures: Iterable[Path],
    classes: int,
    place_of: Callable[[Path], Path] = label_path,
    *,
    keypoints: int = 0,
    background: bool = False,
    watch: Watch = iter,
) -> Found:
    """The pictures with what their label files say.

    Args:
        pictures: the files.
        classes: how many there are.
        place_of: the label file of a picture.
        keypoints: how many numbers follow the box in a line.
        background: a picture without a label file has nothing on it; otherwise it is left out.
        watch: goes through the pictures.
    """
    samples: list[Sample] = []
    findings: list[Finding] = []
    owners: dict[Path, Path] = {}
    for picture in watch(list(pictures)):
        place = place_of(picture)
        if place.is_file():
            labels = _labels(place, classes, keypoints)
            if (owner := owners.setdefault(place, picture)) != picture:
                findings.append(
                    Finding(picture, None, f"shares its labels with {owner.name}", "two pictures of one label file")
                )
            samples.append(Sample(picture, labels.boxes))
            findings += labels.findings
        elif background:
            samples.append(Sample(picture, ()))
            findings.append(Finding(picture, None, "no label file: nothing is on it, as Ultralytics reads it"))
        else:
            findings.append(Finding(picture, None, "no label file; left out (an empty one says that nothing is on it)"))
    return Found(tuple(samples), tuple(findings))


def _labels(place: Path, classes: int, keypoints: int) -> PictureLabels:
    try:
        text = read_text(place, LARGEST_LABELS).text
    except DarkshareError as error:
        return PictureLabels((), (Finding(place, None, error.message),))
    return parse_labels("\n".join(_as_box(line, keypoints) for line in text.split("\n")), classes, place)


def _as_box(line: str, keypoints: int) -> str:
    """A line with a polygon, or a box and keypoints, as a line with a box; any other one as it is."""
    class_id, *fields = line.split() or [""]
    if keypoints and len(fields) == 4 + keypoints:
        return " ".join([class_id, *fields[:4]])
    try:
        values = [float(field) for field in fields]
    except ValueError:
        return line
    if len(values) < 6 or len(values) % 2 or not all(map(isfinite, values)):
        return line
    left, right, top, bottom = min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])
    return f"{class_id} {(left + right) / 2!r} {(top + bottom) / 2!r} {right - left!r} {bottom - top!r}"


def _names(files: Sequence[Path], folder: Path) -> tuple[Names | None, list[Finding]]:
    """The class names that a file in the folder gives, and what is wrong with them.

    Raises:
        DarkshareError: several such files differ.
    """
    found = {path: read_names(path) for path in files if path.name in NAME_FILES or path.suffix == ".names"}
    found = found or {path: (_noted(path), ()) for path in files if path.name == NOTES}
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
        rows = {row["id"]: str(row["name"]) for row in json.loads(read_small(path))["categories"]}
        return tuple(rows[index] for index in range(len(rows)))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DarkshareError("has no categories with id and name; choose with --names", file=str(path)) from None
