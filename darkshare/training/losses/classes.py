"""The deltas of a classifier: softmax with cross-entropy (softmax_x_ent_cpu)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from darkshare.darknet.kinds import Cost, Softmax
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.weights import Floats
from darkshare.errors import BadValue, Unsupported
from darkshare.training.devices import sent
from darkshare.training.losses.report import PendingReport, Report

if TYPE_CHECKING:
    from torch import Tensor


class SoftmaxLoss:
    """The deltas of a [softmax], with those of a [cost] behind it."""

    def __init__(self, network: Network, layer: Layer[Softmax], variant: str) -> None:
        kind = layer.kind
        self.variant = variant
        self._temperature = kind.temperature
        self._smooth = network.net.label_smooth_eps if variant == "alexeyab" else 0.0
        behind = network.layers[layer.index + 1].kind if layer.index + 1 < len(network.layers) else None
        self._weight = 0.0 if kind.noloss else 1.0
        if isinstance(behind, Cost):
            if behind.type not in ("sse", "L2") or behind.ratio:
                raise Unsupported(f"a [cost] with type={behind.type} or ratio= behind it is not trained here")
            self._weight += behind.scale

    def delta(self, raw: Tensor, truths: Any, *, seen: int | None = None) -> tuple[Tensor, PendingReport]:
        """The deltas of what entered the head, and how it did.

        Args:
            raw: (pictures, classes).
            truths: the class id of each picture, or its rows (class_id, share).
            seen: pictures seen so far; only [region] asks.

        Raises:
            BadValue: a class that the head does not have, or truths for other pictures.
        """
        import torch

        wanted = torch.from_numpy(_shares(truths, *raw.shape))
        with torch.no_grad():
            return self._delta(raw.detach().float(), sent(wanted, raw.device))

    def _delta(self, raw: Tensor, wanted: Tensor) -> tuple[Tensor, PendingReport]:
        import torch

        shares = (raw / self._temperature).softmax(1)
        others = self._smooth / max(raw.shape[1] - 1, 1)
        target = wanted * (1 - self._smooth) + (1 - wanted) * others
        loss = -(shares.log()).where(target != 0, shares.new_zeros(())).sum()
        hits = (shares.argmax(1) == wanted.argmax(1)).float().mean()
        numbers = torch.stack([loss, (shares * wanted).sum(1).mean(), hits])
        return self._weight * (target - shares), PendingReport(numbers, partial(_report, len(wanted)))


def _report(count: int, numbers: Sequence[float]) -> Report:
    loss, category, hits = numbers
    return Report(loss, category=category, recall50=hits, count=count)


def _shares(truths: Any, pictures: int, classes: int) -> Floats:
    """The share that each class has in each picture; 1 for the only one where pictures are not mixed.

    Raises:
        BadValue: other pictures, or a class that the head does not have.
    """
    rows = [np.array([[one, 1]]) if np.ndim(one) == 0 else np.asarray(one) for one in truths]
    if len(rows) != pictures or any(one.ndim != 2 or one.shape[1] != 2 for one in rows):
        raise BadValue(f"a classifier needs a class id, or rows (class_id, share), for each of its {pictures} pictures")
    found = np.zeros((pictures, classes), np.float32)
    for at, one in enumerate(rows):
        ids = one[:, 0]
        if ((ids < 0) | (ids >= classes) | (ids % 1 != 0)).any():
            raise BadValue(f"class ids reach from {ids.min():g} to {ids.max():g}, but the head has 0..{classes - 1}")
        np.add.at(found[at], ids.astype(np.int64), one[:, 1])
    return found
