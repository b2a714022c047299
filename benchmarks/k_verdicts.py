"""Guesses at k beside measured mAP, for `which_k.py`: pairs of data set and base, verdicts over them, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any
from zlib import crc32

import numpy as np
from k_guesses import SMALLEST, Guess
from regret import Doubles, Outcomes, by_signs, drawn_pictures, holm, interval, mean_ap, over_seeds, regret, tau


@dataclass(frozen=True)
class Pair:
    """What is known of a data set and a base.

    Attributes:
        data: the name of the data set.
        base: of the base.
        parts: its pictures and their fingerprints, by part.
        ks: all, k=0 first.
        seeds: those that every k has.
        nets: for each k and seed what it found in the test pictures.
        flops: the share that each k saves.
        guesses: by name.
    """

    data: str
    base: str
    parts: Mapping[str, tuple[int, str]]
    ks: Sequence[int]
    seeds: Sequence[int]
    nets: Sequence[Sequence[Outcomes]]
    flops: Mapping[int, float]
    guesses: Mapping[str, Guess]

    def maps(self, draws: int = 0) -> tuple[Doubles, np.random.Generator | None]:
        """mAP on the test pictures, (draws, ks, seeds), and what seeds are resampled with; 0 for the sample itself.

        The pictures that are drawn are the same for all networks of a data set.
        """
        count = self.parts["test"][0]
        rng = np.random.default_rng(crc32(self.data.encode())) if draws else None
        weights = np.ones((1, count), np.int64) if rng is None else drawn_pictures(count, draws, rng)
        rows = [np.stack([mean_ap(net, weights) for net in nets], axis=1) for nets in self.nets]
        return np.stack(rows, axis=1), rng

    def deeper(self, k: int) -> Pair:
        """The pair as if there were only the cuts from k on, beside k=0."""
        places = [at for at, one in enumerate(self.ks) if one == 0 or one >= k]
        ks = [self.ks[at] for at in places]
        guesses = {name: one.among([at - 1 for at in places[1:]], ks) for name, one in self.guesses.items()}
        return replace(self, ks=ks, nets=[self.nets[at] for at in places], guesses=guesses)


@dataclass(frozen=True)
class Verdict:
    """A guess over all pairs.

    Attributes:
        name: of the guess.
        taus: of each pair.
        regrets: likewise, in points.
        tau_between: 95 % of the resampled means.
        regret_between: likewise.
        saved: the mean share of FLOPs that its choices save.
        seconds: the mean.
        p: that it has less regret than the smallest k by chance, corrected; None for that itself.
    """

    name: str
    taus: Sequence[float]
    regrets: Sequence[float]
    tau_between: tuple[float, float]
    regret_between: tuple[float, float]
    saved: float
    seconds: float
    p: float | None

    def row(self) -> dict[str, Any]:
        tau_low, tau_high = self.tau_between
        low, high = self.regret_between
        return {
            "guess": self.name,
            "tau": f"{mean(self.taus):.2f}",
            "tau, 95 %": f"{tau_low:.2f}..{tau_high:.2f}",
            "regret, points": f"{mean(self.regrets):.2f}",
            "regret, 95 %": f"{low:.2f}..{high:.2f}",
            "p, less than smallest k": "" if self.p is None else f"{self.p:.2f}",
            "saves FLOPs %": f"{100 * self.saved:.0f}",
            "seconds": f"{self.seconds:.1f}",
        }


def judged(pairs: Sequence[Pair], draws: int) -> list[Verdict]:
    """Every guess over all pairs, each judged by the seeds whose trainings it did not see."""
    sample, drawn = [pair.maps() for pair in pairs], [pair.maps(draws) for pair in pairs]
    names = list(pairs[0].guesses)
    own = {name: [_judge(pair, name, *maps) for pair, maps in zip(pairs, sample, strict=True)] for name in names}
    many = {name: [_judge(pair, name, *maps) for pair, maps in zip(pairs, drawn, strict=True)] for name in names}
    others = [name for name in names if name != SMALLEST]
    ps = dict(
        zip(others, holm([by_signs([float(one[2][0]) for one in own[name]]) for name in others]), strict=True)
    )  # fmt: skip
    return [
        Verdict(
            name, [float(one[0][0]) for one in own[name]], [float(one[1][0]) for one in own[name]],
            interval(np.mean([one[0] for one in many[name]], axis=0)),
            interval(np.mean([one[1] for one in many[name]], axis=0)),
            mean(pair.flops[_choice(pair, name)] for pair in pairs), mean(pair.guesses[name].seconds for pair in pairs),
            ps.get(name),
        )
        for name in names
    ]  # fmt: skip


def _judge(pair: Pair, name: str, maps: Doubles, rng: np.random.Generator | None) -> tuple[Doubles, Doubles, Doubles]:
    """Tau, regret in points, and how much less regret that is than the smallest k's, for each draw."""
    guess = pair.guesses[name]
    unseen = [at for at, seed in enumerate(pair.seeds) if seed not in guess.seen]
    truth = over_seeds(maps[:, 1:, unseen or slice(None)], rng)
    own = 100 * regret(truth, guess.chosen(pair.ks[1:]))
    return tau(guess.values, truth), own, 100 * regret(truth, 0) - own


def _choice(pair: Pair, name: str) -> int:
    return pair.ks[1:][pair.guesses[name].chosen(pair.ks[1:])]


def data_rows(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    """A row for each data set: its parts, and fingerprints of their pictures' names and labels."""
    for pair in {pair.data: pair for pair in pairs}.values():
        yield {
            "data": pair.data,
            **{name: count for name, (count, _) in pair.parts.items()},
            **{f"{name} SHA-256": digest[:12] for name, (_, digest) in pair.parts.items()},
        }


def truth_rows(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    """A row for each pair: the mean mAP on the test pictures over its seeds."""
    for pair in pairs:
        means = 100 * over_seeds(pair.maps()[0])[0]
        seeds = {"data": pair.data, "base": pair.base, "seeds": len(pair.seeds)}
        yield {**seeds, **{f"k={k}": f"{one:.1f}" for k, one in zip(pair.ks, means, strict=True)}}


def choice_rows(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    """A row for each pair: the first choice of each guess, and its regret in points."""
    for pair in pairs:
        maps = pair.maps()
        row = {"data": pair.data, "base": pair.base}
        for name in pair.guesses:
            row[name] = f"{_choice(pair, name)} ({float(_judge(pair, name, *maps)[1][0]):.1f})"
        yield row
