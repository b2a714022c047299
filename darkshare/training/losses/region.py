"""The deltas of [region], as pjreddie's and AlexeyAB's forward_region_layer compute them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from darkshare.darknet.kinds.heads import Region
from darkshare.darknet.network import Layer, Network
from darkshare.errors import Unsupported
from darkshare.training.devices import constant
from darkshare.training.losses.overlaps import iou
from darkshare.training.losses.report import LIMITS, PendingReport, Report
from darkshare.training.losses.truths import (
    BatchTruths,
    TruthPlaces,
    Truths,
    best_overlaps,
    cells,
    grid_of,
    read_truths,
)

if TYPE_CHECKING:
    from torch import Tensor

EARLY = 12800  # pictures for which every box is also drawn to its anchor
_PULL = 0.01
_PJREDDIE_MOST = 30


class RegionLoss:
    """The deltas of one [region] head.

    The forks differ: pjreddie has the weight 2 - w * h of small boxes and several classes in a place, and multiplies
    the deltas of centres and objectness by the slope of the logistic function when it goes backward (its code for
    GPUs; that for CPUs lets nothing through). AlexeyAB has these slopes from the start.
    """

    def __init__(self, network: Network, layer: Layer[Region], variant: str) -> None:
        kind = layer.kind
        for key, why in (("tree", "a tree of classes"), ("map", "a map of classes"), ("background", "a background")):
            if getattr(kind, key):
                raise Unsupported(f"{key}= ({why}) is not trained here")
        if kind.coords != 4:
            raise Unsupported(f"coords={kind.coords}: masks are not trained here")
        self.kind = kind
        self.variant = variant
        self._slopes = variant == "alexeyab"
        self._most = min(kind.max, _PJREDDIE_MOST) if variant == "pjreddie" else kind.max

    def delta(self, raw: Tensor, truths: Truths, *, seen: int | None = None) -> tuple[Tensor, PendingReport]:
        """The deltas of what entered the head, and how it did.

        A device is waited for with bias_match=0, and with classfix=1 or 2.

        Args:
            raw: (pictures, anchors * values, height, width).
            truths: (n, 5) for each picture; see `truths`.
            seen: pictures seen so far, these included; below 12800 every box is also drawn to its anchor.
        """
        import torch

        with torch.no_grad():
            return self._delta(raw.detach().float(), truths, EARLY if seen is None else seen)

    def _delta(self, raw: Tensor, truths: Truths, seen: int) -> tuple[Tensor, PendingReport]:
        import torch

        pictures, _, height, width = raw.shape
        rows = raw.view(pictures, self.kind.num, self.kind.values, height, width).permute(0, 1, 3, 4, 2)
        out = self._activated(rows)
        found = read_truths(truths, pictures, self.kind.classes, self._most)
        grid = constant((width, height), out.device)
        anchors = constant(tuple(self.kind.anchor_sizes()), out.device)
        corner = grid_of(height, width, out.device)
        boxes = torch.cat([(corner + out[..., :2]) / grid, rows[..., 2:4].exp() * anchors[:, None, None] / grid], -1)
        delta = out.new_zeros(out.shape)
        self._background(out, delta, boxes, found)
        if seen < EARLY:
            self._draw(out, delta)
        places = self._places(found, boxes).rounds(out.device)
        numbers = [self._learn(out, delta, boxes, anchors / grid, grid, part) for part in places]
        tally = _tally(out, delta, numbers)
        if self.variant == "pjreddie":  # its code for GPUs puts these slopes in when it goes backward
            delta[..., :2] *= out[..., :2] * (1 - out[..., :2])
            delta[..., 4] *= out[..., 4] * (1 - out[..., 4])
        return delta.permute(0, 1, 4, 2, 3).reshape(raw.shape), tally

    def _activated(self, rows: Tensor) -> Tensor:
        """The layer's output, centres and objectness through the logistic function."""
        out = rows.clone()
        out[..., :2].sigmoid_()
        out[..., 4].sigmoid_()
        if self.kind.softmax:
            out[..., 5:] = out[..., 5:].softmax(-1)
        elif self.variant == "pjreddie":
            out[..., 5:].sigmoid_()
        return out

    def _slope(self, output: Tensor) -> Tensor:
        return output * (1 - output) if self._slopes else output.new_ones(())

    def _background(self, out: Tensor, delta: Tensor, boxes: Tensor, found: BatchTruths) -> None:
        """Objectness towards 0, or towards the overlap with classfix=-1."""
        kind, obj = self.kind, out[..., 4]
        classfix = kind.classfix if self.variant == "alexeyab" else 0
        overlap, index = best_overlaps(boxes, found)
        target = overlap if classfix == -1 else obj.new_zeros(())
        change = kind.noobject_scale * (target - obj) * self._slope(obj)
        near = overlap > kind.thresh
        delta[..., 4] = change if classfix == -1 else change.where(~near, obj.new_zeros(()))
        if classfix > 0 and near.any():
            own, part, at = out[near], delta[near], near.nonzero()[:, 0]
            scale = kind.class_scale * (own[:, 4:5] if classfix == 2 else 1)
            self._class(own, part, found.padded().to(out.device)[at, index[near], 0].long(), scale)
            delta[near] = part

    def _draw(self, out: Tensor, delta: Tensor) -> None:
        """Every box towards the middle of its cell and the size of its anchor."""
        delta[..., :2] = _PULL * (0.5 - out[..., :2]) * self._slope(out[..., :2])
        delta[..., 2:4] = _PULL * (0 - out[..., 2:4])

    def _places(self, found: BatchTruths, boxes: Tensor) -> TruthPlaces:
        """The anchor of each truth: the one whose box in that cell has its shape, or itself with bias_match."""
        import torch

        height, width = boxes.shape[2:4]
        rows, picture = found.rows, found.picture
        row, column = cells(rows[:, 1:], height, width)
        if self.kind.bias_match:
            own = constant(tuple(self.kind.anchor_sizes()), rows.device) / constant((width, height), rows.device)
            sizes = own.expand(len(rows), -1, -1)
        else:
            where, down, right = (part.to(boxes.device) for part in (picture, row, column))
            sizes = boxes[where, :, down, right, 2:].to(rows.device)
        own = torch.cat([torch.zeros_like(sizes), sizes], -1)
        shape = torch.cat([torch.zeros_like(rows[:, 3:]), rows[:, 3:]], -1)[:, None]
        best = iou(own, shape).argmax(1)
        return TruthPlaces(torch.stack([picture, best, row, column], 1), best, rows[:, 1:], rows[:, 0].long())

    def _learn(
        self, out: Tensor, delta: Tensor, boxes: Tensor, anchors: Tensor, grid: Tensor, part: TruthPlaces
    ) -> Tensor:
        """Set the deltas where truths are; returns (IoU, objectness, class) of each."""
        import torch

        kind, own, change, truth = self.kind, out[part.at], delta[part.at], part.truth
        overlap = iou(boxes[part.at], truth)
        centre = truth[:, :2] * grid - part.slot[:, 2:].flip(1)
        target = torch.cat([centre - own[:, :2], (truth[:, 2:] / anchors[part.anchor]).log() - own[:, 2:4]], 1)
        target[:, :2] *= self._slope(own[:, :2])
        scale = (
            kind.coord_scale * (2 - truth[:, 2:3] * truth[:, 3:]) if self.variant == "pjreddie" else kind.coord_scale
        )
        change[:, :4] = scale * target
        wanted = overlap if kind.rescore else torch.ones_like(overlap)
        change[:, 4] = kind.object_scale * (wanted - own[:, 4]) * self._slope(own[:, 4])
        self._class(own, change, part.classes, kind.class_scale)
        delta[part.at] = change
        category = own[:, 5:].gather(1, part.classes[:, None])[:, 0]
        return torch.stack([overlap, own[:, 4], category], 1)

    def _class(self, own: Tensor, change: Tensor, classes: Tensor, scale: Any) -> None:
        """Set the deltas of classes (delta_region_class)."""
        values, before, one = own[:, 5:], change[:, 5:], classes[:, None]
        chosen = values.new_zeros(values.shape).scatter_(1, one, 1)
        every = scale * (chosen - values)
        if self.variant == "alexeyab":
            if self.kind.focal_loss:
                every = every * 0.5 * focal(values.gather(1, one))
            change[:, 5:] = every
            return
        second = (before[:, :1] != 0) & (not self.kind.softmax)
        change[:, 5:] = before.where(chosen == 0, every).where(second, every)


def focal(probability: Tensor) -> Tensor:
    """Give the factor by which focal loss changes the deltas of a class (delta_region_class, delta_yolo_class)."""
    pt = probability + 1e-15
    return -(1 - pt) * (2 * pt * pt.log() + pt - 1)


def _tally(out: Tensor, delta: Tensor, numbers: list[Tensor]) -> PendingReport:
    import torch

    whole, rows = torch.stack([(delta**2).sum(), out[..., 4].mean()]), torch.cat(numbers) if numbers else None
    if rows is None:
        return PendingReport(whole, lambda found: Report(found[0], no_obj=found[1]))
    reached = (rows[:, :1] > constant(LIMITS, out.device)).float()
    return PendingReport(torch.cat([whole, rows.mean(0), reached.mean(0)]), partial(_report, len(rows)))


def _report(count: int, numbers: Sequence[float]) -> Report:
    loss, no_obj, overlap, obj, category, half, most = numbers
    return Report(loss, overlap, obj, no_obj, category, half, most, count)
