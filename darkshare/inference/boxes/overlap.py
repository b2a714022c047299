"""Intersection over union of boxes in numpy: the one definition that NMS, evaluation and int8 share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[Any]  # float32 or float64


def iou(a: Corners, b: Corners) -> NDArray[Any]:
    """Intersection over union of each box with each other one.

    Args:
        a: (n, 4), x1, y1, x2, y2 in any unit.
        b: (m, 4), likewise.

    Returns:
        (n, m) in the precision of the boxes; 0 where they do not meet.
    """
    return iou_of_pairs(a[:, None], b[None])


def iou_of_pairs(
    a: Corners,
    b: Corners,
    *,
    areas: tuple[NDArray[Any], NDArray[Any]] | None = None,
    crowd: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Intersection over union of pairs of boxes, row by row.

    Args:
        a: (..., 4), x1, y1, x2, y2.
        b: likewise, of the same or a broadcastable shape.
        areas: of both, where they are known more exactly than from the corners.
        crowd: where b is a crowd, as COCO has it: the intersection is divided by a's own area.
    """
    shared = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(axis=-1)
    own, other = areas or ((a[..., 2:] - a[..., :2]).prod(axis=-1), (b[..., 2:] - b[..., :2]).prod(axis=-1))
    union = own + other - shared
    if crowd is not None:
        union = np.where(crowd, own, union)
    found: NDArray[Any] = np.divide(shared, union, out=np.zeros_like(shared), where=(shared > 0) & (union > 0))
    return found
