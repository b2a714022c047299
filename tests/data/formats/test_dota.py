"""DOTA's text files: quadrangles become the box around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from labelled import write_picture

from darkshare.data import read_parts
from darkshare.data.formats.dota import read_dota
from darkshare.errors import DarkshareError

HEADING = "imagesource:GoogleEarth\ngsd:0.146343590398\n"
LINE = "4 2 8 4 6 8 2 6 plane 0"  # in a picture of 20 x 10 pixels
BOX = (0.25, 0.5, 0.3, 0.6)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def said(parts: Any) -> list[str]:
    return [str(one).replace(str(one.path), one.path.name) for part in parts.values() for one in part.findings]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADING}{LINE}\n",
        f"{LINE}",
        f"\ufeff{HEADING}\r\n{LINE}\r\n",
        f"{LINE.replace(' ', ', ')}\n",
        "acquisition dates:2016-05-04\nimagesource: GF-2\ngsd:null\n4.0 2.0 8.0 4.0 6.0 8.0 2.0 6.0 plane\n",
    ],
)
@pytest.mark.parametrize(("words", "picture"), [("labelTxt/P1.txt", "images/P1.jpg"), ("P 1.txt", "P 1.tif")])
def test_quadrangles_become_boxes(tmp_path, text, words, picture):
    write_picture(tmp_path / picture)
    put(tmp_path / words, text)
    found = read_parts(tmp_path)
    assert found["all"].names == ("plane",)
    assert found["all"].samples[0].boxes == (pytest.approx((0, *BOX, False)),)
    assert said(found) == []


def test_difficult_ones_empty_files_and_everything_wrong(tmp_path):
    for name in "ab":
        write_picture(tmp_path / "images" / f"{name}.png", ord(name))
    lines = [
        LINE.replace("0", "1"),
        "4 2 8 4 6 8 2 6 small-vehicle 2",
        "400 300",
        "4 2 8 4 6 8 2 plane 0",
        "4 2 8 4 6 8 2 nan plane 0",
        "4 2 4 2 4 2 4 2 plane 0",
    ]
    put(tmp_path / "labelTxt" / "a.txt", HEADING + "\n".join(lines))
    put(tmp_path / "labelTxt" / "b.txt", HEADING)
    put(tmp_path / "labelTxt" / "c.txt", LINE)
    put(tmp_path / "labelTxt" / "d.txt", "\0")
    put(tmp_path / "README.txt", "4 2 8")
    found = read_parts(tmp_path)
    assert [[box.difficult for box in sample.boxes] for sample in found["all"].samples] == [[True, True], []]
    assert found["all"].names == ("plane", "small-vehicle")
    assert said(found) == [
        "a.txt:5: '400 300' is not eight numbers, a class and whether it is difficult; left out",
        "a.txt:6: '4 2 8 4 6 8 2 plane 0' is not eight numbers, a class and whether it is difficult; left out",
        "a.txt:7: plane: the box is infinite or not a number; left out",
        "a.txt:8: plane: the box has no area (0 x 0); left out",
        "c.txt: no picture of this name and no 'c' near it; left out",
        "d.txt: holds NUL bytes: this is not a text file; left out",
    ]


def test_folders_are_the_parts_and_pictures_may_be_elsewhere(tmp_path):
    for number, part in enumerate(("train", "val")):
        put(tmp_path / "set" / part / "labelTxt-v1.5" / f"{part}.txt", LINE)
        write_picture(tmp_path / "set" / part / "images" / f"{part}.png", number)
        write_picture(tmp_path / "pictures" / f"{part}.png", number)
    assert list(read_dota(tmp_path / "set")) == ["train", "valid"]
    found = read_dota(tmp_path / "set", images=tmp_path / "pictures", names=("ship", "plane"))
    assert [sample.boxes[0].class_id for sample in found["all"].samples] == [1, 1]
    with pytest.raises(DarkshareError, match="is not a folder"):
        read_dota(tmp_path / "none")


@pytest.mark.parametrize(
    "text", ["0 0.5 0.5 0.2 0.2\n", "0 .1 .1 .2 .1 .2 .2 .1 .2\n", "0 0.1 0.1 0.2 0.1 0.2 1 0.1 1\n"]
)
def test_label_files_are_not_taken_for_it(tmp_path, text):
    write_picture(tmp_path / "a.png")
    put(tmp_path / "a.txt", text)
    assert read_parts(tmp_path)["all"].names == ("0",)


@pytest.mark.parametrize(
    "text", ["plane 1 2 3 4\n", "1 2 3 4 5 6 7 plane\n", "", "\0", "four and twenty blackbirds baked in a pie\n"]
)
def test_other_text_files_are_of_no_format_that_is_known(tmp_path, text):
    write_picture(tmp_path / "a.png")
    put(tmp_path / "a.txt", text)
    with pytest.raises(DarkshareError, match=r"is of no format that is known: .*\(dota\).*--source-format names one"):
        read_parts(tmp_path)


def test_a_class_may_begin_with_a_number(tmp_path):
    write_picture(tmp_path / "a.png")
    put(tmp_path / "a.txt", LINE.replace("plane", "10-wheeler"))
    assert read_parts(tmp_path)["all"].names == ("10-wheeler",)
