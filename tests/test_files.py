from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import fingerprint_by_hand

from darkshare._files import (
    CHUNK,
    _write_fully,
    keeping_inputs,
    read_small,
    reading,
    require_regular,
    write_all,
    writing,
)
from darkshare._files.opened import HASHED, HEADER, Fingerprint, fingerprint, is_file_of, sha256
from darkshare.errors import DarkshareError


def test_all_files_are_written_with_all_their_buffers(tmp_path):
    floats = np.array([1.5, -2.0], "<f4")
    write_all({tmp_path / "a": [b"head", floats], tmp_path / "deep" / "b": [b""]})
    assert (tmp_path / "a").read_bytes() == b"head\x00\x00\xc0\x3f\x00\x00\x00\xc0"
    assert (tmp_path / "deep" / "b").read_bytes() == b""


def test_new_files_get_the_usual_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        write_all({tmp_path / "a": [b"x"]})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_short_writes_are_continued(tmp_path):
    class Slow:
        def __init__(self):
            self.got = b""

        def write(self, data):
            self.got += bytes(data[:3])
            return min(3, len(data))

    slow = Slow()
    _write_fully(slow, b"abcdefgh")
    assert slow.got == b"abcdefgh"


@pytest.fixture
def old(tmp_path: Path) -> dict[str, bytes]:
    for name in ("a.cfg", "a.weights"):
        (tmp_path / name).write_bytes(b"old " + name.encode())
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_full_disk_leaves_the_old_files_and_nothing_else(tmp_path, old, monkeypatch):
    def write(file, buffer):
        if buffer == b"second":
            raise OSError(errno.ENOSPC, "No space left on device")
        file.write(buffer)

    monkeypatch.setattr("darkshare._files._write_fully", write)
    with pytest.raises(DarkshareError, match=r"a\.weights: cannot be written: No space left on device"):
        write_all({tmp_path / "a.cfg": [b"new"], tmp_path / "a.weights": [b"first", b"second"]})
    assert contents(tmp_path) == old


def test_an_error_in_the_data_leaves_the_old_files_and_nothing_else(tmp_path, old):
    def broken():
        yield b"first"
        raise DarkshareError("the map went away")

    with pytest.raises(DarkshareError, match="the map went away"):
        write_all({tmp_path / "a.cfg": [b"new"], tmp_path / "a.weights": broken()})
    assert contents(tmp_path) == old


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_every_sync_is_asked_for_its_error(tmp_path, old, monkeypatch, failing):
    """The disk says once that it could not write; whoever asks next hears that all is well."""
    calls = []

    def fsync(handle):
        calls.append(handle)
        if len(calls) == failing:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("darkshare._files.SYNC", 4)
    monkeypatch.setattr("darkshare._files.SYNCERS", 1)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DarkshareError, match=r"a\.weights: cannot be written: Input/output error"):
        write_all({tmp_path / "a.weights": slowly([b"1234", b"5678", b"9"], calls)})
    assert contents(tmp_path) == old


def slowly(buffers, calls):
    """One after another, each when what the last one led to is done."""
    for number, buffer in enumerate(buffers):
        while len(calls) < number:
            time.sleep(0.001)
        time.sleep(0.02)
        yield buffer


def test_a_file_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    happened: list[int] = []
    rename = Path.replace

    def replace(self, to):
        happened.append(self.stat().st_ino)
        return rename(self, to)

    monkeypatch.setattr(os, "fsync", lambda handle: happened.append(os.fstat(handle).st_ino))
    monkeypatch.setattr(Path, "replace", replace)
    write_all({tmp_path / "a": [b"1"], tmp_path / "b": [b"2"]})
    both = {(tmp_path / name).stat().st_ino for name in "ab"}
    assert set(happened[:2]) == both == set(happened[4:6])  # between them, the record of what is renamed
    assert happened[3::3] == [tmp_path.stat().st_ino] * 2  # the names of the record and of the files
    happened.clear()
    write_all({tmp_path / "a": [b"1"]}, durable=False)
    assert len(happened) == 1


def test_a_failing_rename_names_the_file_and_cleans_up(tmp_path, old, monkeypatch):
    def refuse(self, target):
        raise PermissionError(errno.EACCES, "Permission denied", str(self), None, str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(DarkshareError, match=r"/a\.cfg: cannot be written: Permission denied"):
        write_all({tmp_path / "a.cfg": [b"new"], tmp_path / "a.weights": [b"new"]})
    assert contents(tmp_path) == old


def test_a_folder_in_the_way_is_refused_before_anything_is_replaced(tmp_path, old):
    (tmp_path / "a.names").mkdir()
    with pytest.raises(DarkshareError, match=r"a\.names: cannot be written: Is a directory"):
        write_all({tmp_path / "a.cfg": [b"new"], tmp_path / "a.names": [b"new"]})
    assert contents(tmp_path) == old


def test_a_file_in_place_of_the_folder_is_named(tmp_path, old):
    with pytest.raises(DarkshareError, match=r"a\.cfg/b\.cfg: cannot be written"):
        write_all({tmp_path / "a.cfg" / "b.cfg": [b"new"]})


def test_only_a_regular_file_has_a_size(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    os.mkfifo(tmp_path / "pipe")
    assert require_regular(tmp_path / "a") == 3
    with pytest.raises(OSError, match="not a regular file"):
        require_regular(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        require_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        require_regular(tmp_path / "none")


def test_the_fingerprint_is_sha256_s_over_several_chunks(tmp_path):
    data = bytes(range(256)) * (CHUNK // 256) + b"and more"
    (tmp_path / "a").write_bytes(data)
    assert sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    (tmp_path / "empty").write_bytes(b"")
    # The digest of nothing, from FIPS 180-4's published examples.
    assert sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", [0, 1, HEADER, HASHED, HASHED + HEADER, HASHED + HEADER + 1, 3 * HASHED])
@pytest.mark.parametrize("step", [7 * HASHED // 20, HASHED, 2 * HASHED])
def test_a_fingerprint_does_not_depend_on_how_the_bytes_come(tmp_path, size, step):
    path, found = tmp_path / "a", Fingerprint()
    path.write_bytes(data := np.random.default_rng(size).bytes(size))
    for start in range(0, size, step):
        found.update(np.frombuffer(data[start : start + step], "u1"))
    assert found.text() == fingerprint(path) == fingerprint_by_hand(path)
    assert is_file_of(path, found.text())
    assert is_file_of(path, f"sha256:{hashlib.sha256(data).hexdigest()}")
    path.write_bytes(data + b"\0")
    assert not is_file_of(path, found.text())


@pytest.mark.parametrize("size", [1, HASHED, 2 * HASHED + HEADER, 4 * HASHED])
@pytest.mark.parametrize("cut", [0, 1, HASHED])
def test_a_fingerprint_is_taken_from_that_of_a_like_file(tmp_path, size, cut):
    """The other one has another beginning and another end."""
    path, other = tmp_path / "a", Fingerprint()
    path.write_bytes(data := np.random.default_rng(size).bytes(size))
    other.update(b"!" + data[1 : size - cut] + bytes(HASHED))
    assert fingerprint(path, other, size - cut) == fingerprint_by_hand(path)


def test_a_small_text_is_read_and_all_else_is_one_error(tmp_path):
    (tmp_path / "a.names").write_bytes(b"car\n")
    assert read_small(tmp_path / "a.names") == b"car\n"
    with pytest.raises(DarkshareError, match=r"none\.names: cannot be read: No such file or directory"):
        read_small(tmp_path / "none.names")
    with pytest.raises(DarkshareError, match=r"a\.names: has 4 bytes, more than any such file"):
        read_small(tmp_path / "a.names", largest=3)


def test_what_the_system_says_of_a_file_names_the_file(tmp_path):
    with (
        pytest.raises(DarkshareError, match=r"none: cannot be written: No such file or directory"),
        writing(tmp_path / "none"),
    ):
        (tmp_path / "deep" / "none").write_bytes(b"")
    with writing(tmp_path / "a"):
        (tmp_path / "a").write_bytes(b"")


@pytest.mark.parametrize(("there", "says"), [("x.data.txt", ", but x.data.txt is there: rename it"), ("y", "")])
def test_a_suffix_that_windows_hides_is_said(tmp_path, monkeypatch, there, says):
    """As in AlexeyAB/darknet issue 5217: the file is shown as x.data, and is x.data.txt."""
    monkeypatch.chdir(tmp_path)
    Path(there).write_text("classes=1\n")
    with pytest.raises(DarkshareError) as caught, reading("x.data"):
        Path("x.data").read_bytes()
    assert str(caught.value) == f"x.data: cannot be read: No such file or directory{says}"


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("yolo3.cfg", "; is 'yolov3.cfg' or 'yolov4.cfg' meant?"),
        ("yolo3.weights", "; is 'yolov3.weights' meant?"),
        ("in/maskss.data", "; is 'in/masks.data' meant?"),
        ("masks.data", ""),  # it lies elsewhere
        ("other.cfg", ""),
        ("yolo3.jpg", ""),
    ],
)
def test_a_file_that_is_not_there_is_looked_for_beside_it(tmp_path, monkeypatch, asked, near):
    (tmp_path / "in").mkdir()
    for name in ("yolov3.cfg", "yolov3.weights", "yolov4.cfg", "yolov3.jpg", "in/masks.data"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DarkshareError) as caught, reading(asked):
        Path(asked).read_bytes()
    assert str(caught.value) == f"{asked}: cannot be read: No such file or directory{near}"


def test_a_path_with_a_nul_is_not_a_regular_file():
    with pytest.raises(OSError, match="not the name of a file"):
        require_regular("a\0b")


def test_a_link_is_replaced_itself(tmp_path):
    """The file that it leads to stays."""
    kept, link = tmp_path / "kept", tmp_path / "link"
    kept.write_bytes(b"old")
    link.symlink_to(kept)
    write_all({link: [b"new"]})
    assert (kept.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"old", b"new", False)


def test_a_file_that_changed_since_the_command_began_to_read_it_is_refused(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"before")
    with keeping_inputs():
        require_regular(path)
        before = sha256(path)
        path.write_bytes(b"behind it")
        with pytest.raises(DarkshareError, match="was changed while it was read"):
            sha256(path)
    assert before == hashlib.sha256(b"before").hexdigest()
    assert sha256(path) == hashlib.sha256(b"behind it").hexdigest()
