"""Divide what follows a layer among thin branches, which cost together what the whole tail did.

Each branch is a task of its own: a [route] to the trunk's last layer, a thin copy of the tail and its own head. So
`split` takes a branch out, and a training of one branch behind the frozen trunk knows its layers. What is averaged
is appended behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from darkshare.analysis.trunk import require_same_structure, require_same_trunk
from darkshare.darknet.cfg import Section
from darkshare.darknet.model import Model, branch_tasks, common_ensemble
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Header
from darkshare.errors import BadArguments, BadValue, checked, require_choice, require_least
from darkshare.surgery.assemble import Fresh, Part, assemble, grafted
from darkshare.surgery.residual.averaging import averaged
from darkshare.surgery.residual.grouping import grouped
from darkshare.surgery.residual.planning import BranchPlan, layer_after, plan_branches
from darkshare.surgery.residual.streams import Streams, streams_of
from darkshare.surgery.residual.thinning import INITS, Branch, thinned, thinned_network
from darkshare.surgery.residual.totals import Division
from darkshare.surgery.splice import split

COMBINES = ("logits", "softmax", "none")
LAYOUTS = ("explicit", "grouped")
_PLANNED = {"match": "params,flops", "tolerance": 0.01, "step": 1, "widths": (), "init": "slice", "seed": 0}


@checked
def branch(
    model: Model,
    after: int | str | None = None,
    branches: int | None = None,
    *,
    match: str = "params,flops",
    tolerance: float = 0.01,
    step: int = 1,
    widths: Sequence[int] = (),
    combine: str = "logits",
    init: str = "slice",
    layout: str = "explicit",
    seed: int = 0,
) -> Model:
    """Divide what follows a layer among thin branches, or lay an ensemble of branches out anew.

    Args:
        model: with or without weights; one network, not a merged one. Without `after` and `branches`, an ensemble,
            whose branches are only put together again as `layout` and `combine` say.
        after: the last layer that all share, or `block N`.
        branches: how many there are to be.
        match: what must stay the same: `params,flops`, `params`, or `authors` for RRR-Net's own rule.
        tolerance: by how much of the tail it may miss.
        step: a number that widths are multiples of.
        widths: the widths instead, one for each knob of the plan.
        combine: what is averaged: `logits`, what enters the heads; `softmax`, the probabilities; `none`: every
            branch only has its own output.
        init: `slice`, `rrr` or `random`, see `thinning.thinned`.
        layout: `explicit`, one branch behind the other; `grouped`, side by side in grouped convolutions with one
            head, which then averages logits.
        seed: of what is drawn.

    Returns:
        The ensemble, to be trained. Its report, a `Division`, has what both models have and cost.

    Raises:
        BadArguments: arguments that do not go together.
        BadValue: no such layer, or no widths that cost the same.
        Unsupported: a layer whose channels cannot be divided.
    """
    chosen = tuple(widths)
    if after is None or branches is None:
        planned = {"match": match, "tolerance": tolerance, "step": step, "widths": chosen, "init": init, "seed": seed}
        _require_ensemble(model, after, branches, [name for name in _PLANNED if planned[name] != _PLANNED[name]])
        anew = _laid_out_anew(model, combine=combine, layout=layout)
        return replace(anew, report=Division(model.network, anew.network, model.tasks[-1].k))
    require_least(1, step=step)
    plan = plan_branches(model, after, branches, match=match, tolerance=tolerance, step=step, widths=chosen)
    made = branched(plan, combine=combine, init=init, layout=layout, seed=seed)
    return replace(made, report=Division(model.network, made.network, plan.after + 1, plan))


def _require_ensemble(model: Model, after: int | str | None, branches: int | None, idle: Sequence[str]) -> None:
    """Refuse what is not an ensemble, and options that would do nothing to one."""
    if after is not None or branches is not None or not any(task.ensemble for task in model.tasks):
        raise BadArguments("give --after and -m; or an ensemble of branches, with its .tasks.json, and neither")
    if idle:
        raise BadArguments(f"{', '.join(f'--{name}' for name in idle)}: an ensemble is only laid out or averaged anew")
    if not common_ensemble(model):
        raise BadValue("does other tasks beside one ensemble's; take the ensemble out with split", file=model.name)


def _laid_out_anew(model: Model, *, combine: str, layout: str) -> Model:
    """The branches of an ensemble, put together again."""
    name = common_ensemble(model)
    members = branch_tasks(model, name)
    parts = split(model, [task.name for task in members])
    return ensemble_of(parts, members[0].k - 1, name=name, combine=combine, layout=layout)


def branched(
    plan: BranchPlan, *, combine: str = "logits", init: str = "slice", layout: str = "explicit", seed: int = 0
) -> Model:
    """Build the network of a plan; see `branch`."""
    require_choice("init", init, INITS)
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
    require_choice("combine", combine, COMBINES)
    require_choice("layout", layout, LAYOUTS)
    if layout == "explicit":
        return _one_behind_the_other(branches, streams.after, combine)
    if combine != "logits":
        raise BadValue(f"the grouped layout has one head, which averages logits; --combine {combine} needs explicit")
    return grouped(branches, streams)


def _one_behind_the_other(branches: Sequence[Model], after: int, combine: str) -> Model:
    """The trunk, each branch behind a [route] to it, and what averages them."""
    model = branches[0]
    count, (task,) = len(model.network.layers), model.tasks
    task = task.of_product(net=model.network.cfg.sections[0].options, header=Header())
    parts: list[Part | Fresh | Section] = [Part(model, 0, after + 1)]
    tasks: list[Task] = []
    length, starts = after + 1, []
    for number, one in enumerate(branches, 1):
        graft = grafted(one, after + 1, length, f"branch {number}")
        start = length + len(graft) - 1
        parts += graft
        length = start + count - after - 1
        starts.append(start)
        tasks.append(_branch_task(task, number, after, start, length))
    shared = tuple(head for head in task.heads if head <= after)
    behind = [head for head in task.heads if head > after]
    more, heads = averaged(model.network, behind, [start - after - 1 for start in starts], length, combine)
    network, weights = assemble(
        model.network.cfg.sections[0], [*parts, *more], model.network.dialect, model.network.cfg.head
    )
    if heads:
        whole = replace(task, heads=(*shared, *heads), runs=((0, len(network.layers)),), ensemble=task.name)
        tasks = [whole, *tasks]
    return Model(network, weights, tuple(tasks))


def _branch_task(task: Task, number: int, after: int, start: int, stop: int) -> Task:
    heads = tuple(head if head <= after else head - after - 1 + start for head in task.heads)
    runs = ((0, after + 1), (start, stop))
    return replace(task, name=f"{task.name}-{number}", heads=heads, runs=runs, ensemble=task.name)
