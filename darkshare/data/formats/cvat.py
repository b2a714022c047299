"""CVAT's XML: one file for all pictures of a task ("CVAT for images"), or for the frames of a video."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import cos, hypot, radians, sin
from pathlib import Path

from darkshare._files import is_folder
from darkshare._texts import LARGEST
from darkshare.data.annotated import Annotated, Outline, Size, dataset, turned
from darkshare.data.darknet import Watch
from darkshare.data.formats.folders import start_of
from darkshare.data.formats.xml import Element, read_xml
from darkshare.data.formats.yolo import Names
from darkshare.data.types import Dataset, Finding
from darkshare.errors import DarkshareError

_ROOT = re.compile(rb"(<\?[^>]*>|<!--.*?-->|\s)*<annotations\b", re.DOTALL)
Point = tuple[float, float]
_META = ("meta", "project", "tasks", "task", "job", "labels")  # that hold the labels, in each other
_WITHOUT_AREA = ("polyline", "points", "skeleton", "tag")


def is_cvat(source: Path, _: bytes) -> bool:
    """Whether it is an XML of CVAT's, or a folder of which the first XML is one."""
    return _ROOT.match(start_of(source, ".xml")) is not None


def read_cvat(
    source: Path, *, images: Path | None = None, names: Names | None = None, watch: Watch = iter
) -> dict[str, Dataset]:
    """Read CVAT's XML: boxes, and the boxes around rotated ones, polygons, ellipses, masks and cuboids.

    Frames of a video are looked for by the names that CVAT gives them, such as frame_000000.png. Polylines, points,
    skeletons and tags are left out.

    Args:
        source: the file, or a folder with such files.
        images: the folder of the pictures; without it, they are looked for beside the file and in `images`.
        names: of the classes, in order; without them, the labels of the task.
        watch: goes through the pictures, for a progress bar.

    Returns:
        All in one part: "all".

    Raises:
        DarkshareError: there is no such file, or none of its pictures.
    """
    files = sorted(source.rglob("*.xml")) if is_folder(source) else [source]
    roots = [(path, read_xml(path, LARGEST)) for path in files]
    if not roots or roots[0][1].tag != "annotations":
        raise DarkshareError("is not an XML of CVAT's, with <annotations>", file=str(source))
    labels = tuple(dict.fromkeys(name for _, root in roots for name in _labels(root)))
    found = (one for path, root in roots for one in _annotated(path, root, watch))
    return {"all": dataset(str(source), found, images=images, names=names or labels or None)}


def _labels(root: Element) -> Iterator[str]:
    """The names of the labels that a task or project has, without those of tags, lines and points."""
    for node in root.children:
        if node.tag == "label":
            if not node.find("parent") and node.said("type") not in _WITHOUT_AREA:
                yield node.said("name")
        elif node.tag in _META:
            yield from _labels(node)


def _annotated(path: Path, root: Element, watch: Watch) -> Iterator[Annotated | Finding]:
    for node in watch([child for child in root.children if child.tag == "image"]):
        outlines = [one for shape in node.children if (one := _outline(path, shape, shape.attributes))]
        name = node.attributes.get("name", "")
        yield Annotated(path, name, _size(*map(node.attributes.get, ("width", "height"))), outlines, f"image {name}")
    tracks = [child for child in root.children if child.tag == "track"]
    if tracks:
        yield from _frames(path, tracks, _original_size(root))


def _frames(path: Path, tracks: Sequence[Element], size: Size | None) -> Iterator[Annotated | Finding]:
    """The frames of a video on which there is something."""
    frames: dict[str, list[Outline | Finding]] = defaultdict(list)
    hidden = 0
    for track in tracks:
        for shape in track.children:
            if shape.attributes.get("outside") == "1":
                hidden += 1
            elif outline := _outline(path, shape, track.attributes):
                frames[shape.attributes.get("frame", "")].append(outline)
    what = "holds the tracks of a video, whose frames are looked for as frame_000000.png"
    yield Finding(path, None, f"{what}; {hidden} boxes marked outside are left out, and frames without a box")
    for number, outlines in sorted(frames.items(), key=lambda item: item[0].zfill(9)):
        yield Annotated(path, f"frame_{number.zfill(6)}", size, outlines, f"frame {number}")


def _original_size(root: Element) -> Size | None:
    """The size of a video's frames."""
    for node in root.children:
        if node.tag == "original_size":
            return _size(node.said("width"), node.said("height"))
        if node.tag in _META and (found := _original_size(node)):
            return found
    return None


def _size(width: str | None, height: str | None) -> Size | None:
    try:
        size = int(width or 0), int(height or 0)
    except ValueError:
        return None
    return size if min(size) > 0 else None


def _outline(path: Path, node: Element, named: Mapping[str, str]) -> Outline | Finding | None:
    """The outline of a shape, or nothing where the element is none."""
    name, kind = named.get("label", ""), node.tag
    if kind in _WITHOUT_AREA:
        return Finding(path, node.line, f"{name}: <{kind}> is not an area; left out", f"<{kind}> is not an area")
    if kind not in _POINTS:
        return None
    try:
        return Outline(name, _POINTS[kind](node.attributes), node.line)
    except (KeyError, ValueError):
        return Finding(path, node.line, f"{name}: <{kind}> without its numbers; left out", "no outline")


def _numbers(node: Mapping[str, str], keys: str) -> list[float]:
    return [float(node[key]) for key in keys.split()]


def _box(node: Mapping[str, str]) -> list[Point]:
    left, top, right, bottom = _numbers(node, "xtl ytl xbr ybr")
    turn = radians(float(node.get("rotation", "0")))
    if not turn:
        return [(left, top), (right, bottom)]
    return turned((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, turn)


def _polygon(node: Mapping[str, str]) -> list[Point]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in node["points"].split(";"))]


def _ellipse(node: Mapping[str, str]) -> list[Point]:
    x, y, across, down = _numbers(node, "cx cy rx ry")
    turn = radians(float(node.get("rotation", "0")))
    w, h = hypot(across * cos(turn), down * sin(turn)), hypot(across * sin(turn), down * cos(turn))
    return [(x - w, y - h), (x + w, y + h)]


def _mask(node: Mapping[str, str]) -> list[Point]:
    left, top, width, height = _numbers(node, "left top width height")
    return [(left, top), (left + width, top + height)]


def _cuboid(node: Mapping[str, str]) -> list[Point]:
    corners = [f"{corner}{side}" for side in "12" for corner in ("tl", "bl", "tr", "br")]
    return [(float(node[f"x{corner}"]), float(node[f"y{corner}"])) for corner in corners]


_POINTS = {"box": _box, "polygon": _polygon, "ellipse": _ellipse, "mask": _mask, "cuboid": _cuboid}
