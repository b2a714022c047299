"""Cuts of a network as candidates for k: what each saves, and what is known of it without training.

None of these guesses has been shown to order the mAP of retrained detectors. They say so themselves, and
`agreement` compares them with a sweep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from darkshare._tables import ranges
from darkshare.analysis.differences import Comparison
from darkshare.analysis.savings import at_cuts
from darkshare.choose_k.regions import Regions
from darkshare.choose_k.separability import h_score, jackknifed, label_similarity, logme, standard_error
from darkshare.darknet.cut_points import legal_cuts
from darkshare.darknet.network import Network
from darkshare.errors import BadValue

_FEWEST = 3  # ends of blocks that are enough to choose from


@dataclass(frozen=True)
class Candidate:
    """A cut and what is known of it without training.

    Attributes:
        k: how many layers are shared.
        block_end: whether the last of them ends a block.
        flops: the share of a further network's operations that is saved.
        weights: the share of its weights.
        moved: the median over the layers before k of how far training moved their kernels, ||b-a|| / ||a||.
        logme: how well layer k-1 of the base tells objects apart; see `separability`. Higher is better.
        behind: how far it is behind the best k's.
        error: the standard error of that, over fifths of the pictures.
        h_score: another measure of that, without a rank.
        similarity: of what layer k-1 says to the labels.
        swap: mAP of the trained network with the base's first k layers, of 0..1: a lower bound for a retrained one.
        rank: 1 for the k that promises the highest mAP; by `swap`, else by `logme`; None without either.
    """

    k: int
    block_end: bool
    flops: float
    weights: float
    moved: float | None = None
    logme: float | None = None
    behind: float | None = None
    error: float | None = None
    h_score: float | None = None
    similarity: float | None = None
    swap: float | None = None
    rank: int | None = None


def candidates(network: Network, ks: Sequence[int] = ()) -> list[Candidate]:
    """The cuts to choose from, with what they save.

    Without `ks` these are the ends of blocks before the first head, or every legal cut there if the network has few.

    Raises:
        BadValue: there is none, or one of `ks` is none.
    """
    first = min((head.index for head in network.heads), default=len(network.layers))
    used = set(network.needed([head.index for head in network.heads]))
    legal = [k for k in legal_cuts(network) if k < first and k - 1 in used]  # with k=first that head would not learn
    wrong = sorted(set(ks) - set(legal))
    if wrong or not legal:
        why = f"k={wrong[0]} is not a" if wrong else "there is no"
        known = ranges(legal, "..") or "none"
        raise BadValue(f"{why} legal cut before the first head; those are {known}", file=network.name)
    found = [
        Candidate(one.k, one.block_end, one.flops, one.weights)
        for one in at_cuts([network, network], sorted(set(ks)) or legal)
    ]
    ends = [one for one in found if one.block_end]
    return found if ks or len(ends) < _FEWEST else ends


def with_differences(guesses: Sequence[Candidate], found: Comparison) -> list[Candidate]:
    """The guesses with how far training moved the layers before each k."""
    kernels = [one for one in found.differences if one.quantity == "weights" and one.relative is not None]
    return [
        replace(one, moved=_median([own.relative for own in kernels if own.layer < one.k and own.relative is not None]))
        for one in guesses
    ]


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def with_features(guesses: Sequence[Candidate], regions: Regions) -> list[Candidate]:
    """The guesses with what the base's features say; `regions` holds layer k-1 of each."""
    scores = np.array([logme(own, regions.classes) for own in regions.features])
    folds = jackknifed(logme, regions.features, regions.classes, regions.pictures)
    best = int(scores.argmax())
    return [
        replace(
            one,
            logme=float(scores[at]),
            behind=float(scores[best] - scores[at]),
            error=standard_error(folds[:, best] - folds[:, at]),
            h_score=h_score(regions.features[at], regions.classes),
            similarity=label_similarity(regions.features[at], regions.classes),
        )
        for at, one in enumerate(guesses)
    ]


def with_swaps(guesses: Sequence[Candidate], curve: Mapping[int, float]) -> list[Candidate]:
    """The guesses with the mAP of swapped models."""
    return [replace(one, swap=curve[one.k]) for one in guesses]


def ranked(guesses: Sequence[Candidate]) -> list[Candidate]:
    """The guesses with ranks, best first; of equal ones the larger k, which saves more. By k where nothing ranks."""
    basis = basis_of(guesses)
    if basis is None:
        return list(guesses)
    order = sorted(guesses, key=lambda one: (-getattr(one, basis), -one.k))
    return [replace(one, rank=number) for number, one in enumerate(order, 1)]


def basis_of(guesses: Sequence[Candidate]) -> str | None:
    """The number that ranks them: the strongest that all have."""
    return next((name for name in ("swap", "logme") if all(getattr(x, name) is not None for x in guesses)), None)


def advice(
    guesses: Sequence[Candidate], whole: float | None, loss: float, budgets: Mapping[str, Sequence[int]]
) -> dict[str, int | None]:
    """The k to take, by question; None where no candidate answers it.

    Args:
        guesses: in any order.
        whole: mAP of the trained network itself, if there are swaps.
        loss: mAP points that may be lost.
        budgets: for each as it was typed, the k within it.
    """
    found: dict[str, int | None] = {}
    if whole is not None:
        fine = [one.k for one in guesses if one.swap is not None and one.swap >= whole - loss / 100]
        found[f"largest that loses at most {loss:g} points, even without further training"] = max(fine, default=None)
    if all(one.logme is not None for one in guesses):
        near = [one.k for one in guesses if one.behind is not None and one.behind <= (one.error or 0.0)]
        found["largest whose features are the best within one standard error"] = max(near, default=None)
    return found | {f"smallest within {budget}": min(ks, default=None) for budget, ks in budgets.items()}


class SweepAgreement(NamedTuple):
    """A guess against a sweep.

    Attributes:
        basis: what was guessed by.
        ks: how many k both have.
        tau: Kendall's tau-b: 1 for the same order, -1 for the opposite one; None with fewer than two k.
        regret: the best measured mAP less that of the best guess, of 0..1.
    """

    basis: str
    ks: int
    tau: float | None
    regret: float


def agreement(guesses: Sequence[Candidate], measured: Mapping[int, float]) -> list[SweepAgreement]:
    """Compare the order of each guess with that of a sweep. The smallest k is a guess, too, and the one to beat.

    Raises:
        BadValue: they have no k in common.
    """
    both = [one for one in guesses if one.k in measured]
    if not both:
        raise BadValue("the sweep and the candidates have no k in common; give the sweep's with --k")
    true = [measured[one.k] for one in both]
    bases: dict[str, list[float | None]] = {
        name: [getattr(one, name) for one in both] for name in ("swap", "logme", "h_score", "similarity")
    }
    bases["moved"] = [None if one.moved is None else -one.moved for one in both]
    bases["smallest k"] = [-one.k for one in both]
    found = []
    for name, values in bases.items():
        known = [value for value in values if value is not None]
        if len(known) == len(both):
            best = max(range(len(known)), key=known.__getitem__)
            found.append(SweepAgreement(name, len(both), kendall(known, true), max(true) - true[best]))
    return found


def kendall(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Kendall's tau-b; None where one of them is all equal."""
    pairs = [(_sign(x - u), _sign(y - v)) for (x, y), (u, v) in combinations(list(zip(a, b, strict=True)), 2)]
    sizes = [sum(abs(pair[at]) for pair in pairs) for at in (0, 1)]
    return sum(x * y for x, y in pairs) / math.sqrt(sizes[0] * sizes[1]) if all(sizes) else None


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def candidate_rows(
    guesses: Sequence[Candidate], measured: Mapping[int, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """The columns for people in which something is known; ends of blocks are marked where not all are.

    Args:
        guesses: the cuts.
        measured: for some of them what trainings said, by column.
    """
    all_ends = all(one.block_end for one in guesses)
    columns: dict[str, Callable[[Candidate], Any]] = {
        "rank": lambda one: one.rank,
        "k": lambda one: one.k,
        "block": lambda one: None if all_ends else "end" if one.block_end else "",
        "FLOPs %": lambda one: round(100 * one.flops, 1),
        "weights %": lambda one: round(100 * one.weights, 1),
        "swap %": lambda one: _rounded(one.swap, 100, 2),
        "LogME": lambda one: _rounded(one.logme, 1, 4),
        "behind": lambda one: _rounded(one.behind, 1, 4),
        "±": lambda one: _rounded(one.error, 1, 4),
        "labels": lambda one: _rounded(one.similarity, 1, 3),
        "moved": lambda one: _rounded(one.moved, 1, 4),
    }
    known = {name: [value(one) for one in guesses] for name, value in columns.items()}
    for name in dict.fromkeys(name for row in (measured or {}).values() for name in row):
        known[name] = [(measured or {}).get(one.k, {}).get(name) for one in guesses]
    shown = [name for name, values in known.items() if any(value is not None for value in values)]
    return [{name: known[name][at] for name in shown} for at in range(len(guesses))]


def _rounded(value: float | None, factor: float, digits: int) -> float | None:
    return None if value is None else round(factor * value, digits)
