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


class LayerOutput(NamedTuple):
    """The output of one layer, as far as memory goes.

    Attributes:
        values: how many.
        blurred: of the second output that the next layer reads, with antialiasing; else 0.
        reads_previous: whether its layer reads the output before it.
        sources: the other outputs that its layer reads.
        in_place: it is the output before it.
        is_head: whether it is read after the pass.
    """

    values: int
    blurred: int = 0
    reads_previous: bool = True
    sources: tuple[int, ...] = ()
    in_place: bool = False
    is_head: bool = False


def layer_outputs(network: Network) -> list[LayerOutput]:
    """The outputs of a network's layers."""
    heads = {head.index for head in network.heads}
    return [
        LayerOutput(
            layer.y.size,
            layer.onward.size if layer.onward != layer.y else 0,
            layer.kind.reads_previous,
            layer.operands,
            layer.kind.in_place,
            layer.index in heads,
        )
        for layer in network.layers
    ]


def joined(base: Sequence[LayerOutput], others: Sequence[Sequence[LayerOutput]], k: int) -> list[LayerOutput]:
    """The outputs of the merged network: the base's; for each other one its outputs from k on.

    These read k-1 through a route, unless none of them reads it.
    """
    merged = list(base)
    for other in others:
        place = {j: j for j in range(k)}
        if other[k].reads_previous or any(k - 1 in output.sources for output in other[k:]):
            place[k - 1] = len(merged)
            merged.append(LayerOutput(base[k - 1].values, reads_previous=False, sources=(k - 1,)))
        place |= {old: len(merged) + old - k for old in range(k, len(other))}
        merged += [output._replace(sources=tuple(place[s] for s in output.sources)) for output in other[k:]]
    return merged


def peak(input_values: int, found: Sequence[LayerOutput]) -> int:
    """The most bytes of activations, the input among them, that are alive at once, for one image."""
    changes = [0] * (len(found) + 1)
    for values, born, last in _lives(input_values, found):
        changes[born] += values
        changes[last + 1] -= values
    return BYTES * max(accumulate(changes))


def _lives(input_values: int, found: Sequence[LayerOutput]) -> list[list[int]]:
    """[values, first step, last step] of every tensor; step i runs layer i."""
    lives = [[input_values, 0, 0]]
    outputs: list[int] = []  # the tensor that holds each of them
    before = 0  # the tensor that the next layer reads
    for at, output in enumerate(found):
        for tensor in [*(outputs[s] for s in output.sources), *([before] if output.reads_previous else [])]:
            lives[tensor][2] = max(lives[tensor][2], at)
        if not output.in_place:
            before = len(lives)
            lives.append([output.values, at, at])
        outputs.append(before)
        if output.is_head:
            lives[before][2] = len(found) - 1
        if output.blurred:
            before = len(lives)
            lives.append([output.blurred, at, at])
    return lives
