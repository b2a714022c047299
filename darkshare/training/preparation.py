"""Preparation of a base for a training: the data's classes, the length of the schedule, weights for new layers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from darkshare.darknet.cfg import Cfg, number_text
from darkshare.darknet.cut_points import illegal_cut
from darkshare.darknet.initial import drawn
from darkshare.darknet.model import Model, branch_tasks, common_ensemble
from darkshare.darknet.network import resized, resolve
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Header, Run, Weights
from darkshare.data import ClassifiedDataset, Dataset
from darkshare.errors import BadValue, DarkshareError, Unsupported, WeightsSize
from darkshare.surgery.classes import matched, relabelled
from darkshare.surgery.sides import Side, with_side
from darkshare.training.optimising import batch_size
from darkshare.training.recipes import TrainingRecipe
from darkshare.training.settings import Changes

_WARM = 10  # the part of a shortened training that burn_in may take at most is 1 / _WARM


def prepared(
    base: Model,
    data: Dataset | ClassifiedDataset,
    k: int,
    changes: Changes,
    recipe: TrainingRecipe,
    *,
    seed: int,
    name: str,
    memory: int | None = None,
) -> tuple[Model, list[str]]:
    """Make the model that is to be trained from the base; with notes on what was changed.

    Its classes are the data's, but where the base has the same ones, in the base's order: `datasets.in_order` numbers
    the data likewise.

    Args:
        base: a model of one task, or an ensemble; its weights may end behind layer k-1, and with k=0
            be missing.
        data: what it is trained on.
        k: the first layer that trains.
        changes: to the cfg.
        recipe: says what becomes of the schedule.
        seed: of weights that are drawn.
        name: of the new task.
        memory: bytes of the device, into half of which an update is to fit where the recipe divides it; None for any.

    Raises:
        DarkshareError: the base and the data do not go together, or [net] leaves nothing to do.
    """
    _require_base(base, k)
    _require_fit(base, data)
    notes = list(_notes_of_branches(base, k))
    model = _labelled(_completed(base, seed, notes), data, k, seed, notes)
    model = _sided(model, k, changes.side, seed, notes)
    model = _scheduled(model, len(data.samples), k, changes, recipe, memory, notes)
    return replace(model, tasks=tuple(_anew(model, task, name) for task in model.tasks)), notes


def _anew(model: Model, task: Task, name: str) -> Task:
    """The task of the product; each branch of an ensemble keeps its number."""
    fresh = task.of_product(net=model.network.cfg.sections[0].options)
    if len(model.tasks) == 1:
        return replace(fresh, name=name, runs=((0, len(model.network.layers)),), ensemble="")
    return replace(fresh, name=name + task.name.removeprefix(task.ensemble), ensemble=name)


def _notes_of_branches(base: Model, k: int) -> Iterator[str]:
    shared, m = max(task.k for task in base.tasks), len(branch_tasks(base, common_ensemble(base)))
    if k < shared:
        what = f"layers {k}..{shared - 1} are shared by {m} branches and take the sum of their gradients"
        yield f"{what}; --k {shared} keeps them as they are"


def updates(model: Model) -> int:
    """The number of updates that the cfg asks for."""
    return model.network.net.max_batches


def _require_base(base: Model, k: int) -> None:
    layers = base.network.layers
    if len(base.tasks) != 1 and not _is_ensemble(base):
        vote = ", or give the ensemble a vote (`darkshare branch --combine logits`)" if common_ensemble(base) else ""
        raise Unsupported(f"does {len(base.tasks)} tasks; train one after `darkshare split`{vote}", file=base.name)
    if not 0 <= k < len(layers):
        raise BadValue(f"k={k} must be 0..{len(layers) - 1}", file=base.name)
    shared = max(task.k for task in base.tasks)
    if shared and k > shared:
        raise BadValue(f"k={k} lies within a branch; the branches begin at k={shared}", file=base.name)
    if k and (why := illegal_cut(base.network, k)):
        raise BadValue(why, file=base.name)
    if k and base.weights is None:
        raise Unsupported(f"k={k} keeps the base's layers, but there is no weights file; give it", file=base.name)
    if base.loaded < k:
        assert base.weights is not None
        raise WeightsSize(
            f"ends before layer {base.loaded}, but k={k} needs the layers 0..{k - 1}", file=base.weights.path
        )


def _is_ensemble(model: Model) -> bool:
    """Whether it is one ensemble, whose branches train side by side, each by a loss of its own.

    Of detectors, one with a vote in its file: without it there is nothing to measure.
    """
    name = common_ensemble(model)
    return bool(name) and (model.classifies(model.tasks[0]) or name in {task.name for task in model.tasks})


def _require_fit(base: Model, data: Dataset | ClassifiedDataset) -> None:
    """Refuse boxes for a classifier and classes for a detector."""
    wants, has = base.classifies(base.tasks[0]), isinstance(data, ClassifiedDataset)
    if wants and not has:
        raise Unsupported(f"classifies pictures, but {data.name} has boxes; give classes of pictures", file=base.name)
    if has and not wants:
        raise Unsupported(f"finds boxes, but {data.name} has classes of pictures; give boxes", file=base.name)


def _completed(base: Model, seed: int, notes: list[str]) -> Model:
    """The base with drawn weights where its file has none."""
    network = base.network
    if base.loaded == len(network.layers):
        return base
    initial = drawn(seed)
    fresh = network.layers[base.loaded :]
    start = network.start(base.loaded)
    blocks = [initial(tensor.name, tensor.shape).ravel() for layer in fresh for tensor in layer.tensors]
    kept = base.weights.slice(0, start) if base.weights else ()
    header, path = (base.weights.header, base.weights.path) if base.weights else (Header(), "")
    notes.append(
        f"layers {base.loaded}..{len(network.layers) - 1} have no weights in the file and start with drawn ones"
    )
    return replace(base, weights=Weights(header, (*kept, *blocks), path))


def _sided(model: Model, k: int, side: str | None, seed: int, notes: list[str]) -> Model:
    """The model with own layers beside its trunk, if they are asked for."""
    if side is None:
        return model
    if not k:
        raise BadValue(f"side={side} is for layers that stay, and with k=0 none does")
    made = with_side(model, k, Side.of(side), seed)
    more = len(made.network.layers) - len(model.network.layers)
    flops = made.network.flops / model.network.flops - 1
    notes.append(f"a side of {more} layers, {k}..{k + more - 1}, adds {100 * flops:.2f} % of the network's FLOPs")
    return made


def _labelled(model: Model, data: Dataset | ClassifiedDataset, k: int, seed: int, notes: list[str]) -> Model:
    """The model with the data's classes: classes of the same name keep what they know."""
    task = model.tasks[0]
    if task.names == data.names:
        return model
    if sorted(task.names) == sorted(data.names) and len(set(data.names)) == len(data.names):
        notes.append(f"{data.name} has the base's classes in another order; they are numbered as in the base")
        return model
    if len(model.tasks) > 1:
        raise Unsupported(
            f"is an ensemble for {_listed(list(task.names))}, but {data.name} has {_listed(list(data.names))}; change "
            "the classes (darkshare classes) before darkshare branch, so that its widths fit them",
            file=model.name,
        )
    kept = [head for head in task.heads if head <= k]
    if kept:
        label = model.network.layers[kept[0]].label
        raise Unsupported(
            f"{data.name} has other classes than the base, but k={k} keeps {label} and what feeds it; use a smaller k",
            file=model.name,
        )
    classes = matched(task.names, data.names)
    same = [name for name, row in zip(classes.names, classes.rows, strict=True) if row is not None]
    new = [name for name in classes.names if name not in same]
    words = [f"the heads now have the data's classes, {len(data.names)} instead of {len(task.names)}"]
    words += [f"those of {_listed(same)} keep their weights"] * bool(same)
    words += [f"those of {_listed(new)} start with drawn ones"] * bool(new)
    notes.append("; ".join(words))
    return relabelled(model, classes, initial=drawn(seed))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _scheduled(
    model: Model, count: int, k: int, changes: Changes, recipe: TrainingRecipe, memory: int | None, notes: list[str]
) -> Model:
    """The model with the changes in its [net], so that its cfg says how it was trained."""
    own = model.network.input
    if changes.size not in (None, (own.w, own.h)):
        size = "{}x{}".format(*changes.size or ())
        notes.append(
            f"trained at {size}, the base is made for {own.w}x{own.h}: concat runs both at one size (--size), where "
            f"the other may find much less; without --size {size} they go together"
        )
    if changes.size is not None:
        model = _with(model, resized(model.network.cfg, *changes.size))
    batch = changes.batch or recipe.batch
    parts = changes.subdivisions or (batch and recipe.batch and _parts_of(model, k, batch, memory))
    model = _changed(model, batch=batch, subdivisions=parts)
    batch = _batch(model)
    model = _changed(model, learning_rate=changes.rate or recipe.rate_of(batch))
    net, batches = model.network.net, _batches(model, count, batch, changes, recipe)
    if recipe.rise is None and batches == net.max_batches:
        return model
    keys = dict(_shortened(model, batches)) if recipe.rise is None else recipe.schedule(net, batches)
    said_of_it = " ".join(f"{key}={number_text(value)}" for key, value in keys.items())
    notes.append(f"schedule for {batches} batches of {batch} pictures: {said_of_it}")
    return _changed(model, **keys)


def _batches(model: Model, count: int, batch: int, changes: Changes, recipe: TrainingRecipe) -> int:
    """The number of updates: as many as asked for, else the cfg's, but not more than the recipe's epochs."""
    if changes.epochs and changes.batches:
        raise BadValue("epochs and batches both say how long to train; give one of them")
    if changes.batches:
        return changes.batches
    own = model.network.net.max_batches
    if epochs := changes.epochs or recipe.epochs:
        passes = math.ceil(epochs * count / batch)
        return passes if changes.epochs or own < 1 else min(own, passes)
    if own < 1:
        raise _unset(model, "max_batches", "says nothing of how long to train; give --epochs or --batches")
    return own


def _parts_of(model: Model, k: int, batch: int, memory: int | None) -> int:
    """The subdivisions with which an update fits into half of the memory: 1, 2, 4, ….

    What a training keeps of a picture was measured as 1.2 to 2.8 times the outputs of the layers that train; gradients
    come on top.
    """
    if memory is None:
        return 1
    sizes = [4 * layer.y.size for layer in model.network.layers]
    each = 4 * (sum(sizes[k:]) + max(sizes[:k], default=0))
    room = max((memory // 2 - 16 * model.network.params) // each, 2)  # batch norm needs two
    parts = 1
    while -(-batch // parts) > room:
        parts *= 2
    return parts


def _batch(model: Model) -> int:
    """Pictures per update; one alone is a cfg for detection, which AlexeyAB's fork refuses to train too."""
    try:
        batch = batch_size(model.network.net)
    except DarkshareError as error:
        raise error.locate(model.name, model.network.cfg.sections[0].line_of("batch")) from None
    if batch < 2:
        raise _unset(model, "batch", "1 is meant for detection; say how many pictures an update has, as in --batch 64")
    return batch


def _unset(model: Model, key: str, what: str) -> BadValue:
    return BadValue(f"{key}= {what}", file=model.name, line=model.network.cfg.sections[0].line_of(key))


def _shortened(model: Model, batches: int) -> Iterator[tuple[str, object]]:
    """The keys of the schedule for another length: its steps move along, burn_in takes a tenth at most."""
    net = model.network.net
    yield "max_batches", batches
    if net.burn_in:
        yield "burn_in", min(net.burn_in, batches // _WARM)
    if net.policy == "steps" and net.steps and net.max_batches:
        yield "steps", ",".join(str(round(step * batches / net.max_batches)) for step in net.steps)
    if net.policy == "sgdr" and net.sgdr_cycle and net.max_batches:
        yield "sgdr_cycle", max(round(net.sgdr_cycle * batches / net.max_batches), 1)


def _changed(model: Model, **keys: object) -> Model:
    """The model with keys of its [net] set, but for those that are None."""
    cfg, given = model.network.cfg, {key: value for key, value in keys.items() if value is not None}
    return _with(model, replace(cfg, sections=(cfg.sections[0].set(**given), *cfg.sections[1:])))


def _with(model: Model, cfg: Cfg) -> Model:
    return replace(model, network=resolve(cfg, dialect=model.network.dialect))


def trunk_floats(model: Model, k: int) -> tuple[Run, ...]:
    """The floats of layers 0..k-1."""
    return () if model.weights is None else model.weights.slice(0, model.network.start(k))
