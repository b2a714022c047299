"""Sides: a thin strip of own layers beside a trunk that stays, which reads it early and adds to what the rest reads.

What only reads the trunk and never writes to it leaves its operations shared. The strip goes down the sizes of the
trunk's outputs, like that of ladder side-tuning (Sung et al., arXiv 2206.06522), and its last convolutions begin
with scales of 0: the network computes what it did before.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from darkshare.darknet.cfg import new_section
from darkshare.darknet.initial import drawn
from darkshare.darknet.kinds import Convolutional, Shortcut
from darkshare.darknet.kinds.base import STATISTICS
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.weights import FLOAT
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.surgery.assemble import Fresh, Part, assemble

_SHARE = 0.04  # of the network's operations that a side adds at most, if nobody says
_STRIDE = 4  # of the first outputs that it reads; those before are large, and know little
_MULTIPLE = 4  # of which widths are that a share gives
_FORM = re.compile(r"ladder(?::(?:(?P<width>[1-9]\d{0,4})|(?P<share>\d{1,3}(?:\.\d{1,6})?)%))?")


@dataclass(frozen=True)
class Side:
    """A side that is asked for.

    Attributes:
        width: filters of its first convolution, which double at each further size; None for what `share` allows.
        share: of the operations of the whole network, that it adds at most.
    """

    width: int | None = None
    share: float = _SHARE

    @classmethod
    def of(cls, text: str) -> Side:
        """The side that is written so: `ladder`, `ladder:16` for its width, `ladder:3%` for its operations.

        Raises:
            BadValue: it is written otherwise.

        >>> Side.of("ladder:3%")
        Side(width=None, share=0.03)
        """
        found = _FORM.fullmatch(text)
        if not found or (found["share"] and float(found["share"]) == 0):
            raise BadValue(f"side={text!r} must be ladder, or like ladder:16 for its width, or ladder:3% for its FLOPs")
        share = float(found["share"]) / 100 if found["share"] else _SHARE
        return cls(int(found["width"]) if found["width"] else None, share)


def with_side(model: Model, k: int, side: Side, seed: int = 0) -> Model:
    """The model with a side in front of its layer k; it computes the same until it is trained.

    Args:
        model: of one task, with weights for all layers or none.
        k: the first layer behind the trunk; a legal cut.
        side: its form.
        seed: of its weights.

    Raises:
        Unsupported: a model of several tasks.
        BadValue: there is nothing that it could read above what the layers from k on read, or it cannot be so small.
    """
    if len(model.tasks) != 1:
        raise Unsupported(f"does {len(model.tasks)} tasks; a side is for a model of one", file=model.name)
    width = side.width or _width_of(model, k, side.share, seed)
    return _built(model, k, width, seed)


def _width_of(model: Model, k: int, share: float, seed: int) -> int:
    """The largest width that adds no larger share of the operations."""
    bare = replace(model, weights=None)
    own = model.network.flops
    least, width = 0, _MULTIPLE
    while _built(bare, k, width, seed).network.flops <= (1 + share) * own:
        least, width = width, 2 * width
    while width - least > _MULTIPLE:
        middle = (least + width) // (2 * _MULTIPLE) * _MULTIPLE
        fits = _built(bare, k, middle, seed).network.flops <= (1 + share) * own
        least, width = (middle, width) if fits else (least, middle)
    if not least:
        extra = _built(bare, k, _MULTIPLE, seed).network.flops / own - 1
        raise BadValue(f"side: the thinnest one adds {100 * extra:.2g} % of the operations; allow it that")
    return least


def _built(model: Model, k: int, width: int, seed: int) -> Model:
    network = model.network
    strip = _Strip(network, k, seed)
    first, *others = _stages(network, k)
    above = first
    for way, below in enumerate(others):
        strip.descend(above, below, width << way, joins=below is not others[-1])
        above = below
    strip.end()
    cfg, task, count = network.cfg, model.tasks[0], len(network.layers)
    shared, more = {at: at for at in range(k)}, len(strip.parts)
    parts: list[Part | Fresh] = [Part(model, 0, k), *strip.parts, Part(model, k, count, shared, strip.read_at)]
    try:
        made, weights = assemble(cfg.sections[0], parts, network.dialect, cfg.head)
    except DarkshareError as error:
        raise Unsupported(f"a side at k={k} does not fit: {error.message}", file=model.name) from None
    if weights is not None and model.weights is not None:
        weights = replace(weights, header=model.weights.header, path=model.weights.path)
    heads = tuple(head + more * (head >= k) for head in task.heads)
    task = task.of_product(heads=heads, runs=((0, count + more),))
    return replace(model, network=replace(made, cfg=replace(made.cfg, name=cfg.name)), weights=weights, tasks=(task,))


def _stages(network: Network, k: int) -> list[Layer]:
    """For each size of the trunk's outputs, from the first that a side reads down, the layer that gives its last one.

    The last sum counts for it, if there are any: what a residual block makes wider within itself is not its output.

    Raises:
        BadValue: there are not two sizes.
    """
    own, found = network.input, dict[tuple[int, int], Layer]()
    smallest = own.w * own.h
    for layer in network.layers[:k]:
        y = layer.y
        if not y.is_image or layer.onward != y or y.w * _STRIDE > own.w:
            continue
        before = found.get((y.w, y.h))
        if before is None and y.w * y.h >= smallest:
            continue
        smallest = min(smallest, y.w * y.h)
        if before is None or not isinstance(before.kind, Shortcut) or isinstance(layer.kind, Shortcut):
            found[y.w, y.h] = layer
    if len(found) < 2:
        what = f"outputs of two sizes, of which the larger is at most 1/{_STRIDE} of the input's"
        raise BadValue(f"k={k} is too early for a side, which reads {what}", file=network.name)
    return list(found.values())


class _Strip:
    """The layers of a side as they come to be.

    Args:
        network: whose trunk it reads.
        k: the place of its first layer.
        seed: of its weights.

    Attributes:
        parts: its layers.
        read_at: for outputs of the trunk, the place of the layer that is to be read instead.
    """

    def __init__(self, network: Network, k: int, seed: int) -> None:
        self._layers, self._k, self._draw = network.layers, k, drawn(seed)
        self._activation = _usual_activation(network, k)
        self._reads = sorted({at for layer in network.layers[k:] for at in layer.inputs if 0 <= at < k})
        self._last: tuple[int, int] | None = None  # place and channels of the strip's last output
        self.parts: list[Fresh] = []
        self.read_at: dict[int, int] = {}

    @property
    def _place(self) -> int:
        return self._k + len(self.parts)

    def descend(self, above: Layer, below: Layer, width: int, *, joins: bool) -> None:
        """Go on from one size to the next, and add to what is read there.

        Args:
            above: the layer that a strip reads which begins here.
            below: of the next size; its output joins the strip where that goes on.
            width: of the strip there.
            joins: whether it does.
        """
        place, channels = self._last or (above.index, above.y.c)
        self._route(place)
        self._convolve(channels, width, 3, 2, self._activation)
        if joins:
            self._add_lateral(below, width)
        self._last = own = self._place - 1, width
        for at in self._reads:
            read = self._layers[at].y
            if (read.w, read.h) == (below.y.w, below.y.h):
                self._route(own[0])
                self._convolve(width, read.c, 1, 1, "linear", zero=True)
                self._sum(at)
                self.read_at[at] = self._place - 1

    def end(self) -> None:
        """Have layer k find what it reads in the place before it."""
        before = self._k - 1
        if before in self._reads:
            self._route(self.read_at.get(before, before))
            self.read_at[before] = self._place - 1

    def _add_lateral(self, layer: Layer, width: int) -> None:
        if layer.y.c == width:
            self._sum(layer.index)
            return
        own = self._place - 1
        self._route(layer.index)
        self._convolve(layer.y.c, width, 1, 1, "linear")
        self._sum(own)

    def _route(self, place: int) -> None:
        """Have the next layer read that one; the layer before it is read anyway."""
        if place != self._place - 1:
            self.parts.append(Fresh(new_section("route", layers=place), np.empty(0, FLOAT)))

    def _sum(self, place: int) -> None:
        section = new_section("shortcut", **{"from": place, "activation": "linear"})
        self.parts.append(Fresh(section, np.empty(0, FLOAT)))

    def _convolve(
        self, channels: int, filters: int, size: int, stride: int, activation: str, *, zero: bool = False
    ) -> None:
        section = new_section(
            "convolutional", batch_normalize=1, filters=filters, size=size, stride=stride, pad=1, activation=activation
        )
        vectors = {name: self._draw(name, (filters,)) for name in ("biases", *STATISTICS)}
        vectors["scales"] *= not zero
        kernels = self._draw("weights", (filters, channels, size, size)).ravel()
        self.parts.append(Fresh(section, np.concatenate([*vectors.values(), kernels])))


def _usual_activation(network: Network, k: int) -> str:
    kinds = [layer.kind for layer in network.layers[:k] if isinstance(layer.kind, Convolutional)]
    found = Counter(kind.activation for kind in kinds if kind.activation != "linear")
    return found.most_common(1)[0][0] if found else "leaky"
