"""Layers that read others by index: route, shortcut, scale_channels, sam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from darkshare.darknet.kinds import Route, Sam, ScaleChannels, Shortcut
from darkshare.darknet.network import Layer
from darkshare.errors import BadValue, Unsupported
from darkshare.training.layers.activations import activated
from darkshare.training.layers.form import BuildSettings, Forward, Given

if TYPE_CHECKING:
    from torch import Tensor


def route(layer: Layer[Route], form: BuildSettings) -> Forward:
    """Each source is cut to its own group, then they are joined (forward_route_layer)."""
    kind = layer.kind

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        import torch

        parts = []
        for source in sources:
            if source.shape[1] % kind.groups:
                raise Unsupported(f"groups={kind.groups} does not divide {source.shape[1]} channels")
            parts.append(source.chunk(kind.groups, 1)[kind.group_id])
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    return forward


def shortcut(layer: Layer[Shortcut], form: BuildSettings) -> Forward:
    """Add the channels that both have; the others of the previous layer stay (shortcut_multilayer_cpu)."""
    kind = layer.kind
    activate = activated(kind.activation)
    if kind.weights_type != "none" and kind.weights_normalization not in _NORMALISED:
        raise BadValue(f"weights_normalization={kind.weights_normalization}: use none, relu or softmax")

    def forward(given: Given, x: Tensor, sources: Sequence[Tensor], training: bool) -> Tensor:
        if (kind.alpha, kind.beta) != (1, 1) and any(source.shape != x.shape for source in sources):
            raise Unsupported("alpha= and beta= work on images of one shape only")
        own, *others = _factors(kind, given.get("weights"), x)
        y = x * own if own is not None else x
        for source, factor in zip(sources, others, strict=True):
            other = _thinned(source, x)
            both = min(other.shape[1], x.shape[1])
            other = other[:, :both] if factor is None else other[:, :both] * factor[:, :both]
            y = y + other if both == x.shape[1] else _added(y, other, both)
        return activate(y)

    return forward


def _factors(kind: Shortcut, weights: Tensor | None, x: Tensor) -> list[Tensor | None]:
    """The factors of this layer and of each source, None for 1."""
    count = len(kind.from_) + 1
    if weights is None:
        factors = (kind.alpha, *[kind.beta] * (count - 1))
        return [None if factor == 1 else x.new_full((1, 1, 1, 1), factor) for factor in factors]
    rows = weights.view(count, -1)
    # Darknet's gradient passes by the normalisation (backward_shortcut_multilayer_cpu: grad = 1)
    rows = _NORMALISED[kind.weights_normalization](rows.detach()) + rows - rows.detach()
    return [row.view(1, -1, 1, 1).expand(1, x.shape[1], 1, 1) for row in rows]


def _share(rows: Tensor) -> Tensor:
    return rows / (rows.sum(0) + 0.0001)


_NORMALISED: dict[str, Any] = {
    "none": lambda rows: rows,
    "relu": lambda rows: _share(rows.relu()),
    "avg_relu": lambda rows: _share(rows.relu()),
    "softmax": lambda rows: _share((rows - rows.amax(0)).exp()),
}


def _thinned(source: Tensor, x: Tensor) -> Tensor:
    """A larger source gives every n-th of its values, n rounded down (shortcut_cpu; AlexeyAB's code for GPUs)."""
    (height, width), (from_h, from_w) = x.shape[2:], source.shape[2:]
    if (from_h, from_w) == (height, width):
        return source
    stride = from_w // width
    if not 0 < stride == from_h // height:
        raise Unsupported("it adds an image to one that is not a number of times smaller")
    return source[:, :, ::stride, ::stride][:, :, :height, :width]


def _added(y: Tensor, other: Tensor, both: int) -> Tensor:
    import torch

    return torch.cat([y[:, :both] + other, y[:, both:]], 1)


def scaled(layer: Layer[ScaleChannels | Sam], form: BuildSettings) -> Forward:
    """[scale_channels] and [sam]: the source times this layer's values, broadcast where it has fewer."""
    kind = layer.kind
    activate = activated(kind.activation)
    return lambda given, x, sources, training: activate(sources[0] * x)
