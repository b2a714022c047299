"""`detect`: find the objects in everything that some names mean, and write them into files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

from darkshare._files import keeping_inputs
from darkshare._signals import uninterrupted
from darkshare._tables import Result, without
from darkshare.darknet.model import Model, without_branch_tasks
from darkshare.darknet.tasks import Task
from darkshare.errors import BadArguments, BadValue, DarkshareError, Unsupported, checked, require_known, warn
from darkshare.inference.boxes import OVERLAP, Levels, Overlaps
from darkshare.inference.classification import only_detectors
from darkshare.inference.detector import Detector, runnable
from darkshare.inference.draw import annotate
from darkshare.inference.media.chunk_jobs import ChunkItem, ChunkJob, DetectorFiles, Row, found_in
from darkshare.inference.media.chunks import CHUNK, LINES, PARQUET, Chunks, chunked
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.output import OutputFiles
from darkshare.inference.media.output_names import OutputNames
from darkshare.inference.media.pipeline import Frames, flow, reading
from darkshare.inference.media.sinks import FORMATS
from darkshare.inference.media.sources import Broken, Names, PictureFile, Selection, require_counts, select
from darkshare.inference.media.tally import Tally
from darkshare.inference.media.videos import CONTAINERS, Video
from darkshare.inference.media.window import LiveView
from darkshare.inference.onnx import BN_EPSILON
from darkshare.inference.preprocess import reads_alpha

Watch = Callable[[Iterable[Frame], Callable[[], int | None]], Iterable[Frame]]
_RULES = {"thresh": "threshold", "nms": "nms", "classes": "classes", "max_det": "max_det", "clip": "clip"}
_DRAWING = ("line_width", "labels", "legend")
_RUNNING = ("tiles", "overlap", "batch", "bn_epsilon", "threads", "precision")


def unwatched(frames: Iterable[Frame], length: Callable[[], int | None]) -> Iterable[Frame]:
    """Go through frames without a progress bar."""
    return frames


@dataclass(frozen=True, repr=False)
class DetectionRun(Result):
    """Everything that `detect` found, and where it lies.

    Attributes:
        found: a row for each box of pictures; with a video among the sources, one for each class of a source; where
            pictures are looked at by chunks, one for each class.
        done: how many pictures and frames were looked at.
        failed: how many could not be.
        boxes: how many were found.
        has_videos: whether frames of videos are among them.
        seconds: how long it took.
        files: what was written, but for files that belong to single pictures.
        folder: where everything lies.
        interrupted: whether Ctrl-C ended it; what was begun is finished then.
        dropped: frames of cameras and streams that came while nobody could take them.
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
    dropped: int = 0

    def rows(self) -> list[dict[str, Any]]:
        """Each box of pictures, with its page where a file has several; of videos, and of chunks, each class.

        Of a class it is given in how many frames or pictures it was seen, its boxes and the best score.
        """
        return list(self.found)

    def table(self) -> list[dict[str, Any]]:
        return without(self.found, "class_id")

    def as_dict(self) -> dict[str, Any]:
        counts = {"done": self.done, "failed": self.failed, "boxes": self.boxes, "seconds": self.seconds}
        return {
            **super().as_dict(),
            **counts,
            "dropped": self.dropped,
            "files": list(map(str, self.files)),
            "interrupted": self.interrupted,
        }

    def summary(self) -> str:
        what = "frames" if self.has_videos else "pictures"
        speed = f", {self.done / max(self.seconds, 1e-9):.1f} frames/s" if self.has_videos else ""
        lost = f", {self.dropped} dropped since they came too fast" if self.dropped else ""
        where = ", ".join(map(str, self.files)) or (str(self.folder) if self.done else "nothing")
        return f"{self.done} of {self.done + self.failed} {what}, {self.boxes} boxes{speed}{lost}; wrote {where}"


@checked
@keeping_inputs()
def detect(  # noqa: D417 - some are described together
    model: Model | str | os.PathLike[str], sources: Names, *, output: str | os.PathLike[str] = "detections",
    save: str | Sequence[str] = (), container: str = ".avi", thresh: Levels | None = None, nms: Overlaps | None = None,
    classes: str | Sequence[str] = (), task: str | Sequence[str] = (), max_det: int | None = None, clip: bool = False,
    tiles: tuple[int, int] | None = None, overlap: float = OVERLAP, branches: bool = False,
    line_width: int | None = None, labels: bool = True, legend: bool = False, show: bool = False, batch: int = 1,
    every: int = 1, limit: int | None = None, reconnect: float = 0.0, chunk: int | None = None,
    scheduler: str | None = None, bn_epsilon: float = BN_EPSILON, engine: str | None = None,
    threads: int | None = None, precision: str = "fp32", watch: Watch = unwatched, tell: Callable[[str], None] = warn,
) -> DetectionRun:  # fmt: skip
    """Find the objects of every task in pictures and videos, and write them into files.

    Args:
        model: the model; or the name of its .cfg, or of a file that `export` wrote.
        sources: names of pictures, folders, patterns, lists, videos, cameras, addresses, or "-".
        output: the folder for what is written.
        save: names of `media.FORMATS` (of chunks json or parquet); without any, pictures become pictures and JSON,
            videos a video and JSON lines.
        container: the suffix of the videos written: .avi, .mkv, .mp4 or .webm.
        thresh: keep scores above it (0.25); one number, or some tasks' own by name.
        nms: of two boxes of one task and class that overlap more, keep the better one (0.45); likewise. "agnostic", or
            (0.4, "agnostic"), is for boxes of one task and any classes.
        classes, task: find these only, in the tasks that have them; run these only. None for all.
        max_det: of each picture and task keep that many boxes, the best.
        clip: cut boxes off at the edge of the picture, also in JSON and CSV, and leave out those beyond it.
        tiles, overlap: columns and rows of tiles that go through the network beside the whole picture, so that small
            objects are found; the share of a tile's side that its neighbour has too.
        branches: of an ensemble give what each branch finds, too.
        line_width, labels, legend: of the boxes in pictures and videos; see `annotate`.
        show: in a window too, until its user presses q or Esc or closes it; a picture until a key is pressed.
        batch: pictures, or tiles, per run of the network.
        every, limit, reconnect: see `watch`.
        chunk: cut pictures into chunks of so many, each a file of its own; the same call goes on where it was stopped.
        scheduler: the address of a Dask cluster that looks at the chunks (of 256); see docs/how-to/cluster.md.
        engine: one of `engines()`; None for opencv, or the one that an int8 file is for.
        bn_epsilon, threads, precision: see `export` and `Detector`.
        watch: goes through the frames, for a progress bar; it also gets a function that counts those that will come.
        tell: gets a line for each of the first pictures and frames that fail.

    Raises:
        DarkshareError: the model cannot be run, an input lies in the output folder, or nothing can be written there.
            A picture that cannot be read is counted and reported.
    """
    given = dict(locals())
    require_counts(batch=batch, every=every, limit=limit, reconnect=reconnect, chunk=chunk, line_width=line_width)
    loaded = runnable(model, engine)
    chosen = _boxes_only(loaded.model, branches=branches, names=[task] if isinstance(task, str) else task)
    selection = select(sources, alpha=reads_alpha(chosen.network))
    how = {"engine": loaded.engine, **{name: given[name] for name in _RUNNING}}
    rules = {own: given[name] for name, own in _RULES.items() if given[name] is not None}
    if chunk or scheduler:
        job = ChunkJob(DetectorFiles.of(loaded, chosen.tasks, how), rules, every, limit)
        return _by_chunks(job, selection, given)
    return _by_frames(chosen, partial(Detector, chosen, file=loaded.file, **rules, **how), selection, given)


def _by_frames(
    model: Model, make: Callable[[], Detector], selection: Selection, given: Mapping[str, Any]
) -> DetectionRun:  # fmt: skip
    """Look at frames one after another, and write what was asked for as they are done.

    Args:
        model: with the tasks that are run.
        make: loads its detector.
        selection: the sources.
        given: the arguments of `detect`.
    """
    every, limit, batch = given["every"], given["limit"], given["batch"]
    window = LiveView() if given["show"] else None
    names = OutputNames(Path(given["output"]))
    for item in selection.known:
        names.admit(item.name)
    wanted = _require_formats(given["save"], given["container"], selection)
    files = OutputFiles(names.folder, model, wanted, given["container"])
    detector = make()
    read = reading(
        selection, every=every, limit=limit, reconnect=given["reconnect"], batch=batch, admit=names.admit,
        prepare=detector.prepare,
    )  # fmt: skip
    drawing = partial(annotate, **{name: given[name] for name in _DRAWING})
    draws, ends = (files.draws, None) if window is None else (lambda frame: True, window.ends)
    frames = flow(detector, read, batch=batch, draws=draws, draw=drawing, ends=ends)
    shown = given["watch"](frames, lambda: selection.length(every, limit))
    found = _written(frames, shown, files, names, Tally(given["tell"]), window)
    return replace(found, dropped=read.dropped)


def _by_chunks(job: ChunkJob, selection: Selection, given: Mapping[str, Any]) -> DetectionRun:
    """Look at pictures by chunks, whose files are all that is written.

    Raises:
        Unsupported: there are other sources than pictures on disk.
    """
    names = OutputNames(Path(given["output"]))
    cut = Chunks(names.folder, given["chunk"] or CHUNK, _suffix(given), given["scheduler"])
    items: list[ChunkItem] = []
    for item in chain(selection.known, selection.later):
        if not isinstance(item, PictureFile | Broken):
            raise Unsupported("is not a picture on disk, and chunks are of such; leave it out", file=item.name)
        items.append(item)
    rows = chunked(job, items, cut, job.files.load())
    frames = (_frame(row, job.tasks) for row in rows)
    length = Selection(tuple(items)).length
    shown = given["watch"](frames, lambda: length(job.every, job.limit))
    return _written(frames, shown, None, names, Tally(given["tell"], by_class=True))


def _frame(row: Row, tasks: Sequence[Task]) -> Frame:
    """A picture that was looked at elsewhere; it is not there itself."""
    error = None if row["error"] is None else DarkshareError(row["error"])
    return Frame(row["source"], error=error, number=row["frame"], paged=row["paged"], found=found_in(row, tasks))


def _suffix(given: Mapping[str, Any]) -> str:
    """The suffix of chunks.

    Raises:
        BadArguments: something that chunks do not have.
    """
    save = given["save"]
    wanted = {save} if isinstance(save, str) else set(save)
    if not (wanted <= {"json"} or wanted == {"parquet"}):
        raise BadArguments(f"--save {','.join(sorted(wanted))}: chunks are json or parquet")
    if given["container"] != ".avi" or given["reconnect"]:
        raise BadArguments("--container, --reconnect: about videos, and chunks are of pictures")
    if given["line_width"] or given["legend"] or not given["labels"] or given["show"]:
        raise BadArguments("--line-width, --no-labels, --legend, --show: of chunks no pictures are drawn")
    return PARQUET if wanted == {"parquet"} else LINES


def _written(
    frames: Frames, shown: Iterable[Frame], files: OutputFiles | None, names: OutputNames, tally: Tally,
    window: LiveView | None = None,
) -> DetectionRun:  # fmt: skip
    """Take all frames: count them, and write those that can be read.

    Args:
        frames: of the pipeline, which is closed at the end.
        shown: the same, as they come out of a progress bar.
        files: to write to; None where the chunks are written already.
        names: of these files.
        tally: to count with.
        window: to show them in.
    """
    interrupted, begun = False, perf_counter()
    try:
        with closing(frames):
            for frame in shown:
                with uninterrupted():  # else a frame could be counted, but not written
                    tally.add(frame)
                    if files and frame.error is None:
                        files.write(frame, names.stem(frame))
                    elif files and frame.clip is None:  # it is the last one of its source
                        files.end(frame.source)
                if window and frame.error is None:
                    window.show(frame)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        seconds = perf_counter() - begun
        with uninterrupted():
            written = files.close() if files else []
        if window:
            window.close()
    for note in files.notes() if files else ():
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
    if "parquet" in wanted:
        raise BadArguments("--save parquet: only chunks are saved so; give --chunk too")
    if unknown := [name for name in wanted if name not in FORMATS]:
        raise BadValue(f"nothing is saved as {unknown[0]}; use {', '.join(FORMATS)}")
    if container not in CONTAINERS:
        raise BadValue(f"no video is written as {container}; use {', '.join(CONTAINERS)}")
    if wanted == ("video",) and not selection.later and not any(isinstance(i, Video) for i in selection.known):
        raise BadValue("to save a video, name a video, camera or stream among the sources")
    return wanted
