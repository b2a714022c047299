"""labelme's json: shapes become boxes, and a picture is found where its file says or lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labelled import write_picture

from darkshare.data import import_data, read_parts
from darkshare.data.formats.labelme import read_labelme
from darkshare.errors import DarkshareError


def shape(points: Any, kind: str | None = "rectangle", label: Any = "cat", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def write_json(path: Path, *shapes: Any, encoding: str = "utf-8", **changed: Any) -> Path:
    document = {
        "version": "5.2.1", "flags": {}, "shapes": list(shapes), "imagePath": f"{path.stem}.png", "imageData": None,
        "imageHeight": 10, "imageWidth": 20, **changed,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({key: value for key, value in document.items() if value != "drop"}), encoding=encoding)
    return path


def said(parts: Any) -> list[str]:
    return [str(one).replace(str(one.path), one.path.name) for part in parts.values() for one in part.findings]


@pytest.mark.parametrize(
    ("points", "kind", "box"),
    [  # in pictures of 20 x 10 pixels
        ([[2, 1], [12, 5]], "rectangle", (0.35, 0.3, 0.5, 0.4)),
        ([[12, 5], [2, 1]], "rectangle", (0.35, 0.3, 0.5, 0.4)),  # drawn from the lower right corner
        ([[2, 1], [12, 1], [12, 5], [2, 5]], "rectangle", (0.35, 0.3, 0.5, 0.4)),  # X-AnyLabeling's
        ([[10, 5], [10, 2]], "circle", (0.5, 0.5, 0.3, 0.6)),  # the radius is 3
        ([[10, 5], [13, 9]], "circle", (0.5, 0.5, 0.5, 1.0)),  # the radius is 5
        ([[4, 2], [8, 4], [6, 8]], "polygon", (0.3, 0.5, 0.2, 0.6)),
        ([[4, 2], [8, 4], [6, 8]], None, (0.3, 0.5, 0.2, 0.6)),
        ([[6, 1], [10, 5], [6, 9], [2, 5]], "oriented_rectangle", (0.3, 0.5, 0.4, 0.8)),
        ([[6, 1], [10, 5], [6, 9], [2, 5]], "rotation", (0.3, 0.5, 0.4, 0.8)),
        ([[2, 1], [11, 4]], "mask", (0.35, 0.3, 0.5, 0.4)),  # both corners are pixels of it
    ],
)
def test_shapes_become_boxes(tmp_path, points, kind, box):
    write_picture(tmp_path / "a.png")
    write_json(tmp_path / "a.json", shape(points, kind))
    found = read_labelme(tmp_path)
    assert found["all"].samples[0].boxes == (pytest.approx((0, *box, False)),)
    assert said(found) == []


@pytest.mark.parametrize(
    ("at", "written"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg", "..\\old\\A.jpg"),
        ("images/a.jpg", "..\\images\\a.jpg"),
        ("../images/größe 1.jpg", "../images/größe 1.jpg"),
        ("../images/b.png", "C:\\me\\images\\b.png"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_pictures_are_found_by_the_stem_of_the_file_or_the_name_in_it(tmp_path, at, written, encoding):
    folder = tmp_path / "ann"
    folder.mkdir()
    picture = write_picture(folder / at)
    write_json(folder / "a.json", shape([[2, 1], [12, 5]]), imagePath=written, encoding=encoding)
    (sample,) = read_parts(folder)["all"].samples
    assert sample.picture.samefile(picture)
    (sample,) = read_parts(folder / "a.json")["all"].samples
    assert sample.boxes == (pytest.approx((0, 0.35, 0.3, 0.5, 0.4, False)),)


def test_sizes_are_of_the_picture_that_was_drawn_on(tmp_path):
    for number, size in enumerate([(40, 20), (20, 10), (10, 20), (20, 10)]):
        write_picture(tmp_path / f"{number}.png", number, size)
    write_json(tmp_path / "0.json", shape([[2, 1], [12, 5]]))  # drawn on a picture of half that width
    write_json(tmp_path / "1.json", shape([[2, 1], [12, 5]]), imageWidth="drop", imageHeight=None)
    write_json(tmp_path / "2.json", shape([[2, 1], [12, 5]]))
    write_json(tmp_path / "3.json")
    found = read_labelme(tmp_path)
    assert [len(sample.boxes) for sample in found["all"].samples] == [1, 1, 0]
    assert found["all"].samples[0].boxes == (pytest.approx((0, 0.35, 0.3, 0.5, 0.4, False)),)
    assert found["all"].samples[1].boxes == (pytest.approx((0, 0.35, 0.3, 0.5, 0.4, False)),)
    assert ["20 x 10 pixels" in line and "10 x 20; left out" in line for line in said(found)] == [True]


@pytest.mark.parametrize(
    ("value", "difficult"),
    [(True, True), (1, True), ("true", True), (False, False), ("false", False), (None, False), ([], False)],
)
def test_difficult_is_written_in_many_ways(tmp_path, value, difficult):
    write_picture(tmp_path / "a.png")
    write_json(tmp_path / "a.json", shape([[2, 1], [12, 5]], difficult=value))
    assert [box.difficult for box in read_labelme(tmp_path)["all"].samples[0].boxes] == [difficult]


def test_everything_wrong_is_said(tmp_path):
    write_picture(tmp_path / "a.png")
    write_json(
        tmp_path / "a.json",
        shape([[2, 1], [12, 5]], label="dog", difficult=True),
        shape([[2, 1], [12, 5]], "line"),
        shape([[2, 1]], "point"),
        shape([[2, 1], [3, 2], [9, 9]], "linestrip"),
        shape([[2, 1]], "circle"),
        shape([[2, "x"], [3, 4]]),
        shape([], "polygon"),
        {"label": "cat"},
        "cat",
        shape([[2, 1], [2, 5]]),
        shape([[5, 5], [90, 9]]),
        shape([[2, 1], [12, 5]], label=7),
        imageData="iVBORw0KGgo=",
    )
    write_json(tmp_path / "b.json", shape([[2, 1], [12, 5]]), imageData="iVBORw0KGgo=")
    write_json(tmp_path / "c.json", shape([[2, 1], [12, 5]]))
    (tmp_path / "d.json").write_text("[1]")
    (tmp_path / "e.json").write_text('{"images": []}')
    found = read_labelme(tmp_path)
    assert found["all"].names == ("7", "cat", "dog")
    assert found["all"].samples[0].boxes == (
        pytest.approx((2, 0.35, 0.3, 0.5, 0.4, True)),
        pytest.approx((1, 0.625, 0.7, 0.75, 0.4, False)),
        pytest.approx((0, 0.35, 0.3, 0.5, 0.4, False)),
    )
    assert said(found) == [
        "a.json: cat, shape 2: a line is not an area; left out",
        "a.json: cat, shape 3: a point is not an area; left out",
        "a.json: cat, shape 4: a linestrip is not an area; left out",
        *(f"a.json: shape {number}: no label and points; left out" for number in (5, 6, 7, 8, 9)),
        "a.json: cat, shape 10: the box has no area (0 x 0.4); left out",
        "a.json: cat, shape 11: the box reaches outside the picture (from 0.25, 0.5 to 4.5, 0.9); clipped, as Darknet "
        "does when it trains",
        "b.json: its picture is not near it, but within it (imageData): write it out; left out",
        "c.json: no picture of this name and no 'c.png' near it; left out",
        "d.json: is not a json object; left out",
        "e.json: has no list of shapes, so it is not labelme's; left out",
    ]


def test_folders_are_the_parts_and_names_give_the_order(tmp_path):
    for number, part in enumerate(("train", "val")):
        write_picture(tmp_path / "set" / part / f"{part}.png", number)
        write_json(tmp_path / "set" / part / f"{part}.json", shape([[2, 1], [12, 5]], label="dog"))
    (tmp_path / "names").write_text("dog\ncat\n")
    import_data(tmp_path / "set", tmp_path / "out", names=tmp_path / "names")
    assert {part: found.samples[0].boxes for part, found in read_parts(tmp_path / "set").items()} == {
        part: (pytest.approx((0, 0.35, 0.3, 0.5, 0.4, False)),) for part in ("train", "valid")
    }
    assert (tmp_path / "out" / "out.names").read_text() == "dog\ncat\n"


def test_files_without_pictures_are_one_error(tmp_path):
    write_json(tmp_path / "a.json", shape([[2, 1], [12, 5]]))
    with pytest.raises(
        DarkshareError, match=r"none of its pictures can be used, name their folder with --images; .*'a.png'"
    ):
        read_labelme(tmp_path)
