"""The deltas of [yolo], as pjreddie's and AlexeyAB's forward_yolo_layer compute them.

Darknet's gradient is not a derivative of the loss that it prints: it is `delta`, which goes backward as it is. So this
module computes the deltas themselves, for all cells at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from darkshare.darknet.kinds.heads import FLOAT_MAX, Yolo
from darkshare.darknet.network import Layer, Network
from darkshare.errors import Unsupported
from darkshare.training.devices import constant
from darkshare.training.losses.overlaps import OVERLAPS, iou, slopes
from darkshare.training.losses.region import focal
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

_MATCHING = 0.25  # AlexeyAB ignores only boxes with a class above it (compare_yolo_class)
_PJREDDIE_MOST = 90


@dataclass(frozen=True)
class Rules:
    """Rules in which the forks differ, with the values of a cfg.

    Attributes:
        iou_loss: mse, iou, giou, diou or ciou.
        iou_normalizer: what deltas of boxes are multiplied by.
        obj_normalizer: what deltas of objectness are multiplied by.
        cls_normalizer: what the delta of the right class is multiplied by, with counters_per_class only.
        multipliers: of each class, from counters_per_class; None without.
        iou_thresh: every anchor whose shape overlaps a truth more than this has to find it; 1 for the best only.
        iou_thresh_kind: by which overlap.
        label_smooth_eps: how far targets of classes are moved towards 0.5.
        max_delta: the largest delta of a box.
        scale_x_y: how far centres reach over their cell.
        new_coords: whether the layer before has the logistic activation, and sizes are squares.
        focal_loss: whether classes have focal loss.
        objectness_smooth: whether an overlap counts as objectness.
        adds: whether deltas of boxes in one place add up, or the last one holds.
        matches: whether only boxes with a probable class are ignored.
        own_class: whether a second truth in a place is known by the delta of its own class, or of class 0.
        delta_normalizer: what all deltas are multiplied by at the end.
        most: truths of a picture that are read.
    """

    iou_loss: str = "mse"
    iou_normalizer: float = 1.0
    obj_normalizer: float = 1.0
    cls_normalizer: float = 1.0
    multipliers: tuple[float, ...] | None = None
    iou_thresh: float = 1.0
    iou_thresh_kind: str = "iou"
    label_smooth_eps: float = 0.0
    max_delta: float = FLOAT_MAX
    scale_x_y: float = 1.0
    new_coords: bool = False
    focal_loss: bool = False
    objectness_smooth: bool = False
    adds: bool = False
    matches: bool = False
    own_class: bool = False
    delta_normalizer: float = 1.0
    most: int = _PJREDDIE_MOST


def pjreddie_rules(kind: Yolo) -> Rules:
    """The rules of pjreddie's fork."""
    return Rules(most=min(kind.max, _PJREDDIE_MOST))


def alexeyab_rules(kind: Yolo) -> Rules:
    """The rules of AlexeyAB's fork; delta_normalizer is read by its code for GPUs only."""
    return Rules(
        iou_loss=kind.iou_loss if kind.iou_loss in ("mse", *OVERLAPS) else "iou",
        iou_normalizer=kind.iou_normalizer,
        obj_normalizer=kind.obj_normalizer,
        cls_normalizer=kind.cls_normalizer,
        multipliers=_multipliers(kind),
        iou_thresh=kind.iou_thresh,
        iou_thresh_kind=kind.iou_thresh_kind if kind.iou_thresh_kind in OVERLAPS else "iou",
        label_smooth_eps=kind.label_smooth_eps,
        max_delta=kind.max_delta,
        scale_x_y=kind.scale_x_y,
        new_coords=bool(kind.new_coords),
        focal_loss=bool(kind.focal_loss),
        objectness_smooth=bool(kind.objectness_smooth),
        adds=True,
        matches=True,
        own_class=True,
        delta_normalizer=kind.delta_normalizer,
        most=kind.max,
    )


def _multipliers(kind: Yolo) -> tuple[float, ...] | None:
    """Factors by which rare classes count more (get_classes_multipliers)."""
    if not kind.counters_per_class:
        return None
    if len(kind.counters_per_class) != kind.classes:
        raise Unsupported(f"counters_per_class= has {len(kind.counters_per_class)} values for {kind.classes} classes")
    counts = [max(count, 1) for count in kind.counters_per_class]
    return tuple(min(max(counts) / count, kind.max_delta) for count in counts)


RULES = {"pjreddie": pjreddie_rules, "alexeyab": alexeyab_rules}


class YoloLoss:
    """The deltas of one [yolo] head."""

    def __init__(self, network: Network, layer: Layer[Yolo], variant: str) -> None:
        kind = layer.kind
        if kind.map:
            raise Unsupported("map= renames classes by a file, which is not done here; rename them in the labels")
        self.kind = kind
        self.rules = RULES[variant](kind)
        self.variant = variant
        self._ids = list(kind.anchor_ids())
        flat = [*kind.anchors, *[0.5] * (2 * kind.num - len(kind.anchors))]
        self._anchors = tuple((flat[2 * i], flat[2 * i + 1]) for i in range(kind.num))
        self._own_anchors = tuple(self._anchors[i] for i in self._ids)
        self._strides = network.net.width / layer.x.w, network.net.height / layer.x.h

    def delta(self, raw: Tensor, truths: Truths, *, seen: int | None = None) -> tuple[Tensor, PendingReport]:
        """The deltas of what entered the head, and how it did.

        No device is waited for, but where truth_thresh= is below 1.

        Args:
            raw: (pictures, anchors * values, height, width); the network's input is as many times as large as the cfg
                has it.
            truths: (n, 5) for each picture; see `truths`.
            seen: pictures seen so far; only [region] asks.
        """
        import torch

        with torch.no_grad():
            return self._delta(raw.detach().float(), truths)

    def _delta(self, raw: Tensor, truths: Truths) -> tuple[Tensor, PendingReport]:
        pictures, _, height, width = raw.shape
        out = self._activated(raw)
        found = read_truths(truths, pictures, self.kind.classes, self.rules.most)
        pixels = width * self._strides[0], height * self._strides[1]
        size = constant(pixels, out.device)
        delta, best = out.new_zeros(out.shape), self._best(out, found, size)
        self._background(out, delta, best[0])
        if self.kind.truth_thresh < 1:  # no overlap is larger
            self._certain(out, delta, found, size, *best)
        places = self._places(found, height, width, constant(pixels, found.rows.device)).rounds(out.device)
        seen = [self._learn(out, delta, size, part) for part in places]
        if self.rules.iou_thresh < 1:
            _averaged(delta)
        tally = self._tally(out, delta, seen)
        back = delta.permute(0, 1, 4, 2, 3).reshape(raw.shape)
        return back * self.rules.delta_normalizer, tally

    def _activated(self, raw: Tensor) -> Tensor:
        """The layer's output: pictures, anchors, rows, columns, values."""
        pictures, _, height, width = raw.shape
        out = raw.view(pictures, len(self._ids), self.kind.values, height, width).permute(0, 1, 3, 4, 2).clone()
        if not self.rules.new_coords:
            out[..., :2].sigmoid_()
            out[..., 4:].sigmoid_()
        scale = self.rules.scale_x_y
        out[..., :2] = out[..., :2] * scale - 0.5 * (scale - 1)
        return out

    def _boxes(self, rows: Tensor, anchors: Tensor, corner: Tensor, size: Tensor, grid: Sequence[int]) -> Tensor:
        """Boxes as fractions of the input (get_yolo_box); `corner` is column and row, `grid` height and width."""
        import torch

        wh = rows[..., 2:4]
        grown = wh * wh * 4 if self.rules.new_coords else wh.exp()
        cells_of = constant((grid[1], grid[0]), rows.device)
        return torch.cat([(corner + rows[..., :2]) / cells_of, grown * anchors / size], -1)

    def _best(self, out: Tensor, found: BatchTruths, size: Tensor) -> tuple[Tensor, Tensor]:
        """For every box the overlap with the truth that it overlaps most, and which that is."""
        height, width = out.shape[2:4]
        anchors = constant(self._own_anchors, out.device)[:, None, None]
        boxes = self._boxes(out, anchors, grid_of(height, width, out.device), size, (height, width))
        return best_overlaps(boxes, found)

    def _background(self, out: Tensor, delta: Tensor, overlap: Tensor) -> None:
        """Objectness towards 0 everywhere but where a box overlaps a truth well."""
        rules, obj = self.rules, out[..., 4]
        down = rules.obj_normalizer * -obj
        if rules.matches:
            overlap = overlap * (out[..., 5:] > _MATCHING).any(-1)
        kept = (rules.obj_normalizer * (overlap - obj)).maximum(down) if rules.objectness_smooth else obj.new_zeros(())
        delta[..., 4] = down.where(overlap <= self.kind.ignore_thresh, kept)

    def _certain(
        self, out: Tensor, delta: Tensor, found: BatchTruths, size: Tensor, overlap: Tensor, index: Tensor
    ) -> None:
        """Boxes that overlap a truth by more than truth_thresh learn it."""
        import torch

        slot = (overlap > self.kind.truth_thresh).nonzero()
        if not len(slot):
            return
        at = tuple(slot.unbind(1))
        rows = found.padded().to(out.device)[slot[:, 0], index[at]]
        anchor = torch.tensor(self._ids, device=out.device)[slot[:, 1]]
        part = TruthPlaces(slot, anchor, rows[:, 1:], rows[:, 0].long())
        own, change = out[at], delta[at]
        target = overlap[at] ** 2 if self.rules.objectness_smooth else torch.ones_like(own[:, 4])
        change[:, 4] = self.rules.obj_normalizer * (target - own[:, 4])
        self._class(own, change, part.classes)
        if self.rules.objectness_smooth:
            one = part.classes[:, None] + 5
            value = self._multiplier(part.classes, own)[:, None] * (target[:, None] - own.gather(1, one))
            change.scatter_(1, one, value)
        self._box(own, change, part, size, out.shape[2:4])
        delta[at] = change

    def _places(self, found: BatchTruths, height: int, width: int, size: Tensor) -> TruthPlaces:
        """The boxes that are to find each truth, in Darknet's order; they do not depend on the output."""
        import torch

        rows, truth = found.rows, found.rows[:, 1:]
        shape = torch.cat([torch.zeros_like(truth[:, :2]), truth[:, 2:]], 1)[:, None]
        anchors = constant(self._anchors, truth.device)
        anchors = torch.cat([torch.zeros_like(anchors), anchors / size], 1)
        best = iou(anchors, shape).argmax(1)
        own = torch.tensor([self._ids.index(n) if n in self._ids else -1 for n in range(self.kind.num)])
        wanted = torch.zeros(len(rows), 1 + self.kind.num, dtype=torch.bool)
        if self.rules.iou_thresh < 1:
            others = OVERLAPS[self.rules.iou_thresh_kind](anchors, shape) > self.rules.iou_thresh
            wanted[:, 1:] = others & (torch.arange(self.kind.num) != best[:, None]) & (own >= 0)
        wanted[:, 0] = own[best] >= 0
        which, column = wanted.nonzero().unbind(1)  # truth by truth, the best anchor first
        anchor = best[which].where(column == 0, column - 1)
        row_of, column_of = cells(truth[which], height, width)
        slot = torch.stack([found.picture[which], own[anchor], row_of, column_of], 1)
        return TruthPlaces(slot, anchor, truth[which], rows[which, 0].long())

    def _learn(self, out: Tensor, delta: Tensor, size: Tensor, part: TruthPlaces) -> Tensor:
        """Change the deltas where truths are; returns (IoU, GIoU, objectness, class) of each."""
        import torch

        rules, own, change = self.rules, out[part.at], delta[part.at]
        boxes = self._box(own, change, part, size, out.shape[2:4])
        up = self._multiplier(part.classes, own) * rules.obj_normalizer * (1 - own[:, 4])
        change[:, 4] = up.where(change[:, 4] == 0, change[:, 4]) if rules.objectness_smooth else up
        self._class(own, change, part.classes)
        delta[part.at] = change
        category = own.gather(1, part.classes[:, None] + 5)[:, 0]
        overlap = iou(boxes, part.truth)
        return torch.stack([overlap, OVERLAPS["giou"](boxes, part.truth), own[:, 4], category], 1)

    def _multiplier(self, classes: Tensor, like: Tensor) -> Tensor:
        if self.rules.multipliers is None:
            return like.new_ones(len(classes))
        return constant(self.rules.multipliers, like.device)[classes]

    def _box(self, own: Tensor, change: Tensor, part: TruthPlaces, size: Tensor, grid: Sequence[int]) -> Tensor:
        """Add to or set the deltas of boxes (delta_yolo_box); returns the boxes."""
        import torch

        rules, truth = self.rules, part.truth
        corner = part.slot[:, 2:].flip(1)
        anchors = constant(self._anchors, own.device)[part.anchor]
        boxes = self._boxes(own, anchors, corner, size, grid)
        factor = (rules.iou_normalizer * self._multiplier(part.classes, own))[:, None]
        if rules.iou_loss == "mse":
            centre = truth[:, :2] * constant((grid[1], grid[0]), own.device) - corner
            ratio = truth[:, 2:] * size / anchors
            target = torch.cat([centre, (ratio / 4).sqrt() if rules.new_coords else ratio.log()], 1)
            move = (2 - truth[:, 2] * truth[:, 3])[:, None] * (target - own[:, :4]) * factor
        else:
            move = self._slopes(own, boxes, truth) * factor
            move = torch.nan_to_num(move, 0.0, 0.0, 0.0).clamp(-rules.max_delta, rules.max_delta)
        change[:, :4] = change[:, :4] + move if rules.adds else move
        return boxes

    def _slopes(self, own: Tensor, boxes: Tensor, truth: Tensor) -> Tensor:
        import torch

        grown = boxes[:, 2:]
        known = torch.cat([boxes[:, :2], grown.where(grown != 0, grown.new_ones(()))], 1)
        by = slopes(known, truth, self.rules.iou_loss)
        if not self.rules.new_coords:
            by[:, 2:] *= own[:, 2:4].exp()
        return by

    def _class(self, own: Tensor, change: Tensor, classes: Tensor) -> None:
        """Set the deltas of classes (delta_yolo_class); a second truth in a place only moves its own class."""
        rules, one = self.rules, classes[:, None]
        values, before = own[:, 5:], change[:, 5:]
        chosen = values.new_zeros(values.shape).scatter_(1, one, 1)
        eps = rules.label_smooth_eps
        second = before.gather(1, one if rules.own_class else one * 0) != 0
        many = self._multiplier(classes, own)[:, None]
        single = (1 - eps + 0.5 * eps - values) * many
        if rules.focal_loss:
            every = (chosen - values) * 0.5 * focal(values.gather(1, one))
        else:
            every = chosen * (1 - eps) + 0.5 * eps - values
            if rules.multipliers is not None:
                every = every * (1 + chosen * (many * rules.cls_normalizer - 1))
        after = before.where(chosen == 0, single)
        change[:, 5:] = after.where(second, every)

    def _tally(self, out: Tensor, delta: Tensor, seen: list[Tensor]) -> PendingReport:
        import torch

        total, boxes = (delta**2).sum(), (delta[..., :4] ** 2).sum()
        whole, rows = torch.stack([total, total - boxes, out[..., 4].mean()]), torch.cat(seen) if seen else None
        if rows is None:
            return PendingReport(whole, self._nothing)
        found = (rows[:, :1] > constant(LIMITS, out.device)).float()
        return PendingReport(torch.cat([whole, rows.mean(0), found.mean(0)]), partial(self._report, len(rows)))

    def _nothing(self, numbers: Sequence[float]) -> Report:
        loss, without, no_obj = numbers
        return Report(loss if self.rules.iou_loss == "mse" else self.rules.obj_normalizer * without, no_obj=no_obj)

    def _report(self, count: int, numbers: Sequence[float]) -> Report:
        rules = self.rules
        loss, without, no_obj, overlap, generous, obj, category, half, most = numbers
        if rules.iou_loss != "mse":
            missing = 1 - (generous if rules.iou_loss == "giou" else overlap)
            loss = rules.iou_normalizer * missing + rules.obj_normalizer * without
        return Report(loss, overlap, obj, no_obj, category, half, most, count)


def _averaged(delta: Tensor) -> None:
    """Divide the deltas of boxes by how many classes are wanted there (averages_yolo_deltas)."""
    wanted = (delta[..., 5:] > 0).sum(-1, keepdim=True)
    delta[..., :4] /= wanted.where((delta[..., 4:5] != 0) & (wanted > 0), wanted.new_ones(()))
