"""Label files: read as C's scanf reads them where they are right, and never silent where they are not."""

from __future__ import annotations

import ctypes
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkshare.data.labels import LABEL_RULES, MOST_FINDINGS, label_path, parse_labels, read_labels
from darkshare.data.types import Box

FILE = Path("x.txt")
FRACTION = st.floats(0.25, 0.75, width=32)
SIZE = st.floats(2**-16, 0.25, width=32)


def boxes(text: str, classes: int = 3) -> list[Box]:
    found = parse_labels(text, classes, FILE)
    assert found.findings == ()
    return list(found.boxes)


def texts(text: str, classes: int = 3) -> list[tuple[int | None, str]]:
    return [(line, what) for _, line, what, _ in parse_labels(text, classes, FILE).findings]


def test_a_label_file_is_read():
    assert boxes("0 0.5 0.5 0.2 0.4\n2 0.25 0.75 0.1 0.1\n") == [
        Box(0, 0.5, 0.5, 0.2, 0.4),
        Box(2, 0.25, 0.75, 0.1, 0.1),
    ]


@pytest.mark.parametrize("text", ["", "\n", "  \n\t\n"])
def test_an_empty_file_is_a_picture_without_objects(text):
    assert boxes(text) == []


@pytest.mark.parametrize(
    "text", ["1 .5 .5 .5 .5", "1\t.5  .5 .5 .5  \n", "  +1 5e-1 0.5 0.50 .5\n\n\n", "1 .5 .5 .5 .5\n \t"]
)
def test_blanks_and_line_ends_do_not_matter(text):
    assert boxes(text) == [Box(1, 0.5, 0.5, 0.5, 0.5)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("3 0.5 0.5 0.2 0.2", "class 3 is not among 0 to 2"),
        ("-1 0.5 0.5 0.2 0.2", "class -1 is not among"),
        ("9" * 400 + " 0.5 0.5 0.2 0.2", "is not among"),
        ("0 0.5 0.5 0.2", "4 values"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 values"),
        ("0 0.1 0.1 0.9 0.1 0.9 0.9", "7 values"),
        ("0 0.5 0.5 0.2 O.2", "not one integer and four numbers"),
        ("1_0 0.5 0.5 0.2 0.2", "not one integer and four numbers"),
        ("0 0.5 0.5 0.2 0.2_1", "not one integer and four numbers"),
        ("٣ 0.5 0.5 0.2 0.2", "not one integer and four numbers"),
        ("0 nan 0.5 0.2 0.2", "infinite or not a number"),
        ("0 0.5 0.5 inf 0.2", "infinite or not a number"),
        ("0 0.5 0.5 1e999 0.2", "infinite or not a number"),
        ("0 0.5 0.5 0 0.2", "no area"),
        ("0 0.5 0.5 0.2 -0.2", "no area"),
        ("0 1.5 0.5 0.2 0.2", "outside the picture"),
        ("0 320 240 50 60", "are these pixels?"),
        ("0 0 0 0.5 0.5", "centre at 0, 0"),
    ],
)
def test_a_line_that_is_no_box_is_a_finding(line, says):
    ((number, what),) = texts(f"1 .5 .5 .5 .5\n\n{line}\n1 .5 .5 .5 .25\n")
    assert number == 3
    assert says in what
    assert "left out" in what
    found = parse_labels(f"1 .5 .5 .5 .5\n{line}\n1 .5 .5 .5 .25\n", 3, FILE)
    assert found.boxes == (Box(1, 0.5, 0.5, 0.5, 0.5), Box(1, 0.5, 0.5, 0.5, 0.25))


@pytest.mark.parametrize(
    "line",
    [
        "2, 0.25, 0.5, 0.125, 0.75",  # pjreddie/darknet issue 824
        "2,0.25,0.5,0.125,0.75",
        "2;0.25;0.5;0.125;0.75",
        "2 0,25 0,5 0,125 0,75",  # decimal commas, as a German spreadsheet writes them
        "2.0 0.25 0.5 0.125 0.75",  # AlexeyAB/darknet issue 6110
        "2.000000000000000000e+00 2.5e-01 5e-01 1.25e-01 7.5e-01",  # roboflow/supervision pull request 2580
    ],
)
def test_a_box_that_darknet_misreads_but_nobody_else_is_read_and_said(line):
    found = parse_labels(f"{line}\n1 .5 .5 .5 .5\n", 3, FILE)
    assert found.boxes == (Box(2, 0.25, 0.5, 0.125, 0.75), Box(1, 0.5, 0.5, 0.5, 0.5))
    ((number, what),) = [(one.line, one.text) for one in found.findings]
    assert number == 1
    assert what.startswith(f"'{line[:60]}' is read, but Darknet misreads all from here on; import-data writes it anew")


@pytest.mark.parametrize(
    "line",
    [
        *("2.5 .5 .5 .5 .5", "1e0 .5 .5 .5 .5", "0,5 0,5 0,5 0,5 0,5", "a,.5,.5,.5,.5", "0,.5,.5,.5"),
        *("0 .05 .9;9 .1 .1", "0 .5,;.5 .5 .5 .5", "1,.5,,.5,.5", "1 ,;, .5 .5 .5", "1, .5;.5; .5 .5 .5"),
    ],
)
def test_a_line_that_can_mean_several_things_is_left_out(line):
    assert not parse_labels(line, 3, FILE).boxes
    assert "left out" in parse_labels(line, 3, FILE).findings[0].text


def test_a_box_that_reaches_outside_is_clipped_and_said():
    found = parse_labels("0 0.9 0.5 0.4 0.2\n", 1, FILE)  # from .7 to 1.1
    assert found.boxes[0] == pytest.approx((0, 0.85, 0.5, 0.3, 0.2, False))
    assert "clipped" in found.findings[0].text


def test_a_box_rounded_over_the_edge_is_fine():
    assert boxes("0 0.9000004 0.5 0.2 0.2\n") == [pytest.approx((0, 0.9000002, 0.5, 0.1999996, 0.2, False))]


def test_the_same_line_again_is_left_out_and_said():
    found = parse_labels("0 .5 .5 .5 .5\n1 .5 .5 .5 .5\n0 .5 0.5 .5 .5\n", 2, FILE)
    assert len(found.boxes) == 2
    assert [str(one) for one in found.findings] == ["x.txt:3: the same box as before in line 1; left out"]


def test_a_byte_order_mark_is_said_and_harmless(tmp_path):
    place = tmp_path / "a.txt"
    place.write_bytes("\ufeff0 .5 .5 .5 .5\r\n1 .5 .5 .5 .5\r\n".encode())
    found = read_labels(place, 2)
    assert [box.class_id for box in found.boxes] == [0, 1]
    assert [(one.line, one.path) for one in found.findings] == [(1, place)]


def test_a_file_full_of_nonsense_does_not_fill_the_memory():
    found = parse_labels("nonsense\n" * 500_000, 1, FILE)
    assert len(found.findings) == MOST_FINDINGS + 1
    assert "was not looked at" in found.findings[-1].text


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\0\0", b"x" * (2**20 + 1)])
def test_what_is_no_label_file_is_one_finding(tmp_path, data):
    place = tmp_path / "a.txt"
    place.write_bytes(data)
    found = read_labels(place, 2)
    assert found.boxes == ()
    assert len(found.findings) == 1


def test_a_label_file_that_is_none_is_one_finding(tmp_path):
    (tmp_path / "a.txt").mkdir()
    assert "directory" in read_labels(tmp_path / "a.txt", 2).findings[0].text
    assert "No such file" in read_labels(tmp_path / "b.txt", 2).findings[0].text


@given(st.text(), st.integers(1, 5))
def test_any_text_gives_boxes_in_the_picture_and_findings_in_the_file(text, classes):
    found = parse_labels(text.replace("\r", "\n"), classes, FILE)
    lines = text.count("\n") + text.count("\r") + 1
    assert all(one.line is not None and 1 <= one.line <= lines for one in found.findings)
    for box in found.boxes:
        assert 0 <= box.class_id < classes
        assert box.x - box.w / 2 >= -1e-9
        assert box.y + box.h / 2 <= 1 + 1e-9
        assert box.w > 0 < box.h


LINE = st.lists(
    st.one_of(
        st.integers(-3, 9).map(str),
        st.floats().map(repr),
        st.sampled_from(["", "a", "1e", "0x1p-1", "١", ".", "-", "1,5"]),
    ),
    min_size=1,
    max_size=7,
).map(" ".join)


@given(st.lists(LINE, max_size=6))
def test_each_line_becomes_a_box_or_a_finding(lines):
    """Nothing goes without a word: no line is lost."""
    found = parse_labels("\n".join(lines), 3, FILE)
    said = {one.line for one in found.findings}
    filled = {number for number, line in enumerate(lines, 1) if line.split()}
    assert len(found.boxes) >= len(filled - said)
    assert said <= filled


def scanned(text: str) -> list[tuple[float, ...]]:
    """The boxes that Darknet's loop with fscanf reads, by C's own scanf."""
    libc = ctypes.CDLL(None)
    data = text.encode()
    found: list[tuple[float, ...]] = []
    while True:
        number, used = ctypes.c_int(), ctypes.c_int()
        x, y, w, h = (ctypes.c_float() for _ in range(4))
        places = [ctypes.byref(place) for place in (number, x, y, w, h, used)]
        if libc.sscanf(data, b"%d %f %f %f %f%n", *places) != 5:
            return found
        found.append((number.value, x.value, y.value, w.value, h.value))
        data = data[used.value :]


@pytest.mark.skipif(sys.platform == "win32", reason="finds no C library by that name")
@given(st.lists(st.tuples(st.integers(0, 4), FRACTION, FRACTION, SIZE, SIZE), max_size=8, unique=True), st.data())
def test_what_is_right_is_read_as_scanf_reads_it(rows, data):
    form = data.draw(
        st.sampled_from(["{} {:.6f} {:.6f} {:.6f} {:.6f}", "{}\t{!r}  {!r} {!r} {:.9g} ", " {} {} {} {} {}"])
    )
    text = "\n".join(form.format(*row) for row in rows)
    found = parse_labels(text, 5, FILE)
    expected = dict.fromkeys(row for row in scanned(text) if min(row[3:]) > 0)
    assert len(found.boxes) == len(expected)
    for box, row in zip(found.boxes, expected, strict=True):
        assert box.class_id == row[0]
        assert all(math.isclose(got, want, rel_tol=1e-6) for got, want in zip(box[1:5], row[1:], strict=True))


@pytest.mark.parametrize(
    ("fork", "picture", "labels"),
    [
        ("alexeyab", "/coco/images/train2017/1.jpg", "/coco/labels/train2017/1.txt"),
        ("alexeyab", "/coco/images/val2014/1.png", "/coco/labels/val2014/1.txt"),
        ("alexeyab", "/VOC/JPEGImages/1.jpg", "/VOC/labels/1.txt"),
        ("alexeyab", "/mine/images/1.jpg", "/mine/images/1.txt"),
        ("pjreddie", "/mine/images/1.jpg", "/mine/labels/1.txt"),
        ("pjreddie", "data/strawberry.jpg", "data/stlabelsberry.txt"),
        ("hank-ai", "/coco/images/train2017/1.jpg", "/coco/images/train2017/1.txt"),
        ("hank-ai", "/a.b/picture", "/a.b/picture.txt"),
    ],
)
def test_each_fork_looks_for_labels_where_its_source_says(fork, picture, labels):
    assert LABEL_RULES[fork](picture) == labels


@pytest.mark.parametrize("there", ["labels/val2017/1.txt", "labels/1.txt", "images/val2017/1.txt"])
def test_labels_are_found_wherever_one_of_the_forks_looks(tmp_path, there):
    base = tmp_path / "raw images"  # a folder above that a rule for relative paths must not touch
    picture = base / ("images/1.jpg" if there == "labels/1.txt" else "images/val2017/1.jpg")
    (base / there).parent.mkdir(parents=True)
    (base / there).touch()
    assert label_path(picture) == base / there


def test_without_a_label_file_the_place_is_where_alexeyab_looks(tmp_path):
    assert label_path(tmp_path / "JPEGImages" / "1.jpg") == tmp_path / "labels" / "1.txt"


@pytest.mark.parametrize(
    ("listed", "ends"),
    [
        ("".join(f"c{n}\n" for n in range(15)) + "dog\n", "; in classes.txt beside it, it is dog"),
        ("dog\n", ""),
        (None, ""),
    ],
)
def test_a_class_that_only_labelimgs_list_knows_is_called_by_its_name(tmp_path, listed, ends):
    """As in AlexeyAB/darknet issue 5056: labelImg begins with its own 15 classes."""
    if listed is not None:
        (tmp_path / "classes.txt").write_text(listed)
    (tmp_path / "a.txt").write_text("15 0.5 0.5 0.2 0.2\n-1 0.5 0.5 0.2 0.2\n")
    first, second = read_labels(tmp_path / "a.txt", 1).findings
    assert first.text == f"class 15 is not among 0 to 0; left out{ends}"
    assert second.text == "class -1 is not among 0 to 0; left out"
