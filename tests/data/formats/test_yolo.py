"""YOLO's label files in plain folders and behind a data.yaml, in the layouts that programs export."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest
from conftest import zoo_path
from hypothesis import given
from hypothesis import strategies as st
from labelled import write_picture

from darkshare.data import Box, Dataset, import_data, read_parts
from darkshare.data.formats.ultralytics import read_ultralytics
from darkshare.data.formats.yolo import _as_box, read_yolo
from darkshare.errors import DarkshareError, Unsupported

LABEL = "1 0.5 0.5 0.2 0.4\n"


def put(root: Path, *pictures: str, label: str = LABEL) -> Path:
    """Pictures, each with its label file where YOLO's programs look for it."""
    for seed, name in enumerate(pictures):
        write_picture(root / name, seed)
        above, middle, below = name.rpartition("images/")
        text = (root / (f"{above}labels/{below}" if middle else name)).with_suffix(".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(label)
    return root


def stems(parts: dict[str, Dataset]) -> dict[str, list[str]]:
    return {part: [sample.picture.stem for sample in one.samples] for part, one in parts.items()}


def said(parts: dict[str, Dataset], root: Path) -> list[str]:
    return [str(one).replace(f"{root}/", "") for part in parts.values() for one in part.findings]


@pytest.mark.parametrize("names", ["classes.txt", "labels/classes.txt", "obj.names", "_darknet.labels", "notes.json"])
@pytest.mark.parametrize("picture", ["a.png", "images/a.png", "images/deep/a.png", "rot 1/größe.jpg"])
def test_pictures_and_class_names_are_found_in_every_layout(tmp_path, names, picture):
    put(tmp_path, picture)
    (tmp_path / names).parent.mkdir(exist_ok=True)
    rows = [{"id": 1, "name": "dög"}, {"id": 0, "name": "cat"}]
    text = json.dumps({"categories": rows}) if names == "notes.json" else "cat\ndög\n"
    (tmp_path / names).write_text(text, encoding="utf-8")
    found = read_yolo(tmp_path)
    assert stems(found) == {"all": [Path(picture).stem]}
    assert (found["all"].names, found["all"].samples[0].boxes) == (("cat", "dög"), (Box(1, 0.5, 0.5, 0.2, 0.4),))
    assert said(found, tmp_path) == []


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("1 0.1 0.2 0.5 0.2 0.5 0.6", (1, 0.3, 0.4, 0.4, 0.4)),  # a triangle
        ("1 0.3 0.1 0.5 0.3 0.3 0.5 0.1 0.3", (1, 0.3, 0.3, 0.4, 0.4)),  # a square on its corner, as OBB labels have it
        ("0 0.9 0.9 0.1 0.9 0.1 0.1 0.9 0.1 0.5 0.5", (0, 0.5, 0.5, 0.8, 0.8)),
        ("1.000000e+00 5.0e-01 5.0e-01 2.0e-01 4.0e-01", (1, 0.5, 0.5, 0.2, 0.4)),  # as numpy writes it
        ("1.0 0.1 0.2 0.5 0.2 0.5 0.6", (1, 0.3, 0.4, 0.4, 0.4)),
    ],
)
def test_polygons_become_the_box_around_them(tmp_path, line, box):
    put(tmp_path, "a.png", label=f"0 0.5 0.5 0.1 0.1\n{line}\r\n\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (sample,) = read_yolo(tmp_path)["all"].samples
    assert sample.boxes[-1] == pytest.approx((*box, False))


@pytest.mark.parametrize("line", ["1 0.5 0.5 0.2 0.4 0.9", "1 0.1 0.1 0.2 0.2 0.3 nan", "1 a b c d e f", "1 0.5 0.5"])
def test_other_lines_are_findings(tmp_path, line):
    put(tmp_path, "a.png", label=f"{line}\n{LABEL}")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    found = read_yolo(tmp_path)
    assert found["all"].samples[0].boxes == (Box(1, 0.5, 0.5, 0.2, 0.4),)
    (finding,) = said(found, tmp_path)
    assert finding.startswith(f"a.txt:1: {len(line.split())} values where class x y w h belong")


@given(st.text(max_size=60), st.sampled_from([0, 51]))
def test_any_line_becomes_a_line(text, keypoints):
    assert "\n" not in _as_box(text.replace("\n", " "), keypoints)


@pytest.mark.parametrize(
    "folders",
    ["{}/images", "images/{}", "{}", "obj_{}_data"],
)
def test_folders_are_the_parts(tmp_path, folders):
    put(tmp_path, *(f"{folders.format(part)}/{part}.png" for part in ("train", "valid", "test")))
    found = read_yolo(tmp_path)
    assert stems(found) == {part: [part] for part in ("train", "valid", "test")}
    put(tmp_path, "other/x.png")
    assert "other/x.png: is in the folder of no part; left out" in said(read_yolo(tmp_path), tmp_path)


def test_one_folder_of_training_pictures_is_not_a_part(tmp_path):
    assert stems(read_yolo(put(tmp_path, "train/images/a.png", "more/images/b.png"))) == {"all": ["b", "a"]}


def test_lists_in_the_folder_are_the_parts(tmp_path):
    put(tmp_path, "obj/a.png", "obj/b.png", "obj/sub/a.png")
    (tmp_path / "train.txt").write_text("data/obj/a.png\ndata/obj/d.png\n")
    (tmp_path / "valid.txt").write_text("C:\\data\\obj\\b.png\r\nobj/a.png\r\n")
    (tmp_path / "test.txt").write_text("nothing\n")
    found = read_yolo(tmp_path)
    assert stems(found) == {"train": ["a"], "valid": ["b"]}
    *_, first, second, third, last = [line for line in said(found, tmp_path) if "by the end of" not in line]
    assert first == "train.txt:2: data/obj/d.png: no such picture; left out"
    assert second == "valid.txt:2: obj/a.png is in train.txt too, where it counts"
    assert third.startswith("test.txt: no picture that it lists is there, such as nothing")
    assert last == "obj/sub/a.png: is in the list of no part; left out"


def test_everything_wrong_with_a_folder_is_said(tmp_path):
    put(tmp_path, "a.png", "a.jpg", "empty.png", "missing.png", ".hidden.png", label="0 0.5 0.5 0.2 0.4\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "missing.txt").rename(tmp_path / "mistyped.txt")
    (tmp_path / "README.txt").write_text("exported")
    put(tmp_path, "broken.png", "odd.png")
    (tmp_path / "broken.png").write_bytes(b"GIF")
    (tmp_path / "odd.txt").write_bytes(b"\0\1")
    found = read_yolo(tmp_path)
    assert stems(found) == {"all": ["a", "a", "empty"]}
    assert found["all"].names == ("0",)
    assert said(found, tmp_path) == [
        "mistyped.txt: no picture has these labels; left out",
        f"{tmp_path}: names no classes (--names does); they are called by their numbers",
        "a.png: shares its labels with a.jpg",
        "broken.png: is not a picture that OpenCV can read; left out",
        "missing.png: no label file; left out (an empty one says that nothing is on it)",
        "odd.txt: holds NUL bytes: this is not a text file; left out",
    ]


def test_labels_that_lie_apart_from_the_pictures(tmp_path):
    put(tmp_path, "made/images/deep/a.png")
    (tmp_path / "made" / "labels").rename(tmp_path / "labels")
    found = read_yolo(tmp_path / "labels", images=tmp_path / "made" / "images", names=("cat", "dog"))
    assert [len(sample.boxes) for sample in found["all"].samples] == [1]


@pytest.mark.parametrize("places", [["obj_train_data/a.txt"], ["x/a.txt", "y/a.txt"]])
@pytest.mark.parametrize("pictures", [["a.png"], ["deep/a.png"], ["deep/a.png", "a.png"]])
def test_labels_in_a_folder_belong_to_the_only_picture_called_so(tmp_path, places, pictures):
    """As in cvat-ai/cvat issue 8046: an export without pictures, whose labels are in obj_train_data."""
    for name in pictures:
        write_picture(tmp_path / "pictures" / name)
    for name in ["b.png", "obj_train_data/c.png"]:  # the label file lies where it always did
        write_picture(tmp_path / "pictures" / name)
    for name in [*places, "b.txt", "obj_train_data/c.txt"]:
        (tmp_path / "export" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "export" / name).write_text(LABEL)
    found = read_yolo(tmp_path / "export", images=tmp_path / "pictures", names=("cat", "dog"))
    one = len(places) == len(pictures) == 1
    assert stems(found) == {
        "all": ["a"] * one + ["b", "c"] if pictures != ["deep/a.png"] else ["b"] + ["a"] * one + ["c"]
    }
    left = 0 if one else len(places) + len(pictures)
    assert len([line for line in said(found, tmp_path) if "left out" in line]) == left


def test_a_note_with_other_numbers_than_the_list_is_an_error(tmp_path):
    """As in HumanSignal/label-studio issue 6416: ids are texts, and in classes.txt is another order."""
    put(tmp_path, "a.png")
    rows = [{"id": "1", "name": "dog"}, {"id": "0", "name": "cat"}]
    (tmp_path / "notes.json").write_text(json.dumps({"categories": rows}))
    assert read_yolo(tmp_path)["all"].names == ("cat", "dog")
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(DarkshareError, match=r"names that differ \(classes.txt, notes.json\); choose with --names"):
        read_yolo(tmp_path)
    (tmp_path / "notes.json").write_text("{}")
    assert read_yolo(tmp_path)["all"].names == ("dog", "cat")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no pictures; name their folder with --images"),
        ({"a.txt": LABEL}, "holds no pictures"),
        ({"a.png": "x"}, "none of its pictures has labels; .*a.png: is not a picture"),
        ({"classes.txt": "a", "labels/classes.txt": "b"}, r"names that differ \(classes.txt, labels/classes.txt\)"),
        ({"a.png": "x", "notes.json": '{"categories": [{"id": 1, "name": "a"}]}'}, "no categories with id and name"),
    ],
)
def test_folders_that_give_nothing_are_one_error(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(DarkshareError, match=message):
        read_yolo(tmp_path)


def test_a_second_import_does_not_read_what_the_first_one_wrote(tmp_path):
    put(tmp_path, "images/a.png", "images/b.png")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for _ in range(2):
        done = import_data(tmp_path, tmp_path / "out", split=0)
        assert [len(part.samples) for part in done.parts.values()] == [2]
    assert stems(read_yolo(tmp_path / "out")) == {"all": ["a", "b"]}


@pytest.mark.zoo
def test_real_folders_hold_what_their_lines_say():
    """Counted with grep in the label files."""
    masks = read_parts(zoo_path("datasets", "face-mask-yolo"))
    assert {part: len(one.samples) for part, one in masks.items()} == {"train": 638, "test": 38}
    assert sum(len(sample.boxes) for one in masks.values() for sample in one.samples) == 3887
    labels, pictures = (
        zoo_path("datasets", "coco128-val", *place) for place in (("object_detection", "labels"), ("images",))
    )
    coco = read_parts(labels, images=pictures)["all"]
    assert (len(coco.samples), sum(len(sample.boxes) for sample in coco.samples)) == (128, 898)


# --- data.yaml


def described(root: Path, text: str) -> dict[str, Dataset]:
    (root / "data.yaml").write_text(text, encoding="utf-8")
    return read_ultralytics(root / "data.yaml")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Roboflow's layout."""
    return put(tmp_path / "set", *(f"{part}/images/{part}.png" for part in ("train", "valid", "test")))


@pytest.mark.parametrize(
    "text",
    [
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['cat', 'dog']\n",
        "names:\n  0: cat\n  1: dog\npath: .\ntrain: train/images\nval: valid\ntest: ./test/images/\n",
        "path: ../set\ntrain: [train/images]\nvalid: valid\\images\ntest: test\nnames: {'0': cat, '1': dog}\n",
        "path: /content/set\ntrain: train\nval: valid\ntest: test\nnames: [cat, dog]\nroboflow: {version: 1}\n",
        "train: lists/a.txt\nval: [lists/b.txt]\ntest: test/images\nnames: [cat, dog]\n",
    ],
)
def test_parts_of_a_data_yaml(exported, text):
    (exported / "lists").mkdir()
    (exported / "lists" / "a.txt").write_text("./../train/images/train.png\n")
    (exported / "lists" / "b.txt").write_text("valid/images/valid.png\n")
    found = described(exported, text)
    assert stems(found) == {part: [part] for part in ("train", "valid", "test")}
    assert found["test"].samples[0].boxes == (Box(1, 0.5, 0.5, 0.2, 0.4),)
    assert {part.names for part in found.values()} == {("cat", "dog")}
    assert said(found, exported) == []


def test_paths_of_another_machine_are_found_by_their_end(exported):
    found = described(exported, "train: D:\\me\\set\\train\\images\nval: ../gone/valid/images\nnames: [cat, dog]\n")
    assert stems(found) == {"train": ["train"], "valid": ["valid"]}
    assert said(found, exported) == [
        "data.yaml: train: D:/me/set/train/images is not there; train/images is taken",
        "data.yaml: val: ../gone/valid/images is not there; valid/images is taken",
    ]


@pytest.mark.parametrize("path", ["", "path: ..\n", "path: {top}\n", "path: ../..\n"])
@pytest.mark.parametrize("train", ["../secret", "{top}/secret", "/secret", "x/../../secret", "..", "list.txt"])
def test_no_path_of_a_data_yaml_leads_out_of_its_folder(exported, tmp_path, monkeypatch, path, train):
    put(tmp_path / "secret", "p.png")
    monkeypatch.chdir(tmp_path)
    lines = ["../secret/p.png", f"{tmp_path}/secret/p.png", "secret/p.png", "valid/images/valid.png"]
    (exported / "list.txt").write_text("\n".join(lines))
    found = described(exported, f"{path}train: {train}\nval: valid/images\nnames: [cat, dog]\n".format(top=tmp_path))
    pictures = [sample.picture for one in found.values() for sample in one.samples]
    assert exported / "valid" / "images" / "valid.png" in pictures
    assert all(picture.resolve().is_relative_to(exported) for picture in pictures)
    if train == "list.txt":
        assert sum("no such picture" in line for line in said(found, exported)) == 3
    elif train != "..":
        what = "no such folder or list, and its path is not followed elsewhere; left out"
        assert any(what in line for line in said(found, exported))


def test_images_is_where_the_paths_of_a_data_yaml_start(exported, tmp_path):
    path = tmp_path / "far" / "data.yaml"
    path.parent.mkdir()
    path.write_text("path: coco\ntrain: train/images\nval: valid/images\nnames: [cat, dog]\n")
    assert stems(read_ultralytics(path, images=exported, names=("x", "y"))) == {"train": ["train"], "valid": ["valid"]}


def test_training_pictures_do_not_validate(exported):
    found = described(exported, "train: train/images\nval: train/images\nnames: [cat, dog]\n")
    assert stems(found) == {"all": ["train"]}
    assert said(found, exported) == ["data.yaml: val: has the pictures of train:, and counts for nothing"]


def test_everything_wrong_with_a_data_yaml_is_said(exported):
    (exported / "train" / "labels" / "train.txt").unlink()
    (exported / "test" / "images" / "test.png").unlink()
    found = described(
        exported, "train: train/images\nval: valid/images\ntest: [no, test]\nnc: 3\nnames: [no, dog, dog]"
    )
    assert found["train"].names == ("False", "dog", "dog 2")
    assert found["train"].samples[0].boxes == ()
    assert said(found, exported) == [
        "data.yaml: class 0 is False to YAML; put quotes around yes, no, on, off",
        "data.yaml: class 2 is called dog like another; called 'dog 2'",
        "data.yaml: test: False: no such folder or list; left out",
        "data.yaml: test: test holds no pictures",
        "train/images/train.png: no label file: nothing is on it, as Ultralytics reads it",
    ]


def test_values_that_hold_each_other_are_refused(exported):
    """A small text can stand for a huge value by aliases."""
    lists = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]\n" for n in range(30))
    with pytest.raises(DarkshareError, match="it has an alias"):
        described(exported, f"{lists}train: train/images\nval: [*a29]\nnames: [cat, dog]\n")


@pytest.mark.parametrize("shape", ["[2, 3]", "[3, 2]"])
def test_keypoints_are_left_out_and_said(exported, shape):
    (exported / "train" / "labels" / "train.txt").write_text("1 0.5 0.5 0.2 0.4 0.45 0.4 2 0.55 0.6 1\n")
    found = described(exported, f"train: train/images\nkpt_shape: {shape}\nnames: [cat, dog]\n")
    assert found["all"].samples[0].boxes == (Box(1, 0.5, 0.5, 0.2, 0.4),)
    assert said(found, exported) == ["data.yaml: kpt_shape: the keypoints are left out, the boxes count"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no train: and names:, so it is not a data.yaml"),
        ("train: [\n", "is not YAML"),
        ("train: train/images\n", "has no names:"),
        ("train: train/images\nnames: {1: cat, 2: dog}\n", "has no names: that are a list, or have the ids 0, 1, …"),
        ("train: train/images\nnames: [[cat]]\n", "has no names:"),
        (
            "train: none\nnames: [cat]\n",
            "names no pictures that are there, .*--images; .*train: none: no such folder or list",
        ),
        ("names: [cat]\n", "names no pictures that are there, looked in"),
    ],
)
def test_a_data_yaml_that_gives_nothing_is_one_error(exported, text, message):
    with pytest.raises(DarkshareError, match=message):
        described(exported, text)


@pytest.mark.parametrize(("name", "encoding"), [("红帽", "GBK"), ("grün", "Latin-1"), ("кот", "Windows-1251")])
def test_the_encoding_of_a_data_yaml_that_is_not_utf8_is_named(exported, name, encoding):
    path = exported / "data.yaml"
    path.write_bytes(f"names: [{name}]\ntrain: train/images\n".encode(encoding))
    with pytest.raises(DarkshareError, match=f"is not in UTF-8, but probably in {encoding}; save it as UTF-8"):
        read_parts(path)


def test_a_folder_with_several_data_yaml_or_none_is_one_error(exported):
    for name in ("one.yaml", "two.yml"):
        (exported / name).write_text("train: train\nnames: [cat]\n")
    (exported / "hyp.yaml").write_text("lr0: 0.01\n")
    with pytest.raises(DarkshareError, match=r"holds one\.yaml and two\.yml; give the file itself"):
        read_parts(exported)
    with pytest.raises(DarkshareError, match=r"holds no data\.yaml; give the file itself"):
        read_ultralytics(exported / "train")
    with pytest.raises(DarkshareError, match=r"none\.yaml: cannot be read"):
        read_parts(exported / "none.yaml", format="ultralytics")


def test_without_names_the_classes_are_called_by_their_numbers(exported):
    found = described(exported, "train: train/images\nval: valid/images\nnc: 3\n")
    assert found["train"].names == ("0", "1", "2")
    assert said(found, exported) == ["data.yaml: no names: (--names); classes are called by numbers"]


def test_names_of_a_file_count_more_and_none_are_an_error(exported, tmp_path):
    (exported / "data.yaml").write_text("train: train/images\nval: valid/images\nnames: [no, dog]\n")
    names = tmp_path / "my.names"
    names.write_text("cat\n\ndog\n")
    found = read_parts(exported, names=names)
    assert found["train"].names == ("cat", "class 1", "dog")
    assert [finding.path for finding in found["train"].findings] == [names]
    names.write_text("")
    with pytest.raises(DarkshareError, match=r"my\.names: holds no class names"):
        read_parts(exported, names=names)


def test_a_data_yaml_without_label_files_is_one_error(exported):
    for path in exported.rglob("*.txt"):
        path.unlink()
    with pytest.raises(
        DarkshareError, match=r"none of its pictures has a label file beside it \(.*train\.txt\) or in labels"
    ):
        described(exported, "train: train/images\nval: valid/images\nnames: [cat, dog]\n")


def test_without_pyyaml_the_error_says_what_to_install(exported, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "yaml":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(Unsupported, match=r"data\.yaml: YAML needs PyYAML: pip install 'darkshare\[yaml\]', or name"):
        described(exported, "names: [cat]\n")
