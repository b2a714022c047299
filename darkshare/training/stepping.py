"""One update: features through the branch, Darknet's deltas back, and the running mean of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from darkshare.darknet.kinds.base import A, P
from darkshare.darknet.weights import Floats, Weights
from darkshare.errors import DarkshareError
from darkshare.training.building import TorchNet
from darkshare.training.devices import DeviceSettings, Fetched, is_gpu
from darkshare.training.losses import PendingReport, Report, gradient, head_losses
from darkshare.training.optimising import Schedule, batch_size, optimiser, set_rate
from darkshare.training.pictures.loading import generator
from darkshare.training.teaching import Teacher
from darkshare.training.trunks import FrozenTrunk

if TYPE_CHECKING:
    from torch import Tensor

_TORCH = 3  # the purpose of torch's random numbers, beside those of `loading`
_WARM = 10  # the mean of weights follows them closely in the first updates


class Diverged(DarkshareError):
    """A loss or gradient that is not a number any more."""


class MiniBatch(NamedTuple):
    """Input of the branch.

    Attributes:
        features: by layer, see `TorchNet.trunk`.
        truths: of each picture.
        images: that the trunk saw; None where its features come from a cache.
    """

    features: dict[int, Tensor]
    truths: Sequence[Floats]
    images: Tensor | None = None


class Step(NamedTuple):
    """The numbers of an update.

    Attributes:
        rate: the learning rate.
        loss: per picture, as Darknet prints it.
        iou: see `losses.Report`; mean over the truths of all heads, None without any, and of a classifier.
        objectness: likewise.
    """

    rate: float
    loss: float
    iou: float | None
    objectness: float | None


class Launched:
    """An update that the device may still be at.

    Args:
        name: of the network, for errors.
        number: of the update.
        rate: its learning rate.
        batch: pictures of an update.
        pending: of all heads and parts.
        norm: of the gradient, where it was measured.
    """

    def __init__(
        self, name: str, number: int, rate: float, batch: int, pending: Sequence[PendingReport], norm: Tensor
    ) -> None:
        import torch

        self.number, self.rate = number, rate
        self._name, self._batch, self._tallies = name, batch, pending
        self._numbers = Fetched(torch.cat([*(one.numbers for one in pending), norm.view(1)]))

    @cached_property
    def step(self) -> Step:
        """The numbers of the update; waits until the device has them.

        Raises:
            Diverged: the loss or the gradient is not a number any more.
        """
        *numbers, norm = self._numbers.read()
        reports = []
        for one in self._tallies:
            count = len(one.numbers)
            reports.append(one.made(numbers[:count]))
            numbers = numbers[count:]
        step = Step(self.rate, sum(report.loss for report in reports) / self._batch, *_means(reports))
        if not math.isfinite(step.loss):
            raise self._diverged(f"the loss of batch {self.number} is {step.loss}")
        if not math.isfinite(norm):
            raise self._diverged(f"batch {self.number} gives no gradient")
        return step

    def _diverged(self, what: str) -> Diverged:
        advice = f"the training diverged; take a smaller learning rate than {self.rate:g} (--lr)"
        return Diverged(f"{what}: {advice}", file=self._name)


class Trainer:
    """A network with its optimiser.

    Args:
        net: on its device.
        how: the device computes.
        seed: of dropout.
        amp: compute the branch in bfloat16 where that is precise enough.
        ema: the share of the old mean that each update keeps; 0 for no mean.
        clip: the largest norm of the gradient.
        teacher: that the branch learns from, too.

    Attributes:
        trunk: of the network.
        slower: the factor of all rates; see `TrainingRecipe.retries`.
        ahead: whether the next update is to be launched before this one's numbers are read, as it is on a GPU.
    """

    def __init__(
        self, net: TorchNet, how: DeviceSettings, *, seed: int, amp: bool, ema: float, clip: float = math.inf,
        teacher: Teacher | None = None,
    ) -> None:  # fmt: skip
        network, self.teacher = net.network, teacher
        self.net, self.how, self.device, self.seed, self.amp, self.ema = net, how, how.device, seed, amp, ema
        self.trunk = FrozenTrunk(net, how, amp=amp)
        self.clip, self.slower, self.ahead = clip, 1.0, is_gpu(how.device)
        self.schedule = Schedule.of(network.net)
        self.batch = batch_size(network.net)
        self.optimiser = optimiser(net, network.net, network.dialect)
        self.losses = head_losses(network, net.heads, P if network.dialect == P else A)
        self.mean = {name: block.detach().clone() for name, block in net.state_dict().items()} if ema else {}

    @property
    def taught_by(self) -> Weights | None:
        """The weights of the teacher, if there is one."""
        return self.teacher.weights if self.teacher else None

    def launch(self, number: int, parts: Iterable[MiniBatch]) -> Launched:
        """Learn from a batch.

        Args:
            number: of the update, from 1.
            parts: its subdivisions.

        Raises:
            Diverged: the loss or the gradient is not a number any more; the weights are as before. A trainer that is
                `ahead` finds that when the numbers are read, and its weights may not be numbers then.
        """
        import torch

        rate = self.schedule.rate(number) * self.slower
        set_rate(self.optimiser, rate)
        self.optimiser.zero_grad(set_to_none=True)
        torch.manual_seed(int(generator(self.seed, _TORCH, number).integers(2**62)))
        self.net.train()
        seen = (number - 1) * self.batch
        with self.how.on():
            pending = [one for part in parts for one in self._backward(part, seen)]
        launched = Launched(self.net.network.name, number, rate, self.batch, pending, self._clipped())
        if not self.ahead:
            launched.step  # noqa: B018 - it raises
        self.optimiser.step()
        self._follow(number)
        return launched

    def _backward(self, part: MiniBatch, seen: int) -> list[PendingReport]:
        """Add a part's gradients: those of Darknet's deltas, over the pictures of the whole batch."""
        import torch

        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            raws = self.net.branch(part.features, self.teacher.taps.values() if self.teacher else ())
        pending, learned = [], []
        for index, loss in self.losses.items():
            raw = raws[index].float()
            delta, one = loss.delta(raw, part.truths, seen=seen)
            pending.append(one)
            if raw.requires_grad:
                learned.append((raw * gradient(delta, self.batch)).sum())
        if self.teacher:
            assert part.images is not None, "a cache is refused"
            learned.append(self.teacher.loss(part.images, raws) / self.batch)
        torch.autograd.backward(torch.stack(learned).sum())  # gradients that are handed over would import sympy
        return pending

    def _clipped(self) -> Tensor:
        """Cut the gradient of all weights to the largest norm; gives the norm that it had, 0 if any is allowed."""
        import torch
        from torch.nn.utils import clip_grad_norm_

        if math.isinf(self.clip):
            return torch.zeros((), device=self.device)
        return clip_grad_norm_(self.net.parameters(), self.clip)

    def _follow(self, number: int) -> None:
        """Move the mean of the weights: little, but in the first updates, when it is nothing yet, much."""
        if not self.ema:
            return
        import torch

        kept = min(self.ema, number / (number + _WARM))
        blocks = [block.detach() for block in self.net.state_dict().values()]
        torch._foreach_lerp_([*self.mean.values()], blocks, 1 - kept)

    @contextmanager
    def averaged(self) -> Iterator[TorchNet]:
        """The network with the mean of its weights, where there is one, for what is measured and written."""
        own = {name: block.detach().clone() for name, block in self.net.state_dict().items()} if self.ema else {}
        if self.ema:
            self.net.load_state_dict(self.mean)
        try:
            yield self.net
        finally:
            if self.ema:
                self.net.load_state_dict(own)

    def state(self) -> dict[str, Any]:
        """All that the next update depends on, but for pictures and random numbers.

        Raises:
            DarkshareError: a weight is not a number any more.
        """
        import torch

        blocks = {name: block.detach().clone() for name, block in self.net.state_dict().items()}
        broken = next((name for name, block in blocks.items() if not bool(torch.isfinite(block).all())), None)
        if broken:
            why = f"{broken} holds values that are not numbers: the training diverged"
            raise DarkshareError(f"{why}; take a smaller learning rate (--lr)", file=self.net.network.name)
        return {"net": blocks, "optimiser": self.optimiser.state_dict(), "mean": self.mean}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the state of another trainer of the same network."""
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.mean = {name: block.to(self.device) for name, block in state["mean"].items()}


def _means(reports: Sequence[Report]) -> tuple[float | None, float | None]:
    """Overlap and objectness over all truths."""
    found = [report for report in reports if report.count and not math.isnan(report.iou)]
    count = sum(report.count for report in found)
    if not count:
        return None, None
    return sum(r.iou * r.count for r in found) / count, sum(r.obj * r.count for r in found) / count
