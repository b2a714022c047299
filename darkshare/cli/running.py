"""`detect`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import click

from darkshare._signals import uninterrupted
from darkshare._tables import printable, render
from darkshare.cli.options import F, dialect_option, format_option, load_all, size_option
from darkshare.cli.parameters import LEVEL, choices
from darkshare.darknet.model import Model, only_votes
from darkshare.darknet.tasks import Task
from darkshare.errors import DarkshareError, Unsupported
from darkshare.inference.boxes import NMS, THRESHOLD, levels
from darkshare.inference.classification import only_detectors
from darkshare.inference.detector import Detector, engine_for
from darkshare.inference.engines import DEFAULT, PRECISIONS
from darkshare.inference.engines import NAMES as ENGINES
from darkshare.inference.media import CONTAINERS, Frame, Output, Places, Selection, Video, flow, select
from darkshare.inference.media import NAMES as SINKS
from darkshare.inference.onnx import SUFFIXES as EXPORTED
from darkshare.inference.onnx import read_exported

MOST_ERRORS = 20  # that are printed; the others are counted
BN_EPSILON = 1e-5
STOPPED = 130  # the exit code of what Ctrl-C ends


def running_options(function: F) -> F:
    """What `detect` and `classify` take alike: how much of the sources, and what computes."""
    options = (
        click.option(
            "--batch", type=click.IntRange(1), default=1, show_default=True, help="Pictures per run of the network."
        ),
        click.option(
            "--every", "step", type=click.IntRange(1), default=1, show_default=True, help="Take every N-th frame."
        ),
        click.option("--limit", type=click.IntRange(1), help="Take no more frames of each video than that."),
        click.option(
            "--bn-epsilon", type=float, default=BN_EPSILON, show_default=True, help="OpenCV 4's own importer has 1e-6."
        ),
        click.option(
            "--engine",
            type=click.Choice(list(ENGINES)),
            help=f"What computes.  [default: {DEFAULT}, or what an int8 file is for]",
        ),
        click.option("--threads", type=click.IntRange(1), help="How many the engine computes with."),
        click.option(
            "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="To compute in."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights]|MODEL.onnx|MODEL.xml SOURCE...")
@click.option("-o", "--output", default="detections", show_default=True, help="Folder for what is written.")
@click.option(
    "--save",
    type=choices(SINKS),
    multiple=True,
    metavar="NAME,...",
    help="What to write, see above; may be given again.",
)
@click.option(
    "--container", type=click.Choice(list(CONTAINERS)), default=".avi", show_default=True, help="Of the videos written."
)
@click.option("--thresh", type=LEVEL, multiple=True, help=f"Keep scores above it.  [default: {THRESHOLD}]")
@click.option("--nms", type=LEVEL, multiple=True, help=f"Largest overlap of two boxes; 0: any.  [default: {NMS}]")
@click.option("--branches", is_flag=True, help="Of an ensemble, what each branch finds as well.")
@running_options
@size_option
@dialect_option
@format_option
def detect(paths: tuple[str, ...], output: str, size: Any, dialect: str, form: str, branches: bool, **how: Any) -> None:
    """Find the objects of every task in pictures and videos, in one pass.

    A source is a picture, a folder, a pattern in quotes, a .txt list, a video, the number of a camera, the address of
    a stream, or - for a picture or a list of names on standard input. Pictures are saved with their boxes, and
    result.json in the form of Darknet's -out, plus the task. Videos become a video and a line of JSON per frame.
    --save chooses otherwise: picture, video, json, csv, yolo (label files) or coco. A threshold may be one task's
    own: --thresh masks=0.4. Of an ensemble that branch made, its vote is told. A file that export wrote is a model too.

    \b
    Examples:
      darkshare detect both.cfg both.weights street.jpg -o out
      darkshare detect both.cfg photos/ --thresh masks=0.3 --save csv,yolo
      darkshare detect both.cfg traffic.mp4 --every 5 --limit 100
      darkshare detect both-int8.onnx photos/
    """
    model, sources, loading = sorted_paths(paths, how.pop("engine"), dialect=dialect, size=size)
    chosen = _boxes_only(model)
    run = Run.of(chosen if branches else only_votes(chosen), sources, Path(output), **how, **loading)
    stopped = run.through()
    click.echo(render(run.tally.table(), form))
    click.echo(run.summary(), err=True)
    if stopped or run.tally.failed:
        raise click.exceptions.Exit(STOPPED if stopped else 1)


def sorted_paths(paths: Sequence[str], engine: str | None, **how: Any) -> tuple[Model, list[str], dict[str, Any]]:
    """The model, the sources behind it, and how to load it."""
    context = click.get_current_context()
    of_model = [path for path in paths if Path(path).suffix in (".cfg", ".weights", *EXPORTED)]
    sources = [path for path in paths if path not in of_model]
    exported = [path for path in of_model if Path(path).suffix in EXPORTED]
    if exported:
        _require_whole(exported[0], of_model, context)
    models = [] if exported else load_all(of_model, **how)
    if not models and not exported:
        raise click.UsageError("give a model: a .cfg, or a file that export wrote")
    if len(models) > 1:
        given = f"{context.info_name} runs one model, but {len(models)} were given"
        raise click.UsageError(f"{given}; merge them with concat")
    if not sources:
        raise click.UsageError("give at least one picture, video or other source behind the model")
    if not exported:
        return models[0], sources, {"engine": engine or DEFAULT}
    found = read_exported(exported[0])
    return found.model, sources, {"engine": engine_for(found, engine), "file": found.path}


def _require_whole(exported: str, of_model: Sequence[str], context: click.Context) -> None:
    """Refuse what an exported file has settled already."""
    if len(of_model) > 1:
        raise click.UsageError(
            f"{context.info_name} runs one model, and {exported} is a whole one; leave out the others"
        )
    if context.params["size"] or context.params["bn_epsilon"] != BN_EPSILON:
        raise click.UsageError(f"--size and --bn-epsilon are settled in {exported}; give them to export")


def _boxes_only(model: Model) -> Model:
    """The model's detectors; which tasks another command runs is told.

    Raises:
        Unsupported: it has none.
    """
    chosen = only_detectors(model)
    if chosen is None:
        raise Unsupported("classifies whole pictures and finds no boxes; darkshare classify runs it", file=model.name)
    left_out = [task.name for task in model.tasks if task not in chosen.tasks]
    if left_out:
        click.echo(f"Note: {', '.join(left_out)}: classifies whole pictures, which darkshare classify does", err=True)
    return chosen


def _levels(tasks: Sequence[Task], given: Sequence[tuple[str, float]], default: float) -> dict[str, float]:
    """Each task's own level: the last that names it, else the last that names none."""
    named = {task: value for task, value in given if task}
    common = dict(given).get("", default)
    return levels(tasks, named, common)


class Row(NamedTuple):
    """A box in a picture."""

    picture: str
    task: str
    name: str
    score: float
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass
class Tally:
    """What is told at the end: each box of pictures; of videos, how often each class was seen."""

    done: int = 0
    failed: int = 0
    boxes: int = 0
    videos: bool = False
    rows: list[Row] = field(default_factory=list)
    classes: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)  # frames, boxes, best score

    def add(self, frame: Frame) -> None:
        if frame.clip and not self.videos:
            self.videos, self.rows = True, []  # videos have too many boxes to be kept
        self.failed += frame.error is not None
        self.done += frame.error is None
        self.boxes += frame.boxes
        if not self.videos:
            self.rows += _rows(frame)
        for found in frame.found:
            for class_id in set(found.class_ids.tolist()):
                scores = found.scores[found.class_ids == class_id]
                counts = self.classes.setdefault((frame.source, found.task, found.names[class_id]), [0, 0, 0.0])
                counts[:] = counts[0] + 1, counts[1] + len(scores), max(counts[2], round(float(scores.max()), 4))

    def table(self) -> list[dict[str, Any]]:
        """Rows for `render`."""
        if not self.videos:
            return [row._asdict() for row in self.rows]
        names, counts = ("source", "task", "name"), ("frames", "boxes", "best")
        return [dict(zip((*names, *counts), (*key, *values), strict=True)) for key, values in self.classes.items()]


def _rows(frame: Frame) -> Iterator[Row]:
    for found in frame.found:
        for name, score, box in found:
            yield Row(frame.source, found.task, name, round(score, 4), *map(round, box))


@dataclass
class Run:
    """One call of `detect`."""

    detector: Detector
    selection: Selection
    output: Output
    places: Places
    video: tuple[int, int | None]  # step and limit
    batch: int
    tally: Tally = field(default_factory=Tally)
    written: Sequence[Path] = ()
    seconds: float = 0.0

    @classmethod
    def of(
        cls, model: Model, sources: Sequence[str], folder: Path, *, save: Sequence[tuple[str, ...]], **how: Any
    ) -> Run:
        """Prepare it; nothing is written yet.

        Raises:
            DarkshareError: the model cannot be run, or an input lies in the output folder.
        """
        silence_decoders()
        selection, places = select(sources), Places(folder)
        for item in selection.known:
            places.admit(item.name)
        wanted = tuple(dict.fromkeys(name for names in save for name in names))
        if wanted == ("video",) and not selection.later and not any(isinstance(i, Video) for i in selection.known):
            raise click.UsageError("--save video needs a video, camera or stream among the sources")
        output = Output(folder, model, wanted, how.pop("container"))
        video, batch, tasks = (how.pop("step"), how.pop("limit")), how.pop("batch"), model.tasks
        thresh, nms = _levels(tasks, how.pop("thresh"), THRESHOLD), _levels(tasks, how.pop("nms"), NMS)
        return cls(Detector(model, threshold=thresh, nms=nms, **how), selection, output, places, video, batch)

    def through(self) -> bool:
        """Run all frames; whether Ctrl-C ended it."""
        frames = self.selection.frames(*self.video, admit=self.places.admit)
        begun = perf_counter()
        try:
            with closing(flow(self.detector, frames, batch=self.batch, draws=self.output.draws)) as done:
                for frame in _progress(done, self.selection, self.video):
                    with uninterrupted():  # else a frame could be counted, but not written
                        self._take(frame)
        except KeyboardInterrupt:
            return True
        finally:
            self.seconds = perf_counter() - begun
            with uninterrupted():
                self.written = self.output.close()
        return False

    def _take(self, frame: Frame) -> None:
        self.tally.add(frame)
        if frame.error is None:
            self.output.write(frame, self.places.stem(frame))
        else:
            tell_error(frame.error, self.tally.failed)

    def summary(self) -> str:
        """What was done, how fast, and where it lies."""
        tally, what = self.tally, "frames" if self.tally.videos else "pictures"
        speed = f", {tally.done / max(self.seconds, 1e-9):.1f} frames/s" if tally.videos else ""
        where = ", ".join(map(str, self.written)) or (str(self.places.folder) if tally.done else "nothing")
        return f"{tally.done} of {tally.done + tally.failed} {what}, {tally.boxes} boxes{speed}; wrote {where}"


def tell_error(error: DarkshareError, number: int) -> None:
    """Say what went wrong, clear of a bar; from `MOST_ERRORS` on, once, that there is more."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    if number <= MOST_ERRORS:
        click.echo(f"{clear}Error: {printable(str(error))}", err=True)
    elif number == MOST_ERRORS + 1:
        click.echo(f"{clear}Error: there are more such errors, which are only counted", err=True)


def silence_decoders() -> None:
    """Keep FFmpeg's and OpenCV's own words on broken files off the terminal: we say what is wrong."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")


def _progress(frames: Iterable[Frame], selection: Selection, video: tuple[int, int | None]) -> Iterator[Frame]:
    """The same frames, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from frames
        return
    begun, done = perf_counter(), 0

    def counted() -> Iterator[Frame]:
        nonlocal done
        for frame in frames:
            done += 1
            yield frame

    def speed(_: Frame | None) -> str:
        return f"{done / max(perf_counter() - begun, 1e-9):.1f} frames/s"

    length = selection.length(*video)
    with click.progressbar(counted(), length, show_pos=True, item_show_func=speed, file=sys.stderr) as bar:
        yield from bar
