"""Guesses at k for `which_k.py`, each with a value for every cut and the seconds that it takes on one core."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from records import Training
from stitches import PICTURES, stitched

from darkshare.choose_k.halving import AT_FIRST, CutLoss, Round, halved, kept_to, losses_of, next_round, spread
from darkshare.choose_k.regions import regions_of
from darkshare.choose_k.results import choices
from darkshare.choose_k.separability import Doubles, Ids, h_score, label_similarity, logme
from darkshare.choose_k.swapping import swap_curve
from darkshare.choose_k.trials import TrialResult
from darkshare.darknet.model import Model
from darkshare.data import Dataset
from darkshare.evaluation import evaluate_model

SMALLEST = "smallest k"
_INFINITE = float("inf")
_WORST = 100.0  # points: what a cut is said to lose that there was no time for
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
        losses: in points, that it expects of each cut; none if it does not say.
        choices: for points that may be lost the k that it takes, where the losses alone do not say; 0 for none.
    """

    values: Sequence[float]
    seconds: float
    seen: Sequence[int] = ()
    choice: int | None = None
    losses: Sequence[float] = ()
    choices: Mapping[float, int] | None = None

    def chosen(self, ks: Sequence[int]) -> int:
        """The place of its first choice; of equal cuts the smallest."""
        return int(max(range(len(ks)), key=self.values.__getitem__)) if self.choice is None else ks.index(self.choice)

    def shares(self, allowed: float, ks: Sequence[int]) -> int | None:
        """The largest k that loses no more than that by its account; 0 for none, None if it gives no account."""
        if self.choices is not None:
            return self.choices.get(allowed)
        return _chosen(self.losses, ks, allowed) if self.losses else None

    def among(self, places: Sequence[int], ks: Sequence[int]) -> Guess:
        """The guess if these places were the only cuts; their k."""
        return self._replace(
            values=[self.values[at] for at in places], choice=self.choice if self.choice in ks else None
        )


def plain(guess: Guess) -> dict[str, Any]:
    """The guess as JSON has it; `guess_of` reads it."""
    choices = None if guess.choices is None else {f"{points:g}": k for points, k in guess.choices.items()}
    return {**guess._asdict(), "choices": choices}


def guess_of(said: Mapping[str, Any]) -> Guess:
    """The guess that `plain` gave."""
    choices = said["choices"] and {float(points): k for points, k in said["choices"].items()}
    return Guess(**{**said, "choices": choices})


def _chosen(losses: Sequence[float], ks: Sequence[int], allowed: float) -> int:
    """The largest k that loses no more; 0 for none."""
    return max((k for k, points in zip(ks, losses, strict=True) if points <= allowed), default=0)


def without_looking(ks: Sequence[int]) -> dict[str, Guess]:
    """The baselines."""
    first, every = [0.0, *[_INFINITE] * (len(ks) - 1)], [0.0] * len(ks)
    return {
        SMALLEST: Guess([-k for k in ks], 0.0, losses=first),
        "largest k (FLOPs)": Guess(list(ks), 0.0, losses=every),
    }


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
    """mAP on valid= of the network trained end to end after its first layers were replaced.

    As it is, with new norms, and behind stitches.

    Args:
        base: whose layers come first.
        tuned: trained from it.
        learn: train=, for the norms and the stitches.
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
        values = [curve[k].mean for k in ks]
        found[name] = _of_curve(curve[0].mean, values, trained + perf_counter() - begun)
    begun, pictures = perf_counter(), [Path(sample.picture) for sample in learn.samples]
    whole, *values = (
        evaluate_model(stitched(base, tuned, k, pictures) if k else tuned, valid, threads=1).mean for k in [0, *ks]
    )
    found[f"stitch, {PICTURES} pictures"] = _of_curve(whole, values, trained + perf_counter() - begun)
    return found


def _of_curve(whole: float, values: Sequence[float], seconds: float) -> Guess:
    """A guess of mAP for each cut and for k=0."""
    return Guess(values, seconds, losses=[100 * (whole - one) for one in values])


def results(trainings: Mapping[tuple[int, int], Training], updates: int) -> list[TrialResult]:
    """What a sweep would say of trainings, by k and seed, if each had ended after so many updates.

    Only what choices are made from is filled in.
    """
    blank = dict.fromkeys(one.name for one in fields(TrialResult))
    return [
        TrialResult(**{
            **blank, "k": k, "seed": seed, "map": _map_at(one, updates), "batches": updates,
            "train_seconds": one.seconds * updates / max(one.valid),
        })
        for (k, seed), one in trainings.items()
    ]  # fmt: skip


def _map_at(training: Training, updates: int) -> float:
    if updates not in training.valid:
        raise SystemExit(f"a training has no mAP after {updates} updates; give a multiple of --validate-every")
    return training.valid[updates]


def by_beginnings(trials: Sequence[TrialResult], ks: Sequence[int], name: str) -> dict[str, Guess]:
    """mAP on valid= of the first seed's trainings, early."""
    first = min(one.seed for one in trials)
    own = {one.k: one for one in trials if one.seed == first}
    values = [own[k].map for k in ks]
    losses = [100 * (own[0].map - one) for one in values] if 0 in own else []
    return {name: Guess(values, sum(own[k].train_seconds for k in ks), [first], losses=losses)}


def by_halving(
    trials: Sequence[TrialResult],
    shares: Mapping[int, tuple[float, float]],
    ks: Sequence[int],
    allowed: Sequence[float],
) -> Guess:
    """What `suggest-k --minutes` does with these trainings: three cuts, those between, further seeds in doubt.

    Args:
        trials: those that there are, of k=0 and all cuts, with equal seeds.
        shares: of weights and operations, for each k.
        ks: the cuts, in ascending order.
        allowed: points that the k to take may lose; the first ones decide its order of the cuts.
    """
    found = {one: _halving(trials, shares, ks, one) for one in allowed}
    return found[allowed[0]]._replace(choices={one: k for guess in found.values() for one, k in guess.choices.items()})


def _halving(
    trials: Sequence[TrialResult], shares: Mapping[int, tuple[float, float]], ks: Sequence[int], allowed: float
) -> Guess:
    seeds, saved = sorted({one.seed for one in trials}), {k: shares[k][1] for k in ks}
    ahead, wanted = Round(spread(saved, AT_FIRST), 1), set[tuple[int, int]]()
    while ahead.ks and ahead.seeds <= len(seeds):
        wanted |= {(k, seeds[at - 1]) for k, at in ahead.trainings()}
        made = [one for one in trials if (one.k, one.seed) in wanted]
        found = losses_of(choices(made, shares))
        ahead = next_round(found, allowed, saved, 1)
    seconds, seen = sum(one.train_seconds for one in made), sorted({seed for _, seed in wanted})
    return _answered(found, kept_to(found, allowed), ks, allowed, seconds, seen)


def _answered(
    found: Sequence[CutLoss], k: int | None, ks: Sequence[int], allowed: float, seconds: float, seen: Sequence[int]
) -> Guess:
    """The guess of such losses; a cut that was not trained is the worst."""
    points = {one.k: one.points for one in found}
    losses = [points.get(k, _WORST) for k in ks]
    choice = k or ks[losses.index(min(losses))]
    return Guess([-one for one in losses], seconds, seen, choice, losses, {allowed: k or 0})


def by_minutes(
    base: Model, data: str, ks: Sequence[int], folder: Path, *, allowed: float, minutes: float, size: tuple[int, int]
) -> Guess:
    """What `suggest-k --minutes` says with all cores.

    Args:
        base: a detector.
        data: a .data file.
        ks: the cuts, in ascending order.
        folder: for its trainings.
        allowed: points that may be lost.
        minutes: for all of it.
        size: of the input.
    """
    found = halved(base, data, ks, allowed=allowed, minutes=minutes, output=folder, size=size)
    if found.stopped:
        raise SystemExit("stopped; the same call goes on")
    print(*found.notes(), sep="\n", flush=True)
    seconds = found.seconds * (os.cpu_count() or 1)
    return _answered(found.losses, found.k, ks, allowed, seconds, ())
