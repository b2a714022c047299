"""How to train, who is told of it, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from darkshare.darknet.model import Model
from darkshare.training.journal import Entry
from darkshare.training.preparation import Changes

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        k: the first layer that trains; 0 trains all.
        changes: to the cfg's [net].
        seed: of all that is random.
        device: one of DEVICES; auto takes a GPU if there is one.
        amp: mixed precision: bfloat16 where that is precise enough.
        ema: the share of the old mean of the weights that each update keeps; 0 for no mean, None for the cfg's.
        bn_eval: batch norm with the base's rolling statistics, for very small batches.
        bn_epsilon: Darknet's.
        augment: as the cfg says; without it, pictures are as inference sees them.
        workers: threads that make pictures ahead.
        validate_every: updates between two validations; 0 for none, None for ten in all.
        copies: of each picture that the feature cache holds; 0 for no cache.
        cache_anyway: keep a cache that does not pay.
        cache_dtype: of the features on disk.
        checkpoint_every: seconds between two checkpoints.
        resume: go on from the checkpoint.
        threads: that torch computes with.
    """

    k: int
    changes: Changes = field(default_factory=Changes)
    seed: int = 0
    device: str = "auto"
    amp: bool = False
    ema: float | None = None
    bn_eval: bool = False
    bn_epsilon: float = 1e-5
    augment: bool = True
    workers: int = 2
    validate_every: int | None = None
    copies: int = 0
    cache_anyway: bool = False
    cache_dtype: str = "float16"
    checkpoint_every: float = 60.0
    resume: bool = False
    threads: int | None = None


class Watch:
    """What is told of a training while it runs; a subclass shows it."""

    def say(self, text: str) -> None:
        """Something the user should know."""

    def begin(self, done: int, batches: int) -> None:
        """Updates are about to begin."""

    def step(self, entry: Entry) -> None:
        """An update is done."""

    def cached(self, done: int, rows: int) -> None:
        """Rows of the feature cache are done."""


class Verdict(Protocol):
    """How good a model is: `evaluation.Evaluation` is one, and `evaluation.Accuracy`."""

    @property
    def mean(self) -> float:
        """MAP or top-1, of 0..1."""

    @property
    def rule(self) -> object:
        """How it was counted, in words."""


Judge = Callable[[Model], Verdict]


class Outcome(NamedTuple):
    """What a training left.

    Attributes:
        model: after the last update.
        done: how many updates it had.
        batches: how many it was to have.
        map: of the model; None if it was not measured. Of a classifier, top-1.
        best: the highest measured.
        best_batch: after which update that was.
        seconds: that this run took.
        rule: by which it was counted.
        files: that were written.
        measure: "mAP" or "top-1".
        stopped: whether Ctrl-C ended it before everything was done.
    """

    model: Model
    done: int
    batches: int
    map: float | None
    best: float | None
    best_batch: int
    seconds: float
    rule: str
    files: tuple[Path, ...]
    measure: str = "mAP"
    stopped: bool = False
