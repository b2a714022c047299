"""Pascal VOC: one XML file per picture, flat or in nested folders as in Logos in the Wild."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from darkshare._files import require_regular
from darkshare._images import PICTURES, read_picture
from darkshare._texts import read_text
from darkshare.data.darknet import Watch
from darkshare.data.labels import PictureLabels, gathered, within
from darkshare.data.types import Box, Dataset, Finding, Sample
from darkshare.errors import DarkshareError

LARGEST_XML = 2**21  # bytes; thousands of objects
DEEPEST = 20
CORNERS = ("xmin", "ymin", "xmax", "ymax")
_PICTURE_FOLDERS = ("", "JPEGImages", "images", "../JPEGImages", "../images")  # seen from the XML files' folder
_SETS = {"train": "train", "val": "valid", "test": "test"}


@dataclass(slots=True)
class Element:
    """An XML element."""

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, tag: str) -> Element | None:
        """The first child of that tag."""
        return next((child for child in self.children if child.tag == tag), None)

    def said(self, tag: str) -> str:
        """The text of that child on one line; empty without one."""
        found = self.find(tag)
        return " ".join(found.text.split()) if found else ""


class Annotation(NamedTuple):
    """The content of one XML file."""

    path: Path
    root: Element

    @property
    def objects(self) -> list[Element]:
        return [child for child in self.root.children if child.tag == "object"]


class PictureFolders:
    """The pictures beside XML files; each folder is listed once."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._listings: dict[Path, dict[str, Path]] = {}

    def of(self, annotation: Annotation) -> Path | None:
        """The picture of the name of the XML file, else the one that it names."""
        named = Path(annotation.root.said("filename").replace("\\", "/")).stem
        beside = [annotation.path.parent / folder for folder in _PICTURE_FOLDERS]
        return next(
            (
                listing[stem]
                for stem in (annotation.path.stem, named)
                for folder in (*self._folders, *beside)
                if stem in (listing := self._listing(folder))
            ),
            None,
        )

    def _listing(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listings:
            try:
                found = sorted(entry.name for entry in os.scandir(folder))
            except OSError:
                found = []
            names = (name for name in found if Path(name).suffix.lower() in PICTURES)
            self._listings[folder] = {Path(name).stem: folder / name for name in names}
        return self._listings[folder]


def read_voc(
    folder: str | os.PathLike[str],
    *,
    images: Path | None = None,
    watch: Watch = iter,
) -> dict[str, Dataset]:
    """Read all Pascal VOC XML files in a folder and below it.

    The corners become fractions as in Darknet's scripts/voc_label.py: pixels count from 1.

    Args:
        folder: with the XML files.
        images: the folder of the pictures; without it, they are looked for beside the XML files, in JPEGImages and in
            images.
        watch: goes through the files, for a progress bar.

    Returns:
        The parts that ImageSets/Main names (train, val, test), else all in one: "all". The classes are those that the
        files name, in the order of the alphabet.

    Raises:
        DarkshareError: there are no XML files, or no pictures of theirs.
    """
    root = Path(folder)
    found = [_annotation(path) for path in watch(_xml_files(root))]
    findings = [one for one in found if isinstance(one, Finding)]
    annotations = [one for one in found if not isinstance(one, Finding)]
    known = tuple(sorted({node.said("name") for one in annotations for node in one.objects} - {""}))
    ids = {name: index for index, name in enumerate(known)}
    pictures = PictureFolders(*([images] if images else []))
    samples: dict[Path, Sample] = {}
    for one in annotations:
        picture = pictures.of(one)
        if picture is None:
            named = one.root.said("filename")
            findings.append(Finding(one.path, None, f"no picture of this name and no '{named}' near it; left out"))
            continue
        labels = _labels(one, picture, ids)
        findings += labels.findings
        if picture in samples:
            findings.append(Finding(one.path, None, f"{picture} has labels already; these are added to them"))
        before = samples[picture].boxes if picture in samples else ()
        samples[picture] = Sample(picture, tuple(dict.fromkeys((*before, *labels.boxes))))
    if not samples:
        raise DarkshareError(
            "none of the pictures of its XML files was found; name their folder with --images", file=str(root)
        )
    whole = Dataset(root.name, known, tuple(samples.values()), tuple(findings))
    return _parts(whole, root)


def _xml_files(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DarkshareError("is not a folder of Pascal VOC XML files", file=str(root))
    found = sorted(root.rglob("*.xml"))
    if not found:
        raise DarkshareError("holds no XML files", file=str(root))
    return found


def _annotation(path: Path) -> Annotation | Finding:
    try:
        if require_regular(path) > LARGEST_XML:
            return Finding(path, None, f"has more than {LARGEST_XML} bytes; left out")
        root = parse_xml(path.read_bytes())
    except OSError as error:
        return Finding(path, None, f"cannot be read: {error.strerror or error}; left out")
    except DarkshareError as error:
        return Finding(path, error.line, f"{error.message}; left out")
    if root.tag != "annotation":
        return Finding(path, root.line, f"<{root.tag[:40]}> is not a Pascal VOC <annotation>; left out")
    return Annotation(path, root)


def parse_xml(data: bytes) -> Element:
    """The elements of an XML text, with their lines.

    Raises:
        DarkshareError: with the line, where it is not XML, or declares entities, which can grow without bounds.
    """
    parser = expat.ParserCreate()
    top = Element("", 0)
    stack = [top]

    def start(tag: str, _: object) -> None:
        if len(stack) > DEEPEST:
            raise DarkshareError(f"has more than {DEEPEST} elements in each other", line=parser.CurrentLineNumber)
        node = Element(tag, parser.CurrentLineNumber)
        stack[-1].children.append(node)
        stack.append(node)

    def text(data: str) -> None:
        stack[-1].text += data

    def refuse(*_: object) -> None:
        raise DarkshareError("declares a document type, which no Pascal VOC file does", line=parser.CurrentLineNumber)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, DarkshareError):
            raise
        raise DarkshareError(f"is not XML: {error}", line=getattr(error, "lineno", None)) from None
    return top.children[0]


def _labels(annotation: Annotation, picture: Path, ids: dict[str, int]) -> PictureLabels:
    try:
        width, height = _size(annotation, picture)
    except DarkshareError as error:
        return PictureLabels((), (Finding(annotation.path, None, str(error)),))
    found = ((node.line, box) for node in annotation.objects for box in _boxes(node, width, height, ids))
    return gathered(found, annotation.path)


def _size(annotation: Annotation, picture: Path) -> tuple[int, int]:
    """Width and height in pixels: what the file says, else the picture's own."""
    size = annotation.root.find("size")
    try:
        width, height = (int(float(size.said(side))) for side in ("width", "height")) if size else (0, 0)
    except (ValueError, OverflowError):
        width = height = 0
    if width > 0 and height > 0:
        return width, height
    rows, columns = read_picture(picture).shape[:2]
    return columns, rows


def _boxes(node: Element, width: int, height: int, ids: dict[str, int]) -> Iterator[Box | str]:
    name = node.said("name")
    if name not in ids:
        yield "an object without a name; left out"
        return
    corners = node.find("bndbox")
    try:
        left, top, right, bottom = (float(corners.said(side) if corners else "") for side in CORNERS)
    except ValueError:
        yield f"{name}: no <bndbox> with the numbers {', '.join(CORNERS)}; left out"
        return
    x, y = ((left + right) / 2 - 1) / width, ((top + bottom) / 2 - 1) / height
    box = Box(ids[name], x, y, (right - left) / width, (bottom - top) / height, node.said("difficult") == "1")
    pixel = (1.01 / width, 1.01 / height)  # some programs count from 0
    yield from (found if isinstance(found, Box) else f"{name}: {found}" for found in within(box, pixel))


def _parts(whole: Dataset, root: Path) -> dict[str, Dataset]:
    """The parts that ImageSets/Main names; a picture that is in none of them is a finding."""
    lists = {part: root / "ImageSets" / "Main" / f"{name}.txt" for name, part in _SETS.items()}
    if not (lists["train"].is_file() and (lists["valid"].is_file() or lists["test"].is_file())):
        return {"all": whole}
    stems = {
        part: {line.split()[0] for line in read_text(path).lines if line}
        for part, path in lists.items()
        if path.is_file()
    }
    parts = {
        part: Dataset(whole.name, whole.names, tuple(s for s in whole.samples if s.picture.stem in wanted))
        for part, wanted in stems.items()
    }
    named = set().union(*stems.values())
    lost = [
        Finding(s.picture, None, "is in no list of ImageSets; left out")
        for s in whole.samples
        if s.picture.stem not in named
    ]
    parts["train"] = Dataset(whole.name, whole.names, parts["train"].samples, (*whole.findings, *lost))
    return parts
