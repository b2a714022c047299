"""CVAT's XML: all shapes of pictures, and the tracks of a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from labelled import write_picture

from darkshare.data import import_data, read_parts
from darkshare.data.formats.cvat import read_cvat
from darkshare.errors import DarkshareError

BOX = '<box label="cat" source="manual" occluded="0" xtl="2" ytl="1" xbr="12" ybr="5" z_order="0"></box>'
LABELS = "<label><name>dog</name><type>any</type></label>\n<label><name>cat</name><type>rectangle</type></label>\n"
META = f"<meta>\n<task><name>t</name><labels>\n{LABELS}</labels></task></meta>\n"


def image(name: str, *shapes: str, size: str = 'width="20" height="10"') -> str:
    lines = "\n".join(shapes)
    return f'<image id="0" name="{name}" {size}>\n{lines}\n</image>\n'


def write_xml(path: Path, *parts: str, meta: str = META, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = f"<annotations>\n<version>1.1</version>\n{meta}{''.join(parts)}</annotations>\n"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>\n{body}'.encode(encoding))
    return path


def said(parts: Any) -> list[str]:
    return [str(one).replace(str(one.path), one.path.name) for part in parts.values() for one in part.findings]


@pytest.mark.parametrize(
    ("shape", "box"),
    [  # in a picture of 20 x 10 pixels
        (BOX, (0.35, 0.3, 0.5, 0.4)),
        ('<box label="cat" xtl="2" ytl="1" xbr="12" ybr="5" rotation="0.0"/>', (0.35, 0.3, 0.5, 0.4)),
        # 6 x 2 about (7, 5), on its side: 2 x 6
        ('<box label="cat" xtl="4" ytl="4" xbr="10" ybr="6" rotation="90.0"/>', (0.35, 0.5, 0.1, 0.6)),
        ('<box label="cat" xtl="4" ytl="4" xbr="10" ybr="6" rotation="270"/>', (0.35, 0.5, 0.1, 0.6)),
        # a square of side 4 on its corner reaches 2 sqrt 2 in all directions
        ('<box label="cat" xtl="8" ytl="3" xbr="12" ybr="7" rotation="45"/>', (0.5, 0.5, 0.2 * 2**0.5, 0.4 * 2**0.5)),
        ('<polygon label="cat" points="4.00,2.00;8.00,4.00;6.00,8.00" z_order="0"/>', (0.3, 0.5, 0.2, 0.6)),
        ('<ellipse label="cat" cx="10" cy="5" rx="4" ry="2"/>', (0.5, 0.5, 0.4, 0.4)),
        ('<ellipse label="cat" cx="10" cy="5" rx="4" ry="2" rotation="90"/>', (0.5, 0.5, 0.2, 0.8)),
        ('<mask label="cat" rle="3, 4" left="2" top="1" width="10" height="4"/>', (0.35, 0.3, 0.5, 0.4)),
        (
            '<cuboid label="cat" xtl1="4" ytl1="2" xbl1="4" ybl1="6" xtr1="8" ytr1="2" xbr1="8" ybr1="6" '
            'xtl2="6" ytl2="1" xbl2="6" ybl2="5" xtr2="10" ytr2="1" xbr2="10" ybr2="5"/>',
            (0.35, 0.35, 0.3, 0.5),
        ),
    ],
)
def test_shapes_become_boxes(tmp_path, shape, box):
    write_picture(tmp_path / "images" / "a.png")
    write_xml(tmp_path / "annotations.xml", image("a.png", shape))
    found = read_cvat(tmp_path)
    assert found["all"].names == ("dog", "cat")
    assert found["all"].samples[0].boxes == (pytest.approx((1, *box, False)),)
    assert said(found) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gbk"])
@pytest.mark.parametrize("name", ["sub/größe 1.png", "sub\\größe 1.png", "größe 1"])
def test_an_xml_and_its_folder_are_recognised(tmp_path, encoding, name):
    picture = write_picture(tmp_path / "task" / "images" / ("sub" if "sub" in name else "") / "größe 1.png")
    name = name if encoding != "gbk" else name.replace("ö", "o").replace("ß", "s")
    if encoding == "gbk":
        picture = picture.rename(picture.with_name("grose 1.png"))
    path = write_xml(tmp_path / "task" / "annotations.xml", image(name, BOX), image("none.png"), encoding=encoding)
    for source in (path, path.parent):
        (sample,) = read_parts(source)["all"].samples
        assert sample.picture.samefile(picture)
    import_data(path, tmp_path / "out", split=0)
    assert (tmp_path / "out" / "out.names").read_text() == "dog\ncat\n"


def test_empty_pictures_stay_and_everything_wrong_is_said(tmp_path):
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        write_picture(tmp_path / name, number)
    path = write_xml(
        tmp_path / "annotations.xml",
        image(
            "a.png",  # in line 9; the shapes are in the lines from 10 on
            '<polyline label="cat" points="1,1;2,2"/>',
            '<points label="cat" points="1,1"/>',
            '<tag label="cat"/>',
            '<skeleton label="cat"/>',
            '<box label="bird" xtl="2" ytl="1" xbr="12" ybr="5"/>',
            '<box label="cat" xtl="12" ytl="5" xbr="2" ybr="1"/>',
            '<box label="cat" xtl="2" ytl="1" xbr="12"/>',
            '<polygon label="cat" points="1,1;2"/>',
            '<polygon label="cat" points=""/>',
            "<attribute>9</attribute>",
        ),
        image("b.png"),
        image("c.png", BOX, size='width="10" height="20"'),
        image("d.png", BOX, size=""),
    )
    found = read_cvat(path)
    assert [(sample.picture.name, len(sample.boxes)) for sample in found["all"].samples] == [("a.png", 1), ("b.png", 0)]
    assert said(found) == [
        "annotations.xml:10: cat: <polyline> is not an area; left out",
        "annotations.xml:11: cat: <points> is not an area; left out",
        "annotations.xml:12: cat: <tag> is not an area; left out",
        "annotations.xml:13: cat: <skeleton> is not an area; left out",
        "annotations.xml:14: bird: 'bird' is not among the classes; left out",
        "annotations.xml:15: cat: the corners are the wrong way round; swapped",
        "annotations.xml:16: cat: <box> without its numbers; left out",
        "annotations.xml:17: cat: <polygon> without its numbers; left out",
        "annotations.xml:18: cat: <polygon> without its numbers; left out",
        f"annotations.xml: image c.png: was drawn on 10 x 20 pixels, but {tmp_path}/c.png has 20 x 10; left out: if "
        "that size alone is wrong, delete it",
        "annotations.xml: image d.png: no picture 'd.png' near it; left out",
    ]


@pytest.mark.parametrize(
    ("meta", "names"),
    [
        ("", ("cat",)),
        (f"<meta><project><tasks><task/></tasks><labels>{LABELS}</labels></project></meta>", ("dog", "cat")),
        (f"<meta><job><labels>{LABELS}</labels></job></meta>", ("dog", "cat")),
        (
            f"<meta><task><labels>{LABELS}<label><name>tip</name><type>points</type></label>"
            "<label><name>1</name><type>any</type><parent>dog</parent></label></labels></task></meta>",
            ("dog", "cat"),
        ),
    ],
)
def test_classes_are_the_labels_of_the_task(tmp_path, meta, names):
    write_picture(tmp_path / "a.png")
    path = write_xml(tmp_path / "annotations.xml", image("a.png", BOX), meta=meta)
    assert read_cvat(path)["all"].names == names
    assert read_cvat(path, names=("cat", "x"))["all"].names == ("cat", "x")


def track(label: str, *frames: str) -> str:
    return f'<track id="0" label="{label}" source="manual">\n' + "\n".join(frames) + "\n</track>\n"


def frame(number: int, left: float = 2, outside: int = 0) -> str:
    corners = f'xtl="{left}" ytl="1" xbr="{left + 10}" ybr="5"'
    return f'<box frame="{number}" outside="{outside}" occluded="0" keyframe="1" {corners} z_order="0"></box>'


def test_tracks_of_a_video_are_read_for_the_frames_that_are_there(tmp_path):
    for number in (0, 5, 10):
        write_picture(tmp_path / "images" / f"frame_{number:06d}.png", number)
    size = "<original_size><width>20</width><height>10</height></original_size>"
    write_xml(
        tmp_path / "annotations.xml",
        track("cat", frame(0), frame(5, 4), frame(10, outside=1), frame(15)),
        track("dog", frame(10), frame(5, 6)),
        meta=META.replace("<labels>", f"{size}<labels>"),
    )
    found = read_parts(tmp_path)
    assert {sample.picture.stem: sample.boxes for sample in found["all"].samples} == {
        "frame_000000": (pytest.approx((1, 0.35, 0.3, 0.5, 0.4, False)),),
        "frame_000005": (
            pytest.approx((1, 0.45, 0.3, 0.5, 0.4, False)),
            pytest.approx((0, 0.55, 0.3, 0.5, 0.4, False)),
        ),
        "frame_000010": (pytest.approx((0, 0.35, 0.3, 0.5, 0.4, False)),),
    }
    assert said(found) == [
        "annotations.xml: holds the tracks of a video, whose frames are looked for as frame_000000.png; 1 boxes marked "
        "outside are left out, and frames without a box",
        "annotations.xml: frame 15: no picture 'frame_000015' near it; left out",
    ]


def test_the_size_of_a_video_may_be_missing_or_nonsense(tmp_path):
    write_picture(tmp_path / "frame_000003.png")
    for size in ("", "<original_size><width>wide</width><height>10</height></original_size>"):
        path = write_xml(tmp_path / "a.xml", track("cat", frame(3)), meta=META.replace("<labels>", f"{size}<labels>"))
        assert read_cvat(path)["all"].samples[0].boxes == (pytest.approx((1, 0.35, 0.3, 0.5, 0.4, False)),)


@pytest.mark.parametrize(
    ("text", "message"),
    [("<annotation/>", "is not an XML of CVAT's"), ("<annotations>", "is not XML"), ("<annotations/>", "can be used")],
)
def test_a_file_that_gives_nothing_is_one_error(tmp_path, text, message):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DarkshareError, match=message):
        read_cvat(tmp_path / "a.xml")
