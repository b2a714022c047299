"""Darknet's activations on tensors, each exact (activations.h, activations.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from darkshare.darknet.activations import unknown_activation
from darkshare.errors import Unsupported

if TYPE_CHECKING:
    from torch import Tensor

Activate = Callable[["Tensor"], "Tensor"]


def activated(name: str) -> Activate:
    """The function of an activation.

    Raises:
        Unsupported: one that Darknet does not know.
    """
    if name not in ACTIVATIONS:
        raise Unsupported(unknown_activation(name))
    return ACTIVATIONS[name]


def _mish(x: Tensor) -> Tensor:
    from torch.nn import functional

    return x * functional.softplus(x).tanh()


def _leaky(slope: float) -> Activate:
    def forward(x: Tensor) -> Tensor:
        from torch.nn import functional

        return functional.leaky_relu(x, slope)

    return forward


def _elu(x: Tensor) -> Tensor:
    return x.relu() + (x.clamp(max=0).exp() - 1)


def _selu(x: Tensor) -> Tensor:
    return 1.0507 * x.relu() + 1.0507 * 1.6732 * (x.clamp(max=0).exp() - 1)


def _gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + (0.797885 * x + 0.035677 * x**3).tanh())


def _bent(low: float, high: float, inside: float, offset: float, outside: float) -> Activate:
    """A line of slope `inside` between low and high that goes on with slope `outside`."""
    return lambda x: x.clamp(low, high) * (inside - outside) + offset + outside * x


def _stair(x: Tensor) -> Tensor:
    """Steps of 1 with a ramp before every second one; its slope is that of the ramps."""
    below, step = x.detach().floor(), (x.detach() / 2).floor()
    return step + (x - below) * (below - 2 * step)


def _shares(x: Tensor) -> Tensor:
    """Each value's share of the sum over the channels, to which Darknet adds 0.0001."""
    return x / (x.sum(1, keepdim=True) + 0.0001)


ACTIVATIONS: dict[str, Activate] = {
    "linear": lambda x: x,
    "leaky": _leaky(0.1),
    "revleaky": _leaky(0.1),
    "relie": _leaky(0.01),
    "relu": lambda x: x.relu(),
    "relu6": lambda x: x.clamp(0, 6),
    "logistic": lambda x: x.sigmoid(),
    "tanh": lambda x: x.tanh(),
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "swish": lambda x: x * x.sigmoid(),
    "mish": _mish,
    "hard_mish": lambda x: x / 2 * (x + 2).clamp(0, 2),
    "loggy": lambda x: 2 * x.sigmoid() - 1,
    "ramp": lambda x: x.relu() + 0.1 * x,
    "hardtan": lambda x: x.clamp(-1, 1),
    "lhtan": _bent(0, 1, 1, 0, 0.001),
    "plse": _bent(-4, 4, 0.125, 0.5, 0.01),
    "stair": _stair,
    "normalize_channels": lambda x: _shares(x.relu()),
    "normalize_channels_softmax": lambda x: _shares(x.exp()),
    "normalize_channels_softmax_maxval": lambda x: _shares((x - x.amax(1, keepdim=True)).exp()),
}
