"""Guesses at k for `which_k.py` as people ask for them: the largest cut that loses no more than so many points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
from k_guesses import Guess
from k_verdicts import Pair
from regret import over_seeds

_OTHERS, _TRUTH = "as other sets lost", "the truth"


class _Answer(NamedTuple):
    """What comes of a choice: points that it loses, the share of FLOPs that it saves, and what the right one does."""

    lost: float
    saved: float
    right_lost: float
    spread: float | None


def allowance_rows(pairs: Sequence[Pair], allowed: Sequence[float]) -> Iterator[dict[str, Any]]:
    """A row for each allowance and each guess that says what a cut loses, over all pairs.

    The right cut is the largest whose measured loss is allowed, or none; a guess is within a spread of it if its mAP is
    no more than the standard deviation of that pair's trainings lower.
    """
    truths = [_losses(pair, ()) for pair in pairs]
    for points in sorted(allowed):
        named = {name: [pair.guesses[name] for pair in pairs] for name in pairs[0].guesses}
        named[_OTHERS] = [Guess((), 0.0, losses=_of_others(pair, pairs, truths)) for pair in pairs]
        named[_TRUTH] = [Guess((), 0.0, losses=own) for own in truths]
        for name, guesses in named.items():
            found = [_answer(pair, guess, points) for pair, guess in zip(pairs, guesses, strict=True)]
            known = [one for one in found if one is not None]
            if len(known) == len(pairs):
                yield {"may lose": f"{points:g}", "guess": name, **_row(known, points)}


def _row(found: Sequence[_Answer], points: float) -> dict[str, Any]:
    spreads = [one.lost - one.right_lost <= one.spread for one in found if one.spread is not None]
    return {
        "kept": f"{sum(one.lost <= points for one in found)} of {len(found)}",
        "within a spread": f"{sum(spreads)} of {len(spreads)}" if spreads else "",
        "loses": f"{mean(one.lost for one in found):.2f}",
        "points beyond": f"{mean(max(0.0, one.lost - points) for one in found):.2f}",
        "saves FLOPs %": f"{100 * mean(one.saved for one in found):.0f}",
    }


def _answer(pair: Pair, guess: Guess, points: float) -> _Answer | None:
    """What comes of the guess, by the seeds whose trainings it did not see; None if it does not say."""
    ks = pair.ks[1:]
    k = guess.shares(points, ks)
    if k is None:
        return None
    losses = [0.0, *_losses(pair, guess.seen)]
    right = max((at for at, lost in enumerate(losses) if lost <= points), default=0)
    deviation = pair.sample[0].std(axis=1, ddof=1).mean() if len(pair.seeds) > 1 else None
    saved = pair.flops[k] if k else 0.0
    return _Answer(losses[pair.ks.index(k)], saved, losses[right], None if deviation is None else 100 * deviation)


def _losses(pair: Pair, seen: Sequence[int]) -> list[float]:
    """What each cut loses against k=0, in points, the mean over seeds that were not seen, or all."""
    unseen = [at for at, seed in enumerate(pair.seeds) if seed not in seen] or slice(None)
    means = over_seeds(pair.sample[:, :, unseen])[0]
    return [float(one) for one in 100 * (means[0] - means[1:])]


def _of_others(pair: Pair, pairs: Sequence[Pair], truths: Sequence[Sequence[float]]) -> Sequence[float]:
    """What each cut loses on the other data sets, the mean over those with this base; none if there are none."""
    own = [
        lost for other, lost in zip(pairs, truths, strict=True) if other.base == pair.base and other.data != pair.data
    ]
    return [float(one) for one in np.mean(own, axis=0)] if own else ()
