"""Change the classes of heads, and the anchors of detection heads, in cfg and weights at once, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from darkshare.darknet.initial import Initial, never_detected
from darkshare.darknet.kinds import Avgpool, Boxes, Connected, Convolutional, Cost, Dropout, Region, Softmax
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, resolve
from darkshare.darknet.portable import list_text
from darkshare.darknet.tasks import Task, group_by_ensemble
from darkshare.darknet.weights import FLOAT, Floats, Weights
from darkshare.errors import Unsupported, warn


def pad_to_union(model: Model) -> Model:
    """Give every head the classes of all tasks, each task its own range, so that stock Darknet can run it.

    All three forks size their boxes by one head's classes and overflow or mislabel where heads differ. Branches of an
    ensemble have one range together.

    Raises:
        Unsupported: a head that two tasks share, that is not fed by a convolution of its own, or that gives the vote
            of an ensemble.
    """
    _require_no_vote(model)
    groups = group_by_ensemble(model.tasks)
    *starts, total = accumulate((len(group[0].names) for group in groups), initial=0)
    offsets = {task.name: start for start, group in zip(starts, groups, strict=True) for task in group}
    shared = [h for task in model.tasks for h in task.heads]
    if len(shared) != len(set(shared)):
        raise Unsupported(
            "padded layout: tasks share a head in the trunk, so it cannot have a class range for each; use a smaller k"
        )
    tasks: list[Task] = []
    for task in model.tasks:
        offset = offsets[task.name]
        for head in task.heads:
            head_kind(model, head)  # pictures that are classified need no place for other tasks' classes
            rows: list[int | None] = [None] * total
            rows[offset : offset + len(task.names)] = range(len(task.names))
            model = with_classes(model, head, rows)
        tasks.append(replace(task, padded=True, offset=offset))
    return replace(model, tasks=tuple(tasks))


def _require_no_vote(model: Model) -> None:
    votes = [task.name for task in model.tasks if task.name == task.ensemble]
    if votes:
        raise Unsupported(
            f"padded layout: the vote of {votes[0]} is made of its branches, so no head's classes can be chosen alone; "
            "use the native layout"
        )


def unpad(model: Model) -> Model:
    """Give the heads of padded tasks back their own classes."""
    tasks: list[Task] = []
    for task in model.tasks:
        for head in task.heads if task.padded else ():
            model = with_classes(model, head, range(task.offset, task.offset + len(task.names)))
        tasks.append(replace(task, padded=False, offset=0))
    return replace(model, tasks=tuple(tasks))


def with_classes(model: Model, head: int, rows: Sequence[int | None], *, initial: Initial = never_detected) -> Model:
    """Choose the classes of one head.

    Args:
        model: the model; without weights only the cfg changes.
        head: the index of a [yolo], [Gaussian_yolo], [region] or [softmax] layer.
        rows: for each new class the old one, or None for one that the head did not have.
        initial: the weights of the latter; without it no box or picture ever has them.

    Raises:
        Unsupported: it is not such a head, or the layer before cannot be changed alone.
    """
    if isinstance(model.network.layers[head].kind, Softmax):
        return _with_outputs(model, head, rows, initial)
    kind = head_kind(model, head)
    channels = channels_of(kind, rows)
    return _with_channels(model, head, channels, initial, classes=len(rows), **_counters(model, head, rows))


def with_boxes(model: Model, head: int, blocks: Sequence[int], **keys: object) -> Model:
    """Choose the boxes of one head, and set the keys that describe them.

    Args:
        model: the model; without weights only the cfg changes.
        head: the index of a [yolo], [Gaussian_yolo] or [region] layer.
        blocks: for each new box the old one whose channels it takes.
        keys: `mask`, `anchors` and `num` as they are to be in the cfg.

    Raises:
        Unsupported: it is not such a head, or the layer before cannot be changed alone.
    """
    size = head_kind(model, head).values
    return _with_channels(
        model, head, [block * size + i for block in blocks for i in range(size)], never_detected, **keys
    )


def head_kind(model: Model, head: int) -> Boxes:
    """A head of anchor boxes whose channels can be chosen.

    Raises:
        Unsupported: with the reason why they cannot.
    """
    kind = model.network.layers[head].kind
    if not isinstance(kind, Boxes) or (isinstance(kind, Region) and kind.tree):
        raise _unchangeable(model, head, "it is not a box head with plain classes")
    return kind


def channels_of(kind: Boxes, rows: Sequence[int | None]) -> list[int | None]:
    """List a head's channels with these of its classes, box by box; None for a class that it does not have."""
    found: list[int | None] = []
    for end in range(kind.values, kind.boxes * kind.values + 1, kind.values):
        first = end - kind.classes
        found += [*range(end - kind.values, first), *(None if row is None else first + row for row in rows)]
    return found


def _counters(model: Model, head: int, rows: Sequence[int | None]) -> dict[str, object]:
    """counters_per_class= has one number per class, or Darknet stops (get_classes_multipliers in parser.c)."""
    layer = model.network.layers[head]
    old: tuple[int, ...] = getattr(layer.kind, "counters_per_class", ())
    kept = [old[row] for row in rows if row is not None and row < len(old)]
    if not old or len(kept) == len(rows):
        return {"counters_per_class": list_text(tuple(kept))} if old else {}
    warn(f"{model.name}: {layer.label}: counters_per_class= is left out, as it has no number for the new classes")
    return {"counters_per_class": None}


def _with_outputs(model: Model, head: int, rows: Sequence[int | None], initial: Initial) -> Model:
    """A classifier with other classes: pools and [dropout] may lie between the layer that has them and its [softmax].

    Raises:
        Unsupported: groups or a tree of classes, or something reads what changes.
    """
    kind, index = model.network.layers[head].kind, head - 1
    assert isinstance(kind, Softmax)
    if kind.tree or kind.groups > 1:
        raise _unchangeable(model, head, "its classes are in groups or a tree")
    while isinstance(model.network.layers[index].kind, Avgpool | Dropout):
        index -= 1
    passed = range(index, head + 1)
    for layer in model.network.layers[head + 1 :]:
        read = {*layer.sources, *layer.inputs}
        if not read.isdisjoint(passed) and not isinstance(layer.kind, Cost):
            raise _unchangeable(model, head, f"{layer.label} reads its classes too")
    return _with_channels(model, index + 1, rows, initial)


def _with_channels(model: Model, head: int, channels: Sequence[int | None], initial: Initial, **keys: object) -> Model:
    """A head that reads these channels of the convolution before it; None for a new one."""
    feeder = _feeder(model, head)
    cfg = model.network.cfg
    sections = list(cfg.sections)
    count = {"output" if isinstance(feeder.kind, Connected) else "filters": len(channels)}
    sections[head] = sections[head].set(**count)  # [net] is section 0, so this is layer head - 1
    sections[head + 1] = sections[head + 1].set(**keys)
    network = resolve(replace(cfg, sections=tuple(sections)), dialect=model.network.dialect)
    weights = None if model.weights is None else _chosen_channels(model, model.weights, feeder, channels, initial)
    return replace(model, network=network, weights=weights)


def _feeder(model: Model, head: int) -> Layer:
    """The convolution or matrix before a head, if its channels can be chosen."""
    before = model.network.layers[head - 1]
    if isinstance(before.kind, Connected):
        return before
    others = [x.label for x in model.network.layers if before.index in x.sources]
    if not isinstance(before.kind, Convolutional) or before.kind.share_index or before.kind.used_groups > 1:
        raise _unchangeable(model, head, f"{before.label} before it is not a convolution with channels of its own")
    if before.kind.flipped or others:
        why = "stored flipped" if before.kind.flipped else "read by " + others[0]
        raise _unchangeable(model, head, f"{before.label} before it is {why}")
    return before


def _unchangeable(model: Model, head: int, why: str) -> Unsupported:
    return Unsupported(f"{model.name}: {model.network.layers[head].label} cannot be changed: {why}")


def _chosen_channels(
    model: Model, weights: Weights, feeder: Layer, channels: Sequence[int | None], initial: Initial
) -> Weights:
    old = model.tensors(feeder.index)
    blocks = [_chosen(old[t.name], channels, t.name, initial).ravel() for t in feeder.tensors]
    runs = (*weights.slice(0, feeder.start), *blocks, *weights.slice(feeder.stop, weights.size))
    return replace(weights, runs=runs)


def _chosen(old: Floats, channels: Sequence[int | None], name: str, initial: Initial) -> Floats:
    made = [at for at, channel in enumerate(channels) if channel is None]
    new = np.empty((len(channels), *old.shape[1:]), FLOAT)
    new[made] = initial(name, (len(made), *old.shape[1:]))
    for at, channel in enumerate(channels):
        if channel is not None:
            new[at] = old[channel]
    return new
