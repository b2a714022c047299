"""A teacher: a network that was trained end to end, whose features and boxes a branch learns to give.

It sees the pictures that the branch learns from, and costs nothing afterwards. Compared are what the branch reads from
layers of its own beside the trunk, what enters the last convolution before each head (Romero et al., arXiv 1412.6550),
and what the heads get, boxes and classes where the teacher sees an object (Chen et al., NeurIPS 2017).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from darkshare.darknet.kinds import Yolo
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import Network
from darkshare.darknet.weights import Weights
from darkshare.errors import Unsupported
from darkshare.training.building import TorchNet, build

if TYPE_CHECKING:
    from torch import Tensor

_FEATURES = 10.0  # times their relative squared error is what a picture's features count
_OBJECTNESS = 4  # its place among the values of a box


class Teacher:
    """A network that teaches another one.

    Args:
        model: with the layers of the student, but for a side.
        student: the network that trains.

    Attributes:
        taps: the teacher's layers whose outputs are compared, and the student's that are to give the same.

    Raises:
        Unsupported: it is another network, has other classes, or heads of another kind.
    """

    def __init__(self, model: Model, student: TorchNet) -> None:
        own, learner = model.network, student.network
        self._more = more = len(learner.layers) - len(own.layers)
        _require_same(model, student.model, student.k, more)
        self._kinds = {head.index + more: head.kind for head in own.of_kind(Yolo)}
        self._heads = {head - more: head for head in student.heads}
        self.taps = dict(_taps(own, learner, student, more))
        self._net = build(model, student.k)

    @property
    def weights(self) -> Weights | None:
        """Its weights."""
        return self._net.model.weights

    def to(self, device: object) -> Teacher:
        """Move it to a device."""
        self._net.to(device)
        return self

    def give_start(self, student: TorchNet) -> None:
        """Have the student's layers from k on begin as its own; those of a side stay as they are."""
        student.begin_as(self._net, self._more)

    def outputs(self, x: Tensor) -> dict[int, Tensor]:
        """The teacher's numbers for pictures (pictures, channels, height, width), by the student's layers."""
        both = {**self._heads, **self.taps}
        found = self._net.outputs(x, both)
        return {both[index]: values.float() for index, values in found.items()}

    def loss(self, x: Tensor, given: Mapping[int, Tensor]) -> Tensor:
        """The difference of a student from it, summed over pictures.

        Args:
            x: what it saw, (pictures, channels, height, width) in 0..1.
            given: by layer, the student's outputs of `taps` and what entered its heads.
        """
        import torch

        wanted = self.outputs(x)
        heads = [head_difference(kind, given[at], wanted[at]) for at, kind in self._kinds.items() if at in wanted]
        features = [feature_difference(given[at].float(), wanted[at]) for at in self.taps.values()]
        return torch.stack(heads).sum() + _FEATURES * sum(features, torch.zeros((), device=x.device))


def feature_difference(given: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared difference as a share of the mean square that is wanted, summed over pictures."""
    picture = tuple(range(1, wanted.ndim))
    return ((given - wanted) ** 2).mean(picture).sum() / (wanted**2).mean().clamp_min(1e-12)


def head_difference(kind: Yolo, given: Tensor, wanted: Tensor) -> Tensor:
    """The cross-entropy of what entered a [yolo] head; of boxes and classes by the objectness that is wanted.

    Sizes count by half their squared difference, whose slope is that of Darknet's deltas, as that of the rest is.

    Args:
        kind: of the head.
        given: (pictures, anchors * values, height, width).
        wanted: likewise.
    """
    from torch.nn import functional

    pictures, _, height, width = given.shape
    shape = pictures, -1, kind.values, height, width
    given, wanted = given.view(shape).float(), wanted.view(shape).float()
    if kind.new_coords:  # the layer before has the logistic activation
        entropy = functional.binary_cross_entropy(given.clamp(0, 1), wanted.clamp(0, 1), reduction="none")
        objects = wanted[:, :, _OBJECTNESS]
    else:
        entropy = functional.binary_cross_entropy_with_logits(given, wanted.sigmoid(), reduction="none")
        objects = wanted[:, :, _OBJECTNESS].sigmoid()
    sizes = ((given[:, :, 2:4] - wanted[:, :, 2:4]) ** 2).sum(2) / 2
    rest = entropy[:, :, :2].sum(2) + sizes + entropy[:, :, _OBJECTNESS + 1 :].sum(2)
    return (entropy[:, :, _OBJECTNESS] + objects * rest).sum()


def read_teacher(path: str | os.PathLike[str], student: TorchNet) -> Teacher:
    """Read the files of a teacher.

    Args:
        path: of its cfg, whose weights lie beside it.
        student: the network that trains.

    Raises:
        DarkshareError: they cannot be read.
        Unsupported: see `Teacher`.
    """
    return Teacher(load(path, dialect=student.network.dialect), student)


def _require_same(model: Model, student: Model, k: int, more: int) -> None:
    """Refuse a teacher whose layers are not the student's, but for those of a side in front of layer k."""
    what = f"cannot teach {student.name}"
    if model.weights is None:
        raise Unsupported(f"{what}: it has no weights", file=model.name)
    names = [one.tasks[0].names for one in (model, student)]
    if len(model.tasks) != 1 or names[0] != names[1]:
        why = "it has other classes, or the same in another order; train it on this data"
        raise Unsupported(f"{what}: {why}", file=model.name)
    own, learner = model.network.layers, student.network.layers
    pairs = [] if more < 0 else [(layer, learner[layer.index + more * (layer.index >= k)]) for layer in own]
    if not pairs or any((a.kind.name, a.y.c, a.size) != (b.kind.name, b.y.c, b.size) for a, b in pairs):
        raise Unsupported(f"{what}: its layers are others; train the same network with --k 0", file=model.name)
    for head in model.network.heads:
        if not isinstance(head.kind, Yolo):
            why = f"{head.label} is not a [yolo] head, and only those can be taught"
            raise Unsupported(f"{what}: {why}", file=model.name)


def _taps(own: Network, learner: Network, student: TorchNet, more: int) -> Iterator[tuple[int, int]]:
    """The layers whose outputs are compared, as (the teacher's, the student's)."""
    for layer in own.layers[student.k :]:
        twin = learner.layers[layer.index + more]
        yield from ((a, b) for a, b in zip(layer.inputs, twin.inputs, strict=True) if a < student.k <= b)
    for head in student.heads:
        yield from ((at - more, at) for at in learner.layers[head - 1].inputs[:1] if at - more >= student.k)
