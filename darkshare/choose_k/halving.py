"""Successive halving: short trainings of several k, then further seeds of those about which there is doubt.

After Jamieson and Talwalkar, AISTATS 2016; what is sought is not the best arm, but the largest k whose loss is allowed.
All of it is a sweep in a folder, whose tables and figure it leaves.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from time import monotonic
from typing import Any, NamedTuple

from darkshare._tables import Result
from darkshare.analysis.savings import at_cuts
from darkshare.choose_k.planning import SWEEP
from darkshare.choose_k.results import Choice
from darkshare.choose_k.sweep import SweepWatch, sweep
from darkshare.choose_k.trials import read_json, write_json
from darkshare.darknet.model import Model
from darkshare.data import read_data
from darkshare.errors import BadValue
from darkshare.evaluation import evaluate_model
from darkshare.training.settings import Changes, Options
from darkshare.training.timing import timed

MOST = 6  # cuts that are trained, beside k=0
_FEWEST = 60  # updates of a training that says anything
_FIRST = 0.45  # of the time, for one seed of all
_START = 3.0  # seconds that a training takes beside its updates and its evaluation
_SEEDS = 9  # at most
_COURSE = "course.json"


@dataclass(frozen=True)
class CutLoss:
    """The mAP that sharing k layers costs, in points.

    Attributes:
        k: how many are shared.
        points: mAP of k=0 less this one's, the mean over seeds.
        error: the standard error of that; None with one seed.
        seeds: how many there are.
        flops: the share of a further network's operations that is saved.
    """

    k: int
    points: float
    error: float | None
    seeds: int
    flops: float

    def __str__(self) -> str:
        apart = "" if self.error is None else f" ± {self.error:.1f}"
        return f"{self.points:.1f}{apart} points of mAP"


@dataclass(frozen=True, repr=False)
class Halving(Result):
    """The largest k whose loss is allowed, by training.

    Attributes:
        k: that one; None if there is none.
        losses: of all cuts, in ascending order.
        allowed: points of mAP that may be lost.
        is_sure: whether it and the next larger one are a standard error away from what is allowed.
        trainings: how many were made.
        batches: updates of each.
        seconds: that it took.
        files: that were written.
        stopped: whether Ctrl-C ended it; the same call goes on.
    """

    k: int | None
    losses: tuple[CutLoss, ...]
    allowed: float
    is_sure: bool
    trainings: int
    batches: int
    seconds: float
    files: tuple[Path, ...]
    stopped: bool

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(one) for one in self.losses]

    def columns(self) -> dict[int, dict[str, Any]]:
        """For each cut what is known of its loss, in points, rounded."""
        return {
            one.k: {"lost": round(one.points, 2), "± lost": one.error and round(one.error, 2), "seeds": one.seeds}
            for one in self.losses
        }

    def summary(self) -> str:
        """The one sentence to act on."""
        beyond = next((one for one in self.losses if self.k is not None and one.k > self.k), None)
        found = next((one for one in self.losses if one.k == self.k), None)
        if found is None:
            least = min(self.losses, key=lambda one: one.points)
            return f"no cut loses at most {self.allowed:g} points: k={least.k} loses least, {least}"
        rest = f"; k={beyond.k} loses {beyond.points:.1f}" if beyond else ", and is the largest that was tried"
        saves = f"saves {100 * found.flops:.0f} % of a further network's FLOPs"
        return f"share k={found.k}: it loses {found} and {saves}{rest}"

    def notes(self) -> list[str]:
        """The sentence, how sure it is, and what it cost."""
        seeds = max((one.seeds for one in self.losses), default=0)
        sure = "seeds agree" if self.is_sure else "seeds do not separate it from its neighbours; more minutes may"
        made = f"{self.trainings} trainings of {self.batches} updates"
        cost = f"{made}, {seeds} seeds at most, {self.seconds / 60:.1f} minutes"
        return [self.summary(), f"{sure} ({cost})"]


def halved(
    base: Model, data: str, ks: Sequence[int], *,
    allowed: float, minutes: float, output: str | os.PathLike[str], size: tuple[int, int] | None = None, seed: int = 0,
    threads: int | None = None, watch: SweepWatch | None = None,
) -> Halving:  # fmt: skip
    """Find the largest k whose loss is allowed, by trainings that take so long.

    Args:
        base: a detector, as it was loaded.
        data: a .data file with train= and valid=.
        ks: cuts to choose from, without 0.
        allowed: points of mAP that may be lost against k=0.
        minutes: for all of it.
        output: a folder for all files; one that was begun goes on.
        size: of the input, in place of the cfg's.
        seed: the first of the trainings'.
        threads: to compute with, in all; None for every core.
        watch: is informed of what happens.

    Raises:
        BadValue: there is no time for that.
        DarkshareError: something that cannot be trained or evaluated, or a folder with another sweep.
    """
    begun, jobs = monotonic(), threads or os.cpu_count() or 1
    course = _kept(Path(output), ks) or _planned(base, data, ks, minutes, size, jobs)
    before = read_json(Path(output) / SWEEP)
    updates = course.updates if before is None else before["settings"]["batches"]
    alive, seeds, losses = list(course.seconds), 0, list[CutLoss]()
    while alive and seeds < _SEEDS:
        left = 60 * minutes - (monotonic() - begun)
        if losses and left < sum(course.seconds[k] for k in {0, *alive}) / jobs:
            break
        seeds += 1
        found = sweep(
            base, data, k=sorted({0, *alive}), seeds=range(seed + 1, seed + seeds + 1), output=output, jobs=jobs,
            threads=1, batches=updates, size=size, watch=watch,
        )  # fmt: skip
        write_json(Path(output) / _COURSE, {"of": sorted(ks), **course._asdict()})
        losses = losses_of(found.choices)
        if found.stopped or found.failed:
            break
        alive = doubtful(losses, allowed)
    return Halving(
        largest(losses, allowed), tuple(losses), allowed, is_sure(losses, allowed), len(found.trials), updates,
        monotonic() - begun, found.files, found.stopped,
    )  # fmt: skip


class _Course(NamedTuple):
    """The trainings that there is time for: seconds of one of each k, and updates of each."""

    seconds: dict[int, float]
    updates: int


def _kept(folder: Path, ks: Sequence[int]) -> _Course | None:
    """The course of a folder that goes on, if the cuts to choose from are the same: times of another hour differ."""
    kept = read_json(folder / _COURSE)
    if kept is None or kept["of"] != sorted(ks):
        return None
    return _Course({int(k): own for k, own in kept["seconds"].items()}, kept["updates"])


def _planned(
    base: Model, data: str, ks: Sequence[int], minutes: float, size: tuple[int, int] | None, jobs: int
) -> _Course:
    """As many of the cuts, spread over what they save, and updates, as the first seed has time for.

    Raises:
        BadValue: there is time for too few.
    """
    shares = {one.k: one.flops for one in at_cuts([base.network, base.network], sorted(ks))}
    learn, judge = read_data(data, "train"), partial(evaluate_model, dataset=read_data(data, "valid"), threads=1)
    changes = Changes(size=size)
    whole, least = (timed(base, learn, Options(k=k, changes=changes, threads=1), judge) for k in (0, max(shares)))
    faster = (whole.update - least.update) / shares[max(shares)]
    given = _FIRST * 60 * minutes * jobs
    for count in range(min(MOST, len(shares)), 0, -1):
        chosen = {0: 0.0, **spread(shares, count)}
        each = {k: max(whole.update - faster * share, least.update) for k, share in chosen.items()}
        fixed = _START + whole.validation
        updates = min(whole.updates, math.floor((given - fixed * len(each)) / sum(each.values())))
        if updates >= min(_FEWEST, whole.updates):
            return _Course({k: fixed + updates * own for k, own in each.items()}, updates)
    needed = (2 * fixed + _FEWEST * sum(each.values())) / (_FIRST * 60 * jobs)
    raise BadValue(f"minutes={minutes:g} are too few to train k=0 and one cut: give {math.ceil(needed)} or more")


def spread(shares: Mapping[int, float], count: int) -> dict[int, float]:
    """So many of the cuts, with those that save least and most, about as far from each other in what they save."""
    ordered = sorted(shares, key=shares.__getitem__)
    lowest, highest = shares[ordered[0]], shares[ordered[-1]]
    steps = [highest - (highest - lowest) * at / max(count - 1, 1) for at in range(count)]
    found: dict[int, float] = {}
    for step in steps:
        k = min((k for k in ordered if k not in found), key=lambda k: abs(shares[k] - step))
        found[k] = shares[k]
    return dict(sorted(found.items()))


def losses_of(choices: Sequence[Choice]) -> list[CutLoss]:
    """The loss of each k but 0, in ascending order; its standard error comes from the deviation that all have."""
    known = [one.lost_deviation**2 for one in choices if one.k and one.lost_deviation is not None]
    deviation = 100 * math.sqrt(mean(known)) if known else None
    return [
        CutLoss(one.k, 100 * one.lost, deviation and deviation / math.sqrt(one.seeds), one.seeds, one.flops)
        for one in choices
        if one.k and one.lost is not None
    ]


def largest(losses: Sequence[CutLoss], allowed: float) -> int | None:
    """The largest k that loses no more than is allowed."""
    return max((one.k for one in losses if one.points <= allowed), default=None)


def doubtful(losses: Sequence[CutLoss], allowed: float) -> list[int]:
    """The half of the cuts that are next to what is allowed, or nearest to it, at least two; none without doubt."""
    if is_sure(losses, allowed):
        return []
    left = [one for one in losses if one.seeds == max(other.seeds for other in losses)]
    k = largest(left, allowed)
    beyond = min((one.k for one in left if k is None or one.k > k), default=None)
    nearest = sorted(left, key=lambda one: (one.k not in (k, beyond), abs(one.points - allowed)))
    return sorted(one.k for one in nearest[: max(-(-len(left) // 2), 2)])


def is_sure(losses: Sequence[CutLoss], allowed: float) -> bool:
    """Whether the k to take and the next larger one are a standard error away from what is allowed."""
    k = largest(losses, allowed)
    beyond = [one for one in losses if k is None or one.k > k]
    near = [one for one in losses if one.k == k] + (beyond if k is None else beyond[:1])
    return bool(near) and all(one.error is not None and abs(one.points - allowed) > one.error for one in near)
