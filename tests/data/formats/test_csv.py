"""Tables of boxes: known by their headings, whatever divides the cells and in whatever encoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import zoo_path
from hypothesis import given
from hypothesis import strategies as st
from labelled import write_picture

from darkshare.data import Dataset, import_data, read_parts
from darkshare.data.formats.csv import _bare, _headed, read_csv
from darkshare.errors import DarkshareError

BOX = (0.35, 0.3, 0.5, 0.4)  # from 2, 1 to 12, 5 in a picture of 20 x 10 pixels
TENSORFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\n{},20,10,cat,2,1,12,5\n"
MAKESENSE = "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
OPEN_IMAGES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf\n"


def put(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def said(parts: Any) -> list[str]:
    return [str(one).replace(str(one.path), one.path.name) for part in parts.values() for one in part.findings]


def names_of(parts: dict[str, Dataset]) -> dict[str, list[str]]:
    return {part: [sample.picture.name for sample in one.samples] for part, one in parts.items()}


@pytest.mark.parametrize(
    "text",
    [
        TENSORFLOW.format("a.png"),
        TENSORFLOW.format("a.png").replace("\n", "\r\n").replace("cat", '"cat"'),
        TENSORFLOW.format("a.png").replace(",", ";"),
        TENSORFLOW.format("a.png").replace(",", "\t"),
        "Image Path\tX1\tY1\tX2\tY2\tLabel\nC:\\me\\a.png\t2\t1\t12\t5\tcat\n",
        "image_id;class_name;x_min;x_max;y_min;y_max\na;cat;2,0;12,0;1,0;5,0\n",
        "\n/content/images/a.png,2,1,12,5,cat\n",  # keras-retinanet's
        "a.png,2.0,1.0,12.0,5.0,cat",
        f"{OPEN_IMAGES}a,xclick,cat,1,0.1,0.6,0.1,0.5,0,0,0\n",
        "path,label,xmin,ymin,xmax,ymax\na.png,cat,0.1,0.1,0.6,0.5\n",
        "cat,2,1,10,4,a.png,20,10\n",  # makesense.ai's: SkalskiP/make-sense issue 253
        f"{MAKESENSE}cat,2,1,10,4,a.png,20,10\n",  # and since issue 252
        f"{MAKESENSE}cat,2,1,10,4,a.png,40,20\n".replace("2,1,10,4", "4,2,20,8").replace(",", ";"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_columns_are_known_by_their_headings(tmp_path, text, encoding):
    write_picture(tmp_path / "a.png")
    found = read_parts(put(tmp_path / "boxes.csv", text, encoding))
    assert found["all"].names == ("cat",)
    assert found["all"].samples[0].boxes == (pytest.approx((0, *BOX, False)),)
    assert [line for line in said(found) if "is taken for" not in line] == []


def test_names_in_any_encoding_survive(tmp_path):
    write_picture(tmp_path / "images" / "größe, 1.png")
    text = TENSORFLOW.format('"größe, 1.png"').replace("cat", "Straße")
    done = import_data(put(tmp_path / "boxes.csv", text), tmp_path / "out", split=0)
    assert (tmp_path / "out" / "out.names").read_text(encoding="utf-8") == "Straße\n"
    assert done.findings == ()
    put(tmp_path / "boxes.csv", TENSORFLOW.format("a.png").replace("cat", "红"), "gbk")
    write_picture(tmp_path / "a.png", 1)
    import_data(tmp_path / "boxes.csv", tmp_path / "out", split=0)
    assert (tmp_path / "out" / "out.names").read_bytes() == "红\n".encode("gbk")


def test_rows_without_a_box_are_empty_pictures_and_everything_wrong_is_said(tmp_path):
    for number, name in enumerate("abcde"):
        write_picture(tmp_path / f"{name}.png", number)
    path = put(
        tmp_path / "boxes.csv",
        "filename,class,xmin,ymin,xmax,ymax,width,height\n"
        "a.png,cat,12,5,2,1,20,10\n"
        "b.png,,,,,,20,10\n"
        "a.png,cat,2,one,12,5,20,10\n"
        "a.png,cat,2,1,12\n"
        "a.png,,2,1,12,5\n"
        "\n"
        "a.png,dog,2,1,40,5,,\n"
        "c.png,dog,2,1,12,5,10,20\n"
        "d.png,dog,2,1,12,5,nan,no\n"
        "none.png,dog,2,1,12,5,20,10\n",
    )
    found = read_csv(path)
    assert {sample.picture.name: len(sample.boxes) for sample in found["all"].samples} == {
        "a.png": 2,
        "b.png": 0,
        "d.png": 1,
    }
    assert said(found) == [
        "boxes.csv:2: cat: the corners are the wrong way round; swapped",
        "boxes.csv:4: cat: no four numbers for the box; left out",
        "boxes.csv:5: cat: no four numbers for the box; left out",
        "boxes.csv:6: an object without a name; left out",
        "boxes.csv:8: dog: the box reaches outside the picture (from 0.1, 0.1 to 2, 0.5); clipped, as Darknet does "
        "when it trains",
        f"boxes.csv: c.png: was drawn on 10 x 20 pixels, but {tmp_path}/c.png has 20 x 10; left out: if that size "
        "alone is wrong, delete it",
        "boxes.csv: none.png: no picture 'none.png' near it; left out",
    ]


def test_fractions_count_in_the_picture_and_reach_outside_it_like_fractions(tmp_path):
    write_picture(tmp_path / "a.jpg", 0, (640, 480))
    path = put(tmp_path / "boxes.csv", f"{OPEN_IMAGES}a,x,/m/01,1,-0.1,0.5,0.25,0.75,0,0,1\n")
    found = read_csv(path)
    assert found["all"].names == ("/m/01",)
    assert found["all"].samples[0].boxes == (pytest.approx((0, 0.25, 0.5, 0.5, 0.5, True)),)
    assert said(found) == [
        "boxes.csv: has classes that class-descriptions-boxable.csv beside it does not name",
        "boxes.csv:2: /m/01: the box reaches outside the picture (from -0.1, 0.25 to 0.5, 0.75); clipped, as Darknet "
        "does when it trains",
    ]
    put(tmp_path / "oidv7-class-descriptions-boxable.csv", "LabelName,DisplayName\n/m/01,Coffee cup\n")
    assert read_csv(path)["all"].names == ("Coffee cup",)
    assert len(said(read_csv(path))) == 1


@pytest.mark.parametrize(
    ("tables", "pictures"),
    [
        ("{}/_annotations.csv", "{}/{}.png"),  # Roboflow's
        ("{}_labels.csv", "images/{}.png"),  # TensorFlow's
        ("data/{}_labels.csv", "images/{}/{}.png"),
        ("{}-annotations-bbox.csv", "{}/{}.png"),  # Open Images'
    ],
)
def test_folders_and_names_of_tables_are_the_parts(tmp_path, tables, pictures):
    for number, part in enumerate(("train", "valid", "test")):
        write_picture(tmp_path / pictures.format(*[part] * pictures.count("{}")), number)
        put(tmp_path / tables.format(part), TENSORFLOW.format(f"{part}.png"))
    put(tmp_path / "classes.csv", "cat,0\n")
    put(tmp_path / "all.csv", TENSORFLOW.format("train.png"))
    found = read_parts(tmp_path)
    assert names_of(found) == {part: [f"{part}.png"] for part in ("train", "valid", "test")}
    assert [line for line in said(found) if "is taken for" not in line] == [
        "classes.csv:1: has no columns of boxes in 'cat, 0': needs picture (filename or imagename or imagepath), left "
        "(xmin or x1 or left), top (ymin or y1 or top), right (xmax or x2 or right), bottom (ymax or y2 or bottom), "
        "class (class or label or classname); left out",
        "all.csv: is a table of no part; left out",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (
            "filename,xmin,ymin,xmax,ymax\na.png,2,1,12,5\n",
            r"no columns of boxes in 'filename, .*: needs class \(class or",
        ),
        ("filename,cell_type,xmin,ymin,xmax,ymax\na.png,cat,2,1,12,5\n", "needs class"),
        ("a.png,2,1,12,5\n", "no columns of boxes"),
        ("a.png,cat,2,1,12,5\n", "no columns of boxes"),
        ("cat,2,1,10,4,20,10,a.png\n", "no columns of boxes"),
        (MAKESENSE.replace("bbox_height", "tall"), r"needs bottom \(ymax"),
        (f'filename,class,xmin,ymin,xmax,ymax\n"{"x" * 140_000}', r"boxes\.csv:2: is not a table: field larger"),
        ("a\0b", "holds NUL"),
        ("filename,class,xmin,ymin,xmax,ymax\n", "none of its pictures can be used"),
        (
            TENSORFLOW.format("b.png"),
            "none of its pictures can be used, name their folder with --images; .*no picture 'b.png'",
        ),
    ],
)
def test_tables_that_give_nothing_are_one_error(tmp_path, text, message):
    write_picture(tmp_path / "a.png")
    with pytest.raises(DarkshareError, match=message):
        read_parts(put(tmp_path / "boxes.csv", text))


def test_a_folder_without_tables_of_boxes_is_one_error(tmp_path):
    put(tmp_path / "results.csv", "epoch,loss\n1,2\n")
    with pytest.raises(DarkshareError, match="is of no format that is known"):
        read_parts(tmp_path)
    with pytest.raises(DarkshareError, match="holds no table of boxes"):
        read_parts(tmp_path, format="csv")


def test_other_files_of_a_folder_count_more_than_its_table(tmp_path):
    write_picture(tmp_path / "a.png")
    put(tmp_path / "labels.csv", TENSORFLOW.format("a.png"))
    put(tmp_path / "a.txt", "1 0.5 0.5 0.2 0.2\n")
    assert read_parts(tmp_path)["all"].names == ("0", "1")
    put(tmp_path / "a.xml", "<annotation/>")
    with pytest.raises(DarkshareError, match="could be voc or yolo; say which with --source-format"):
        read_parts(tmp_path)
    assert read_parts(tmp_path, format="csv")["all"].names == ("cat",)


@pytest.mark.zoo
def test_a_real_table_and_the_xml_files_it_was_made_of_say_the_same():
    """The table has the corners of the XML files, where pixels count from 1."""
    folder = zoo_path("datasets", "raccoon")
    table, files = read_parts(folder, format="csv"), read_parts(folder, format="voc")["all"]
    boxes = {sample.picture.name: sample.boxes for part in table.values() for sample in part.samples}
    assert {part: len(one.samples) for part, one in table.items()} == {"train": 159, "test": 40}
    assert {sample.picture.name: len(sample.boxes) for sample in files.samples} == {
        name: len(found) for name, found in boxes.items()
    }
    for sample in files.samples:
        assert [box[3:5] for box in sample.boxes] == [
            pytest.approx(box[3:5], abs=0.01) for box in boxes[sample.picture.name]
        ]


@given(st.lists(st.text(max_size=9), min_size=1, max_size=8))
def test_any_first_row_is_a_heading_a_box_or_an_error(fields):
    try:
        columns = _bare(fields) or _headed(fields, Path("a.csv"))
        assert {"picture", "left", "top", "class"} < set(columns)
        assert max(columns.values()) < len(fields)
    except DarkshareError as error:
        assert error.line == 1  # noqa: PT017 - most rows are neither
