"""Darknet's label files: one `class x y w h` per line, beside the picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from darkshare._files import exists, is_file
from darkshare._texts import lines_of, read_text
from darkshare.data.types import Box, Fault, Finding
from darkshare.errors import DarkshareError

LARGEST_LABELS = 2**20  # bytes; Darknet takes 200 boxes of a picture by default, this is room for 20 000
MOST_FINDINGS = 100  # about one picture; a file with more is not a label file
ROUNDING = 1e-3  # of the picture: a box that reaches so far outside was rounded, not misplaced
WHOLE = re.compile(r"\.0*(e[+-]?0+)?$")  # behind a whole number that was written as a float, by numpy for one
_PLAIN = re.compile(r"[\w.+-]+", re.ASCII)  # what numbers are made of; Python's own reading allows more
_ALEXEYAB = (  # `replace_image_to_label` in its src/utils.c
    ("/images/train2017/", "/labels/train2017/"),
    ("/images/val2017/", "/labels/val2017/"),
    ("/JPEGImages/", "/labels/"),
    ("/images/train2014/", "/labels/train2014/"),
    ("/images/val2014/", "/labels/val2014/"),
)
_ALEXEYAB_SUFFIXES = (
    ".jpg",
    ".JPG",
    ".jpeg",
    ".JPEG",
    ".png",
    ".PNG",
    ".bmp",
    ".BMP",
    ".ppm",
    ".PPM",
    ".tiff",
    ".TIFF",
)
_PJREDDIE = (("images", "labels"), ("JPEGImages", "labels"), ("raw", "labels"))  # `fill_truth_detection`, src/data.c
_PJREDDIE_SUFFIXES = (".jpg", ".png", ".JPG", ".JPEG")  # wherever they stand in the path
_LAST = re.compile(r"^(.*/|)(?:images|JPEGImages)/")


class PictureLabels(NamedTuple):
    """The boxes of a label file and what is wrong with it."""

    boxes: tuple[Box, ...]
    findings: tuple[Finding, ...]


def _beside(picture: str) -> str:
    """The same path with `.txt`."""
    stem, dot, suffix = picture.rpartition(".")
    return f"{stem if dot and '/' not in suffix else picture}.txt"


def _replaced(picture: str, rules: tuple[tuple[str, str], ...]) -> str:
    for old, new in rules:
        picture = picture.replace(old, new, 1)
    return picture


def _alexeyab(picture: str) -> str:
    place = _replaced(picture, _ALEXEYAB).strip(" \t")
    return _beside(place) if place.endswith(_ALEXEYAB_SUFFIXES) else place


def _pjreddie(picture: str) -> str:
    return _replaced(picture, (*_PJREDDIE, *((suffix, ".txt") for suffix in _PJREDDIE_SUFFIXES)))


# Of a picture's path as the list has it, the file that each fork opens for its labels. Where the fork does not know the
# suffix that is the picture itself, in which it finds no box. hank-ai's (`replace_image_to_label` in its
# src-lib/utils.cpp) takes any suffix.
LABEL_RULES: Mapping[str, Callable[[str], str]] = {"alexeyab": _alexeyab, "pjreddie": _pjreddie, "hank-ai": _beside}


def label_files(picture: str) -> list[str]:
    """The label files of a picture that exist, each once: where AlexeyAB's Darknet looks, pjreddie's, hank-ai's.

    Darknet replaces folders in the path as the list has it, which may be relative; so the last folder of such a name
    counts too. Suffixes do not count: what no fork finds for its suffix is a label file all the same.
    """
    return [place for place in _label_places(picture) if exists(place)]


def label_path(picture: Path) -> Path:
    """The path of a picture's labels: the first that exists, else the place where AlexeyAB's Darknet would look."""
    path = picture.as_posix()
    return Path(next(iter(label_files(path)), _label_places(path)[0]))


def _label_places(picture: str) -> list[str]:
    moved = (_replaced(picture, _ALEXEYAB), _replaced(picture, _PJREDDIE), picture, _LAST.sub(r"\1labels/", picture))
    return list(dict.fromkeys(map(_beside, moved)))


def read_labels(path: Path, classes: int) -> PictureLabels:
    """Read a label file; what is not a box is among the findings.

    Args:
        path: of the label file.
        classes: how many there are.
    """
    try:
        text = read_text(path, LARGEST_LABELS)
    except DarkshareError as error:
        return PictureLabels((), (Finding(path, None, error.message),))
    labels = parse_labels(text.text, classes, path)
    labels = labels._replace(findings=tuple(map(_named, labels.findings)))
    if not text.oddity:
        return labels
    odd = Finding(path, 1, f"{text.oddity}, so Darknet reads no box")
    return PictureLabels(labels.boxes, (odd, *labels.findings))


def _named(finding: Finding) -> Finding:
    """A finding of an unknown class, with what labelImg's list beside the labels calls it."""
    beside = finding.path.with_name("classes.txt")
    if finding.kind == "unknown class" and is_file(beside):
        with suppress(DarkshareError):
            names = dict(enumerate(read_text(beside, LARGEST_LABELS).lines))
            if name := names.get(int(finding.text.split()[1])):
                return finding._replace(text=f"{finding.text}; in {beside.name} beside it, it is {name}")
    return finding


def parse_labels(text: str, classes: int, path: Path) -> PictureLabels:
    """The boxes of a label file's text.

    Darknet (`read_boxes` in src/data.c) reads numbers without regard for lines and stops at the first that is none,
    so a bad line loses or shifts all that come behind it. Here it loses itself, and is among the findings.

    Args:
        text: with newlines as line ends.
        classes: how many there are.
        path: for the findings.
    """
    found = ((number, box) for number, line in enumerate(lines_of(text), 1) if line for box in _judged(line, classes))
    return gathered(found, path)


def gathered(found: Iterable[tuple[int | None, Box | Fault]], path: Path) -> PictureLabels:
    """The boxes of one picture, each once.

    Args:
        found: boxes and what is wrong with them, each with its line if it has one.
        path: for the findings.
    """
    boxes: dict[Box, int | None] = {}
    findings: list[Finding] = []
    for number, box in found:
        if len(findings) == MOST_FINDINGS:
            findings.append(Finding(path, number, "so much is wrong that the rest was not looked at; left out"))
            break
        if isinstance(box, Fault):
            findings.append(Finding(path, number, *box))
        elif box in boxes:
            first = "" if boxes[box] is None else f" in line {boxes[box]}"
            findings.append(Finding(path, number, f"the same box as before{first}; left out", "box twice"))
        else:
            boxes[box] = number
    return PictureLabels(tuple(boxes), tuple(findings))


def _judged(line: str, classes: int) -> Iterator[Box | Fault]:
    """The box of a line, and what is wrong with it."""
    fields = line.split()
    if again := _rewritten(line) if "," in line or ";" in line or "." in "".join(fields[:1]) else "":
        yield from _judged(again, classes)
        what = f"'{line[:60]}' is read, but Darknet misreads all from here on; import-data writes it anew"
        yield Fault(what, "commas or a decimal class")
        return
    if len(fields) != 5:
        what = f"{len(fields)} values where class x y w h belong; left out, and Darknet would misread all behind it"
        yield Fault(what, "not five values")
        return
    try:
        if not all(map(_PLAIN.fullmatch, fields)) or "_" in line:
            raise ValueError
        class_id, (x, y, w, h) = int(fields[0]), map(float, fields[1:])
    except ValueError:
        what = f"'{line[:60]}' is not one integer and four numbers; left out, and Darknet would stop reading here"
        yield Fault(what, "not numbers")
        return
    if not 0 <= class_id < classes:
        yield Fault(f"class {str(class_id)[:20]} is not among 0 to {classes - 1}; left out", "unknown class")
        return
    yield from within(Box(class_id, x, y, w, h))


def _rewritten(line: str) -> str:
    """A box with commas, or with a class such as 1.0, as Darknet reads it; empty where that would not be one either."""
    fields = [field.strip(",;") for field in line.split()]
    fields = re.split("[,;]", line) if len(fields) == 1 else fields
    if len(fields) != 5:
        return ""
    fields = [WHOLE.sub("", fields[0]), *(field.replace(",", ".") for field in fields[1:])]
    return " ".join(fields) if fields[0].lstrip("-").isdecimal() and all(map(_PLAIN.fullmatch, fields)) else ""


def within(box: Box, rounding: tuple[float, float] = (ROUNDING, ROUNDING)) -> Iterator[Box | Fault]:
    """Clip a box to the picture, and say what is wrong with it.

    Args:
        box: in fractions of the picture.
        rounding: how far it may reach outside on the left and right, and above and below, without being wrong.
    """
    class_id, x, y, w, h, difficult = box
    if not (isfinite(x) and isfinite(y) and isfinite(w) and isfinite(h)):
        yield Fault("the box is infinite or not a number; left out", "not numbers")
        return
    if w <= 0 or h <= 0:
        yield Fault(f"the box has no area ({w:.6g} x {h:.6g}); left out", "no area")
        return
    left, right, top, bottom = x - w / 2, x + w / 2, y - h / 2, y + h / 2
    if left >= 0 and top >= 0 and right <= 1 and bottom <= 1:
        yield box
        return
    sides = f"from {left:.4g}, {top:.4g} to {right:.4g}, {bottom:.4g}"
    if right <= 0 or bottom <= 0 or left >= 1 or top >= 1:
        pixels = "; are these pixels? Labels are fractions of the picture" if max(box[1:5]) > 2 else ""
        yield Fault(f"the box lies outside the picture ({sides}); left out{pixels}", "outside the picture")
        return
    if x == y == 0:
        yield Fault("the box has its centre at 0, 0, which Darknet takes for no box; left out", "centre at 0, 0")
        return
    across, down = rounding
    if min(left, 1 - right) < -across or min(top, 1 - bottom) < -down:
        what = f"the box reaches outside the picture ({sides}); clipped, as Darknet does when it trains"
        yield Fault(what, "partly outside the picture")
    left, right, top, bottom = max(left, 0.0), min(right, 1.0), max(top, 0.0), min(bottom, 1.0)
    yield Box(class_id, (left + right) / 2, (top + bottom) / 2, right - left, bottom - top, difficult)
