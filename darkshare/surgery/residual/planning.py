"""Plan the division of a tail among m thin branches: the cut, and the width of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from darkshare.darknet.cut_points import illegal_cut
from darkshare.darknet.kinds import Avgpool, Convolutional, Cost, Softmax
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.errors import BadValue, require_choice
from darkshare.surgery.assemble import Part, assemble
from darkshare.surgery.residual.blocks import residual_blocks, single_network
from darkshare.surgery.residual.streams import Streams, streams_of
from darkshare.surgery.residual.widths import MATCHES, Fit, Knob, Knobs, Totals, fit, knobs_of, tail_cost, widths_at


@dataclass(frozen=True)
class BranchPlan:
    """The division of a tail among branches.

    Attributes:
        model: the network, its class convolution behind the average pool.
        streams: the groups of channels of its tail.
        knobs: the groups that are thinned by one factor each.
        fit: the widths found, and what they cost.
        whole: the cost of the tail before.
        m: how many branches.
        widths: the channels of every group in a branch.
    """

    model: Model
    streams: Streams
    knobs: tuple[Knob, ...]
    fit: Fit
    whole: Totals
    m: int
    widths: dict[int, int]

    @property
    def after(self) -> int:
        return self.streams.after


def layer_after(network: Network, after: int | str) -> int:
    """Find the last layer of the trunk: an index, or `block N`, the end of the N-th residual block.

    Raises:
        BadValue: there is no such layer or block, or the network cannot be cut behind it.
    """
    text = str(after).strip().lower()
    number = text.removeprefix("block").strip() if text.startswith("block") else text
    if not number.isdecimal():
        raise BadValue(f"--after {after}: give the last layer of the trunk, or 'block N'", file=network.name)
    index = int(number)
    if number != text:
        blocks = residual_blocks(network).blocks
        if not 1 <= index <= len(blocks):
            raise BadValue(f"--after {after}: it has {len(blocks)} residual blocks", file=network.name)
        index = blocks[index - 1].last
    if index > len(network.layers) - 2:
        raise BadValue(
            f"--after {after}: the last shared layer is one of 0..{len(network.layers) - 2}", file=network.name
        )
    why = illegal_cut(network, index + 1)
    if why:
        raise BadValue(why, file=network.name)
    return index


def plan_branches(
    model: Model,
    after: int | str,
    m: int,
    *,
    match: str = "params,flops",
    tolerance: float = 0.01,
    step: int = 1,
    widths: Knobs = (),
) -> BranchPlan:
    """Find the widths of m branches; see `branch`.

    Raises:
        BadValue: a model that cannot be divided, no such layer, or no widths that cost the same.
        Unsupported: a layer whose channels cannot be divided.
    """
    require_choice("match", match, MATCHES)
    single_network(model)
    if m < 1:
        raise BadValue(f"{m} branches: give at least 1")
    index = layer_after(model.network, after)
    tail = model.network.layers[index + 1 :]
    whole = Totals(sum(layer.size for layer in tail), sum(layer.flops for layer in tail))
    pooled = pooled_first(model, index)
    streams = streams_of(pooled.network, index)
    knobs = _knobs(pooled, streams, widths, match)
    known: dict[Any, Totals] = {}
    rounded = 1 if match == "authors" else step

    def cost(values: Knobs) -> Totals:
        return tail_cost(streams, widths_at(streams, knobs, values, rounded), known)

    if widths:
        found = Fit(widths, m * cost(widths).params / whole.params, m * cost(widths).flops / (whole.flops or 1))
    else:
        full = tuple(knob.full for knob in knobs)
        steps = tuple(math.lcm(step, knob.pack) for knob in knobs)
        found = fit(full, m, cost, whole, match=match, steps=steps, tolerance=tolerance)
        _require_near(model, found, m, match, tolerance)
    return BranchPlan(pooled, streams, knobs, found, whole, m, widths_at(streams, knobs, found.knobs, rounded))


def pooled_first(model: Model, after: int = -1) -> Model:
    """Return the same function with less work behind layer `after`.

    An average pool goes in front of a linear 1x1 convolution, and a [cost] at the end goes: a [softmax] has its own
    loss.
    """
    layers = model.network.layers
    stop = len(layers) - (isinstance(layers[-1].kind, Cost) and isinstance(layers[-2].kind, Softmax))
    order = list(range(stop))
    for conv, pool in zip(layers[after + 1 : stop], layers[after + 2 : stop], strict=False):
        if isinstance(pool.kind, Avgpool) and _is_plain(conv) and not any(conv.index in x.sources for x in layers):
            order[conv.index], order[pool.index] = pool.index, conv.index
    if order == list(range(len(layers))):
        return model
    known = {layer.index: layer.index for layer in layers}
    cfg, (task,) = model.network.cfg, model.tasks
    parts = [Part(model, i, i + 1, known) for i in order]
    network, weights = assemble(cfg.sections[0], parts, model.network.dialect, cfg.head)
    heads = tuple(head for head in task.heads if head < stop) or (stop - 1,)
    return Model(network, weights, (replace(task, heads=heads, runs=((0, stop),)),))


def _is_plain(layer: Layer) -> bool:
    """Tell whether it is a linear function of each pixel."""
    kind = layer.kind
    if not isinstance(kind, Convolutional) or kind.norm or kind.antialiasing or kind.activation != "linear":
        return False
    return kind.size == 1 and kind.strides == (1, 1) and kind.pads == 0


def _knobs(model: Model, streams: Streams, widths: Knobs, match: str) -> tuple[Knob, ...]:
    try:
        knobs = knobs_of(streams, match=match)
    except BadValue as error:
        raise error.locate(model.name, None) from None
    full = tuple(knob.full for knob in knobs)
    if widths and (len(widths) != len(full) or any(not 1 <= w <= n for w, n in zip(widths, full, strict=True))):
        most = ",".join(map(str, full))
        raise BadValue(f"--widths takes {len(full)} numbers, from 1 up to {most}", file=model.name)
    packs = tuple(knob.pack for knob in knobs)
    if any(w % pack for w, pack in zip(widths, packs, strict=False)):
        multiples = " and ".join(map(str, packs))
        raise BadValue(f"has grouped convolutions: --widths must be multiples of {multiples}", file=model.name)
    if match == "authors" and max(packs) > 1:
        raise BadValue(
            "has grouped convolutions, for which RRR-Net's rule says nothing; use another --match", file=model.name
        )
    return knobs


def _require_near(model: Model, found: Fit, m: int, match: str, tolerance: float) -> None:
    off = {"params,flops": found.off, "params": abs(found.params - 1)}.get(match, 0)
    if off > tolerance:
        raise BadValue(
            f"{m} branches come no nearer than {found.params:.4f} of the tail's params and {found.flops:.4f} of its "
            f"FLOPs (widths {','.join(map(str, found.knobs))}); allow --tolerance {100 * off + 0.05:.1f}%, or take a "
            "smaller --step or other branches",
            file=model.name,
        )
