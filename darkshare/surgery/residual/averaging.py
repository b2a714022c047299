"""Layers that average the branches' outputs.

A sum of [shortcut]s and a convolution that divides each channel cost two numbers for each class, and leave every
branch its own head. Probabilities are not an image in Darknet, so only a matrix can read them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darkshare.darknet.cfg import Section, new_section
from darkshare.darknet.kinds import Boxes, Connected, Softmax
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.weights import FLOAT
from darkshare.errors import BadValue, Unsupported
from darkshare.surgery.assemble import Fresh

LARGEST_MATRIX = 1_000_000  # floats


def averaged(
    network: Network, heads: Sequence[int], distances: Sequence[int], length: int, combine: str
) -> tuple[list[Section | Fresh], tuple[int, ...]]:
    """Build the layers to append, and find the outputs among them.

    Args:
        network: the undivided one.
        heads: its outputs.
        distances: how far the layers of each branch lie behind those of the undivided network.
        length: the layers so far.
        combine: `logits`, `softmax` or `none`.

    Raises:
        BadValue: a matrix that would be too large.
        Unsupported: heads that cannot be averaged so.
    """
    parts: list[Section | Fresh] = []
    found: list[int] = []
    for head in heads if combine != "none" else ():
        layer = network.layers[head]
        made = _MEANS[combine](network, layer, distances)
        parts += made
        found.append(length + len(parts) - 1)
    return parts, tuple(found)


def _logits(network: Network, head: Layer, distances: Sequence[int]) -> list[Section | Fresh]:
    """The mean of what enters the heads, and one more head."""
    before = network.layers[head.index - 1]
    if not isinstance(head.kind, Softmax | Boxes) or not before.y.is_image:
        why = f"what enters {head.label} cannot be averaged; use --combine none"
        raise Unsupported(why, file=network.name, line=head.section.lineno)
    first, *others = (before.index + distance for distance in distances)
    c = before.y.c
    keys = {"groups": c} if c > 1 else {}
    divide = new_section("convolutional", filters=c, **keys, size=1, stride=1, activation="linear")
    values = np.concatenate([np.zeros(c), np.full(c, 1 / len(distances))]).astype(FLOAT)
    return [
        new_section("route", layers=first),
        *(new_section("shortcut", **{"from": other}, activation="linear") for other in others),
        Fresh(divide, values),
        _without_loss(head),
    ]


def _softmax(network: Network, head: Layer, distances: Sequence[int]) -> list[Section | Fresh]:
    """The mean of the probabilities, by a matrix of identities."""
    if not isinstance(head.kind, Softmax | Connected):
        why = f"{head.label} gives no probabilities; use --combine logits or none"
        raise Unsupported(why, file=network.name, line=head.section.lineno)
    m, c = len(distances), head.y.size
    if m * c * c > LARGEST_MATRIX:
        raise BadValue(
            f"averaging the probabilities of {c} classes takes a matrix of {m * c * c:,} numbers; use --combine "
            "logits, or none and average outside",
            file=network.name,
        )
    matrix = np.concatenate([np.zeros(c), np.tile(np.eye(c) / m, m).ravel()]).astype(FLOAT)
    route = new_section("route", layers=",".join(str(head.index + distance) for distance in distances))
    return [route, Fresh(new_section("connected", output=c, activation="linear"), matrix)]


def _without_loss(head: Layer) -> Section:
    """The head once more; without a loss, since in training each branch has its own."""
    return head.section.set(noloss=1) if isinstance(head.kind, Softmax) else head.section


_MEANS = {"logits": _logits, "softmax": _softmax}
