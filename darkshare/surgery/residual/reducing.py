"""Leave residual blocks out, and replace shortcuts between different shapes by layers that every fork runs.

Where shapes differ, pjreddie's Darknet adds what fits: every second value of every second row, and the channels
that both have (`shortcut_cpu` in blas.c). AlexeyAB's and hank-ai's refuse such a cfg, OpenCV fails on it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from darkshare.darknet.cfg import Section, new_section
from darkshare.darknet.kinds import Shortcut
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.weights import FLOAT
from darkshare.errors import BadValue, DarkshareError, Unsupported, checked, warn
from darkshare.surgery.assemble import Fresh, Part, assemble
from darkshare.surgery.residual.blocks import kept_blocks, residual_blocks, single_network
from darkshare.surgery.residual.totals import Reduction


@checked
def reduce(model: Model, keep: str = "first", *, explicit: bool | None = None) -> Model:
    """Keep some residual blocks of a network; its other layers stay as they are, and so do all weights.

    A block that goes passes on what it read. With everything kept and every shortcut fitting, network and weights are
    the model's own.

    Args:
        model: with or without weights; one network, not a merged one.
        keep: `first`, the first block of each stage; `all`; counts like `1,1,1,1`, the first blocks of each stage; or
            numbers like `blocks 1,4,12-14`.
        explicit: replace each shortcut between different shapes by layers that compute the same and that AlexeyAB's
            and hank-ai's Darknet and OpenCV run too; without it, where there is one.

    Returns:
        The reduced model. Its report, a `Reduction`, has what both have and cost.

    Raises:
        BadValue: no such blocks, or one that is needed would go; a merged or branched model.
        Unsupported: a shortcut that cannot be said in other layers.
    """
    network = single_network(model)
    blocks = residual_blocks(network)
    try:
        kept = kept_blocks(blocks, keep)
    except BadValue as error:
        raise error.locate(model.name, None) from None
    going = {index for block in blocks if block not in kept for index in range(block.before + 1, block.last + 1)}
    replaced = _replaced(network, going, explicit=explicit)
    reduced = _rebuilt(model, {b.last: b.before for b in blocks if b not in kept}, going, replaced)
    return replace(reduced, report=Reduction(network, reduced.network))


def unfitting(network: Network) -> list[Layer[Shortcut]]:
    """The shortcuts that add a layer of another shape."""
    shortcuts = network.of_kind(Shortcut)
    return [layer for layer in shortcuts if any(network.layers[i].y != layer.x for i in layer.sources)]


def _replaced(network: Network, going: Collection[int], *, explicit: bool | None) -> dict[int, Projection]:
    """The layers in place of each shortcut that does not fit."""
    found = [layer for layer in unfitting(network) if layer.index not in going]
    if explicit is False:
        if found:
            warn(
                f"{network.name}: {found[0].label} adds a layer of another shape: only pjreddie's Darknet and "
                "darkshare run this; leave --no-explicit out"
            )
        return {}
    try:
        return {layer.index: projection(network, layer) for layer in found}
    except DarkshareError as error:
        raise error.locate(network.name, None) from None


@dataclass(frozen=True)
class Projection:
    """The layers that bring what a shortcut adds to its shape.

    Attributes:
        source: the layer that is added.
        stride: of every so many rows and columns, one is taken.
        filters: the channels that come out: those that both have, then zeros.
    """

    source: int
    stride: int
    filters: int

    @property
    def length(self) -> int:
        """Layers."""
        return 2 if self.stride == 1 else 3

    def parts(self, source: int, channels: int) -> list[Section | Fresh]:
        """A [route], a [maxpool] of one value that skips, and a 1x1 convolution that picks channels.

        A 1x1 convolution that skips by itself would be shorter, but pjreddie's ignores its stride.
        """
        route = new_section("route", layers=source)
        skip = new_section("maxpool", size=1, stride=self.stride)
        pick = new_section("convolutional", filters=self.filters, size=1, stride=1, activation="linear")
        kernel = np.eye(self.filters, channels).ravel()
        conv = Fresh(pick, np.concatenate([np.zeros(self.filters), kernel]).astype(FLOAT))
        return [route, conv] if self.stride == 1 else [route, skip, conv]


def projection(network: Network, layer: Layer[Shortcut]) -> Projection:
    """Find the layers that make the one source of a shortcut fit.

    Raises:
        Unsupported: it has several sources or factors, or a source of which pjreddie's Darknet takes no regular grid.
    """
    kind = layer.kind
    if len(layer.sources) > 1 or kind.weights_type != "none" or (kind.alpha, kind.beta) != (1, 1):
        raise Unsupported(
            f"{layer.label} adds layers of another shape with several sources, weights, alpha or beta; "
            "leave the shortcuts as they are with --no-explicit",
            line=layer.section.lineno,
        )
    source = network.layers[layer.sources[0]].y
    stride = source.w // layer.x.w
    if (source.w, source.h) != (stride * layer.x.w, stride * layer.x.h):
        raise Unsupported(
            f"{layer.label} adds {source} to {layer.x}, which is not a whole number of times smaller; choose an input "
            "size that can be halved as often as the network does",
            line=layer.section.lineno,
        )
    return Projection(layer.sources[0], stride, layer.x.c)


def _rebuilt(
    model: Model, aliases: Mapping[int, int], going: Collection[int], replaced: Mapping[int, Projection]
) -> Model:
    """The model without some layers, and with others in front of some shortcuts."""
    network = model.network
    if not going and not replaced:
        return model
    place: dict[int, int] = {}
    parts: list[Part | Fresh | Section] = []
    position = 0
    for layer in network.layers:
        i = layer.index
        if i in going:
            if i in aliases:
                place[i] = place[aliases[i]]
            continue
        added = replaced.get(i)
        if added:
            channels = network.layers[added.source].y.c
            parts += added.parts(place[added.source], channels)
            parts.append(layer.section.set(**{"from": -added.length - 1}))
            position += added.length
        else:
            parts.append(Part(model, i, i + 1, place))
        place[i] = position
        position += 1
    net = network.cfg.sections[0]
    made, weights = assemble(net, parts, network.dialect, network.cfg.head)
    if weights is not None and model.weights is not None:
        weights = replace(weights, header=model.weights.header)
    (task,) = model.tasks
    heads = tuple(place[head] for head in task.heads)
    return Model(made, weights, (task.of_product(heads=heads, runs=((0, position),)),))
