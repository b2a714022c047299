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

_CONV = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize={}\nstride={}\npad=1\nactivation={}\n"
WITH_STAGES = (  # outputs of five sizes, two of which the branch from layer 8 on reads
    "[net]\nwidth=32\nheight=48\nchannels=3\n"
    + _CONV.format(4, 3, 2, "mish")  # 16x24
    + _CONV.format(6, 3, 2, "mish")  # 8x12, read first
    + _CONV.format(8, 3, 2, "mish")  # 4x6
    + _CONV.format(8, 3, 1, "mish")
    + "[shortcut]\nfrom=-2\nactivation=linear\n"  # 4, the last sum of its size
    + _CONV.format(12, 1, 1, "mish")  # 5, read by the route
    + "[maxpool]\nsize=2\nstride=2\n"  # 2x3
    + _CONV.format(10, 3, 1, "leaky")  # 7
    + _CONV.format(18, 1, 1, "linear")  # 8, the branch begins
    + "[yolo]\nmask=0,1,2\nanchors=2,2,4,4,8,8\nclasses=1\nnum=3\n"
    + "[route]\nlayers=7\n[upsample]\nstride=2\n[route]\nlayers=-1,5\n"
    + _CONV.format(18, 1, 1, "linear")
    + "[yolo]\nmask=0,1,2\nanchors=2,2,4,4,8,8\nclasses=1\nnum=3\n"
)


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
