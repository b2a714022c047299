"""Lists of pictures from other programs and other machines: one reader, and one way to find what a line names."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import growth

from darkshare import DarkshareWarning
from darkshare.data import read_class_list, read_data, read_list
from darkshare.data.lists import Finder
from darkshare.errors import DarkshareError
from darkshare.inference.media.sources import select

NAMES = ["cat", "dog"]


def write_picture(path: str | Path, seed: int = 0, label: bool = True) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8))
    if label:
        path.with_suffix(".txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures below images/, and a list beside it, read from another folder."""
    for index, name in enumerate(("a.png", "b c.png", "sub/a.png")):
        write_picture(tmp_path / "set" / "images" / name, index)
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    return tmp_path / "set"


def listed(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def found_by_both(path: Path) -> list[str]:
    """The names of the pictures that `train` reads from a list; those that `detect` reads are the same."""
    train = [str(sample.picture) for sample in read_list(path, NAMES).samples]
    items = [item.name for item in select(str(path)).known]
    assert [os.path.realpath(name) for name in items] == [os.path.realpath(name) for name in train]
    return [os.path.relpath(name, path.parent) for name in train]


@pytest.mark.filterwarnings("ignore::darkshare.errors.DarkshareWarning")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "line", ["images/a.png", "images\\a.png", "  images/a.png\t", '"images\\a.png"', "'images/a.png'"]
)
def test_what_wrote_a_list_does_not_matter(here, encoding, end, line):
    text = end.join([line, "images/b c.png", ""])
    assert found_by_both(listed(here / "l.txt", text.encode(encoding))) == ["images/a.png", "images/b c.png"]


def test_quotes_and_backslashes_of_a_name_come_before_their_meanings(here):
    write_picture(here / "images\\a.png")
    write_picture(here / "q.png").rename(here / "'q.png'")
    assert found_by_both(listed(here / "l.txt", "images\\a.png\n")) == ["images\\a.png"]
    assert Finder([here])("'q.png'").name == "'q.png'"


@pytest.mark.parametrize(
    "line",
    [
        "D:\\work\\set\\images\\sub\\a.png",
        "/elsewhere/other/set/images/sub/a.png",
        "\\\\server\\share\\images\\sub\\a.png",
        "data/obj/images/sub/a.png",
        "../../images/sub/a.png",
        '"C:/x/images/sub/a.png"',
        "/images/sub/a.png",
    ],
)
def test_a_list_of_another_machine_is_read_by_the_longest_end_of_its_paths(here, line):
    write_picture(here / "sub" / "a.png")  # a shorter end of the same path
    path = listed(here / "l.txt", f"{line}\n")
    with pytest.warns(DarkshareWarning, match=r"l\.txt: 1 of 1 files were found by the end of their path") as caught:
        assert found_by_both(path) == ["images/sub/a.png"]
    (finding,) = read_list(path, NAMES).findings
    assert f"such as {line} as {here}/images/sub/a.png" in finding.text
    assert len(caught) == 1


def test_it_is_said_once_for_all(here):
    lines = [f"E:\\x\\images\\{name}" for name in ("a.png", "b c.png", "sub\\a.png")] + ["images/a.png", "E:\\none.png"]
    found = read_list(listed(here / "l.txt", "\n".join(lines)), NAMES)
    assert [sample.picture.name for sample in found.samples] == ["a.png", "b c.png", "a.png", "a.png"]
    said = [finding.text for finding in found.findings]
    assert ["3 of 5 files were found by the end" in one for one in said] == [False, False, True]
    assert "the same picture as in line 1" in said[0]
    assert "no such picture" in said[1]


def test_two_files_with_the_same_end_are_an_error_that_names_both(here):
    write_picture("images/a.png", 7)
    path = listed(here / "l.txt", "images/b c.png\nD:\\set\\images\\a.png\n")
    with pytest.raises(
        DarkshareError, match=r"l\.txt:2: .*there is no such file, and both images/a\.png and .*set/images/a\.png"
    ):
        read_list(path, NAMES)
    (frame,) = select(str(path)).frames()
    assert "both images/a.png and" in str(frame.error)


def test_one_file_by_two_ways_is_not_two(here, monkeypatch):
    monkeypatch.chdir(here)
    assert found_by_both(listed(here / "images" / "l.txt", "images/a.png\n")) == ["a.png"]
    Path("link").symlink_to("images")
    with pytest.warns(DarkshareWarning, match="by the end"):
        assert found_by_both(listed(here / "link" / "l.txt", "D:\\link\\a.png\n")) == ["a.png"]


def test_two_lines_that_end_alike_are_not_one_picture(here):
    path = listed(here / "l.txt", "D:\\one\\images\\a.png\nD:\\two\\images\\a.png\n")
    with pytest.raises(
        DarkshareError, match=r"l\.txt:2: .*images/a\.png, which ends like it, is D:/one/images/a\.png already"
    ):
        read_list(path, NAMES)


def test_a_name_alone_is_enough_only_where_the_whole_list_moved(here):
    """A picture that was deleted is not replaced by another one of its name in another folder."""
    home = here / "images"
    with pytest.warns(DarkshareWarning, match="by the end"):
        assert found_by_both(listed(home / "l.txt", "/content/obj/a.png\n/content/obj/b c.png\n")) == [
            "a.png",
            "b c.png",
        ]
    mixed = read_list(listed(home / "l.txt", "b c.png\ndeleted/a.png\n"), NAMES)
    assert [sample.picture.name for sample in mixed.samples] == ["b c.png"]
    assert "deleted/a.png: no such picture" in mixed.findings[0].text
    write_picture("a.png")  # the current folder is not the list's
    path = listed(here / "l.txt", "/content/a.png\n")
    with pytest.raises(DarkshareError, match="no picture that it lists is there"):
        read_list(path, NAMES)


@pytest.mark.parametrize(
    "name", ["loop/a.png", "a\0b.png", "x" * 5000, "images/" + "y" * 300, "images/a.png/b.png", "~", "."]
)
def test_names_that_no_file_can_have_are_lines_without_a_picture(here, name):
    (here / "loop").symlink_to("loop")
    if "\0" not in name:  # which no list can hold
        found = read_list(listed(here / "l.txt", f"images/a.png\n{name}\n"), NAMES)
        assert ([len(found.samples)], "no such picture" in found.findings[0].text) == ([1], True)
        frames = list(select(str(here / "l.txt")).frames())
        assert [frame.error is None for frame in frames] == [True, False]
    assert Finder([here], str(here))(name) is None


def piped(data: bytes) -> list[str]:
    return [item.name for item in select(["-"], io.BytesIO(data)).later]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_names_on_standard_input_are_read_as_those_of_a_list(here, monkeypatch, encoding, end):
    monkeypatch.chdir(here)
    text = end.join(["images\\a.png", '"images/b c.png" ', "", "images/sub/a.png", "rtsp://camera/1"])
    names = ["images/a.png", "images/b c.png", "images/sub/a.png", "rtsp://camera/1"]
    assert piped(text.encode(encoding)) == names
    assert piped((text + end).encode(encoding)) == names


def test_names_of_another_machine_on_standard_input(here, monkeypatch):
    monkeypatch.chdir(here)
    with pytest.warns(
        DarkshareWarning, match=r"stdin: files are found by the end .* D:\\x\\images\\a\.png as images/a\.png"
    ) as caught:
        names = piped(b"D:\\x\\images\\a.png\nD:\\x\\images\\b c.png\nD:\\y\\images\\a.png\nD:\\a.png\n")
    assert names == ["images/a.png", "images/b c.png", "D:\\y\\images\\a.png", "D:\\a.png"]
    assert len(caught) == 1


def test_bytes_that_are_not_utf_8_are_names_on_standard_input(here, monkeypatch):
    monkeypatch.chdir(here)
    assert piped(b"caf\xe9.png\n") == [os.fsdecode(b"caf\xe9.png")]


def test_a_data_file_of_another_machine(here):
    """Its own keys name files that moved with it; the difficult list too, of which only the labels need be there."""
    listed(here / "train.txt", "/content/drive/set/images/a.png\n")
    listed(here / "valid.txt", "/content/drive/set/images/b c.png\n")
    listed(here / "hard.txt", "/content/drive/hard/b c.png\n")
    (here / "hard").mkdir()
    (here / "hard" / "b c.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    (here / "x.names").write_text("cat\ndog\n")
    drive = "/content/drive/set"
    lists = "".join(
        f"{key}={drive}/{name}.txt\n" for key, name in (("train",) * 2, ("valid",) * 2, ("difficult", "hard"))
    )
    data = listed(here / "x.data", f"classes=2\n{lists}names=C:\\set\\x.names\n")
    train, valid = read_data(data), read_data(data, "valid")
    assert (train.names, len(train.samples)) == (("cat", "dog"), 1)
    assert [box.difficult for box in valid.samples[0].boxes] == [False, True]
    assert [finding.text.partition(":")[0] for finding in valid.findings][:3] == [
        "names=C",
        f"valid={drive}/valid.txt",
        f"difficult={drive}/hard.txt",
    ]
    assert sum("found by the end of their path" in finding.text for finding in valid.findings) == 2


def test_a_difficult_list_in_which_a_name_means_two_files(here):
    for folder in (here, Path()):
        (folder / "hard").mkdir()
        (folder / "hard" / "a.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    listed(here / "valid.txt", "images/a.png\n")
    listed(here / "hard.txt", "D:\\hard\\a.png\n")
    (here / "x.names").write_text("cat\ndog\n")
    data = listed(here / "x.data", "classes=2\nvalid=valid.txt\ndifficult=hard.txt\nnames=x.names\n")
    with pytest.raises(DarkshareError, match=r"hard\.txt:1: .*both hard/a\.png and .*set/hard/a\.png end like it"):
        read_data(data, "valid")


def test_a_classifiers_label_is_looked_for_in_what_was_found(here):
    """The beginning of the other machine's path says nothing: it holds both labels here."""
    write_picture(here / "cat" / "1.png")
    listed(here / "l.txt", "D:\\cat-and-dog\\cat\\1.png\n")
    (here / "labels.txt").write_text("cat\ndog\n")
    data = listed(here / "c.data", "classes=2\nlabels=labels.txt\ntrain=l.txt\n")
    assert [sample.class_id for sample in read_class_list(data).samples] == [0]


def test_time_grows_no_faster_than_a_moved_list(here):
    def prepared(count: int) -> Callable[[], object]:
        lines = [f"D:\\a\\b\\c\\none{index}\\images\\{index}.png" for index in range(count)]
        return lambda: list(map(Finder(["", here], str(here)), lines))

    assert growth(prepared, 500) < 8
