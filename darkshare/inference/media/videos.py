"""Videos, cameras and streams as frames, and frames as a video, through OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from darkshare._files import reading, require_itself, require_regular, unicode_path
from darkshare._images import Picture
from darkshare.errors import DarkshareError
from darkshare.inference.media.frames import Clip, Frame

_SUFFIXES = "3gp asf avi flv gif m2ts m4v mjpeg mjpg mkv mov mp4 mpeg mpg mts ogv ts vob webm wmv"
SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
# Killed in the middle, the first two stay playable; .mp4 is written for those who need it and is lost then.
CONTAINERS = {".avi": "MJPG", ".mkv": "mp4v", ".mp4": "mp4v"}
USUAL_RATE = 25.0  # frames per second, for cameras and streams that do not report it
_PATIENCE = 30  # frames in a row that may be broken before a video counts as ended
_LONGEST_GAP = 1000  # frames that are filled with the one before


class Video(NamedTuple):
    """A video file, a camera or a stream.

    Attributes:
        name: what the user calls it.
        target: what OpenCV opens: a path, an address or the number of a camera.
    """

    name: str
    target: str | int

    @property
    def is_file(self) -> bool:
        """True if it lies on this machine and so has an end."""
        return isinstance(self.target, str) and "://" not in self.target and not self.target.startswith("/dev/")

    def length(self, step: int = 1, limit: int | None = None) -> int | None:
        """Count the frames that will come; None where the file does not say."""
        if not self.is_file:
            return limit
        try:
            whole = -(-_counted(self._open()) // step)
        except DarkshareError:
            return 1  # the error
        return min(whole, limit or whole) if whole else limit

    def frames(self, step: int = 1, limit: int | None = None) -> Iterator[Frame]:
        """Decode every step-th frame, `limit` at most; a frame that cannot be decoded comes as an error.

        Raises:
            DarkshareError: it cannot be opened, or ends long before it should.
        """
        capture = self._open()
        import cv2

        rate, expected = float(capture.get(cv2.CAP_PROP_FPS)), _counted(capture)
        live = not self.is_file and not expected
        clip = Clip(rate if 0 < rate <= 1000 else 0.0, live, step)
        try:
            taken, last, seconds = 0, 0, 0.0
            for number, now, image in _decoded(capture, step, live):
                last, seconds = number, max(now, seconds)
                if image is not None or (number - 1) % step == 0:
                    yield self._frame(number, now, image, clip)
                    taken += 1
                if taken == limit:
                    return
            self._require_end(last, expected, seconds, clip)
        finally:
            capture.release()

    def _open(self) -> Any:
        """The cv2.VideoCapture.

        Raises:
            DarkshareError: there is none.
        """
        import cv2

        if self.is_file:
            with reading(self.name):
                require_regular(str(self.target))
        target = self.target if isinstance(self.target, int) else unicode_path(self.target, "OpenCV")
        try:
            capture = cv2.VideoCapture(target)
        except cv2.error:
            capture = cv2.VideoCapture()
        if not capture.isOpened():
            if self.is_file:
                require_itself(str(self.target))
            what = "is not a video" if self.is_file else "is not a camera or stream"
            raise DarkshareError(f"{what} that OpenCV can read", file=self.name)
        return capture

    def _frame(self, number: int, now: float, image: Picture | None, clip: Clip) -> Frame:
        error = None if image is not None else DarkshareError(f"frame {number} cannot be decoded", file=self.name)
        return Frame(self.name, image, error, number, round(now, 3), clip)

    def _require_end(self, last: int, expected: int, seconds: float, clip: Clip) -> None:
        """Refuse a video that was cut off; one whose header is a little off is told apart by the missing time."""
        if not last:
            raise DarkshareError("has no frame that can be decoded", file=self.name)
        if clip.live and isinstance(self.target, int):
            raise DarkshareError(f"gave no more pictures after {last} frames", file=self.name)
        whole = expected / (clip.rate or USUAL_RATE)
        if whole - seconds > max(0.5, whole / 50):
            raise DarkshareError(f"ends after {last} of {expected} frames; it is cut off or broken", file=self.name)


def _counted(capture: Any) -> int:
    """Read the number of frames from the header; 0 where it is not there."""
    import cv2

    found = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(found) if 0 < found < 1e9 else 0


def _decoded(capture: Any, step: int, live: bool) -> Iterator[tuple[int, float, Picture | None]]:
    """(number, seconds, picture) of each frame; without picture where it is passed over or broken."""
    import cv2

    begun = monotonic()
    broken: list[int] = []
    for number in count(1):
        wanted = (number - 1) % step == 0
        fine, image = capture.read() if wanted else (capture.grab(), None)
        if not fine:
            broken.append(number)
            if len(broken) == _PATIENCE:
                return
            continue
        now = monotonic() - begun if live else capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        yield from ((lost, now, None) for lost in broken)
        broken.clear()
        yield number, now, None if image is None else np.asarray(image, np.uint8)


class VideoFile:
    """A video file that grows frame by frame.

    Args:
        path: its suffix, one of `CONTAINERS`, decides the format.
        size: width and height; later frames of other sizes are scaled to it.
        rate: frames per second.

    Raises:
        DarkshareError: it cannot be written.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        import cv2

        self.path, self.size, self._written, self._last = path, size, 0, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        codec = cv2.VideoWriter_fourcc(*CONTAINERS[path.suffix])  # type: ignore[attr-defined]
        self._writer = cv2.VideoWriter(unicode_path(path, "OpenCV"), codec, rate, size)
        if not self._writer.isOpened():
            raise DarkshareError("cannot be written as a video", file=str(path))

    def add(self, image: Picture, place: int) -> None:
        """Append a frame; where places were left out, it fills them, so that the video keeps its time."""
        import cv2

        fitting = image if (image.shape[1], image.shape[0]) == self.size else cv2.resize(image, self.size)
        for _ in range(min(max(place - self._last, 1), _LONGEST_GAP)):
            self._writer.write(fitting)
            self._written += 1
        self._last = place

    def close(self) -> None:
        """Finish the file and check that it holds what was written, since OpenCV does not.

        Raises:
            DarkshareError: it does not.
        """
        import cv2

        self._writer.release()
        capture = cv2.VideoCapture(str(self.path))
        held = _counted(capture)
        capture.release()
        if held < self._written * 0.98 - 1:  # some formats store the time, from which the count is derived
            raise DarkshareError(f"holds {held} of {self._written} frames; is the disk full?", file=str(self.path))
