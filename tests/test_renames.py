"""Sets of files and folders under faults: a kill before every rename, link and removal, and calls that fail."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import count
from pathlib import Path

import pytest
from labelled import write_picture

from darkshare._files import keeping_inputs, read_small, require_unread, write_all
from darkshare._files import renames as _renames
from darkshare._files.renames import temporary, tend, undo_killed
from darkshare._files.scratch import scratch
from darkshare.errors import DarkshareError, DarkshareWarning

STEPS = ("os.rename", "os.link", "os.remove", "os.rmdir")


def is_killed_at(number, act) -> bool:
    """Whether a process that does this was killed before the step of this number; it ends well where it has fewer."""
    child = os.fork()
    if not child:
        steps = count(1)

        def hook(event, _):
            if event in STEPS and next(steps) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            act()
            os._exit(0)
        finally:  # what fails in the child must not go on as a second test run
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def next_run(folder) -> None:
    """Do what the first writing of another process does."""
    _renames._tended.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DarkshareWarning)
        tend(folder)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("before", [{}, {"a": b"old a", "b": b"old b"}, {"b": b"old b"}])
@pytest.mark.parametrize("links", [True, False])
def test_a_kill_at_any_step_leaves_all_old_or_all_new_files(tmp_path, before, links, monkeypatch):
    if links:
        monkeypatch.setattr(_renames, "_LARGE", 1)  # what a file took is freed in a thread
    else:
        monkeypatch.setattr(os, "link", refuse)
    new = {"a": b"new a", "b": b"new b", "c": b"new c"}
    found = []
    for number in count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, data in before.items():
            (folder / name).write_bytes(data)
        killed = is_killed_at(number, lambda: write_all({folder / name: [data] for name, data in new.items()}))  # noqa: B023
        next_run(folder)
        found.append(contents(folder))
        assert found[-1] in (before, new), number
        if not killed:
            break
    assert found[-1] == new
    assert found.count(before) >= 3


def refuse(*_, **__):
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_failing_rename_brings_all_old_files_back(tmp_path, monkeypatch, failing, links):
    (tmp_path / "a").write_bytes(b"old a")
    (tmp_path / "c").write_bytes(b"old c")
    calls, rename = count(1), Path.replace

    def replace(self, target):
        if next(calls) == failing:
            raise OSError(errno.EIO, "Input/output error", str(self), None, str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(DarkshareError, match=rf"/{'abc'[failing - 1]}: cannot be written: Input/output error"):
        write_all({tmp_path / name: [b"new"] for name in "abc"})
    assert contents(tmp_path) == {"a": b"old a", "c": b"old c"}


def test_of_two_runs_at_once_one_set_stays(tmp_path):
    """The first one waits between its two renames, and lets the second one wait until it is through."""
    reader, writer = os.pipe()
    first = os.fork()
    if not first:
        seen = count(1)

        def hook(event, _):
            if event == "os.rename" and next(seen) == 2:
                os.write(writer, b".")
                time.sleep(0.3)

        sys.addaudithook(hook)
        try:
            write_all({tmp_path / name: [b"first"] for name in "ab"})
        finally:
            os._exit(0)
    assert os.read(reader, 1) == b"."
    write_all({tmp_path / name: [b"second"] for name in "ab"})
    os.waitpid(first, 0)
    assert contents(tmp_path) == {"a": b"second", "b": b"second"}


def test_scratch_of_killed_runs_is_removed_and_its_errors_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    child = os.fork()
    if not child:
        with scratch() as folder:
            (folder / "x").write_bytes(b"x")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = tmp_path.iterdir()
    _renames._tended.clear()
    with pytest.raises(DarkshareError, match="x: cannot be written: No such file or directory"), scratch() as folder:
        (folder / "none" / "x").write_bytes(b"x" * (list(tmp_path.iterdir()) == [folder] != [left]))
    assert not list(tmp_path.iterdir())


def two(folder):
    return {folder / "a": [b"new a"], folder / "b": [b"new b"]}


def half_done(folder) -> None:
    for number in count(1):
        for name in "ab":
            (folder / name).write_bytes(f"old {name}".encode())
        assert is_killed_at(number, lambda: write_all(two(folder)))
        if (folder / "a").read_bytes() == b"new a":
            assert (folder / "b").read_bytes() == b"old b"
            return
        next_run(folder)


def test_what_a_kill_left_is_undone_with_a_note(tmp_path):
    half_done(tmp_path)
    with pytest.warns(DarkshareWarning, match="a run was killed while it wrote a; what was there before is back"):
        undo_killed(tmp_path)
    assert (tmp_path / "a").read_bytes() == b"old a"


def test_a_folder_is_looked_through_again_only_where_it_has_changed(tmp_path, monkeypatch):
    looks, listed = [], os.listdir

    def counted(folder):
        looks.append(folder)
        return listed(folder)

    monkeypatch.setattr(os, "listdir", counted)
    os.utime(tmp_path, (1, 1))
    for _ in range(200):
        undo_killed(tmp_path)
    assert looks == [tmp_path]
    (tmp_path / "a").write_bytes(b"new")  # just now, so that the next change may have the same time
    undo_killed(tmp_path)
    undo_killed(tmp_path)
    assert looks == [tmp_path] * 3
    temporary(tmp_path / "a").write_bytes(b"")
    os.utime(tmp_path, (2, 2))
    undo_killed(tmp_path)
    undo_killed(tmp_path)  # this process goes on, and may be killed without a change of the folder
    assert looks == [tmp_path] * 5


def test_what_somebody_wrote_after_the_kill_stays(tmp_path):
    half_done(tmp_path)
    (tmp_path / "a").rename(tmp_path / "keeps the inode")
    (tmp_path / "a").write_bytes(b"mine")
    next_run(tmp_path)
    assert contents(tmp_path) == {"a": b"mine", "b": b"old b", "keeps the inode": b"new a"}


def test_files_of_living_processes_and_of_other_machines_stay_until_they_are_old(tmp_path):
    living = temporary(tmp_path / "a")
    other = living.with_name(f".darkshare-00000000-{os.getpid()}-1-1")
    reused = living.with_name(f".darkshare-{_renames._here()}-{os.getpid()}-1-1")  # another began with this number
    for path in (living, other, reused):
        path.write_bytes(b"x")
    next_run(tmp_path)
    assert set(tmp_path.iterdir()) == {living, other}
    os.utime(other, (0, time.time() - _renames.AGE - 9))
    next_run(tmp_path)
    assert set(tmp_path.iterdir()) == {living}


@pytest.mark.parametrize("name", ["../victim", "/victim", "..", ""])
@pytest.mark.parametrize("text", [None, "{", "[[1]]", "[" * 100_000])
def test_a_record_from_a_stranger_touches_nothing_else(tmp_path, name, text):
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    victim.write_bytes(b"x")
    folder.mkdir()
    base = f".darkshare-{_renames._here()}-{os.getpid()}-1-1"
    entry = [name, base, victim.stat().st_ino, False]
    (folder / f"{base}.set").write_text(json.dumps([entry]) if text is None else text)
    next_run(folder)
    assert victim.read_bytes() == b"x"
    assert not list(folder.iterdir())


# --- files that were read


def test_no_name_of_a_file_that_was_read_is_replaced(tmp_path):
    read = tmp_path / "a"
    read.write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "hard").hardlink_to(read)
    (tmp_path / "other").write_bytes(b"x")
    with keeping_inputs():
        read_small(tmp_path / "link")
        for name in ("a", "link", "hard"):
            with pytest.raises(DarkshareError, match=f"{name}: is one of the inputs and would be replaced"):
                write_all({tmp_path / "new": [b"y"], tmp_path / name: [b"y"]})
        write_all({tmp_path / "other": [b"y"]})
        read_small(tmp_path / "other")
        write_all({tmp_path / "other": [b"z"]})  # our own
        write_all({tmp_path / "a": [b"y"]}, own=True)
    assert not (tmp_path / "new").exists()


def test_outside_of_a_run_a_program_may_replace_what_it_read(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    read_small(tmp_path / "a")
    with pytest.raises(DarkshareError, match="is one of the inputs"):
        require_unread([tmp_path / "a"], ["", tmp_path / "a"])
    write_all({tmp_path / "a": [b"y"]})
    with keeping_inputs():
        read_small(tmp_path / "a")
    write_all({tmp_path / "a": [b"z"]})


# --- a system that gives nothing


def darkshare(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, limit=None):
    return subprocess.run(
        [sys.executable, "-m", "darkshare", *map(str, words)],
        stdout=stdout,
        stderr=stderr,
        preexec_fn=limit and (lambda: resource.setrlimit(*limit)),
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["info", "{cfg}"]])
def test_a_full_standard_output_is_one_line(tiny, words):
    words = [word.format(cfg=tiny) for word in words]
    with open("/dev/full", "w") as full:
        found = darkshare(*words, stdout=full)
        assert (found.returncode, found.stderr) == (1, "Error: output: No space left on device\n")
        assert darkshare(*words, stdout=full, stderr=full).returncode == 1
        assert darkshare("info", "missing.cfg", stderr=full).returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "limit",
    [(resource.RLIMIT_NOFILE, (8, 8)), (resource.RLIMIT_NOFILE, (5, 5)), (resource.RLIMIT_FSIZE, (16, 16))],
    ids=["8 files", "5 files", "16 bytes"],
)
@pytest.mark.parametrize("words", [["concat", "{cfg}", "{cfg}", "--k", "1", "-o", "{out}"], ["info", "{cfg}"]])
def test_small_limits_give_a_result_or_one_line(tiny, tmp_path, limit, words):
    out = tmp_path / "out"
    out.mkdir()
    found = darkshare(*(word.format(cfg=tiny, out=out / "b") for word in words), limit=limit)
    errors = [line for line in found.stderr.splitlines() if line.startswith("Error: ")]
    assert (found.returncode, len(errors)) in ((0, 0), (1, 1)), found.stderr
    assert "Traceback" not in found.stderr
    assert len(list(out.iterdir())) in ((5,) if not found.returncode and words[0] == "concat" else (0,))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["detect {cfg} {picture} -o {out}", "export {cfg} -o {out}.onnx", "demo"])
def test_a_full_folder_for_temporary_files_is_one_line(tiny, tmp_path, monkeypatch, command):
    full, work = tmp_path / "full", tmp_path / "work"
    full.mkdir()
    work.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", full], capture_output=True, check=False
    ).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        (full / "all").write_bytes(bytes(4096))
        picture = write_picture(tmp_path / "a.png")
        monkeypatch.setenv("TMPDIR", str(full))
        monkeypatch.chdir(work)
        found = darkshare(*command.format(cfg=tiny, picture=picture, out=work / "out").split())
        errors = [line for line in found.stderr.splitlines() if line.startswith("Error: ")]
        assert (found.returncode, len(errors)) in ((0, 0), (1, 1)), found.stderr
        assert "Traceback" not in found.stderr
        assert [path.name for path in full.iterdir()] == ["all"]
    finally:
        subprocess.run(["umount", full], check=True)
