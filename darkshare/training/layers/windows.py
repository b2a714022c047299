"""Pooling: windows over space, over channels, and over the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from darkshare.darknet.kinds import LocalAvgpool, Maxpool
from darkshare.darknet.network import Layer
from darkshare.errors import Unsupported
from darkshare.training.layers.dense import blurred
from darkshare.training.layers.form import BuildSettings, Forward, Given

if TYPE_CHECKING:
    from torch import Tensor


def maxpool(layer: Layer[Maxpool], form: BuildSettings) -> Forward:
    """Max-pooling, with a blur behind it where antialiasing is asked for (forward_maxpool_layer)."""
    kind = layer.kind
    if kind.maxpool_zero_nonmax:
        raise Unsupported("maxpool_zero_nonmax=1 is not done here; remove it")
    if kind.maxpool_depth:
        return _over_channels(layer)
    sides, stride = _sides(layer), (1, 1) if kind.antialiasing else kind.strides[::-1]

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        from torch.nn import functional

        padded = functional.pad(x, sides, value=float("-inf"))
        return blurred(kind, functional.max_pool2d(padded, kind.window, stride))

    return forward


def local_avgpool(layer: Layer[LocalAvgpool], form: BuildSettings) -> Forward:
    """Average over a window; padding does not count (forward_local_avgpool_layer)."""
    kind = layer.kind
    sides, stride = _sides(layer), kind.strides[::-1]

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        from torch.nn import functional

        def total(image: Tensor) -> Tensor:
            return functional.avg_pool2d(functional.pad(image, sides), kind.window, stride)

        return total(x) / total(x.new_ones(1, 1, *x.shape[2:]))

    return forward


def avgpool(layer: Layer, form: BuildSettings) -> Forward:
    """Average over the image."""
    return lambda given, x, sources, training: x.mean((2, 3), keepdim=True)


def _sides(layer: Layer[Maxpool | LocalAvgpool]) -> tuple[int, int, int, int]:
    """Darknet's first window starts half the total padding before the image; the rest lies behind it."""
    kind = layer.kind
    before = kind.pads // 2
    after = kind.pads - before
    if after >= kind.window:
        raise Unsupported(f"padding={kind.pads} is more than its window of {kind.window} can touch")
    return before, after, before, after


def _over_channels(layer: Layer[Maxpool]) -> Forward:
    """The largest of every `out_channels`-th channel (maxpool_depth=1)."""
    kind = layer.kind
    if kind.out_channels > layer.x.c:
        raise Unsupported(f"out_channels={kind.out_channels} is more than the {layer.x.c} channels that it reads")

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        import torch

        return torch.stack([x[:, i :: kind.out_channels].amax(1) for i in range(kind.out_channels)], 1)

    return forward
