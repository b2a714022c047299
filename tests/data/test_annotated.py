"""Sources of all formats against what goes wrong with them: read, or said; the table in docs/how-to/import-data.md."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from darkshare._images import read_picture
from darkshare.data import NothingLeft, import_data, read_parts
from darkshare.data.annotated import Annotated, Outline, dataset
from darkshare.data.findings import KINDS, SHOWN, folded, joined
from darkshare.data.formats.xml import parse_xml
from darkshare.data.pictures import NEAR, Pictures
from darkshare.data.types import Box, Finding
from darkshare.errors import DarkshareError

WIDTH, HEIGHT = 40, 20
BOX = (8.0, 4.0, 20.0, 14.0)  # left, top, right, bottom in pixels
CENTRED = (14 / 40, 9 / 20, 12 / 40, 10 / 20)  # the same as fractions, by hand
DOCS = Path(__file__).parent.parent.parent / "docs" / "how-to" / "import-data.md"


@dataclass(frozen=True)
class Told:
    """What a file says of a picture, whatever its format."""

    picture: str
    box: tuple[float, ...] | None = BOX
    size: tuple[int, int] | None = (WIDTH, HEIGHT)
    name: str = "cup"
    outline: Sequence[tuple[float, float]] = ()  # a polygon instead of the box
    turn: float | None = None  # the box is turned about its centre by so many radians
    twice: bool = False
    stem: str = ""  # of the file, if it is not the picture's


@dataclass(frozen=True)
class Trial:
    """Something that goes wrong with one of two pictures, and what comes of it."""

    told: Told
    boxes: Sequence[tuple[float, ...]] | None = (CENTRED,)  # of the picture; None where it is left out
    kinds: frozenset[str] = frozenset()
    files: Mapping[str, int] = field(default_factory=lambda: {"a.png": 1})  # pictures, with their EXIF orientation
    more: Sequence[Told] = ()
    encoding: str = "utf-8"


def said(*kinds: str) -> frozenset[str]:
    return frozenset(kinds)


TRIALS = {
    "nothing wrong": Trial(Told("a.png")),
    "UTF-8 with a byte order mark": Trial(Told("a.png"), encoding="utf-8-sig"),
    "UTF-16": Trial(Told("a.png"), encoding="utf-16"),
    "GBK, declared": Trial(Told("a.png", name="\u7ea2\u9555"), encoding="gbk"),
    "Big5, declared": Trial(Told("a.png", name="\u7d05"), encoding="big5"),
    "Shift JIS, declared": Trial(Told("a.png", name="\u8d64"), encoding="shift_jis"),
    "Windows-1252, declared": Trial(Told("a.png", name="M\xfcll \u20ac"), encoding="windows-1252"),
    "backslashes": Trial(Told("images\\a.png"), files={"images/a.png": 1}),
    "a path of another machine": Trial(
        Told("C:\\Users\\x\\images\\a.png"), files={"images/a.png": 1}, kinds=said("found by the end of its path")
    ),
    "another suffix": Trial(Told("a.jpg")),
    "a blank in the name": Trial(Told("a b.png"), files={"a b.png": 1}),
    "two pictures of one stem": Trial(Told("a.jpg"), files={"a.png": 1, "a.jpg": 1}),
    "the same, and neither is named": Trial(
        Told("a.bmp"), None, said("two pictures"), files={"a.png": 1, "a.jpg": 1}
    ),
    "no picture": Trial(Told("lost.png"), None, said("no picture")),
    "half the size": Trial(Told("a.png", tuple(x / 2 for x in BOX), (WIDTH // 2, HEIGHT // 2))),
    "no size": Trial(Told("a.png", size=None)),
    "another size": Trial(Told("a.png", size=(WIDTH, HEIGHT + 5)), None, said("another size")),
    "width and height swapped": Trial(Told("a.png", size=(HEIGHT, WIDTH)), None, said("another size")),
    "turned by EXIF, boxes before it": Trial(
        Told("a.jpg"), ((11 / 20, 14 / 40, 10 / 20, 12 / 40),), said("turned boxes"), files={"a.jpg": 6}
    ),
    "turned by EXIF, boxes after it": Trial(
        Told("a.jpg", (4, 8, 14, 20), (HEIGHT, WIDTH)), ((9 / 20, 14 / 40, 10 / 20, 12 / 40),), files={"a.jpg": 6}
    ),
    "upside down by EXIF": Trial(Told("a.jpg"), kinds=said("turned picture"), files={"a.jpg": 3}),
    "a polygon": Trial(Told("a.png", outline=((8, 9), (15, 4), (20, 10), (12, 14)))),
    "a turned box": Trial(Told("a.png", box=(9, 3, 19, 15), turn=np.pi / 2)),
    "corners reversed": Trial(Told("a.png", (*BOX[2:], *BOX[:2])), kinds=said("reversed corners")),
    "outside the picture": Trial(Told("a.png", (50, 4, 60, 14)), (), said("outside the picture")),
    "partly outside": Trial(
        Told("a.png", (-8, 4, 20, 14)), ((10 / 40, 9 / 20, 20 / 40, 10 / 20),), said("partly outside the picture")
    ),
    "no area": Trial(Told("a.png", (8, 4, 8, 14)), (), said("no area")),
    "not a number": Trial(Told("a.png", (float("nan"), 4, 20, 14)), (), said("not numbers")),
    "a box twice": Trial(Told("a.png", twice=True), kinds=said("box twice")),
    "a picture twice": Trial(
        Told("a.png"), (CENTRED, (0.5, 0.5, 1, 1)), said("picture twice"),
        more=(Told("a.png", (0, 0, WIDTH, HEIGHT), stem="again"),),
    ),
    "nothing on it": Trial(Told("a.png", None), ()),
    "not a picture": Trial(Told("bad.png"), None, said("not a picture"), files={"bad.png": 0}),
}  # fmt: skip


def write_picture(path: Path, orientation: int) -> None:
    """A picture of 40 x 20 as it is stored; 0 for bytes that are none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[4:14, 8:20] = 0, 0, 255
    data = cv2.imencode(path.suffix, image)[1].tobytes() if orientation else b"nothing"
    if orientation > 1:
        exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    path.write_bytes(data)


def write_voc(folder: Path, told: Sequence[Told], encoding: str) -> Path:
    declared = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    for one in told:
        lines = [f'<?xml version="1.0" encoding="{declared}"?>', f"<annotation><filename>{one.picture}</filename>"]
        if one.size:
            lines.append("<size><width>{}</width><height>{}</height></size>".format(*one.size))
        if one.box:
            lines += [f"<object><name>{one.name}</name>{voc_shape(one, one.box)}</object>"] * (1 + one.twice)
        stem = one.stem or one.picture.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
        (folder / f"{stem}.xml").write_bytes("\n".join([*lines, "</annotation>"]).encode(encoding))
    return folder


def voc_shape(one: Told, box: tuple[float, ...]) -> str:
    if one.outline:
        return f"<polygon>{''.join(f'<pt><x>{x}</x><y>{y}</y></pt>' for x, y in one.outline)}</polygon>"
    left, top, right, bottom = box
    if one.turn:
        sides = {"cx": (left + right) / 2, "cy": (top + bottom) / 2, "w": right - left, "h": bottom - top}
        return f"<robndbox>{tags(sides | {'angle': one.turn})}</robndbox>"
    return f"<bndbox>{tags({'xmin': left + 1, 'ymin': top + 1, 'xmax': right + 1, 'ymax': bottom + 1})}</bndbox>"


def tags(values: Mapping[str, float]) -> str:
    return "".join(f"<{tag}>{value}</{tag}>" for tag, value in values.items())


def coco_rows(told: Sequence[Told]) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    images: list[dict[str, object]] = []
    rows: list[dict[str, object]] = []
    for index, one in enumerate(told):
        size = {"width": one.size[0], "height": one.size[1]} if one.size else {}
        images.append({"id": index, "file_name": one.picture, **size})
        if one.box:
            left, top, right, bottom = one.box
            shape: dict[str, object] = {"bbox": [left, top, right - left, bottom - top]}
            if one.outline:
                shape = {"segmentation": [[value for point in one.outline for value in point]]}
            rows += [{"image_id": index, "category_id": 1, **shape}] * (1 + one.twice)
    return images, rows


def write_coco(folder: Path, told: Sequence[Told], encoding: str) -> Path:
    images, rows = coco_rows(told)
    document = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": told[0].name}]}
    (folder / "c.json").write_bytes(json.dumps(document).encode(encoding))
    return folder / "c.json"


def write_coco_text(folder: Path, told: Sequence[Told], encoding: str) -> Path:
    images, rows = coco_rows(told)
    document = {
        "cats": {},
        "imgs": {str(row["id"]): row for row in images},
        "anns": {str(index): row for index, row in enumerate(rows)},
    }
    (folder / "t.json").write_bytes(json.dumps(document).encode(encoding))
    return folder / "t.json"


def corners_of(one: Told, box: tuple[float, ...]) -> Sequence[tuple[float, float]]:
    """The outline as points: as it is, or the corners of the box, turned if it is."""
    if one.outline:
        return one.outline
    left, top, right, bottom = box
    if one.turn:
        size = (right - left, bottom - top)
        points = cv2.boxPoints((((left + right) / 2, (top + bottom) / 2), size, np.degrees(one.turn)))
        return [(float(x), float(y)) for x, y in points]
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def stem_of(one: Told) -> str:
    return one.stem or one.picture.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]


def write_labelme(folder: Path, told: Sequence[Told], encoding: str) -> Path:
    for one in told:
        shapes = []
        if one.box:
            points = corners_of(one, one.box) if one.outline or one.turn else [one.box[:2], one.box[2:]]
            kind = "polygon" if one.outline else "rotation" if one.turn else "rectangle"
            shapes = [{"label": one.name, "points": points, "shape_type": kind}] * (1 + one.twice)
        size = dict(zip(("imageWidth", "imageHeight"), one.size or (), strict=False))
        document = {"shapes": shapes, "imagePath": one.picture, "imageData": None, **size}
        (folder / f"{stem_of(one)}.json").write_bytes(json.dumps(document).encode(encoding))
    return folder


def write_cvat(folder: Path, told: Sequence[Told], encoding: str) -> Path:
    declared = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    lines = [f'<?xml version="1.0" encoding="{declared}"?>', "<annotations>"]
    for one in told:
        size = 'width="{}" height="{}"'.format(*one.size) if one.size else ""
        lines.append(f'<image name="{one.picture}" {size}>')
        if one.box:
            left, top, right, bottom = one.box
            shape = f'<box label="{one.name}" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}"'
            shape += f' rotation="{np.degrees(one.turn)}"/>' if one.turn else "/>"
            if one.outline:
                points = ";".join(f"{x},{y}" for x, y in one.outline)
                shape = f'<polygon label="{one.name}" points="{points}"/>'
            lines += [shape] * (1 + one.twice)
        lines.append("</image>")
    (folder / "annotations.xml").write_bytes("\n".join([*lines, "</annotations>"]).encode(encoding))
    return folder / "annotations.xml"


def write_csv(folder: Path, told: Sequence[Told], encoding: str) -> Path:
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for one in told:
        cells = [one.picture, *(one.size or ("", "")), *((one.name, *one.box) if one.box else [""] * 5)]
        lines += [",".join(map(str, cells))] * (1 + one.twice)
    (folder / "boxes.csv").write_bytes("\n".join(lines).encode(encoding))
    return folder / "boxes.csv"


def write_dota(folder: Path, told: Sequence[Told], encoding: str) -> Path:
    for one in told:
        numbers = [value for point in corners_of(one, one.box) for value in point] if one.box else []
        line = f"{' '.join(map(str, numbers))} {one.name} 0\n" * (1 + one.twice) if one.box else ""
        (folder / f"{stem_of(one)}.txt").write_bytes(f"imagesource:null\ngsd:null\n{line}".encode(encoding))
    return folder


def write_yolo(folder: Path, told: Sequence[Told], encoding: str) -> Path:
    for one in told:
        line = ""
        if one.box:
            scale = np.array(one.size or (WIDTH, HEIGHT))
            left, top, right, bottom = one.box
            numbers = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top] / np.tile(scale, 2)
            points = (np.array(corners_of(one, one.box)) / scale).ravel()
            fields = points if one.outline or one.turn else numbers
            line = f"0 {' '.join(map(str, fields))}\n"
        (folder / f"{stem_of(one)}.txt").write_text(line * (1 + one.twice))
    (folder / "classes.txt").write_text(told[0].name)
    return folder


def write_ultralytics(folder: Path, told: Sequence[Told], encoding: str) -> Path:
    write_yolo(folder, told, encoding)
    (folder / "classes.txt").unlink()
    document = f"# {told[0].name}\ntrain: .\nnames: ['{told[0].name}']\n"
    (folder / "data.yaml").write_bytes(document.encode(encoding))
    return folder


WRITERS: Mapping[str, Callable[[Path, Sequence[Told], str], Path]] = {
    "voc": write_voc,
    "coco": write_coco,
    "coco-text": write_coco_text,
    "labelme": write_labelme,
    "cvat": write_cvat,
    "csv": write_csv,
    "dota": write_dota,
    "yolo": write_yolo,
    "ultralytics": write_ultralytics,
}
_DECLARED = {trial for trial in TRIALS if trial.endswith(", declared")}
_SIZED = {"half the size", "another size", "width and height swapped", "turned by EXIF, boxes before it"}
_PATHS = {"backslashes", "a path of another machine", "another suffix"}  # in files that name no picture
_STEMS = {"two pictures of one stem", "the same, and neither is named", "a picture twice"}
CANNOT = {  # what a format has no words for
    "voc": set(),
    "coco": {"a turned box", *_DECLARED},
    "coco-text": {"a turned box", *_DECLARED},
    "labelme": _DECLARED,
    "cvat": set(),
    "csv": {"a turned box", "a polygon", "a picture twice", *_DECLARED},
    "dota": {"corners reversed", *_DECLARED, *_SIZED, *_PATHS, *_STEMS},
    "yolo": {"UTF-16", "UTF-8 with a byte order mark", "corners reversed", *_DECLARED, *_SIZED, *_PATHS, *_STEMS},
    "ultralytics": {"no picture", "corners reversed", *_DECLARED, *_SIZED, *_PATHS, *_STEMS},
}
PAIRS = [(form, trial) for form in WRITERS for trial in TRIALS if trial not in CANNOT[form]]


UNSAID = {  # their own stem finds the picture, whatever the path; corners are in any order; labels are fractions
    "voc": {"found by the end of its path"},
    "labelme": {"found by the end of its path", "reversed corners"},
    "yolo": {"turned picture"},
    "ultralytics": {"turned picture"},
}
SAID_TOO = {("dota", "turned by EXIF, boxes after it"): {"turned picture"}, ("yolo", "no picture"): {"no label file"}}


def kinds_of(form: str, name: str) -> frozenset[str]:
    return TRIALS[name].kinds - UNSAID.get(form, set()) | SAID_TOO.get((form, name), set())


@pytest.mark.parametrize(("form", "name"), PAIRS)
def test_what_goes_wrong_is_read_or_said(tmp_path, form, name):
    trial = TRIALS[name]
    for file, orientation in {**trial.files, "z.png": 1}.items():
        write_picture(tmp_path / file, orientation)
    told = (trial.told, replace(Told("z.png"), name=trial.told.name), *trial.more)
    (found,) = read_parts(WRITERS[form](tmp_path, told, trial.encoding)).values()
    assert found.names == (("text",) if form == "coco-text" else (trial.told.name,))
    assert {one.kind for one in found.findings} == kinds_of(form, name)
    assert all(str(one.path).startswith(str(tmp_path)) for one in found.findings)
    boxes = {sample.picture.name: [box[1:5] for box in sample.boxes] for sample in found.samples}
    assert boxes.pop("z.png") == [pytest.approx(CENTRED)]
    wanted = trial.told.picture.replace("\\", "/").rpartition("/")[2]
    file = wanted if wanted in {Path(path).name for path in trial.files} else Path(next(iter(trial.files))).name
    assert boxes == ({} if trial.boxes is None else {file: [pytest.approx(box) for box in trial.boxes]})


OUTSIDE = (
    "../secret/p.png",
    "../../secret/p.png",
    "..\\..\\secret\\p.png",
    "x/../../../secret/./p.png",
    "./../secret/p.png",
    "secret/p.png",
    "../p.png",
    "{top}/secret/p.png",
    "{top}/ds/../secret/p.png",
    "/p.png",
)
NAMING = [form for form in WRITERS if form not in ("dota", "yolo", "ultralytics")]  # these do not name pictures


@pytest.mark.parametrize("with_folder", [False, True])
@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("form", NAMING)
def test_no_name_leads_out_of_the_folders(tmp_path, form, name, with_folder):
    """Neither up, from a root, nor into a folder beside that of the file, which nobody named."""
    folder = tmp_path / "ds"
    for place in (tmp_path / "secret" / "p.png", tmp_path / "p.png", folder / "img" / "z.png", folder / "z.png"):
        write_picture(place, 1)
    source = WRITERS[form](folder, [Told(name.format(top=tmp_path)), Told("z.png")], "utf-8")
    (found,) = read_parts(source, images=folder / "img" if with_folder else None).values()
    assert [sample.picture.name for sample in found.samples] == ["z.png"]
    (finding,) = found.findings
    assert finding.kind == "no picture"
    assert ("its path is not followed elsewhere" in finding.text) is (name != "secret/p.png")


@pytest.mark.parametrize("name", ["../ds/img/a.png", "../../img/a.png", "D:\\x\\..\\ds\\img\\a.png", "b/../img/a.png"])
@pytest.mark.parametrize("form", NAMING)
def test_the_end_of_a_path_that_leads_out_is_looked_up(tmp_path, form, name):
    write_picture(tmp_path / "img" / "a.png", 1)
    (found,) = read_parts(WRITERS[form](tmp_path, [Told(name)], "utf-8")).values()
    assert [sample.picture.samefile(tmp_path / "img" / "a.png") for sample in found.samples] == [True]


@pytest.mark.parametrize("form", NAMING)
def test_links_in_a_folder_are_followed(tmp_path, form):
    write_picture(tmp_path / "far" / "a.png", 1)
    write_picture(tmp_path / "far" / "b.png", 1)
    (tmp_path / "ds").mkdir()
    (tmp_path / "ds" / "a.png").symlink_to(tmp_path / "far" / "a.png")
    (tmp_path / "ds" / "sub").symlink_to(tmp_path / "far")
    source = WRITERS[form](tmp_path / "ds", [Told("a.png"), Told("sub/b.png")], "utf-8")
    (found,) = read_parts(source).values()
    assert [sample.picture.name for sample in found.samples] == ["a.png", "b.png"]


def test_the_docs_have_the_table_of_it():
    rows = [f"| | {' | '.join(f'`{form}`' for form in WRITERS)} |", f"|---|{'---|' * len(WRITERS)}"]
    for name, trial in TRIALS.items():
        cells = []
        for form in WRITERS:
            outcome = ["read"] if trial.boxes else ["left out"] if trial.kinds else ["read"]
            cells.append("–" if name in CANNOT[form] else ", ".join(outcome + ["said"] * bool(kinds_of(form, name))))
        rows.append(f"| {name} | {' | '.join(cells)} |")
    assert "\n".join(rows) in DOCS.read_text(encoding="utf-8")


# --- pictures


def size_and_box(path: Path) -> tuple[tuple[int, int], tuple[float, ...]]:
    """Where the red box of `write_picture` is on the picture as it is shown, in fractions."""
    image = read_picture(path).astype(int)
    rows, columns = np.nonzero((image[..., 2] > 170) & (image[..., 0] < 60))
    height, width = image.shape[:2]
    left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    shown = (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height
    return (width, height), shown


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [1, 0.5])
def test_boxes_of_the_stored_picture_are_turned_with_it(tmp_path, orientation, scale):
    """Compared with where the object is once the picture has been decoded and turned."""
    write_picture(tmp_path / "a.jpg", orientation)
    size, shown = size_and_box(tmp_path / "a.jpg")
    stored = Annotated(tmp_path / "a.xml", "a.jpg", (int(WIDTH * scale), int(HEIGHT * scale)), [outline(BOX, scale)])
    found = dataset("d", [stored])
    if orientation > 4:
        assert found.samples[0].boxes[0][1:5] == pytest.approx(shown, abs=0.051)  # JPEG blurs by a pixel of 20
        assert [one.kind for one in found.findings] == ["turned boxes"]
    corners = [value * scale for value in corners_in_pixels(size, shown)]
    drawn = Annotated(tmp_path / "a.xml", "a.jpg", (int(size[0] * scale), int(size[1] * scale)), [outline(corners)])
    found = dataset("d", [drawn])
    assert found.samples[0].boxes[0][1:5] == pytest.approx(shown)
    assert [one.kind for one in found.findings] == ["turned picture"] * (orientation in (2, 3, 4))


def outline(corners: Sequence[float], scale: float = 1) -> Outline:
    left, top, right, bottom = (value * scale for value in corners)
    return Outline("cup", [(left, top), (right, bottom)])


def corners_in_pixels(size: tuple[int, int], box: tuple[float, ...]) -> list[float]:
    (width, height), (x, y, w, h) = size, box
    return [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]


@pytest.mark.parametrize(
    ("size", "fine"),
    [
        ((40, 20), True), ((4000, 2000), True), ((20, 10), True), ((13, 7), True), ((13, 6), True), ((40, 21), True),
        ((1333, 667), True), ((40, 22), False), ((416, 416), False), ((20, 40), False), ((1333, 700), False),
    ],
)  # fmt: skip
def test_a_size_is_a_scale_of_the_pictures_or_another_one(tmp_path, size, fine):
    write_picture(tmp_path / "a.png", 1)
    one = Annotated(tmp_path / "a.xml", "a.png", size, [outline((0, 0, size[0] / 2, size[1] / 2))])
    if fine:
        assert dataset("d", [one]).samples[0].boxes == (Box(0, 0.25, 0.25, 0.5, 0.5),)
    else:
        with pytest.raises(NothingLeft, match=r"but .*a\.png has 40 x 20; left out: if that size alone is wrong"):
            dataset("d", [one])


@pytest.mark.parametrize(
    ("there", "stem", "named", "taken", "kind"),
    [
        (["a.png", "b.png"], "a", "b.png", "a.png", "two names"),  # both were renamed, or the picture is augmented
        (["b.png"], "a", "b.png", "b.png", None),
        (["b.jpeg"], "a", "c:\\x\\b.png", "b.jpeg", None),
        (["a.PNG", "a.jpg"], "a", "old.jpg", "a.jpg", None),
        (["a.png", "a.jpg"], "a", "old.bmp", None, "two pictures"),
        (["a.b.png", "a.png"], "x", "a.b", "a.b.png", None),  # .b is part of the name
        (["images/sub/a.png", "images/a.png"], "x", "sub/a.png", "images/sub/a.png", None),
        (["images/a.png", "JPEGImages/a.jpg"], "a", "a.png", "images/a.png", None),
        (["a.txt", "b"], "a", "b", None, "no picture"),
        ([], "a", "a\0.png", None, "no picture"),
        ([], "a", "", None, "no picture"),
        (["e\u0301.png"], "x", "\xe9.png", "e\u0301.png", None),  # as macOS has it
    ],
)
def test_the_picture_that_is_meant(tmp_path, there, stem, named, taken, kind):
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, fault = Pictures((), NEAR).of(tmp_path / f"{stem}.xml", named, alone=True)
    assert found == (tmp_path / taken if taken else None)
    assert (fault.kind if fault else None) == kind
    assert kind != "two pictures" or all(str(tmp_path / name) in fault.text for name in there)


def test_the_folder_that_was_named_comes_first(tmp_path):
    for place in ("own/a.png", "a.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    file = tmp_path / "c.json"
    assert Pictures((tmp_path / "own",), NEAR).of(file, "a.png", alone=False)[0] == tmp_path / "own" / "a.png"
    assert Pictures((tmp_path / "none",), NEAR).of(file, "a.png", alone=False)[0] == tmp_path / "a.png"


def test_a_class_that_is_not_among_the_names_is_said(tmp_path):
    write_picture(tmp_path / "a.png", 1)
    objects = [outline(BOX), outline(BOX)._replace(name="mug"), Outline("", []), Outline("cup", [(1, 1)])]
    found = dataset("d", [Annotated(tmp_path / "x.csv", "a.png", None, objects)], names=["jug", "cup"])
    assert found.samples[0].boxes == (Box(1, *CENTRED),)
    assert [one.text for one in found.findings] == [
        "mug: 'mug' is not among the classes; left out",
        "an object without a name; left out",
        "cup: has no outline; left out",
    ]


# --- VOC as other programs write it


def object_of(text: str, folder: Path, size: str = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"):
    write_picture(folder / "a.png", 1)
    (folder / "a.xml").write_text(f"<annotation>{size}<object><name>x</name>{text}</object></annotation>")
    return read_parts(folder)["all"]


@pytest.mark.parametrize("angle", [0, 0.3, 1.2, np.pi / 2, 2.5, 7])
def test_a_rotated_box_becomes_the_level_box_around_it(tmp_path, angle):
    text = f"<robndbox><cx>20</cx><cy>10</cy><w>12</w><h>6</h><angle>{angle}</angle></robndbox>"
    (sample,) = object_of(text, tmp_path).samples
    points = cv2.boxPoints(((20, 10), (12, 6), np.degrees(angle)))
    width, height = np.ptp(points, axis=0)
    assert sample.boxes[0][1:5] == pytest.approx((0.5, 0.5, width / WIDTH, height / HEIGHT), abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "<polygon><x1>8</x1><y1>4</y1><x2>20</x2><y2>4</y2><x3>20</x3><y3>14</y3><x4>8</x4><y4>14</y4></polygon>",
        "<polygon><x1>8</x1><y1>4</y1><x2>20</x2><y2>14</y2></polygon>",  # ssaru/convert2Yolo issue 16
        "<polygon><username/><pt><x>8</x><y>4</y></pt><pt><x>20</x><y>14</y></pt><pt><x>9</x><y>6</y></pt></polygon>",
        "<robndbox><x_left_top>14</x_left_top><y_left_top>4</y_left_top><x_right_top>20</x_right_top>"
        "<y_right_top>9</y_right_top><x_right_bottom>14</x_right_bottom><y_right_bottom>14</y_right_bottom>"
        "<x_left_bottom>8</x_left_bottom><y_left_bottom>9</y_left_bottom></robndbox>",
        "<bndbox><xmin>9</xmin><ymin>5</ymin><xmax>21</xmax><ymax>15</ymax></bndbox><polygon><x1>0</x1></polygon>",
        "<bndbox/><robndbox><cx>14</cx><cy>9</cy><w>12</w><h>10</h><angle>0</angle></robndbox>",
        "<deleted>0</deleted><polygon><pt><x>8</x><y>4</y></pt><pt><x>20</x><y>14</y></pt><pt><x>9</x><y>6</y></pt>"
        "</polygon></object><object><name>gone</name><deleted>1</deleted>",
    ],
)
def test_shapes_of_other_programs(tmp_path, text):
    found = object_of(text, tmp_path)
    assert (found.findings, found.names) == ((), ("x",))
    assert [box[1:5] for box in found.samples[0].boxes] == [pytest.approx(CENTRED)]


@pytest.mark.parametrize(
    "text", ["<polygon><x1>1</x1><y1>1</y1></polygon>", "<polygon><pt><x>a</x></pt></polygon>", "<robndbox/>", ""]
)
def test_shapes_that_are_none_are_said(tmp_path, text):
    found = object_of(text, tmp_path)
    assert [one.kind for one in found.findings] == ["no outline"]
    assert found.samples[0].boxes == ()


def test_labelmes_size_is_compared_too(tmp_path):
    with pytest.raises(NothingLeft, match="drawn on 7 x 9 pixels"):
        object_of("", tmp_path, "<imagesize><nrows>9</nrows><ncols>7</ncols></imagesize>")


# --- XML and json of any encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("<a>\u7ea2</a>", "utf-16-le"),
        ("<a>\u7ea2</a>", "utf-16-be"),
        ("<a>\u7ea2</a>", "utf-32"),
        ('<?xml version="1.0" encoding="utf-16"?><a>\u7ea2</a>', "utf-8"),  # as .NET's string writer has it
        ('<?xml version="1.0" encoding="gb2312"?><a>\u9555</a>', "gbk"),  # which gb2312 has not
        ("<?xml version='1.0' encoding = 'EUC-KR' standalone='yes'?>\n<a>\ud558</a>", "euc-kr"),
        ('<?xml version="1.0" encoding="ISO-8859-15"?><a>\u20ac</a>', "iso8859-15"),
        ('<?xml version="1.0" encoding="koi8-r"?><a>\u0436</a>', "koi8-r"),
        ('<?xml version="1.0" encoding="gb2312"?><a>\u7ea2</a>', "utf-8-sig"),
        ('<?xml version="1.0" encoding="gb2312"?><a>\u7ea2\u8272</a>', "utf-8"),  # gb18030 reads three others there
        ('<?xml version="1.0" encoding="gb2312"?><a>\u732b</a>', "gbk"),  # the bytes of an e with an accent in UTF-8
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>', "utf-8"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>', "latin-1"),
        ('\n \n<?xml version="1.0" encoding="utf-8"?>\n<a>\xe9</a>', "utf-8"),
    ],
)
def test_xml_is_read_in_what_it_is_written_in(text, encoding):
    assert parse_xml(text.encode(encoding)).text == re.sub("<[^>]*>|\\s", "", text)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "is in an encoding that is not known: klingon"),
        (b'<?xml version="1.0" encoding="hex"?><a/>', "is in an encoding that is not known: hex"),
        (b'<?xml version="1.0" encoding="gbk"?><a>' + b"\xff</a>", "is not in gbk, which it declares; save it"),
        ("<a>\u7ea2\u8272</a>".encode("gbk"), "is not in utf-8, but probably in GBK, undeclared; save it as UTF-8"),
        (b"\xff\xfe<", "is not in utf-16"),
        (b'<?xml version="1.0" encoding="unicode_escape"?><a>\\ud800</a>', "is not in unicode_escape"),
    ],
)
def test_xml_in_no_encoding_is_one_error(data, says):
    with pytest.raises(DarkshareError, match=re.escape(says)):
        parse_xml(data)


def test_json_in_no_unicode_is_one_error(tmp_path):
    (tmp_path / "c.json").write_bytes('{"categories": [{"id": 1, "name": "\u7ea2\u8272"}]}'.encode("gbk"))
    with pytest.raises(DarkshareError, match="is not in utf-8, but probably in GBK; save it as UTF-8"):
        read_parts(tmp_path / "c.json")


# --- ImageSets


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (("a 1", "a 2"), "{}"),
        (("a 1", "a 2"), "{}.png"),
        (("a", "b"), "{}.jpg"),
        (("a", "b"), "{}.xml"),
        (("a", "b"), "{}  1"),
        (("a 1", "b 1"), "{} -1"),
        (("a", "b"), "JPEGImages/{}.png"),
        (("a", "b"), "C:\\data\\JPEGImages\\{}.png"),
        (("sub/a", "other/a"), "{}"),
        (("a.1", "a.2"), "{}"),
    ],
)
def test_lists_of_parts_name_pictures_in_many_ways(tmp_path, names, lines):
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    for name, part in zip(names, ("train", "val"), strict=True):
        write_picture(tmp_path / "JPEGImages" / f"{name}.png", 1)
        place = tmp_path / "JPEGImages" / f"{name}.xml"
        place.write_text("<annotation><filename>x</filename></annotation>")
        (sets / f"{part}.txt").write_text(lines.format(name) + "\n")
    parts = read_parts(tmp_path)
    found = {part: [s.picture.relative_to(tmp_path / "JPEGImages") for s in one.samples] for part, one in parts.items()}
    assert found == {"train": [Path(f"{names[0]}.png")], "valid": [Path(f"{names[1]}.png")]}
    assert parts["train"].findings == ()


def test_what_lists_of_parts_name_alone_is_said(tmp_path):
    sets = tmp_path / "VOC2007" / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    write_picture(tmp_path / "VOC2007" / "a.png", 1)
    (tmp_path / "VOC2007" / "a.xml").write_text("<annotation/>")
    (sets / "train.txt").write_text("a\n\nb c\n")
    (sets / "val.txt").write_text("d\n")
    parts = read_parts(tmp_path)
    assert {part: len(one.samples) for part, one in parts.items()} == {"train": 1, "valid": 0}
    assert [(one.path.name, one.line, one.text) for one in parts["train"].findings] == [
        ("train.txt", 3, "'b c' is not among the pictures that could be read; left out"),
        ("val.txt", 1, "'d' is not among the pictures that could be read; left out"),
    ]
    (sets / "train.txt").write_text("e\n")
    (sets / "val.txt").write_text("a\n")
    with pytest.raises(NothingLeft, match="no picture to train on is left"):
        import_data(tmp_path, tmp_path / "out")


# --- findings


def many(count: int, kind: str, name: str = "x") -> list[Finding]:
    return [Finding(Path(f"{name}{i}"), i, f"odd {i}", kind) for i in range(count)]


def test_findings_are_folded_by_kind():
    found = [*many(SHOWN, "few"), *many(1200, "no outline"), *[Finding(Path("y"), None, "the same")] * 5]
    assert folded(found, "f.txt") == [
        "x0:0: odd 0", "x1:1: odd 1", "x2:2: odd 2", "x0:0: odd 0", "x1:1: odd 1", "x2:2: odd 2",
        "1200 findings of this kind (no outline), 3 are shown; f.txt has all",
        "y: the same", "y: the same", "y: the same", "5 such findings, 3 are shown; f.txt has all",
    ]  # fmt: skip
    texts = [Finding(Path("x"), i, f"odd {i}") for i in range(500)]
    assert len(folded(texts, "f")) == KINDS + 1
    assert folded(texts, "f")[-1] == f"{500 - KINDS} findings of {500 - KINDS} more kinds; f has all"
    assert folded([], "f") == []


def test_what_parts_share_counts_once_and_what_repeats_in_one_counts():
    one, other = many(2, "a"), many(1, "b")
    assert joined([[*one, *one], [*one, *other], other]) == (*one, *one, *other)
