"""Times of frames: from what a video says of them, and as places in a video that is written at one rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from heapq import heappop, heappush
from itertools import islice
from math import ceil, isfinite

from darkshare.inference.media.frames import Clip

USUAL_RATE = 25.0  # frames per second, where that is not known
LATEST = 4  # places that a frame may come behind its own
_SLOWEST, _FASTEST = 10.0, 240.0  # frames per second of what is written, where the source has no constant rate
_NOTICED = 0.2  # seconds that a frame may be off its time
_REORDERED = 32  # frames that may be stored in another order than they are shown
_RESTART = 1.0  # seconds that times may go back; more, and they begin anew


class Clock:
    """The times of the frames of a file, which never go back.

    Args:
        rate: frames per second, for frames without a time.
    """

    def __init__(self, rate: float) -> None:
        self._gap = 1 / (rate or USUAL_RATE)
        self._offset = 0.0  # of what the file says, where its times begin anew in the middle
        self._last: float | None = None

    def tell(self, said: float) -> float:
        """The time of the next frame in seconds, from the one that the file says; 0 is none behind the first frame."""
        last, known = self._last, isfinite(said) and said > 0
        if last is None:
            now = said if known else 0.0
        elif not known:
            now = last + self._gap
        else:
            if said + self._offset < last - _RESTART:
                self._offset = last + self._gap - said
            now = max(said + self._offset, last)
        self._last = now
        return now


def place(seconds: float, rate: float) -> int:
    """The place of a time in a video of constant rate, from 1."""
    return int(seconds * rate + 0.5) + 1


def fitting_rate(times: Iterable[float], rate: float) -> float:
    """Find the constant rate at which every frame has a place of its own, at its time.

    Args:
        times: of the frames in order, in seconds.
        rate: what the source says: its own rate, or the mean of several. It is kept where it fits.
    """
    recent: deque[float] = deque(maxlen=LATEST + 1)  # a few gaps together: single ones tremble
    at, off, shortest = 0, 0.0, float("inf")
    for now in times:
        at = max(at + 1, place(now, rate))
        off = max(off, abs((at - 1) / rate - now))
        recent.append(now)
        if len(recent) > LATEST:
            shortest = min(shortest, (now - recent[0]) / LATEST)
    if 1 < len(recent) <= LATEST:
        shortest = (recent[-1] - recent[0]) / (len(recent) - 1)
    fits = off * rate < 1.5 and off < _NOTICED and rate * shortest < 1.5
    if fits or not 0 < shortest < float("inf"):
        return rate
    return min(max(ceil(100 / shortest - 0.01) / 100, _SLOWEST), _FASTEST)


def output_rate(source: str, clip: Clip) -> float:
    """Frames per second of a video that is written from the frames of another, so that each can keep its time.

    A file is gone through for that, without decoding it where it says every frame's time. Of streams nothing but their
    own word is known.
    """
    rate = (clip.rate or USUAL_RATE) / clip.step
    if clip.apart:
        return rate
    end = clip.limit and clip.limit * clip.step
    with suppress(_Untimed):
        return fitting_rate(islice(_stored_times(source), 0, end, clip.step), rate)
    return fitting_rate(islice(_decoded_times(source, clip.rate), 0, end, clip.step), rate)


class _Untimed(Exception):
    """Some frames of a file have no time in it, or not one that is later than the frame's before."""


def _stored_times(path: str) -> Iterator[float]:
    """The times of all frames, in seconds, as the file says them; OpenCV gives it packet by packet."""
    import cv2

    capture, waiting, last = cv2.VideoCapture(path), list[float](), -1.0
    if not capture.set(cv2.CAP_PROP_FORMAT, -1):
        raise _Untimed
    while waiting or capture.isOpened():
        if capture.grab():
            heappush(waiting, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        else:
            capture.release()
        if waiting and (len(waiting) > _REORDERED or not capture.isOpened()):
            now = heappop(waiting)
            if now <= last:
                raise _Untimed
            last = now
            yield now


def _decoded_times(path: str, rate: float) -> Iterator[float]:
    """The times of all frames, in seconds, as they come when they are shown."""
    import cv2

    capture, clock = cv2.VideoCapture(path), Clock(rate)
    while capture.grab():
        yield clock.tell(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
