"""Decoding, inference and drawing side by side, each in a thread of its own, so that the engine need not wait."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from darkshare._images import Picture
from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError, checked
from darkshare.inference.boxes import Detections
from darkshare.inference.draw import annotate
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.sources import Admit, Names, Selection, admit_all, require_counts, safely, select
from darkshare.inference.media.videos import Video
from darkshare.inference.preprocess import reads_alpha
from darkshare.inference.threads import Readers

Frames = Generator[Frame, None, None]
Draw = Callable[[Picture, Sequence[Detections]], Picture]
Prepare = Callable[[Picture], Any]
WAITING = 2  # frames, beyond a batch, that may lie between two stages


@runtime_checkable
class Detects(Protocol):
    """Something that finds boxes, as `Detector` does."""

    def detect_batch(self, images: Sequence[Picture]) -> list[list[Detections]]:
        """Give one `Detections` per task for each picture."""


@checked
def watch(
    detector: Detects,
    sources: Names,
    *,
    batch: int = 1,
    every: int = 1,
    limit: int | None = None,
    reconnect: float = 0.0,
) -> Frames:
    """Find objects in everything that some names mean, frame by frame.

    Args:
        detector: it runs in a thread of its own.
        sources: names of files, folders, patterns, lists, videos, cameras, addresses, "-".
        batch: how many pictures go through the network at once.
        every: of videos, take every N-th frame.
        limit: of each video, take no more frames than that.
        reconnect: seconds to wait for a camera or stream that breaks off, before that is an error.

    Yields:
        The frames of files in order, between them those of cameras and streams as they come, with `found`, or with
        `error` where one is broken.

    Raises:
        BadValue: a count below 1, or a negative time.
    """
    require_counts(batch=batch, every=every, limit=limit, reconnect=reconnect)
    model = getattr(detector, "model", None)
    alpha = isinstance(model, Model) and reads_alpha(model.network)
    read = reading(
        select(sources, alpha=alpha), every=every, limit=limit, reconnect=reconnect, batch=batch,
        prepare=getattr(detector, "prepare", None),
    )  # fmt: skip
    return flow(detector, read, batch=batch)


def reading(  # noqa: D417 - some are described with `watch`
    selection: Selection, *, every: int = 1, limit: int | None = None, reconnect: float = 0.0, batch: int = 1,
    admit: Admit = admit_all, prepare: Prepare | None = None,
) -> Readers[Frame]:  # fmt: skip
    """Decode in threads: files in order, and each camera and stream beside them, whose late frames are dropped.

    Args:
        selection: what to decode.
        every, limit, reconnect, batch: see `watch`.
        admit: see `Selection.frames`.
        prepare: see `Detector.prepare`; of frames that may be dropped, none is prepared.
    """
    readers: Readers[Frame] = Readers(batch + WAITING, _is_live)
    begun: set[str] = set()

    def begin(video: Video) -> None:
        if video.name not in begun:
            begun.add(video.name)
            frames = partial(video.frames, every, limit, reconnect=reconnect, stopped=readers.stopped)
            readers.add(safely(video.name, frames, admit))

    frames = selection.frames(every, limit, admit, begin)
    readers.add(_prepared(frames, prepare) if prepare else frames)
    return readers


def flow(
    detector: Detects, read: Readers[Frame], *, batch: int = 1, draws: Callable[[Frame], bool] = lambda frame: False,
    draw: Draw = annotate, ends: Callable[[], bool] | None = None,
) -> Frames:  # fmt: skip
    """Lead frames through inference and drawing.

    Args:
        detector: see `watch`.
        read: the frames, from `reading`.
        batch: see `watch`.
        draws: whether a frame shall be drawn.
        draw: draws the boxes into a copy of its picture.
        ends: see `Readers`.
    """
    seen: Readers[Frame] = Readers(batch + WAITING, before=read)
    seen.add(_seen(detector, iter(read), batch))
    drawn: Readers[Frame] = Readers(WAITING, before=seen, ends=ends)
    drawn.add(_drawn(iter(seen), draws, draw))
    return iter(drawn)


def _prepared(frames: Frames, prepare: Prepare) -> Frames:
    with closing(frames):
        for frame in frames:
            made = None
            with suppress(DarkshareError):  # the detector raises it again, in the frame's turn
                made = None if frame.image is None or _is_live(frame) else prepare(frame.image)
            yield replace(frame, prepared=made)


def _is_live(frame: Frame) -> bool:
    return frame.clip is not None and frame.clip.live


def _seen(detector: Detects, frames: Frames, batch: int) -> Frames:
    with closing(frames):
        while group := list(islice(frames, batch)):
            whole = [frame for frame in group if frame.image is not None]
            ready = all(frame.prepared is not None for frame in whole)
            results = iter(_results(detector, [frame.prepared if ready else frame.image for frame in whole]))
            for frame in group:
                yield frame if frame.image is None else _with_result(frame, next(results))


def _results(detector: Detects, images: Sequence[Any]) -> list[list[Detections] | DarkshareError]:
    """Detect in each picture; where a batch fails, its pictures are tried alone."""
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
        place = f"frame {frame.number}: " if frame.is_numbered else ""
        error = DarkshareError(f"{place}{result}", file=frame.source)
        return replace(frame, image=None, prepared=None, error=error)
    return replace(frame, found=tuple(result), prepared=None)


def _drawn(frames: Frames, draws: Callable[[Frame], bool], draw: Draw) -> Frames:
    with closing(frames):
        for frame in frames:
            if frame.image is None or not draws(frame):
                yield frame
            else:
                yield replace(frame, drawn=draw(frame.image, frame.found))
