"""Models in memory for tests of splicing."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from conftest import network_of, seeded_floats

from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import DarkshareWarning
from darkshare.surgery.splice import concat


def model(text: str, name: str = "base", data: np.ndarray | None = None, *, seed: int = 1, **how: str) -> Model:
    network = network_of(text, **how)
    names = tuple(f"{name}_{i}" for i in range(network.heads[0].kind.classes))
    options = network.cfg.sections[0].options
    task = Task(name, names, tuple(h.index for h in network.heads), ((0, len(network.layers)),), net=options)
    floats = seeded_floats(network, seed) if data is None else data
    return Model(network, Weights(Header(), (floats,), f"{name}.weights"), (task,))


def retrained(base: Model, text: str, name: str, k: int, seed: int = 2) -> Model:
    """A model with the base's floats below k and its own from there on."""
    network = network_of(text)
    data = seeded_floats(network, seed)
    trunk = base.network.start(k)
    data[:trunk] = base.weights.view(0, trunk)
    return model(text, name, data)


def without_weights(text: str, name: str) -> Model:
    return replace(model(text, name, np.empty(0, "f4")), weights=None)


def quiet_concat(*args, **how) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DarkshareWarning)
        return concat(*args, **how)


def floats(m: Model) -> np.ndarray:
    return m.weights.view(0, m.weights.size)


def assert_same_function(a: Network, b: Network) -> None:
    assert len(a.layers) == len(b.layers)
    for x, y in zip(a.layers, b.layers, strict=True):
        assert (x.kind.differences(y.kind), x.sources, x.y, x.tensors) == ([], y.sources, y.y, y.tensors)
