"""`detect`: find the objects in everything that some names mean, and write them into files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from darkshare._files import keeping_inputs
from darkshare._signals import uninterrupted
from darkshare._tables import Result
from darkshare.darknet.model import Model, without_branch_tasks
from darkshare.errors import BadValue, Unsupported, checked, require_known, warn
from darkshare.inference.boxes import NMS, OVERLAP, THRESHOLD, Levels, Overlaps
from darkshare.inference.classification import only_detectors
from darkshare.inference.detector import Detector, runnable
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.output import OutputFiles
from darkshare.inference.media.output_names import OutputNames
from darkshare.inference.media.pipeline import Frames, flow, reading
from darkshare.inference.media.sinks import FORMATS
from darkshare.inference.media.sources import Names, Selection, require_counts, select
from darkshare.inference.media.videos import CONTAINERS, Video
from darkshare.inference.onnx import BN_EPSILON
from darkshare.inference.preprocess import reads_alpha

MOST_ERRORS = 20  # that are reported; the others are counted
Watch = Callable[[Iterable[Frame], Callable[[], int | None]], Iterable[Frame]]


def unwatched(frames: Iterable[Frame], length: Callable[[], int | None]) -> Iterable[Frame]:
    """Go through frames without a progress bar."""
    return frames


@dataclass(frozen=True, repr=False)
class DetectionRun(Result):
    """Everything that `detect` found, and where it lies.

    Attributes:
        found: a row for each box of pictures; with a video among the sources, one for each class of a source.
        done: how many pictures and frames were looked at.
        failed: how many could not be.
        boxes: how many were found.
        has_videos: whether frames of videos are among them.
        seconds: how long it took.
        files: what was written, but for files that belong to single pictures.
        folder: where everything lies.
        interrupted: whether Ctrl-C ended it; what was begun is finished then.
    """

    found: tuple[dict[str, Any], ...]
    done: int
    failed: int
    boxes: int
    has_videos: bool
    seconds: float
    files: tuple[Path, ...]
    folder: Path
    interrupted: bool

    def rows(self) -> list[dict[str, Any]]:
        """Each box of pictures, with its page where a file has several; of videos each class.

        Of a class it is given in how many frames it was seen, its boxes and the best score.
        """
        return list(self.found)

    def as_dict(self) -> dict[str, Any]:
        counts = {"done": self.done, "failed": self.failed, "boxes": self.boxes, "seconds": self.seconds}
        return {**super().as_dict(), **counts, "files": list(map(str, self.files)), "interrupted": self.interrupted}

    def summary(self) -> str:
        what = "frames" if self.has_videos else "pictures"
        speed = f", {self.done / max(self.seconds, 1e-9):.1f} frames/s" if self.has_videos else ""
        where = ", ".join(map(str, self.files)) or (str(self.folder) if self.done else "nothing")
        return f"{self.done} of {self.done + self.failed} {what}, {self.boxes} boxes{speed}; wrote {where}"


@checked
@keeping_inputs()
def detect(
    model: Model | str | os.PathLike[str], sources: Names, *, output: str | os.PathLike[str] = "detections",
    save: str | Sequence[str] = (), container: str = ".avi", thresh: Levels | None = None, nms: Overlaps | None = None,
    classes: str | Sequence[str] = (), task: str | Sequence[str] = (), max_det: int | None = None, clip: bool = False,
    tiles: tuple[int, int] | None = None, overlap: float = OVERLAP, branches: bool = False, batch: int = 1,
    every: int = 1, limit: int | None = None, reconnect: float = 0.0, bn_epsilon: float = BN_EPSILON,
    engine: str | None = None, threads: int | None = None, precision: str = "fp32", watch: Watch = unwatched,
    tell: Callable[[str], None] = warn,
) -> DetectionRun:  # fmt: skip
    """Find the objects of every task in pictures and videos, and write them into files.

    Args:
        model: the model; or the name of its .cfg, or of a file that `export` wrote.
        sources: names of pictures, folders, patterns, lists, videos, cameras, addresses, or "-".
        output: the folder for what is written.
        save: names of `media.FORMATS`, such as csv or coco; without any, pictures become pictures and JSON, videos a
            video and JSON lines.
        container: the suffix of the videos written: .avi, .mkv, .mp4 or .webm.
        thresh: keep scores above it (0.25); one number, or some tasks' own by name.
        nms: of two boxes of one task and class that overlap more, keep the better one (0.45); likewise. "agnostic", or
            (0.4, "agnostic"), is for boxes of one task and any classes.
        classes: find these only, in the tasks that have them; none for all.
        task: run these only, and leave the others out; none for all.
        max_det: of each picture and task keep that many boxes, the best.
        clip: cut boxes off at the edge of the picture, also in JSON and CSV, and leave out those beyond it.
        tiles: columns and rows of tiles that each picture is cut into. They go through the network beside the whole
            picture, so that small objects are found.
        overlap: the share of a tile's side that its neighbour has too.
        branches: of an ensemble give what each branch finds, too.
        batch: pictures, or tiles, per run of the network.
        every: of videos, take every N-th frame.
        limit: of each video, take no more frames than that.
        reconnect: seconds to wait for a camera or stream that breaks off, before that is an error.
        bn_epsilon: see `export`.
        engine: one of `engines()`; None for opencv, or the one that an int8 file is for.
        threads: to compute with; what the engine takes without it.
        precision: to compute in.
        watch: goes through the frames, for a progress bar; it also gets a function that counts those that will come.
        tell: gets a line for each of the first pictures and frames that fail.

    Raises:
        DarkshareError: the model cannot be run, an input lies in the output folder, or nothing can be written there.
            A picture that cannot be read is counted and reported.
    """
    require_counts(batch=batch, every=every, limit=limit, reconnect=reconnect)
    loaded = runnable(model, engine)
    chosen = _boxes_only(loaded.model, branches=branches, names=[task] if isinstance(task, str) else task)
    selection, names = select(sources, alpha=reads_alpha(chosen.network)), OutputNames(Path(output))
    for item in selection.known:
        names.admit(item.name)
    files = OutputFiles(names.folder, chosen, _require_formats(save, container, selection), container)
    how: dict[str, Any] = {"engine": loaded.engine, "file": loaded.file, "threads": threads, "precision": precision}
    detector = Detector(
        chosen, threshold=THRESHOLD if thresh is None else thresh, nms=NMS if nms is None else nms, classes=classes,
        max_det=max_det, clip=clip, tiles=tiles, overlap=overlap, batch=batch, **how, bn_epsilon=bn_epsilon,
    )  # fmt: skip
    taken: dict[str, Any] = {"every": every, "limit": limit, "reconnect": reconnect, "batch": batch}
    frames = flow(detector, reading(selection, **taken, admit=names.admit), batch=batch, draws=files.draws)
    return _written(frames, watch(frames, lambda: selection.length(every, limit)), files, names, _Tally(tell))


def _written(
    frames: Frames, shown: Iterable[Frame], files: OutputFiles, names: OutputNames, tally: _Tally
) -> DetectionRun:
    """Take all frames: count them, and write those that can be read.

    Args:
        frames: of the pipeline, which is closed at the end.
        shown: the same, as they come out of a progress bar.
        files: to write to.
        names: of these files.
        tally: to count with.
    """
    interrupted, begun = False, perf_counter()
    try:
        with closing(frames):
            for frame in shown:
                with uninterrupted():  # else a frame could be counted, but not written
                    tally.add(frame)
                    if frame.error is None:
                        files.write(frame, names.stem(frame))
                    elif frame.clip is None:  # it is the last one of its source
                        files.end(frame.source)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        seconds = perf_counter() - begun
        with uninterrupted():
            written = files.close()
    for note in files.notes():
        warn(note)
    return DetectionRun(
        tuple(tally.table()), tally.done, tally.errors.count, tally.boxes, tally.videos, seconds, tuple(written),
        names.folder, interrupted,
    )  # fmt: skip


def _boxes_only(model: Model, *, branches: bool, names: Sequence[str]) -> Model:
    """Take the model's detectors, or the named ones, without the branches behind a vote.

    Which tasks another command runs is noted.

    Raises:
        Unsupported: it has none.
        BadValue: a name that none of them has.
    """
    chosen = only_detectors(model)
    if chosen is None:
        raise Unsupported("classifies whole pictures and finds no boxes; darkshare classify runs it", file=model.name)
    left_out = [task.name for task in model.tasks if task not in chosen.tasks]
    found = chosen if branches else without_branch_tasks(chosen)
    if names:
        require_known("task", names, [task.name for task in found.tasks])
        return replace(found, tasks=tuple(task for task in found.tasks if task.name in names))
    if left_out:
        warn(f"{', '.join(left_out)}: classifies whole pictures, which darkshare classify does")
    return found


def _require_formats(save: str | Sequence[str], container: str, selection: Selection) -> tuple[str, ...]:
    """Give each wanted format once.

    Raises:
        BadValue: one that there is not, or only videos where none comes.
    """
    wanted = tuple(dict.fromkeys([save] if isinstance(save, str) else save))
    if unknown := [name for name in wanted if name not in FORMATS]:
        raise BadValue(f"nothing is saved as {unknown[0]}; use {', '.join(FORMATS)}")
    if container not in CONTAINERS:
        raise BadValue(f"no video is written as {container}; use {', '.join(CONTAINERS)}")
    if wanted == ("video",) and not selection.later and not any(isinstance(i, Video) for i in selection.known):
        raise BadValue("to save a video, name a video, camera or stream among the sources")
    return wanted


class Errors:
    """The errors of a run: the first are reported, all are counted.

    Args:
        tell: takes a line.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.count = 0

    def add(self, error: Exception) -> None:
        """Take one more."""
        self.count += 1
        if self.count <= MOST_ERRORS:
            self._tell(str(error))
        elif self.count == MOST_ERRORS + 1:
            self._tell("there are more such errors, which are only counted")


@dataclass
class _Tally:
    """The counts of a run: each box of pictures; of videos, how often each class was seen."""

    tell: Callable[[str], None]
    errors: Errors = field(init=False)
    done: int = 0
    boxes: int = 0
    videos: bool = False
    paged: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    classes: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)  # frames, boxes, best score

    def __post_init__(self) -> None:
        self.errors = Errors(self.tell)

    def add(self, frame: Frame) -> None:
        """Count a frame, or its error."""
        if frame.clip and not self.videos:
            self.videos, self.rows = True, []  # videos have too many boxes to be kept
        if frame.error is not None:
            self.errors.add(frame.error)
            return
        self.done += 1
        self.paged |= frame.paged
        self.boxes += frame.boxes
        if not self.videos:
            self.rows += _rows(frame)
        for found in frame.found:
            for class_id in set(found.class_ids.tolist()):
                scores = found.scores[found.class_ids == class_id]
                counts = self.classes.setdefault((frame.source, found.task, found.names[class_id]), [0, 0, 0.0])
                counts[:] = counts[0] + 1, counts[1] + len(scores), max(counts[2], round(float(scores.max()), 4))

    def table(self) -> list[dict[str, Any]]:
        """Give the rows of a `DetectionRun`."""
        if not self.videos:
            for row in () if self.paged else self.rows:
                row.pop("frame", None)
            return self.rows
        names, counts = ("source", "task", "name"), ("frames", "boxes", "best")
        return [dict(zip((*names, *counts), (*key, *values), strict=True)) for key, values in self.classes.items()]


def _rows(frame: Frame) -> Iterator[dict[str, Any]]:
    for found in frame.found:
        for name, score, box in found:
            x1, y1, x2, y2 = map(round, box)
            yield {
                "picture": frame.source,
                "frame": frame.number,
                "task": found.task,
                "name": name,
                "score": round(score, 4),
                "x1": x1, "y1": y1, "x2": x2, "y2": y2,
            }  # fmt: skip
