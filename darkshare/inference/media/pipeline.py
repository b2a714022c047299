"""Decoding, inference and drawing side by side, each in a thread of its own, so that the engine need not wait."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, NamedTuple, Protocol, TypeVar

from darkshare._images import Picture
from darkshare.errors import DarkshareError
from darkshare.inference.boxes import Detections
from darkshare.inference.draw import annotate
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.sources import select

T = TypeVar("T")
Frames = Generator[Frame, None, None]
WAITING = 2  # frames, beyond a batch, that may lie between two stages
_GRACE = 5.0  # seconds that a thread may take to notice that nobody wants more


class Detects(Protocol):
    """What finds boxes, as `opencv.Detector` does."""

    def detect_batch(self, images: Sequence[Picture]) -> list[list[Detections]]:
        """For each picture one `Detections` per task."""


def watch(
    detector: Detects,
    names: Iterable[str],
    *,
    batch: int = 1,
    step: int = 1,
    limit: int | None = None,
) -> Frames:
    """Find objects in everything that the names mean; see `sources.select`.

    Args:
        detector: what finds them; it runs in a thread of its own.
        names: files, folders, patterns, lists, videos, cameras, addresses, "-".
        batch: how many pictures go through the network at once.
        step: of videos, take every step-th frame.
        limit: of each video, take no more frames than that.

    Yields:
        The frames in order, with `found`, or with `error` where one is broken.
    """
    return flow(detector, select(names).frames(step, limit), batch=batch)


def flow(
    detector: Detects, frames: Iterable[Frame], *, batch: int = 1, draws: Callable[[Frame], bool] = lambda frame: False
) -> Frames:
    """Lead frames through decoding, inference and drawing.

    Args:
        detector: see `watch`.
        frames: read in a thread of its own; frames of a live source are dropped when nobody can take them.
        batch: see `watch`.
        draws: whether a frame shall be drawn.
    """
    read = ahead(frames, batch + WAITING, _is_live)
    seen = ahead(_seen(detector, read, batch), batch + WAITING)
    return ahead(_drawn(seen, draws), WAITING)


class _Raised(NamedTuple):
    """What an iterator raised in its thread, to be raised again in ours."""

    error: BaseException


_END = object()


def ahead(items: Iterable[T], size: int, passes: Callable[[T], bool] = lambda item: False) -> Generator[T, None, None]:
    """Iterate in a thread of its own, at most `size` items before they are asked for.

    Args:
        items: what to iterate; it is closed when nobody wants more.
        size: how many may wait.
        passes: whether an item's time passes, so that it makes room for the next when nobody takes it.
    """
    waiting: Queue[Any] = Queue(size)
    stopped = Event()

    def work() -> None:
        last: Any = _END
        iterator = iter(items)
        try:
            for item in iterator:
                _drop_oldest(waiting, passes)
                waiting.put(item)
                if stopped.is_set():
                    break
        except BaseException as error:  # whatever it is, it belongs to the thread that asked
            last = _Raised(error)
        finally:
            getattr(iterator, "close", lambda: None)()
        if not stopped.is_set():
            waiting.put(last)

    thread = Thread(target=work, daemon=True, name="darkshare")
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        stopped.set()
        with suppress(Empty):
            while True:
                waiting.get_nowait()
        thread.join(_GRACE)


def _drop_oldest(waiting: Queue[T], passes: Callable[[T], bool]) -> None:
    """Make room in a full queue, if the time of its oldest item has passed."""
    with waiting.mutex:
        if len(waiting.queue) >= waiting.maxsize and passes(waiting.queue[0]):
            waiting.queue.popleft()


def _is_live(frame: Frame) -> bool:
    return frame.clip is not None and frame.clip.live


def _seen(detector: Detects, frames: Frames, batch: int) -> Frames:
    with closing(frames):
        while group := list(islice(frames, batch)):
            results = iter(_results(detector, [frame.image for frame in group if frame.image is not None]))
            for frame in group:
                yield frame if frame.image is None else _with_result(frame, next(results))


def _results(detector: Detects, images: Sequence[Picture]) -> list[list[Detections] | DarkshareError]:
    """What is found in each picture; where a batch fails, its pictures are tried alone."""
    if not images:
        return []
    try:
        return list(detector.detect_batch(images))
    except DarkshareError as error:
        if len(images) == 1:
            return [error]
        return [result for image in images for result in _results(detector, [image])]


def _with_result(frame: Frame, result: list[Detections] | DarkshareError) -> Frame:
    if isinstance(result, DarkshareError):
        place = f"frame {frame.number}: " if frame.clip else ""
        return replace(frame, image=None, error=DarkshareError(f"{place}{result}", file=frame.source))
    return replace(frame, found=tuple(result))


def _drawn(frames: Frames, draws: Callable[[Frame], bool]) -> Frames:
    with closing(frames):
        for frame in frames:
            if frame.image is None or not draws(frame):
                yield frame
            else:
                yield replace(frame, drawn=annotate(frame.image, frame.found))
