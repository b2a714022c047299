"""Losses of the heads: Darknet's deltas, on tensors of any device.

Darknet's gradient of a layer's input is -delta, and it divides by the pictures of the whole batch when it updates:
`gradient` is what to go back from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from darkshare.darknet import kinds
from darkshare.darknet.admission import located
from darkshare.darknet.kinds import Kind
from darkshare.darknet.network import Layer, Network
from darkshare.errors import BadValue, Unsupported
from darkshare.training.losses.classes import SoftmaxLoss
from darkshare.training.losses.region import RegionLoss
from darkshare.training.losses.report import PendingReport, Report
from darkshare.training.losses.yolo import YoloLoss

if TYPE_CHECKING:
    from torch import Tensor

VARIANTS = ("alexeyab", "pjreddie")


class HeadLoss(Protocol):
    """The loss of one head."""

    def delta(self, raw: Tensor, truths: Any, *, seen: int | None = None) -> tuple[Tensor, PendingReport]:
        """The deltas of what entered the head, and how it did."""


LOSSES: dict[type[Kind], Any] = {
    kinds.Yolo: YoloLoss,
    kinds.Region: RegionLoss,
    kinds.Softmax: SoftmaxLoss,
}


def head_losses(network: Network, heads: tuple[int, ...], variant: str = "alexeyab") -> dict[int, HeadLoss]:
    """The loss of each head, by its layer.

    Args:
        network: the resolved cfg.
        heads: layers; `TorchNet.heads`.
        variant: whose loss: alexeyab or pjreddie.

    Raises:
        BadValue: a variant that there is not.
        Unsupported: a head, or a key of one, that cannot be trained here.
    """
    if variant not in VARIANTS:
        raise BadValue(f"there is no loss of {variant}; use one of {', '.join(VARIANTS)}")
    return {index: _loss(network, network.layers[index], variant) for index in heads}


def _loss(network: Network, layer: Layer, variant: str) -> HeadLoss:
    with located(network, layer):
        if type(layer.kind) not in LOSSES:
            raise Unsupported("it ends the network but has no loss; heads that train are [yolo], [region], [softmax]")
        loss: HeadLoss = LOSSES[type(layer.kind)](network, layer, variant)
    return loss


def gradient(delta: Tensor, pictures: int) -> Tensor:
    """Darknet's gradient of what entered a head, as a part of that of an update over so many pictures."""
    return delta * -(1 / pictures)


__all__ = ["LOSSES", "PendingReport", "Report", "gradient", "head_losses"]
