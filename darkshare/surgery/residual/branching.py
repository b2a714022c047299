"""Divide what follows a layer among m thin branches, which cost together what the whole tail did.

Each branch is a task of its own: a [route] to the trunk's last layer, a thin copy of the tail and its own head. So
`split` takes a branch out, and a training of one branch behind the frozen trunk knows its layers. What is averaged
is appended behind them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from darkshare.analysis.trunk import require_same_structure, require_same_trunk
from darkshare.darknet.cfg import Section, comment_line, new_section
from darkshare.darknet.cut_points import illegal_cut
from darkshare.darknet.kinds import Avgpool, Convolutional, Cost, Softmax
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Header
from darkshare.errors import BadValue
from darkshare.surgery.assemble import Fresh, Part, assemble
from darkshare.surgery.residual.averaging import averaged
from darkshare.surgery.residual.blocks import residual_blocks
from darkshare.surgery.residual.grouping import grouped
from darkshare.surgery.residual.streams import Streams, streams_of
from darkshare.surgery.residual.thinning import Branch, thinned, thinned_network
from darkshare.surgery.residual.widths import Fit, Knob, Knobs, Totals, fit, knobs_of, tail_cost, widths_at

COMBINES = ("logits", "softmax", "none")
LAYOUTS = ("explicit", "grouped")


@dataclass(frozen=True)
class Plan:
    """How a tail is to be divided.

    Attributes:
        model: the network, its class convolution behind the average pool.
        streams: the groups of channels of its tail.
        knobs: what is thinned by one factor each.
        fit: the widths found, and what they cost.
        whole: what the tail cost before.
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
    """The last layer of the trunk: an index, or `block N`, the end of the N-th residual block.

    Raises:
        BadValue: there is no such layer or block, or the network cannot be cut behind it.
    """
    text = str(after).strip().lower()
    number = text.removeprefix("block").strip() if text.startswith("block") else text
    if not number.isdecimal():
        raise BadValue(f"--after {after}: give the last layer of the trunk, or 'block N'", file=network.name)
    index = int(number)
    if number != text:
        blocks = residual_blocks(network)
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
) -> Plan:
    """Find how wide m branches are; see `branch`."""
    _require_one(model, m)
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
    return Plan(pooled, streams, knobs, found, whole, m, widths_at(streams, knobs, found.knobs, rounded))


def branch(
    model: Model,
    after: int | str,
    m: int,
    *,
    combine: str = "logits",
    init: str = "slice",
    layout: str = "explicit",
    seed: int = 0,
    **how: Any,
) -> Model:
    """Divide what follows a layer among m thin branches.

    Args:
        model: with or without weights; one network, not a merged one.
        after: the last layer that all share, or `block N`.
        m: how many branches.
        combine: what is averaged: `logits`, what enters the heads; `softmax`, the probabilities; `none`: every
            branch only has its own output.
        init: see `thinning.thinned`.
        layout: `explicit`, one branch behind the other; `grouped`, side by side in grouped convolutions with one
            head, which then averages logits.
        seed: of what is drawn.
        how: `match`, what must stay the same: `params,flops`, `params`, or `authors` for RRR-Net's own rule;
            `tolerance`, by how much of the tail it may miss; `step`, a number that widths are multiples of; or
            `widths`, the knobs' values, instead.

    Raises:
        BadValue: no such layer, or no widths that cost the same.
        Unsupported: a layer whose channels cannot be divided.
    """
    return branched(plan_branches(model, after, m, **how), combine=combine, init=init, layout=layout, seed=seed)


def branched(
    plan: Plan, *, combine: str = "logits", init: str = "slice", layout: str = "explicit", seed: int = 0
) -> Model:
    """The network of a plan; see `branch`."""
    network = thinned_network(plan.streams, plan.widths)
    branches = [
        thinned(Branch(plan.model, plan.streams, plan.widths, number, plan.m, seed), network, init)
        for number in range(plan.m)
    ]
    return _arranged(branches, plan.streams, combine, layout)


def ensemble_of(
    branches: Sequence[Model], after: int, *, combine: str = "logits", layout: str = "explicit", name: str = ""
) -> Model:
    """Put networks of one structure that share layers 0..after together; trained branches, as `split` gives them.

    Args:
        branches: the networks, all with weights or all without.
        after: the last layer that they share.
        combine: see `branch`.
        layout: likewise.
        name: of the ensemble; that of the first one without it.

    Raises:
        TrunkMismatch: they are not branches of one trunk.
        BadValue: there are none, they have other classes, only some have weights, or no such layer.
    """
    if not branches:
        raise BadValue("no branches were given")
    first, *others = branches
    layer_after(first.network, after)
    for other in others:
        if (other.weights is None) != (first.weights is None):
            raise BadValue("has no weights, but other branches do", file=(other if first.weights else first).name)
        if [task.names for task in other.tasks] != [task.names for task in first.tasks]:
            raise BadValue(f"has other classes than {first.name}, or the same in another order", file=other.name)
        require_same_structure(first.network, other.network, len(first.network.layers))
        if first.weights is not None:
            require_same_trunk(first, other, after + 1)
    (task,) = first.tasks
    task = replace(task, name=name or task.name, ensemble="")
    named = [replace(one, tasks=(task,)) for one in branches]
    return _arranged(named, streams_of(first.network, after), combine, layout)


def _arranged(branches: Sequence[Model], streams: Streams, combine: str, layout: str) -> Model:
    if layout == "explicit":
        return _one_behind_the_other(branches, streams.after, combine)
    if combine != "logits":
        raise BadValue(f"the grouped layout has one head, which averages logits; --combine {combine} needs explicit")
    return grouped(branches, streams)


def _one_behind_the_other(branches: Sequence[Model], after: int, combine: str) -> Model:
    """The trunk, each branch behind a [route] to it, and what averages them."""
    model = branches[0]
    count, (task,) = len(model.network.layers), model.tasks
    parts: list[Part | Fresh | Section] = [Part(model, 0, after + 1)]
    tasks: list[Task] = []
    length, starts = after + 1, []
    for number, one in enumerate(branches, 1):
        parts += [_bridge(number, after), Part(one, after + 1, count, {j: j for j in range(after + 1)})]
        start, length = length + 1, length + count - after
        starts.append(start)
        tasks.append(_branch_task(_anew(model, task), number, after, start, length))
    shared = tuple(head for head in task.heads if head <= after)
    behind = [head for head in task.heads if head > after]
    more, heads = averaged(model.network, behind, [start - after - 1 for start in starts], length, combine)
    network, weights = assemble(
        model.network.cfg.sections[0], [*parts, *more], model.network.dialect, model.network.cfg.head
    )
    if heads:
        whole = replace(
            _anew(model, task), heads=(*shared, *heads), runs=((0, len(network.layers)),), ensemble=task.name
        )
        tasks = [whole, *tasks]
    return Model(network, weights, tuple(tasks))


def _bridge(number: int, after: int) -> Section:
    route = new_section("route", layers=after)
    mark = comment_line(f"branch {number}, on the shared layers 0..{after}")
    return replace(route, lines=(route.lines[0], mark, *route.lines[1:]))


def _branch_task(task: Task, number: int, after: int, start: int, stop: int) -> Task:
    heads = tuple(head if head <= after else head - after - 1 + start for head in task.heads)
    runs = ((0, after + 1), (start, stop))
    return replace(task, name=f"{task.name}-{number}", heads=heads, runs=runs, ensemble=task.name)


def _anew(model: Model, task: Task) -> Task:
    """The task of a product, whose weights are no longer those of its file."""
    return replace(task, net=model.network.cfg.sections[0].options, header=Header(), files={}, sha256={})


def pooled_first(model: Model, after: int = -1) -> Model:
    """The same function with less work behind layer `after`.

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
    """Whether it is a linear function of each pixel."""
    kind = layer.kind
    if not isinstance(kind, Convolutional) or kind.norm or kind.antialiasing or kind.activation != "linear":
        return False
    return kind.size == 1 and kind.strides == (1, 1) and kind.pads == 0


def _require_one(model: Model, m: int) -> None:
    if len(model.tasks) > 1:
        raise BadValue("is a merged or branched model; branch one network", file=model.name)
    if m < 1:
        raise BadValue(f"{m} branches: give at least 1")
    if model.weights is not None and model.loaded < len(model.network.layers):
        raise BadValue("has weights for some layers only", file=model.weights.path)


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
