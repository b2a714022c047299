"""Sources, the pipeline, and what is written: pictures and videos that the tests draw."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64decode
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from conftest import network_of, tiny_text
from PIL import Image
from streams import Cameras, first, number_of

from darkshare._images import encoded, read_picture
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.errors import BadValue, DarkshareError
from darkshare.inference.boxes import Detections
from darkshare.inference.media import Frame, OutputFiles, OutputNames, Video, flow, reading, select, videos, watch
from darkshare.inference.media.sinks import _Entries
from darkshare.inference.media.sources import PictureFile, item_of
from darkshare.inference.media.videos import CONTAINERS, VideoFile
from darkshare.inference.threads import Readers

ROOT = Path(__file__).parents[2]
SIZE = (64, 48)
MODEL = Model(network_of(tiny_text()), None, (Task("a", ("cat", "dog"), (6,), ()), Task("b", ("cup",), (12,), ())))


def shade(number: int) -> np.ndarray:
    """A picture that tells which one it is, even after JPEG."""
    return np.full((SIZE[1], SIZE[0], 3), number, np.uint8)


def picture(path: Path, number: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(shade(number), path.suffix))
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def video(path: Path, frames: int = 10, rate: float = 10.0, first: int = 0) -> Path:
    """Frame n has the shade 20 n."""
    file = VideoFile(path, SIZE, rate)
    for number in range(1, frames + 1):
        file.add(shade(first + 20 * number % 256), number)
    file.close()
    return path


class Finder:
    """Finds one box per task in each picture, whose left edge is the picture's shade."""

    def __init__(self, error: int = -100) -> None:
        self.error = error
        self.sizes: list[int] = []
        self.threads: set[int] = set()

    def detect_batch(self, images):
        self.sizes.append(len(images))
        self.threads.add(threading.get_ident())
        if any(abs(int(image[0, 0, 0]) - self.error) < 5 for image in images):
            raise DarkshareError("the engine refuses")
        return [[one_box(image, task) for task in MODEL.tasks] for image in images]


def one_box(image, task) -> Detections:
    corners = np.array([[image[0, 0, 0] / 10, -5, 40, 30]], np.float32)
    return Detections(corners, np.array([0.75], np.float32), np.array([len(task.names) - 1]), task.names, task.name)


def nothing(task) -> Detections:
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int), task.names, task.name)


def names_of(names, **how) -> list[str]:
    return [item.name for item in select(map(str, names), **how).known]


# Sources


def test_a_folder_gives_its_pictures_and_videos_by_name(tmp_path):
    for name in ("b.jpg", "a.PNG", "c.avi", "notes.md", "labels.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "deeper.jpg").mkdir()
    assert names_of([tmp_path]) == [str(tmp_path / name) for name in ("a.PNG", "b.jpg", "c.avi")]


def test_patterns_match_deeply_but_a_file_of_that_name_wins(tmp_path):
    deep, odd = picture(tmp_path / "x" / "y" / "1.png"), picture(tmp_path / "a[1].png")
    (tmp_path / "x" / "1.txt").write_text("")
    assert names_of([tmp_path / "x" / "**" / "*"]) == [str(deep)]
    assert names_of([odd]) == [str(odd)]


def test_a_list_is_read_as_darknet_writes_it(tmp_path, monkeypatch):
    """Names from here first, then from the list's folder; blank lines and a byte order mark do not matter."""
    monkeypatch.chdir(tmp_path)
    picture(Path("here.png"))
    picture(tmp_path / "sets" / "beside.png")
    Path("sets/train.txt").write_bytes("\ufeffhere.png\r\n\n  beside.png \nnowhere.png\n".encode())
    assert names_of(["sets/train.txt"]) == ["here.png", "sets/beside.png", "nowhere.png"]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("0", 0),
        ("12", 12),
        ("rtsp://host/a.jpg", "rtsp://host/a.jpg"),
        ("/dev/video2", "/dev/video2"),
        ("x.MP4", "x.MP4"),
    ],
)
def test_cameras_addresses_and_videos(name, target):
    item: Any = item_of(name)
    assert item.target == target


def test_everything_else_is_a_picture():
    assert item_of("photo.odd") == PictureFile("photo.odd")
    assert names_of(["a.png", "b.png", "a.png"]) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p, "is a folder without a picture or video"),
        (lambda p: p / "*.jpg", "matches no picture or video"),
        (lambda p: p / "none.txt", "cannot be read: No such file"),
        (lambda p: empty(p / "x.png"), "is not a picture that OpenCV can read"),
        (lambda p: empty(p / "x.avi"), "is not a video that OpenCV can read"),
        (lambda p: p / "none.mp4", "cannot be read: No such file"),
        (lambda p: "97", "camera-97: is not a camera or stream"),
        (lambda p: "rtsp://127.0.0.1:9/x", "is not a camera or stream"),
        (lambda p: "x\0y.png", "is not the name of a file"),
        (lambda p: "x" * 5000 + ".png", "File name too long"),
    ],
)
def test_a_source_that_means_nothing_is_an_error_in_its_place(tmp_path, make, message):
    good = picture(tmp_path / "other" / "good.png")
    first, second = select([str(make(tmp_path)), str(good)]).frames()
    assert message in str(first.error)
    assert first.image is None
    assert second.error is None


def test_an_empty_list_is_an_error(tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    (frame,) = select([str(tmp_path / "empty.txt")]).frames()
    assert "is a list without a name" in str(frame.error)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".ppm", ".bmp"])
def test_an_encoded_picture_on_standard_input(suffix):
    data = encoded(shade(99), suffix)
    (frame,) = select(["-"], io.BytesIO(data)).frames()
    assert frame.source == "stdin"
    np.testing.assert_array_equal(frame.image, shade(99))


def test_a_list_on_standard_input_is_read_as_it_comes(tmp_path):
    paths = [picture(tmp_path / f"{n}.png", n) for n in (1, 2, 3)]
    read, write = os.pipe()
    with open(read, "rb") as stdin, open(write, "wb", buffering=0) as pipe:
        pipe.write(f"{paths[0]}\n{paths[1]}\n{str(paths[2])[:-5]}".encode())
        selection = select(["-"], stdin)
        assert selection.length() is None
        frames = selection.frames()
        assert [next(frames).image[0, 0, 0], next(frames).image[0, 0, 0]] == [1, 2]  # before the pipe is closed
        pipe.write(str(paths[2])[-5:].encode())
        pipe.close()
        assert [frame.image[0, 0, 0] for frame in frames] == [3]


def test_empty_standard_input_is_reported():
    (frame,) = select(["-"], io.BytesIO()).frames()
    assert "standard input is empty" in str(frame.error)


# Videos


def shades(frames) -> list[int]:
    return [round(float(frame.image.mean()) / 20) for frame in frames]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_video_comes_back_frame_by_frame(tmp_path, suffix):
    source = Video("v", str(video(tmp_path / f"v{suffix}")))
    frames = list(source.frames())
    assert shades(frames) == list(range(1, 11))
    assert [frame.number for frame in frames] == list(range(1, 11))
    assert [frame.seconds for frame in frames] == pytest.approx([n / 10 for n in range(10)], abs=0.002)
    assert {(frame.clip.rate, frame.clip.live, frame.size) for frame in frames} == {(10.0, False, SIZE)}
    assert source.length() == 10


@pytest.mark.parametrize(
    ("step", "limit", "numbers"), [(3, None, [1, 4, 7, 10]), (1, 2, [1, 2]), (4, 2, [1, 5]), (4, 9, [1, 5, 9])]
)
def test_every_and_limit(tmp_path, step, limit, numbers):
    source = Video("v", str(video(tmp_path / "v.avi")))
    frames = list(source.frames(step, limit))
    assert [frame.number for frame in frames] == shades(frames) == numbers
    assert source.length(step, limit) == len(numbers)


@pytest.mark.parametrize(
    ("matrix", "corners"),
    [
        ((1, 0, 0, 1), "RGKB"),
        ((0, 1, -1, 0), "KRBG"),
        ((-1, 0, 0, -1), "BKGR"),
        ((0, -1, 1, 0), "GBRK"),
    ],
)
def test_a_video_is_turned_as_its_camera_noted(tmp_path, matrix, corners):
    """A phone's .mp4 says so in the header of its track: there the matrix stands, behind 40 bytes."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, 32:] = (0, 0, 250), (0, 250, 0), (250, 0, 0)  # red, green, blue
    file = VideoFile(tmp_path / "v.mp4", SIZE, 10.0)
    for number in range(1, 4):
        file.add(image, number)
    file.close()
    data = bytearray((tmp_path / "v.mp4").read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "v.mp4").write_bytes(data)
    (frame, *_) = item_of(str(tmp_path / "v.mp4")).frames()
    assert frame.size == (SIZE if matrix[0] else SIZE[::-1])
    width, height = frame.size
    places = [(h, w) for h in (height // 4, 3 * height // 4) for w in (width // 4, 3 * width // 4)]
    pixels = [frame.image[place].astype(int) for place in places]
    assert "".join("BGR"[pixel.argmax()] if pixel.max() > 120 else "K" for pixel in pixels) == corners


def pages(path: Path, *numbers: int) -> Path:
    """A TIFF or an animation whose pictures have these shades."""
    form = {"tif": "tiff"}.get(path.suffix[1:], path.suffix[1:])
    first, *others = (Image.fromarray(shade(number)) for number in numbers)
    lossless = {"lossless": True} if form == "webp" else {}
    first.save(path, form, save_all=True, append_images=others, **lossless)
    return path


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png"])
@pytest.mark.parametrize(
    ("step", "limit", "numbers"), [(1, None, [1, 2, 3, 4, 5]), (2, None, [1, 3, 5]), (1, 2, [1, 2]), (2, 2, [1, 3])]
)
def test_every_picture_of_a_file_is_a_frame(tmp_path, suffix, step, limit, numbers):
    path = pages(tmp_path / f"p{suffix}", 20, 40, 60, 80, 100)
    for selection in (select(str(path)), select("-", io.BytesIO(path.read_bytes()))):
        frames = list(selection.frames(step, limit))
        assert shades(frames) == numbers
        assert [(frame.number, frame.paged, frame.clip) for frame in frames] == [(n, True, None) for n in numbers]
    assert select(str(path)).length(step, limit) == len(numbers)


def test_a_single_picture_is_not_numbered(tmp_path):
    for suffix in (".tif", ".webp", ".png", ".jpg"):
        selection = select(str(picture(tmp_path / f"p{suffix}")))
        (frame,) = selection.frames()
        assert (frame.number, frame.is_numbered, selection.length()) == (1, False, 1)


def test_a_page_that_is_broken_is_an_error_behind_the_others(tmp_path):
    path = pages(tmp_path / "p.tif", 20, 40, 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    *good, last = select(str(path)).frames()
    assert shades(good) == [1, 2][: len(good)]
    assert good
    assert str(last.error).startswith(f"{path}: OpenCV can read {len(good)} of its ")


def test_pages_are_numbered_in_all_that_is_written(tmp_path):
    sources = [picture(tmp_path / "a.png"), pages(tmp_path / "p.tif", 40, 80), pages(tmp_path / "p.webp", 20, 60)]
    written(tmp_path / "out", sources, ("picture", "json", "csv", "yolo", "coco"))
    names = ["a", "p-000001", "p-000002", "p-2-000001", "p-2-000002"]
    shown = [f"{name}{suffix}" for name, suffix in zip(names, (".png", *[".tif"] * 2, *[".webp"] * 2), strict=True)]
    others = ["classes.names", "coco.json", "detections.csv", "result.json"]
    assert listing(tmp_path / "out") == sorted([*shown, *(f"{name}.txt" for name in names), *others])
    frames = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [frame.get("page") for frame in frames] == [None, 1, 2, 1, 2]
    assert [frame["frame_id"] for frame in frames] == [1, 2, 3, 4, 5]
    document = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [image["file_name"] for image in document["images"]] == shown
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "detections.csv").read_text())))
    assert [row["frame"] for row in rows] == [str(n) for n in (1, 1, 2, 1, 2) for _ in MODEL.tasks]


def test_a_video_that_is_cut_off_is_reported(tmp_path):
    path = video(tmp_path / "v.avi", 100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    *frames, last = select([str(path)]).frames()
    assert 20 < len(frames) < 80
    assert f"v.avi: ends after {len(frames)} of 100 frames; it is cut off or broken" in str(last.error)


class Capture:
    """Stands in for cv2.VideoCapture: some frames cannot be decoded."""

    def __init__(self, frames: int, broken: set[int]) -> None:
        self.frames, self.broken, self.at, self.released = frames, broken, 0, False

    def read(self):
        self.at += 1
        fine = self.at <= self.frames and self.at not in self.broken
        return fine, shade(self.at) if fine else None

    def grab(self) -> bool:
        return self.read()[0]

    def get(self, what) -> float:
        return {cv2.CAP_PROP_FPS: 10, cv2.CAP_PROP_FRAME_COUNT: self.frames}.get(what, (self.at - 1) * 100)

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize(
    ("step", "good", "bad"), [(1, [1, 4, 5, 7], [2, 3, 6]), (2, [1, 5, 7], [3]), (3, [1, 4, 7], [])]
)
def test_a_broken_frame_is_reported_and_skipped(monkeypatch, step, good, bad):
    capture = Capture(7, {2, 3, 6})
    monkeypatch.setattr(Video, "_open", lambda self: capture)
    frames = list(Video("clip.mp4", "clip.mp4").frames(step))
    assert [frame.number for frame in frames if frame.image is not None] == good
    assert [str(frame.error) for frame in frames if frame.error] == [
        f"clip.mp4: frame {number} cannot be decoded" for number in bad
    ]
    assert capture.released


def test_a_video_without_a_frame_is_reported(monkeypatch):
    monkeypatch.setattr(Video, "_open", lambda self: Capture(0, set()))
    with pytest.raises(DarkshareError, match="has no frame that can be decoded"):
        list(Video("clip.mp4", "clip.mp4").frames())


def test_a_camera_that_stops_is_reported(monkeypatch):
    monkeypatch.setattr(Video, "_open", lambda self: Capture(3, set()))
    monkeypatch.setattr("darkshare.inference.media.videos._counted", lambda capture: 0)
    frames = list(select(["0"]).frames())
    assert [frame.number for frame in frames[:3]] == [1, 2, 3]
    assert all(frame.clip.live for frame in frames[:3])
    told = r"camera-0: gave no more pictures after 3 frames and 0\.\d s, at \d\d:\d\d:\d\d; --reconnect 60 waits for .*"
    assert re.fullmatch(told, str(frames[3].error))


def test_a_stream_is_live():
    with Cameras(cam=first(8)).running() as address:
        *frames, last = select([address("cam")]).frames()
    assert [frame.error for frame in frames] == [None] * len(frames)
    assert f"gave no more pictures after {len(frames)} frames and " in str(last.error)
    assert len(frames) >= 6  # FFmpeg may keep the last for itself
    assert [number_of(frame.image) for frame in frames] == [frame.number for frame in frames]
    assert all(frame.clip.live for frame in frames)


def test_a_video_file_fills_gaps_and_scales_other_sizes(tmp_path):
    file = VideoFile(tmp_path / "v.avi", SIZE, 10)
    file.add(shade(20), 1)
    file.add(cv2.resize(shade(80), (200, 100)), 4)
    file.close()
    assert shades(Video("v", str(tmp_path / "v.avi")).frames()) == [1, 1, 1, 4]


def test_a_video_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "v.avi").mkdir()
    with pytest.raises(DarkshareError, match="cannot be written as a video"):
        VideoFile(tmp_path / "v.avi", SIZE, 10)


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from darkshare.inference.media.videos import VideoFile
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
file = VideoFile(Path(sys.argv[1]), (64, 48), 10)
for number in range(400):
    file.add(np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8), number + 1)
file.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits for files")
def test_a_full_disk_is_an_error(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", FULL, str(tmp_path / "v.avi")]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, check=False)
    assert "of 400 frames; is the disk full?" in done.stderr


def test_a_full_disk_of_temporary_files_leaves_whole_entries(tmp_path, monkeypatch):
    entries = _Entries()
    entries.add({"frame": 1})
    written: list[int] = []
    write = entries._file.write

    def full(data):
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(write(data[:3]))
        return 3

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    entries._file = Mock(wraps=entries._file, write=full)
    with pytest.raises(DarkshareError, match=f"{tmp_path}: cannot be written: No space left on device"):
        entries.add({"frame": 2})
    with entries as pieces:
        assert json.loads(b"".join(pieces)) == [{"frame": 1}]


# The pipeline


def ahead(items, passes=lambda item: False):
    readers: Readers = Readers(2, passes)
    readers.add(items)
    return iter(readers)


def test_closing_stops_all_stages(tmp_path):
    path = video(tmp_path / "v.avi", 100)
    before = threading.active_count()
    frames = watch(Finder(), [str(path)])
    next(frames)
    assert threading.active_count() == before + 3  # decode, infer, draw
    frames.close()
    assert threading.active_count() == before


def test_the_stages_work_side_by_side():
    """Three stages of equal length take little more than one of them, a third of what they take one by one."""

    def slowly(items):
        for item in items:
            time.sleep(0.02)
            yield item

    def lasts(items):
        start = time.perf_counter()
        assert list(items) == list(range(20))
        return time.perf_counter() - start

    together = lasts(ahead(slowly(ahead(slowly(ahead(slowly(range(20))))))))
    assert together < 2 / 3 * lasts(slowly(slowly(slowly(range(20)))))


def test_live_frames_are_dropped_when_nobody_can_take_them():
    asked = []

    def passes(item):
        asked.append(item)
        return item > 0

    stage = ahead(iter(range(50)), passes)
    assert next(stage) == 0  # its time does not pass, so it waited
    for _ in range(10_000):  # in vain only if nothing is dropped
        if 49 in asked:  # the last one, when it has come
            break
        time.sleep(0.001)
    rest = list(stage)
    assert rest == sorted(rest)
    assert rest[-1] == 49
    assert len(rest) <= 3


def test_batches_and_their_thread(tmp_path):
    paths = [str(picture(tmp_path / f"{n}.png", 10 * n)) for n in range(7)]
    finder = Finder()
    frames = list(watch(finder, [*paths[:3], "nope.png", *paths[3:]], batch=3))
    assert finder.sizes == [3, 2, 2]
    assert finder.threads.isdisjoint({threading.get_ident()})
    assert [frame.source for frame in frames] == [*paths[:3], "nope.png", *paths[3:]]
    assert [float(frame.found[0].boxes[0, 0]) for frame in frames if frame.found] == [0, 1, 2, 3, 4, 5, 6]
    assert [[found.task for found in frame.found] for frame in frames] == 3 * [["a", "b"]] + [[]] + 4 * [["a", "b"]]


def test_where_a_batch_fails_its_pictures_are_tried_alone(tmp_path):
    paths = [str(picture(tmp_path / f"{n}.png", 20 * n)) for n in range(4)]
    finder = Finder(error=40)
    frames = list(watch(finder, paths, batch=4))
    assert finder.sizes == [4, 1, 1, 1, 1]
    assert [str(frame.error) for frame in frames if frame.error] == [f"{paths[2]}: the engine refuses"]
    assert [bool(frame.found) for frame in frames] == [True, True, False, True]


def test_pictures_are_prepared_in_the_thread_that_reads_them(tmp_path):
    """Where one cannot be, its whole batch comes as pictures, and the detector says why."""
    paths = [str(picture(tmp_path / f"{n}.png", 10 * n)) for n in range(6)]
    finder, given = Finder(error=40), list[Any]()

    class Preparing(Finder):
        def prepare(self, image):
            self.threads.add(threading.get_ident())
            if image[0, 0, 0] == 40:
                raise DarkshareError("not asked for yet")
            return [image]

        def detect_batch(self, images):
            given.append([isinstance(image, list) for image in images])
            return finder.detect_batch([image[0] if isinstance(image, list) else image for image in images])

    preparing = Preparing()
    frames = list(watch(preparing, [*paths, "nope.png"], batch=2))
    assert preparing.threads.isdisjoint({threading.get_ident(), *finder.threads})
    assert given == [[True, True], [True, True], [False, False], [False], [False]]
    assert [float(frame.found[0].boxes[0, 0]) for frame in frames if frame.found] == [0, 1, 2, 3, 5]
    assert [str(frame.error) for frame in frames[4::2]] == [f"{paths[4]}: the engine refuses", str(frames[6].error)]
    assert all(frame.prepared is None for frame in frames)


def test_an_engine_that_refuses_a_frame_says_which(tmp_path):
    frames = list(watch(Finder(error=60), [str(video(tmp_path / "v.avi"))]))
    assert [str(frame.error) for frame in frames if frame.error] == [
        f"{tmp_path / 'v.avi'}: frame 3: the engine refuses"
    ]


def test_only_what_is_asked_for_is_drawn(tmp_path):
    paths = [str(picture(tmp_path / f"{n}.png", 100)) for n in range(2)]
    frames = flow(Finder(), reading(select(paths)), draws=lambda frame: frame.source == paths[1])
    first, second = frames
    assert first.drawn is None
    assert (second.drawn != second.image).any()


def test_a_frame_as_a_table(tmp_path):
    (frame,) = watch(Finder(), [str(picture(tmp_path / "p.png", 100))])
    table = frame.to_dataframe()
    assert list(table) == [
        *("source", "frame", "seconds", "task", "class_id", "name", "score"),
        *("x1", "y1", "x2", "y2"),
    ]
    assert table["name"].tolist() == ["dog", "cup"]
    assert table["x1"].tolist() == [10, 10]
    assert len(Frame("x").to_dataframe()) == 0


def test_a_frame_is_one_line_and_a_picture_in_a_notebook(tmp_path):
    (frame,) = watch(Finder(), str(picture(tmp_path / "p.png", 100)))
    assert repr(frame) == f"<Frame: {tmp_path / 'p.png'}, {frame.size[0]} x {frame.size[1]}, 2 boxes>"
    html = frame._repr_html_()
    assert html.startswith("<img alt=")
    data = b64decode(html.partition("base64,")[2].partition('"')[0])
    assert cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape[:2] == frame.image.shape[:2]
    (broken,) = watch(Finder(), "nope.png")
    assert repr(broken) == "<Frame: nope.png, nope.png: cannot be read: No such file or directory>"
    assert broken._repr_html_().startswith("<p>Frame: nope.png")


def test_a_list_from_windows_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "im").mkdir()
    picture(tmp_path / "im" / "a.png")
    Path("l.txt").write_bytes(b"im\\a.png\r\n")
    assert [item.name for item in select("l.txt").known] == ["im/a.png"]
    Path("wide.txt").write_bytes("im/a.png\r\n".encode("utf-16"))
    assert [item.name for item in select("wide.txt").known] == ["im/a.png"]


def test_a_name_that_no_file_can_have_is_an_error_in_its_place(tmp_path):
    OutputNames(tmp_path).admit("a\0b")
    (frame,) = watch(Finder(), ["a\0b"])
    assert "is not the name of a file" in str(frame.error)


@pytest.mark.parametrize("name", ["batch", "every", "limit"])
def test_counts_below_one_are_refused_at_once(name):
    with pytest.raises(BadValue, match=f"{name} must be at least 1, not 0"):
        watch(Finder(), ["x.png"], **{name: 0})


# What is written


def written(folder: Path, sources, save=(), **how) -> list[str]:
    """Lead sources through to files; the names of those that the user is to know of."""
    output, places = OutputFiles(folder, MODEL, save, **how), OutputNames(folder)
    with closing(flow(Finder(), reading(select(map(str, sources))), draws=output.draws)) as frames:
        for frame in frames:
            output.write(frame, places.stem(frame))
    return [path.name for path in output.close()]


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_pictures_and_videos_have_their_own_forms(tmp_path):
    out = tmp_path / "out"
    listed = written(out, [picture(tmp_path / "p.png"), video(tmp_path / "v.avi", 3), picture(tmp_path / "q.jpg")])
    assert listed == ["v.avi", "v.jsonl", "result.json"]
    assert listing(out) == ["p.png", "q.jpg", "result.json", "v.avi", "v.jsonl"]
    frames = json.loads((out / "result.json").read_text())
    assert [(frame["frame_id"], frame["filename"]) for frame in frames] == [
        (1, str(tmp_path / "p.png")),
        (2, str(tmp_path / "q.jpg")),
    ]
    lines = [json.loads(line) for line in (out / "v.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [["frame_id", "filename", "seconds", "objects"]] * 3
    assert [line["seconds"] for line in lines] == [0, 0.1, 0.2]
    (person, _) = lines[0]["objects"]
    assert (person["name"], person["task"], person["confidence"]) == ("dog", "a", 0.75)
    assert [frame.number for frame in Video("v", str(out / "v.avi")).frames()] == [1, 2, 3]


def test_each_video_has_its_own_files(tmp_path):
    one, two = video(tmp_path / "a" / "v.avi", 2), video(tmp_path / "b" / "v.avi", 3)
    assert written(tmp_path / "out", [one, two]) == ["v.avi", "v.jsonl", "v-2.avi", "v-2.jsonl"]
    assert len((tmp_path / "out" / "v-2.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("container", CONTAINERS)
def test_videos_in_each_container(tmp_path, container):
    written(tmp_path / "out", [video(tmp_path / "v.avi", 4)], ("video",), container=container)
    assert listing(tmp_path / "out") == [f"v{container}"]
    assert len(list(Video("v", str(tmp_path / "out" / f"v{container}")).frames())) == 4


class Writer:
    """Stands in for the cv2.VideoWriter of a machine that has some codecs."""

    def __init__(self, codec: str, has: tuple[str, ...]) -> None:
        self.isOpened = lambda: codec in has


@pytest.mark.parametrize(
    ("has", "codec", "webm"),
    [(("avc1", "mp4v", "VP80"), "avc1", False), (("mp4v", "VP80"), "mp4v", True), (("mp4v",), "mp4v", False)],
)
def test_an_mp4_is_one_that_browsers_play_or_the_note_says_so(tmp_path, monkeypatch, has, codec, webm):
    monkeypatch.setattr(videos, "_writer", lambda path, codec, size, rate: Writer(codec, has))
    file = VideoFile(tmp_path / "my clip.mp4", SIZE, 10)
    assert file.codec == codec
    if codec == "avc1":
        assert file.note() == ""
        return
    given, made = tmp_path / "my clip.mp4", tmp_path / "my clip-h264.mp4"
    assert file.note().startswith(f"{given}: browsers do not play it")
    assert file.note().endswith(f" ffmpeg -i '{given}' -c:v libx264 -pix_fmt yuv420p '{made}'")
    assert ("--container .webm" in file.note()) == webm


@pytest.mark.parametrize(("has", "codec"), [(("XVID", "MJPG"), "XVID"), (("MJPG",), "MJPG")])
def test_an_avi_takes_mpeg_4_where_it_is(tmp_path, monkeypatch, has, codec):
    monkeypatch.setattr(videos, "_writer", lambda path, codec, size, rate: Writer(codec, has))
    assert VideoFile(tmp_path / "v.avi", SIZE, 10).codec == codec


def test_where_no_codec_is_there_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "_writer", lambda path, codec, size, rate: Writer(codec, ()))
    with pytest.raises(
        DarkshareError, match=r"v\.webm: cannot be written as a video \(codec VP80\); .* --container .avi"
    ):
        VideoFile(tmp_path / "v.webm", SIZE, 10)


def test_a_table_of_every_box(tmp_path):
    written(tmp_path / "out", [picture(tmp_path / "p,1.png", 100), video(tmp_path / "v.avi", 2)], ("csv",))
    assert listing(tmp_path / "out") == ["detections.csv"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "detections.csv").read_text())))
    assert [(row["frame"], row["seconds"], row["task"], row["class_id"], row["name"]) for row in rows[:3]] == [
        ("1", "", "a", "1", "dog"),
        ("1", "", "b", "0", "cup"),
        ("1", "0.0", "a", "1", "dog"),
    ]
    assert rows[0]["source"] == str(tmp_path / "p,1.png")
    assert [rows[0][key] for key in ("score", "x1", "y1", "x2", "y2")] == ["0.75", "10.0", "-5.0", "40.0", "30.0"]


def test_label_files_count_the_classes_of_all_tasks_through(tmp_path):
    """The box reaches from (10, -5) to (40, 30) in 64 x 48: cut off, its centre is (25, 15)."""
    listed = written(tmp_path / "out", [picture(tmp_path / "p.png", 100), video(tmp_path / "v.avi", 2)], ("yolo",))
    assert listed == ["classes.names"]
    assert listing(tmp_path / "out") == ["classes.names", "p.txt", "v-000001.txt", "v-000002.txt"]
    place = f"{25 / 64:.6f} {15 / 48:.6f} {30 / 64:.6f} {30 / 48:.6f}"
    assert (tmp_path / "out" / "p.txt").read_text() == f"1 {place}\n2 {place}\n"
    assert (tmp_path / "out" / "classes.names").read_text() == "cat\ndog\ncup\n"


def test_coco(tmp_path):
    written(tmp_path / "out", [picture(tmp_path / "p.png", 100), video(tmp_path / "v.avi", 2)], ("coco", "picture"))
    assert listing(tmp_path / "out") == ["coco.json", "p.png", "v-000001.jpg", "v-000002.jpg"]
    document = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["p.png", "v-000001.jpg", "v-000002.jpg"]
    assert document["images"][0] == {"id": 1, "file_name": "p.png", "width": 64, "height": 48}
    assert [one["id"] for one in document["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert document["annotations"][1] == {
        **{"id": 2, "image_id": 1, "category_id": 3, "bbox": [10, 0, 30, 30]},
        **{"area": 900, "iscrowd": 0, "score": 0.75},
    }
    assert document["categories"] == [
        {"id": 1, "name": "cat", "supercategory": "a"},
        {"id": 2, "name": "dog", "supercategory": "a"},
        {"id": 3, "name": "cup", "supercategory": "b"},
    ]


def test_coco_of_nothing_is_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(Finder, "detect_batch", lambda self, images: [[nothing(task) for task in MODEL.tasks]])
    written(tmp_path / "out", [picture(tmp_path / "p.png")], ("coco",))
    assert json.loads((tmp_path / "out" / "coco.json").read_text())["annotations"] == []


def test_names_that_are_no_utf8_stay_readable(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/p\xff.png")
    picture(tmp_path / "p.png").rename(path)
    written(tmp_path / "out", [path], ("json", "csv"))
    (frame,) = json.loads((tmp_path / "out" / "result.json").read_bytes())
    assert frame["filename"] == path


def test_where_nothing_can_be_written_it_is_reported(tmp_path):
    (tmp_path / "out").write_text("a file")
    for save in ("json", "csv", "picture", "yolo"):
        with pytest.raises(DarkshareError, match="cannot be written"):
            written(tmp_path / "out", [picture(tmp_path / "p.png")], (save,))


def test_stems_are_numbered_and_addresses_become_names(tmp_path):
    places = OutputNames(tmp_path)
    sources = ["a/p.png", "b/p.jpg", "a/p-2.png", "rtsp://me:word@10.0.0.1:554/cam 1?channel=2", "c/p.png"]
    assert [places.stem(Frame(source)) for source in sources] == ["p", "p-2", "p-2-2", "cam-1", "p-3"]


def test_inputs_in_the_output_folder_are_refused(tmp_path):
    path = picture(tmp_path / "p.png")
    places = OutputNames(tmp_path)
    with pytest.raises(DarkshareError, match=r"p\.png: is an input and would be replaced; choose another -o"):
        places.admit(str(path))
    (frame,) = select([str(path)]).frames(admit=places.admit)
    assert "would be replaced" in str(frame.error)
    places.admit(str(tmp_path / "not-there.png"))
    OutputNames(tmp_path / "out").admit(str(path))


# A long video, and a run that is killed

CHILD = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "darkshare", "detect", *sys.argv[1:]], capture_output=True, text=True)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(done.stderr)
"""
LONG, WIDTH, HEIGHT = 2000, 320, 240
SPARSE = ["--thresh", "0.54", "--nms", "0.05"]  # some boxes in each frame, but not hundreds


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """2000 frames in which a square moves."""
    path = tmp_path_factory.mktemp("long") / "long.avi"
    file = VideoFile(path, (WIDTH, HEIGHT), 25)
    for number in range(LONG):
        image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        cv2.rectangle(image, (number % 280, 100), (number % 280 + 40, 140), (20, 200, 250), -1)
        file.add(image, number + 1)
    file.close()
    return path


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_a_long_video_takes_bounded_memory(model, long_video, tmp_path):
    """From 100 frames to 2000 it grows by less than a twelfth of what the frames hold."""
    peaks = []
    for limit in (100, LONG):
        words = [str(model), str(long_video), "-o", str(tmp_path / "out"), "--limit", str(limit), *SPARSE]
        run = [sys.executable, "-c", CHILD, *words]
        done = subprocess.run(run, capture_output=True, text=True, env=environment(), check=True)
        code, kilobytes = done.stdout.split()[:2]
        assert code == "0", done.stdout
        assert f"{limit} of {limit} frames" in done.stdout
        peaks.append(int(kilobytes) * 1024)
    assert peaks[1] - peaks[0] < LONG * WIDTH * HEIGHT * 3 / 12, peaks
    assert len((tmp_path / "out" / "long.jsonl").read_text().splitlines()) == LONG
    assert Video("v", str(tmp_path / "out" / "long.avi")).length() == LONG


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
@pytest.mark.parametrize("container", [".avi", ".mkv", ".webm"])
def test_what_a_killed_run_has_written_is_of_use(model, long_video, tmp_path, container):
    out = tmp_path / "out"
    words = ["detect", str(model), str(long_video), "-o", str(out), *SPARSE, "--container", container]
    started = subprocess.Popen(
        [sys.executable, "-m", "darkshare", *words], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with started:
        while _lines(out / "long.jsonl") < 600:
            assert started.poll() is None, started.stderr.read()
            time.sleep(0.01)
        started.send_signal(signal.SIGKILL)
    assert started.returncode == -signal.SIGKILL
    text = (out / "long.jsonl").read_text()
    whole = text.rpartition("\n")[0]  # the kernel may end in the middle of a line, between two pages of its cache
    lines = [json.loads(line) for line in whole.splitlines()]
    assert [line["frame_id"] for line in lines] == list(range(1, len(lines) + 1))
    assert 600 <= len(lines) < LONG
    played = cv2.VideoCapture(str(out / f"long{container}"))
    frames = 0
    while played.grab():
        frames += 1
    assert len(lines) - 400 < frames <= len(lines) + 1  # the last 256 KiB may have been on their way


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore Ctrl-C
from darkshare.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_ctrl_c_finishes_what_was_begun(model, long_video, tmp_path):
    out = tmp_path / "out"
    words = ["detect", str(model), str(long_video), "-o", str(out), "--save", "video,coco", *SPARSE]
    run = [sys.executable, "-c", INTERRUPTIBLE, *words]
    with subprocess.Popen(run, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        while not (out / "long.avi").exists() or (out / "long.avi").stat().st_size < 300_000:
            assert started.poll() is None
            time.sleep(0.01)
        started.send_signal(signal.SIGINT)
        _, stderr = started.communicate()
    assert started.returncode == 130
    assert "Traceback" not in stderr
    images = len(json.loads((out / "coco.json").read_text())["images"])
    assert 0 < images < LONG
    assert f"{images} of {images} frames" in stderr
    assert Video("v", str(out / "long.avi")).length() == images


def test_reading_back_a_picture_is_exact(tmp_path):
    np.testing.assert_array_equal(read_picture(picture(tmp_path / "p.png", 7)), shade(7))
