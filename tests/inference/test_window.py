"""`detect --show`: a stand-in for OpenCV's windows, and real ones where there is a virtual screen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial

import conftest
import cv2
import numpy as np
import pytest
from conftest import ROOT
from streams import Cameras, endless, first, numbered

from darkshare import detect
from darkshare._images import encoded
from darkshare.errors import BadArguments, DarkshareWarning
from darkshare.inference.media import window
from darkshare.inference.media.frames import Clip, Frame
from darkshare.inference.media.videos import VideoFile

run = partial(conftest.run, "detect", code=0)
NONE = -1  # no key


class Screen:
    """Windows that note what they show.

    Args:
        key: that the user presses all the time, once so many frames were shown; before it is `before`.
        behind: how many these are.
        closes_at: at which frame the windows are closed.
    """

    def __init__(self, key: int = NONE, behind: int = 0, before: int = NONE, closes_at: float = float("inf")) -> None:
        self.key, self.behind, self.before, self.closes_at = key, behind, before, closes_at
        self.shown: list[tuple[str, np.ndarray]] = []
        self.titles: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.closed = False

    def put_into(self, monkeypatch) -> Screen:
        for name, stand_in in {
            "namedWindow": lambda name, flags: None,
            "resizeWindow": lambda name, width, height: self.sizes.append((width, height)),
            "imshow": lambda name, image: self.shown.append((name, image)),
            "setWindowTitle": lambda name, title: self.titles.append(title),
            "waitKey": lambda milliseconds: self.key if len(self.shown) >= self.behind else self.before,
            "getWindowProperty": lambda name, what: float(len(self.shown) < self.closes_at),
            "destroyAllWindows": lambda: setattr(self, "closed", True),
        }.items():
            monkeypatch.setattr(cv2, name, stand_in)
        monkeypatch.setattr(window, "_require_display", lambda: None)
        return self


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    paths = [folder / f"{name}.png" for name in "abc"]
    for number, path in enumerate(paths):
        path.write_bytes(encoded(numbered(number), ".png"))
    return paths


@pytest.fixture
def clip(tmp_path):
    file = VideoFile(tmp_path / "clip.avi", (64, 48), 500)
    for number in range(1, 7):
        file.add(numbered(number), number)
    file.close()
    return file.path


def test_what_is_shown_is_what_is_written(model, photos, tmp_path, monkeypatch):
    screen = Screen(ord("x")).put_into(monkeypatch)
    found = detect(model, list(map(str, photos)), output=tmp_path / "out", show=True, legend=True)
    assert found.done == len(screen.shown) == 3
    assert screen.titles == list(map(str, photos))
    assert screen.closed
    for path, (_, image) in zip(photos, screen.shown, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / path.name)), image)


@pytest.mark.parametrize("key", [ord("q"), ord("Q"), 27, 0x100000 + ord("q")])
def test_a_key_ends_it_and_what_was_written_is_kept(key, model, photos, tmp_path, monkeypatch):
    screen = Screen(key, 2, before=32).put_into(monkeypatch)
    result = run(model, *photos, "-o", tmp_path / "out", "--show")
    assert len(screen.shown) == 2
    assert "2 of 2 pictures" in result.stderr
    assert [entry["filename"] for entry in json.loads((tmp_path / "out" / "result.json").read_text())] == [
        str(path) for path in photos[:2]
    ]


def test_closing_the_window_ends_it(model, clip, tmp_path, monkeypatch):
    screen = Screen(closes_at=4).put_into(monkeypatch)
    result = run(model, clip, "-o", tmp_path / "out", "--show", "--thresh", 1)
    assert "4 of 4 frames" in result.stderr
    assert len(screen.shown) == len((tmp_path / "out" / "clip.jsonl").read_text().splitlines()) == 4


def test_of_a_file_all_frames_are_shown_also_where_none_is_drawn_for_a_file(model, clip, tmp_path, monkeypatch):
    screen = Screen().put_into(monkeypatch)
    detect(model, str(clip), output=tmp_path / "out", save="csv", show=True, thresh=1)
    assert screen.titles == [f"{clip} {number}" for number in range(1, 7)]
    assert {name for name, _ in screen.shown} == {window.NAME}
    assert screen.sizes == [(64, 48)]


def test_frames_of_a_file_come_no_faster_than_they_are(monkeypatch):
    """A clock that only waiting moves."""
    now, seen = [100.0], []
    Screen().put_into(monkeypatch)
    monkeypatch.setattr(window, "monotonic", lambda: now[0])

    def wait(milliseconds: int) -> int:
        now[0] += milliseconds / 1000
        return NONE

    monkeypatch.setattr(cv2, "waitKey", wait)
    monkeypatch.setattr(cv2, "imshow", lambda name, image: seen.append(now[0]))
    shows, clip, image = window.LiveView(), Clip(2.0, live=False, step=1), numbered(1)
    for number in range(1, 4):
        shows.show(Frame("v.avi", image, number=number, seconds=number * 0.5, clip=clip, drawn=image))
    assert np.diff(seen) == pytest.approx([0.0, 0.5], abs=0.03)
    assert now[0] == pytest.approx(101.0, abs=0.03)


@pytest.mark.parametrize(
    ("size", "window_size"),
    [((3840, 2160), (1280, 720)), ((400, 1440), (200, 720)), ((9, 5), (9, 5))],
)
def test_a_window_fits_on_the_screen(size, window_size, monkeypatch):
    screen = Screen(32).put_into(monkeypatch)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    window.LiveView().show(Frame("a.png", image, drawn=image))
    assert screen.sizes == [window_size]


def test_a_camera_has_a_window_of_its_own(model, tmp_path, monkeypatch):
    screen = Screen(ord("q"), 3).put_into(monkeypatch)
    with Cameras(cam=endless).running() as address:
        run(model, address("cam"), "-o", tmp_path / "out", "--show", "--thresh", 1)
        assert {name for name, _ in screen.shown} == {address("cam")}
    assert screen.closed


def test_what_came_too_fast_is_counted(model, tmp_path):
    with Cameras(cam=first(40)).running() as address, pytest.warns(DarkshareWarning, match="gave no more"):
        found = detect(model, address("cam"), output=tmp_path / "out", thresh=1.0)
    last = json.loads((tmp_path / "out" / "cam.jsonl").read_text().splitlines()[-1])["frame_id"]
    assert found.dropped == found.as_dict()["dropped"] == last - found.done
    assert (f", {found.dropped} dropped since they came too fast; wrote" in found.summary()) is (found.dropped > 0)


@pytest.mark.parametrize(
    ("opens", "wanted"),
    [
        ("raise error('not implemented')", "pip uninstall opencv-python-headless"),
        ("import os; os.write(2, b'qt.qpa: no display\\n'); os.abort()", "run it on a machine's own screen"),
        ("import os; os.write(2, b'qt.qpa: no display\\n'); os.abort()", "(qt.qpa: no display)"),
    ],
)
def test_without_a_window_one_error_says_what_to_do(opens, wanted, model, photos, tmp_path, monkeypatch):
    """In the process that tries it, OpenCV raises where it has no windows, and Qt aborts where there is no display."""
    (tmp_path / "cv2.py").write_text(f"error = OSError\ndef namedWindow(*_): {opens}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = run(model, *photos, "-o", tmp_path / "out", "--show", code=1)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: --show: ")
    assert wanted in line
    assert not (tmp_path / "out").exists()


def test_chunks_show_nothing(model, photos, tmp_path):
    with pytest.raises(BadArguments, match="--show: of chunks"):
        detect(model, str(photos[0]), output=tmp_path / "out", chunk=1, show=True)


@pytest.mark.skipif(not shutil.which("Xvfb"), reason="there is no Xvfb here, the X server without a screen")
def test_windows_open_on_a_virtual_screen(model, clip, tmp_path):
    read, write = os.pipe()
    with subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24"], pass_fds=[write]) as server:
        try:
            display = f":{os.read(read, 16).decode().strip()}"
            done = subprocess.run(
                [sys.executable, "-m", "darkshare", "detect", model, clip, "-o", tmp_path / "out", "--show"],
                env={**os.environ, "DISPLAY": display}, cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
        finally:
            server.terminate()
            os.close(read)
            os.close(write)
    assert done.returncode == 0, done.stderr
    assert "6 of 6 frames" in done.stderr
    assert "QFontDatabase" not in done.stderr
