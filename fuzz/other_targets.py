"""Targets of the files of other programs and of darkshare's own: annotations, recipes, ONNX, journals, pages."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from unittest.mock import patch

from darknet_targets import Run, tasks_network, weights_texts
from mutation import TEXTS, break_json

from darkshare._texts import to_escaped
from darkshare.darknet.cfg import parse
from darkshare.darknet.network import resolve
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


def _whole(parts: Iterable[Dataset], images: Path) -> list[str]:
    """What was found in parts, after all that they hold was looked at."""
    parts = list(parts)
    for part in parts:
        assert len(set(part.names)) == len(part.names)
        for sample in part.samples:
            assert sample.picture.resolve().parent == images
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


def text_words() -> list[bytes]:
    """What a text of any encoding may hold."""
    return [
        b"\n",
        b"\r\n",
        b"\r",
        b"\t",
        b" ",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xc3\xa9",
        b"\xe9",
        b"class 1",
    ]


def json_words() -> list[bytes]:
    """What JSON is made of, and the keys of all descriptions."""
    keys = (
        "id images annotations categories image_id category_id bbox segmentation file_name width height iscrowd name "
    )
    keys += "supercategory imgs anns set legibility language class format tasks classes padded offset heads runs net "
    keys += (
        "header sha256 ensemble alpha rules layers tensor kind method space model cfg dialect values quantised engine"
    )
    marks = [b"[", b"]", b"{", b"}", b",", b"null", b"true", b"NaN", b"1e999", b'"\\ud800"', b'"\\u0000"', b'"../a"']
    return [*(f'"{key}": '.encode() for key in keys.split()), *marks, b"\xef\xbb\xbf", b"\xff\xfe", b'"' + b"[" * 60]


# recipes


def recipe_seeds() -> list[bytes]:
    """Recipes in JSON and YAML."""
    rules = [{"layers": "0-1", "alpha": 0}, {"kind": "conv*", "tensor": "rolling_*", "alpha": 1, "method": "slerp"}]
    whole = {"alpha": 0.5, "method": "slerp", "space": "folded", "rules": rules}
    yaml = b"alpha: 0.5\nrules:\n  - {layers: 0-1, alpha: 0}\n  - tensor: 'rolling_*'\n    alpha: 1\n"
    return [
        json.dumps(whole).encode(),
        json.dumps({**whole, "rules": [{"layers": [0, "1-"], "alpha": 1}]}).encode(),
        yaml,
    ]


def recipe_words() -> list[bytes]:
    """What YAML is made of."""
    return [
        *json_words(),
        b"- ",
        b": ",
        b"&a ",
        b"*a",
        b"!!bool ",
        b"2020-13-01",
        b"---\n",
        b"? ",
        b"|\n",
        b"<<: ",
        b"%YAML",
    ]


def recipes(folder: Path) -> Run:
    """A recipe that is read gives every tensor a share."""
    from darkshare.surgery.mix_recipe import read_recipe, shares, with_overrides

    layers = tasks_network().layers
    tensors = sum(len(layer.tensors) for layer in layers)

    def run(data: bytes) -> None:
        path = folder / ("fuzz.json" if data[:1] in b"{[" else "fuzz.yaml")
        path.write_bytes(data)
        recipe = with_overrides(read_recipe(path), k=1)
        recipe.require_matches(layers)
        found = shares(recipe, layers)
        assert sum(len(named) for _, named in found) == tensors
        assert all(0 <= ratio.alpha <= 1 for ratio, _ in found)

    return run


# ONNX


def onnx_seeds() -> list[bytes]:
    """Exported files of a small network: with weights, and without nodes."""
    import numpy as np
    import onnx

    from darkshare.darknet.model import Model
    from darkshare.darknet.tasks import Task
    from darkshare.darknet.weights import Header, Weights
    from darkshare.inference.onnx.writing import buffers

    network = resolve(parse(weights_texts(1)[0]))
    task = Task("a", ("x",), (2,), ((0, 3),))
    model = Model(network, Weights(Header(), (np.zeros(network.params, "<f4"),)), (task,))
    whole = b"".join(map(bytes, buffers(model)))
    message = onnx.load_from_string(whole)
    message.ClearField("graph")
    return [whole, message.SerializeToString()]


def break_onnx(data: bytes, rng: Random) -> bytes:
    """Break one value of the description in the file's metadata."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        message = onnx.load_from_string(data)
    except DecodeError:
        return data
    if message.metadata_props:
        entry = rng.choice(message.metadata_props)
        value = entry.value if isinstance(entry.value, bytes) else entry.value.encode()  # bytes where it is not UTF-8
        entry.value = break_json(value, rng).decode("utf-8", "replace")
    return message.SerializeToString()


def onnx_files(folder: Path) -> Run:
    """A file that is read has a network and tasks."""
    from darkshare.inference.onnx.reading import read_exported

    path = folder / "fuzz.onnx"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        found = read_exported(path)
        assert found.model.tasks

    return run


# journals


def journal_seeds() -> list[bytes]:
    """A journal of three updates."""
    head = b"batch,images,rate,width,height,loss,mean,iou,objectness,seconds,map\n"
    rows = b"1,64,0.001,32,32,9.5,9.5,,,0.25,\n2,128,0.001,32,32,8.5,9.4,0.5,0.25,0.25,0.75\n"
    return [head, head + rows, head + rows[:-20]]


def journals(folder: Path) -> Run:
    """What is read of a journal is written and read as the same, and goes on."""
    from darkshare.training.journal import Journal, Update

    path = folder / "fuzz.csv"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        found = Journal(path, last=10**6)
        again = Journal(path, last=10**6)
        assert repr(again.entries) == repr(found.entries)
        again.add(Update(1, 2, 0.5, 32, 32, 1.0, again.mean_with(1.0), None, None, 0.5))
        assert len(Journal(path, last=10**6).entries) == len(found.entries) + 1

    return run


# the page of `stats --html`

_NUMBERS = (None, 0.0, 1.5, -1.0, 1e300, float("inf"), float("nan"), 5e-324)


class _Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name if name == "data-value" else (name, value) for name, value in attributes)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def html_seeds() -> list[bytes]:
    """Names and numbers, a field each."""
    return [
        b"base\x1fother\x1fconv\x1fweights\x1fnote\x1fverdict\x1fraw\x1f\x01\x02\x03",
        b"<b>\x1f\"'\x1f&amp;\x1f-->",
    ]


def html_words() -> list[bytes]:
    """Whatever might end a text."""
    words = (
        b"\x1f|<script>|</script>|</title>|<!--|-->|\"|'|&|&lt;|&#60;|<img src=x onerror=y>|]]>|</td>|\xff|\0|\xc2\xa0"
    )
    return words.split(b"|")


def break_fields(data: bytes, rng: Random) -> bytes:
    """Replace one field."""
    fields = data.split(b"\x1f")
    fields[rng.randrange(len(fields))] = rng.choice(
        [*html_words(), *(text.encode("utf-8", "surrogateescape") for text in TEXTS)]
    )
    return b"\x1f".join(fields)


def pages(folder: Path) -> Run:
    """Whatever the names hold, the page has the elements that it has with plain ones, and shows them."""
    from darkshare.analysis import html
    from darkshare.analysis.differences import Comparison, Difference

    patch.object(html, "differences_svg", lambda comparisons, **how: "<svg ></svg>").start()  # it takes a second

    def page(texts: list[str], number: float | None) -> _Page:
        base, other, kind, quantity, note, verdict, space = texts
        row = Difference(0, 0, kind, quantity, number, None, cosine=number, skipped=note)
        text = html.page([Comparison(base, other, space, 1, (0,), (), 0, (row,), verdict)])
        found = _Page()
        found.feed(to_escaped(text).decode())
        found.close()
        return found

    plain = {number is None: page(["a"] * 7, number).tags for number in (None, 1.0)}

    def run(data: bytes) -> None:
        fields = [one.decode("utf-8", "surrogateescape") for one in data.split(b"\x1f")]
        texts = [fields[i] if i < len(fields) else "a" for i in range(7)]
        number = _NUMBERS[len(data) % len(_NUMBERS)]
        found = page(texts, number)
        assert found.tags == plain[number is None]
        shown = "".join(found.texts)
        if number != float("inf"):  # of which the page says another note
            assert all(to_escaped(text).decode() in shown for text in texts)

    return run
