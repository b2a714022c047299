"""Anchors for a data set: found by k-means, shared out among the heads, written into cfg and weights."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._tables import Result
from darkshare.darknet.model import Model
from darkshare.data import Dataset
from darkshare.errors import BadValue, Unsupported, checked, require_choice, require_least
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
from darkshare.surgery.labelled import read_labelled

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from darkshare._figures import Look


@dataclass(frozen=True, repr=False)
class AnchorFit(Result):
    """Quality of the anchors for a data set before and after, and the anchors of each head.

    Attributes:
        data: the name of the data set.
        heads: the anchors of each head now.
        sizes: of the boxes, in pixels of the input.
        before: the anchors that the heads had, in pixels.
        quality_before: how well these fit.
        quality_after: how well the new ones do.
    """

    data: str
    heads: tuple[HeadAnchors, ...]
    sizes: Sizes
    before: Sizes
    quality_before: Quality
    quality_after: Quality

    def rows(self) -> list[dict[str, Any]]:
        after = sum(len(head.mask) for head in self.heads)
        return [
            {"anchors": "before", "num": len(self.before), **self.quality_before._asdict()},
            {"anchors": "after", "num": after, **self.quality_after._asdict()},
        ]

    def notes(self) -> list[str]:
        return list(map(str, self.heads))

    def as_dict(self) -> dict[str, Any]:
        heads = [
            {"layer": head.layer, "stride": head.stride, "mask": head.mask, "was": head.was, "anchors": head.anchors}
            for head in self.heads
        ]
        return {**super().as_dict(), "heads": heads}

    def summary(self) -> str:
        old, new = self.quality_before.average_iou, self.quality_after.average_iou
        return f"{self.rows()[1]['num']} anchors for {self.data}, average IoU {new:.3f}, {old:.3f} before"

    def plot(self, path: str | os.PathLike[str], **look: Unpack[Look]) -> None:
        """Draw the sizes of the boxes with new and old anchors into a .png, .svg or .pdf file.

        Args:
            path: the file; it is replaced as a whole.
            look: width in inches, font_size in points, title, in place of the figure's own.

        Raises:
            DarkshareError: another suffix, or the file cannot be written.
        """
        own = f"{self.data}: {len(self.sizes)} boxes"
        plot_anchors(Path(path), self.sizes, self.heads, self.before, own=own, **look)


@checked
def anchors(
    model: Model,
    dataset: Dataset | str | os.PathLike[str],
    *,
    num: int | None = None,
    assign: str = "stride",
    task: str | None = None,
    seed: int = 0,
    restarts: int = RESTARTS,
) -> Model:
    """Give a task's heads anchors that fit a data set.

    Args:
        model: with or without weights.
        dataset: labelled pictures, or a .data file, whose train= pictures count; their boxes are taken at the input
            size of the model.
        num: how many anchors; as many as the heads use now without it.
        assign: how heads share them, see `shared_out`.
        task: the task's name; a model of one task needs none.
        seed: of k-means.
        restarts: how many k-means to choose from.

    Returns:
        The changed model, which has to be trained. Its report is an `AnchorFit`.

    Raises:
        BadValue: an impossible number of anchors, or no such task.
        Unsupported: a head without anchors, or whose channels cannot be chosen; an ensemble.
        DarkshareError: there are too few boxes, or the data set cannot be read.
    """
    require_choice("assign", assign, RULES)
    require_least(1, num=num, restarts=restarts)
    require_least(0, seed=seed)
    own = model.task(task)
    if own.ensemble:
        why = f"{own.name}: the branches of an ensemble have the same anchors; change them before darkshare branch"
        raise Unsupported(why, file=model.name)
    if not isinstance(dataset, Dataset):
        dataset = read_labelled(dataset)
    before = head_sizes(model, own)
    sizes = box_sizes(dataset, model.network)
    found = rounded(best_anchors(sizes, num or anchor_count(model, own), seed=seed, restarts=restarts))
    if len({tuple(anchor) for anchor in found}) < len(found):
        raise BadValue(f"{len(found)} anchors are too many for these boxes: rounded, two are the same; ask for fewer")
    shared = shared_out(model, own, found, assign)
    fit = AnchorFit(dataset.name, tuple(shared), sizes, before, quality(sizes, before), quality(sizes, found))
    return replace(anchored(model, own, shared), report=fit)


__all__ = [
    "RESTARTS",
    "RULES",
    "AnchorFit",
    "anchored",
    "anchors",
    "best_anchors",
    "box_sizes",
    "head_sizes",
    "ious",
    "quality",
    "rounded",
    "shared_out",
]
