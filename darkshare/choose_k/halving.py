"""Halving: trainings of a few k, then of those between what is allowed and what is not, then further seeds in doubt.

Successive halving (Jamieson and Talwalkar, AISTATS 2016) drops what is behind early; here k=0, against which all are
held, is behind early and ahead late, so what is halved is the interval that holds the largest k whose loss is allowed,
by trainings of equal length. All of it is a sweep in a folder, whose tables and figure it leaves.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from heapq import heapreplace
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

AT_FIRST = 3  # cuts, beside k=0
_MOST = 6  # of them in all
_FEWEST = 60  # updates of a training that says anything
_FIRST = 0.36  # of the time, for one seed of the first ones: as long as what follows for a cut between and a seed more
_START = 3.0  # seconds that a training takes beside its updates and its evaluation
_SEEDS = 9  # at most
_GAIN = -1.0  # points lost: a cut that loses less than that, a standard error included, is told of
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
        return f"{self.points:.1f}{apart}"


@dataclass(frozen=True, repr=False)
class Halving(Result):
    """The largest k whose loss is allowed, by training.

    Attributes:
        k: that one, its loss with a standard error more; None if there is none.
        losses: of the cuts that were trained, in ascending order.
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
            sure = " for sure" if least.points <= self.allowed else ""
            return f"no cut loses at most {self.allowed:g} points{sure}: k={least.k} loses least, {least} points of mAP"
        rest = f"; k={beyond.k} loses {beyond}" if beyond else ", and is the largest that was tried"
        saves = f"saves {100 * found.flops:.0f} % of a further network's FLOPs"
        return f"share k={found.k}: it loses {found} points of mAP and {saves}{rest}"

    def notes(self) -> list[str]:
        """The sentence, how sure it is and what it cost, and whether k=0 may not be trained out."""
        seeds = max((one.seeds for one in self.losses), default=0)
        sure = "seeds agree" if self.is_sure else "seeds do not separate it from its neighbours; more minutes may"
        made = f"{self.trainings} trainings of {self.batches} updates"
        cost = f"{made}, {seeds} seeds at most, {self.seconds / 60:.1f} minutes"
        told = [self.summary(), f"{sure} ({cost})"]
        best = min(self.losses, key=lambda one: one.points, default=None)
        if best is not None and best.points + (best.error or 0.0) < _GAIN:
            gain = replace(best, points=-best.points)
            told.append(f"k={best.k} gains {gain} points, as sharing can where pictures are few;")
            told.append("otherwise k=0, which has most to learn, needs more updates: give more minutes and a new -o")
        return told


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
    shares, losses = saved_by(base, ks), list[CutLoss]()
    course = _kept(Path(output), ks) or _planned(base, data, shares, minutes, size, jobs)
    before = read_json(Path(output) / SWEEP)
    updates = course.updates if before is None else before["settings"]["batches"]
    ahead, made = Round(course.first, 1), set[tuple[int, int]]()
    while ahead.ks and ahead.seeds <= _SEEDS:
        left = 60 * minutes - (monotonic() - begun)
        missing = sorted(ahead.trainings() - made)
        if losses and left < lasting([course.seconds[k] for k, _ in missing], jobs):
            break
        found = sweep(
            base, data, k=sorted({0, *ahead.ks}), seeds=range(seed + 1, seed + ahead.seeds + 1), output=output,
            jobs=jobs, threads=1, batches=updates, size=size, watch=watch,
        )  # fmt: skip
        write_json(Path(output) / _COURSE, {"of": sorted(ks), **course._asdict()})
        made |= ahead.trainings()
        losses = losses_of(found.choices)
        if found.stopped or found.failed:
            break
        ahead = next_round(losses, allowed, shares, jobs)
    return Halving(
        kept_to(losses, allowed), tuple(losses), allowed, is_sure(losses, allowed), len(found.trials), updates,
        monotonic() - begun, found.files, found.stopped,
    )  # fmt: skip


class Round(NamedTuple):
    """Cuts that are trained next, with so many seeds each, as k=0 is; no cuts where nothing is left to train."""

    ks: Sequence[int]
    seeds: int

    def trainings(self) -> set[tuple[int, int]]:
        """All that it needs, also those made before: k and the number of the seed, from 1 on."""
        return {(k, seed) for k in (0, *self.ks) for seed in range(1, self.seeds + 1)}


class _Course(NamedTuple):
    """The trainings that there is time for: seconds of one of each k, updates of each, and the cuts to begin with."""

    seconds: dict[int, float]
    updates: int
    first: list[int]


def _kept(folder: Path, ks: Sequence[int]) -> _Course | None:
    """The course of a folder that goes on, if the cuts to choose from are the same: times of another hour differ."""
    kept = read_json(folder / _COURSE)
    if kept is None or kept.keys() != {"of", *_Course._fields} or kept["of"] != sorted(ks):
        return None
    return _Course({int(k): own for k, own in kept["seconds"].items()}, kept["updates"], kept["first"])


def saved_by(base: Model, ks: Sequence[int]) -> dict[int, float]:
    """For each cut the share of a further network's FLOPs that it saves, in ascending order."""
    return {one.k: one.flops for one in at_cuts([base.network, base.network], sorted(ks))}


def _planned(
    base: Model, data: str, shares: Mapping[int, float], minutes: float, size: tuple[int, int] | None, jobs: int
) -> _Course:
    """The cuts to begin with, spread over what they save, and updates, as the first seed has time for.

    Raises:
        BadValue: there is time for too few.
    """
    learn, judge = read_data(data, "train"), partial(evaluate_model, dataset=read_data(data, "valid"), threads=1)
    changes = Changes(size=size)
    whole, least = (timed(base, learn, Options(k=k, changes=changes, threads=1), judge) for k in (0, max(shares)))
    faster = (whole.update - least.update) / shares[max(shares)]
    every = {k: max(whole.update - faster * share, least.update) for k, share in {0: 0.0, **shares}.items()}
    fixed = _START + whole.validation
    for count in range(min(AT_FIRST, len(shares)), 0, -1):
        first = spread(shares, count)
        each = [every[k] for k in (0, *first)]
        updates = min(whole.updates, math.floor((_FIRST * 60 * minutes * jobs - fixed * len(each)) / sum(each)))
        if updates >= min(_FEWEST, whole.updates):
            return _Course({k: fixed + updates * own for k, own in every.items()}, updates, first)
    needed = (fixed * len(each) + _FEWEST * sum(each)) / (_FIRST * 60 * jobs)
    raise BadValue(f"minutes={minutes:g} are too few to train k=0 and one cut: give {math.ceil(needed)} or more")


def spread(shares: Mapping[int, float], count: int) -> list[int]:
    """At most so many of the cuts, with those that save least and most, evenly apart in what they save."""
    count = min(count, len(shares))
    lowest, highest = min(shares.values()), max(shares.values())
    return _nearest(shares, [highest - (highest - lowest) * at / max(count - 1, 1) for at in range(count)])


def _nearest(shares: Mapping[int, float], aims: Sequence[float]) -> list[int]:
    """For each share to be saved the cut that is nearest to it, each but once."""
    found = list[int]()
    for aim in aims:
        found.append(min((k for k in sorted(shares) if k not in found), key=lambda k: abs(shares[k] - aim)))
    return sorted(found)


def lasting(seconds: Sequence[float], jobs: int) -> float:
    """Seconds that trainings take in all, so many of them at once, the longest first."""
    ends = [0.0] * jobs
    for one in sorted(seconds, reverse=True):
        heapreplace(ends, ends[0] + one)
    return max(ends)


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
    """The largest k that loses no more than is allowed, on average."""
    return max((one.k for one in losses if one.points <= allowed), default=None)


def kept_to(losses: Sequence[CutLoss], allowed: float) -> int | None:
    """The largest k that loses no more than is allowed even with a standard error more."""
    return max((one.k for one in losses if one.points + (one.error or 0.0) <= allowed), default=None)


def next_round(losses: Sequence[CutLoss], allowed: float, shares: Mapping[int, float], at_once: int) -> Round:
    """Choose what to train next: cuts in the middle of those in question, or a further seed of those in doubt.

    In question are the cuts from the one to take as things stand to the first that loses more than is allowed.

    Args:
        losses: of the cuts that were trained.
        allowed: points that may be lost.
        shares: of FLOPs that each cut saves, also of those not trained.
        at_once: trainings that run side by side.
    """
    last, taken = largest(losses, allowed) or 0, kept_to(losses, allowed) or 0
    beyond = min((one.k for one in losses if one.k > last), default=last)
    tried = {one.k for one in losses}
    between = {k: share for k, share in shares.items() if taken < k < beyond and k not in tried}
    count = min(at_once, len(between), _MOST - len(tried))
    if count > 0:
        low, high = shares.get(taken, 0.0), shares[beyond]
        aims = [low + (high - low) * at / (count + 1) for at in range(1, count + 1)]
        return Round(_nearest(between, aims), max(one.seeds for one in losses))
    asked = [one for one in losses if taken <= one.k <= beyond]
    doubted = [one for one in asked if one.error is None or abs(one.points - allowed) <= one.error]
    fewest = min((one.seeds for one in doubted), default=0)
    return Round([one.k for one in doubted if one.seeds == fewest], fewest + 1)


def is_sure(losses: Sequence[CutLoss], allowed: float) -> bool:
    """Whether the k to take and the next larger one are a standard error away from what is allowed."""
    k = largest(losses, allowed)
    beyond = [one for one in losses if k is None or one.k > k]
    near = [one for one in losses if one.k == k] + (beyond if k is None else beyond[:1])
    return bool(near) and all(one.error is not None and abs(one.points - allowed) > one.error for one in near)
