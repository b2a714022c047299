"""Count the memory that the activations of one forward pass need.

Layers run in their order, each with an output of its own. That output lives from its layer to the last layer that
reads it; the outputs of the network live to the end. Not counted: weights, and what an engine needs inside a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from darkshare.darknet.network import Network

BYTES = 4  # per value


class Node(NamedTuple):
    """A layer, as far as memory goes.

    Attributes:
        values: of its output.
        blurred: of the second output that the next layer reads, with antialiasing; else 0.
        reads_previous: whether it reads the node before it.
        sources: the other nodes that it reads.
        in_place: it has no output of its own.
        is_head: whether its output is read after the pass.
    """

    values: int
    blurred: int = 0
    reads_previous: bool = True
    sources: tuple[int, ...] = ()
    in_place: bool = False
    is_head: bool = False


def nodes(network: Network) -> list[Node]:
    """The layers of a network as nodes."""
    heads = {head.index for head in network.heads}
    return [
        Node(
            layer.y.size,
            layer.onward.size if layer.onward != layer.y else 0,
            layer.kind.reads_previous,
            layer.operands,
            layer.kind.in_place,
            layer.index in heads,
        )
        for layer in network.layers
    ]


def joined(base: Sequence[Node], others: Sequence[Sequence[Node]], k: int) -> list[Node]:
    """The nodes of the merged network: the base; for each other one a route to node k-1 and its nodes from k on."""
    merged = list(base)
    for other in others:
        distance = len(merged) + 1 - k
        merged.append(Node(base[k - 1].values, reads_previous=False, sources=(k - 1,)))
        merged += [
            node._replace(sources=tuple(s if s < k else s + distance for s in node.sources)) for node in other[k:]
        ]
    return merged


def peak(input_values: int, found: Sequence[Node]) -> int:
    """The most bytes of activations, the input among them, that are alive at once, for one image."""
    changes = [0] * (len(found) + 1)
    for values, born, last in _lives(input_values, found):
        changes[born] += values
        changes[last + 1] -= values
    return BYTES * max(accumulate(changes))


def _lives(input_values: int, found: Sequence[Node]) -> list[list[int]]:
    """[values, first step, last step] of every tensor; step i runs node i."""
    lives = [[input_values, 0, 0]]
    outputs: list[int] = []  # the tensor that holds each node's output
    before = 0  # the tensor that the next node reads
    for step, node in enumerate(found):
        for tensor in [*(outputs[s] for s in node.sources), *([before] if node.reads_previous else [])]:
            lives[tensor][2] = max(lives[tensor][2], step)
        if not node.in_place:
            before = len(lives)
            lives.append([node.values, step, step])
        outputs.append(before)
        if node.is_head:
            lives[before][2] = len(found) - 1
        if node.blurred:
            before = len(lives)
            lives.append([node.blurred, step, step])
    return lives
