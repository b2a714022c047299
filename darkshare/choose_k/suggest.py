"""`suggest_k`: a guess at k without training, from whatever is given; or k by trainings that take some minutes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from darkshare._tables import Result
from darkshare.analysis.savings import cuts_of
from darkshare.analysis.stats import stats
from darkshare.choose_k.budgets import read_budget
from darkshare.choose_k.candidates import (
    Candidate,
    SweepAgreement,
    advice,
    agreement,
    basis_of,
    candidate_rows,
    candidates,
    ranked,
    with_differences,
    with_features,
    with_swaps,
)
from darkshare.choose_k.halving import Halving, halved
from darkshare.choose_k.regions import regions_of
from darkshare.choose_k.results import measured_maps
from darkshare.choose_k.swapping import swap_curve
from darkshare.choose_k.sweep import SweepWatch
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.data import read_data
from darkshare.errors import BadArguments, BadValue, checked, require_least
from darkshare.evaluation import Evaluation
from darkshare.training.guards import require_pictures, require_torch

Watch = Callable[[Sequence[Any]], Iterable[Any]]
RELIABILITY = {
    None: (
        "By k, not by accuracy: nothing here shows what mAP a k costs; data or a",
        "trained network would, a little.",
    ),
    "logme": (
        "A guess: the rank is that of a linear classifier on the base's features.",
        "Nobody has shown that this orders the mAP of retrained detectors, and the",
        "standard errors only say how much it depends on the pictures.",
    ),
    "swap": (
        "A guess: the rank is that of networks that were not trained any further.",
        "Training from layer k on should make each of them better, but nothing here",
        "shows by how much, and the order may change.",
    ),
}


@dataclass(frozen=True, repr=False)
class Suggestion(Result):
    """Cuts to choose from, best first where something ranks them.

    Attributes:
        candidates: the cuts.
        advice: which k to take, by question; None where none does.
        trained_map: mAP of the trained network itself, of 0..1; None without one and data.
        agreements: of each guess with the sweep, if one was given.
        measured: what trainings say, if there were minutes for them.
    """

    candidates: tuple[Candidate, ...]
    advice: Mapping[str, int | None]
    trained_map: float | None = None
    agreements: tuple[SweepAgreement, ...] = ()
    measured: Halving | None = None

    def rows(self) -> list[dict[str, Any]]:
        """The candidates with every number; shares and mAP of 0..1."""
        return [asdict(one) for one in self.candidates]

    def table(self) -> list[dict[str, Any]]:
        """The columns in which something is known, rounded."""
        return candidate_rows(self.candidates, {} if self.measured is None else self.measured.columns())

    def notes(self) -> list[str]:
        """The advice, how far to trust it, and how it agrees with the sweep."""
        whole = self.trained_map
        lines = [] if whole is None else [f"the trained network itself: mAP {100 * whole:.2f} %"]
        lines += [f"{question}: {'none of these' if k is None else f'k={k}'}" for question, k in self.advice.items()]
        lines += RELIABILITY[basis_of(self.candidates)] if self.measured is None else ()
        for one in self.agreements:
            tau = "no tau" if one.tau is None else f"Kendall's tau {one.tau:.2f}"
            lost = f"its first choice loses {100 * one.regret:.2f} points"
            lines.append(f"against {one.ks} k of the sweep, by {one.basis}: {tau}, {lost}")
        return lines if self.measured is None else [*lines, *self.measured.notes()]

    def as_dict(self) -> dict[str, Any]:
        agreements = [one._asdict() for one in self.agreements]
        found = {"advice": dict(self.advice), "trained_map": self.trained_map, "agreement": agreements}
        return {**super().as_dict(), **found, "measured": self.measured and self.measured.as_dict()}

    def summary(self) -> str:
        if self.measured is not None:
            return self.measured.summary()
        first = self.candidates[0]
        best = f", first k={first.k} by {basis_of(self.candidates)}" if first.rank else ", not ranked"
        return f"{len(self.candidates)} cuts{best}"


@checked
def suggest_k(  # noqa: D417 - some are described together
    base: Model, tuned: Model | None = None, data: str | os.PathLike[str] | None = None, *,
    k: int | Sequence[int] = (), max_loss: float = 1.0, budget: str | None = None, boxes: int = 300,
    recalibrate: int | None = None, sweep: str | os.PathLike[str] | None = None, minutes: float | None = None,
    output: str | os.PathLike[str] = "suggested", size: tuple[int, int] | None = None, seed: int = 0,
    threads: int | None = None, watch: Watch = iter, trainings: SweepWatch | None = None,
) -> Suggestion:  # fmt: skip
    """Guess how many layers to share, without training; or find it by trainings that take some minutes.

    Args:
        base: a base alone says where it can be cut and what that saves.
        tuned: a network trained from it; with it, how far its layers moved.
        data: a .data file; with it, how well the base's layers tell the objects of train= apart, and the trained
            network's mAP on valid= after its first k layers are replaced by the base's.
        k: cuts to look at; the ends of blocks without it.
        max_loss: mAP points that may be lost.
        budget: the most that a further network may add: "flops<=0.4" of its own FLOPs, or "mb<=1.5" of weights.
        boxes: labelled objects to look at.
        recalibrate: pictures on which batch norm of the swapped networks is measured again.
        sweep: the folder of a sweep that the guesses are compared with.
        minutes: for trainings of k=0 and some cuts, of cuts between them, and of further seeds where there is doubt.
        output, size: the folder of these trainings, a sweep, with which the same call goes on; (width, height).
        seed: of pictures and backgrounds; the first of the trainings'.
        threads: to compute with.
        watch, trainings: goes through pictures and cuts, for a progress bar; is informed of what is trained.

    Raises:
        DarkshareError: models that do not fit together, or to the data; a cut that is not legal.
    """
    require_least(0, max_loss=max_loss, seed=seed)
    require_least(0, open_end=True, minutes=minutes)
    require_least(1, threads=threads)
    require_least(2, recalibrate=recalibrate)
    if recalibrate and (tuned is None or data is None):
        raise BadArguments("recalibrate is for a trained network and data; give both")
    if minutes is not None and data is None:
        raise BadArguments("minutes are for trainings; give a .data file")
    found = candidates(base.network, cuts_of(k))
    fitting = _fitting(found, budget, base.network)
    if tuned is not None:
        found = with_differences(found, stats(base, tuned)[0])
    whole = None
    if data is not None:
        found = _with_features(found, base, data, boxes, seed, threads, watch)
    if tuned is not None and data is not None:
        ks = [one.k for one in found]
        curve = _curve(base, tuned, data, ks, recalibrate or 0, threads, watch)
        whole = curve[0].mean
        found = with_swaps(found, {k: one.mean for k, one in curve.items()})
    found = ranked(found)
    agreements = [] if sweep is None else agreement(found, measured_maps(Path(sweep), base))
    measured = None
    if minutes is not None and data is not None:
        measured = halved(
            base, os.fspath(data), fitting, allowed=max_loss, minutes=minutes, output=output, size=size, seed=seed,
            threads=threads, watch=trainings,
        )  # fmt: skip
    told = advice(found, whole, max_loss, {budget: fitting} if budget else {})
    return Suggestion(tuple(found), told, whole, tuple(agreements), measured)


def _fitting(found: Sequence[Candidate], budget: str | None, network: Network) -> list[int]:
    """The cuts at which a further network adds no more than that.

    Raises:
        BadValue: none does, or that is not known without measuring it.
    """
    if budget is None:
        return [one.k for one in found]
    limit = read_budget(budget)
    if limit.unit == "ms":
        raise BadValue(f"budget={budget}: milliseconds are measured by `darkshare plan`; here give flops or mb")
    whole = 1.0 if limit.unit == "flops" else 4e-6 * network.params
    added = {one.k: whole * (1 - (one.flops if limit.unit == "flops" else one.weights)) for one in found}
    least = min(added, key=added.__getitem__)
    if added[least] > limit.most:
        raise BadValue(f"budget={budget}: the least that a cut adds is {limit.unit}={added[least]:.3g}, at k={least}")
    return [k for k, more in added.items() if more <= limit.most]


def _with_features(
    found: Sequence[Candidate],
    base: Model,
    data: str | os.PathLike[str],
    boxes: int,
    seed: int,
    threads: int | None,
    watch: Watch,
) -> list[Candidate]:
    require_torch()
    if threads:
        import torch

        torch.set_num_threads(threads)
    learn = read_data(data, "train")
    require_pictures(learn)
    layers = [one.k - 1 for one in found]
    return with_features(found, regions_of(base, learn, layers, boxes=boxes, seed=seed, watch=watch))


def _curve(
    base: Model,
    tuned: Model,
    data: str | os.PathLike[str],
    ks: Sequence[int],
    recalibrate: int,
    threads: int | None,
    watch: Watch,
) -> dict[int, Evaluation]:
    valid = read_data(data, "valid")
    require_pictures(valid)
    pictures = [sample.picture for sample in read_data(data, "train").samples[:recalibrate]] if recalibrate else []
    return swap_curve(base, tuned, valid, ks, recalibrate=pictures, threads=threads, watch=watch)
