"""Darknet's own data sets: .data files, lists, names, difficult lists, classifiers; and what `check` says of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import run, zoo_path
from PIL import Image

from darkshare.data import (
    Box,
    in_order,
    is_divided,
    read_class_folders,
    read_class_list,
    read_classes,
    read_data,
    read_list,
    read_names,
    read_options,
    review,
    split,
)
from darkshare.errors import DarkshareError

LABELS = "0 0.5 0.5 0.2 0.4\n1 0.25 0.75 0.1 0.1\n"


def write_picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    assert cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six labelled pictures in two lists, relative to the folder of the .data file."""
    for index in range(6):
        picture = write_picture(tmp_path / "set" / "obj" / f"{index}.png", index)
        picture.with_suffix(".txt").write_text(LABELS if index else "")
    folder = tmp_path / "set"
    (folder / "train.txt").write_text("".join(f"obj/{index}.png\n" for index in range(4)))
    (folder / "valid.txt").write_text("obj/4.png\nobj/5.png\n")
    (folder / "x.names").write_text("cat\ndog\n")
    (folder / "b").mkdir()
    (folder / "x.data").write_text("classes= 2\ntrain  = train.txt\nvalid  = valid.txt\nnames = x.names\nbackup = b\n")
    return folder / "x.data"


def said(dataset) -> list[str]:
    return [str(one).replace(str(one.path), one.path.name) for one in dataset.findings]


def test_both_parts_are_read(data):
    train, valid = read_data(data), read_data(data, "valid")
    assert (train.name, train.names, train.findings) == ("x", ("cat", "dog"), ())
    assert [sample.picture.name for sample in train.samples] == ["0.png", "1.png", "2.png", "3.png"]
    assert train.samples[0].boxes == ()
    assert train.samples[1].boxes == (Box(0, 0.5, 0.5, 0.2, 0.4), Box(1, 0.25, 0.75, 0.1, 0.1))
    assert [sample.picture.name for sample in valid.samples] == ["4.png", "5.png"]


def test_names_can_be_given_instead(data):
    given = read_data(data, names=["animal"])
    assert given.names == ("animal",)
    assert any("classes=2, but there are 1 names" in one for one in said(given))
    assert sum("class 1 is not among 0 to 0" in one for one in said(given)) == 3


def test_the_current_folder_comes_before_the_data_files(data, monkeypatch, tmp_path):
    """As in Darknet, which knows no other."""
    other = write_picture(tmp_path / "here" / "obj" / "0.png")
    other.with_suffix(".txt").write_text(LABELS)
    monkeypatch.chdir(tmp_path / "here")
    train = read_data(data)
    assert train.samples[0].picture.samefile(other)
    assert train.samples[1].picture == data.parent / "obj" / "1.png"


def test_line_ends_byte_order_marks_and_blanks_from_other_systems(data):
    text = "\ufeff  obj\\0.png \r\nobj/1.png\t\r\n"
    (data.parent / "train.txt").write_bytes(text.encode())
    names = data.parent / "x.names"
    names.write_bytes("\ufeffcat\r\ndog\r\n\r\n".encode())
    train = read_data(data)
    assert [sample.picture.name for sample in train.samples] == ["0.png", "1.png"]
    assert train.names == ("cat", "dog")
    assert [one.split(":")[:2] for one in said(train)] == [["x.names", "1"], ["train.txt", "1"]]


def test_everything_wrong_with_a_list_is_said_with_its_line(data):
    folder = data.parent
    (folder / "obj" / "2.txt").unlink()
    (folder / "obj" / "3.txt").write_text("0 .5 .5 .2 .2\n5 .5 .5 .2 .2\n")
    (folder / "obj" / "empty.png").touch()
    (folder / "notes.md").write_text("about it")
    lines = [
        "obj/1.png",
        "obj/none.png",
        "",
        "obj/2.png",
        "obj/3.png",
        "obj/1.png",
        "obj/empty.png",
        "notes.md",
        "nul\x7f",
    ]
    (folder / "train.txt").write_text("\n".join(lines))
    train = read_data(data)
    assert [sample.picture.name for sample in train.samples] == ["1.png", "3.png", "1.png"]
    expected = [
        ("train.txt:2", "no such picture"),
        ("train.txt:3", "an empty line is a picture to Darknet"),
        ("train.txt:4", "no such label file"),
        ("3.txt:2", "class 5 is not among"),
        ("train.txt:6", "the same picture as in line 1"),
        ("train.txt:7", "an empty file is not a picture"),
        ("train.txt:8", "is not a picture by its name"),
        ("train.txt:9", "no such picture"),
    ]
    assert [
        one.startswith(place) and what in one for one, (place, what) in zip(said(train), expected, strict=True)
    ] == [True] * len(expected)


def test_what_is_odd_in_a_data_file_is_said(data):
    data.write_text(
        "# ours\n\nclasses=3\nvaild = x\nnonsense\ntrain=train.txt\n"
        "train=valid.txt\nvalid=va lid.txt\nnames=x.names\n=4\n"
    )
    found = said(read_data(data))
    assert [one.split(": ")[0] for one in found] == [
        "x.data:4",
        "x.data:5",
        "x.data:7",
        "x.data:8",
        "x.data:10",
        "x.data:3",
    ]
    assert "is valid= meant?" in found[0]
    assert "the first one counts" in found[2]
    assert "classes=3, but there are 2 names" in found[5]


@pytest.mark.parametrize(
    ("text", "part", "says"),
    [
        ("", "train", "no key=value lines"),
        ("names=x.names\n", "train", "has no train="),
        ("train=train.txt\nnames=x.names\n", "valid", "has no valid=; it has train"),
        ("train=none.txt\nnames=x.names\n", "train", "x.data:1: train=none.txt: no such file"),
        ("train=obj\nnames=x.names\n", "train", "no such file"),
        ("train=train.txt\nnames=none\n", "train", "x.data:2: names=none: no such file"),
        ("train=train.txt\n", "train", "neither names= nor classes="),
        ("train=train.txt\nclasses=99999999999\n", "train", "neither names= nor classes="),
        ("train=x.names\nclasses=2\n", "train", "no picture that it lists is there, such as cat"),
        ("train=empty.txt\nclasses=2\n", "train", "lists no pictures"),
    ],
)
def test_what_cannot_be_read_at_all_is_one_error(data, text, part, says):
    (data.parent / "empty.txt").touch()
    data.write_text(text)
    with pytest.raises(DarkshareError, match=r"(x\.data|x\.names|empty\.txt)") as caught:
        read_data(data, part)
    assert says in str(caught.value)


def test_without_any_label_it_is_one_error(data):
    for label in (data.parent / "obj").glob("*.txt"):
        label.unlink()
    with pytest.raises(DarkshareError, match="none of its pictures can be used") as caught:
        read_data(data)
    assert "no such label file" in str(caught.value)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir(), lambda path: path.write_bytes(b"\0")])
def test_a_list_that_is_no_text_file_is_one_error(tmp_path, make):
    make(tmp_path / "list.txt")
    with pytest.raises(DarkshareError, match=r"list\.txt"):
        read_list(tmp_path / "list.txt", ["cat"])


def test_without_a_names_file_classes_are_numbers(data):
    data.write_text("classes=2\ntrain=train.txt\n")
    train = read_data(data)
    assert train.names == ("0", "1")
    assert said(train) == ["x.data: has no names=; the classes are called by their numbers"]


def test_names_with_gaps_and_doubles_keep_their_places(tmp_path):
    (tmp_path / "x.names").write_text("cat\n\ndog\ncat\n")
    names, findings = read_names(tmp_path / "x.names")
    assert names == ("cat", "class 1", "dog", "class 3")
    assert [one.line for one in findings] == [2, 4]
    (tmp_path / "x.names").write_text("class 1\n\nclass 2\nclass 2\nclass 3\n")
    assert read_names(tmp_path / "x.names")[0] == ("class 1", "class 1_", "class 2", "class 3", "class 4")


def test_names_of_files_may_have_any_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        write_picture(tmp_path / "a.png").rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text(LABELS)
    (tmp_path / "list").write_bytes(b"caf\xe9.png\n")
    assert len(read_list(tmp_path / "list", ["a", "b"]).samples[0].boxes) == 2


def test_difficult_boxes_come_from_the_paired_list(data):
    """AlexeyAB's Darknet looks beside the paths of the second list, whose pictures need not exist."""
    folder = data.parent
    (folder / "hard").mkdir()
    (folder / "hard" / "5.txt").write_text("0 0.1 0.1 0.1 0.1\n")
    (folder / "hard.txt").write_text("hard/4.png\nhard/5.png\n")
    with data.open("a") as file:
        file.write("difficult = hard.txt\n")
    valid = read_data(data, "valid")
    assert [sum(box.difficult for box in sample.boxes) for sample in valid.samples] == [0, 1]
    assert valid.samples[1].boxes[-1] == Box(0, 0.1, 0.1, 0.1, 0.1, True)
    assert said(valid) == ["hard.txt:1: hard/4.png: no label file beside it; no box counts as difficult"]
    assert not any(box.difficult for sample in read_data(data).samples for box in sample.boxes)


def test_progress_sees_every_line(data):
    lengths: list[int] = []

    def watch(things):
        lengths.append(len(things))
        return things

    read_data(data, watch=watch)
    assert lengths == [4]


# --- classifiers


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Pictures in folders of two classes, and a classifier's .data file for them."""
    for index in range(6):
        write_picture(tmp_path / ("cat", "dog")[index % 2] / f"{index}.png", index)
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "train.txt").write_text("".join(f"{('cat', 'dog')[i % 2]}/{i}.png\n" for i in range(6)))
    (tmp_path / "c.data").write_text("classes=2\nlabels=labels.txt\ntrain=train.txt\n")
    return tmp_path / "c.data"


def test_a_picture_has_the_label_that_its_path_contains(classes):
    found = read_class_list(classes)
    assert (found.names, found.findings) == (("cat", "dog"), ())
    assert [(s.picture.name, s.class_id) for s in found.samples] == [(f"{i}.png", i % 2) for i in range(6)]


def test_none_or_several_labels_in_a_path_are_findings(classes):
    write_picture(classes.parent / "cat" / "dogs.png", 7)
    write_picture(classes.parent / "bird" / "1.png", 8)
    (classes.parent / "train.txt").write_text("cat/dogs.png\nbird/1.png\ncat/0.png\n")
    found = read_class_list(classes)
    assert len(found.samples) == 1
    assert said(found) == [
        "train.txt:1: cat/dogs.png: the path contains the labels cat, dog; left out",
        "train.txt:2: bird/1.png: the path contains none of the labels; left out",
    ]


def test_data_of_the_other_kind_is_named(data, classes):
    with pytest.raises(DarkshareError, match=r"x\.data: has no labels=, so this is data for detectors"):
        read_class_list(data)
    (classes.parent / "cat" / "0.txt").write_text(LABELS)
    with pytest.raises(DarkshareError, match=r"c\.data:2: classifies pictures \(labels=\) and has no boxes"):
        read_data(classes)
    with pytest.raises(DarkshareError, match="is a folder, but the network finds boxes: give a"):
        read_data(classes.parent)


def test_a_share_of_a_folder_has_no_test_part(classes):
    (classes.parent / "set").mkdir()
    for name in ("cat", "dog"):
        (classes.parent / name).rename(classes.parent / "set" / name)
    folder = classes.parent / "set"
    assert len(read_classes(folder, "test").samples) == 6
    with pytest.raises(DarkshareError, match="set: has no parts, and is split into train and valid, not test"):
        read_classes(folder, "test", share=0.5)
    assert not is_divided(folder)
    assert is_divided(classes)
    (folder.parent / "whole" / "train").mkdir(parents=True)
    folder.rename(folder.parent / "whole" / "train" / "x")
    assert is_divided(classes.parent / "whole")


def test_classes_in_another_order(data, classes):
    boxes = read_data(data)
    moved: Any = in_order(boxes, ("dog", "cat"))
    assert (in_order(boxes, boxes.names), moved.names) == (boxes, ("dog", "cat"))
    assert [s.picture for s in moved.samples] == [s.picture for s in boxes.samples]
    assert [[box.class_id for box in s.boxes] for s in moved.samples] == [
        [1 - box.class_id for box in s.boxes] for s in boxes.samples
    ]
    assert [box[1:] for s in moved.samples for box in s.boxes] == [box[1:] for s in boxes.samples for box in s.boxes]
    found: Any = in_order(read_class_list(classes), ("dog", "cat"))
    assert [s.class_id for s in found.samples] == [1, 0] * 3


def test_folders_are_classes(classes):
    root = classes.parent
    write_picture(root / "stray.png")
    (root / "cat" / "notes.txt").write_text("x")
    (root / "bird").mkdir()
    (found,) = read_class_folders(root).values()
    assert found.names == ("bird", "cat", "dog")
    assert [(s.picture.name, s.class_id) for s in found.samples] == [
        ("0.png", 1), ("2.png", 1), ("4.png", 1), ("1.png", 2), ("3.png", 2), ("5.png", 2)
    ]  # fmt: skip
    assert said(found) == [
        "stray.png: lies outside the folders of the classes; left out",
        "bird: has no pictures of the class bird",
        "notes.txt: is not a picture; left out",
    ]


def test_folders_of_parts_share_their_classes(tmp_path):
    write_picture(tmp_path / "train" / "cat" / "1.png")
    write_picture(tmp_path / "val" / "dog" / "2.png", 1)
    found = read_class_folders(tmp_path)
    assert set(found) == {"train", "valid"}
    assert found["valid"].names == ("cat", "dog")
    assert found["valid"].samples[0].class_id == 1


@pytest.mark.parametrize("where", ["none", "empty"])
def test_a_folder_without_classes_is_one_error(tmp_path, where):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DarkshareError, match=where):
        read_class_folders(tmp_path / where)


@pytest.mark.zoo
def test_real_folders_of_classes():
    folder = zoo_path("datasets", "sign-digits-classification", "Dataset")
    (found,) = read_class_folders(folder).values()
    assert found.names == tuple("0123456789")
    assert found.findings == ()
    assert len(found.samples) == sum(1 for _ in folder.rglob("*.JPG"))
    train, valid = split(found, 0.2, seed=1)
    assert len(valid.samples) == len(found.samples) // 5
    assert set(train.samples) | set(valid.samples) == set(found.samples)


# --- check


def test_check_finds_nothing_wrong_with_a_good_one(data):
    result = run("check", data, "--decode")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "no problems found"
    assert [line.split() for line in lines[2:5]] == [
        ["part", "pictures", "without", "boxes", "boxes", "difficult"],
        ["train", "4", "1", "6", "0"],
        ["valid", "2", "0", "4", "0"],
    ]


def test_sizes_are_the_root_of_the_area_in_percent(data):
    rows = review(data).rows()
    assert [row["class"] for row in rows] == ["cat", "dog"] * 2
    assert rows[0] == {
        "part": "train", "class": "cat", "pictures": 3, "boxes": 3,
        "smallest %": pytest.approx(28.2843, rel=1e-5), "median %": pytest.approx(28.2843, rel=1e-5),
        "largest %": pytest.approx(28.2843, rel=1e-5),
    }  # fmt: skip
    assert review(data).as_dict()["parts"][0]["without boxes"] == 1


def test_one_line_says_what_a_data_set_is_and_a_notebook_shows_its_numbers(data, classes):
    found, boxes, classified = review(data), read_data(data), read_class_list(classes)
    assert repr(found) == f"<Review: {data}, 4 train pictures, 2 valid pictures, 0 findings>"
    assert found._repr_html_().count("<tr>") == (1 + 2) + (1 + 4)
    assert repr(boxes) == "<Dataset: x, 4 pictures, 2 classes, 0 findings>"
    assert boxes._repr_html_().count("<tr>") == 1 + 2
    assert repr(classified) == f"<ClassifiedDataset: {classes.stem}, 6 pictures, 2 classes, 0 findings>"
    assert "median" not in classified._repr_html_()


def test_check_compares_pictures_within_and_between_parts(data):
    folder = data.parent
    for name in ("twin.png", "leak.png"):
        (folder / "obj" / name).write_bytes((folder / "obj" / "1.png").read_bytes())
        (folder / "obj" / name).with_suffix(".txt").write_text(LABELS)
    (folder / "train.txt").write_text("obj/1.png\nobj/twin.png\nobj/2.png\n")
    (folder / "valid.txt").write_text("obj/leak.png\nobj/2.png\n")
    found = review(data)
    said, within = (
        sorted(f"{one.path.name}: {one.text}".replace(str(folder), "") for one in some)
        for some in (found.findings, found.warnings)
    )
    assert within == ["twin.png: is the same picture as /obj/1.png"]
    assert said == [
        "leak.png: is the same picture as /obj/1.png, which is for train while this is for valid",
        "x.data: 1 of 2 valid pictures are train pictures too (2.png); measured on them, results are too good",
    ]


def test_check_decodes_pictures_if_asked_to(data):
    broken = data.parent / "obj" / "5.png"
    broken.write_bytes(broken.read_bytes()[:30])
    assert run("check", data).exit_code == 0
    result = run("check", data, "--decode")
    assert result.exit_code == 1
    assert f"{broken}: error: is not a picture that OpenCV can read" in result.stdout


def test_check_tells_of_turned_pictures_once(data):
    exif = Image.Exif()
    for index, orientation in enumerate([6, 3, 1, 8, 5]):
        exif[0x112] = orientation
        path = data.parent / "obj" / f"{index}.png"
        Image.open(path).save(path, exif=exif.tobytes())
    (only,) = review(data).warnings
    assert only.path == data
    assert only.text == (
        "4 of 6 pictures are stored turned or mirrored, with a note in EXIF (0.png: 6, 1.png: 3, 3.png: 8, …); labels "
        "are for the picture as it is shown, but Darknet without OpenCV shows it as stored and trains on wrong boxes; "
        "turn the files (mogrify -auto-orient); import-data writes files that every fork reads"
    )
    result = run("check", data)
    assert (result.exit_code, result.stdout.count("warning: 4 of 6 pictures are stored turned")) == (0, 1)


def test_check_tells_of_files_of_several_pictures_once(data):
    frames = [Image.new("RGB", (16, 12), (shade, 0, 0)) for shade in (10, 60, 110)]
    for index in (1, 4):
        frames[0].save(data.parent / "obj" / f"{index}.png", save_all=True, append_images=frames[index % 2 + 1 :])
    (data.parent / "obj" / "2.png").write_bytes(b"")
    (only,) = (one for one in review(data).warnings if "several" in one.text)
    assert only.text == (
        "2 of 5 pictures are files of several pages or frames (1.png: 2, 4.png: 3), of which the first one counts"
    )


def test_check_of_a_broken_one_as_text_and_json(data):
    (data.parent / "obj" / "5.txt").write_text("7 .5 .5 .1 .1\n")
    (data.parent / "train.txt").unlink()
    result = run("check", data)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert f"{data}:2: error: train=train.txt: no such file" in lines[0]
    assert lines[1].endswith("5.txt:1: error: class 7 is not among 0 to 1; left out")
    assert lines[2] == "2 errors"
    found = json.loads(run("check", data, "--format", "json").stdout)
    assert [(row["severity"], row["line"]) for row in found["rows"]] == [("error", 2), ("error", 1)]
    (described,) = found["datasets"]
    assert described["data"] == str(data)
    assert [row["part"] for row in described["parts"]] == ["valid"]


def test_check_takes_models_and_data_sets_together(data, tiny):
    result = run("check", tiny, data, "--format", "json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["datasets"]) == 1


def test_check_of_a_classifiers_data(classes):
    result = run("check", classes)
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()[-2:]] == [["train", "cat", "3"], ["train", "dog", "3"]]


@pytest.mark.parametrize("content", [b"", b"\0\1\2", b"\xff" * 100, b"[net]\n", b"x" * (2**20 + 1)])
def test_check_of_what_is_no_data_file_is_one_line(tmp_path, content):
    bad = tmp_path / "bad.data"
    bad.write_bytes(content)
    result = run("check", bad)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {bad}: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_data_file_of_a_merged_model_has_nothing_to_check(tmp_path):
    (tmp_path / "m.names").write_text("a\n")
    (tmp_path / "m.data").write_text("classes=1\nnames=m.names\nbackup=backup\n")
    result = run("check", tmp_path / "m.data")
    assert (result.exit_code, result.stdout.strip()) == (0, "no problems found")
    assert read_options(tmp_path / "m.data").parts == []


@pytest.mark.zoo
def test_a_real_data_set_is_read_whole(tmp_path):
    """Each number of a label file of the real set arrives; five of its pictures are there twice."""
    folder = zoo_path("datasets", "face-mask-yolo")
    (tmp_path / "masks.data").write_text(
        f"classes=3\ntrain={folder}/train.txt\nvalid={folder}/test.txt\nnames={folder}/obj.names\n"
    )
    found = review(tmp_path / "masks.data")
    assert {part: len(one.samples) for part, one in found.parts.items()} == {"train": 638, "valid": 38}
    valid: Any = found.parts["valid"]
    for sample in valid.samples:
        numbers = np.loadtxt(sample.picture.with_suffix(".txt"), ndmin=2)
        np.testing.assert_array_equal(np.array([box[:5] for box in sample.boxes]), numbers)
    assert found.findings == ()
    assert sum("is the same picture as" in one.text for one in found.warnings) == 5


@pytest.mark.parametrize(("key", "name"), [("valid", "valid.txt"), ("names", "x.names")])
def test_a_file_that_lies_here_and_beside_the_data_is_told(data, tmp_path, monkeypatch, key, name):
    monkeypatch.chdir(tmp_path)
    assert read_data(data, "valid").findings == ()
    Path(name).write_text({"valid": f"{data.parent}/obj/5.png\n", "names": "bird\nhorse\n"}[key])
    found = read_data(data, "valid")
    line = {"valid": 3, "names": 4}[key]
    assert said(found) == [
        f"x.data:{line}: {key}={name} is {name} of the current folder, as Darknet takes it, not {data.parent / name}"
    ]
    assert (len(found.samples), found.names[0]) == {"valid": (1, "cat"), "names": (2, "bird")}[key]
    assert "of the current folder" in run("check", data, code=0).output
    monkeypatch.chdir(data.parent)
    assert read_data(data, "valid").findings == ()
    os.link(data.parent / name, tmp_path / "same")
    Path(tmp_path / name).unlink()
    (tmp_path / "same").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read_data(data, "valid").findings == ()  # one file of two names
