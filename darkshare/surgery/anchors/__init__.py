"""Anchors for a data set: found by k-means, shared out among the heads, written into cfg and weights."""

from __future__ import annotations

from typing import NamedTuple

from darkshare.darknet.model import Model
from darkshare.data import Dataset
from darkshare.errors import BadValue, Unsupported
from darkshare.surgery.anchors.assignment import (
    RULES,
    HeadAnchors,
    anchor_count,
    anchored,
    head_sizes,
    rounded,
    shared_out,
)
from darkshare.surgery.anchors.clusters import RESTARTS, Quality, Sizes, best_anchors, box_sizes, ious, quality
from darkshare.surgery.anchors.scatter import plot_anchors
from darkshare.surgery.classes import task_of


class Reanchored(NamedTuple):
    """A model with other anchors, and what they bring.

    Attributes:
        model: with the new anchors.
        heads: what each head has now.
        sizes: of the boxes, in pixels of the input.
        before: the anchors that it had, in pixels.
        quality_before: how well these fit.
        quality_after: how well the new ones do.
    """

    model: Model
    heads: tuple[HeadAnchors, ...]
    sizes: Sizes
    before: Sizes
    quality_before: Quality
    quality_after: Quality

    @property
    def changed_counts(self) -> list[HeadAnchors]:
        """The heads that have another number of anchors than before."""
        return [head for head in self.heads if len(head.mask) != head.was]


def reanchor(
    model: Model,
    dataset: Dataset,
    *,
    count: int | None = None,
    rule: str = "stride",
    task: str | None = None,
    seed: int = 0,
    restarts: int = RESTARTS,
) -> Reanchored:
    """Give a task's heads anchors that fit a data set.

    Args:
        model: with or without weights.
        dataset: whose boxes they are to fit, at the input size of the model.
        count: how many anchors; as many as the heads use now without it.
        rule: how heads share them, see `shared_out`.
        task: the task's name; a model of one task needs none.
        seed: of k-means.
        restarts: how many k-means to choose from.

    Raises:
        BadValue: an impossible number of anchors, or no such task.
        Unsupported: a head without anchors, or whose channels cannot be chosen; an ensemble.
        DarkshareError: there are too few boxes.
    """
    own = task_of(model, task)
    if own.ensemble:
        why = f"{own.name}: the branches of an ensemble have the same anchors; change them before darkshare branch"
        raise Unsupported(why, file=model.name)
    before = head_sizes(model, own)
    sizes = box_sizes(dataset, model.network)
    found = rounded(best_anchors(sizes, count or anchor_count(model, own), seed=seed, restarts=restarts))
    if len({tuple(anchor) for anchor in found}) < len(found):
        raise BadValue(f"{len(found)} anchors are too many for these boxes: rounded, two are the same; ask for fewer")
    shared = shared_out(model, own, found, rule)
    changed = anchored(model, own, shared)
    return Reanchored(changed, tuple(shared), sizes, before, quality(sizes, before), quality(sizes, found))


__all__ = [
    "RESTARTS",
    "RULES",
    "HeadAnchors",
    "Quality",
    "Reanchored",
    "anchored",
    "best_anchors",
    "box_sizes",
    "head_sizes",
    "ious",
    "plot_anchors",
    "quality",
    "reanchor",
    "rounded",
    "shared_out",
]
