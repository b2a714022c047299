"""Find widths of branches that together cost what the undivided tail costs.

Two numbers are free: a factor for the widths at the lowest resolution, and one for all others. The first weighs in
parameters, the second in operations, so both totals can be met. (The authors of RRR-Net take one number
off all widths and meet the parameters alone.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from darkshare.darknet import kinds
from darkshare.darknet.kinds import Shape
from darkshare.errors import BadValue
from darkshare.surgery.residual.streams import Streams, groups_of, is_parallel, width_of

MATCHES = ("params,flops", "params", "authors")
Knobs = tuple[int, ...]


class Totals(NamedTuple):
    """Parameters and operations of layers."""

    params: float
    flops: float


CostOf = Callable[[Knobs], Totals]  # of one branch


class Fit(NamedTuple):
    """Knobs, and the cost of all branches with them as a part of the undivided tail."""

    knobs: Knobs
    params: float
    flops: float

    @property
    def off(self) -> float:
        """The distance of the worse of the two from 1."""
        return max(abs(self.params - 1), abs(self.flops - 1))


@dataclass(frozen=True)
class Knob:
    """Groups that are thinned by one factor.

    Attributes:
        groups: their numbers.
        full: the width that the knob counts: of the narrowest group that has a quarter of the widest one's channels,
            so that in a residual stage it is the bottleneck's.
        pack: what that width is a multiple of.
    """

    groups: tuple[int, ...]
    full: int
    pack: int = 1


def knobs_of(streams: Streams, *, match: str = "params,flops") -> tuple[Knob, ...]:
    """Find the knobs of a tail, those with the most operations first.

    They are the higher resolutions and the lowest one. In a tail of one resolution they are what the heads read and
    the rest, since a classifier has many parameters and few operations. RRR-Net's own rule takes a number off the
    width of every stage, and so has a knob for each resolution.

    Raises:
        BadValue: there is nothing to thin.
    """
    free = streams.free
    if not free:
        raise BadValue(f"nothing behind layer {streams.after} can be thinned: its heads read the layers before them")
    if match == "authors":
        areas = sorted({streams.area[group] for group in free}, reverse=True)
        return tuple(_knob(streams, [group for group in free if streams.area[group] == area]) for area in areas)
    images = [streams.area[group] for group in free if streams.area[group] > 1]
    late = [group for group in free if streams.area[group] <= min(images, default=1)]
    if len(late) == len(free):
        late = [group for group in free if group in _read_by_heads(streams)]
    early = [group for group in free if group not in late]
    return tuple(_knob(streams, groups) for groups in (early, late) if groups)


def _knob(streams: Streams, groups: Sequence[int]) -> Knob:
    most = max(streams.full[group] for group in groups)
    counted = min((group for group in groups if 4 * streams.full[group] >= most), key=streams.full.__getitem__)
    return Knob(tuple(groups), streams.full[counted], streams.packs[counted])


def _read_by_heads(streams: Streams) -> set[int]:
    """The groups from which the heads' inputs are made."""
    feeding = [
        layer.index for layer in streams.tail if layer.tensors and set(streams.gives[layer.index]) & streams.fixed
    ]
    return {group for i in feeding for group in streams.reads[i]}


def widths_at(streams: Streams, knobs: Sequence[Knob], values: Knobs, step: int = 1) -> dict[int, int]:
    """The channels of every group with the knobs at these values; multiples of `step` where groups are thinned.

    Channels that stay together make the steps larger.
    """
    found = dict(streams.full)
    for knob, value in zip(knobs, values, strict=True):
        for group in knob.groups:
            full, least = streams.full[group], math.lcm(step, streams.packs[group])
            steps = math.floor(full * value / knob.full / least + 0.5)
            found[group] = min(full, max(1, steps) * least)
    return found


def tail_cost(streams: Streams, widths: dict[int, int], known: dict[Any, Totals] | None = None) -> Totals:
    """Count parameters and operations of one tail of these widths, as Darknet does; `known` caches layers."""
    known = {} if known is None else known
    params = flops = 0.0
    for layer in streams.tail:
        i = layer.index
        x = width_of(streams.reads[i], widths) if layer.kind.reads_previous else 0
        at = (i, x, y := width_of(streams.gives[i], widths))
        if at not in known:
            kind, inner, outer = layer.kind, _with(layer.x, x), _with(layer.y, y)
            if isinstance(kind, kinds.Convolutional):
                kind = replace(kind, filters=y, groups=groups_of(layer, y) if is_parallel(layer) else kind.groups)
            elif isinstance(kind, kinds.Connected):
                kind = replace(kind, output=y)
            known[at] = Totals(sum(t.size for t in kind.tensors(inner, outer)), kind.flops(inner, outer))
        params, flops = params + known[at].params, flops + known[at].flops
    return Totals(params, flops)


def _with(shape: Shape, channels: int) -> Shape:
    return shape._replace(c=channels) if shape.is_image and channels else shape


def fit(
    full: Knobs, m: int, cost: CostOf, whole: Totals, *, match: str, steps: Knobs = (1, 1), tolerance: float = 0.01
) -> Fit:
    """Find knobs for m branches.

    Args:
        full: the knobs of the undivided tail.
        m: how many branches.
        cost: of one branch at some knobs.
        whole: of the undivided tail.
        match: what must be met: `params,flops` both; `params` with one factor for all widths as nearly as the
            tolerance lets; `authors` RRR-Net's own rule.
        steps: what each knob is a multiple of.
        tolerance: for `params`, how far from 1 the ratio may be.
    """

    def at(knobs: Knobs) -> Fit:
        one = cost(knobs)
        return Fit(knobs, m * one.params / whole.params, m * one.flops / (whole.flops or 1))

    if match == "authors":
        return authors_rule(full, m, at)
    found = [at(knobs) for knobs in _candidates(full, steps, lambda knobs: m * cost(knobs).params <= whole.params)]
    if match == "params":
        near = [one for one in found if abs(one.params - 1) <= tolerance]
        if near:
            return min(near, key=lambda one: (_spread(one.knobs, full), abs(one.params - 1)))
        return min(found, key=lambda one: abs(one.params - 1))
    return min(found, key=lambda one: one.off)


def authors_rule(full: Knobs, m: int, at: Callable[[Knobs], Fit]) -> Fit:
    """Every width divided by the root of m and rounded down, less the smallest number that meets the parameters.

    From the code of RRR-Net's authors. The operations come out larger.

    Raises:
        BadValue: not even widths of 1 do.
    """
    start = [math.floor(width / math.sqrt(m)) for width in full]
    for shift in range(min(start)):
        found = at(tuple(width - shift for width in start))
        if found.params <= 1:
            return found
    raise BadValue(f"{m} branches have more parameters than the undivided tail at any width; take fewer")


def _candidates(full: Knobs, steps: Knobs, small: Callable[[Knobs], bool]) -> list[Knobs]:
    """For each value of the first knobs the two of the last between which the parameters are met."""
    values = [list(range(step, width + 1, step)) or [width] for width, step in zip(full, steps, strict=False)]
    before: list[Knobs] = [(value,) for value in values[0]] if len(values) > 1 else [()]
    return [knobs for first in before for knobs in _around(first, values[-1], small)]


def _around(first: Knobs, values: list[int], small: Callable[[Knobs], bool]) -> list[Knobs]:
    low, high = 0, len(values)  # values[:low] are small enough
    while low < high:
        middle = (low + high) // 2
        if small((*first, values[middle])):
            low = middle + 1
        else:
            high = middle
    return [(*first, values[i]) for i in (low - 1, low) if 0 <= i < len(values)]


def _spread(knobs: Knobs, full: Knobs) -> float:
    """The distance of the knobs from one common factor."""
    factors = [value / whole for value, whole in zip(knobs, full, strict=True)]
    return max(factors) - min(factors)
