"""The time of videos: of their frames, and of what is written."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import network_of, tiny_text
from streams import SIZE, number_of, numbered, variable_video

from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.errors import DarkshareError, DarkshareWarning
from darkshare.inference.media import OutputFiles, Video, videos
from darkshare.inference.media.sources import item_of
from darkshare.inference.media.timing import Clock, fitting_rate, place
from darkshare.inference.media.videos import VideoFile

MODEL = Model(network_of(tiny_text()), None, (Task("a", ("cat", "dog"), (6,), ()),))


def written(
    source: Path | str, folder: Path, container: str = ".avi", **how: int
) -> tuple[list[float], list[int], float]:
    """Write a video from another's frames; (their times there, the numbers written, the rate)."""
    files = OutputFiles(folder, MODEL, ("video",), container)
    frames = list(item_of(str(source)).frames(**how))
    for frame in frames:
        files.write(replace(frame, drawn=frame.image), "v")
    (path,) = files.close()
    rate = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)
    return [frame.seconds for frame in frames], numbers(path), rate


def numbers(path: Path) -> list[int]:
    """The numbers that the frames of a video tell."""
    played = cv2.VideoCapture(str(path))
    return [number_of(image) for _, image in iter(played.read, (False, None))]


VARIABLE = {
    "slows down": [1] * 25 + [10] * 25,
    "speeds up": [10] * 25 + [1] * 25,
    "film and video": [30 / 24] * 24 + [0.5] * 24,
    "odd": [30 / 7.3] * 20 + [30 / 11.1] * 20,
    "a pause": [1] * 20 + [300] + [1] * 20,
    "a lost frame": [1] * 20 + [2] + [1] * 20,
    "a camera that trembles": [1 + 0.4 * np.sin(1.7 * n) for n in range(45)],
    "two frames": [1, 15],
}


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("container", [".avi", ".mkv"])
@pytest.mark.parametrize("gaps", VARIABLE.values(), ids=VARIABLE)
def test_a_written_video_keeps_the_time_of_a_variable_one(tmp_path, gaps, container, step):
    """At each frame's time the video written shows that frame: it appears less than a twelfth of a second off it."""
    wanted = variable_video(tmp_path / "v.mp4", gaps)[::step]
    seconds, shown, rate = written(tmp_path / "v.mp4", tmp_path / "out", container, step=step)
    assert seconds == pytest.approx(wanted, abs=0.001)
    assert list(dict.fromkeys(shown)) == sorted(set(shown)) == list(range(0, len(gaps), step))
    assert [shown.index(number) / rate for number in dict.fromkeys(shown)] == pytest.approx(wanted, abs=1 / 12)
    assert rate <= 62  # no more than the source's fastest part needs


def test_limit_ends_what_the_rate_is_found_from(tmp_path):
    variable_video(tmp_path / "v.mp4", [10] * 25 + [1] * 25)
    _, shown, rate = written(tmp_path / "v.mp4", tmp_path / "out", limit=8)
    assert (rate, len(shown)) == (10, 24)  # 3 frames per second, at the least rate that is written


@pytest.mark.parametrize("rate", [7.5, 12.5, 24, 30000 / 1001, 30, 60, 120])
@pytest.mark.parametrize("container", [".avi", ".mkv", ".mp4"])
@pytest.mark.parametrize("step", [1, 4])
def test_a_video_of_constant_rate_is_written_frame_by_frame(tmp_path, rate, container, step):
    file = VideoFile(tmp_path / f"v{container}", SIZE, rate)
    for number in range(40):
        file.add(numbered(number), number + 1)
    file.close()
    _, shown, found = written(file.path, tmp_path / "out", step=step)
    assert shown == list(range(0, 40, step))
    assert found == pytest.approx(rate / step, rel=1e-3)


def rate_of(gaps: list[float], rate: float) -> float:
    return fitting_rate(accumulate(gaps, initial=0.0), rate)


@pytest.mark.parametrize(
    ("gaps", "said", "found"),
    [
        ([0.04] * 99, 25, 25),
        ([0.033, 0.034, 0.033] * 99, 30, 30),  # as Matroska rounds
        ([0.04] * 99, 30, 30),  # few frames stand twice
        ([0.04] * 99, 1000, 25),  # a time base, not a rate
        ([0.3] * 99 + [0.02] * 99, 5.9, 50),
        ([0.3] * 99 + [0.001] * 99, 6, 240),
        ([0.5] * 9 + [5.0] + [0.5] * 9, 1.5, 10),
        ([0.0] * 99, 25, 25),  # no times at all
        ([], 25, 25),
    ],
)
def test_the_rate_at_which_each_frame_has_a_place(gaps, said, found):
    assert rate_of(gaps, said) == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([0.0, 0.1, 0.2], [0.0, 0.1, 0.2]),
        ([5.0, 5.1, 5.2], [5.0, 5.1, 5.2]),  # the first is not 0
        ([0.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.5, 0.75]),  # none
        ([float("nan"), -1.0, float("inf")], [0.0, 0.25, 0.5]),
        ([0.0, 0.0, 0.5, 0.0, 1.0], [0.0, 0.25, 0.5, 0.75, 1.0]),  # some
        ([0.0, 0.5, 0.4, 0.9], [0.0, 0.5, 0.5, 0.9]),  # a little back
        ([0.1, 5.0, 0.1, 0.2], [0.1, 5.0, 5.25, 5.35]),  # two recordings, one behind the other
    ],
)
def test_times_that_are_missing_or_begin_anew(said, told):
    clock = Clock(4)
    assert [clock.tell(one) for one in said] == pytest.approx(told)


def test_places_are_those_of_times():
    assert [place(n / 29.97, 29.97) for n in range(1000)] == list(range(1, 1001))


def test_a_frame_that_comes_late_is_left_out_and_one_that_comes_early_waits(tmp_path):
    file = VideoFile(tmp_path / "v.avi", SIZE, 10)
    for number, at in ((10, 3), *((20 + n, 3) for n in range(9)), (200, 10)):
        file.add(numbered(number), at)
    file.close()
    assert numbers(tmp_path / "v.avi") == [10, 10, 10, 20, 21, 22, 23, 23, 23, 200]


def test_a_gap_without_end_is_shortened_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "_LONGEST_GAP", 2.0)
    file = VideoFile(tmp_path / "v.avi", SIZE, 10)
    file.add(numbered(50), 1)
    with pytest.warns(DarkshareWarning, match=r"v\.avi: 100 s without a frame are shortened to 2 s"):
        file.add(numbered(100), 1001)
    file.add(numbered(150), 1003)
    file.close()
    assert numbers(tmp_path / "v.avi") == [50] * 21 + [100, 100, 150]


class Camera:
    """Stands in for the cv2.VideoCapture of a camera, whose frames come at times of their own."""

    def __init__(self, times: list[float]) -> None:
        self.times, self.now, self.taken = times, 0.0, 0

    def read(self):
        if self.taken == len(self.times):
            return False, None
        self.now, self.taken = self.times[self.taken], self.taken + 1
        return True, numbered(self.taken)

    def grab(self) -> bool:
        return self.read()[0]

    def get(self, what: int) -> float:
        return 25.0 if what == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        pass


@pytest.mark.parametrize("step", [1, 2])
def test_frames_of_a_camera_have_the_time_at_which_they_came(tmp_path, monkeypatch, step):
    """It says 25 frames a second, but gives ten, then one, then a hundred."""
    times = [0.1 * n for n in range(10)] + [1.0, 2.0, 3.0] + [3.0 + 0.01 * n for n in range(1, 21)]
    camera = Camera(times)
    monkeypatch.setattr(Video, "_open", lambda self: camera)
    monkeypatch.setattr(videos, "monotonic", lambda: camera.now)
    wanted = times[::step]
    seconds, shown, rate = written("0", tmp_path, step=step, limit=len(wanted))
    assert seconds == pytest.approx(wanted)
    assert rate == 25 / step
    calm = [number for number in dict.fromkeys(shown) if times[number - 1] <= 3]
    assert calm == list(range(1, 14, step))
    assert [shown.index(number) / rate for number in calm] == pytest.approx(wanted[: len(calm)], abs=0.51 / rate)
    assert len(shown) / rate == pytest.approx(times[-1], abs=6 / rate)  # the last ones come too fast for all to stay


class Recording:
    """Stands in for the cv2.VideoCapture of a file: its header tells a length, its frames tell their times."""

    def __init__(self, times: list[float], said: int, rate: float, first: float) -> None:
        self.times, self.said, self.rate, self.first, self.at = times, said, rate, first, -1

    def read(self):
        self.at += 1
        return (True, numbered(0)) if self.at < len(self.times) else (False, None)

    def get(self, what: int) -> float:
        now = self.times[min(self.at, len(self.times) - 1)]
        told = {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_FRAME_COUNT: self.said, cv2.CAP_PROP_POS_MSEC: 1000 * now}
        return told[what] if what in told else (now + self.first) * self.rate

    def release(self) -> None:
        pass


@pytest.mark.parametrize(
    ("times", "said", "rate", "first", "whole"),
    [
        ([n / 30 for n in range(270)], 270, 30, 0.0, True),
        ([n / 30 for n in range(270)], 420, 30, 0.0, False),
        ([n / 30 for n in range(270)], 420, 30, 5.0, True),  # the first frame at 5 s, the last one at 14 s
        ([n / 30 for n in range(200)], 420, 30, 5.0, False),
        ([2.0 * n for n in range(5)], 5, 0.5, 0.0, True),
        ([0.0], 1, 0.5, 0.0, True),
        ([0.0, 1 / 30, 2 / 30, 2.0, 4.0], 180, 30, 0.0, True),  # the header's count is its length of 6 s times its rate
        ([0.0, 1 / 30, 2 / 30, 2.0, 4.0], 300, 30, 0.0, False),
    ],
)
def test_a_whole_file_is_told_from_one_that_is_cut_off(monkeypatch, times, said, rate, first, whole):
    monkeypatch.setattr(Video, "_open", lambda self: Recording(times, said, rate, first))
    frames = Video("v.mkv", "v.mkv").frames()
    if whole:
        assert len(list(frames)) == len(times)
    else:
        with pytest.raises(DarkshareError, match=f"ends after {len(times)} of {said} frames; it is cut off or broken"):
            list(frames)
