"""Heads of two networks that should give the same: which belong together, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from darkshare._files import is_file
from darkshare._files.opened import is_file_of
from darkshare.darknet.kinds import Boxes
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Floats
from darkshare.errors import DarkshareError, ShapeMismatch
from darkshare.surgery.heads import channels_of

LARGEST = np.finfo(np.float32).max  # OpenCV 5 gives this number in place of NaN and infinity


@dataclass(frozen=True)
class HeadDifference:
    """A head of a network beside the same head of another one, over all pictures.

    Attributes:
        task: whose head it is.
        layer: that it is in the first network.
        network: the other one.
        twin: the layer that it is there.
        shape: channels, height and width of what is compared.
        largest: absolute difference of the raw numbers, from which boxes are made later.
        share: that difference, as a share of the largest number that either network has in this head.
        bound: of that share.
        picture: with the largest difference; "" where there is none.
        cell: channel, row and column of it.
        varies: whether the numbers change from picture to picture.
    """

    task: str
    layer: int
    network: str
    twin: int
    shape: tuple[int, ...]
    largest: float
    share: float
    bound: float
    picture: str
    cell: tuple[int, ...]
    varies: bool

    @property
    def is_equal(self) -> bool:
        """Whether the difference is within the bound."""
        return self.share <= self.bound


@dataclass
class HeadPair:
    """A head of the first network and its twin, with the largest difference so far.

    Attributes:
        task: of the first network.
        layer: the head there.
        place: of the other network among all.
        other: that network.
        twin_task: its task.
        twin: the head there.
        channels: of the first one's that are compared; None for all.
    """

    task: Task
    layer: Layer
    place: int
    other: Model
    twin_task: Task
    twin: Layer
    channels: list[int] | None
    _largest: float = 0.0
    _peak: float = 0.0
    _picture: str = ""
    _cell: tuple[int, ...] = ()
    _before: Floats | None = None
    _varies: bool | None = None  # None: there was no second picture

    def add(self, picture: str, a: Floats, b: Floats) -> None:
        """Take in the numbers of both for a picture.

        Raises:
            DarkshareError: some are NaN or infinite.
        """
        a = a if self.channels is None else a[self.channels]
        if not all((np.abs(values) < LARGEST).all() for values in (a, b)):
            what = f"{self.twin.label} or its twin, {self.layer.label}, gives numbers that are not finite for {picture}"
            raise DarkshareError(what, file=self.other.name)
        apart = np.abs(a.astype(float) - b)
        self._peak = max(self._peak, float(np.abs(a).max()), float(np.abs(b).max()))
        if (most := float(apart.max())) > self._largest:
            self._largest, self._picture = most, picture
            self._cell = tuple(map(int, np.unravel_index(int(apart.argmax()), apart.shape)))
        if self._before is None:
            self._before = b
        elif not self._varies:
            self._varies = not np.array_equal(self._before, b)

    def result(self, bound: float) -> HeadDifference:
        """Give the outcome of all pictures, of which there must have been one."""
        assert self._before is not None
        share = self._largest / self._peak if self._largest else 0.0
        return HeadDifference(
            self.task.name, self.layer.index, self.other.name, self.twin.index, self._before.shape, self._largest,
            share, bound, self._picture, self._cell, self._varies is not False,
        )  # fmt: skip

    def changed(self) -> list[str]:
        """Name the twin's files that were others when they were merged, by the fingerprints in .tasks.json."""
        files, known = self.twin_task.files, self.task.fingerprints
        return [
            file
            for kind, file in files.items()
            if kind in known and is_file(file) and not is_file_of(file, known[kind])
        ]


def paired_heads(first: Model, *others: Model) -> list[HeadPair]:
    """Find the twins of all heads. Tasks belong together by their names, or in order where the names differ.

    Raises:
        ShapeMismatch: inputs, tasks, heads, kinds or shapes differ.
    """
    for other in others:
        if other.network.input[:3] != first.network.input[:3]:
            own, wanted = (_shape(one.network.input[:3]) for one in (other, first))
            what = f"its input is {own}, that of {first.name} is {wanted}; choose one for all with --size"
            raise ShapeMismatch(what, file=other.name)
    twins = [(place, other, task) for place, other in enumerate(others, 1) for task in other.tasks]
    tasks = _in_order(first, [task for *_, task in twins])
    return [pair for task, twin in zip(tasks, twins, strict=True) for pair in _heads(first, task, *twin)]


def _in_order(first: Model, twins: Sequence[Task]) -> list[Task]:
    """The first network's task for each of the others'."""
    tasks = {task.name: task for task in first.tasks}
    if sorted(tasks) == sorted(task.name for task in twins):
        return [tasks[task.name] for task in twins]
    if len(tasks) == len(twins):
        return list(first.tasks)
    if len(tasks) == 1:  # its .tasks.json is missing, so all heads are one task's, in the order of the networks
        left = iter(first.heads)
        found = [replace(task, heads=tuple(islice(left, len(task.heads))), padded=False) for task in twins]
        return [*found[:-1], replace(found[-1], heads=(*found[-1].heads, *left))]
    names, own = (", ".join(task.name for task in group) for group in (first.tasks, twins))
    what = f"has the tasks {names}, and what it is compared with has {own}; give all that it was made of"
    raise ShapeMismatch(what, file=first.name)


def _heads(first: Model, task: Task, place: int, other: Model, twin: Task) -> Iterator[HeadPair]:
    cure = "give what was merged, in that order"
    if len(task.heads) != len(twin.heads):
        what = f"task {twin.name} has {len(twin.heads)} heads, and {len(task.heads)} in {first.name}; {cure}"
        raise ShapeMismatch(what, file=other.name)
    for at, twin_at in zip(task.heads, twin.heads, strict=True):
        layer, own = first.network.layers[at], other.network.layers[twin_at]
        shape, channels = tuple(layer.y[:3]), None
        if task.padded and not twin.padded and isinstance(layer.kind, Boxes):
            rows = range(task.offset, task.offset + len(task.names))
            channels = [channel for channel in channels_of(layer.kind, rows) if channel is not None]
            shape = (len(channels), *shape[1:])
        if layer.kind.name != own.kind.name or shape != own.y[:3]:
            what = f"{own.label} of {_shape(own.y[:3])} is {layer.label} of {_shape(shape)} in {first.name}"
            raise ShapeMismatch(f"task {twin.name}: {what}; {cure}", file=other.name)
        yield HeadPair(task, layer, place, other, twin, own, channels)


def _shape(values: Sequence[int]) -> str:
    return "x".join(map(str, values))
