"""Guesses at k beside measured mAP, for `which_k.py`: pairs of data set and base, verdicts over them, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any
from zlib import crc32

import numpy as np
from k_guesses import SMALLEST, Guess
from regret import Doubles, by_signs, holm, interval, over_seeds, regret, tau


@dataclass(frozen=True)
class Pair:
    """What is known of a data set and a base.

    Attributes:
        data: the name of the data set.
        base: of the base.
        of: its pictures and their fingerprints, as records have them.
        ks: all, k=0 first.
        seeds: those that every k has.
        tests: mAP on the test pictures, of 0..1, (1 + draws, ks, seeds): of all pictures, then of resamples of them.
        flops: the share that each k saves.
        guesses: by name.
    """

    data: str
    base: str
    of: Mapping[str, Any]
    ks: Sequence[int]
    seeds: Sequence[int]
    tests: Doubles
    flops: Mapping[int, float]
    guesses: Mapping[str, Guess]

    @property
    def sample(self) -> Doubles:
        """mAP on all test pictures, (1, ks, seeds)."""
        return self.tests[:1]

    def drawn(self) -> tuple[Doubles, np.random.Generator]:
        """mAP on resampled pictures, (draws, ks, seeds), and what seeds are resampled with.

        The pictures that are drawn are the same for all networks of a data set, and so is the generator.
        """
        return self.tests[1:], np.random.default_rng(crc32(self.data.encode()))

    def deeper(self, k: int) -> Pair:
        """The pair as if there were only the cuts from k on, beside k=0."""
        places = [at for at, one in enumerate(self.ks) if one == 0 or one >= k]
        ks = [self.ks[at] for at in places]
        guesses = {name: one.among([at - 1 for at in places[1:]], ks) for name, one in self.guesses.items()}
        return replace(self, ks=ks, tests=self.tests[:, places], guesses=guesses)


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


def judged(pairs: Sequence[Pair]) -> list[Verdict]:
    """Every guess over all pairs, each judged by the seeds whose trainings it did not see."""
    names = list(pairs[0].guesses)
    own = {name: [_judge(pair, name, pair.sample) for pair in pairs] for name in names}
    many = {name: [_judge(pair, name, *pair.drawn()) for pair in pairs] for name in names}
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


def _judge(
    pair: Pair, name: str, maps: Doubles, rng: np.random.Generator | None = None
) -> tuple[Doubles, Doubles, Doubles]:
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
            **pair.of["pictures"],
            **{f"{name} SHA-256": pair.of[f"{name} pictures"][:12] for name in pair.of["pictures"]},
        }


def truth_rows(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    """A row for each pair: the mean mAP on the test pictures over its seeds."""
    for pair in pairs:
        means = 100 * over_seeds(pair.sample)[0]
        seeds = {"data": pair.data, "base": pair.base, "seeds": len(pair.seeds)}
        yield {**seeds, **{f"k={k}": f"{one:.1f}" for k, one in zip(pair.ks, means, strict=True)}}


def choice_rows(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    """A row for each pair: the first choice of each guess, and its regret in points."""
    for pair in pairs:
        row = {"data": pair.data, "base": pair.base}
        for name in pair.guesses:
            row[name] = f"{_choice(pair, name)} ({float(_judge(pair, name, pair.sample)[1][0]):.1f})"
        yield row
