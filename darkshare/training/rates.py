"""The range test: a short training whose rate rises, to find the one to train with (Smith, arXiv 1506.01186)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from darkshare._files import exists
from darkshare.darknet.model import Model
from darkshare.data import ClassifiedDataset, Dataset
from darkshare.errors import DarkshareWarning
from darkshare.training import checkpoints
from darkshare.training.assembly import assembled
from darkshare.training.feeding import PictureFeed
from darkshare.training.optimising import Schedule
from darkshare.training.recipes import TrainingRecipe
from darkshare.training.settings import AUTO, Options, TrainingWatch
from darkshare.training.stepping import Diverged

UPDATES = 40
_BATCHES = 4  # that come again and again: a loss is compared with the one of the same pictures before
_LOWEST, _RISE = 1e-3, 1.32  # the first rate in those of the recipe, and each in the one before; the last is 50
_WORSE = 1.2  # times the lowest mean of a round: what follows says nothing any more
_MOST = 10.0  # times the recipe's rate, or that part of it, may be chosen


@dataclass(frozen=True)
class Rising(Schedule):
    """A schedule that rises by the same factor with each update, past the learning rate that a training would have."""

    def rate(self, number: int) -> float:
        return self.options.learning_rate * _LOWEST * _RISE ** (number - 1)


def settled(
    base: Model, data: Dataset | ClassifiedDataset, options: Options, recipe: TrainingRecipe, checkpoint: Path,
    watch: TrainingWatch,
) -> Options:  # fmt: skip
    """The options with a learning rate where it is to be found: the checkpoint's, or that of a range test.

    Args:
        base: see `preparation.prepared`.
        data: the pictures to learn from.
        options: of the training.
        recipe: of the training.
        checkpoint: where one is, if the training goes on.
        watch: is told what was chosen.

    Raises:
        DarkshareError: something that cannot be trained, or a loss that is not a number from the start.
    """
    if options.changes.lr != AUTO:
        return options
    if options.resume and exists(checkpoint) and (kept := checkpoints.found_in(checkpoint, "rate")):
        rate = kept
    else:
        rate, why = _tested(base, data, options, recipe)
        watch.say(f"learning rate {rate:g}: {why}")
    return replace(options, changes=replace(options.changes, lr=rate))


def _tested(
    base: Model, data: Dataset | ClassifiedDataset, options: Options, recipe: TrainingRecipe
) -> tuple[float, str]:
    """The rate that a range test finds, and why; the network starts as the training will, and is forgotten."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DarkshareWarning)  # the training gives them
        source, trainer, _ = assembled(base, data, options, recipe, "test", TrainingWatch())
    net = trainer.net.network.net
    trainer.schedule = rising = Rising(net)
    feed = PictureFeed(source, trainer.trunk, trainer.batch, trainer.batch // max(net.subdivisions, 1), UPDATES)
    rounds = [list(feed.parts([make() for make in feed.jobs(number)])) for number in range(1, _BATCHES + 1)]
    losses = list[float]()
    try:
        for number in range(1, UPDATES + 1):
            losses.append(trainer.launch(number, rounds[(number - 1) % _BATCHES]).step.loss)
    except Diverged:
        if len(losses) < 2 * _BATCHES:
            raise
    own, place = net.learning_rate, steepest(losses)
    if place is None:
        return own, f"the loss of {len(losses)} updates at rising ones did not fall, so it is the recipe's"
    fastest = rising.rate(1) * _RISE**place
    rate = float(f"{min(max(recipe.margin * fastest, own / _MOST), own * _MOST):.2g}")
    times = f"{recipe.margin:g} times that" if recipe.margin != 1 else "that"
    within = "" if own / _MOST < recipe.margin * fastest < own * _MOST else f", within {_MOST:g} times {own:g}"
    return (
        rate,
        f"in {len(losses)} updates at rising ones the loss fell fastest at {fastest:.2g}; it is {times}{within}",
    )


def steepest(losses: Sequence[float]) -> float | None:
    """The place, from 0, about which losses fall most from one round of batches to the next; None if they never do.

    Args:
        losses: by update; the same batches come in each round.
    """
    means = [math.fsum(losses[at : at + _BATCHES]) / _BATCHES for at in range(len(losses) - _BATCHES + 1)]
    fall, lowest, place = 0.0, means[0], None
    for at, (before, after) in enumerate(zip(means, means[_BATCHES:], strict=False)):
        lowest = min(lowest, after)
        if after - lowest > (_WORSE - 1) * abs(lowest):
            break
        if after - before < fall:
            fall, place = after - before, at + _BATCHES - 0.5
    return place
