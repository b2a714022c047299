"""What one process measured, and how two of them compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkshare.analysis.boxplot import Spread, spread_of
from darkshare.darknet.model import Model
from darkshare.errors import BadValue
from darkshare.inference.engines.worker import File, Loading, Worker
from darkshare.inference.onnx import export, output_name

ROUNDS = 20
CONFIDENCE = 0.95
FEWEST = 6  # rounds; of fewer, no two values enclose the median with such confidence
MIB = 2**20


@dataclass(frozen=True)
class Ratio:
    """A median of ratios, and the bounds that enclose the true one with `CONFIDENCE`."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """Networks in one process.

    Attributes:
        seconds: of each round, for each network.
        spread: of the rounds' sums over the networks, in seconds.
        loading: how long loading and the first runs took.
        peak_bytes: the largest resident memory; None where the system does not tell.
    """

    seconds: tuple[tuple[float, ...], ...]
    spread: Spread
    loading: Loading
    peak_bytes: int | None

    @property
    def sums(self) -> list[float]:
        """The seconds of each round."""
        return [sum(one) for one in self.seconds]

    @property
    def peak_mib(self) -> float | None:
        """`peak_bytes` in MiB, for tables."""
        return None if self.peak_bytes is None else round(self.peak_bytes / MIB)


def measured(worker: Worker, seconds: Sequence[Sequence[float]]) -> Measured:
    """What a worker has measured, after its rounds."""
    rounds = tuple(map(tuple, seconds))
    return Measured(rounds, spread_of(np.array([sum(one) for one in rounds])), worker.loading, worker.peak())


def ratio(one: Measured, other: Measured) -> Ratio:
    """How much of the other's time one takes, by rounds."""
    values = sorted(a / b for a, b in zip(one.sums, other.sums, strict=True))
    return Ratio(float(np.median(values)), *median_interval(values))


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """Two of the values that enclose the median of what they were drawn from, with `CONFIDENCE`.

    The number of values below the median is binomial, whatever their distribution (order statistics).

    >>> median_interval(range(1, 21))
    (6, 15)
    """
    n = len(ordered)
    below, left = 0.0, 0  # the chance of at most `left` values below the median
    while True:
        below += math.comb(n, left) / 2**n
        if 2 * below > 1 - CONFIDENCE:
            break
        left += 1
    if not left:
        raise BadValue(f"{n} rounds are too few for an interval; use at least {FEWEST}")
    return ordered[left - 1], ordered[n - left]


def require_rounds(rounds: int) -> None:
    """Refuse what gives no interval, before anything runs.

    Raises:
        BadValue: fewer than `FEWEST`.
    """
    if rounds < FEWEST:
        raise BadValue(f"{rounds} rounds are too few for an interval; use at least {FEWEST}")


def written(model: Model, path: Path, *, bn_epsilon: float = 1e-5) -> File:
    """A model as a file that every engine reads."""
    export(model, path, bn_epsilon=bn_epsilon)
    network = model.network
    outputs = [output_name(network.layers[index]) for index in model.heads]
    return File(str(path.absolute()), outputs, [1, *network.input[:3]])
