"""Weights of layers that have not been trained: as Darknet draws them, or so that a head stays silent."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from darkshare.darknet.weights import FLOAT, Floats

Initial = Callable[[str, tuple[int, ...]], Floats]  # from a tensor's name and shape to its floats
NEVER = -20.0  # a bias that gives a probability of 2e-9: a class that no box has


def drawn(seed: int) -> Initial:
    """Weights to start a training from, reproducible.

    Kernels as Darknet draws them (make_convolutional_layer: uniform in +-sqrt(2 / fan-in)), scales and variances
    1, the rest 0.
    """
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> Floats:
        if name.endswith("weights"):
            fan_in = math.prod(shape[1:]) or 1
            return (rng.uniform(-1, 1, shape) * math.sqrt(2 / fan_in)).astype(FLOAT)
        return np.full(shape, float(name.endswith(("scales", "rolling_variance"))), FLOAT)

    return draw


def silent(name: str, shape: tuple[int, ...]) -> Floats:
    """Weights of channels whose probability is next to nothing, whatever the picture."""
    fills = {"biases": NEVER, "scales": 1.0, "rolling_variance": 1.0}
    return np.full(shape, fills.get(name, 0.0), FLOAT)
