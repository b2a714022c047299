"""Labelled boxes as losses read them, and which of them meet in one place.

Truths are float32 arrays (n, 5) for each picture: class_id, x, y, w, h, centre and size as fractions of the network's
input. Their order counts: of two in one place, Darknet takes the later one for some things and both for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from darkshare.errors import BadValue

if TYPE_CHECKING:
    from torch import Tensor

Truths = Sequence[Any]  # an array (n, 5) for each picture


def read_truths(truths: Truths, pictures: int, classes: int, most: int) -> list[Tensor]:
    """The boxes of each picture as tensors, as many as Darknet's buffer holds; a centre at x=0 ends a list in Darknet.

    Raises:
        BadValue: a class that the head does not have, a box without a size, or truths for other pictures.
    """
    import torch

    if len(truths) != pictures:
        raise BadValue(f"truths for {len(truths)} pictures, but there are {pictures}")
    found = []
    for picture, rows in enumerate(truths):
        array = np.asarray(rows, np.float32).reshape(-1, 5)
        ends = np.flatnonzero(array[:, 1] == 0)
        array = array[: min([most, *ends[:1].tolist()])]
        if not np.isfinite(array).all() or (array[:, 3:] <= 0).any():
            raise BadValue(f"picture {picture} of the batch has a box without a size")
        wrong = array[(array[:, 0] < 0) | (array[:, 0] >= classes), 0]
        if wrong.size:
            raise BadValue(f"a label has the class {int(wrong[0])}, but the head has the classes 0..{classes - 1}")
        found.append(torch.from_numpy(array.copy()))
    return found


class TruthPlaces(NamedTuple):
    """The places of truths: one row for each box that a head must change.

    Attributes:
        slot: (n, 4): picture, anchor of the head, row, column.
        anchor: its index among all anchors.
        truth: (n, 4): x, y, w, h.
        classes: class ids.
    """

    slot: Tensor
    anchor: Tensor
    truth: Tensor
    classes: Tensor

    def to(self, device: Any) -> TruthPlaces:
        """The same on a device."""
        return TruthPlaces(*(part.to(device) for part in self))

    def rounds(self) -> Iterator[TruthPlaces]:
        """Parts in which no two share a slot, in the order in which Darknet would come to them."""
        turn = _turns(self.slot)
        for number in range(int(turn.max()) + 1 if len(turn) else 0):
            chosen = turn == number
            yield TruthPlaces(*(part[chosen] for part in self))

    @property
    def at(self) -> tuple[Tensor, ...]:
        """The slots as an index."""
        return tuple(self.slot.unbind(1))


def _turns(slot: Tensor) -> Tensor:
    """The number of earlier rows with the same slot."""
    import torch

    if not len(slot):
        return slot.new_zeros(0)
    place = slot.new_zeros(len(slot))
    for column in slot.unbind(1):
        place = place * (column.max() + 1) + column
    order = place.argsort(stable=True)
    ordered, position = place[order], torch.arange(len(place), device=slot.device)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    turns = torch.empty_like(position)
    turns[order] = position - position.where(first, position.new_zeros(())).cummax(0).values
    return turns


def cells(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of the cell that holds each centre; Darknet lets x=1 run over into the next row."""
    column = (boxes[:, 0] * width).long().clamp(0, width - 1)
    return (boxes[:, 1] * height).long().clamp(0, height - 1), column
