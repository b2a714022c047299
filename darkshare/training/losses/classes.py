"""The deltas of a classifier: softmax with cross-entropy (softmax_x_ent_cpu)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from darkshare.errors import BadValue, Unsupported
from darkshare.kinds import Cost
from darkshare.network import Layer, Network
from darkshare.training.losses.report import Report

if TYPE_CHECKING:
    from torch import Tensor


class SoftmaxLoss:
    """The deltas of a [softmax], with those of a [cost] behind it."""

    def __init__(self, network: Network, layer: Layer, variant: str) -> None:
        kind: Any = layer.kind
        self.variant = variant
        self._temperature = kind.temperature
        self._smooth = network.net.label_smooth_eps if variant == "alexeyab" else 0.0
        behind = network.layers[layer.index + 1].kind if layer.index + 1 < len(network.layers) else None
        self._weight = 0.0 if kind.noloss else 1.0
        if isinstance(behind, Cost):
            if behind.type not in ("sse", "L2") or behind.ratio:
                raise Unsupported(f"a [cost] with type={behind.type} or ratio= behind it is not trained here")
            self._weight += behind.scale

    def delta(self, raw: Tensor, truths: Any, *, seen: int | None = None) -> tuple[Tensor, Report]:
        """The deltas of what entered the head, and how it did.

        Args:
            raw: (pictures, classes).
            truths: the class id of each picture.
            seen: pictures seen so far; only [region] asks.

        Raises:
            BadValue: a class that the head does not have, or truths for other pictures.
        """
        import torch

        ids = np.asarray(truths)
        pictures, classes = raw.shape
        if ids.shape != (pictures,) or not np.issubdtype(ids.dtype, np.integer):
            raise BadValue(f"a classifier needs one class id for each of its {pictures} pictures")
        if ((ids < 0) | (ids >= classes)).any():
            raise BadValue(f"class ids reach from {ids.min()} to {ids.max()}, but the head has 0..{classes - 1}")
        with torch.no_grad():
            return self._delta(raw.detach().float(), torch.from_numpy(ids.astype(np.int64)).to(raw.device))

    def _delta(self, raw: Tensor, ids: Tensor) -> tuple[Tensor, Report]:
        shares = (raw / self._temperature).softmax(1)
        others = self._smooth / max(raw.shape[1] - 1, 1)
        target = shares.new_full(shares.shape, others).scatter_(1, ids[:, None], 1 - self._smooth)
        right = shares.gather(1, ids[:, None])[:, 0]
        loss = -(shares.log()).where(target != 0, shares.new_zeros(())).sum()
        hits = (shares.argmax(1) == ids).float().mean().item()
        report = Report(loss.item(), category=right.mean().item(), recall50=hits, count=len(ids))
        return self._weight * (target - shares), report
