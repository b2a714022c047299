"""Branches side by side in the channels: the same function as one behind the other, in a third of the layers.

What reads the trunk becomes one wide convolution, what reads a branch a grouped one, and the heads' convolutions one
that averages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from darkshare.darknet import kinds
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network, resolve
from darkshare.darknet.weights import FLOAT, Floats, Header, Weights
from darkshare.errors import Unsupported
from darkshare.surgery.residual.streams import Streams, is_parallel


def grouped(branches: Sequence[Model], streams: Streams) -> Model:
    """Put branches of one structure side by side; the heads get the mean of what the branches give them.

    Args:
        branches: the branches, each behind the whole trunk.
        streams: the groups of channels of the undivided network.

    Raises:
        Unsupported: a layer that cannot be computed for all branches at once.
    """
    first, network = branches[0], branches[0].network
    sections = list(network.cfg.sections)
    for layer in network.layers[streams.after + 1 :]:
        _require_groupable(network, layer, streams)
        sections[layer.index + 1] = layer.section.set(**_keys(layer, streams, len(branches)))
    made = resolve(replace(network.cfg, sections=tuple(sections)), dialect=network.dialect)
    (task,) = first.tasks
    task = task.of_product(net=network.cfg.sections[0].options, header=Header())
    if first.weights is None:
        return Model(made, None, (task,))
    trunk = first.weights.slice(0, network.start(streams.after + 1))
    tail = (
        _joined([one.tensors(layer.index) for one in branches], name, layer, streams)
        for layer in network.layers[streams.after + 1 :]
        for name, *_ in layer.tensors
    )
    weights = Weights(Header(), (*trunk, *tail))
    assert weights.size == made.params
    return Model(made, weights, (task,))


def _is_mean(layer: Layer, streams: Streams) -> bool:
    """Tell whether a layer gives what a head reads, of which there is one for all branches."""
    return bool(set(streams.gives[layer.index]) & streams.means)


def _keys(layer: Layer, streams: Streams, m: int) -> dict[str, Any]:
    kind = layer.kind
    if not isinstance(kind, kinds.Convolutional) or _is_mean(layer, streams):
        return {}
    filters = {"filters": m * kind.filters}
    if is_parallel(layer):
        return {**filters, "groups": m * kind.groups}
    reads_trunk = set(streams.reads[layer.index]) <= streams.trunk
    return filters if reads_trunk or m == 1 else {**filters, "groups": m}


def _joined(given: Sequence[dict[str, Floats]], name: str, layer: Layer, streams: Streams) -> Floats:
    """A tensor of all branches; behind the last one they are averaged."""
    values = [one[name] for one in given]
    if not _is_mean(layer, streams):
        whole = np.concatenate(values)
    elif name == "biases":
        whole = np.mean(values, axis=0, dtype=np.float64)
    else:
        whole = np.concatenate(values, axis=1) / FLOAT.type(len(values))
    return np.ascontiguousarray(whole, FLOAT).ravel()


def _require_groupable(network: Network, layer: Layer, streams: Streams) -> None:
    for why in _obstacles(layer, streams):
        raise Unsupported(f"{layer.label}: {why}; use --layout explicit", file=network.name, line=layer.section.lineno)


def _obstacles(layer: Layer, streams: Streams) -> Iterator[str]:
    kind = layer.kind
    read = [streams.reads[layer.index], *(streams.gives[i] for i in layer.sources)]
    branches = [set(groups) - streams.trunk for groups in read]
    if any(len(groups) > 1 and own for groups, own in zip(read, branches, strict=True)) or (
        isinstance(kind, kinds.Route) and len(layer.sources) > 1 and any(branches)
    ):
        yield "it joins channels of branches with others"
    if _is_mean(layer, streams):
        yield from _obstacles_of_means(layer, any(branches))
    elif any(own & streams.means for own in branches):
        yield "it reads what a head reads, which is there once"
    elif layer.tensors and set(streams.gives[layer.index]) & streams.trunk:
        yield "its channels are added to the trunk's, which are there once"
    elif layer.tensors and not isinstance(kind, kinds.Convolutional | kinds.Batchnorm):
        yield "only convolutions compute groups of channels apart"


def _obstacles_of_means(layer: Layer, reads_branches: bool) -> Iterator[str]:
    """Reasons why the mean of a layer's outputs is not its output for all branches at once."""
    if layer.kind.is_head:
        return
    if not layer.kind.is_linear:
        yield "it feeds a head and is not linear, so its mean is not that of the outputs"
    elif layer.tensors and (is_parallel(layer) or not reads_branches):
        yield "it feeds a head, but not from all channels of the branches"
