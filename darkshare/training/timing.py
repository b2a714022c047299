"""The number of updates that fit into the minutes that a training is given."""

from __future__ import annotations

import math
import tempfile
import warnings
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median
from time import monotonic
from typing import NamedTuple

from darkshare._files import exists
from darkshare.darknet.model import Model
from darkshare.data import ClassifiedDataset, Dataset
from darkshare.errors import BadValue, DarkshareWarning
from darkshare.training import checkpoints
from darkshare.training.files import TrainingFiles
from darkshare.training.rates import UPDATES
from darkshare.training.run import TIMES, Training
from darkshare.training.settings import AUTO, Judge, Options, TrainingWatch

_UPDATES, _COLD = 8, 2  # that are timed, and how many of them are slower, as everything is new


def within(
    minutes: float, base: Model, data: Dataset | ClassifiedDataset, stem: Path, options: Options, judge: Judge | None,
    watch: TrainingWatch,
) -> Options:  # fmt: skip
    """The options with as many updates as a training makes in these minutes, or fewer if it would make fewer.

    A few updates and a validation are timed; what is decided is kept by the training's checkpoint, so that one that
    goes on makes as many.

    Args:
        minutes: for updates and validations, and for their being timed.
        base: see `preparation.prepared`.
        data: the pictures to learn from.
        stem: the path of the training's files without suffix.
        options: of the training.
        judge: measures it.
        watch: is told what was decided.

    Raises:
        DarkshareError: something that cannot be trained; not even one update fits.
    """
    checkpoint = TrainingFiles(stem).checkpoint
    if options.resume and exists(checkpoint) and (kept := checkpoints.found_in(checkpoint, "batches")):
        return replace(options, changes=replace(options.changes, batches=kept, epochs=None))
    begun = monotonic()
    own, update, validation = timed(base, data, options, judge)
    left = 60 * minutes - (monotonic() - begun) - (UPDATES * update if options.changes.lr == AUTO else 0.0)
    every = options.validate_every
    fit = left / (update + validation / every) if every else (left - TIMES * validation) / update
    if fit < 1:
        raise BadValue(
            f"minutes={minutes:g}: an update takes {update:.2g} s, a validation {validation:.2g} s; give more"
        )
    count = min(own, math.floor(fit))
    watch.say(f"an update takes {update:.2g} s, so {math.floor(fit)} fit into {minutes:g} minutes; it makes {count}")
    return replace(options, changes=replace(options.changes, batches=count, epochs=None))


class Times(NamedTuple):
    """The length of a training that nothing limits, and the time that it takes on this machine.

    Attributes:
        updates: how many it makes.
        update: seconds of one.
        validation: seconds of one.
    """

    updates: int
    update: float
    validation: float


def timed(base: Model, data: Dataset | ClassifiedDataset, options: Options, judge: Judge | None) -> Times:
    """Make a few updates of a training and one validation, and forget them.

    Args:
        base: see `preparation.prepared`.
        data: the pictures to learn from.
        options: of the training.
        judge: measures it.

    Raises:
        DarkshareError: something that cannot be trained.
    """
    lr = None if options.changes.lr == AUTO else options.changes.lr
    own = replace(
        options, changes=replace(options.changes, lr=lr), validate_every=0, cache_features=0,
        checkpoint_every=math.inf, resume=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DarkshareWarning)  # the training gives them
        trial = Training(base, data, Path(folder, "timed"), own)
        trial.begin()
        with closing(trial.course()) as course:
            list(islice(course, _UPDATES + 1))
        seconds = [entry.seconds for entry in trial.journal.entries]
        begun = monotonic()
        if judge:
            judge(trial.model)
        return Times(trial.batches, median(seconds[_COLD:] or seconds), monotonic() - begun)
