"""What a network has and costs, beside what it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from darkshare.darknet.network import Network
from darkshare.surgery.residual.branching import Plan
from darkshare.surgery.residual.widths import Totals


def fewer(before: Network, after: Network) -> list[dict[str, Any]]:
    """Rows for `report.render`: before, after, and how many times fewer."""
    return [
        {"": name, "before": a, "after": b, "times fewer": a / b if b else None} for name, a, b in _pairs(before, after)
    ]


def both(before: Network, after: Network) -> list[dict[str, Any]]:
    """Rows for `report.render`: before, after, and their ratio."""
    return _ratios(_pairs(before, after))


def beside(before: Network, after: Network, plan: Plan) -> list[dict[str, Any]]:
    """Rows for `report.render`: the whole networks, then what lies behind the trunk."""
    last = plan.after
    tails = _tail(before, last), _tail(after, last)
    pairs = [
        *_pairs(before, after),
        ("tail params", tails[0].params, tails[1].params),
        ("tail BFLOPs", tails[0].flops / 1e9, tails[1].flops / 1e9),
    ]
    return _ratios(pairs)


def divided(plan: Plan) -> list[dict[str, Any]]:
    """Likewise: how the tail is divided, which a line of text says to people."""
    pairs = [("shared layers", plan.after + 1, plan.after + 1), ("branches", 1, plan.m)]
    pairs += [
        (f"width {number}", knob.full, width)
        for number, (knob, width) in enumerate(zip(plan.knobs, plan.fit.knobs, strict=True), 1)
    ]
    return _ratios(pairs)


def _ratios(pairs: Sequence[tuple[str, float, float]]) -> list[dict[str, Any]]:
    return [{"": name, "before": a, "after": b, "ratio": b / a if a else None} for name, a, b in pairs]


def _tail(network: Network, last: int) -> Totals:
    return Totals(network.params - network.start(last + 1), sum(layer.flops for layer in network.layers[last + 1 :]))


def _pairs(before: Network, after: Network) -> list[tuple[str, float, float]]:
    return [
        ("layers", len(before.layers), len(after.layers)),
        ("params", before.params, after.params),
        ("BFLOPs", before.flops / 1e9, after.flops / 1e9),
    ]
