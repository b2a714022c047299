"""One update: features through the branch, Darknet's deltas back, and the running mean of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from darkshare.darknet.kinds.base import A, P
from darkshare.darknet.weights import Floats
from darkshare.errors import DarkshareError
from darkshare.training.building import TorchNet
from darkshare.training.losses import Report, head_losses, surrogate
from darkshare.training.optimising import Schedule, batch_size, optimiser, set_rate
from darkshare.training.pictures.loading import generator

if TYPE_CHECKING:
    from torch import Tensor

_TORCH = 3  # the purpose of torch's random numbers, beside those of `loading`
_WARM = 10  # the mean of weights follows them closely in the first updates


class Diverged(DarkshareError):
    """A loss or gradient that is not a number any more."""


class MiniBatch(NamedTuple):
    """Input of the branch: features by layer (see `TorchNet.trunk`), and the truths of each picture."""

    features: dict[int, Tensor]
    truths: Sequence[Floats]


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


class Trainer:
    """A network with its optimiser.

    Args:
        net: on its device.
        seed: of dropout.
        amp: compute the branch in bfloat16 where that is precise enough.
        ema: the share of the old mean that each update keeps; 0 for no mean.
        clip: the largest norm of the gradient.

    Attributes:
        slower: the factor of all rates; see `TrainingRecipe.retries`.
    """

    def __init__(self, net: TorchNet, *, device: Any, seed: int, amp: bool, ema: float, clip: float = math.inf) -> None:
        network = net.network
        self.net, self.device, self.seed, self.amp, self.ema = net, device, seed, amp, ema
        self.clip, self.slower = clip, 1.0
        self.schedule = Schedule.of(network.net)
        self.batch = batch_size(network.net)
        self.optimiser = optimiser(net, network.net, network.dialect)
        self.losses = head_losses(network, net.heads, P if network.dialect == P else A)
        self.mean = {name: block.detach().clone() for name, block in net.state_dict().items()} if ema else {}

    def update(self, number: int, parts: Iterable[MiniBatch]) -> Step:
        """Learn from a batch.

        Args:
            number: of the update, from 1.
            parts: its subdivisions.

        Raises:
            Diverged: the loss or the gradient is not a number any more; the weights are as before.
        """
        import torch

        rate = self.schedule.rate(number) * self.slower
        set_rate(self.optimiser, rate)
        self.optimiser.zero_grad(set_to_none=True)
        torch.manual_seed(int(generator(self.seed, _TORCH, number).integers(2**62)))
        self.net.train()
        seen = (number - 1) * self.batch
        reports = [report for part in parts for report in self._backward(part, seen)]
        step = Step(rate, sum(report.loss for report in reports) / self.batch, *_means(reports))
        if not math.isfinite(step.loss):
            raise self._diverged(f"the loss of batch {number} is {step.loss}", rate)
        if not math.isfinite(self._clipped()):
            raise self._diverged(f"batch {number} gives no gradient", rate)
        self.optimiser.step()
        self._follow(number)
        return step

    def _backward(self, part: MiniBatch, seen: int) -> Iterator[Report]:
        """Add a part's gradients: those of Darknet's deltas, over the pictures of the whole batch."""
        import torch

        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            raws = self.net.branch(part.features)
        total: Any = 0
        for index, loss in self.losses.items():
            delta, report = loss.delta(raws[index].detach().float(), part.truths, seen=seen)
            total = total + surrogate(delta, raws[index])
            yield report
        (total / self.batch).backward()

    def _diverged(self, what: str, rate: float) -> Diverged:
        advice = f"the training diverged; take a smaller learning rate than {rate:g} (--lr)"
        return Diverged(f"{what}: {advice}", file=self.net.network.name)

    def _clipped(self) -> float:
        """Cut the gradient of all weights to the largest norm; gives the norm that it had, 0 if any is allowed."""
        from torch.nn.utils import clip_grad_norm_

        return 0.0 if math.isinf(self.clip) else float(clip_grad_norm_(self.net.parameters(), self.clip))

    def _follow(self, number: int) -> None:
        """Move the mean of the weights: little, but in the first updates, when it is nothing yet, much."""
        if not self.ema:
            return
        kept = min(self.ema, number / (number + _WARM))
        for name, block in self.net.state_dict().items():
            self.mean[name].lerp_(block.detach(), 1 - kept)

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
