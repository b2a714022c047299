"""The numbers that Darknet prints for a head, which its loss gives beside the deltas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

LIMITS = (0.5, 0.75)  # of the IoU above which a box counts as found


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


class PendingReport(NamedTuple):
    """A report whose numbers are still where the loss computed them: to ask a GPU for them is to wait for it.

    Attributes:
        numbers: one after the other.
        made: the report of them as Python's floats.
    """

    numbers: Tensor
    made: Callable[[Sequence[float]], Report]

    def read(self) -> Report:
        """The report; waits for what computes it."""
        return self.made(self.numbers.tolist())
