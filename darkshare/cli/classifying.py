"""`classify`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import click

from darkshare._signals import uninterrupted
from darkshare._tables import render
from darkshare.cli.options import dialect_option, format_option, size_option
from darkshare.cli.running import STOPPED, running_options, silence_decoders, sorted_paths, tell_error
from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError
from darkshare.inference.classification import MEANS, Guesses, only_detectors
from darkshare.inference.detector import Classifier
from darkshare.inference.media import Frame, Selection, select


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights]|MODEL.onnx|MODEL.xml PICTURE...")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to print.")
@click.option("--branches", is_flag=True, help="Of an ensemble, what each branch thinks as well.")
@click.option(
    "--mean", type=click.Choice(MEANS), default=MEANS[0], show_default=True, help="How an ensemble votes, see above."
)
@running_options
@size_option
@dialect_option
@format_option
def classify(paths: tuple[str, ...], top: int, dialect: str, size: Any, form: str, **how: Any) -> None:
    """Say what pictures show, by every classifier of a model, in one pass.

    A picture may be a file, a folder, a pattern in quotes, a .txt list, a video, or - for standard input, as for
    detect. Of each the middle is looked at, as in Darknet. An ensemble that branch made gives its vote; --branches
    adds each branch. --mean file is the vote that the file computes, or else softmax: the mean of the branches'
    probabilities; logits is the mean of what enters their softmax. Tasks that find boxes are for detect.

    \b
    Examples:
      darkshare classify signs.cfg signs.weights hand.jpg
      darkshare classify ensemble.cfg photos/ --branches --top 1 --format csv
      darkshare classify ensemble.cfg photos/ --engine onnxruntime --mean softmax
    """
    model, names, loading = sorted_paths(paths, how.pop("engine"), dialect=dialect, size=size)
    _tell_detectors(model)
    taken = {key: how.pop(key) for key in ("batch", "step", "limit")}
    run = Run(Classifier(model, **how, **loading), select(names), top, **taken)
    stopped = run.through()
    click.echo(render(run.table(), form))
    click.echo(f"{run.done} of {run.done + run.failed} pictures", err=True)
    if stopped or run.failed:
        raise click.exceptions.Exit(STOPPED if stopped else 1)


def _tell_detectors(model: Model) -> None:
    """Say which tasks are left out."""
    others = only_detectors(model)
    if others and len(others.tasks) < len(model.tasks):
        names = ", ".join(task.name for task in others.tasks)
        click.echo(f"Note: {names}: finds boxes, which darkshare detect does", err=True)


@dataclass
class Run:
    """One call of `classify`."""

    classifier: Classifier
    selection: Selection
    top: int
    batch: int
    step: int
    limit: int | None
    done: int = 0
    failed: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    clips: bool = False

    def through(self) -> bool:
        """Classify everything; whether Ctrl-C ended it."""
        silence_decoders()
        frames = _shown(self.selection.frames(self.step, self.limit), self.selection.length(self.step, self.limit))
        try:
            while group := list(islice(frames, self.batch)):
                with uninterrupted():
                    self._take(group)
        except KeyboardInterrupt:
            return True
        return False

    def table(self) -> list[dict[str, Any]]:
        """A row for each guess; the number of the frame where there are videos."""
        return self.rows if self.clips else [{k: v for k, v in row.items() if k != "frame"} for row in self.rows]

    def _take(self, group: Sequence[Frame]) -> None:
        for frame in group:
            if frame.error is not None:
                self._fail(frame.error)
        good = [(frame, frame.image) for frame in group if frame.error is None and frame.image is not None]
        try:
            found = self.classifier.classify_batch([image for _, image in good])
        except DarkshareError as error:
            for _ in good:
                self._fail(error)
            return
        for (frame, _), guesses in zip(good, found, strict=True):
            self.done += 1
            self.clips = self.clips or frame.clip is not None
            self.rows += _rows(frame, guesses, self.top)

    def _fail(self, error: DarkshareError) -> None:
        self.failed += 1
        tell_error(error, self.failed)


def _rows(frame: Frame, found: Sequence[Guesses], top: int) -> Iterator[dict[str, Any]]:
    for guesses in found:
        for place, guess in enumerate(guesses.top(top), 1):
            yield {
                "picture": frame.source,
                "frame": frame.number,
                "task": guesses.task,
                "place": place,
                "class_id": guess.class_id,
                "name": guess.name,
                "probability": round(guess.probability, 6),
            }


def _shown(frames: Iterable[Frame], length: int | None) -> Iterator[Frame]:
    """The same frames, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from frames
        return
    with click.progressbar(frames, length, show_pos=True, file=sys.stderr) as bar:
        yield from bar
