"""Copies between ordinary memory and a device that do not wait for what the device is at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def is_gpu(device: Any) -> bool:
    """Whether a device computes beside Python, and is waited for only where its numbers are read."""
    return bool(device.type == "cuda")


def sent(values: Tensor, device: Any) -> Tensor:
    """Send a tensor to a device, beside what that computes; what is computed next waits for it.

    Only from pinned memory does a copy go on by itself; a GPU has a stream of its own for it.
    """
    if not is_gpu(device):
        return values
    import torch

    side, now = _side_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(side):
        copy = (values if values.is_pinned() else values.pin_memory()).to(device, non_blocking=True)
    now.wait_stream(side)
    copy.record_stream(now)  # its memory is not given away before `now` is past it
    return copy


def stacked(values: Sequence[NDArray[Any]], device: Any) -> Tensor:
    """Arrays of one shape as one tensor in ordinary memory, from which `sent` can copy at once."""
    import torch

    kind = torch.from_numpy(np.empty(0, values[0].dtype)).dtype
    whole = torch.empty((len(values), *values[0].shape), dtype=kind, pin_memory=is_gpu(device))
    np.stack(values, out=whole.numpy())
    return whole


class Fetched:
    """Numbers on their way from a device, which goes on meanwhile.

    Args:
        values: one row of them, complete as soon as what was asked of the device so far is done.
    """

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._done: Any = None
        if is_gpu(values.device):
            import torch

            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def read(self) -> list[float]:
        """The numbers; waits for them, and not for what was asked of the device after them."""
        if self._done is not None:
            self._done.synchronize()
        found: list[float] = self._values.tolist()
        return found


@lru_cache(maxsize=8)
def _side_stream(device: Any) -> Any:
    import torch

    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
