"""Settings of a training, and who is informed of its progress."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from darkshare.darknet.model import Model
from darkshare.errors import BadValue, require_choice, require_least
from darkshare.surgery.sides import Side
from darkshare.training.journal import Update
from darkshare.training.recipes import RECIPES

DEVICES = ("auto", "cpu", "cuda")
AUTO = "auto"  # the learning rate that a range test finds


@dataclass(frozen=True)
class Changes:
    """Changes to the cfg, most of them to its [net]; None keeps what the cfg says.

    Attributes:
        epochs: how often each picture is seen.
        batches: how many updates are made; instead of `epochs`.
        batch: pictures per update.
        subdivisions: the parts in which they go through the network.
        lr: learning_rate=, or AUTO for that of a range test.
        size: width and height of the input.
        side: own layers beside the trunk, in front of layer k, as `surgery.sides` writes them.
    """

    epochs: float | None = None
    batches: int | None = None
    batch: int | None = None
    subdivisions: int | None = None
    lr: float | str | None = None
    size: tuple[int, int] | None = None
    side: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.lr, str) and self.lr != AUTO:
            raise BadValue(f"lr={self.lr!r} must be a number or {AUTO}")
        if self.side is not None:
            Side.of(self.side)
        require_least(0, open_end=True, epochs=self.epochs, lr=self.rate)
        require_least(1, batches=self.batches, batch=self.batch, subdivisions=self.subdivisions)

    @property
    def rate(self) -> float | None:
        """The learning rate, where it is known."""
        return None if isinstance(self.lr, str) else self.lr


@dataclass(frozen=True)
class Options:
    """Settings of a training.

    Attributes:
        k: the first layer that trains; 0 trains all.
        changes: to the cfg's [net].
        recipe: one of `recipes.RECIPES`.
        negatives: a folder of pictures without objects.
        teacher: the .cfg of a network that was trained end to end, with its weights beside it.
        seed: of all that is random.
        device: one of DEVICES; auto takes a GPU if there is one.
        amp: mixed precision: bfloat16 where that is precise enough.
        ema: the share of the old mean of the weights that each update keeps; 0 for no mean, None for the cfg's, or the
            recipe's.
        bn_eval: batch norm with the base's rolling statistics, for very small batches.
        bn_epsilon: Darknet's.
        augment: as the cfg says; without it, pictures are as inference sees them.
        workers: threads that make pictures ahead.
        validate_every: updates between two validations; 0 for none, None for ten in all.
        patience: validations without a better one after which the training ends; 0 for all of them, None for the
            recipe's.
        cache_features: copies of each picture that the feature cache holds; 0 for no cache.
        cache_anyway: keep a cache that does not pay.
        cache_dtype: of the features on disk.
        checkpoint_every: seconds between two checkpoints.
        resume: go on from the checkpoint.
        threads: that torch computes with.

    Raises:
        BadValue: a number is out of range.
    """

    k: int
    changes: Changes = field(default_factory=Changes)
    recipe: str = "steady"
    negatives: str | os.PathLike[str] | None = None
    teacher: str | None = None
    seed: int = 0
    device: str = "auto"
    amp: bool = False
    ema: float | None = None
    bn_eval: bool = False
    bn_epsilon: float = 1e-5
    augment: bool = True
    workers: int = 2
    validate_every: int | None = None
    patience: int | None = None
    cache_features: int = 0
    cache_anyway: bool = False
    cache_dtype: str = "float16"
    checkpoint_every: float = 60.0
    resume: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        require_choice("recipe", self.recipe, tuple(RECIPES))
        require_least(0, seed=self.seed, workers=self.workers, validate_every=self.validate_every, ema=self.ema)
        require_least(
            0, patience=self.patience, cache_features=self.cache_features, checkpoint_every=self.checkpoint_every
        )
        require_least(1, threads=self.threads)
        if self.teacher is not None and self.cache_features:
            raise BadValue("a teacher sees the pictures, and a cache of features has none; leave one of them out")
        if self.ema is not None and self.ema >= 1:
            raise BadValue(f"ema={self.ema:g} must be less than 1")


class TrainingWatch:
    """Receives what happens in a training while it runs; a subclass shows it."""

    def say(self, text: str) -> None:
        """Something the user should know."""

    def begin(self, done: int, batches: int) -> None:
        """Updates are about to begin."""

    def step(self, entry: Update) -> None:
        """An update is done."""

    def cached(self, done: int, rows: int) -> None:
        """Rows of the feature cache are done."""

    def of(self, task: str) -> TrainingWatch:
        """The watch of one of several tasks that are trained side by side."""
        return _TaskWatch(self, task)


class _TaskWatch(TrainingWatch):
    """Passes on what happens in the training of one task, whose name stands before what it says."""

    def __init__(self, watch: TrainingWatch, task: str) -> None:
        self._watch, self._task = watch, task
        self.begin, self.step, self.cached = watch.begin, watch.step, watch.cached  # type: ignore[method-assign]

    def say(self, text: str) -> None:
        self._watch.say(f"{self._task}: {text}")


class Score(Protocol):
    """The quality of a model: `evaluation.Evaluation` is one, and `evaluation.Accuracy`."""

    @property
    def mean(self) -> float:
        """MAP or top-1, of 0..1."""

    @property
    def rule(self) -> object:
        """The rule by which it was counted, in words."""

    @property
    def mistakes(self) -> str:
        """The false positives and misses behind it, in words; empty where the measure says all."""


Judge = Callable[[Model], Score]
