"""`detect`, and what it shares with `classify`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from darkshare._signals import stopped
from darkshare.cli import command, options
from darkshare.cli.parameters import LEVEL, NAMES, OVERLAP, choices
from darkshare.cli.printing import noted, say, show
from darkshare.cli.progress import is_watched, say_above, watched
from darkshare.darknet.model import Model
from darkshare.darknet.pairing import is_of_model
from darkshare.inference.boxes import NMS, THRESHOLD
from darkshare.inference.engines import DEFAULT
from darkshare.inference.media import CONTAINERS, FORMATS, DetectionRun, Frame, PictureClasses
from darkshare.inference.media import detect as detect_objects
from darkshare.inference.onnx import SUFFIXES as EXPORTED


def frames_options(function: options.F) -> options.F:
    """Give the options that `detect` and `classify` share."""
    every = click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Take every N-th frame.")
    limit = click.option("--limit", type=click.IntRange(1), help="Take no more frames of each video than that.")
    reconnect = click.option(
        "--reconnect", type=click.FloatRange(0), default=0.0, metavar="SECONDS",
        help="Wait so long for a camera or stream that breaks off.",
    )  # fmt: skip
    engine = options.running_options(None, f"What computes.  [default: {DEFAULT}, or what an int8 file is for]")
    return every(limit(reconnect(engine(function))))


@command()
@click.argument("paths", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights]|MODEL.onnx|MODEL.xml SOURCE...")
@options.folder_option("detections", "pictures, videos and what was found.")
@options.several_option(
    "--save",
    choices((*FORMATS, "parquet")),
    metavar="NAME,...",
    help=f"What to write: {', '.join(FORMATS)}; of chunks json or parquet.",
)
@options.choice_option("--container", CONTAINERS, "Of the videos written.", ".avi")
@options.keyed_option("--thresh", LEVEL, help=f"Keep scores above it.  [default: {THRESHOLD}]")
@options.keyed_option(
    "--nms", OVERLAP, metavar="[TASK=]LEVEL[,agnostic]",
    help=f"Largest overlap of two boxes of one class, with agnostic of any classes; 0: any.  [default: {NMS}]",
)  # fmt: skip
@options.several_option("--classes", NAMES, help="Only boxes of these.")
@options.several_option("--task", NAMES, help="Run these only.")
@click.option("--max-det", type=click.IntRange(1), metavar="N", help="The best N boxes of each picture and task.")
@click.option("--clip", is_flag=True, help="Cut boxes off at the edge of the picture.")
@options.tiles_options
@click.option("--branches", is_flag=True, help="Of an ensemble, what each branch finds as well.")
@click.option("--line-width", type=click.IntRange(1), metavar="PIXELS", help="Of boxes, instead of what fits.")
@click.option("--labels/--no-labels", default=True, help="Boxes with or without names and scores.")
@click.option("--legend", is_flag=True, help="Count the classes in a corner of each picture.")
@click.option("--show", is_flag=True, help="In a window too; q or Esc ends it, any other key the picture.")
@options.chunk_options
@frames_options
@options.size_option
@options.dialect_option
@options.format_option
def detect(paths: tuple[str, ...], size: Any, dialect: str, form: str, **how: Any) -> None:
    """Find the objects of every task in pictures and videos, in one pass.

    A source is a picture, a folder, a pattern in quotes, a .txt list, a video, the number of a camera, the address of
    a stream, or - for a picture or a list of names on standard input. Pictures are saved with their boxes, and
    result.json in the form of Darknet's -out, plus the task. Videos become a video and a line of JSON per frame.
    --save chooses otherwise, yolo being label files. With --chunk or --scheduler pictures of any number become files
    of JSON lines, or Parquet, and the same command goes on where it was stopped. --thresh and --nms may be one task's
    own: --thresh masks=0.4. An ensemble that branch made gives its vote. A file that export wrote is a model too.

    \b
    Examples:
      darkshare detect both.cfg both.weights street.jpg -o out
      darkshare detect both.cfg photos/ --thresh masks=0.3 --save csv,yolo
      darkshare detect both.cfg traffic.mp4 --every 5 --limit 100
      darkshare detect both-int8.onnx photos/ --classes car,person --max-det 20
      darkshare detect both.cfg 0 --show --legend
      darkshare detect both.cfg street.jpg --tiles 2x2 --nms agnostic
      darkshare detect both.cfg million.txt --scheduler tcp://10.0.0.1:8786 -o out
    """
    model, sources = sorted_paths(paths, dialect=dialect, size=size)
    levels: dict[str, Any] = {name: dict(how.pop(name)) for name in ("thresh", "nms")}
    found = detect_objects(model, sources, **levels, **how, watch=progress_of(with_speed=True), tell=tell_error)
    show(found, form=form)
    noted([found.folder, *found.files])
    say(found.summary())
    end(found)


def sorted_paths(paths: Sequence[str], **how: Any) -> tuple[Model | str, list[str]]:
    """Tell the model, or the exported file, from the sources behind it."""
    of_model = [path for path in paths if is_of_model(path) or Path(path).suffix in EXPORTED]
    sources = [path for path in paths if path not in of_model]
    exported = [path for path in of_model if Path(path).suffix in EXPORTED]
    if exported:
        _require_whole(exported[0], of_model)
    if not of_model:
        raise click.UsageError("give a model: a .cfg, or a file that export wrote")
    model = exported[0] if exported else options.one_model(of_model, **how)
    if not sources:
        raise click.UsageError("give at least one picture, video or other source behind the model")
    return model, sources


def _require_whole(exported: str, of_model: Sequence[str]) -> None:
    """Refuse options that are settled in an exported file."""
    if len(of_model) > 1:
        raise click.UsageError(f"give one model; {exported} is a whole one, so leave out the others")
    if options.asked("size") or options.asked("bn_epsilon"):
        raise click.UsageError(f"--size and --bn-epsilon are settled in {exported}; give them to export")


def tell_error(message: str) -> None:
    """Print what went wrong, clear of a bar."""
    say_above(f"Error: {message}", always=True)


def end(found: DetectionRun | PictureClasses) -> None:
    """End with an exit code that tells of Ctrl-C and of pictures that failed."""
    if found.interrupted or found.failed:
        raise click.exceptions.Exit(stopped()[0] if found.interrupted else 1)


def progress_of(*, with_speed: bool) -> Callable[[Iterable[Frame], Callable[[], int | None]], Iterable[Frame]]:
    """Give what goes through frames with a bar on a terminal, which may show frames per second."""
    begun, done = perf_counter(), 0

    def counted(frames: Iterable[Frame]) -> Iterator[Frame]:
        nonlocal begun, done
        begun = perf_counter()
        for frame in frames:
            done += 1
            yield frame

    def speed() -> str:
        return f"{done / max(perf_counter() - begun, 1e-9):.1f} frames/s"

    def watch(frames: Iterable[Frame], length: Callable[[], int | None]) -> Iterable[Frame]:
        return watched(counted(frames), length(), show=speed if with_speed else None) if is_watched() else frames

    return watch
