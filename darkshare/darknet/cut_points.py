"""The layers before which a network can be cut."""

from __future__ import annotations

from darkshare.darknet.network import Network


def illegal_cut(network: Network, k: int) -> str | None:
    """Say why the network cannot be cut before layer k; None if it can."""
    count = len(network.layers)
    if not 1 <= k < count:
        return f"k={k} must be 1..{count - 1}: at least one layer is shared and at least one is not"
    last = network.layers[k - 1]
    if not last.y.is_image:
        return f"k={k} is not a legal cut: {last.label} leaves no image that a route could read"
    if last.onward != last.y:
        return f"k={k} is not a legal cut: a route to {last.label} would read it before its antialiasing blur"
    return None


def reads_from(network: Network, start: int, index: int) -> bool:
    """Say whether any layer from `start` on reads the output of layer `index`."""
    return any(index in layer.inputs for layer in network.layers[start:])


def legal_cuts(network: Network) -> list[int]:
    """List every k at which the network can be cut."""
    return [k for k in range(1, len(network.layers)) if illegal_cut(network, k) is None]
