"""Admission of layers to a backend, which computes them by itself: the ONNX export and the training.

A backend is a table from kind to function, and a second one from kind to the reason why it has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from darkshare.darknet.kinds import Convolutional, Kind
from darkshare.darknet.network import Layer, Network
from darkshare.errors import DarkshareError, Unsupported

Function = TypeVar("Function")


@contextmanager
def located(network: Network, layer: Layer) -> Iterator[None]:
    """Add a layer and its line to the errors that are raised within."""
    try:
        yield
    except DarkshareError as error:
        if error.file is None:
            error.message = f"{layer.label}: {error.message}"
        raise error.locate(network.name, layer.section.lineno) from None


def admitted(
    network: Network,
    layer: Layer,
    functions: Mapping[type[Kind], Function],
    reasons: Mapping[type[Kind], str],
    refusal: str,
) -> Function:
    """Find a backend's function for a layer.

    Args:
        network: the layer's network.
        layer: what is to be computed.
        functions: the backend's table.
        reasons: for every other kind, why the backend does not have it.
        refusal: the words before such a reason.

    Raises:
        Unsupported: the backend lacks the kind, the weights file lacks some of the layer's blocks, or the layer reads
            an image that is blurred for the next layer only.
    """
    kind = type(layer.kind)
    if kind in reasons:
        raise Unsupported(f"{refusal}: {reasons[kind]}")
    if layer.tensors != layer.kind.tensors(layer.x, layer.y):
        raise Unsupported("dontload=, dontloadscales= or numload= leave its weights out of the file; remove these keys")
    for index in layer.operands:
        source = network.layers[index]
        if source.onward != source.y:
            raise Unsupported(f"it reads {source.label}, of which only the layer behind it gets the antialiased image")
    return functions[kind]


def convolution_window(layer: Layer[Convolutional]) -> tuple[tuple[int, int], int]:
    """Give the strides (x, y) and the padding at which a backend runs a convolution; a blur may take strides after it.

    Raises:
        Unsupported: such a window gives another size than Darknet's, which ignores the dilation there; or groups that
            do not divide the channels.
    """
    kind = layer.kind
    if undivided := kind.undivided(layer.x):
        raise Unsupported(undivided)
    strides = (1, 1) if kind.antialiasing else kind.strides
    pad, reach = kind.pads * kind.spread, kind.spread * (kind.size - 1) + 1
    made = [(n + 2 * pad - reach) // s + 1 for n, s in zip((layer.x.w, layer.x.h), strides, strict=True)]
    if made != [layer.y.w, layer.y.h]:
        raise Unsupported(f"dilation={kind.spread} with size={kind.size} and this padding: Darknet gets its size wrong")
    return strides, pad
