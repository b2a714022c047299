"""Layers that hold kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from darkshare.darknet.admission import convolution_window
from darkshare.darknet.kinds import Connected, Convolutional, Deconvolutional, Local, Maxpool
from darkshare.darknet.network import Layer
from darkshare.errors import Unsupported
from darkshare.training.devices import constant
from darkshare.training.layers.activations import activated
from darkshare.training.layers.form import BuildSettings, Forward, Given
from darkshare.training.layers.norm import normalised

if TYPE_CHECKING:
    from torch import Tensor


def convolutional(layer: Layer[Convolutional], form: BuildSettings) -> Forward:
    """Convolution, batch norm, activation and blur (forward_convolutional_layer)."""
    kind = layer.kind
    for key in ("binary", "xnor"):
        if getattr(kind, key):
            raise Unsupported(f"{key}=1: kernels of signs are not trained here; remove the key")
    (stride_x, stride_y), pad = convolution_window(layer)
    groups = kind.used_groups
    activate = activated(kind.activation)

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        from torch.nn import functional

        bias = None if kind.norm else given["biases"]
        y = functional.conv2d(x, given["weights"], bias, (stride_y, stride_x), pad, kind.spread, groups)
        return blurred(kind, activate(normalised(given, y, training, form) if kind.norm else y))

    return forward


def blurred(kind: Convolutional | Maxpool, y: Tensor) -> Tensor:
    """AlexeyAB's antialiasing: the layer ran at stride 1, and a blur takes the strides (make_convolutional_layer)."""
    if not kind.antialiasing:
        return y
    from torch.nn import functional

    line, pad = ((1 / 2, 1 / 2), 0) if kind.antialiasing == 2 else ((1 / 4, 1 / 2, 1 / 4), 1)
    values = constant(line, y.device).to(y.dtype)
    weights = values.outer(values).expand(y.shape[1], 1, -1, -1)
    return functional.conv2d(y, weights, None, kind.strides[::-1], pad, 1, y.shape[1])


def deconvolutional(layer: Layer[Deconvolutional], form: BuildSettings) -> Forward:
    """The transposed convolution of pjreddie convolution; its kernels lie with the input's channels first."""
    kind = layer.kind
    activate = activated(kind.activation)

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        from torch.nn import functional

        weights = given["weights"].reshape(layer.x.c, kind.filters, kind.size, kind.size)
        bias = None if kind.batch_normalize else given["biases"]
        y = functional.conv_transpose2d(x, weights, bias, kind.stride, kind.pads)
        return activate(normalised(given, y, training, form) if kind.batch_normalize else y)

    return forward


def connected(layer: Layer[Connected], form: BuildSettings) -> Forward:
    """A matrix over the flattened input (forward_connected_layer)."""
    kind = layer.kind
    activate = activated(kind.activation)

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        from torch.nn import functional

        bias = None if kind.batch_normalize else given["biases"]
        y = functional.linear(x.flatten(1), given["weights"], bias)[:, :, None, None]
        return activate(normalised(given, y, training, form) if kind.batch_normalize else y)

    return forward


def batchnorm(layer: Layer, form: BuildSettings) -> Forward:
    """Batch norm as a layer of its own."""
    return lambda given, x, sources, training: normalised(given, x, training, form)


def local(layer: Layer[Local], form: BuildSettings) -> Forward:
    """A kernel of its own at every place (forward_local_layer)."""
    kind = layer.kind
    size, pad = kind.size, int(kind.pad)
    for n, made in ((layer.x.h, layer.y.h), (layer.x.w, layer.y.w)):
        if (n + 2 * pad - size) // kind.stride + 1 != made:
            raise Unsupported(f"pad=1 with size={size}: Darknet pads one pixel only and gets its size wrong")
    activate = activated(kind.activation)

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        from torch.nn import functional

        windows = functional.unfold(x, size, padding=pad, stride=kind.stride)  # pictures, window, places
        y = (given["weights"].flatten(2) @ windows.permute(2, 1, 0)).permute(2, 1, 0)
        shape = (-1, *layer.y[:3])
        return activate(y.reshape(shape) + given["biases"].reshape(shape))

    return forward


def implicit(layer: Layer, form: BuildSettings) -> Forward:
    """Learned values that read no input (forward_implicit_layer)."""
    return lambda given, x, sources, training: given["weights"].view(1, *layer.y[:3]).expand(len(x), -1, -1, -1)


def l2norm(layer: Layer, form: BuildSettings) -> Forward:
    """Each place divided by its length over the channels (l2normalize_cpu)."""
    return lambda given, x, sources, training: x / (x * x).sum(1, keepdim=True).sqrt()
