"""All that a GPU does otherwise than a CPU: copies that nothing waits for, and faster ways to compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_BYTES = tuple((np.arange(256, dtype=np.float32) / np.float32(255)).tolist())
_FREE = 0.5  # of a GPU's free memory, which data may take; an update fits into half of all of it
Pass = Callable[["Tensor"], dict[int, "Tensor"]]  # from pictures to the outputs of layers


class DeviceSettings(NamedTuple):
    """The way a device computes; by default as a CPU does, with every digit.

    Attributes:
        device: of the network.
        tf32: whether products of 32-bit numbers round their factors to TF32's 10 bits.
        channels_last: whether pictures and kernels lie in memory channel by channel of each place.
        inference: whether the trunk runs under `inference_mode`, with kernels that are cast once.
        fixed: whether all pictures have one size: the trunk becomes a CUDA graph, and cuDNN looks for its fastest
            algorithms.
    """

    device: Any
    tf32: bool = False
    channels_last: bool = False
    inference: bool = False
    fixed: bool = False

    @classmethod
    def of(cls, device: Any, *, fast: bool, fixed: bool) -> DeviceSettings:
        """All that makes a GPU faster, where it is one and a recipe allows other last digits."""
        fast = fast and is_gpu(device)
        return cls(device, tf32=fast, channels_last=fast, inference=fast, fixed=fast and fixed)

    @property
    def precision(self) -> str:
        """The name of the numbers that products of 32-bit ones are taken with; none where they are themselves."""
        return "tf32" if self.tf32 else ""

    @property
    def said(self) -> str:
        """A line for the user; empty where there is nothing to say."""
        return "on the GPU, products of 32-bit numbers are taken in TF32" if self.tf32 else ""

    @contextmanager
    def on(self) -> Iterator[None]:
        """Switch on what torch has one switch for, and back afterwards: another training may want it otherwise."""
        if not self.tf32 and not self.fixed:
            yield
            return
        import torch

        cudnn = torch.backends.cudnn
        before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
        _switch("high" if self.tf32 else before[0], self.tf32 or before[1], self.fixed or before[2])
        try:
            yield
        finally:
            _switch(*before)

    def laid(self, values: Tensor) -> Tensor:
        """Images (pictures, channels, height, width) as they are to lie in memory."""
        import torch

        return values.contiguous(memory_format=torch.channels_last) if self.channels_last else values


def _switch(products: str, tf32: bool, benchmark: bool) -> None:
    import torch

    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = tf32, benchmark


def captured(run: Pass, x: Tensor) -> Pass:
    """The same as a CUDA graph, which a GPU goes through without Python; itself where it cannot be captured.

    Args:
        run: computes on the device alone, without gradients, always the same for images of one shape; what it gives
            is overwritten by the next call.
        x: images of that shape.
    """
    if not is_gpu(x.device):
        return run
    import torch

    given, side, now = x.clone(), _side_stream(x.device), torch.cuda.current_stream(x.device)
    side.wait_stream(now)
    with torch.cuda.stream(side):
        run(given)  # what is set up at the first call cannot be captured
    now.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:  # threads that make pictures may go on
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            found = run(given)
    except RuntimeError:  # torch has no closed family of errors for what a GPU refuses
        torch.cuda.set_stream(now)  # where a capture cannot be ended, torch stays on its stream
        return run

    def replay(x: Tensor) -> dict[int, Tensor]:
        given.copy_(x)
        graph.replay()
        return found

    return replay


def room(device: Any) -> int:
    """The bytes of a GPU's memory that data may take; none of a CPU's, which would hold them a second time."""
    if not is_gpu(device):
        return 0
    import torch

    return int(torch.cuda.mem_get_info(device.index)[0] * _FREE)  # an old torch wants a number, or none


@lru_cache(maxsize=512)
def constant(values: tuple[Any, ...], device: Any) -> Tensor:
    """Numbers on a device, sent there once; nobody may change them."""
    import torch

    with torch.inference_mode(False):  # gradients may go through what is computed with them elsewhere
        return torch.tensor(values, dtype=torch.float32, device=device)


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


def unit(values: Tensor) -> Tensor:
    """Bytes as 0..1, from a table, since a GPU divides otherwise in the last digit; others are that already."""
    import torch

    return constant(_BYTES, values.device)[values.long()] if values.dtype == torch.uint8 else values


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
