"""Decoding, inference and drawing side by side, each in a thread of its own, so that the engine need not wait."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Protocol, runtime_checkable

from darkshare._images import Picture
from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError, checked
from darkshare.inference.boxes import Detections
from darkshare.inference.draw import annotate
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.sources import Names, require_counts, select
from darkshare.inference.preprocess import reads_alpha
from darkshare.inference.threads import ahead

Frames = Generator[Frame, None, None]
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
) -> Frames:
    """Find objects in everything that some names mean, frame by frame.

    Args:
        detector: it runs in a thread of its own.
        sources: names of files, folders, patterns, lists, videos, cameras, addresses, "-".
        batch: how many pictures go through the network at once.
        every: of videos, take every N-th frame.
        limit: of each video, take no more frames than that.

    Yields:
        The frames in order, with `found`, or with `error` where one is broken.

    Raises:
        BadValue: a count below 1.
    """
    require_counts(batch=batch, every=every, limit=limit)
    model = getattr(detector, "model", None)
    alpha = isinstance(model, Model) and reads_alpha(model.network)
    return flow(detector, select(sources, alpha=alpha).frames(every, limit), batch=batch)


def flow(
    detector: Detects, frames: Iterable[Frame], *, batch: int = 1, draws: Callable[[Frame], bool] = lambda frame: False
) -> Frames:
    """Lead frames through decoding, inference and drawing.

    Args:
        detector: see `watch`.
        frames: read in a thread of its own; frames of a live source are dropped when the network is busy.
        batch: see `watch`.
        draws: whether a frame shall be drawn.
    """
    read = ahead(frames, batch + WAITING, _is_live)
    seen = ahead(_seen(detector, read, batch), batch + WAITING)
    return ahead(_drawn(seen, draws), WAITING)


def _is_live(frame: Frame) -> bool:
    return frame.clip is not None and frame.clip.live


def _seen(detector: Detects, frames: Frames, batch: int) -> Frames:
    with closing(frames):
        while group := list(islice(frames, batch)):
            results = iter(_results(detector, [frame.image for frame in group if frame.image is not None]))
            for frame in group:
                yield frame if frame.image is None else _with_result(frame, next(results))


def _results(detector: Detects, images: Sequence[Picture]) -> list[list[Detections] | DarkshareError]:
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
        return replace(frame, image=None, error=DarkshareError(f"{place}{result}", file=frame.source))
    return replace(frame, found=tuple(result))


def _drawn(frames: Frames, draws: Callable[[Frame], bool]) -> Frames:
    with closing(frames):
        for frame in frames:
            if frame.image is None or not draws(frame):
                yield frame
            else:
                yield replace(frame, drawn=annotate(frame.image, frame.found))
