"""Compare size and cost of networks before and after they were reduced or divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from darkshare.darknet.network import Network
from darkshare.surgery.quantities import Quantities
from darkshare.surgery.residual.planning import BranchPlan

Pair = tuple[str, float, float]  # the name of a quantity, its value before and after


@dataclass(frozen=True, repr=False)
class Reduction(Quantities):
    """A network and the same with fewer residual blocks.

    Attributes:
        before: the whole network.
        after: the reduced one.
    """

    before: Network
    after: Network

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"quantity": name, "before": a, "after": b, "times fewer": a / b if b else None}
            for name, a, b in _totals(self.before, self.after)
        ]

    def summary(self) -> str:
        return f"{len(self.after.layers)} of {len(self.before.layers)} layers, {self.after.params:,} params"


@dataclass(frozen=True, repr=False)
class Division(Quantities):
    """A network and the ensemble of branches that was made from it.

    Attributes:
        before: the network.
        after: the ensemble.
        k: how many layers the branches share.
        plan: the division of the tail; None where an ensemble was only laid out anew.
    """

    before: Network
    after: Network
    k: int
    plan: BranchPlan | None = None

    def rows(self) -> list[dict[str, Any]]:
        return _ratios([*self._pairs(), *self._division()])

    def table(self) -> list[dict[str, Any]]:
        return self.untitled(_ratios(self._pairs()))

    def notes(self) -> list[str]:
        if self.plan is None:
            return []
        numbers = ",".join(map(str, self.plan.fit.knobs))
        return [f"shared: layers 0..{self.k - 1}; {self.plan.m} branches of widths {numbers}"]

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "k": self.k}

    def summary(self) -> str:
        branches = f"{self.plan.m} branches" if self.plan else "laid out anew"
        return f"{branches} behind k={self.k}, {self.after.params:,} params, {self.before.params:,} before"

    def _pairs(self) -> list[Pair]:
        whole = _totals(self.before, self.after)
        if self.plan is None:
            return whole
        return [*whole, *((f"tail {name}", a, b) for name, a, b in _totals(self.before, self.after, self.k)[1:])]

    def _division(self) -> list[Pair]:
        """The division of the tail, which people read in the notes."""
        if self.plan is None:
            return []
        knobs = zip(self.plan.knobs, self.plan.fit.knobs, strict=True)
        widths: list[Pair] = [(f"width {number}", knob.full, width) for number, (knob, width) in enumerate(knobs, 1)]
        return [("shared layers", self.k, self.k), ("branches", 1, self.plan.m), *widths]


def _ratios(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    return [{"quantity": name, "before": a, "after": b, "ratio": b / a if a else None} for name, a, b in pairs]


def _totals(before: Network, after: Network, k: int = 0) -> list[Pair]:
    """Layers, parameters and operations from layer k on."""
    layers, params, flops = zip(*(_counted(network, k) for network in (before, after)), strict=True)
    return [("layers", *layers), ("params", *params), ("BFLOPs", *flops)]


def _counted(network: Network, k: int) -> tuple[int, int, float]:
    tail = network.layers[k:]
    return len(tail), network.params - network.start(k), sum(layer.flops for layer in tail) / 1e9
