"""Targets of annotations: VOC, COCO, COCO-Text, and the other formats of `import-data`."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from random import Random

from darknet_targets import Run
from mutation import break_json, break_lines, break_xml

from darkshare.data.types import Dataset

SIDES = 20, 10  # of the pictures


def _pictures(folder: Path) -> Path:
    """Write two small pictures that annotations can speak of, and one that lies outside their folder."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", *SIDES, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(SIDES[1] * (SIDES[0] + 1))))
    images = folder / "images"
    images.mkdir()
    for path in (images / "a.png", images / "b.png", folder / "secret.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + start + rows + chunk(b"IEND", b""))
    return images


def _whole(parts: Iterable[Dataset], images: Path | None = None) -> list[str]:
    """What was found in parts, after all that they hold was looked at: pictures in a folder, boxes in pictures."""
    parts = list(parts)
    for part in parts:
        assert len(set(part.names)) == len(part.names)
        for sample in part.samples:
            assert images is None or sample.picture.resolve().parent == images
            for box in sample.boxes:
                assert 0 <= box.class_id < len(part.names)
                assert 0 < box.w <= 1 + 1e-9
                assert 0 < box.h <= 1 + 1e-9
                assert 0 <= box.x <= 1
                assert 0 <= box.y <= 1
    return [one.text for part in parts for one in part.findings]


# VOC, COCO, COCO-Text

_BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
_TURNED = "<robndbox><cx>5</cx><cy>5</cy><w>4</w><h>2</h><angle>.5</angle></robndbox>"
_POINTS = "<polygon><x1>1</x1><y1>2</y1><x2>3</x2><y2>4</y2></polygon>"


def voc_seeds() -> list[bytes]:
    """A file with each kind of outline."""
    size = "<size><width>20</width><height>10</height><depth>3</depth></size>"
    return [
        f"<annotation><filename>a.png</filename>{size}<object><name>cat</name><difficult>{i % 2}</difficult>{shape}"
        "</object></annotation>".encode()
        for i, shape in enumerate((_BOX, _TURNED, _POINTS, _BOX + _POINTS))
    ]


def voc_words() -> list[bytes]:
    """Tags and what surrounds them."""
    tags = "annotation filename size width height object name difficult deleted bndbox xmin ymin robndbox angle polygon"
    more = [
        b'<?xml version="1.0" encoding="utf-16"?>',
        b"<!DOCTYPE a>",
        b"<![CDATA[",
        b"]]>",
        b"&lt;",
        b"&#0;",
        b"<!--",
    ]
    return [*(f"<{tag}>".encode() for tag in tags.split()), *(f"</{tag}>".encode() for tag in tags.split()), *more]


def voc(folder: Path) -> Run:
    """Boxes lie in pictures of the folder."""
    from darkshare.data.formats.voc import read_voc

    images = _pictures(folder)
    (folder / "xml").mkdir()

    def run(data: bytes) -> object:
        (folder / "xml" / "a.xml").write_bytes(data)
        return _whole(read_voc(folder / "xml", images=images).values(), images)

    return run


def coco_seeds() -> list[bytes]:
    """A file with boxes, and one with polygons."""
    images = [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}, {"id": 2, "file_name": "b.png"}]
    classes = [{"id": 1, "name": "cat", "supercategory": "pet"}, {"id": 7, "name": "dog"}]
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 8, 6], "iscrowd": 0}
    polygon = {"id": 2, "image_id": 2, "category_id": 7, "segmentation": [[1, 2, 3, 4, 5, 2]]}
    whole = {"images": images, "categories": classes}
    return [json.dumps({**whole, "annotations": rows}).encode() for rows in ([box], [polygon], [box, polygon])]


def coco(folder: Path) -> Run:
    """Boxes lie in pictures of the folder."""
    from darkshare.data.formats.coco import read_coco

    images, path = _pictures(folder), folder / "fuzz.json"

    def run(data: bytes) -> object:
        path.write_bytes(data)
        return _whole([read_coco(path, images=images)], images)

    return run


def coco_text_seeds() -> list[bytes]:
    """A file with texts of two kinds."""
    image = {"id": 1, "file_name": "a.png", "width": 20, "height": 10, "set": "train"}
    text = {"image_id": 1, "bbox": [1, 2, 8, 6], "legibility": "legible", "language": "english", "class": "handwritten"}
    other = {**text, "image_id": 2, "legibility": "illegible"}
    whole = {"imgs": {"1": image, "2": {**image, "id": 2, "file_name": "b.png", "set": "val"}}}
    return [json.dumps({**whole, "anns": rows}).encode() for rows in ({"1": text}, {"1": text, "2": other})]


def coco_text(folder: Path) -> Run:
    """Boxes lie in pictures of the folder."""
    from darkshare.data.formats.coco_text import read_coco_text

    images, path = _pictures(folder), folder / "fuzz.json"

    def run(data: bytes) -> object:
        path.write_bytes(data)
        legibility = "legible" if len(data) % 2 else "both"
        return _whole(read_coco_text(path, images=images, legibility=legibility).values(), images)

    return run


# the other formats of annotations, each behind its name


def format_seeds() -> list[bytes]:
    """A file of each format."""
    box = (
        '<box label="cat" xtl="1" ytl="2" xbr="9" ybr="8" rotation="30"/><mask left="1" top="1" width="2" height="2"/>'
    )
    more = '<polygon label="dog" points="1,2;3,4;5,2"/><ellipse label="cat" cx="5" cy="5" rx="2" ry="1"/>'
    cvat = f'<annotations><image name="a.png" width="20" height="10">{box}{more}</image></annotations>'
    track = '<box frame="0" outside="0" xtl="1" ytl="2" xbr="9" ybr="8"/>'
    track = f'<annotations><track label="cat">{track}</track></annotations>'
    shape = {"label": "cat", "points": [[1, 2], [9, 8]], "shape_type": "rectangle"}
    circle = {"label": "dog", "points": [[5, 5], [6, 6]], "shape_type": "circle"}
    labelme = {"imagePath": "a.png", "imageWidth": 20, "imageHeight": 10, "shapes": [shape, circle]}
    texts = {
        "labelme": json.dumps(labelme),
        "csv": "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,20,10,cat,1,2,9,8\nb.png,20,10,dog,0,0,5,5\n",
        "dota": "imagesource:x\n1 2 9 2 9 8 1 8 cat 0\n",
        "yolo": "0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.5 0.1 0.5 0.5\n",
        "darknet": "classes=2\ntrain=list.txt\nnames=x.names\n",
        "list": "images/a.png\nimages/b.png\n",
    }
    return [f"{name}\n{text}".encode() for name, text in [("cvat", cvat), ("cvat", track), *texts.items()]]


def break_source(data: bytes, rng: Random) -> bytes:
    """Break one thing of the format that is named in the first line."""
    name, _, text = data.partition(b"\n")
    breaks = {b"cvat": break_xml, b"labelme": break_json}.get(name, break_lines)
    return name + b"\n" + breaks(text, rng)


def formats(folder: Path) -> Run:
    """Boxes lie in pictures of the folder."""
    from darkshare.data.darknet import read_data, read_list
    from darkshare.data.formats import FORMATS, Asked

    images = _pictures(folder)
    for name, text in {"a.txt": "0 .5 .5 .5 .5\n", "x.names": "cat\ndog\n", "list.txt": "images/a.png\n"}.items():
        ((images if name == "a.txt" else folder) / name).write_text(text)
    files = {"cvat": "a.xml", "labelme": "a.json", "csv": "a.csv", "dota": "dota/a.txt", "yolo": "yolo/a.txt"}
    files |= {"darknet": "a.data", "list": "a.list"}
    for name in ("dota", "yolo"):
        (folder / name).mkdir()

    def run(data: bytes) -> object:
        first, _, text = data.partition(b"\n")
        name = first.decode("latin-1")
        if name not in files:
            return ""
        path = folder / files[name]
        path.write_bytes(text)
        if name == "darknet":
            return _whole([read_data(path)])
        if name == "list":
            return _whole([read_list(path, ("cat", "dog"))])
        source = path.parent if name in ("dota", "yolo") else path
        return _whole(FORMATS[name].read(source, Asked(images=images)).values(), images)

    return run
