"""Overlaps of boxes, and the slopes by which Darknet moves boxes (box.c).

Boxes are tensors (..., 4): centre x, y, width, height.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

_TINY = 0.000001


class Sides(NamedTuple):
    """The sides of boxes."""

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor


def sides_of(boxes: Tensor) -> Sides:
    """Top, bottom, left and right of boxes."""
    x, y, w, h = boxes.unbind(-1)
    return Sides(y - h / 2, y + h / 2, x - w / 2, x + w / 2)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union; 0 where one of them is (box_iou)."""
    common, union = _areas(a, b)
    return (common / union).where((common != 0) & (union != 0), common.new_zeros(()))


def giou(a: Tensor, b: Tensor) -> Tensor:
    """IoU less the empty share of the box around both (box_giou)."""
    width, height = _around(a, b)
    area, (_, union) = width * height, _areas(a, b)
    return iou(a, b) - ((area - union) / area).where(area != 0, area.new_zeros(()))


def diou(a: Tensor, b: Tensor) -> Tensor:
    """IoU less the distance of the centres, as box_diou bends it: by a power of 0.6."""
    return iou(a, b) - _apart(a, b) ** 0.6


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """IoU less the distance of the centres and of the aspect ratios (box_ciou)."""
    plain = iou(a, b)
    shape = _aspect(a, b)
    term = _apart(a, b) + shape**2 / (1 - plain + shape + _TINY)
    width, height = _around(a, b)
    return plain - term.where(width**2 + height**2 != 0, term.new_zeros(()))


OVERLAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"iou": iou, "giou": giou, "diou": diou, "ciou": ciou}


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The areas of intersection and union."""
    p, q = sides_of(a), sides_of(b)
    width = p.right.minimum(q.right) - p.left.maximum(q.left)
    height = p.bottom.minimum(q.bottom) - p.top.maximum(q.top)
    common = (width * height).where((width >= 0) & (height >= 0), width.new_zeros(()))
    return common, a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - common


def _around(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height of the box around both."""
    p, q = sides_of(a), sides_of(b)
    return p.right.maximum(q.right) - p.left.minimum(q.left), p.bottom.maximum(q.bottom) - p.top.minimum(q.top)


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """The squared distance of the centres as a share of the squared diagonal around both."""
    width, height = _around(a, b)
    diagonal = width**2 + height**2
    distance = (a[..., 0] - b[..., 0]) ** 2 + (a[..., 1] - b[..., 1]) ** 2
    return (distance / diagonal).where(diagonal != 0, distance.new_zeros(()))


def _aspect(a: Tensor, b: Tensor) -> Tensor:
    """The difference of the aspect ratios, 0 to 1."""
    return 4 / math.pi**2 * ((b[..., 2] / b[..., 3]).atan() - (a[..., 2] / a[..., 3]).atan()) ** 2


def slopes(pred: Tensor, truth: Tensor, kind: str) -> Tensor:
    """Changes of x, y, w, h of `pred`, as dx_box_iou has them.

    That is not the gradient of the overlap: width and height get twice theirs, the terms of DIoU and CIoU have
    signs and factors of their own, and the weight of the aspect ratio counts as constant. Trained weights depend on it.
    """
    t, r = Extent.of(pred), sides_of(truth)
    by = _iou_slopes(t, r)
    if kind == "giou":
        by = _giou_slopes(t, r, by)
    moved = _moved(by)
    if kind in ("diou", "ciou"):
        moved = _distance_slopes(pred, truth, t, r, moved, kind)
    return moved


class Extent(Sides):
    """The sides of a prediction in order, whatever the sign of its size."""

    @classmethod
    def of(cls, boxes: Tensor) -> Extent:
        """The extent of boxes."""
        s = sides_of(boxes)
        return cls(s.top.minimum(s.bottom), s.top.maximum(s.bottom), s.left.minimum(s.right), s.left.maximum(s.right))


def _overlap(p: Sides, q: Sides) -> tuple[Tensor, Tensor]:
    """Width and height of the intersection, negative where there is none."""
    return p.right.minimum(q.right) - p.left.maximum(q.left), p.bottom.minimum(q.bottom) - p.top.maximum(q.top)


def _union_slopes(p: Sides, q: Sides) -> tuple[Tensor, Tensor, Sides, Sides]:
    """Intersection and union, and by how much each side of `p` changes them."""
    width, height = _overlap(p, q)
    none = width.new_zeros(())
    common = width * height
    union = (p.bottom - p.top) * (p.right - p.left) + (q.bottom - q.top) * (q.right - q.left) - common
    own = Sides(p.left - p.right, p.right - p.left, p.top - p.bottom, p.bottom - p.top)
    shared = Sides(
        (-width).where(p.top > q.top, none),
        width.where(p.bottom < q.bottom, none),
        (-height).where(p.left > q.left, none),
        height.where(p.right < q.right, none),
    )
    return common, union, shared, Sides(*(a - b for a, b in zip(own, shared, strict=True)))


def _iou_slopes(p: Sides, q: Sides) -> Sides:
    common, union, shared, joined = _union_slopes(p, q)
    found = (
        ((union * a - common * b) / (union * union)).where(union > 0, union.new_zeros(()))
        for a, b in zip(shared, joined, strict=True)
    )
    top, bottom, left, right = found
    top, left = top.where(p.top < p.bottom, bottom), left.where(p.left < p.right, right)
    return Sides(top, bottom, left, right)


def _giou_slopes(p: Sides, q: Sides, by: Sides) -> Sides:
    _, union, _, joined = _union_slopes(p, q)
    width, height = _overlap(p, q)
    none = width.new_zeros(())
    wide, high = p.right.maximum(q.right) - p.left.minimum(q.left), p.bottom.maximum(q.bottom) - p.top.minimum(q.top)
    area = wide * high
    around = Sides(
        (-wide).where(p.top < q.top, none),
        wide.where(p.bottom > q.bottom, none),
        (-high).where(p.left < q.left, none),
        high.where(p.right > q.right, none),
    )
    extra = [(area * a - union * b) / (area * area) for a, b in zip(joined, around, strict=True)]
    apart = (width <= 0) | (height <= 0)
    return Sides(*((a + b.where(area > 0, none)).where(~apart, b) for a, b in zip(by, extra, strict=True)))


def _moved(by: Sides) -> Tensor:
    """Slopes by sides as slopes by x, y, w, h; Darknet does not halve the last two."""
    import torch

    return torch.stack([by.left + by.right, by.top + by.bottom, by.right - by.left, by.bottom - by.top], -1)


def _distance_slopes(pred: Tensor, truth: Tensor, p: Sides, q: Sides, moved: Tensor, kind: str) -> Tensor:
    import torch

    wide, high = _around(pred, truth)
    diagonal = wide * wide + high * high
    towards = truth[..., :2] - pred[..., :2]
    distance = (towards**2).sum(-1)
    left, right = (p.left < q.left).to(pred.dtype), (p.right > q.right).to(pred.dtype)
    top, bottom = (p.top < q.top).to(pred.dtype), (p.bottom > q.bottom).to(pred.dtype)
    grown = torch.stack(
        [2 * wide * (right - left), 2 * high * (bottom - top), wide * (right + left), high * (bottom + top)], -1
    )
    square = (diagonal * diagonal)[..., None]
    centre = (2 * towards * diagonal[..., None] - grown[..., :2] * distance[..., None]) / square
    extra = torch.cat([centre, grown[..., 2:] * distance[..., None] / square], -1)
    if kind == "ciou":
        extra = extra + _aspect_slopes(pred, truth, p, q)
    width, height = _overlap(p, q)
    apart = ((width <= 0) | (height <= 0))[..., None]
    known = extra.where((diagonal > 0)[..., None], extra.new_zeros(()))
    return (moved + known).where(~apart, extra)


def _aspect_slopes(pred: Tensor, truth: Tensor, p: Sides, q: Sides) -> Tensor:
    """The slopes of the aspect ratio by w and h."""
    import torch

    common, union, _, _ = _union_slopes(p, q)
    shape = _aspect(pred, truth)
    weight = shape / (1 - common / union + shape + _TINY)
    turn = 8 / math.pi**2 * ((truth[..., 2] / truth[..., 3]).atan() - (pred[..., 2] / pred[..., 3]).atan())
    none = torch.zeros_like(turn)
    return torch.stack([none, none, weight * turn * pred[..., 3], -weight * turn * pred[..., 2]], -1)
