"""Labelled boxes as losses read them, and which of them meet in one place.

Truths are float32 arrays (n, 5) for each picture: class_id, x, y, w, h, centre and size as fractions of the network's
input. Their order counts: of two in one place, Darknet takes the later one for some things and both for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare.errors import BadValue
from darkshare.training.devices import is_gpu, sent
from darkshare.training.losses.overlaps import iou

if TYPE_CHECKING:
    from torch import Tensor

_ON_CPU, _ON_GPU = 2**16, 2**24  # overlaps that are computed at once: what fits a cache, and some of the memory
Truths = Sequence[Any]  # an array (n, 5) for each picture


class BatchTruths(NamedTuple):
    """The boxes of the pictures of a mini-batch, one after the other, in ordinary memory.

    Attributes:
        rows: (n, 5): class_id, x, y, w, h.
        picture: (n,): which picture each belongs to.
        counts: how many each picture has.
    """

    rows: Tensor
    picture: Tensor
    counts: NDArray[np.int64]

    def padded(self) -> Tensor:
        """(pictures, most, 5): each picture's own first, then boxes without a size, which overlap nothing."""
        import torch

        found = self.rows.new_zeros(len(self.counts), int(self.counts.max(initial=0)), 5)
        found[self.picture, torch.from_numpy(_positions(self.counts))] = self.rows
        return found


def read_truths(truths: Truths, pictures: int, classes: int, most: int) -> BatchTruths:
    """The boxes of each picture, as many as Darknet's buffer holds; a centre at x=0 ends a list in Darknet.

    Raises:
        BadValue: a class that the head does not have, a box without a size, or truths for other pictures.
    """
    import torch

    if len(truths) != pictures:
        raise BadValue(f"truths for {len(truths)} pictures, but there are {pictures}")
    arrays = [np.asarray(rows, np.float32).reshape(-1, 5) for rows in truths]
    counts = np.array([len(one) for one in arrays], np.int64)
    rows, picture = np.concatenate([*arrays, np.zeros((0, 5), np.float32)]), np.repeat(np.arange(pictures), counts)
    ended = np.cumsum(rows[:, 1] == 0)
    before = np.concatenate([[0], ended])[np.cumsum(counts) - counts]
    kept = (_positions(counts) < most) & (ended == before[picture])
    rows, picture = rows[kept], picture[kept]
    wrong = ~np.isfinite(rows).all(1) | (rows[:, 3:] <= 0).any(1)
    if wrong.any():
        raise BadValue(f"picture {picture[wrong][0]} of the batch has a box without a size")
    odd = rows[(rows[:, 0] < 0) | (rows[:, 0] >= classes), 0]
    if odd.size:
        raise BadValue(f"a label has the class {int(odd[0])}, but the head has the classes 0..{classes - 1}")
    return BatchTruths(torch.from_numpy(rows), torch.from_numpy(picture), np.bincount(picture, minlength=pictures))


def _positions(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of each box in its picture."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


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

    def rounds(self, device: Any) -> list[TruthPlaces]:
        """Parts on a device in which no two share a slot, in the order in which Darknet would come to them.

        Computed in ordinary memory: the number of parts is needed here, and a device would have to be waited for.
        """
        import torch

        turn = _turns(self.slot)
        order, sizes = turn.argsort(stable=True), turn.bincount().tolist()
        whole = torch.cat([self.slot, self.anchor[:, None], self.classes[:, None]], 1)[order]
        parts = (torch.split(sent(one, device), sizes) for one in (whole, self.truth[order]))
        return [TruthPlaces(one[:, :4], one[:, 4], truth, one[:, 5]) for one, truth in zip(*parts, strict=True)]

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
    ordered, position = place[order], torch.arange(len(place))
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    turns = torch.empty_like(position)
    turns[order] = position - position.where(first, position.new_zeros(())).cummax(0).values
    return turns


def cells(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of the cell that holds each centre; Darknet lets x=1 run over into the next row."""
    column = (boxes[:, 0] * width).long().clamp(0, width - 1)
    return (boxes[:, 1] * height).long().clamp(0, height - 1), column


def best_overlaps(boxes: Tensor, found: BatchTruths) -> tuple[Tensor, Tensor]:
    """For each box the IoU with the truth of its picture that it overlaps most, and the number of that one.

    The first of equals is taken, as Darknet does; without truths both are 0.

    Args:
        boxes: (pictures, ..., 4), on any device.
        found: the truths.
    """
    import torch

    planes = boxes.flatten(1, -2).transpose(1, 2).contiguous().transpose(1, 2)  # x of all, y of all, ...
    overlap = planes.new_zeros(planes.shape[:2])
    index = torch.zeros(planes.shape[:2], dtype=torch.long, device=planes.device)
    truth = sent(found.padded()[..., 1:], planes.device)
    for part, most in _groups(found.counts, planes.shape[1], _ON_GPU if is_gpu(planes.device) else _ON_CPU):
        each = iou(planes[part, None], truth[part, :most, None])
        overlap[part], index[part] = each.max(1)
    return overlap.view(boxes.shape[:-1]), index.view(boxes.shape[:-1])


def _groups(counts: NDArray[np.int64], boxes: int, limit: int) -> Iterator[tuple[slice, int]]:
    """Pictures whose boxes and truths are compared at once, and the most truths of one; none without truths."""
    start = most = 0
    for picture, count in enumerate(counts.tolist()):
        if start < picture and (picture + 1 - start) * max(most, count) * boxes > limit:
            if most:
                yield slice(start, picture), most
            start, most = picture, 0
        most = max(most, count)
    if most:
        yield slice(start, len(counts)), most


@lru_cache(maxsize=128)
def grid_of(height: int, width: int, device: Any) -> Tensor:
    """(height, width, 2): column and row of each cell; nobody may change it."""
    import torch

    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([column, row], -1).to(torch.float32).to(device)
