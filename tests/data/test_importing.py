"""Other programs' data sets: read with all that is wrong, split by content, written as Darknet's files."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import conftest
import cv2
import numpy as np
import pytest
from conftest import zoo_path
from hypothesis import given
from hypothesis import strategies as st

from darkshare.data import (
    Box,
    Dataset,
    Finding,
    Sample,
    import_data,
    read_coco,
    read_coco_text,
    read_data,
    read_parts,
    read_voc,
    review,
    split,
    write_data,
)
from darkshare.data.classes import united, with_classes, with_difficult, without_negatives
from darkshare.data.formats import format_of
from darkshare.data.formats.voc import CORNERS
from darkshare.data.formats.xml import parse_xml
from darkshare.data.labels import LABEL_RULES
from darkshare.errors import DarkshareError

WIDTH, HEIGHT = 20, 10


def write_picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    assert cv2.imwrite(str(path), image)
    return path


def xml_object(name: str, corners: tuple[float, ...], difficult: int = 0) -> str:
    sides = "".join(f"<{side}>{value}</{side}>\n" for side, value in zip(CORNERS, corners, strict=True))
    return f"<object>\n<name>{name}</name><difficult>{difficult}</difficult>\n<bndbox>\n{sides}</bndbox></object>\n"


def write_xml(path: Path, *objects: str, filename: str | None = None, size: str | None = None) -> Path:
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>" if size is None else size
    path.parent.mkdir(parents=True, exist_ok=True)
    named = f"{path.stem}.png" if filename is None else filename
    path.write_text(f"<annotation><filename>{named}</filename>{size}\n{''.join(objects)}</annotation>\n")
    return path


def said(dataset: Dataset) -> list[str]:
    return [str(one).replace(str(one.path), one.path.name) for one in dataset.findings]


# --- Pascal VOC


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Logos in the Wild's layout: a folder per brand, file names that come again in each."""
    root = tmp_path / "logos"
    for brand in ("acme", "zeta"):
        for index in range(3):
            write_picture(root / brand / f"img{index}.png", 10 * len(brand) + index + (brand == "zeta") * 100)
            write_xml(root / brand / f"img{index}.xml", xml_object(brand, (3, 3, 13, 8)))
    return root


def test_voc_folders_are_read_recursively(voc):
    (found,) = read_voc(voc).values()
    assert found.names == ("acme", "zeta")
    assert found.findings == ()
    assert [(s.picture.parent.name, s.picture.name) for s in found.samples] == [
        (brand, f"img{index}.png") for brand in ("acme", "zeta") for index in range(3)
    ]
    # Darknet's scripts/voc_label.py: ((3+13)/2 - 1)/20, ((3+8)/2 - 1)/10, (13-3)/20, (8-3)/10
    assert found.samples[0].boxes == (Box(0, 0.35, 0.45, 0.5, 0.5),)
    assert found.samples[3].boxes[0].class_id == 1


def test_voc_pictures_are_found_by_either_name(tmp_path):
    write_picture(tmp_path / "JPEGImages" / "a.png")
    write_picture(tmp_path / "images" / "b.jpeg", 1)
    write_picture(tmp_path / "Annotations" / "c.png", 2)
    write_xml(tmp_path / "Annotations" / "a.xml", filename="elsewhere.jpg")
    write_xml(tmp_path / "Annotations" / "0001.xml", filename="C:\\pictures\\b.jpg")
    write_xml(tmp_path / "Annotations" / "c.xml", filename="")
    (found,) = read_voc(tmp_path).values()
    assert [sample.picture.name for sample in found.samples] == ["b.jpeg", "a.png", "c.png"]
    assert found.findings == ()


def test_voc_difficult_boxes_and_missing_sizes(tmp_path):
    write_picture(tmp_path / "a.png")
    write_xml(tmp_path / "a.xml", xml_object("x", (3, 3, 13, 8), 1), size="<size><width>0</width></size>")
    (found,) = read_voc(tmp_path).values()
    assert found.samples[0].boxes == (Box(0, 0.35, 0.45, 0.5, 0.5, True),)


def test_everything_wrong_with_voc_files_is_said(tmp_path):
    for name in "abcde":
        write_picture(tmp_path / f"{name}.png", ord(name))
    write_xml(
        tmp_path / "a.xml",  # the objects start in lines 2, 10, 18, 26, 34, 35
        xml_object("x", (5, 5, 5, 8)),
        xml_object("x", (1, 1, 40, 5)),
        xml_object("x", (100, 1, 140, 5)),
        xml_object("x", ("one", 1, 2, 3)),
        "<object><name>x</name></object>\n",
        "<object><bndbox/></object>\n",
    )
    (tmp_path / "b.xml").write_text("<annotation>\n<object></annotation>")
    (tmp_path / "c.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
    (tmp_path / "d.xml").write_text("<recording/>")
    (tmp_path / "e.xml").write_bytes(b"")
    write_xml(tmp_path / "none.xml")
    (tmp_path / "deep.xml").write_text("<a>\n" * 100_000)
    (found,) = read_voc(tmp_path).values()
    assert len(found.samples) == 1
    assert found.samples[0].boxes == (pytest.approx((0, 0.5, 0.2, 1, 0.4, False)),)
    places = {" ".join(line.split(": ")[:1]): line for line in said(found)}
    expected = {
        "b.xml:2": "is not XML",
        "c.xml:1": "document type",
        "d.xml:1": "is not a Pascal VOC",
        "e.xml:1": "is not XML",
        "deep.xml:21": "more than 20 elements in each other",
        "a.xml:2": "x: the box has no area",
        "a.xml:10": "x: the box reaches outside the picture",
        "a.xml:18": "x: the box lies outside the picture",
        "a.xml:26": "no <bndbox> with the numbers",
        "a.xml:34": "no <bndbox> with the numbers",
        "a.xml:35": "an object without a name",
        "none.xml": "no picture of this name",
    }
    assert set(places) == set(expected)
    assert all(what in places[place] for place, what in expected.items())


def test_two_xml_files_of_one_picture_are_put_together(tmp_path):
    write_picture(tmp_path / "a.png")
    write_xml(tmp_path / "a.xml", xml_object("x", (3, 3, 13, 8)))
    write_xml(tmp_path / "b.xml", xml_object("x", (3, 3, 13, 8)), xml_object("x", (3, 3, 13, 9)), filename="a.png")
    (found,) = read_voc(tmp_path).values()
    assert len(found.samples[0].boxes) == 2
    assert ["has labels already" in line for line in said(found)] == [True]


def test_xml_files_of_windows_and_of_macos(tmp_path):
    write_picture(tmp_path / "a.png")
    write_xml(tmp_path / "a.XML", xml_object("x", (3, 3, 13, 8)))
    (tmp_path / "._a.xml").write_bytes(b"\0\5\x16\7")  # what macOS puts beside each file in an archive
    (found,) = read_parts(tmp_path).values()
    assert (len(found.samples), found.findings) == (1, ())


@pytest.mark.parametrize("make", ["none", "empty", "unseen"])
def test_voc_folders_that_give_nothing_are_one_error(tmp_path, make):
    (tmp_path / "empty").mkdir()
    write_xml(tmp_path / "unseen" / "a.xml")
    with pytest.raises(DarkshareError, match=make):
        read_voc(tmp_path / make)


def test_image_sets_are_the_parts(tmp_path):
    for index in range(4):
        write_picture(tmp_path / "JPEGImages" / f"{index}.png", index)
        write_xml(tmp_path / "Annotations" / f"{index}.xml", xml_object("x", (3, 3, 13, 8)))
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("0\n1\n")
    (sets / "val.txt").write_text("2 1\n")
    parts = read_voc(tmp_path)
    assert {part: [s.picture.stem for s in one.samples] for part, one in parts.items()} == {
        "train": ["0", "1"],
        "valid": ["2"],
    }
    assert said(parts["train"]) == ["3.png: is in no list of ImageSets; left out"]


@given(st.binary(max_size=200))
def test_any_bytes_are_xml_or_an_error(data):
    with contextlib.suppress(DarkshareError):
        assert parse_xml(data).tag


@pytest.mark.zoo
def test_real_voc_data_of_two_publishers(tmp_path):
    """Counted with grep in the files: 372 white cells, 4155 red ones, 361 platelets; two boxes have no area."""
    cells = read_voc(zoo_path("datasets", "bccd", "BCCD"))
    assert [len(part.samples) for part in cells.values()] == [205, 87, 72]
    assert cells["train"].names == ("Platelets", "RBC", "WBC")
    counts = [sum(b.class_id == i for p in cells.values() for s in p.samples for b in s.boxes) for i in range(3)]
    assert counts == [361, 4153, 372]
    assert [one.line for one in cells["train"].findings] == [158, 50]
    (raccoons,) = read_voc(zoo_path("datasets", "raccoon")).values()
    assert (len(raccoons.samples), len(raccoons.findings)) == (199, 1)


# --- COCO


def coco_json(path: Path, **changed: object) -> Path:
    document = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": WIDTH, "height": HEIGHT},
            {"id": 9, "file_name": "b.png", "width": WIDTH, "height": HEIGHT},
        ],
        "categories": [{"id": 90, "name": "brush"}, {"id": 1, "name": "person"}, {"id": 13, "name": "sign"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 13, "bbox": [2, 1, 10, 4], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 90, "bbox": [0, 0, 20, 10], "iscrowd": 1},
        ],
        **changed,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    for index, name in enumerate("ab"):
        write_picture(tmp_path / "images" / "val2017" / f"{name}.png", index)
    return coco_json(tmp_path / "annotations" / "instances_val2017.json")


def test_coco_closes_the_gaps_between_categories(coco):
    found = read_coco(coco)
    assert found.names == ("person", "sign", "brush")
    assert found.samples[0].boxes == (Box(1, 0.35, 0.3, 0.5, 0.4), Box(2, 0.5, 0.5, 1.0, 1.0, True))
    assert found.samples[1].boxes == ()
    assert found.findings == ()


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a\nb", "a b"),
        ("\x85b", "b"),
        ("a\x1b[31m", None),
        ("\0", None),
        ("\ud800", None),
        ("a\x9b", None),
        ("\u200b", "\u200b"),
    ],
)
def test_class_names_that_no_file_of_names_can_hold(coco, tmp_path, name, written):
    """Blanks of all kinds become one; what no program shows is an error, before anything is written."""
    found = json.loads(coco.read_text())
    found["categories"][0]["name"] = name
    coco.write_text(json.dumps(found))
    if written is not None:
        data = import_data(coco, tmp_path / "out").path
        assert written in data.with_suffix(".names").read_text(encoding="utf-8").splitlines()
        return
    with pytest.raises(DarkshareError, match=r"class name '.*' holds (a control|half a) character"):
        import_data(coco, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_everything_wrong_with_a_coco_json_is_said(coco):
    rows = [
        {"id": 1, "image_id": 7, "category_id": 13, "bbox": [2, 1, 10, 4]},
        {"id": 2, "image_id": 8, "category_id": 13, "bbox": [2, 1, 10, 4]},
        {"id": 3, "image_id": 7, "category_id": 2, "bbox": [2, 1, 10, 4]},
        {"id": 4, "image_id": 7, "category_id": 13, "bbox": [2, 1, 10]},
        {"id": 5, "image_id": 7, "category_id": 13, "bbox": [2, 1, 0, 4]},
        {"id": 6, "image_id": 7, "category_id": 13, "bbox": [-9, 1, 19, 4]},
        {"id": 7, "image_id": 7, "category_id": 13, "bbox": [2, 1, 10, float("nan")]},
        {"id": 8, "image_id": [7], "category_id": 13, "bbox": [2, 1, 10, 4]},
        {"id": 9, "image_id": 7, "category_id": 13, "bbox": [2, 1, 10, 4]},
        {"image_id": 7, "category_id": 13, "bbox": [10**400, 1, 10, 4]},
        "nonsense",
    ]
    images = [
        {"id": 7, "file_name": "a.png", "width": 10**400, "height": None},  # so the picture itself is asked
        {"id": 7, "file_name": "b.png"},
        {"file_name": "b.png"},
        {"id": 10, "file_name": "missing.png"},
        {"id": 11, "file_name": "a.png"},
        {"id": 12, "file_name": "a\0.png"},
    ]
    categories = [
        {"id": 13, "name": "sign\nboard"},
        {"id": 13, "name": "x"},
        {"id": 14, "name": "sign board"},
        {"id": "a"},
    ]
    found = read_coco(coco_json(coco, annotations=rows, images=images, categories=categories))
    assert found.names == ("sign board", "sign board 14")
    assert found.samples[0].boxes == (Box(0, 0.35, 0.3, 0.5, 0.4), pytest.approx((0, 0.25, 0.3, 0.5, 0.4, False)))
    expected = [
        "category 13 is there twice",
        "category 14 is called sign board like another",
        "category {'id': 'a'}: no id and name",
        "image 7 is there twice",
        "image {'file_name': 'b.png'}: no id",
        "annotation 2: there is no image 8",
        "annotation 3: there is no category 2",
        "annotation 4: no image_id, category_id and bbox",
        "annotation 8: no image_id",
        "annotation number 9: no image_id",
        "annotation number 10: no image_id",
        "annotation 5: the box has no area",
        "annotation 6: the box reaches outside",
        "annotation 7: the box is infinite",
        "the same box as before",
        "image 10: ",
        "image 11: ",
        "image 12: ",
    ]
    lines = [line.removeprefix("instances_val2017.json: ") for line in said(found)]
    assert [line[: len(what)] for line, what in zip(lines, expected, strict=True)] == expected


@pytest.mark.parametrize("texts", ["images", "categories", "annotations"])
def test_numbers_that_a_program_wrote_as_text_are_ids(coco, texts):
    """As in cvat-ai/cvat issue 298, cocodataset/cocoapi issue 299 and pylabel-project/pylabel issue 46."""
    document = json.loads(coco.read_text())
    for row in document[texts]:
        row.update(
            {key: str(value) for key, value in row.items() if key.endswith("id")}, iscrowd=str(row.get("iscrowd", 0))
        )
    found = read_coco(coco_json(coco, **document))
    assert found.names == ("person", "sign", "brush")
    assert found.samples[0].boxes == (Box(1, 0.35, 0.3, 0.5, 0.4), Box(2, 0.5, 0.5, 1.0, 1.0, True))
    assert found.findings == ()


def test_names_are_ids_too(coco):
    """As in laclouis5/globox pull request 13; what begins with a 0 is a name, so that 01 and 1 stay two."""
    rows: list[dict[str, Any]] = [{"id": "sign", "name": "sign"}, {"id": "01", "name": "old"}, {"id": 1, "name": "new"}]
    marked = [{"image_id": "a.png", "category_id": row["id"], "bbox": [2, 1, 10, 4]} for row in rows]
    images = [{"id": "a.png", "file_name": "a.png"}]
    found = read_coco(coco_json(coco, images=images, categories=rows, annotations=marked))
    assert found.names == ("new", "old", "sign")
    assert [box.class_id for box in found.samples[0].boxes] == [2, 1, 0]
    assert found.findings == ()


@pytest.mark.parametrize(("crowds", "says"), [([1, 1, 1], "3 of 3"), ([1, "1", 0], "2 of 3"), ([0.0, 1, None], "")])
def test_masks_that_a_program_marks_as_crowds_are_said(coco, crowds, says):
    """As in facebookresearch/detectron2 issues 2415 and 5027: no box was left to train on, and nothing said why."""
    rows = [
        {"image_id": 7, "category_id": 1, "bbox": [place, 1, 4, 4], "iscrowd": crowd}
        for place, crowd in enumerate(crowds)
    ]
    found = read_coco(coco_json(coco, annotations=rows))
    assert [line for line in said(found) if "--difficult keep" in line] == said(found)
    assert [f": {says} boxes have iscrowd=1" in line for line in said(found)] == [True] * bool(says)


@pytest.mark.parametrize(
    ("box", "fractions"), [([0.1, 0.1, 0.5, 0.4], True), ([2, 1, 10, 4], False), ([0, 0, 1, 1], True)]
)
def test_boxes_in_fractions_are_taken_for_that_and_said(coco, box, fractions):
    """As in swatig007/automlForImages pull request 27; in pixels these would all be specks in a corner."""
    rows = [{"image_id": 7, "category_id": 1, "bbox": box}]
    found = read_coco(coco_json(coco, annotations=rows))
    wide, high = (1, 1) if fractions else (WIDTH, HEIGHT)
    left, top, width, height = box
    expected = ((left + width / 2) / wide, (top + height / 2) / high, width / wide, height / high)
    assert found.samples[0].boxes[0][1:5] == pytest.approx(expected)
    assert ["no box has a number above 1" in line for line in said(found)] == [True] * fractions


def test_a_category_that_only_others_are_kinds_of_is_said(coco):
    rows = [
        {"id": 0, "name": "tools", "supercategory": "none"},
        {"id": 13, "name": "sign", "supercategory": "tools"},
        {"id": 90, "name": "brush", "supercategory": "brush"},
    ]
    found = read_coco(coco_json(coco, categories=rows))
    assert found.names == ("tools", "sign", "brush")
    assert [line.split(": ", 1)[1] for line in said(found)] == [
        "category tools has no boxes, it is only what others are kinds of; --keep-classes leaves it out"
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not json"),
        ('{"images": [\n,]}', ":2: is not json"),
        ("[" * 100_000, "is not json"),
        ("[1]", "is not a json object"),
        ("{}", "has no list of categories"),
        ('{"categories": [], "images": [], "annotations": []}', "has no categories"),
        ('{"categories": [{"id": 1, "name": "a"}], "images": [], "annotations": []}', "has no images"),
        (
            '{"categories": [{"id": 1, "name": "a"}], "images": [{"id": 1, "file_name": "x.png"}], "annotations": []}',
            "none of its pictures can be used, name their folder with --images; ",
        ),
    ],
)
def test_what_is_no_coco_json_is_one_error(tmp_path, text, says):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DarkshareError) as caught:
        read_coco(tmp_path / "x.json")
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "x.json"))


def test_coco_agrees_with_its_own_tools(coco):
    """An independent reading of the same file."""
    tools = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    theirs = tools.COCO(str(coco))
    found = read_coco(coco)
    for sample, image in zip(found.samples, theirs.dataset["images"], strict=True):
        rows = theirs.loadAnns(theirs.getAnnIds(imgIds=image["id"]))
        for box, row in zip(sample.boxes, rows, strict=True):
            left, top = (box.x - box.w / 2) * WIDTH, (box.y - box.h / 2) * HEIGHT
            assert [left, top, box.w * WIDTH, box.h * HEIGHT] == pytest.approx(row["bbox"])
            assert found.names[box.class_id] == theirs.loadCats(row["category_id"])[0]["name"]


# --- COCO-Text


def text_json(path: Path) -> Path:
    texts = [
        (1, "legible", "english", "machine printed"),
        (1, "illegible", "na", "handwritten"),
        (2, "legible", "not english", "others"),
        (3, "legible", "english", "handwritten"),
    ]
    anns = {
        str(100 + i): {
            "image_id": image,
            "bbox": [2, 1, 10, 4 + i],
            "legibility": seen,
            "language": tongue,
            "class": kind,
        }
        for i, (image, seen, tongue, kind) in enumerate(texts)
    }
    sets = {1: "train", 2: "train", 3: "val"}
    imgs = {
        str(i): {"id": i, "set": sets[i], "width": WIDTH, "height": HEIGHT, "file_name": f"{i}.png"} for i in (1, 2, 3)
    }
    path.write_text(json.dumps({"cats": {}, "anns": anns, "imgs": imgs, "imgToAnns": {}, "info": {}}))
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for index in (1, 2, 3):
        write_picture(tmp_path / "train2014" / f"{index}.png", index)
    return text_json(tmp_path / "cocotext.v2.json")


def flags(parts: dict[str, Dataset]) -> dict[str, list[list[bool]]]:
    return {part: [[box.difficult for box in s.boxes] for s in one.samples] for part, one in parts.items()}


def test_coco_text_has_one_class_and_its_own_parts(texts):
    parts = read_coco_text(texts)
    assert parts["train"].names == ("text",)
    assert parts["train"].samples[0].boxes[0] == Box(0, 0.35, 0.3, 0.5, 0.4)
    assert flags(parts) == {"train": [[False, False], [False]], "valid": [[False]]}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"legibility": "legible"}, [[False, True], [False], [False]]),
        ({"legibility": "illegible"}, [[True, False], [True], [True]]),
        ({"language": ["english"]}, [[False, True], [True], [False]]),
        ({"text_class": ["handwritten", "others"]}, [[True, False], [False], [False]]),
        ({"language": ["english"], "text_class": ["handwritten"]}, [[True, True], [True], [False]]),
    ],
)
def test_text_that_is_not_asked_for_is_difficult(texts, asked, expected):
    found = flags(read_coco_text(texts, **asked))
    assert found["train"] + found["valid"] == expected


def test_asking_for_what_there_is_none_of_is_an_error(texts):
    with pytest.raises(DarkshareError, match="has no text of language 'klingon'; it has english, na, not english"):
        read_coco_text(texts, language=["klingon"])


def test_wrong_texts_are_said(texts):
    document = json.loads(texts.read_text())
    document["anns"] |= {"9": {"image_id": 8, "bbox": [1, 1, 2, 2]}, "10": 3, "11": {"image_id": 1}}
    texts.write_text(json.dumps(document))
    assert [line.split(": ", 1)[1] for line in said(read_coco_text(texts)["train"])] == [
        "annotation 9: there is no image 8; left out",
        "annotation 10: no image_id and bbox of 4 numbers; left out",
        "annotation 11: no image_id and bbox of 4 numbers; left out",
    ]


def test_formats_are_told_apart(coco, texts, voc, tmp_path):
    (tmp_path / "x.data").touch()
    (tmp_path / "x.bin").write_bytes(b"\1")
    found = [format_of(path) for path in (coco, texts, voc, tmp_path / "x.data")]
    assert found == ["coco", "coco-text", "voc", "darknet"]
    for name, says in [
        ("x.bin", "no format that is known"),
        ("none.json", "No such file"),
        ("train2014", "no format that is known"),
    ]:
        with pytest.raises(DarkshareError, match=says):
            format_of(tmp_path / name)


# --- splitting


def dataset_of(folder: Path, count: int) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for index in range(count):
        (folder / f"{index}.png").write_bytes(b"picture %d" % index)
        samples.append(Sample(folder / f"{index}.png", (Box(0, 0.5, 0.5, 0.1, 0.1),)))
    return Dataset("some", ("thing",), tuple(samples), (Finding(folder, None, "odd"),))


def test_a_split_is_the_same_in_any_order_and_under_any_names(tmp_path):
    whole = dataset_of(tmp_path / "a", 50)
    train, valid = split(whole, 0.2, seed=3)
    assert (len(train.samples), len(valid.samples)) == (40, 10)
    assert (train.findings, valid.findings) == (whole.findings, ())
    shuffled = list(whole.samples)
    random.Random(1).shuffle(shuffled)
    moved = []
    for number, sample in enumerate(shuffled):
        target = tmp_path / "b" / f"renamed{number}.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(sample.picture, target)
        moved.append(Sample(target, sample.boxes))
    again = split(Dataset("other", whole.names, tuple(moved)), 0.2, seed=3)[1]
    assert {s.picture.read_bytes() for s in again.samples} == {s.picture.read_bytes() for s in valid.samples}
    other = split(whole, 0.2, seed=4)[1]
    assert {s.picture for s in other.samples} != {s.picture for s in valid.samples}


def test_a_picture_that_is_there_twice_stays_on_one_side(tmp_path):
    whole = dataset_of(tmp_path, 10)
    twins = []
    for sample in whole.samples:
        twin = sample.picture.with_name(f"twin{sample.picture.name}")
        shutil.copyfile(sample.picture, twin)
        twins.append(Sample(twin, ()))
    train, valid = split(Dataset("twins", whole.names, (*whole.samples, *twins)), 0.3)
    apart = [{s.picture.read_bytes() for s in part.samples} for part in (train, valid)]
    assert not apart[0] & apart[1]
    assert (len(train.samples), len(valid.samples)) == (14, 6)


@pytest.mark.parametrize(("count", "share", "aside"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.25, 2), (5, 0.5, 2)])
def test_no_side_stays_empty(tmp_path, count, share, aside):
    assert len(split(dataset_of(tmp_path, count), share)[1].samples) == aside


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (0, 0.5), (5, 0), (5, 1), (5, float("nan"))])
def test_what_cannot_be_split_is_an_error(tmp_path, count, share):
    with pytest.raises(DarkshareError):
        split(dataset_of(tmp_path, count), share)


# --- classes


PARTS = {
    "train": Dataset(
        "t", ("cat", "dog", "car"), (Sample(Path("a"), (Box(0, 0.5, 0.5, 0.1, 0.1), Box(2, 0.5, 0.5, 0.2, 0.2, True))),)
    ),
    "valid": Dataset("v", ("car", "bus"), (Sample(Path("b"), (Box(1, 0.5, 0.5, 0.3, 0.3),)),)),
}


def ids(parts: dict[str, Dataset]) -> list[list[int]]:
    return [[box.class_id for sample in part.samples for box in sample.boxes] for part in parts.values()]


def test_parts_get_the_same_classes():
    found = united(PARTS)
    assert {part.names for part in found.values()} == {("cat", "dog", "car", "bus")}
    assert ids(found) == [[0, 2], [3]]


@pytest.mark.parametrize(
    ("how", "names", "expected"),
    [
        ({"keep": ("car", "cat")}, ("car", "cat"), [[1, 0], []]),
        ({"rename": {"bus": "car"}}, ("cat", "dog", "car"), [[0, 2], [2]]),
        ({"rename": {"bus": "car"}, "keep": ("car",)}, ("car",), [[0], [0]]),
        ({"single": "thing"}, ("thing",), [[0, 0], [0]]),
        ({"single": "thing", "keep": ("cat",)}, ("thing",), [[0], []]),
    ],
)
def test_classes_are_chosen(how, names, expected):
    found = with_classes(united(PARTS), **how)
    assert {part.names for part in found.values()} == {names}
    assert ids(found) == expected


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"keep": ("cats",)}, "no class 'cats'; is 'cat' meant?"),
        ({"rename": {"x": "y"}}, "no class 'x'; there are cat, dog, car"),
    ],
)
def test_a_class_that_is_none_is_an_error(how, says):
    with pytest.raises(DarkshareError) as caught:
        with_classes(united(PARTS), **how)
    assert says in str(caught.value)


def test_difficult_boxes_and_negatives():
    assert [
        [b.difficult for b in with_difficult(PARTS, way)["train"].samples[0].boxes] for way in ("list", "keep", "drop")
    ] == [
        [False, True],
        [False, False],
        [False],
    ]
    kept = without_negatives(with_classes(united(PARTS), keep=["bus"]))
    assert [len(part.samples) for part in kept.values()] == [0, 1]


# --- writing


def test_what_is_written_is_read_again(voc, tmp_path):
    before = read_parts(voc)["all"]
    done = import_data(voc, tmp_path / "out", split=0.5, seed=2)
    assert done.path == tmp_path / "out" / "out.data"
    parts = {part: read_data(done.path, part) for part in ("train", "valid")}
    assert all(one.findings == () and one.names == before.names for one in parts.values())
    after = {s.picture.resolve(): s.boxes for one in parts.values() for s in one.samples}
    assert after == {s.picture.resolve(): s.boxes for s in before.samples}
    assert all(s.picture.is_symlink() for s in parts["train"].samples)
    assert (tmp_path / "out" / "obj" / "acme" / "img0.txt").read_text() == "0 0.35 0.45 0.5 0.5\n"
    assert review(done.path).findings == ()
    record = json.loads((tmp_path / "out" / "import.json").read_text())
    assert (record["seed"], record["share"], record["source"]) == (2, 0.5, str(voc))


def test_a_third_part_is_for_nothing_but_a_measure(voc, tmp_path):
    def pictures(part):
        return {sample.picture.resolve() for sample in part.samples}

    whole = pictures(read_parts(voc)["all"])
    path = import_data(voc, tmp_path / "out", split=1 / 3, test=1 / 3).path
    parts = {part: read_data(path, part).samples for part in ("train", "valid", "test")}
    assert [len(samples) for samples in parts.values()] == [len(whole) // 3] * 3
    assert {one.picture.resolve() for samples in parts.values() for one in samples} == whole
    assert read_data(path.with_name("out-test.data"), "valid").samples == parts["test"]
    with pytest.raises(DarkshareError, match="the source has a test part of its own; leave --test out"):
        import_data(path, tmp_path / "again", test=0.5)
    two = import_data(voc, tmp_path / "two", split=1 / 3)
    three = import_data(two.path, tmp_path / "three", test=0.5)
    assert [len(one.samples) for one in three.parts.values()] == [len(whole) // 3] * 3
    assert pictures(three.parts["valid"]) == pictures(two.parts["valid"])
    with pytest.raises(DarkshareError, match=r"--split 0\.5 and --test 0\.5 leave nothing to train on"):
        import_data(voc, tmp_path / "none", split=0.5, test=0.5)
    assert not (tmp_path / "none").exists()


def test_what_was_imported_is_shown_as_the_command_shows_it(voc, tmp_path):
    done = import_data(voc, tmp_path / "out", source_format="voc", split=0.5, rename_classes={"acme": "zeta"})
    assert repr(done) == f"<Imported: {tmp_path}/out/out.data, 3 train pictures, 3 valid pictures, 0 findings>"
    assert str(done).splitlines()[-1] == f"Wrote {tmp_path}/out/out.data; start Darknet in {tmp_path}/out"
    assert set(done.as_dict()) == {"rows", "data", "parts", "classes", "findings", "kinds", "notes"}
    assert "zeta" in done.to_dataframe()["class"].tolist()
    with pytest.raises(DarkshareError, match="unknown format xml; use one of voc, darknet, coco-text, labelme, coco"):
        import_data(voc, tmp_path / "out", source_format="xml")


def test_all_forks_find_the_labels_of_what_is_written(tmp_path):
    samples: list[Sample] = []
    for place in ("raw/strawberry.png", "images/a b.png", "JPEGImages/a.b.png", "x/a.jpg", "x/a.png"):
        samples.append(Sample(write_picture(tmp_path / "in" / place, len(samples)), (Box(0, 0.5, 0.5, 0.1, 0.1),)))
    path = write_data({"train": Dataset("d", ("x",), tuple(samples))}, tmp_path / "out")
    lines = (path.parent / "train.txt").read_text().splitlines()
    assert len({line.rpartition(".")[0] for line in lines}) == 5
    assert not any(" " in line for line in lines)
    for line in lines:
        assert {rule(line) for rule in LABEL_RULES.values()} == {f"{line.rpartition('.')[0]}.txt"}
        assert (path.parent / LABEL_RULES["pjreddie"](line)).read_text() == "0 0.5 0.5 0.1 0.1\n"
    assert [s.picture.resolve() for s in read_data(path).samples] == [s.picture.resolve() for s in samples]


def test_difficult_boxes_go_to_a_list_for_validation_and_out_of_training(tmp_path):
    boxes = (Box(0, 0.5, 0.5, 0.1, 0.1), Box(0, 0.25, 0.25, 0.1, 0.1, True))
    parts = {
        part: Dataset("d", ("x",), (Sample(write_picture(tmp_path / f"{part}.png", i), boxes),))
        for i, part in enumerate(("train", "valid", "test"))
    }
    path = write_data(parts, tmp_path / "out", name="d", copy=True)
    assert read_data(path).samples[0].boxes == boxes[:1]
    assert read_data(path, "valid").samples[0].boxes == boxes
    assert read_data(path.with_name("d-test.data"), "valid").samples[0].boxes == boxes
    assert not read_data(path).samples[0].picture.is_symlink()


def test_files_of_others_are_never_replaced(voc, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(DarkshareError, match=r"holds mine\.txt, which no import wrote"):
        import_data(voc, out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    (out / "mine.txt").unlink()
    import_data(voc, out)
    before = {path.relative_to(out) for path in out.rglob("*")}
    import_data(voc, out, single_class="logo")  # its own work it replaces
    assert (out / "out.names").read_text() == "logo\n"
    (out / "backup" / "last.weights").touch()
    with pytest.raises(DarkshareError, match=r"holds backup/last\.weights"):
        import_data(voc, out)
    assert {path.relative_to(out) for path in out.rglob("*")} >= before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logos", "out"]


def test_a_link_to_a_folder_is_not_replaced(voc, tmp_path):
    import_data(voc, tmp_path / "real")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(DarkshareError, match="is a link"):
        import_data(voc, tmp_path / "out")
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_sources_are_only_read(voc, tmp_path):
    """Even where the new folder holds links to them, and is replaced."""
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in voc.rglob("*.*")}
    for copy in (False, True, False):
        import_data(voc, tmp_path / "out", copy=copy)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in voc.rglob("*.*")} == before


def test_a_failure_in_the_middle_leaves_nothing(voc, tmp_path):
    whole = read_parts(voc)["all"]
    gone = Sample(tmp_path / "gone.png", ())
    with pytest.raises(DarkshareError, match="cannot be written"):
        write_data({"train": Dataset("d", whole.names, (*whole.samples, gone))}, tmp_path / "out", copy=True)

    def interrupted(things):
        yield things[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_data({"train": whole}, tmp_path / "out", watch=interrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["logos"]


def test_a_picture_in_the_folder_to_be_replaced_is_not_linked_to(voc, tmp_path):
    out = tmp_path / "out"
    import_data(voc, out, copy=True)
    with pytest.raises(DarkshareError, match="use --copy"):
        import_data(out / "out.data", out, keep_classes=["acme"])
    import_data(out / "out.data", out, keep_classes=["acme"], copy=True)
    assert (out / "out.names").read_text() == "acme\n"
    assert len(read_data(out / "out.data").samples) > 0


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_error(voc, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(DarkshareError, match="Permission denied"):
        import_data(voc, tmp_path / "locked" / "out")


# --- the command

run = partial(conftest.run, "import-data")


def test_the_command_imports_and_says_what(voc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_xml(voc / "acme" / "lost.xml")
    result = run("logos", "-o", "out", "--single-class", "logo", "--split", "0.34")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "logos/acme/lost.xml: no picture of this name and no 'lost.png' near it; left out",
        "next: darkshare check out/out.data",
    ]
    lines = result.stdout.splitlines()
    assert lines[-6].startswith("None of the 4 pictures to train on is without objects: the detector will")
    assert [line.split() for line in (*lines[:-6], lines[-1])] == [
        ["part", "pictures", "without", "boxes", "boxes", "difficult"],
        ["train", "4", "0", "4", "0"],
        ["valid", "2", "0", "2", "0"],
        [],
        ["part", "class", "pictures", "boxes", "smallest", "%", "median", "%", "largest", "%"],
        ["train", "logo", "4", "4", "50", "50", "50"],
        ["valid", "logo", "2", "2", "50", "50", "50"],
        [],
        ["Wrote", "out/out.data;", "start", "Darknet", "in", "out"],
    ]


def test_the_command_gives_json(voc, tmp_path):
    (voc / "acme" / "img0.png").unlink()
    result = run(voc, "-o", tmp_path / "out", "--split", "0", "--format", "json")
    found = json.loads(result.stdout)
    assert result.stderr == ""
    assert found["data"] == str(tmp_path / "out" / "out.data")
    assert [row["part"] for row in found["parts"]] == ["train"]
    assert [row["line"] for row in found["findings"]] == [None]
    assert "valid" not in (tmp_path / "out" / "out.data").read_text()


def test_many_findings_of_one_kind_are_few_lines_and_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index in range(100):
        write_picture(tmp_path / "v" / f"{index}.png", index)
        write_xml(tmp_path / "v" / f"{index}.xml", *["<object><name>x</name></object>"] * 12)
    result = run("v", "-o", "out", "--findings", "all.csv", "--format", "json")
    assert result.exit_code == 1
    assert result.stdout == ""
    *shown, more, error = result.stderr.splitlines()
    assert [line.split(": ")[0] for line in shown] == ["v/0.xml:2"] * 3
    assert more == "1200 findings of this kind (no outline), 3 are shown; all.csv has all"
    assert error.startswith("Error: v: no box is left; v/0.xml:2: x: no <bndbox>")
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert len(rows) == 1200
    assert rows[-1]["file"] == "v/99.xml"
    assert {(row["line"], row["kind"]) for row in rows} == {("2", "no outline")}
    assert not (tmp_path / "out").exists()
    write_xml(tmp_path / "v" / "0.xml", xml_object("x", (3, 3, 13, 8)))
    result = run("v", "-o", "out", "--findings", "all.txt", "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["kinds"] == {"no outline": 1188}
    assert len(found["findings"]) == 1188
    lines = (tmp_path / "all.txt").read_text().splitlines()
    assert len(lines) == 1188
    assert lines[0].startswith("v/1.xml:2: x: no <bndbox>")
    assert "; --findings FILE has all" in run("v", "-o", "out").stderr


@pytest.mark.parametrize(
    ("pictures", "output", "says"),
    [
        (1, "out", "has only 1 different picture, too few to split"),
        (2, "full", "holds mine.txt, which no import wrote"),
        (0, "out", "none of its pictures can be used"),
    ],
)
def test_findings_come_before_every_error(tmp_path, monkeypatch, pictures, output, says):
    for number in range(pictures):
        write_picture(tmp_path / "v" / f"{number}.png", number)
    for number in range(3):
        write_xml(tmp_path / "v" / f"{number}.xml", xml_object("a", (1, 1, 9, 9)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    monkeypatch.chdir(tmp_path)
    result = run("v", "-o", output, "--findings", "f.txt")
    *findings, error = result.stderr.splitlines()
    assert result.exit_code == 1
    assert [line.partition(":")[0] for line in findings] == [f"v/{number}.xml" for number in range(pictures, 3)]
    assert Path("f.txt").read_text().splitlines() == findings
    assert says in error


def test_an_option_that_does_nothing_is_said(voc, tmp_path):
    result = run(voc, "-o", tmp_path / "out", "--legibility", "legible", "--language", "english")
    assert result.exit_code == 0
    assert result.stderr.startswith(f"Note: {voc}: --legibility, --language: not used for a source in the format voc\n")


@pytest.mark.parametrize("form", ["voc", "coco"])
def test_names_give_the_order_of_classes_and_what_is_not_among_them_is_said(request, tmp_path, form):
    source = request.getfixturevalue(form)
    before = next(iter(read_parts(source).values()))
    other = before.names[-1]
    (tmp_path / "x.names").write_text(f"new\n{other}\n")
    (found,) = read_parts(source, names=tmp_path / "x.names").values()
    assert found.names == ("new", other)
    kept = [[box[1:] for box in one.boxes if before.names[box.class_id] == other] for one in before.samples]
    assert [[box[1:] for box in one.boxes] for one in found.samples] == kept
    assert {box.class_id for one in found.samples for box in one.boxes} == {1}
    lost = sum(len(one.boxes) for one in before.samples) - sum(map(len, kept))
    assert [one.kind for one in found.findings].count("unknown class") == lost > 0


def test_two_sources_and_chosen_classes(coco, tmp_path):
    size = {"width": WIDTH, "height": HEIGHT}
    images = [{"id": 7, "file_name": "c.png", **size}, {"id": 9, "file_name": "d.png", **size}]
    other = coco_json(tmp_path / "annotations" / "instances_more.json", images=images)
    for index, name in enumerate("cd", 2):
        write_picture(tmp_path / "images" / "val2017" / f"{name}.png", index)
    result = run(coco, "--valid", other, "--images", tmp_path / "images" / "val2017", "-o", tmp_path / "out",
                 "--keep-classes", "brush, board", "--rename-classes", "sign=board", "--no-negatives")  # fmt: skip
    assert result.exit_code == 0, result.output
    data = tmp_path / "out" / "out.data"
    assert read_data(data).names == ("brush", "board")
    assert [(b.class_id, b.difficult) for b in read_data(data).samples[0].boxes] == [(1, False)]
    assert {(b.class_id, b.difficult) for b in read_data(data, "valid").samples[0].boxes} == {(1, False), (0, True)}
    assert len(read_data(data).samples) == 1


@pytest.mark.zoo
def test_a_list_with_names_becomes_a_data_set(tmp_path):
    folder = zoo_path("datasets", "face-mask-yolo")
    words = (folder / "train.txt", "--valid", folder / "test.txt", "--names", folder / "obj.names")
    result = run(*words, "-o", tmp_path / "masks")
    assert result.exit_code == 0, result.output
    for part, name in (("train", "train.txt"), ("valid", "test.txt")):
        again = read_data(tmp_path / "masks" / "masks.data", part)
        assert len(again.samples) == len((folder / name).read_text().splitlines())
        for sample in again.samples:
            theirs = np.loadtxt(sample.picture.resolve().with_suffix(".txt"), ndmin=2)
            np.testing.assert_allclose(np.array([box[:5] for box in sample.boxes]), theirs, rtol=1e-6)


@pytest.mark.zoo
def test_yolo_files_of_coco_pictures_are_read(tmp_path):
    """Pictures and labels in parallel trees, as AlexeyAB's Darknet expects COCO's."""
    folder = zoo_path("datasets", "coco128-val")
    (tmp_path / "images").symlink_to(folder / "images")
    (tmp_path / "labels").symlink_to(folder / "object_detection" / "labels")
    names = folder.parent.parent / "models" / "f10-coco" / "f10-coco.names"
    pictures = sorted((folder / "images" / "val2017").glob("*.jpg"))
    (tmp_path / "val.txt").write_text("".join(f"images/val2017/{path.name}\n" for path in pictures))
    found = read_parts(tmp_path / "val.txt", names=names)["all"]
    lines = sum(len(path.read_text().splitlines()) for path in (folder / "object_detection" / "labels").rglob("*.txt"))
    assert len(found.samples) == len(pictures)
    assert sum(len(s.boxes) for s in found.samples) + len(found.findings) == lines


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none"], "No such file"),
        (["logos", "--keep-classes", "acmee"], "is 'acme' meant?"),
        (["logos", "--source-format", "coco"], "Is a directory"),
        (["logos", "--source-format", "darknet"], "--names"),
        (["train.txt"], "--names"),
        (["logos", "--images", "nowhere"], "nowhere: is not a folder of pictures"),
        (["c.data"], "for a classifier"),
        (
            ["logos", "--images", "logos", "--keep-classes", "acme", "--rename-classes", "acme=zeta"],
            "no class 'acme'",
        ),
        (["logos", "--no-negatives", "--keep-classes", "empty", "--rename-classes", "acme=full"], "no class 'empty'"),
    ],
)
def test_what_cannot_be_imported_is_one_line_and_exit_code_1(voc, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.txt").write_text("logos/acme/img0.png\n")
    (tmp_path / "c.data").write_text("labels=x\n")
    before = sorted(tmp_path.rglob("*"))
    result = run(*words, "-o", "out")
    assert result.exit_code == 1, result.output
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("Error: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [["--rename-classes", "a"], ["--rename-classes", "=b"], ["--split", "1"], ["--split", "x"]]
)
def test_wrong_options_are_refused(voc, tmp_path, words):
    assert run(voc, "-o", tmp_path / "out", *words).exit_code == 2


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["person", "Person", "car"],
            ["Person and person are two classes; --rename-classes Person=person makes them one"],
        ),
        (
            ["stop sign", "stopsign"],
            ["stopsign and stop sign are two classes; --rename-classes 'stopsign=stop sign' makes"],
        ),
        (["a", "A", "ab", "b"], []),  # letters may be what is looked for
    ],
)
def test_classes_that_are_called_alike_are_said(coco, tmp_path, names, says):
    """As in dmlc/gluon-cv issue 609 and Megvii-BaseDetection/YOLOX issue 408: people spell a name in two ways."""
    rows = [{"id": index, "name": name} for index, name in enumerate(names)]
    boxes = [{"image_id": 7, "category_id": row["id"], "bbox": [2, 1, 10, 4]} for row in rows]
    coco_json(coco, categories=rows, annotations=boxes)
    done = import_data(coco, tmp_path / "out", split=0)
    found = [one.text for one in done.findings if "two classes" in one.text]
    assert [text.startswith(what) for text, what in zip(found, says, strict=True)] == [True] * len(says)
    if found:
        renamed = dict([shlex.split(found[0].partition("--rename-classes ")[2])[0].split("=")])
        done = import_data(coco, tmp_path / "out", split=0, rename_classes=renamed)
        assert [one for one in done.findings if "two classes" in one.text] == []


def test_darknet_can_save_where_the_data_file_says(coco, tmp_path, monkeypatch):
    """As in AlexeyAB/darknet issue 6217: there was no such folder, and the training stopped at batch 100."""
    data = import_data(coco, tmp_path / "out", split=0).path
    assert (data.parent / "backup").is_dir()
    assert review(data).warnings == ()
    (data.parent / "backup").rmdir()
    (warning,) = review(data).warnings
    assert str(warning).startswith(f"{data}:4: backup=backup: no such folder, so Darknet stops when it saves")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backup").mkdir()
    assert review(data).warnings == ()
