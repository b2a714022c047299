"""Tiny classifiers with seeded weights, and pictures of noise for them."""

from __future__ import annotations

import numpy as np
from conftest import network_of, seeded_floats
from residuals import moderate_floats

from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Header, Weights

TRUNK = """\
[net]
width=16
height=16
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
"""
TAIL = """\
[convolutional]
batch_normalize=1
filters={filters}
size=3
stride=2
pad=1
activation=leaky
[avgpool]
[convolutional]
filters={classes}
size=1
activation=linear
[softmax]
"""
NAMES_OF = ("red", "green", "blue")


def model(text: str, name: str, names: tuple[str, ...], seed: int = 1) -> Model:
    network = network_of(text)
    heads = tuple(head.index for head in network.heads)
    floats = (moderate_floats if "[softmax]" in text else seeded_floats)(network, seed)
    task = Task(name, names, heads, ((0, len(network.layers)),), net={"width": "16", "height": "16", "channels": "3"})
    return Model(network, Weights(Header(), (floats,)), (task,))


def classifier(name: str = "colour", names: tuple[str, ...] = NAMES_OF, seed: int = 1) -> Model:
    return model(TRUNK + TAIL.format(filters=16, classes=len(names)), name, names, seed)


def picture(seed: int = 0, height: int = 16, width: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
