"""The plans that no other plan beats, of independent tasks whose costs and losses add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from darkshare.errors import BadValue

MOST = 10_000_000  # sums that one step compares


@dataclass(frozen=True)
class Point:
    """A plan that no other is as cheap as and loses less than, nor as good as and costs less than.

    Attributes:
        cost: of all tasks.
        loss: likewise.
        picks: for each task the place of its option.
    """

    cost: float
    loss: float
    picks: tuple[int, ...]


def pareto_front(tasks: Sequence[Sequence[tuple[float, float]]], start: float = 0.0) -> list[Point]:
    """Find them all, exactly, by a task after the other: what is beaten so far is beaten whatever follows.

    Args:
        tasks: for each the cost and the loss of its options, at least one.
        start: what any plan costs before its tasks.

    Returns:
        The points by ascending cost, so by descending loss; of equal plans one.

    Raises:
        BadValue: a front so large that it is of no use.
    """
    costs, losses = np.array([start], float), np.zeros(1)
    steps = []
    for options in tasks:
        if len(costs) * len(options) > MOST:
            raise BadValue(f"{len(costs):,} plans are on the front so far; give fewer tasks or cuts")
        own = np.array(options, float)
        costs, losses = (costs[:, None] + own[:, 0]).ravel(), (losses[:, None] + own[:, 1]).ravel()
        order = np.lexsort((losses, costs))
        lowest = np.minimum.accumulate(losses[order])
        order = order[np.r_[True, lowest[1:] < lowest[:-1]]]
        costs, losses = costs[order], losses[order]
        steps.append(order)
    at = np.arange(len(costs))
    picks = []
    for order, options in zip(reversed(steps), reversed(tasks), strict=True):
        at, pick = np.divmod(order[at], len(options))
        picks.append(pick)
    chosen = np.stack(picks[::-1], axis=1).tolist() if picks else [[]]
    sums = zip(costs.tolist(), losses.tolist(), chosen, strict=True)
    return [Point(cost, loss, tuple(pick)) for cost, loss, pick in sums]
