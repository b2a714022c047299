"""The numbers that Darknet prints for a head, which its loss gives beside the deltas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """The performance of a head on one mini-batch; averages are over `count` boxes and nan without any.

    Attributes:
        loss: what Darknet prints as the loss of the layer: a monitor, not what is minimised.
        iou: of the boxes with their truths.
        obj: objectness where a box is.
        no_obj: objectness everywhere.
        category: the probability of the right class.
        recall50: the share of boxes with an IoU above 0.5.
        recall75: the share of boxes with an IoU above 0.75.
        count: boxes that this head is to find.
    """

    loss: float
    iou: float = float("nan")
    obj: float = float("nan")
    no_obj: float = float("nan")
    category: float = float("nan")
    recall50: float = float("nan")
    recall75: float = float("nan")
    count: int = 0
