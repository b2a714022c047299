"""Labelled pictures as the files of other programs describe them, in pixels; here they become data sets.

A reader of a format says what its file says, as `Annotated`. Whatever all formats have in common is done once, here:
the picture is found, its size compared, the box laid around each outline and clipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import cos, isfinite, sin
from pathlib import Path
from typing import NamedTuple

from darkshare._images import header, picture_size
from darkshare.data.classes import with_classes
from darkshare.data.findings import NothingLeft
from darkshare.data.labels import gathered, within
from darkshare.data.pictures import NEAR, NO_PICTURE, Pictures
from darkshare.data.types import Box, Dataset, Fault, Finding, Sample
from darkshare.errors import DarkshareError

_TURNS = {  # a point (x, y) of a picture of w x h that is stored unturned, as it is shown; by EXIF's orientation
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (h - y, x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, h: (y, w - x),
}
Size = tuple[int, int]  # width, height


class Outline(NamedTuple):
    """An object of a picture; a detector learns the box around its points.

    Attributes:
        name: of its class.
        points: x and y in pixels from the upper left corner of the picture: the first pixel reaches from 0 to 1. Two
            are the upper left and the lower right corner of a box; where it is the other way round, that is a finding.
        line: in the file.
        difficult: whether evaluation is to pass over it.
        label: what to call it in findings, if not by its class.
    """

    name: str
    points: Sequence[tuple[float, float]]
    line: int | None = None
    difficult: bool = False
    label: str = ""


class Annotated(NamedTuple):
    """A picture as a file describes it.

    Attributes:
        path: of the file.
        picture: as the file names it: with or without folders and suffix; backslashes are slashes.
        size: of the picture that the outlines were drawn on, in pixels; None where the file does not say.
        objects: what is on it, and what is wrong with the rest.
        label: what to call the picture in findings, where the file describes several.
        alone: whether the file describes this picture only, so that its own stem is the picture's too.
        fractions: whether the outlines are in fractions of the picture instead of pixels.
    """

    path: Path
    picture: str
    size: Size | None
    objects: Sequence[Outline | Finding]
    label: str = ""
    alone: bool = False
    fractions: bool = False


def turned(x: float, y: float, width: float, height: float, angle: float) -> list[tuple[float, float]]:
    """The corners of a box that is turned about its centre (x, y) by an angle in radians, clockwise as it is seen."""
    across, down = (width / 2 * cos(angle), width / 2 * sin(angle)), (-height / 2 * sin(angle), height / 2 * cos(angle))
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [(x + i * across[0] + j * down[0], y + i * across[1] + j * down[1]) for i, j in signs]


def dataset(
    name: str,
    annotated: Iterable[Annotated | Finding],
    *,
    images: Path | None = None,
    near: Sequence[str] = NEAR,
    names: Sequence[str] | None = None,
) -> Dataset:
    """Make a data set of described pictures.

    Args:
        name: what to call it.
        annotated: the pictures, and what is wrong with others.
        images: the folder of the pictures; they are looked for there first.
        near: where else: folders relative to the one of the file.
        names: of the classes, in order; without them, those of the outlines in the order of the alphabet.

    Raises:
        NothingLeft: there is no picture, or none that can be used.
    """
    pictures = Pictures(() if images is None else (images,), near)
    ids = {known: index for index, known in enumerate(names or ())}
    boxes: dict[Path, tuple[Box, ...]] = {}
    findings: list[Finding] = []
    for one in annotated:
        if isinstance(one, Finding):
            findings.append(one)
            continue
        if names is None:
            for found in one.objects:
                if isinstance(found, Outline) and found.name:
                    ids.setdefault(found.name, len(ids))
        for made in _sample(one, pictures, ids):
            if isinstance(made, Finding):
                findings.append(made)
                continue
            if made.picture in boxes:
                what = f"{made.picture} has labels already; these are added to them"
                findings.append(_about(one, Fault(what, "picture twice")))
            boxes[made.picture] = tuple(dict.fromkeys((*boxes.get(made.picture, ()), *made.boxes)))
    if not boxes:
        raise _nothing_left(name, findings)
    samples = tuple(Sample(picture, found) for picture, found in boxes.items())
    whole = Dataset(name, tuple(ids), samples, tuple(findings))
    return whole if names is not None else with_classes({name: whole}, sorted(ids))[name]


def _nothing_left(name: str, findings: Sequence[Finding]) -> NothingLeft:
    cure = ", name their folder with --images" if any(one.kind == NO_PICTURE for one in findings) else ""
    return NothingLeft(f"none of its pictures can be used{cure}", file=name, findings=findings)


def _about(one: Annotated, fault: Fault) -> Finding:
    return Finding(one.path, None, f"{one.label}: {fault.text}" if one.label else fault.text, fault.kind)


def _sample(one: Annotated, pictures: Pictures, ids: dict[str, int]) -> Iterator[Sample | Finding]:
    """The picture with its boxes, and what is wrong with it."""
    picture, fault = pictures.of(one.path, one.picture, alone=one.alone)
    if fault:
        yield _about(one, fault)
    if picture is None:
        return
    try:
        frame = _frame(one, picture)
    except DarkshareError as error:
        yield _about(one, Fault(f"{picture}: {error.message}; left out", "not a picture"))
        return
    if frame.fault:
        yield _about(one, frame.fault)
    if frame.size is None:
        return
    size = (1, 1) if one.fractions else frame.size
    found = ((line, box) for each in one.objects for line, box in _boxes(each, size, frame.orientation, ids))
    labels = gathered(found, one.path)
    yield Sample(picture, labels.boxes)
    yield from labels.findings


def _boxes(
    one: Outline | Finding, size: Size, orientation: int, ids: dict[str, int]
) -> Iterator[tuple[int | None, Box | Fault]]:
    if isinstance(one, Finding):
        yield one.line, Fault(one.text, one.kind)
        return
    label = one.label or one.name
    for found in _box(one, size, orientation, ids):
        yield one.line, found if isinstance(found, Box) or not label else Fault(f"{label}: {found.text}", found.kind)


def _box(one: Outline, size: Size, orientation: int, ids: dict[str, int]) -> Iterator[Box | Fault]:
    """The level box around an outline, in fractions of the picture as it is shown."""
    if one.name not in ids:
        what = f"'{one.name}' is not among the classes" if one.name else "an object without a name"
        yield Fault(f"{what}; left out", "unknown class")
        return
    points = one.points
    if len(points) < 2:
        yield Fault("has no outline; left out", "no outline")
        return
    if not all(isfinite(value) for point in points for value in point):
        yield Fault("the box is infinite or not a number; left out", "not numbers")
        return
    if len(points) == 2 and (points[0][0] > points[1][0] or points[0][1] > points[1][1]):
        yield Fault("the corners are the wrong way round; swapped", "reversed corners")
    if turn := _TURNS.get(orientation):
        points = [turn(x, y, *size) for x, y in points]
        size = size[::-1]
    xs, ys = zip(*points, strict=True)
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    (width, height), x, y = size, (left + right) / 2, (top + bottom) / 2
    box = Box(ids[one.name], x / width, y / height, (right - left) / width, (bottom - top) / height, one.difficult)
    pixel = (1.01 / width, 1.01 / height)  # some programs count from 0, some from 1
    yield from within(box) if size == (1, 1) else within(box, pixel)


class _Frame(NamedTuple):
    """The size that outlines were drawn in, or None where that is not known.

    `orientation` is EXIF's where they were drawn before the picture was turned, else 1.
    """

    size: Size | None
    orientation: int = 1
    fault: Fault | None = None


def _frame(one: Annotated, picture: Path) -> _Frame:
    """Compare the size that a file gives with the picture's, as it is shown.

    Raises:
        DarkshareError: the picture cannot be read.
    """
    about = header(picture)
    own, orientation = about.shown or picture_size(picture), about.orientation
    size = one.size or own
    if _are_alike(size, own):
        if orientation == 1 or (orientation > 4 and one.size and not _are_alike(size, size[::-1])):
            return _Frame(size)
        what = (
            f"{picture} is turned when shown (EXIF orientation {orientation}); its boxes are taken to be drawn on it so"
        )
        return _Frame(size, 1, Fault(what, "turned picture"))
    if _are_alike(size, own[::-1]) and orientation > 4:
        what = (
            f"its boxes were drawn on {picture} before it was turned (EXIF orientation {orientation}); turned with it"
        )
        return _Frame(size, orientation, Fault(what, "turned boxes"))
    what = f"was drawn on {size[0]} x {size[1]} pixels, but {picture} has {own[0]} x {own[1]}; left out"
    cure = "if that size alone is wrong, delete it"
    return _Frame(None, 1, Fault(f"{what}: {cure}", "another size"))


def _are_alike(one: Size, other: Size) -> bool:
    """Whether two sizes are the same but for a scale of both sides, within a pixel of rounding."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)
