"""`classify`: name what everything that some names mean shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from darkshare._signals import uninterrupted
from darkshare._tables import Result
from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError, checked, warn
from darkshare.inference.classification import MEANS, Guesses, only_detectors
from darkshare.inference.detector import Classifier, runnable
from darkshare.inference.media.detecting import Watch, unwatched
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.pipeline import reading
from darkshare.inference.media.sources import Names, require_counts, select
from darkshare.inference.media.tally import Errors
from darkshare.inference.onnx import BN_EPSILON
from darkshare.inference.preprocess import reads_alpha


@dataclass(frozen=True, repr=False)
class PictureClasses(Result):
    """The likeliest classes of each picture, by every classifier of a model.

    Attributes:
        found: a row for each guess.
        done: how many pictures and frames were looked at.
        failed: how many could not be.
        interrupted: whether Ctrl-C ended it.
    """

    found: tuple[dict[str, Any], ...]
    done: int
    failed: int
    interrupted: bool

    def rows(self) -> list[dict[str, Any]]:
        """A row for each guess, with the number of the frame, or page, where a source has several."""
        return list(self.found)

    def as_dict(self) -> dict[str, Any]:
        counts = {"done": self.done, "failed": self.failed, "interrupted": self.interrupted}
        return {**super().as_dict(), **counts}

    def summary(self) -> str:
        return f"{self.done} of {self.done + self.failed} pictures"


@checked
def classify(  # noqa: D417 - some are described with `detect`
    model: Model | str | os.PathLike[str], sources: Names, *, top: int = 5, branches: bool = False,
    mean: str = MEANS[0], batch: int = 1, every: int = 1, limit: int | None = None, reconnect: float = 0.0,
    bn_epsilon: float = BN_EPSILON, engine: str | None = None, threads: int | None = None, precision: str = "fp32",
    watch: Watch = unwatched, tell: Callable[[str], None] = warn,
) -> PictureClasses:  # fmt: skip
    """Name what pictures show, by every classifier of a model.

    Args:
        model: the model; or the name of its .cfg, or of a file that `export` wrote.
        sources: names of pictures, folders, patterns, lists, videos, cameras, addresses, or "-".
        top: how many classes to give for each picture.
        branches: of an ensemble give each branch, too.
        mean: how an ensemble votes: `file` as the file itself computes it, `softmax` by the mean of the branches'
            probabilities, `logits` by the mean of what enters their softmax.
        batch, every, limit, reconnect, bn_epsilon, engine, threads, precision, watch, tell: as of `detect`.

    Raises:
        DarkshareError: the model cannot be run. A picture that cannot be read is counted and reported.
    """
    require_counts(batch=batch, every=every, limit=limit, top=top, reconnect=reconnect)
    loaded = runnable(model, engine)
    _note_detectors(loaded.model)
    how: dict[str, Any] = {"engine": loaded.engine, "file": loaded.file, "threads": threads, "precision": precision}
    classifier = Classifier(loaded.model, branches=branches, mean=mean, bn_epsilon=bn_epsilon, **how)
    selection = select(sources, alpha=reads_alpha(loaded.model.network))
    with closing(iter(reading(selection, every=every, limit=limit, reconnect=reconnect, batch=batch))) as read:
        frames = watch(read, lambda: selection.length(every, limit))
        return _through(classifier, iter(frames), batch, top, Errors(tell))


def _through(classifier: Classifier, frames: Iterator[Frame], batch: int, top: int, errors: Errors) -> PictureClasses:
    """Classify all frames, a batch at a time."""
    rows: list[dict[str, Any]] = []
    done, has_several, interrupted = 0, False, False
    try:
        while group := list(islice(frames, batch)):
            with uninterrupted():
                for frame, found in _classified(classifier, group, errors):
                    done, has_several = done + 1, has_several or frame.is_numbered
                    rows += _rows(frame, found, top)
    except KeyboardInterrupt:
        interrupted = True
    if not has_several:
        rows = [{name: value for name, value in row.items() if name != "frame"} for row in rows]
    return PictureClasses(tuple(rows), done, errors.count, interrupted)


def _note_detectors(model: Model) -> None:
    """Note which tasks are left out."""
    others = only_detectors(model)
    if others and len(others.tasks) < len(model.tasks):
        warn(f"{', '.join(task.name for task in others.tasks)}: finds boxes, which darkshare detect does")


def _classified(
    classifier: Classifier, group: Sequence[Frame], errors: Errors
) -> Iterator[tuple[Frame, list[Guesses]]]:
    """The frames of a group that can be classified, with their guesses."""
    for frame in group:
        if frame.error is not None:
            errors.add(frame.error)
    good = [frame for frame in group if frame.error is None]
    try:
        yield from zip(good, classifier.classify_batch([frame.image for frame in good]), strict=True)
    except DarkshareError as error:
        for _ in good:
            errors.add(error)


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
