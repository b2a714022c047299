"""The trunk of a network as its device computes it: the same at each pass, so that what can be done once is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darkshare.training.building import TorchNet
from darkshare.training.devices import DeviceSettings, Pass, captured, sent, stacked, unit
from darkshare.training.pictures.augmenting import unpacked

if TYPE_CHECKING:
    from torch import Tensor

_GRAPHS = 4  # that are kept: each holds memory of its own


def pictures_on(device: Any, images: Sequence[NDArray[Any]]) -> Tensor:
    """Images of one size on a device, in 0..1; they are sent as bytes if all of them are."""
    packed = all(image.dtype == np.uint8 for image in images)
    return unit(sent(stacked(images if packed else [*map(unpacked, images)], device), device))


class FrozenTrunk:
    """The layers before k.

    Args:
        net: whose they are, on its device.
        how: the device computes.
        amp: compute in bfloat16 where that is precise enough.
    """

    def __init__(self, net: TorchNet, how: DeviceSettings, *, amp: bool) -> None:
        self.net, self.how, self.amp = net, how, amp
        self._seen: set[tuple[int, ...]] = set()
        self._graphs: dict[tuple[int, ...], Pass] = {}

    def __call__(self, x: Tensor) -> dict[int, Tensor]:
        """The outputs of the layers that the branch reads for pictures (pictures, channels, height, width)."""
        x = self.how.laid(x)
        if not self.how.inference or not self.net.k:
            return self._pass(self.net, x)
        import torch

        with self.how.on(), torch.inference_mode():
            found = self._run(x)
        return {index: values.clone() for index, values in found.items()}  # gradients may go through a clone

    @cached_property
    def _cast(self) -> TorchNet:
        import torch

        return self.net.cast_trunk(torch.bfloat16) if self.amp else self.net

    def _run(self, x: Tensor) -> dict[int, Tensor]:
        """A pass; a graph from the second of a shape on, as the last pictures of all may come in another number."""
        shape = tuple(x.shape)
        if shape not in self._graphs and shape in self._seen and len(self._graphs) < _GRAPHS:
            self._graphs[shape] = captured(partial(self._pass, self._cast), x)
        self._seen |= {shape} if self.how.fixed else set()
        return self._graphs[shape](x) if shape in self._graphs else self._pass(self._cast, x)

    def _pass(self, net: TorchNet, x: Tensor) -> dict[int, Tensor]:
        import torch

        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.amp):
            return net.trunk(x)
