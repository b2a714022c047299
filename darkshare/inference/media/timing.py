"""Times of frames: from what a video says of them, and as places in a video that is written at one rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappush, heappushpop
from itertools import islice
from math import ceil, isfinite

from darkshare.inference.media.frames import Clip

USUAL_RATE = 25.0  # frames per second, where that is not known
LATEST = 4  # places that a frame may come behind its own
_FASTEST = 240.0  # frames per second of what is written, where the source has no constant rate
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
    at, late, shortest = 0, 0, float("inf")
    for now in times:
        wanted = place(now, rate)
        at = max(at + 1, wanted)
        late = max(late, at - wanted)
        recent.append(now)
        if len(recent) > LATEST:
            shortest = min(shortest, (now - recent[0]) / LATEST)
    if 1 < len(recent) <= LATEST:
        shortest = (recent[-1] - recent[0]) / (len(recent) - 1)
    fits = late <= 1 and rate * shortest < 1.5
    return rate if fits or not 0 < shortest < float("inf") else min(ceil(100 / shortest) / 100, _FASTEST)


def output_rate(source: str, clip: Clip) -> float:
    """Frames per second of a video that is written from the frames of another, so that each can keep its time.

    A file is gone through for that, without decoding it. Of streams nothing but their own word is known.
    """
    rate = (clip.rate or USUAL_RATE) / clip.step
    return rate if clip.apart else fitting_rate(islice(_times(source, clip.rate), 0, None, clip.step), rate)


def _times(path: str, rate: float) -> Iterator[float]:
    """The times of all frames of a video file, in seconds, without decoding; none where OpenCV cannot do that."""
    import cv2

    capture, clock, waiting = cv2.VideoCapture(path), Clock(rate), list[float]()
    try:
        if not capture.set(cv2.CAP_PROP_FORMAT, -1):
            return
        while capture.grab():
            said = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if len(waiting) < _REORDERED:
                heappush(waiting, said)
            else:
                yield clock.tell(heappushpop(waiting, said))
        yield from map(clock.tell, sorted(waiting))
    finally:
        capture.release()
