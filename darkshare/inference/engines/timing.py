"""Times and memory of networks in processes, and how two of them compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darkshare.analysis.boxplot import Spread, spread_of
from darkshare.errors import BadValue
from darkshare.inference.engines.worker import Loading, Worker, run_in_turns

ROUNDS = 20
CONFIDENCE = 0.95
FEWEST = 6  # rounds; of fewer, no two values enclose the median with such confidence
MIB = 2**20
DIGITS = {"ratio": 3, "low": 3, "high": 3, "peak MiB": 0}  # that people are shown


@dataclass(frozen=True)
class TimeRatio:
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
        peak_bytes: the largest resident memory; None where the system does not report it.
    """

    seconds: tuple[tuple[float, ...], ...]
    spread: Spread
    loading: Loading
    peak_bytes: int | None

    @property
    def sums(self) -> list[float]:
        """The seconds of each round."""
        return [sum(one) for one in self.seconds]

    def columns(self, ratio: TimeRatio | None) -> dict[str, float | None]:
        """Give the columns of a table: milliseconds, MiB, and the ratio to another one."""
        found = {"ms": self.spread.median, "q1": self.spread.q1, "q3": self.spread.q3}
        bounds = (ratio.median, ratio.low, ratio.high) if ratio else (None, None, None)
        loading = {"load ms": self.loading.load, "first ms": self.loading.first}
        return {
            **{name: 1000 * seconds for name, seconds in found.items()},
            **dict(zip(("ratio", "low", "high"), bounds, strict=True)),
            **{name: 1000 * seconds for name, seconds in loading.items()},
            "peak MiB": None if self.peak_bytes is None else self.peak_bytes / MIB,
        }


def in_turns(workers: Sequence[Worker], rounds: int) -> list[Measured]:
    """Run workers in turns and measure each of them."""
    return [_measured(*one) for one in zip(workers, run_in_turns(workers, rounds), strict=True)]


def _measured(worker: Worker, seconds: Sequence[Sequence[float]]) -> Measured:
    rounds = tuple(map(tuple, seconds))
    return Measured(rounds, spread_of(np.array([sum(one) for one in rounds])), worker.loading, worker.peak())


def ratio(one: Measured, other: Measured) -> TimeRatio:
    """Compare the times of two, round by round: one / other."""
    values = sorted(a / b for a, b in zip(one.sums, other.sums, strict=True))
    return TimeRatio(float(np.median(values)), *median_interval(values))


def rounded(row: Mapping[str, Any], digits: Mapping[str, int]) -> dict[str, Any]:
    """Round some columns of a row to so many digits behind the point, those of 0 to whole numbers."""
    return {
        name: value if value is None or name not in digits else round(value, digits[name] or None)
        for name, value in row.items()
    }


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """Choose two of the values that enclose the median of what they were drawn from, with `CONFIDENCE`.

    The number of values below the median is binomial, whatever their distribution (order statistics).

    >>> median_interval(range(1, 21))
    (6, 15)
    """
    require_rounds(n := len(ordered))
    below, left = 0.0, 0  # the chance of at most `left` values below the median
    while True:
        below += math.comb(n, left) / 2**n
        if 2 * below > 1 - CONFIDENCE:
            break
        left += 1
    return ordered[left - 1], ordered[n - left]


def require_rounds(rounds: int) -> None:
    """Refuse too few rounds for an interval, before anything runs.

    Raises:
        BadValue: fewer than `FEWEST`.
    """
    if rounds < FEWEST:
        raise BadValue(f"{rounds} rounds are too few for an interval; use at least {FEWEST}")
