"""Group the channels of a tail that must be thinned alike, because they are added to each other.

A tail is the layers behind one that stays whole. Each of its convolutions opens a group of channels; a [shortcut]
joins the groups that it adds; what a head reads keeps its width, and so does what comes from the trunk. A grouped
convolution, as of ResNeXt, keeps its channels in packs, which stay or go as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from darkshare.darknet import kinds
from darkshare.darknet.admission import located
from darkshare.darknet.kinds import Kind
from darkshare.darknet.network import Layer, Network
from darkshare.errors import Unsupported
from darkshare.surgery.residual.blocks import residual_blocks

Channels = tuple[int, ...]  # the groups that a tensor is made of, one behind the other


@dataclass(frozen=True)
class Streams:
    """The groups of channels of a tail.

    Attributes:
        network: the whole network.
        after: the last layer that stays whole.
        reads: the groups that each layer of the tail gets from the layer before it.
        gives: the groups of each layer's output; the trunk's layers among them, one group each.
        full: the channels of each group.
        packs: how many of them stay or go together.
        trunk: the groups that come from the trunk.
        fixed: the groups that keep their channels: the trunk's, and those that heads read.
        area: the values of a channel at the resolution of each group.
    """

    network: Network
    after: int
    reads: dict[int, Channels]
    gives: dict[int, Channels]
    full: dict[int, int]
    packs: dict[int, int]
    trunk: frozenset[int]
    fixed: frozenset[int]
    area: dict[int, int]

    @property
    def tail(self) -> tuple[Layer, ...]:
        return self.network.layers[self.after + 1 :]

    @property
    def means(self) -> frozenset[int]:
        """The groups behind the trunk that heads read."""
        return self.fixed - self.trunk

    @property
    def free(self) -> tuple[int, ...]:
        """The groups whose channels can be fewer."""
        return tuple(sorted(self.full.keys() - self.fixed))


class _Grouping:
    """Groups while they are found: a forest whose roots stand for those that were joined."""

    def __init__(self, network: Network, after: int) -> None:
        self.network = network
        self.full: dict[int, int] = {}
        self.packs: dict[int, int] = {}
        self.parent: dict[int, int] = {}
        self.fixed: set[int] = set()
        self.gives: dict[int, Channels] = {-1: self.opened(max(network.input.c, 1))}
        for layer in network.layers[: after + 1]:
            self.gives[layer.index] = self.opened(max(layer.y.c, 1))
        self.trunk = set(self.full)
        self.fixed |= self.trunk

    def opened(self, channels: int) -> Channels:
        """Open a new group."""
        group = len(self.full)
        self.full[group], self.packs[group], self.parent[group] = channels, 1, group
        return (group,)

    def root(self, group: int) -> int:
        while self.parent[group] != group:
            group = self.parent[group]
        return group

    def joined(self, layer: Layer, a: Channels, b: Channels) -> Channels:
        """Join the groups of two tensors whose channels are paired; they must be as many and as wide."""
        if [self.full[g] for g in a] != [self.full[g] for g in b]:
            why = "it adds or multiplies images whose channels are not paired; darkshare reduce --keep all pairs them"
            raise Unsupported(why)
        for one, other in zip(map(self.root, a), map(self.root, b), strict=True):
            self.parent[other] = one
            self.pack(one, self.packs[other])
        return a

    def pack(self, group: int, channels: int) -> None:
        """Keep so many channels of a group together, and as many as were before."""
        root = self.root(group)
        self.packs[root] = math.lcm(self.packs[root], channels)

    def roots(self, groups: Iterable[int]) -> Channels:
        return tuple(self.root(group) for group in groups)


Rule = Callable[[_Grouping, Layer[Any], Channels], Channels]  # of a layer of the entry's own kind


def _same(grouping: _Grouping, layer: Layer, x: Channels) -> Channels:
    return x


def _convolved(grouping: _Grouping, layer: Layer[kinds.Convolutional], x: Channels) -> Channels:
    kind = layer.kind
    if kind.share_index or kind.flipped or kind.binary or kind.xnor:
        raise Unsupported("share_index=, flipped=, binary= and xnor= cannot be thinned")
    if kind.used_groups == 1:
        return grouping.opened(layer.y.c)
    if not is_parallel(layer) or len(x) > 1:
        why = f"groups={kind.groups}: only groups with as many channels as filters, of one layer, can be thinned"
        raise Unsupported(why)
    grouping.pack(x[0], kind.filters // kind.used_groups)
    return x


def _connected(grouping: _Grouping, layer: Layer, x: Channels) -> Channels:
    return grouping.opened(layer.y.c)


def _routed(grouping: _Grouping, layer: Layer[kinds.Route], x: Channels) -> Channels:
    if layer.kind.groups > 1:
        raise Unsupported("a [route] to a part of the channels cannot be thinned")
    return tuple(group for i in layer.sources for group in grouping.gives[i])


def _added(grouping: _Grouping, layer: Layer, x: Channels) -> Channels:
    if isinstance(layer.kind, kinds.Shortcut) and layer.kind.weights_type != "none":
        raise Unsupported("a [shortcut] with weights cannot be thinned")
    for i in layer.sources:
        x = grouping.joined(layer, grouping.gives[i], x)
    return x


def _maxpooled(grouping: _Grouping, layer: Layer[kinds.Maxpool], x: Channels) -> Channels:
    if layer.kind.maxpool_depth:
        raise Unsupported("cannot be divided among branches: it takes the largest of several channels")
    return x


def _head(grouping: _Grouping, layer: Layer, x: Channels) -> Channels:
    grouping.fixed.update(x)
    return x


RULES: dict[type[Kind], Rule] = {
    kinds.Convolutional: _convolved,
    kinds.Connected: _connected,
    kinds.Batchnorm: _same,
    kinds.Maxpool: _maxpooled,
    kinds.LocalAvgpool: _same,
    kinds.Avgpool: _same,
    kinds.Upsample: _same,
    kinds.Dropout: _same,
    kinds.Empty: _same,
    kinds.Activation: _same,
    kinds.Route: _routed,
    kinds.Shortcut: _added,
    kinds.ScaleChannels: _added,
    kinds.Sam: _added,
    kinds.Yolo: _head,
    kinds.GaussianYolo: _head,
    kinds.Region: _head,
    kinds.Softmax: _head,
    kinds.Logistic: _head,
}
_STATE = "it keeps a state between inputs"
_RARE = "networks with residual blocks do not have it"
UNSUPPORTED: dict[type[Kind], str] = {
    kinds.Rnn: _STATE,
    kinds.Gru: _STATE,
    kinds.Lstm: _STATE,
    kinds.Crnn: _STATE,
    kinds.ConvLstm: _STATE,
    kinds.History: _STATE,
    kinds.Reorg: "it mixes channels with places",
    kinds.Reorg3d: "it mixes channels with places",
    kinds.Normalization: "it mixes neighbouring channels",
    kinds.L2norm: "it mixes all channels",
    kinds.Detection: "it reads places and channels in one row",
    kinds.Cost: "only behind a [softmax] at the end of a network does it change nothing",
    kinds.Contrastive: "its loss compares frames of a video",
    kinds.Deconvolutional: _RARE,
    kinds.Local: _RARE,
    kinds.Implicit: _RARE,
    kinds.Crop: _RARE,
    kinds.Iseg: _RARE,
}


def streams_of(network: Network, after: int) -> Streams:
    """Find the groups of channels behind layer `after`.

    Raises:
        Unsupported: a layer in the tail whose channels cannot be told apart.
    """
    grouping = _Grouping(network, after)
    reads: dict[int, Channels] = {}
    for layer in network.layers[after + 1 :]:
        i = layer.index
        reads[i] = grouping.gives[i - 1] if layer.kind.reads_previous else ()
        with located(network, layer):
            kind = type(layer.kind)
            if kind not in RULES:
                raise Unsupported(f"cannot be divided among branches: {UNSUPPORTED.get(kind, 'it has no rule')}")
            grouping.gives[i] = RULES[kind](grouping, layer, reads[i])
    grouping.fixed.update(grouping.gives[len(network.layers) - 1])
    fixed = {grouping.root(group) for group in grouping.fixed}
    gives = {i: grouping.roots(groups) for i, groups in grouping.gives.items()}
    used = {group for i in range(after + 1, len(network.layers)) for group in gives[i]} | fixed
    return Streams(
        network,
        after,
        {i: grouping.roots(groups) for i, groups in reads.items()},
        gives,
        {group: grouping.full[group] for group in sorted(used)},
        {group: grouping.packs[group] for group in sorted(used)},
        frozenset(grouping.root(group) for group in grouping.trunk),
        frozenset(fixed),
        _areas(network, after, gives),
    )


def is_parallel(layer: Layer) -> TypeGuard[Layer[kinds.Convolutional]]:
    """Tell whether a convolution computes packs of channels apart, each from as many: depthwise from one."""
    kind = layer.kind
    return isinstance(kind, kinds.Convolutional) and kind.used_groups > 1 and kind.filters == layer.x.c


def groups_of(layer: Layer[kinds.Convolutional], filters: int) -> int:
    """Compute `groups` of a parallel convolution with other filters, so that its packs stay as large as they are."""
    return filters * layer.kind.used_groups // layer.kind.filters


def _areas(network: Network, after: int, gives: dict[int, Channels]) -> dict[int, int]:
    """The area of each group: within a block that of the block's end, elsewhere the largest."""
    found: dict[int, int] = {}
    ends: dict[int, int] = {}
    for block in residual_blocks(network):
        ends |= dict.fromkeys(range(block.before + 1, block.last + 1), block.last)
    inside: dict[int, int] = {}
    for layer in network.layers[after + 1 :]:
        for group in gives[layer.index]:
            area = layer.y.h * layer.y.w
            found[group] = max(found.get(group, 0), area)
            if layer.index in ends:
                end = network.layers[ends[layer.index]].y
                inside[group] = max(inside.get(group, 0), end.h * end.w)
    return found | inside


def width_of(groups: Channels, widths: Mapping[int, int]) -> int:
    """The channels of a tensor of these groups."""
    return sum(widths[group] for group in groups)
