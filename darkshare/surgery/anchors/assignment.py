"""Share anchors out among heads, and write them into cfg and weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from darkshare.darknet.kinds import Boxes, Region
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer
from darkshare.darknet.tasks import Task
from darkshare.errors import BadValue, Unsupported
from darkshare.surgery.anchors.clusters import Sizes
from darkshare.surgery.heads import head_kind, with_boxes

RULES = ("stride", "count")
_REACH = 30 / 8  # AlexeyAB's advice: below 30x30 for the head of stride 8, below 60x60 for that of 16, the rest for 32


class HeadAnchors(NamedTuple):
    """The anchors that one head takes.

    Attributes:
        layer: its index.
        stride: input pixels per cell.
        mask: the anchors, by their place among all.
        was: the anchors that it had.
        anchors: width and height of its own ones, in pixels.
    """

    layer: int
    stride: float
    mask: tuple[int, ...]
    was: int
    anchors: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        sizes = ", ".join(f"{w:g}x{h:g}" for w, h in self.anchors)
        count = len(self.anchors)
        before = "" if count == self.was else f", {self.was} before"
        return f"layer {self.layer}, stride {self.stride:g}: {count} anchor{'s' * (count != 1)}{before}: {sizes}"


def head_sizes(model: Model, task: Task) -> Sizes:
    """The anchors that the heads of a task use now, in pixels of the input.

    Raises:
        Unsupported: a head without anchors, or whose channels cannot be chosen.
    """
    found: list[tuple[float, float]] = []
    for index in task.heads:
        kind = head_kind(model, index)
        unit = _unit(model, index)
        found += [(w * unit[0], h * unit[1]) for w, h in kind.anchor_sizes()]
    return np.array(list(dict.fromkeys(found)), np.float64)


def anchor_count(model: Model, task: Task) -> int:
    """Count the anchors that the heads of a task use together."""
    return sum(head_kind(model, index).boxes for index in task.heads)


def shared_out(model: Model, task: Task, anchors: Sizes, rule: str = "stride") -> list[HeadAnchors]:
    """Give each head its anchors, small ones to fine heads.

    Args:
        model: the model.
        task: whose heads are meant.
        anchors: in pixels, smallest first.
        rule: "stride", AlexeyAB's: a head of stride s takes what is smaller than 30/8 s (the side of a square of the
            same area), the coarsest one all that is left, and each at least one; or "count": each as many as it has.

    Returns:
        One entry for each head, in the order of the cfg.

    Raises:
        BadValue: fewer anchors than heads; with "count", another number than the heads have.
    """
    heads = [model.network.layers[index] for index in task.heads]
    if len(anchors) < len(heads):
        raise BadValue(f"{len(anchors)} anchors are too few for {len(heads)} heads: each needs one", file=model.name)
    counts = [head_kind(model, layer.index).boxes for layer in heads]
    if rule == "count" and sum(counts) != len(anchors):
        raise BadValue(
            f"the heads have {sum(counts)} anchors, not {len(anchors)}; share them by stride", file=model.name
        )
    fine_first = sorted(range(len(heads)), key=lambda at: _stride(model, heads[at]))
    if rule == "stride":
        limits = [_REACH * _stride(model, heads[at]) for at in fine_first[:-1]]
        ends = _ends_by_size(np.sqrt(anchors.prod(axis=1)), limits)
    else:
        ends = list(accumulate(counts[at] for at in fine_first))
    masks = {at: tuple(range(*span)) for at, span in zip(fine_first, pairwise([0, *ends]), strict=True)}
    return [
        HeadAnchors(layer.index, _stride(model, layer), mask, counts[at], tuple((w, h) for w, h in anchors[list(mask)]))
        for at, layer in enumerate(heads)
        for mask in [masks[at]]
    ]


def _ends_by_size(sides: Sequence[float] | Sizes, limits: Sequence[float]) -> list[int]:
    """The end of each head's anchors, finest head first; every head keeps at least one."""
    ends: list[int] = []
    for at, limit in enumerate(limits):
        end = int(np.sum(np.asarray(sides) < limit))
        after = len(limits) - at  # heads that still need one
        ends.append(min(max(end, (ends[-1] if ends else 0) + 1), len(sides) - after))
    return [*ends, len(sides)]


def anchored(model: Model, task: Task, shared: Sequence[HeadAnchors]) -> Model:
    """Write anchors, masks and filters of every head, and carry its weights along.

    A head keeps the weights of its boxes by their rank in size. One that gets more anchors has some of these twice,
    one that gets fewer leaves some out. It has to be trained again in any case: boxes are multiples of anchors.

    Args:
        model: the model; without weights only the cfg changes.
        task: whose heads they are.
        shared: what `shared_out` gave.

    Raises:
        Unsupported: a head that belongs to another task too, or whose channels cannot be chosen.
    """
    every = [
        size
        for _, size in sorted({i: s for head in shared for i, s in zip(head.mask, head.anchors, strict=True)}.items())
    ]
    for head in shared:
        layer = model.network.layers[head.layer]
        if any(head.layer in other.heads for other in model.tasks if other.name != task.name):
            raise Unsupported(f"{model.name}: {layer.label} cannot be changed: it belongs to another task as well")
        kind = head_kind(model, head.layer)
        blocks = _by_rank(kind, len(head.mask))
        if isinstance(kind, Region):  # it has no mask: all its anchors are its own, in cells of its grid
            unit = _unit(model, head.layer)
            own = ", ".join(f"{w / unit[0]:.4g},{h / unit[1]:.4g}" for w, h in head.anchors)
            model = with_boxes(model, head.layer, blocks, anchors=own, num=len(head.mask))
        else:
            text = ", ".join(f"{w:g},{h:g}" for w, h in every)
            mask = ",".join(map(str, head.mask))
            model = with_boxes(model, head.layer, blocks, mask=mask, anchors=text, num=len(every))
    return model


def rounded(anchors: Sizes) -> Sizes:
    """Anchors as a cfg has them: whole pixels, tenths below ten."""
    found: Sizes = np.where(anchors < 10, np.maximum(anchors.round(1), 0.1), anchors.round())
    return found


def _by_rank(kind: Boxes, count: int) -> list[int]:
    """For each of `count` boxes in order of size, the old one of the same rank."""
    areas = [w * h for w, h in kind.anchor_sizes()]
    ranked = sorted(range(len(areas)), key=lambda at: areas[at])
    return [ranked[round(at * (len(ranked) - 1) / max(count - 1, 1))] for at in range(count)]


def _stride(model: Model, layer: Layer) -> float:
    return model.network.input.w / layer.x.w


def _unit(model: Model, index: int) -> tuple[float, float]:
    """Pixels per unit of a head's anchors: [region] counts in cells."""
    layer, shape = model.network.layers[index], model.network.input
    if isinstance(layer.kind, Region):
        return shape.w / layer.x.w, shape.h / layer.x.h
    return 1.0, 1.0
