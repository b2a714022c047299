"""Darknet's partial weights: the first k layers, alone or with new weights behind them."""

from __future__ import annotations

import os

import numpy as np

from darkshare.analysis.trunk import require_same_structure
from darkshare.darknet.cfg import read_cfg
from darkshare.darknet.initial import drawn
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network, resolve
from darkshare.darknet.weights import FLOAT, Floats, Header, Weights
from darkshare.errors import BadValue, DarkshareError, WeightsSize, checked


@checked
def cut(
    model: Model,
    k: int,
    *,
    full: bool = False,
    target: Network | str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Weights:
    """The weights of the first k layers, as `darknet partial` writes them.

    Args:
        model: where they come from.
        k: how many layers.
        full: append seeded weights for the other layers, so that forks that refuse short files take it.
        target: with `full`, the network to be trained, or its cfg file, if it is not the model's own (other classes,
            say).
        seed: of the appended weights.

    Raises:
        BadValue: k is not 1..n.
        TrunkMismatch: the target's first k layers are others.
        DarkshareError: there are no weights to cut, or the cfg file cannot be read.
    """
    count = len(model.network.layers)
    if not 1 <= k <= count:
        raise BadValue(f"k={k} must be 1..{count}", file=model.name)
    if model.weights is None:
        raise DarkshareError("has no weights to cut", file=model.name)
    if model.loaded < k:
        raise WeightsSize(f"ends before layer {k - 1}, so it cannot give {k} layers", file=model.weights.path)
    trunk = model.weights.slice(0, model.network.start(k))
    if not full:
        return Weights(Header(), trunk)
    if target is None:
        target = model.network
    elif not isinstance(target, Network):
        target = resolve(read_cfg(target), dialect=model.network.dialect)
    require_same_structure(model.network, target, k)
    return Weights(Header(), (*trunk, initial_floats(target, k, seed)))


def initial_floats(network: Network, k: int, seed: int) -> Floats:
    """Weights for layers k.. to start a training from, drawn as Darknet does."""
    draw, start = drawn(seed), network.start(k)
    data = np.empty(network.params - start, FLOAT)
    for layer in network.layers[k:]:
        begin = layer.start - start
        for tensor in layer.tensors:
            data[begin : begin + tensor.size] = draw(tensor.name, tensor.shape).ravel()
            begin += tensor.size
    return data
