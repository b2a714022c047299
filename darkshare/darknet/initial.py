"""Weights of layers that have not been trained: as Darknet draws them, or so that a class is never detected."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from darkshare.darknet.weights import FLOAT, Floats

Initial = Callable[[str, tuple[int, ...]], Floats]  # from a tensor's name and shape to its floats
_NEVER = -20.0  # a bias that gives a probability of 2e-9: a class that no box has


def drawn(seed: int) -> Initial:
    """Draw weights to start a training from, the same for the same seed.

    Kernels are drawn as in Darknet (make_convolutional_layer: uniform in +-sqrt(2 / fan-in)); scales and variances
    are 1, the rest 0.
    """
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> Floats:
        if name.endswith("weights"):
            fan_in = math.prod(shape[1:]) or 1
            return (rng.uniform(-1, 1, shape) * math.sqrt(2 / fan_in)).astype(FLOAT)
        return np.full(shape, float(name.endswith(("scales", "rolling_variance"))), FLOAT)

    return draw


def never_detected(name: str, shape: tuple[int, ...]) -> Floats:
    """Make weights of channels whose probability is about 0 for every picture."""
    fills = {"biases": _NEVER, "scales": 1.0, "rolling_variance": 1.0}
    return np.full(shape, fills.get(name, 0.0), FLOAT)
