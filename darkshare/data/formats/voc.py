"""Pascal VOC: an XML file per picture, flat or in nested folders; also as roLabelImg, Roboflow and LabelMe write it."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from darkshare._files import is_file, is_folder
from darkshare._images import PICTURES
from darkshare._texts import read_text
from darkshare.data.annotated import Annotated, Outline, Size, dataset, turned
from darkshare.data.darknet import Watch
from darkshare.data.formats.cvat import is_cvat
from darkshare.data.formats.folders import files_below
from darkshare.data.formats.xml import Element, read_xml
from darkshare.data.types import Dataset, Finding, Sample
from darkshare.errors import DarkshareError

CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ROTATED = ("cx", "cy", "w", "h", "angle")
_SIZES = {"size": ("width", "height"), "imagesize": ("ncols", "nrows")}  # VOC's, LabelMe's
_SETS = {"train": "train", "val": "valid", "test": "test"}
_IN_CLASS = re.compile(r"\s+-?[01]$")  # behind a name in a list of one class: whether it is on the picture


def read_voc(
    folder: str | os.PathLike[str],
    *,
    images: Path | None = None,
    names: Sequence[str] | None = None,
    watch: Watch = iter,
) -> dict[str, Dataset]:
    """Read all Pascal VOC XML files in a folder and below it.

    The corners become fractions as in Darknet's scripts/voc_label.py: pixels count from 1. Rotated boxes (<robndbox>)
    and polygons become the level box around them; those count from 0.

    Args:
        folder: with the XML files.
        images: the folder of the pictures; without it, they are looked for beside the XML files, in JPEGImages and in
            images.
        names: of the classes, in order; without them, those that the files name, in the order of the alphabet.
        watch: goes through the files, for a progress bar.

    Returns:
        The parts that ImageSets/Main names (train, val, test), else all in one: "all".

    Raises:
        DarkshareError: there are no XML files, or no pictures of theirs.
    """
    root = Path(folder)
    files = list(files_below(root, ".xml"))
    if not files:
        raise DarkshareError("holds no XML files", file=str(root))
    found = dataset(str(root), map(_annotation, watch(files)), images=images, names=names)
    return _parts(Dataset(root.name, found.names, found.samples, found.findings), root)


def is_voc(source: Path, start: bytes) -> bool:
    """Whether it is a folder of XML files that are not CVAT's."""
    return is_folder(source) and next(files_below(source, ".xml"), None) is not None and not is_cvat(source, start)


def _annotation(path: Path) -> Annotated | Finding:
    try:
        root = read_xml(path)
    except DarkshareError as error:
        return Finding(path, error.line, f"{error.message}; left out", "not readable as XML")
    if root.tag != "annotation":
        what = f"<{root.tag[:40]}> is not a Pascal VOC <annotation>; left out"
        return Finding(path, root.line, what, "not an annotation")
    objects = [child for child in root.children if child.tag == "object" and child.said("deleted") != "1"]
    outlines = [_outline(path, node) for node in objects]
    return Annotated(path, root.said("filename"), _size(root), outlines, alone=True)


def _size(root: Element) -> Size | None:
    """Width and height in pixels, where the file says them."""
    for tag, sides in _SIZES.items():
        if found := root.find(tag):
            try:
                width, height = (int(float(found.said(side))) for side in sides)
            except (ValueError, OverflowError):
                return None
            return (width, height) if width > 0 and height > 0 else None
    return None


def _outline(path: Path, node: Element) -> Outline | Finding:
    name = node.said("name")
    for tag, points_of in _SHAPES.items():
        if shape := node.find(tag):
            try:
                points = points_of(shape)
            except ValueError:
                continue
            return Outline(name, points, node.line, node.said("difficult") == "1")
    what = f"no <bndbox> with the numbers {', '.join(CORNERS)}, and no other outline; left out"
    return Finding(path, node.line, f"{name}: {what}" if name else f"an object without a name: {what}", "no outline")


def _corners(node: Element) -> list[tuple[float, float]]:
    left, top, right, bottom = (float(node.said(side)) for side in CORNERS)
    return [(left - 1, top - 1), (right - 1, bottom - 1)]


def _rotated(node: Element) -> list[tuple[float, float]]:
    """The corners of a box of roLabelImg's: centre, size, and an angle in radians; or written out."""
    if node.find("angle") is None:
        return _polygon(node)
    x, y, w, h, angle = (float(node.said(tag)) for tag in _ROTATED)
    return turned(x, y, w, h, angle)


def _polygon(node: Element) -> list[tuple[float, float]]:
    """The points of <pt><x/><y/></pt> one after another (LabelMe), or of <x1/><y1/><x2/> … (Roboflow, DIOR, …)."""
    points = [child for child in node.children if child.tag in ("pt", "point")]
    if points:
        return [(float(point.said("x")), float(point.said("y"))) for point in points]
    xs, ys = ([float(child.text) for child in node.children if child.tag.startswith(axis)] for axis in "xy")
    if len(xs) < 2 or len(xs) != len(ys):
        raise ValueError
    return list(zip(xs, ys, strict=True))


_SHAPES = {"bndbox": _corners, "robndbox": _rotated, "polygon": _polygon}  # the first that is there and whole


def _parts(whole: Dataset, root: Path) -> dict[str, Dataset]:
    """The parts that ImageSets/Main names; a picture that is in none of them is a finding."""
    folders = [found for pattern in ("", "*/") for found in sorted(root.glob(f"{pattern}ImageSets/Main"))]
    lists = {part: [path for at in folders if is_file(path := at / f"{name}.txt")] for name, part in _SETS.items()}
    if not (lists["train"] and (lists["valid"] or lists["test"])):
        return {"all": whole}
    by_stem: dict[str, list[Sample]] = defaultdict(list)
    for sample in whole.samples:
        by_stem[sample.picture.stem].append(sample)
    findings: list[Finding] = []
    chosen: dict[str, dict[Path, Sample]] = {part: {} for part, paths in lists.items() if paths}
    for part, paths in lists.items():
        for path in paths:
            for number, line in enumerate(read_text(path).lines, 1):
                found = _listed(line, by_stem)
                chosen[part].update((sample.picture, sample) for sample in found)
                if line and not found:
                    what = f"'{line}' is not among the pictures that could be read; left out"
                    findings.append(Finding(path, number, what, "in ImageSets alone"))
    named = set().union(*chosen.values())
    lost = (s.picture for s in whole.samples if s.picture not in named)
    findings += (Finding(picture, None, "is in no list of ImageSets; left out") for picture in lost)
    parts = {
        part: Dataset(whole.name, whole.names, tuple(s for s in whole.samples if s.picture in wanted))
        for part, wanted in chosen.items()
    }
    parts["train"] = Dataset(whole.name, whole.names, parts["train"].samples, (*whole.findings, *findings))
    return parts


def _listed(line: str, by_stem: Mapping[str, list[Sample]]) -> list[Sample]:
    """The pictures of a line: a name with or without folders, suffix, and the column of a list of one class."""
    for written in dict.fromkeys((line, _IN_CLASS.sub("", line))):
        path = PurePosixPath(written.replace("\\", "/").lstrip("/"))
        stem = path.stem if path.suffix.lower() in PICTURES | {".xml"} else path.name
        folders = path.parent.parts
        if there := by_stem.get(stem):
            within = [s for s in there if s.picture.parent.parts[-len(folders) :] == folders] if folders else []
            return within or there
    return []
