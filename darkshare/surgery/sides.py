"""Sides: a thin strip of own layers beside a trunk that stays, which reads it early and adds to what the rest reads.

What only reads the trunk and never writes to it leaves its operations shared. The strip goes down the sizes of the
trunk's outputs, like that of ladder side-tuning (Sung et al., arXiv 2206.06522), and its last convolutions begin
with scales of 0: the network computes what it did before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from darkshare.darknet.cfg import new_section
from darkshare.darknet.initial import drawn
from darkshare.darknet.kinds import Convolutional, Shape, Shortcut
from darkshare.darknet.kinds.base import STATISTICS
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.weights import FLOAT
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.surgery.assemble import Fresh, Part, assemble

_SHARE = 0.04  # of the network's operations that a side adds at most, if nobody says
_STRIDE = 4  # of the first outputs that it reads; those before are large, and know little
_RATE = 10  # times the learning rate of the rest, for layers that begin with nothing
_FORM = re.compile(r"ladder(?::(?:(?P<width>[1-9]\d{0,4})|(?P<share>\d{1,3}(?:\.\d{1,6})?)%))?")


@dataclass(frozen=True)
class Side:
    """A side that is asked for.

    Attributes:
        width: filters of its convolutions, of the second of two twice as many; None for what `share` allows.
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
    width = side.width or widest(model, side.share, lambda bare, width: ladder(bare, k, width, seed))
    return ladder(model, k, width, seed)


def widest(model: Model, share: float, made: Callable[[Model, int], Model]) -> int:
    """The largest width of own layers that adds no larger share of the operations.

    Args:
        model: that they are added to.
        share: of its operations.
        made: adds layers of a width to the model, which is without weights then.

    Raises:
        BadValue: the smallest one adds more.
    """
    bare, most = replace(model, weights=None), (1 + share) * model.network.flops
    least, width = 0, 1
    while made(bare, width).network.flops <= most:
        least, width = width, 2 * width
    while width - least > 1:
        middle = (least + width) // 2
        least, width = (middle, width) if made(bare, middle).network.flops <= most else (least, middle)
    if not least:
        extra = made(bare, 1).network.flops / model.network.flops - 1
        raise BadValue(f"side: the thinnest one adds {100 * extra:.2g} % of the operations; allow it that")
    return least


def ladder(
    model: Model, k: int, width: int, seed: int, *, read: Sequence[Layer] = (), strip: Strip | None = None
) -> Model:
    """The model with a strip in front of its layer k that goes down the sizes of the trunk's outputs.

    Args:
        model: of one task, with weights for all layers or none.
        k: the first layer behind the trunk; a legal cut.
        width: filters of the convolutions; the second of two has twice as many. With more sizes that would leave the
            large ones thin, which have what the branch lacks (docs/explanation/loss-won-back.md).
        seed: of its weights.
        read: a layer of each size, the largest first; the last one only gives its size. `stages` without.
        strip: an empty one with convolutions of its own.

    Raises:
        BadValue: see `stages`.
    """
    strip = strip or Strip(model.network, k, seed)
    first, *others = read or stages(model.network, k)
    strip.begin(first)
    for below in others:
        strip.descend(2 * width if len(others) == 2 and below is others[1] else width)
        if below is not others[-1]:
            strip.join(below)
        strip.deliver(below.y)
    return strip.into(model)


def stages(network: Network, k: int, stride: int = _STRIDE) -> list[Layer]:
    """For each size of the trunk's outputs, from the first that a side reads down, the layer that gives its last one.

    The last sum counts for it, if there are any: what a residual block makes wider within itself is not its output.

    Args:
        network: of the model.
        k: the first layer behind the trunk.
        stride: the input's size by that of the first output that counts, at least.

    Raises:
        BadValue: there are not two sizes.
    """
    own, found = network.input, dict[tuple[int, int], Layer]()
    smallest = own.w * own.h
    for layer in network.layers[:k]:
        y = layer.y
        if not y.is_image or layer.onward != y or y.w * stride > own.w:
            continue
        before = found.get((y.w, y.h))
        if before is None and y.w * y.h >= smallest:
            continue
        smallest = min(smallest, y.w * y.h)
        if before is None or not isinstance(before.kind, Shortcut) or isinstance(layer.kind, Shortcut):
            found[y.w, y.h] = layer
    if len(found) < 2:
        what = f"outputs of two sizes, of which the larger is at most 1/{stride} of the input's"
        raise BadValue(f"k={k} is too early for a side, which reads {what}", file=network.name)
    return list(found.values())


class Strip:
    """Own layers in front of layer k as they come to be, with what they add to the outputs that the rest reads.

    Args:
        network: whose trunk they read.
        k: the place of the first one.
        seed: of their weights.

    Attributes:
        parts: the layers.
        reads: the layers of the trunk whose outputs the rest reads.
        last: place and channels of the output that the next layers go on from.
        place: of the next layer.
        read_at: for outputs of the trunk, the place of the layer that the rest is to read instead.
    """

    def __init__(self, network: Network, k: int, seed: int) -> None:
        self.layers, self.k, self._draw = network.layers, k, drawn(seed)
        self.activation = _usual_activation(network, k)
        self.reads = sorted({at for layer in network.layers[k:] for at in layer.inputs if 0 <= at < k})
        self.last = k - 1, self.layers[k - 1].y.c
        self.parts: list[Part | Fresh] = []
        self.place = k
        self.read_at: dict[int, int] = {}

    def begin(self, layer: Layer) -> None:
        """Have the next layers go on from a layer of the trunk."""
        self.last = layer.index, layer.y.c

    def descend(self, width: int) -> None:
        """Go on from one size to the next."""
        place, channels = self.last
        self.route(place)
        self.convolve(channels, width, 3, 2, self.activation)
        self.last = self.place - 1, width

    def join(self, layer: Layer) -> None:
        """Add a layer of the trunk."""
        own, width = self.last
        if layer.y.c == width:
            self.sum(layer.index)
        else:
            self.route(layer.index)
            self.convolve(layer.y.c, width, 1, 1, "linear")
            self.sum(own)
        self.last = self.place - 1, width

    def deliver(self, size: Shape) -> None:
        """Add the output to all that the rest reads in this size."""
        for at in self.reads:
            read = self.layers[at].y
            if (read.w, read.h) == (size.w, size.h):
                self.give(at)

    def give(self, at: int) -> None:
        """Add the output to what the rest reads from a layer of the trunk."""
        own, width = self.last
        channels = self.layers[at].y.c
        self.route(own)
        self.convolve(width, channels, 1, 1, "linear", zero=True)
        self.sum(at)
        self.read_at[at] = self.place - 1

    def route(self, place: int) -> None:
        """Have the next layer read that one; the layer before it is read anyway."""
        if place != self.place - 1:
            self.add(Fresh(new_section("route", layers=place), np.empty(0, FLOAT)))

    def sum(self, place: int) -> None:
        """Add that layer's output to the one before."""
        section = new_section("shortcut", **{"from": place, "activation": "linear"})
        self.add(Fresh(section, np.empty(0, FLOAT)))

    def convolve(
        self,
        channels: int,
        filters: int,
        size: int,
        stride: int,
        activation: str,
        *,
        zero: bool = False,
        **keys: object,
    ) -> None:
        """Convolve the output before, with batch norm, whose scales are 0 with `zero`."""
        section = new_section(
            "convolutional", batch_normalize=1, filters=filters, size=size, stride=stride, pad=1, activation=activation,
            **{"learning_rate": _RATE, **keys},
        )  # fmt: skip
        vectors = {name: self._draw(name, (filters,)) for name in ("biases", *STATISTICS)}
        vectors["scales"] *= not zero
        kernels = self._draw("weights", (filters, channels, size, size)).ravel()
        self.add(Fresh(section, np.concatenate([*vectors.values(), kernels])))

    def add(self, part: Part | Fresh) -> None:
        """Lay further layers behind the others."""
        self.parts.append(part)
        self.place += part.stop - part.start if isinstance(part, Part) else 1

    def into(self, model: Model) -> Model:
        """The model with these layers in front of its layer k.

        Raises:
            Unsupported: they do not fit.
        """
        before = self.k - 1
        if before in self.reads:  # layer k finds what it reads in the place before it
            self.route(self.read_at.get(before, before))
            self.read_at[before] = self.place - 1
        network, k, more = model.network, self.k, self.place - self.k
        cfg, task, count = network.cfg, model.tasks[0], len(network.layers)
        parts = [Part(model, 0, k), *self.parts, Part(model, k, count, {at: at for at in range(k)}, self.read_at)]
        try:
            made, weights = assemble(cfg.sections[0], parts, network.dialect, cfg.head)
        except DarkshareError as error:
            raise Unsupported(f"a side at k={k} does not fit: {error.message}", file=model.name) from None
        if weights is not None and model.weights is not None:
            weights = replace(weights, header=model.weights.header, path=model.weights.path)
        heads = tuple(head + more * (head >= k) for head in task.heads)
        task = task.of_product(heads=heads, runs=((0, count + more),))
        network = replace(made, cfg=replace(made.cfg, name=cfg.name))
        return replace(model, network=network, weights=weights, tasks=(task,))


def _usual_activation(network: Network, k: int) -> str:
    kinds = [layer.kind for layer in network.layers[:k] if isinstance(layer.kind, Convolutional)]
    found = Counter(kind.activation for kind in kinds if kind.activation != "linear")
    return found.most_common(1)[0][0] if found else "leaky"
