"""Darknet's activations in ONNX operators, each exact (activations.h, activations.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from darkshare.darknet.activations import unknown_activation
from darkshare.darknet.network import Layer
from darkshare.errors import Unsupported
from darkshare.inference.onnx.graph import Graph

Lower = Callable[[Graph, Layer, str], str]


def activate(graph: Graph, layer: Layer, x: str, name: str) -> str:
    """Append an activation; returns its output.

    Raises:
        Unsupported: an activation that Darknet does not know.
    """
    if name not in ACTIVATIONS:
        raise Unsupported(unknown_activation(name))
    return ACTIVATIONS[name](graph, layer, x)


def _one(op: str, **attributes: Any) -> Lower:
    """A single operator."""
    return lambda graph, layer, x: graph.node(layer, op, x, **attributes)


def _clip(low: float, high: float) -> Lower:
    def lower(graph: Graph, layer: Layer, x: str) -> str:
        return graph.node(layer, "Clip", x, graph.constant(layer, low), graph.constant(layer, high))

    return lower


def _line(graph: Graph, layer: Layer, x: str, slope: float, offset: float = 0.0) -> str:
    """The line through `offset` with this slope."""
    y = graph.node(layer, "Mul", x, graph.constant(layer, [slope]))
    return graph.node(layer, "Add", y, graph.constant(layer, [offset])) if offset else y


def _swish(graph: Graph, layer: Layer, x: str) -> str:
    return graph.node(layer, "Mul", x, graph.node(layer, "Sigmoid", x))


def _mish(graph: Graph, layer: Layer, x: str) -> str:
    return graph.node(layer, "Mul", x, graph.node(layer, "Tanh", graph.node(layer, "Softplus", x)))


def _hard_mish(graph: Graph, layer: Layer, x: str) -> str:
    """X above 0, x * x / 2 + x down to -2, else 0: half of x times (x + 2 kept in 0..2)."""
    factor = _clip(0, 2)(graph, layer, _line(graph, layer, x, 1, 2))
    return graph.node(layer, "Mul", _line(graph, layer, x, 0.5), factor)


def _gelu(graph: Graph, layer: Layer, x: str) -> str:
    """0.5 x (1 + tanh(0.797885 x + 0.035677 x^3)), with Darknet's constants."""
    inner = _line(graph, layer, graph.node(layer, "Mul", x, x), 0.035677, 0.797885)
    bent = graph.node(layer, "Tanh", graph.node(layer, "Mul", x, inner))
    return graph.node(layer, "Mul", x, _line(graph, layer, bent, 0.5, 0.5))


def _loggy(graph: Graph, layer: Layer, x: str) -> str:
    return _line(graph, layer, graph.node(layer, "Sigmoid", x), 2, -1)


def _ramp(graph: Graph, layer: Layer, x: str) -> str:
    return graph.node(layer, "Add", graph.node(layer, "Relu", x), _line(graph, layer, x, 0.1))


def _bent(low: float, high: float, inside: float, offset: float, outside: float) -> Lower:
    """A line of slope `inside` between low and high that goes on with slope `outside`."""

    def lower(graph: Graph, layer: Layer, x: str) -> str:
        kept = _clip(low, high)(graph, layer, x)
        middle = _line(graph, layer, kept, inside - outside, offset)
        return graph.node(layer, "Add", middle, _line(graph, layer, x, outside))

    return lower


def _stair(graph: Graph, layer: Layer, x: str) -> str:
    """Steps of 1 with a ramp before every second one; n - 2 floor(x / 2) is 1 where floor(x) = n is odd."""
    below = graph.node(layer, "Floor", x)
    step = graph.node(layer, "Floor", _line(graph, layer, x, 0.5))
    odd = graph.node(layer, "Sub", below, _line(graph, layer, step, 2))
    return graph.node(layer, "Add", step, graph.node(layer, "Mul", graph.node(layer, "Sub", x, below), odd))


def channel_sum(graph: Graph, layer: Layer, x: str, channels: int) -> str:
    """The sum over all channels, in each of them: OpenCV 5's new engine cannot broadcast over channels."""
    ones = graph.repeated(layer, (channels, channels, 1, 1), channels, lambda: np.ones(channels))
    return graph.node(layer, "Conv", x, ones, kernel_shape=[1, 1])


def _shares(graph: Graph, layer: Layer, x: str) -> str:
    """Each value's share of the sum over the channels, to which Darknet adds 0.0001."""
    total = channel_sum(graph, layer, x, layer.y.c)
    return graph.node(layer, "Div", x, _line(graph, layer, total, 1, 0.0001))


def _softmax_channels(graph: Graph, layer: Layer, x: str) -> str:
    return _shares(graph, layer, graph.node(layer, "Exp", x))


def _softmax_channels_maximum(graph: Graph, layer: Layer, x: str) -> str:
    largest = graph.node(layer, "ReduceMax", x, axes=[1], keepdims=1)
    everywhere = graph.node(layer, "Expand", largest, graph.integers(layer, 1, layer.y.c, 1, 1))
    return _softmax_channels(graph, layer, graph.node(layer, "Sub", x, everywhere))


ACTIVATIONS: dict[str, Lower] = {
    "linear": lambda graph, layer, x: x,
    "leaky": _one("LeakyRelu", alpha=0.1),
    "revleaky": _one("LeakyRelu", alpha=0.1),
    "relie": _one("LeakyRelu", alpha=0.01),
    "relu": _one("Relu"),
    "relu6": _clip(0, 6),  # AlexeyAB's CPU code gives 0 everywhere; this is what its GPU code and hank-ai compute
    "logistic": _one("Sigmoid"),
    "tanh": _one("Tanh"),
    "elu": _one("Elu", alpha=1.0),
    "selu": _one("Selu", alpha=1.6732, gamma=1.0507),
    "gelu": _gelu,
    "swish": _swish,
    "mish": _mish,
    "hard_mish": _hard_mish,
    "loggy": _loggy,
    "ramp": _ramp,
    "hardtan": _clip(-1, 1),
    "lhtan": _bent(0, 1, 1, 0, 0.001),
    "plse": _bent(-4, 4, 0.125, 0.5, 0.01),
    "stair": _stair,
    "normalize_channels": lambda graph, layer, x: _shares(graph, layer, graph.node(layer, "Relu", x)),
    "normalize_channels_softmax": _softmax_channels,
    "normalize_channels_softmax_maxval": _softmax_channels_maximum,
}
