"""Labels that each fork of Darknet finds, pictures that it decodes, boxes that it trains, and who says so."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run

from darkshare import DarkshareWarning, check
from darkshare.darknet.cfg import parse
from darkshare.darknet.network import resolve
from darkshare.data import Box, Sample, import_data, read_data, review
from darkshare.data.forks import crowded, most_boxes, ready_suffix, undecodable
from darkshare.data.labels import LABEL_RULES

RED = np.full((40, 48, 3), (0, 0, 200), np.uint8)
HEAD = """[net]
width=32
height=32
channels=3
[convolutional]
filters=7
size=1
activation=linear
[yolo]
mask=0
anchors=4,4
classes=2
num=1
"""
LABEL = "0 0.5 0.5 0.25 0.25\n"
# By hand from AlexeyAB's `replace_image_to_label` (src/utils.c), pjreddie's `fill_truth_detection` (src/data.c) and
# hank-ai's `replace_image_to_label` (src-lib/utils.cpp): which of them look for a.txt
FINDS = {
    "jpg": "aph", "JPG": "aph", "png": "aph", "JPEG": "aph", "jpeg": "ah", "PNG": "ah", "bmp": "ah", "BMP": "ah",
    "ppm": "ah", "PPM": "ah", "tiff": "ah", "TIFF": "ah", "tif": "h", "webp": "h", "Jpg": "h", "Png": "h", "pgm": "h",
    "jp2": "h", "Tiff": "h", "jpe": "h", "jfif": "h",
}  # fmt: skip


def encoded(suffix: str, image: np.ndarray = RED) -> bytes:
    known = {"jfif": "jpg"}.get(suffix, suffix.lower())  # supervisely/supervisely pull request 1043
    return cv2.imencode(f".{known}", image[:, :, 0] if suffix == "pgm" else image)[1].tobytes()


def write(folder: Path, name: str, label: str = LABEL, data: bytes = b"") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = np.full_like(RED, len(list(folder.rglob("*"))))
    path.write_bytes(data or encoded(path.suffix[1:], shade))
    path.with_suffix(".txt").write_text(label)
    return path


def data_file(folder: Path, *names: str) -> Path:
    (folder / "l.txt").write_text("".join(f"{name}\n" for name in names))
    (folder / "n.names").write_text("red\ngreen\n")
    (folder / "d.data").write_text("classes=2\ntrain=l.txt\nnames=n.names\n")
    return folder / "d.data"


def warnings_of(data: Path) -> list[str]:
    return [finding.text for finding in review(data).warnings]


@pytest.mark.parametrize(("suffix", "finders"), FINDS.items())
def test_suffixes_for_which_each_fork_finds_labels(suffix, finders):
    got = "".join(fork[0] for fork, rule in LABEL_RULES.items() if rule(f"obj/a.{suffix}") == "obj/a.txt")
    assert got == finders


@pytest.mark.parametrize(
    ("fork", "picture", "opened"),
    [
        ("alexeyab", "/c/images/val2017/a.webp", "/c/labels/val2017/a.webp"),
        ("alexeyab", "obj/a.jpg.webp", "obj/a.jpg.webp"),
        ("pjreddie", "obj/a.jpg.bmp", "obj/a.txt.bmp"),  # it replaces suffixes anywhere
        ("pjreddie", "set.jpg/a.png", "set.txt/a.txt"),
        ("alexeyab", "set.jpg/a.png", "set.jpg/a.txt"),
    ],
)
def test_the_file_that_a_fork_opens_for_an_odd_name(fork, picture, opened):
    assert LABEL_RULES[fork](picture) == opened


@pytest.mark.parametrize("suffix", ["webp", "tif", "Jpg", "jpeg", "bmp", "PNG"])
def test_check_names_the_forks_that_find_no_labels_for_a_suffix(tmp_path, suffix):
    write(tmp_path, f"a.{suffix}")
    write(tmp_path, "b.png")
    said = [text for text in warnings_of(data_file(tmp_path, f"a.{suffix}", "b.png")) if "labels of" in text]
    forks = {"a": "alexeyab", "p": "pjreddie", "h": "hank-ai"}
    lost = [forks[key] for key in "aph" if key not in FINDS[suffix]]
    assert [text.partition("'s Darknet does not find the labels of 1 of 2 pictures")[0] for text in said] == lost
    assert all(f"such as a.{suffix}: it does not know the suffix" in text for text in said)


def test_check_counts_for_darknet_started_beside_the_data_file(tmp_path, monkeypatch):
    """pjreddie's replaces the first `images` or `raw` of the path as the list has it, not of the folder above."""
    home = tmp_path / "raw images"
    write(home, "obj/a.png")
    data = data_file(home, "obj/a.png")
    monkeypatch.chdir(tmp_path)
    assert warnings_of(data) == []
    (home / "l.txt").write_text(f"{home}/obj/a.png\n")
    (text,) = warnings_of(data)
    assert text.startswith("pjreddie's Darknet")
    assert "it looks for" in text


def test_labels_in_a_folder_of_their_own_are_not_found_by_all(tmp_path, monkeypatch):
    picture = write(tmp_path, "images/a.png")
    (tmp_path / "labels").mkdir()
    picture.with_suffix(".txt").rename(tmp_path / "labels" / "a.txt")
    monkeypatch.chdir(tmp_path)
    said = warnings_of(data_file(Path(), "images/a.png"))
    assert [text.partition("'")[0] for text in said] == ["alexeyab", "hank-ai"]
    assert all("it looks for images/a.txt" in text for text in said)


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (encoded("jpg"), True),
        (encoded("png"), True),
        (encoded("bmp"), True),
        (encoded("ppm"), True),
        (b"P3\n1 1\n255\n1 2 3\n", False),
        (encoded("webp"), False),
        (encoded("tiff"), False),
        (encoded("jp2"), False),
        (b"\0\0\0\x1cftypavif", False),
        (b"not a picture", True),  # which is said elsewhere
    ],
)
def test_formats_that_need_opencv_are_told_by_their_content(tmp_path, data, read):
    path = write(tmp_path, "a.jpg", data=data)
    assert bool(undecodable([path])) is not read
    said = [text for text in warnings_of(data_file(tmp_path, "a.jpg")) if "only with OpenCV" in text]
    assert len(said) == (not read)


def test_warnings_are_not_errors_but_with_strict(tmp_path):
    write(tmp_path, "a.webp")
    data = data_file(tmp_path, "a.webp")
    assert run("check", data).exit_code == 0
    assert run("check", data, "--strict").exit_code == 1
    found = json.loads(run("check", data, "--format", "json").stdout)
    assert [one["severity"] for one in found["rows"]] == ["warning"] * 3
    assert len(found["datasets"][0]["warnings"]) == 3


@pytest.mark.parametrize("copy", [False, True])
def test_import_writes_what_every_fork_finds_and_reads(tmp_path, copy):
    shades = {suffix: np.full_like(RED, 10 + 3 * i) for i, suffix in enumerate(FINDS)}
    for suffix, image in shades.items():
        write(tmp_path, f"p-{suffix}/{suffix}.{suffix}", data=encoded(suffix, image))
    write(tmp_path, "p-lie/lie.jpg", data=encoded("webp", RED))
    names = [f"p-{suffix}/{suffix}.{suffix}" for suffix in FINDS] + ["p-lie/lie.jpg"]
    made = import_data(data_file(tmp_path, *names), tmp_path / "o", copy=copy)
    assert warnings_of(tmp_path / "o" / "o.data") == []
    read = read_data(tmp_path / "o" / "o.data")
    assert [sample.boxes for sample in read.samples] == [(Box(0, 0.5, 0.5, 0.25, 0.25),)] * len(names)
    for sample, (suffix, image) in zip(read.samples, shades.items(), strict=False):
        lossy = "jp" in suffix.lower() or suffix == "webp"
        got = cv2.imread(str(sample.picture)).astype(int)
        assert np.abs(got - cv2.imdecode(np.frombuffer(encoded(suffix, image), np.uint8), cv2.IMREAD_COLOR)).max() == 0
        assert np.abs(got - image).max() <= (3 if lossy else 0)
    kept = dict(zip((*FINDS, "lie"), (sample.picture.suffix for sample in read.samples), strict=True))
    assert [kept[one] for one in ("jpg", "JPG", "JPEG", "png", "jpeg", "Jpg", "PNG", "Png", "lie", "bmp", "tif")] == [
        ".jpg", ".JPG", ".JPEG", ".png", ".jpg", ".jpg", ".png", ".png", ".png", ".png", ".png",
    ]  # fmt: skip
    said = [finding.text for finding in made.findings]
    assert [text.partition(" ")[2].partition(",")[0] for text in said] == [
        "pictures are written anew as .png",
        "pictures get a suffix for which every Darknet finds labels",
    ]


def test_a_broken_picture_of_an_odd_format_does_not_end_the_import(tmp_path):
    write(tmp_path, "a.webp", data=encoded("webp")[:30])
    write(tmp_path, "b.png")
    with pytest.warns(DarkshareWarning, match=r"a\.webp: .*Darknet will not read it either"):
        import_data(data_file(tmp_path, "a.webp", "b.png"), tmp_path / "o")
    assert len(read_data(tmp_path / "o" / "o.data").samples) == 2


def test_what_is_not_known_keeps_its_name(tmp_path):
    assert ready_suffix(write(tmp_path, "a.Jpg", data=b"nothing")) == (".Jpg", False)
    assert ready_suffix(tmp_path / "none.bmp") == (".bmp", False)


def test_two_label_files_that_differ_are_named_with_their_forks(tmp_path, monkeypatch):
    beside = write(tmp_path, "c/images/train2017/a.png", LABEL).with_suffix(".txt")
    other = tmp_path / "c/labels/train2017/a.txt"
    other.parent.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    data = data_file(Path(), "c/images/train2017/a.png")
    other.write_bytes(b"0  0.50 0.5 0.25 0.25\r\n")  # the same box in other words
    assert read_data(data).findings == ()
    other.write_text("1 0.5 0.5 0.25 0.25\n")
    found = read_data(data)
    (finding,) = found.findings
    assert str(finding) == (
        "c/labels/train2017/a.txt: c/images/train2017/a.txt holds other boxes of the same picture (for hank-ai); "
        "taken are these (for alexeyab and pjreddie)"
    )
    assert found.samples[0].boxes[0].class_id == 1
    assert run("check", data).exit_code == 1
    other.unlink()
    other.symlink_to(beside)
    assert read_data(data).findings == ()


def test_two_pictures_that_share_a_label_file_are_named_and_parted(tmp_path):
    for name in ("a.jpg", "a.png", "b.png"):
        write(tmp_path, name)
    data = data_file(tmp_path, "a.jpg", "a.png", "b.png", "a.jpg")
    said = [finding for finding in read_data(data).findings if "in common" in finding.text]
    assert [(one.path.name, one.text) for one in said] == [
        ("a.png", f"has the label file {tmp_path}/a.txt in common with {tmp_path}/a.jpg")
    ]
    import_data(data, tmp_path / "o", split=0)
    assert (tmp_path / "o" / "train.txt").read_text().split() == ["obj/a.jpg", "obj/a-2.png", "obj/b.png", "obj/a.jpg"]


def many(*counts: int) -> list[Sample]:
    return [Sample(Path(f"{i}.png"), tuple(Box(0, 0.5, 0.5, 0.1, 0.1) for _ in range(n))) for i, n in enumerate(counts)]


@pytest.mark.parametrize("counts", [(200, 0, 5), ()])
def test_so_many_boxes_as_a_head_takes_are_nothing_to_say(counts):
    assert not crowded(many(*counts), 200)


def test_boxes_that_are_more_than_a_head_takes():
    assert crowded(many(201, 350, 2), 200) == (
        "2 of 3 pictures have more than 200 boxes: 200 are trained at a time, and the other 151 are then learned as "
        "background; max=350 in each head's section of the cfg trains all"
    )


@pytest.mark.parametrize(
    ("key", "dialect", "most"),
    [("", "alexeyab", 200), ("", "hank-ai", 200), ("", "pjreddie", 90), ("max=7", "pjreddie", 7)],
)
def test_the_last_head_says_how_many_boxes_are_trained(key, dialect, most):
    assert most_boxes(resolve(parse(f"{HEAD}{key}\n"), dialect=dialect)) == most


@pytest.mark.parametrize(
    ("count", "forks"), [(90, ()), (91, ("pjreddie's",)), (201, ("alexeyab's and hank-ai's", "pjreddie's"))]
)
def test_check_counts_the_boxes_that_a_cfg_without_max_leaves_out(tmp_path, count, forks):
    label = "".join(f"0 {0.1 + 0.004 * i:.4f} 0.5 0.1 0.1\n" for i in range(count))
    write(tmp_path, "a.png", label)
    said = [text for text in warnings_of(data_file(tmp_path, "a.png")) if "boxes:" in text]
    assert [text.rpartition("(")[2].partition(" is ")[2] for text in said] == [f"{fork} default)" for fork in forks]


@pytest.mark.parametrize(
    ("key", "dialect", "most"), [("max=30", "alexeyab", 30), ("", "alexeyab", 200), ("", "pjreddie", 90)]
)
def test_check_takes_max_of_the_cfg_that_is_given_too(tmp_path, key, dialect, most):
    cfg = tmp_path / "m.cfg"
    cfg.write_text(f"{HEAD}{key}\n")
    data = {}
    for count in (most, most + 1):
        (folder := tmp_path / str(count)).mkdir()
        write(folder, "a.png", "".join(f"0 {0.1 + 0.002 * i:.4f} 0.5 0.1 0.1\n" for i in range(count)))
        data[count] = data_file(folder, "a.png")
    said = [one for one in check(cfg, *data.values(), dialect=dialect) if "boxes:" in one.message]
    assert [(one.severity, one.file) for one in said] == [("warning", str(tmp_path / str(most + 1) / "l.txt"))]
    assert said[0].message.endswith(f"cfg trains all ({most} is max= of {cfg})")
    assert f"have more than {most} boxes" in said[0].message


def test_a_cfg_that_cannot_be_read_leaves_the_defaults(tmp_path):
    (tmp_path / "m.cfg").write_text("[net]\n[nothing]\n")
    write(tmp_path, "a.png", "".join(f"0 {0.1 + 0.002 * i:.4f} 0.5 0.1 0.1\n" for i in range(91)))
    said = [one.message for one in check(tmp_path / "m.cfg", data_file(tmp_path, "a.png")) if "boxes:" in one.message]
    assert [text.rpartition("(")[2] for text in said] == ["90 is pjreddie's default)"]


def test_one_list_for_two_parts_is_warned_of_once(tmp_path):
    write(tmp_path, "a.webp")
    data = data_file(tmp_path, "a.webp")
    once = warnings_of(data)
    data.write_text(f"{data.read_text()}valid=l.txt\n")
    assert warnings_of(data) == once != []


@pytest.mark.parametrize(
    ("names", "label", "listed", "says"),
    [
        (b"gr\xfcn\nrot\n", LABEL, "a.png\n", "n.names:1: warning: is not UTF-8, but probably Latin-1"),
        ("红\n绿\n".encode("gbk"), LABEL, "a.png\n", "n.names:1: warning: is not UTF-8, but probably GBK"),
        (b"\na\n", LABEL, "a.png\n", "n.names:1: warning: an empty line"),
        (b"a\na\n", LABEL, "a.png\n", "n.names:2: warning: the name of line 1 again"),
        (b"a\nb\n", LABEL * 2, "a.png\n", "a.txt:2: warning: the same box as before"),
        (b"a\nb\n", LABEL, "a.png\n./a.png\n", "l.txt:2: warning: ./a.png: the same picture as in line 1"),
        (b"a\nb\n", "9 .5 .5 .1 .1\n", "a.png\n", "a.txt:1: error: class 9 is not among 0 to 1"),
        (b"a\nb\n", LABEL, "a.png\nb.png\n", "l.txt:2: error: b.png: no such picture"),
    ],
)
def test_what_changes_nothing_is_not_an_error(tmp_path, monkeypatch, names, label, listed, says):
    write(tmp_path, "a.png", label)
    data_file(tmp_path)
    (tmp_path / "n.names").write_bytes(names)
    (tmp_path / "l.txt").write_text(listed)
    monkeypatch.chdir(tmp_path)
    result = run("check", "d.data")
    assert [line.startswith(says) for line in result.stdout.splitlines()].count(True) == 1 or not says
    assert result.exit_code == ("error: " in says)
