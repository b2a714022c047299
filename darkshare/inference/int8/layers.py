"""The layers to leave in fp32 when a head comes out badly: its own convolution, then those that add most error."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from darkshare.darknet.network import Network
from darkshare.darknet.weights import Floats
from darkshare.inference.int8.base import Quantiser, of_layer

SHARE = 0.1  # of a head's layers that go back to fp32 at a time


def last_layer(network: Network, head: int) -> int:
    """The layer with weights whose numbers a head gives out."""
    return next(i for i in reversed(network.needed([head])) if network.layers[i].tensors)


def worst_layers(network: Network, head: int, errors: Mapping[int, float], kept: Collection[int]) -> list[int]:
    """The layers below a head that add most to the error, most first; those already kept are left out."""
    below = network.needed([head])
    added = {i: error for i, error in _added(network, below, errors).items() if i not in kept}
    count = max(1, round(SHARE * len(added)))
    return sorted(added, key=lambda i: -added[i])[:count]


def _added(network: Network, below: Iterable[int], errors: Mapping[int, float]) -> dict[int, float]:
    """Compute how much more error each layer's output has than the worst of its inputs."""
    reached: dict[int, float] = {-1: 0.0}
    found = {}
    for index in below:
        layer = network.layers[index]
        before = max((reached[i] for i in layer.inputs), default=0.0)
        reached[index] = errors.get(index, before)
        if index in errors:
            found[index] = errors[index] - before
    return found


def layer_errors(
    quantiser: Quantiser, exact: Path, other: Path, network: Network, blobs: Iterable[Floats]
) -> dict[int, float]:
    """For each layer with weights the mean absolute difference of its output, as a share of its mean size.

    Args:
        quantiser: that can read both files.
        exact: in fp32.
        other: in int8.
        network: whose layers they are.
        blobs: the pictures to try.
    """
    names = _outputs(exact, network)
    runs = [quantiser.tapped(path, list(names.values())) for path in (exact, other)]
    sizes, apart = np.zeros(len(names)), np.zeros(len(names))
    for values in blobs:
        wanted, found = (run(values) for run in runs)
        sizes += [np.abs(a).sum(dtype=float) for a in wanted]
        apart += [np.abs(a - b).sum(dtype=float) for a, b in zip(wanted, found, strict=True)]
    return dict(zip(names, (apart / np.maximum(sizes, 1e-30)).tolist(), strict=True))


def _outputs(path: Path, network: Network) -> dict[int, str]:
    """Name the output of each layer with weights: the value of the last operator that has its name."""
    import onnx

    found = {}
    nodes = onnx.load(str(path), load_external_data=False).graph.node
    for layer in network.layers:
        own = [node.output[0] for node in nodes if node.name.startswith(of_layer(layer.index))]
        if layer.tensors and own:
            found[layer.index] = own[-1]
    return found
