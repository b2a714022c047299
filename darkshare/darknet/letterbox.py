"""Pictures that keep their proportions inside a network's input, with gray around them."""

from __future__ import annotations

from darkshare.darknet.kinds.base import P
from darkshare.darknet.network import Network


def is_letterboxed(network: Network) -> bool:
    """Say whether pictures keep their proportions: pjreddie always, the others where [net] says letter_box=1."""
    return network.dialect == P or bool(network.net.letter_box)


def fitted(network: Network, picture: tuple[int, int]) -> tuple[int, int]:
    """Compute the width and height of a picture inside the network's input (letterbox_image in image.c)."""
    (_, net_h, net_w, *_), (w, h) = network.input, picture
    if not is_letterboxed(network):
        return net_w, net_h
    if net_w / w < net_h / h:
        return net_w, max(h * net_w // w, 1)
    return max(w * net_h // h, 1), net_h
