"""Tables of boxes, a row each: as TensorFlow, Roboflow, keras-retinanet, makesense.ai and Open Images do."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from darkshare._files import is_folder
from darkshare._texts import LARGEST, read_text
from darkshare.data.annotated import Annotated, Outline, Size, dataset
from darkshare.data.darknet import Watch
from darkshare.data.formats.folders import files_below, part_of
from darkshare.data.formats.yolo import Names
from darkshare.data.pictures import NEAR
from darkshare.data.types import Dataset, Finding
from darkshare.errors import DarkshareError

_SUFFIXES = (".csv", ".tsv")
_COLUMNS = {  # their headings, without capitals and whatever is neither a letter nor a digit
    "picture": "filename imagename imagepath imageid image filepath path file",
    "class": "class label classname labelname category name",
    "left": "xmin x1 left bboxx",
    "top": "ymin y1 top bboxy",
    "right": "xmax x2 right",
    "bottom": "ymax y2 bottom",
    "width": "width imagewidth imgwidth",
    "height": "height imageheight imgheight",
    "group": "isgroupof",
    "across": "bboxwidth",  # of the box
    "down": "bboxheight",
}
_SIDES = ("left", "top", "right", "bottom")
_NEEDED = ("picture", *_SIDES, "class")
_BOX = ("left", "top", "across", "down")
_BARE = (  # without headings: keras-retinanet's columns and makesense.ai's
    _NEEDED,
    ("class", *_BOX, "picture", "width", "height"),
)
_NUMBER_OR_NONE = re.compile(r"([+-]?\d+([.,]\d*)?)?")
_CODE = re.compile(r"/[mg]/\w+")  # of a class in Open Images
_PARTS = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}  # and folders of theirs


class Row(NamedTuple):
    """A box of a table; its corners are None where the row says that nothing is on the picture."""

    line: int
    picture: str
    name: str
    corners: Sequence[float] | None
    size: Size | None
    group: bool


def is_csv(source: Path, _: bytes) -> bool:
    """Whether it is a table by its name, or a folder with a table of boxes."""
    if not is_folder(source):
        return source.suffix.lower() in _SUFFIXES
    return any(map(_holds_boxes, files_below(source, *_SUFFIXES)))


def _holds_boxes(path: Path) -> bool:
    try:
        return next(_rows(path), None) is not None
    except DarkshareError:
        return False


def read_csv(
    source: Path, *, images: Path | None = None, names: Names | None = None, watch: Watch = iter
) -> dict[str, Dataset]:
    """Read a table of boxes, or all in a folder and below it.

    Columns are known by their headings, whatever their order; a table without headings is keras-retinanet's or
    makesense.ai's. A comma, a semicolon or a tab divides them. Where no number is above 1, they are fractions of the
    picture. A row without a box says that nothing is on the picture.

    Args:
        source: the file or folder.
        images: the folder of the pictures; without it, they are looked for near the table.
        names: of the classes, in order; without them, those of the rows.
        watch: goes through the pictures, for a progress bar.

    Returns:
        The parts that folders, or names such as `train_labels.csv`, make, or else all in one: "all".

    Raises:
        DarkshareError: it has no such columns, or no picture of it is found.
    """
    tables, findings = _tables(source) if is_folder(source) else ({source: list(_rows(source))}, [])
    if not tables:
        raise DarkshareError("holds no table of boxes", file=str(source))
    parts: dict[str, list[Path]] = {"train": [], "valid": [], "test": [], "": []}
    for path in tables:
        parts[part_of(path.relative_to(source)) if is_folder(source) else ""].append(path)
    if not parts["train"] or not (parts["valid"] or parts["test"]):
        parts = {"all": list(tables)}
    findings += [Finding(path, None, "is a table of no part; left out") for path in parts.pop("", ())]
    made: dict[str, Dataset] = {}
    for part, paths in ((part, paths) for part, paths in parts.items() if paths):
        near = [f"{above}{word}" for above in ("", "images/", "../", "../images/") for word in _PARTS.get(part, ())]
        found = (one for path in paths for one in _annotated(path, tables[path], watch))
        made[part] = dataset(str(source), chain(findings, found), images=images, near=(*NEAR, *near), names=names)
        findings = []
    return made


def _tables(folder: Path) -> tuple[dict[Path, list[Row]], list[Finding]]:
    """The tables of boxes in a folder and below it, and why others are not."""
    tables: dict[Path, list[Row]] = {}
    findings: list[Finding] = []
    for path in files_below(folder, *_SUFFIXES):
        try:
            tables[path] = list(_rows(path))
        except DarkshareError as error:  # noqa: PERF203
            findings.append(Finding(path, error.line, f"{error.message}; left out", "not a table of boxes"))
    return tables, findings


def _rows(path: Path) -> Iterator[Row]:
    """The rows of a table.

    Raises:
        DarkshareError: it cannot be read, or has not the columns of boxes.
    """
    lines = read_text(path, LARGEST).text.split("\n")
    first = next(filter(str.strip, lines), "")
    between = max(",;\t", key=first.count)
    reader = csv.reader(lines, delimiter=between)
    columns: dict[str, int] | None = None
    try:
        for fields in reader:
            if not any(map(str.strip, fields)):
                continue
            if columns is None:
                columns = _bare(fields)
                if columns is None:
                    columns = _headed(fields, path)
                    continue
            cells = {what: fields[index].strip() for what, index in columns.items() if index < len(fields)}
            yield _row(reader.line_num, cells, between)
    except csv.Error as error:
        raise DarkshareError(f"is not a table: {error}", file=str(path), line=reader.line_num) from None
    if columns is None:
        raise DarkshareError("is empty", file=str(path))


def _bare(fields: Sequence[str]) -> dict[str, int] | None:
    """The columns of a table whose first line is a box already."""
    for order in _BARE:
        columns = {what: index for index, what in enumerate(order)}
        numbers = [columns[what] for what in order if what not in ("picture", "class")]
        if len(fields) == len(order) and all(_NUMBER_OR_NONE.fullmatch(fields[index].strip()) for index in numbers):
            return columns
    return None


def _headed(fields: Sequence[str], path: Path) -> dict[str, int]:
    """The columns by what their headings say.

    Raises:
        DarkshareError: one is missing.
    """
    headings = [re.sub(r"[^a-z0-9]", "", field.lower()) for field in fields]
    columns = {
        what: headings.index(heading)
        for what, known in _COLUMNS.items()
        if (heading := next((word for word in known.split() if word in headings), None))
    }
    there_too = {"right": "across", "bottom": "down"}
    lacking = [what for what in _NEEDED if what not in columns and there_too.get(what) not in columns]
    if not lacking:
        return columns
    missing = ", ".join(f"{what} ({' or '.join(_COLUMNS[what].split()[:3])})" for what in lacking)
    there = ", ".join(fields)[:200]
    raise DarkshareError(f"has no columns of boxes in '{there}': needs {missing}", file=str(path), line=1)


def _row(line: int, cells: Mapping[str, str], between: str) -> Row:
    def numbers(*columns: str) -> list[float]:
        written = [cells.get(column, "") for column in columns]
        try:
            return [float(cell.replace(",", ".") if between != "," else cell) for cell in written]
        except ValueError:
            return []

    sides = _BOX if "across" in cells else _SIDES
    corners = numbers(*sides) if any(cells.get(side) for side in sides) else None
    if corners and sides is _BOX:
        left, top, across, down = corners
        corners = [left, top, left + across, top + down]
    size = [int(side) for side in numbers("width", "height") if 1 <= side < 2**31]
    pair = (size[0], size[1]) if len(size) == 2 else None
    return Row(line, cells.get("picture", ""), cells.get("class", ""), corners, pair, cells.get("group") == "1")


def _annotated(path: Path, rows: Sequence[Row], watch: Watch) -> Iterator[Annotated | Finding]:
    pictures: dict[str, list[Row]] = {}
    for row in rows:
        pictures.setdefault(row.picture, []).append(row)
    fractions = max((max(row.corners) for row in rows if row.corners), default=2) <= 1
    called = _descriptions(path.parent) if any(_CODE.fullmatch(row.name) for row in rows) else {}
    if any(_CODE.fullmatch(row.name) and row.name not in called for row in rows):
        yield Finding(path, None, "has classes that class-descriptions-boxable.csv beside it does not name")
    for picture, ones in watch(list(pictures.items())):
        outlines = [_outline(path, row, called.get(row.name, row.name)) for row in ones if row.corners is not None]
        size = next((row.size for row in ones if row.size), None)
        yield Annotated(path, picture, size, outlines, picture, fractions=fractions)


def _outline(path: Path, row: Row, name: str) -> Outline | Finding:
    if not row.corners:
        return Finding(path, row.line, f"{name}: no four numbers for the box; left out", "no box")
    left, top, right, bottom = row.corners
    return Outline(name, [(left, top), (right, bottom)], row.line, row.group)


def _descriptions(folder: Path) -> dict[str, str]:
    """The names of Open Images' classes by their codes, from its table of descriptions."""
    texts = (read_text(path, LARGEST).text for path in sorted(folder.glob("*class-descriptions*.csv")))
    rows = (row for text in texts for row in csv.reader(text.split("\n")))
    return {row[0]: row[1].strip() for row in rows if len(row) > 1}
