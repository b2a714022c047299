"""Change the classes of detection heads in cfg and weights at once, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from darkshare.errors import Unsupported
from darkshare.kinds import Boxes, Convolutional, Region
from darkshare.model import Model, Task
from darkshare.network import Layer, resolve
from darkshare.weights import FLOAT, Floats, Weights

NEVER = -20.0  # a bias that gives a probability of 2e-9: a class that no box has
_FILL = {"biases": NEVER, "scales": 1.0, "rolling_variance": 1.0}  # 0 for the rest


def pad_to_union(model: Model) -> Model:
    """Give every head the classes of all tasks, each task its own range, so that stock Darknet can run it.

    All three forks size their boxes by one head's classes and overflow or mislabel where heads differ.

    Raises:
        Unsupported: a head that two tasks share, or that is not fed by a convolution of its own.
    """
    total, offset = sum(len(task.names) for task in model.tasks), 0
    shared = [h for task in model.tasks for h in task.heads]
    if len(shared) != len(set(shared)):
        raise Unsupported(
            "padded layout: tasks share a head in the trunk, so it cannot have a class range for each; use a smaller k"
        )
    tasks: list[Task] = []
    for task in model.tasks:
        for head in task.heads:
            rows: list[int | None] = [None] * total
            rows[offset : offset + len(task.names)] = range(len(task.names))
            model = with_classes(model, head, rows)
        tasks.append(replace(task, padded=True, offset=offset))
        offset += len(task.names)
    return replace(model, tasks=tuple(tasks))


def unpad(model: Model) -> Model:
    """Give the heads of a one-task model back their own classes."""
    (task,) = model.tasks
    for head in task.heads if task.padded else ():
        model = with_classes(model, head, range(task.offset, task.offset + len(task.names)))
    return replace(model, tasks=(replace(task, padded=False, offset=0),))


def with_classes(model: Model, head: int, rows: Sequence[int | None]) -> Model:
    """Choose the classes of one head.

    Args:
        model: the model; without weights only the cfg changes.
        head: the index of a [yolo], [Gaussian_yolo] or [region] layer.
        rows: for each new class the old one, or None for a class that no box ever has.

    Raises:
        Unsupported: it is no such head, or the layer before cannot be changed alone.
    """
    feeder = _feeder(model, head)
    kind = model.network.layers[head].kind
    assert isinstance(kind, Boxes)
    first = kind.values - kind.classes
    channels: list[int | None] = []
    for box in range(kind.boxes):
        base = box * kind.values
        channels += [base + entry for entry in range(first)]
        channels += [None if row is None else base + first + row for row in rows]
    cfg = model.network.cfg
    sections = list(cfg.sections)
    sections[head] = sections[head].set(filters=len(channels))  # [net] is section 0, so this is layer head - 1
    sections[head + 1] = sections[head + 1].set(classes=len(rows))
    network = resolve(replace(cfg, sections=tuple(sections)), dialect=model.network.dialect)
    weights = None if model.weights is None else _with_channels(model, model.weights, feeder, channels)
    return replace(model, network=network, weights=weights)


def _feeder(model: Model, head: int) -> Layer:
    """The convolution before a head, if its channels can be chosen."""
    layer = model.network.layers[head]
    before = model.network.layers[head - 1]
    others = [x.label for x in model.network.layers if before.index in x.sources]
    if not isinstance(layer.kind, Boxes) or (isinstance(layer.kind, Region) and layer.kind.tree):
        why = "it is no box head with plain classes"
    elif not isinstance(before.kind, Convolutional) or before.kind.share_index or before.kind.used_groups > 1:
        why = f"{before.label} before it is no convolution with channels of its own"
    elif before.kind.flipped or others:
        why = f"{before.label} before it is {'stored flipped' if before.kind.flipped else 'read by ' + others[0]}"
    else:
        return before
    raise Unsupported(f"{model.name}: the classes of {layer.label} cannot be changed: {why}")


def _with_channels(model: Model, weights: Weights, feeder: Layer, channels: Sequence[int | None]) -> Weights:
    old = model.tensors(feeder.index)
    blocks = [_chosen(old[t.name], channels, _FILL.get(t.name, 0.0)).ravel() for t in feeder.tensors]
    runs = (*weights.slice(0, feeder.start), *blocks, *weights.slice(feeder.stop, weights.size))
    return replace(weights, runs=runs)


def _chosen(old: Floats, channels: Sequence[int | None], fill: float) -> Floats:
    new = np.full((len(channels), *old.shape[1:]), fill, FLOAT)
    for at, channel in enumerate(channels):
        if channel is not None:
            new[at] = old[channel]
    return new
