"""Guesses at k for `which_k.py`, each with a value for every cut and the seconds that it takes on one core."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from darkshare.choose_k.halving import doubtful, largest, losses_of
from darkshare.choose_k.regions import regions_of
from darkshare.choose_k.results import choices
from darkshare.choose_k.separability import Doubles, Ids, h_score, label_similarity, logme
from darkshare.choose_k.swapping import swap_curve
from darkshare.choose_k.trials import NET, TrialResult, folder_of
from darkshare.darknet.model import Model
from darkshare.data import Dataset

SMALLEST = "smallest k"
_SCORES: dict[str, Callable[[Doubles, Ids], float]] = {
    "LogME": logme,
    "H-score": h_score,
    "labels (RSA/DDS)": label_similarity,
}


class Guess(NamedTuple):
    """What one way to guess says of the cuts.

    Attributes:
        values: of each cut, in ascending order; the highest is the best.
        seconds: that it takes, trainings included.
        seen: seeds of which it saw trainings to these cuts; they are no judges of it.
        choice: the k that it takes, if that is not the highest.
    """

    values: Sequence[float]
    seconds: float
    seen: Sequence[int] = ()
    choice: int | None = None

    def chosen(self, ks: Sequence[int]) -> int:
        """The place of its first choice; of equal cuts the smallest."""
        return int(max(range(len(ks)), key=self.values.__getitem__)) if self.choice is None else ks.index(self.choice)

    def among(self, places: Sequence[int], ks: Sequence[int]) -> Guess:
        """The guess if these places were the only cuts; their k."""
        return self._replace(
            values=[self.values[at] for at in places], choice=self.choice if self.choice in ks else None
        )


def without_looking(ks: Sequence[int]) -> dict[str, Guess]:
    """The baselines."""
    return {SMALLEST: Guess([-k for k in ks], 0.0), "largest k (FLOPs)": Guess(list(ks), 0.0)}


def by_features(base: Model, learn: Dataset, ks: Sequence[int], boxes: int) -> dict[str, Guess]:
    """What the base's features of labelled boxes say."""
    begun = perf_counter()
    regions = regions_of(base, learn, [k - 1 for k in ks], boxes=boxes)
    seconds, found = perf_counter() - begun, {}
    for name, score in _SCORES.items():
        begun = perf_counter()
        values = [score(own, regions.classes) for own in regions.features]
        found[name] = Guess(values, seconds + perf_counter() - begun)
    return found


def by_swaps(
    base: Model, tuned: Model, learn: Dataset, valid: Dataset, ks: Sequence[int], recalibrate: int, trained: float
) -> dict[str, Guess]:
    """mAP on valid= of the network trained end to end after its first layers were replaced, with and without new norms.

    Args:
        base: whose layers come first.
        tuned: trained from it.
        learn: train=, for the norms.
        valid: valid=.
        ks: the cuts.
        recalibrate: pictures of `learn`.
        trained: seconds of the training.
    """
    found = {}
    for name, count in (("swap", 0), (f"swap, {recalibrate} pictures", recalibrate)):
        begun = perf_counter()
        pictures = [sample.picture for sample in learn.samples[:count]]
        curve = swap_curve(base, tuned, valid, ks, recalibrate=pictures, threads=1)
        found[name] = Guess([curve[k].mean for k in ks], trained + perf_counter() - begun)
    return found


def begun_results(folder: Path, trials: Sequence[TrialResult], updates: int) -> list[TrialResult]:
    """The results as if each training had ended after so many updates: what its journal says then."""
    return [
        replace(
            one, map=_map_at(folder_of(folder, one.k, one.seed) / f"{NET}.csv", updates), batches=updates,
            train_seconds=one.train_seconds * updates / one.batches,
        )
        for one in trials
    ]  # fmt: skip


def _map_at(journal: Path, updates: int) -> float:
    with journal.open(encoding="utf-8", newline="") as file:
        found = [row["map"] for row in csv.DictReader(file) if row["batch"] == str(updates) and row["map"]]
    if not found:
        raise SystemExit(f"{journal}: has no mAP after {updates} updates; give a multiple of --validate-every")
    return float(found[-1])


def by_beginnings(trials: Sequence[TrialResult], ks: Sequence[int], name: str) -> dict[str, Guess]:
    """mAP on valid= of the first seed's trainings, early."""
    first = min(one.seed for one in trials)
    own = {one.k: one for one in trials if one.seed == first and one.k in ks}
    return {name: Guess([own[k].map for k in ks], sum(one.train_seconds for one in own.values()), [first])}


def by_halving(
    trials: Sequence[TrialResult], shares: Mapping[int, tuple[float, float]], ks: Sequence[int], allowed: float
) -> Guess:
    """What `suggest-k --minutes` does with these trainings: a seed of all, then further ones where there is doubt.

    Args:
        trials: short ones, of k=0 and all cuts, with equal seeds.
        shares: of weights and operations, for each k.
        ks: the cuts, in ascending order.
        allowed: points that the k to take may lose.
    """
    alive, made, seen = list(ks), list[TrialResult](), list[int]()
    for seed in sorted({one.seed for one in trials}):
        made += [one for one in trials if one.seed == seed and one.k in {0, *alive}]
        seen.append(seed)
        losses = losses_of(choices(made, shares))
        alive = doubtful(losses, allowed)
        if not alive:
            break
    points = {one.k: one.points for one in losses}
    choice = largest(losses, allowed) or min(points, key=points.__getitem__)
    return Guess([-points[k] for k in ks], sum(one.train_seconds for one in made), seen, choice)
