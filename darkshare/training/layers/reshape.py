"""Layers that only move values, and the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from darkshare.darknet.kinds import Activation, Boxes, Crop, Dropout, Reorg, Reorg3d, Softmax, Upsample
from darkshare.darknet.network import Layer
from darkshare.errors import Unsupported
from darkshare.training.layers.activations import activated
from darkshare.training.layers.form import BuildSettings, Forward, Given

if TYPE_CHECKING:
    from torch import Tensor


def as_is(layer: Layer, form: BuildSettings) -> Forward:
    """A layer that passes its input on; the loss of a head reads the head's input."""
    return lambda given, x, sources, training: x


def boxes(layer: Layer[Boxes], form: BuildSettings) -> Forward:
    """A head of boxes: it passes its input on, and its anchors are checked."""
    kind = layer.kind
    kind.anchor_sizes()
    return as_is(layer, form)


def flat(layer: Layer, form: BuildSettings) -> Forward:
    """A classifier's values in a row."""
    return lambda given, x, sources, training: x.flatten(1)


def softmax(layer: Layer[Softmax], form: BuildSettings) -> Forward:
    """The values that enter it, in a row: the loss takes the softmax itself."""
    kind = layer.kind
    if kind.tree or kind.spatial or kind.groups != 1:
        raise Unsupported("tree=, spatial= and groups= are not trained here")
    return flat(layer, form)


def activation(layer: Layer[Activation], form: BuildSettings) -> Forward:
    """A non-linearity as a layer of its own."""
    kind = layer.kind
    activate = activated(kind.activation)
    return lambda given, x, sources, training: activate(x)


def dropout(layer: Layer[Dropout], form: BuildSettings) -> Forward:
    """Values left out at random while training, the others scaled up (forward_dropout_layer)."""
    kind = layer.kind
    if kind.dropblock:
        raise Unsupported("dropblock=1 is not done here; remove it for plain dropout")

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        from torch.nn import functional

        return functional.dropout(x, kind.probability, training and form.dropout)

    return forward


def upsample(layer: Layer[Upsample], form: BuildSettings) -> Forward:
    """Repeat each value `stride` times; a negative stride sums up its squares instead (upsample_cpu)."""
    kind = layer.kind
    stride = abs(kind.stride)
    if kind.stride < 0 and (layer.x.h % stride or layer.x.w % stride):
        raise Unsupported(f"stride={kind.stride} does not divide its image of {layer.x}")

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        from torch.nn import functional

        up = kind.stride > 0
        y = functional.interpolate(x, scale_factor=stride) if up else functional.avg_pool2d(x, stride) * stride**2
        scaled: Tensor = y * kind.scale
        return scaled

    return forward


def reorg(layer: Layer[Reorg], form: BuildSettings) -> Forward:
    """Space to channels, or back, on the buffer read as `base` (reorg_cpu).

    [reorg] reads its input as if it had the shape that it does not have (reorg_old_layer.c): YOLOv2's
    weights are trained for that order. [reorg3d] reads it as it is.
    """
    kind = layer.kind
    if kind.flatten or kind.extra:
        raise Unsupported("flatten= and extra= are not done here")
    s, straight = kind.stride, isinstance(kind, Reorg3d)
    base = layer.y if straight else layer.x
    if base.c % s**2 or layer.y.size != layer.x.size:
        raise Unsupported(f"stride={s} does not divide its image of {layer.x}")

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        n, channels, height, width = x.shape
        out = (channels // s**2, height * s, width * s) if kind.reverse else (channels * s**2, height // s, width // s)
        c, h, w = out if straight else (channels, height, width)
        c //= s**2
        split, order = (
            ((n, s, s, c, h, w), (0, 3, 4, 1, 5, 2)) if kind.reverse else ((n, c, h, s, w, s), (0, 3, 5, 1, 2, 4))
        )
        return x.reshape(split).permute(order).reshape(n, *out)

    return forward


def crop(layer: Layer[Crop], form: BuildSettings) -> Forward:
    """The middle, and -1..1 instead of 0..1 unless noadjust; random crops belong to the augmentation."""
    kind = layer.kind
    top, left = (layer.x.h - layer.y.h) // 2, (layer.x.w - layer.y.w) // 2
    if min(top, left) < 0:
        raise Unsupported(f"it cuts {layer.y} out of the smaller {layer.x}; make the input larger")

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        y = x[:, :, top : top + layer.y.h, left : left + layer.y.w]
        return y if kind.noadjust else y * 2 - 1

    return forward
