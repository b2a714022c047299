"""Videos, cameras and streams as frames, and frames as a video, through OpenCV."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count, repeat
from pathlib import Path
from threading import Event
from time import monotonic, strftime
from typing import Any, NamedTuple

import numpy as np

from darkshare._files import reading, require_itself, require_regular, require_unread, unicode_path
from darkshare._files.scratch import scratch
from darkshare._images import Picture
from darkshare._images.limits import require_moderate
from darkshare.darknet.typed import plain_path, typed
from darkshare.errors import DarkshareError, warn
from darkshare.inference.media.frames import Clip, Frame
from darkshare.inference.media.timing import LATEST, USUAL_RATE, Clock

_SUFFIXES = "3gp asf avi flv gif m2ts m4v mjpeg mjpg mkv mov mp4 mpeg mpg mts ogv ts vob webm wmv"
SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
# Codecs by container; the first that OpenCV has is taken. Killed in the middle, all but .mp4 stay playable.
CONTAINERS = {".avi": ("XVID", "MJPG"), ".mkv": ("mp4v",), ".mp4": ("avc1", "mp4v"), ".webm": ("VP80",)}
_PATIENCE = 30  # frames in a row that may be broken before a video counts as ended
_SILENCE = 10.0  # seconds without a frame behind which a camera or stream counts as lost
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # seconds between two tries to open a stream again
_LONGEST_GAP = 600.0  # seconds without a frame that are filled with the one before


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

    def frames(
        self, step: int = 1, limit: int | None = None, *, reconnect: float = 0.0, stopped: Event | None = None
    ) -> Iterator[Frame]:
        """Decode every step-th frame, `limit` at most; a frame that cannot be decoded comes as an error.

        Args:
            step: see there.
            limit: see there.
            reconnect: seconds that are waited for a camera or stream that breaks off, before that is an error.
            stopped: ends the waiting.

        Raises:
            DarkshareError: it cannot be opened, or ends long before it should.
        """
        capture = self._open()
        import cv2

        rate, expected = float(capture.get(cv2.CAP_PROP_FPS)), _counted(capture)
        live = not self.is_file and not expected
        clip = Clip(rate if 0 < rate <= (120 if live else 1000) else 0.0, live, step, limit, not self.is_file)
        clock = _arrival() if live else _said(capture, clip.rate)
        taken, last, seconds, gap, lost, start = 0, 0, 0.0, 0.0, 0.0, 0.0
        try:
            while True:
                for number, now, image in _decoded(capture, step, clock, last + 1, live):
                    if lost:
                        warn(f"{self.name}: is back after {monotonic() - lost:.0f} s")
                    start = start if last else _start(capture, clip)
                    gap = max(gap, now - seconds)
                    last, seconds, lost = number, max(now, seconds), 0.0
                    if image is not None or (number - 1) % step == 0:
                        yield self._frame(number, now, image, clip)
                        taken += 1
                    if taken == limit:
                        return
                if not live or not last:
                    break
                if not lost:
                    lost = monotonic()
                    end = f"gave no more pictures after {last} frames and {seconds:.1f} s, at {strftime('%H:%M:%S')}"
                    if reconnect:
                        warn(f"{self.name}: {end}; waiting up to {reconnect:g} s for it to come back")
                capture.release()
                capture = self._reopened(end, lost, reconnect, stopped or Event())
            self._require_end(last, expected, start + seconds + gap, clip)
        finally:
            capture.release()

    def _reopened(self, end: str, lost: float, reconnect: float, stopped: Event) -> Any:
        """The cv2.VideoCapture of a camera or stream that broke off, as soon as it is there again.

        Raises:
            DarkshareError: it is not there in time.
        """
        pause = _FIRST_PAUSE
        while (left := lost + reconnect - monotonic()) > 0 and not stopped.wait(min(pause, left)):
            with suppress(DarkshareError):
                return self._open()
            pause = min(2 * pause, _LONGEST_PAUSE)
        cure = f", and is not back after {reconnect:g} s" if reconnect else "; --reconnect 60 waits for it to come back"
        raise DarkshareError(f"{end}{cure}", file=self.name)

    def _open(self) -> Any:
        """The cv2.VideoCapture.

        Raises:
            DarkshareError: there is none, or its frames have more pixels than the limit.
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
        width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        require_moderate((width, height), self.name, "frame")
        return capture

    def _frame(self, number: int, now: float, image: Picture | None, clip: Clip) -> Frame:
        error = None if image is not None else DarkshareError(f"frame {number} cannot be decoded", file=self.name)
        return Frame(self.name, image, error, number, round(now, 3), clip)

    def _require_end(self, last: int, expected: int, seconds: float, clip: Clip) -> None:
        """Refuse a video that was cut off; one whose header is a little off is told apart by the missing time.

        Args:
            last: the number of its last frame.
            expected: how many its header says; derived from its length where it does not say.
            seconds: when its last frame ends, if it is shown as long as any other.
            clip: the video.
        """
        if not last:
            raise DarkshareError("has no frame that can be decoded", file=self.name)
        whole = expected / (clip.rate or USUAL_RATE)
        if last < expected and whole - seconds > max(0.5, whole / 50):
            raise DarkshareError(f"ends after {last} of {expected} frames; it is cut off or broken", file=self.name)


def _counted(capture: Any) -> int:
    """Read the number of frames from the header; 0 where it is not there."""
    import cv2

    found = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(found) if 0 < found < 1e9 else 0


def _start(capture: Any, clip: Clip) -> float:
    """The time that a file gives its first frame, in seconds: its length may count from 0, and POS_MSEC does not."""
    import cv2

    place = getattr(cv2, "CAP_PROP_PTS", None)
    return 0.0 if place is None else max(0.0, capture.get(place) / (clip.rate or USUAL_RATE))


def _arrival() -> Callable[[], float]:
    """A clock of a camera or stream, which runs from now on."""
    begun = monotonic()
    return lambda: monotonic() - begun


def _said(capture: Any, rate: float) -> Callable[[], float]:
    """A clock that tells the time of the frame that was decoded last."""
    import cv2

    clock = Clock(rate)
    return lambda: clock.tell(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)


def _decoded(
    capture: Any, step: int, clock: Callable[[], float], first: int, live: bool
) -> Iterator[tuple[int, float, Picture | None]]:
    """(number, seconds, picture) of each frame; without picture where it is passed over or broken."""
    broken: list[int] = []
    heard = monotonic()
    for number in count(first):
        wanted = (number - 1) % step == 0
        fine, image = capture.read() if wanted else (capture.grab(), None)
        if not fine:
            broken.append(number)
            if len(broken) == _PATIENCE or (live and monotonic() - heard > _SILENCE):
                return
            continue
        now, heard = clock(), monotonic()
        yield from ((lost, now, None) for lost in broken)
        broken.clear()
        yield number, now, None if image is None else np.asarray(image, np.uint8)


class VideoFile:
    """A video file that grows frame by frame.

    Args:
        path: its suffix, one of `CONTAINERS`, decides the format.
        size: width and height; later frames of other sizes are scaled to it.
        rate: frames per second.

    Attributes:
        codec: what OpenCV encodes it with.

    Raises:
        DarkshareError: it cannot be written.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        self.path, self.size, self.rate = path, size, rate
        self._written, self._left_out = 0, 0
        self._last: Any = None  # the picture that was written last
        path.parent.mkdir(parents=True, exist_ok=True)
        require_unread([path])
        for self.codec in CONTAINERS[path.suffix]:
            self._writer = _writer(path, self.codec, size, rate)
            if self._writer.isOpened():
                return
        raise DarkshareError(
            f"cannot be written as a video (codec {self.codec}); see what else lies there, or use --container .avi",
            file=str(path),
        )

    def add(self, image: Picture, place: int) -> None:
        """Append a frame at its place, from 1; the one before is repeated until then, so that the video keeps its time.

        A frame that comes too late for its place is left out: others have its time.
        """
        import cv2

        missing = place - self._left_out - self._written - 1
        if missing < -LATEST:
            return
        if missing > (longest := int(_LONGEST_GAP * self.rate)):
            warn(f"{self.path}: {missing / self.rate:.0f} s without a frame are shortened to {_LONGEST_GAP:.0f} s")
            self._left_out, missing = self._left_out + missing - longest, longest
        fitting = image if (image.shape[1], image.shape[0]) == self.size else cv2.resize(image, self.size)
        for picture in chain(repeat(fitting if self._last is None else self._last, missing), [fitting]):
            self._writer.write(picture)
        self._written += max(missing, 0) + 1
        self._last = fitting

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

    def note(self) -> str:
        """Tell that browsers do not play it, and what they do play; empty if they do, or it is not made for them."""
        if self.path.suffix != ".mp4" or self.codec != "mp4v":
            return ""
        with scratch() as folder:
            webm = _writer(folder / "x.webm", CONTAINERS[".webm"][0], self.size, self.rate).isOpened()
        path, copy = map(plain_path, (self.path, self.path.with_name(f"{self.path.stem}-h264.mp4")))
        return (
            f"{self.path}: browsers do not play it: it is MPEG-4 part 2, for OpenCV has no H.264 encoder here; "
            f"{'use --container .webm, or ' if webm else ''}make a copy that they play: "
            f"{typed('ffmpeg', '-i', path, '-c:v', 'libx264', '-pix_fmt', 'yuv420p', copy)}"
        )


def _writer(path: Path, codec: str, size: tuple[int, int], rate: float) -> Any:
    """The cv2.VideoWriter of a new file, which may have failed to open."""
    import cv2

    name = unicode_path(path, "OpenCV")
    with _without_stderr():
        return cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*codec), rate, size)  # type: ignore[attr-defined]


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Keep the words of C libraries, which no setting silences, off the terminal."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
