"""Cameras and streams: several at once, some that break off and some that come back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import conftest
import numpy as np
import pytest
from classifiers import classifier
from conftest import ROOT
from streams import PATIENCE, SIZE, Cameras, endless, first, number_of, numbered

from darkshare import classify, detect, watch
from darkshare._images import encoded
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning
from darkshare.inference.media import Video, videos
from darkshare.inference.media.videos import VideoFile

run = partial(conftest.run, "detect")
NOTHING = ("--thresh", 1)


class Blind:
    """Finds nothing in each picture."""

    def detect_batch(self, images):
        return [[] for _ in images]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(happened) -> None:
    """Wait until something is so; fail if it never is."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


def frames_of(path: Path) -> int:
    return sum(1 for _ in Video("v", str(path)).frames())


# One that breaks off


def test_a_stream_that_breaks_off_is_an_error_and_leaves_whole_files(model, tmp_path):
    with Cameras(cam=first(12)).running() as address:
        result = run(model, address("cam"), "-o", tmp_path, *NOTHING, code=1)
    found = lines(tmp_path / "cam.jsonl")
    told = (
        r"Error: (\S+): gave no more pictures after (\d+) frames and \d+\.\d s, at \d\d:\d\d:\d\d; --reconnect 60 waits"
    )
    where, count = re.search(told, result.stderr).groups()
    assert where.startswith("http://127.0.0.1:")
    assert 10 <= found[-1]["frame_id"] == int(count) <= 12  # FFmpeg may keep the last for itself
    assert f"{len(found)} of {len(found) + 1} frames" in result.stderr
    assert frames_of(tmp_path / "cam.avi")


def test_a_stream_that_is_limited_ends_well(model, tmp_path):
    with Cameras(cam=endless).running() as address:
        result = run(model, address("cam"), "-o", tmp_path, "--limit", 5, "--reconnect", 9, *NOTHING, code=0)
    assert "Error" not in result.stderr
    assert "Note" not in result.stderr
    assert lines(tmp_path / "cam.jsonl")[-1]["frame_id"] == 5


def twice(cameras: Cameras, connection: int):
    """A camera that breaks off, is not there for two connections, and comes back."""
    return None if connection in (2, 3) else first(8)(cameras, connection)


def test_a_stream_that_comes_back_goes_on(monkeypatch):
    monkeypatch.setattr(videos, "_FIRST_PAUSE", 0.01)
    cameras = Cameras(cam=twice)
    with cameras.running() as address, pytest.warns(DarkshareWarning) as notes:
        frames = list(Video("cam", address("cam")).frames(limit=10, reconnect=PATIENCE))
    assert cameras.connections["cam"] == 4
    assert [frame.number for frame in frames] == list(range(1, 11))
    before = [number_of(frame.image) for frame in frames].index(1, 1)
    assert before >= 6
    assert [number_of(frame.image) for frame in frames] == [*range(1, before + 1), *range(1, 11 - before)]
    assert [frame.seconds for frame in frames] == sorted(frame.seconds for frame in frames)
    lost, back = (str(note.message) for note in notes)
    assert re.fullmatch(
        rf"cam: gave no more pictures after {before} frames and .* s, at .*; waiting up to 60 s .*", lost
    )
    assert re.fullmatch(r"cam: is back after \d+ s", back)


def test_what_comes_back_is_written_to_the_same_files(model, tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "_FIRST_PAUSE", 0.01)
    with Cameras(cam=twice).running() as address:
        result = run(model, address("cam"), "-o", tmp_path, "--limit", 10, "--reconnect", PATIENCE, *NOTHING, code=0)
    assert result.stderr.count("Note: ") == 2
    assert sorted(path.name for path in tmp_path.glob("cam*")) == ["cam.avi", "cam.jsonl"]
    found = lines(tmp_path / "cam.jsonl")
    assert [line["frame_id"] for line in found][-1] == 10
    assert [line["seconds"] for line in found] == sorted(line["seconds"] for line in found)


def test_a_stream_that_does_not_come_back_is_an_error(monkeypatch):
    monkeypatch.setattr(videos, "_FIRST_PAUSE", 0.01)
    cameras = Cameras(cam=lambda cameras, number: first(8)(cameras, number) if number == 1 else None)
    with (
        cameras.running() as address,
        pytest.warns(DarkshareWarning, match=r"waiting up to 0\.1 s"),
        pytest.raises(
            DarkshareError, match=r"cam: gave no more pictures after \d frames .*, and is not back after 0\.1 s"
        ),
    ):
        list(Video("cam", address("cam")).frames(reconnect=0.1))
    assert cameras.connections["cam"] > 1


def test_closing_ends_the_waiting(monkeypatch):
    monkeypatch.setattr(videos, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(videos, "_LONGEST_PAUSE", 0.01)
    cameras = Cameras(cam=lambda cameras, number: first(8)(cameras, number) if number == 1 else None)

    def begin_and_end(address) -> None:
        frames = watch(Blind(), address("cam"), reconnect=float("inf"))
        next(frames)
        until(lambda: cameras.connections["cam"] > 2)
        frames.close()

    with cameras.running() as address, pytest.warns(DarkshareWarning, match="waiting up to inf s"):
        begin_and_end(address)
    assert not [thread for thread in threading.enumerate() if thread.name == "darkshare"]


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_time_below_zero_is_refused(seconds):
    with pytest.raises(BadValue, match="reconnect must be at least 0, not"):
        watch(Blind(), "x.png", reconnect=seconds)


def test_a_camera_that_is_silent_counts_as_lost(monkeypatch):
    """A read that waits in vain takes long; what is live does not get thirty of them, and a file does."""
    reads: list[int] = []

    class Silent:
        def read(self):
            reads.append(len(reads))
            return len(reads) < 3, numbered(1) if len(reads) < 3 else None

        def get(self, what):
            return 0.0

        def release(self):
            pass

    monkeypatch.setattr(Video, "_open", lambda self: Silent())
    monkeypatch.setattr(videos, "monotonic", lambda: 6.0 * len(reads))
    with pytest.raises(DarkshareError, match=r"gave no more pictures after 2 frames and 12\.0 s"):
        list(Video("camera-0", 0).frames())
    assert len(reads) == 4
    reads.clear()
    list(Video("v.avi", "v.avi").frames())
    assert len(reads) == 32


# Several


def paused(other: str):
    """A camera that goes on when another one has been opened; it would break off if that never came."""

    def pictures(cameras: Cameras, connection: int) -> Iterator[np.ndarray]:
        yield from first(5)(cameras, connection)
        if cameras.opened[other].wait(PATIENCE):
            yield from endless(cameras)

    return pictures


def test_live_sources_are_read_at_once_and_files_keep_their_order(model, tmp_path):
    for name in ("p.png", "q.png"):
        (tmp_path / name).write_bytes(encoded(numbered(3), ".png"))
    file = VideoFile(tmp_path / "v.avi", SIZE, 10)
    for number in range(1, 7):
        file.add(numbered(number), number)
    file.close()
    out = tmp_path / "out"
    with Cameras(a=paused("b"), b=paused("a")).running() as address:
        sources = [tmp_path / "p.png", address("a"), tmp_path / "v.avi", address("b"), tmp_path / "q.png"]
        result = run(model, *sources, "-o", out, "--limit", 20, "--save", "json,video", *NOTHING, code=0)
    for name in ("a", "b"):
        found = [line["frame_id"] for line in lines(out / f"{name}.jsonl")]
        assert found == sorted(set(found))
        assert found[-1] == 20
        assert f"{name}.mjpg" in lines(out / f"{name}.jsonl")[0]["filename"]
        assert frames_of(out / f"{name}.avi")
    assert [line["frame_id"] for line in lines(out / "v.jsonl")] == list(range(1, 7))
    pictures = [Path(frame["filename"]).name for frame in json.loads((out / "result.json").read_text())]
    assert pictures == ["p.png", "q.png"]
    assert result.stderr.count(".avi") == result.stderr.count(".jsonl") == 3


def test_names_on_standard_input_are_read_at_once_too(model, tmp_path):
    with Cameras(a=paused("b"), b=endless).running() as address:
        names = f"{address('a')}\n{address('b')}\n{address('a')}\n"
        run(model, "-", "-o", tmp_path, "--limit", 9, *NOTHING, input=names.encode(), code=0)
    assert sorted(path.name for path in tmp_path.glob("*.avi")) == ["a.avi", "b.avi"]
    assert lines(tmp_path / "a.jsonl")[-1]["frame_id"] == lines(tmp_path / "b.jsonl")[-1]["frame_id"] == 9


def test_one_that_breaks_off_does_not_stop_the_others(model, tmp_path):
    def later(cameras: Cameras, connection: int) -> Iterator[np.ndarray]:
        yield from first(5)(cameras, connection)
        cameras.closed["a"].wait(PATIENCE)
        yield from endless(cameras)

    with Cameras(a=first(8), b=later).running() as address:
        result = run(model, address("a"), address("b"), "-o", tmp_path, "--limit", 30, *NOTHING, code=1)
    assert result.stderr.count("Error: ") == 1
    assert re.search(r"Error: \S+/a\.mjpg\S+ gave no more pictures after \d frames", result.stderr)
    assert lines(tmp_path / "b.jsonl")[-1]["frame_id"] == 30


def test_classify_reads_them_at_once_too():
    with (
        Cameras(a=paused("b"), b=first(8)).running() as address,
        pytest.warns(DarkshareWarning, match=r"b\.mjpg\?user=me: gave no more pictures after \d frames"),
    ):
        found = classify(classifier(), [address("a"), address("b")], limit=20, top=1)
    assert {row["picture"] for row in found.rows()} == {address("a"), address("b")}
    assert found.failed == 1
    assert max(row["frame"] for row in found.rows()) == 20


def test_what_breaks_off_is_finished_while_others_go_on(model, tmp_path):
    """An .mp4 is of use only when it is finished."""
    played: list[int] = []
    end = time.monotonic() + PATIENCE

    def later(cameras: Cameras, connection: int) -> Iterator[np.ndarray]:
        for image in endless(cameras):
            if cameras.closed["a"].is_set() and not played and (tmp_path / "a.mp4").exists():
                with suppress(DarkshareError):  # not yet
                    played.append(frames_of(tmp_path / "a.mp4"))
            if played or time.monotonic() > end:
                return
            yield image

    with Cameras(a=first(8), b=later).running() as address, pytest.warns(DarkshareWarning):
        detect(model, [address("a"), address("b")], output=tmp_path, container=".mp4", thresh=1)
    assert played


INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore Ctrl-C
from darkshare.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_ctrl_c_ends_all_of_them_and_says_what_was_written(model, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Cameras(a=endless, b=endless).running() as address:
        words = ["detect", str(model), address("a"), address("b"), "-o", str(tmp_path / "out"), "--thresh", "1"]
        command = [sys.executable, "-c", INTERRUPTIBLE, *words]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as started:
            until(lambda: all(len(lines(tmp_path / "out" / f"{name}.jsonl")) > 5 for name in "ab"))
            started.send_signal(signal.SIGINT)
            _, stderr = started.communicate()
    assert started.returncode == 130
    assert "Error" not in stderr
    for name in ("a.avi", "a.jsonl", "b.avi", "b.jsonl"):
        assert str(tmp_path / "out" / name) in stderr
    done = sum(len(lines(tmp_path / "out" / f"{name}.jsonl")) for name in "ab")
    assert f"{done} of {done} frames" in stderr
    assert frames_of(tmp_path / "out" / "a.avi")
