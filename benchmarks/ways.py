"""Networks for the ways of loss_won_back.py that no option of `train` makes: controls, other shapes, other starts.

Each is a base for a training at one k. All but the stitches compute what the plain one does until they are trained.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stitches import stitched

from darkshare.choose_k.swapping import swapped
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import Layer
from darkshare.surgery.assemble import Fresh, Part
from darkshare.surgery.classes import classes
from darkshare.surgery.residual.streams import Streams, streams_of
from darkshare.surgery.residual.thinning import Branch, thinned, thinned_network
from darkshare.surgery.sides import Side, Strip, ladder, stages, widest, with_side

SHARE = 0.05
_PARTS = 64  # of the trunk's width, of which that of a column is a multiple


@dataclass(frozen=True)
class Given:
    """All that a network is made from.

    Attributes:
        base: the cfg.
        k: the first layer that trains.
        seed: of what is drawn.
        size: of the pictures, (width, height).
        whole: the cfg of the network of k=0 on the same data.
        pictures: to learn from.
        share: of the base's operations that a ladder, and what stands beside it, may add.
    """

    base: str
    k: int
    seed: int
    size: tuple[int, int]
    whole: Path
    pictures: Sequence[Path]
    share: float = SHARE


def wide(given: Given) -> Model:
    """As many operations as the ladder's, on what the branch reads anyway.

    Each output that the branch reads gets a path of its own, convolutions like the ladder's, added to it.
    """
    model = labelled(given)
    most = with_side(model, given.k, Side(share=given.share), given.seed).network.flops / model.network.flops - 1
    made = partial(_widened, given)
    return made(model, widest(model, most, made))


def _widened(given: Given, model: Model, width: int) -> Model:
    strip, sizes = Strip(model.network, given.k, given.seed), list[int]()
    for layer in sorted((model.network.layers[at] for at in strip.reads), key=lambda layer: -layer.y.w):
        sizes += [layer.y.w] * (layer.y.w not in sizes)
        own = width << sizes.index(layer.y.w)
        strip.route(layer.index)
        strip.convolve(layer.y.c, own, 3, 1, strip.activation)
        strip.last = strip.place - 1, own
        strip.give(layer.index)
    return strip.into(model)


def cut(given: Given) -> Model:
    """The ladder with its inputs cut: no number of the trunk comes in."""
    return _ladder(given, labelled(given), _Cut)


class _Cut(Strip):
    """A strip in which convolutions that read the trunk have weights of 0 that do not learn."""

    _blind = False

    def route(self, place: int) -> None:
        super().route(place)
        self._blind = place < self.k

    def join(self, layer: Layer) -> None:
        if layer.y.c != self.last[1]:  # else there is no convolution that could be blind
            super().join(layer)

    def convolve(self, channels: int, filters: int, size: int, stride: int, activation: str, **how: object) -> None:
        blind = {"learning_rate": 0} if self._blind else {}
        super().convolve(channels, filters, size, stride, activation, **how, **blind)
        made = self.parts[-1]
        assert isinstance(made, Fresh)
        made.floats[4 * filters :] *= not blind
        self._blind = False


def drawn_reads(given: Given) -> Model:
    """The ladder, but of each size it reads a layer that is drawn."""
    model = labelled(given)
    *reads, end = stages(model.network, given.k)
    draw = random.Random(given.seed)
    drawn = [draw.choice(_alike(model.network.layers[: given.k], layer)) for layer in reads]
    return _ladder(given, model, Strip, [*drawn, end])


def _alike(layers: Sequence[Layer], like: Layer) -> list[Layer]:
    """The layers that give images of the size of one."""
    return [one for one in layers if one.y.is_image and one.onward == one.y and one.y[1:3] == like.y[1:3]]


def slow(given: Given) -> Model:
    """The ladder with the learning rate of the rest."""
    return _ladder(given, start(given), _Slow)


class _Slow(Strip):
    def convolve(self, *form: object, **how: object) -> None:
        super().convolve(*form, **how, learning_rate=1)


def deeper(given: Given) -> Model:
    """A ladder of two convolutions for each size."""
    return _ladder(given, start(given), _Deeper)


class _Deeper(Strip):
    def descend(self, width: int) -> None:
        super().descend(width)
        self.convolve(width, width, 3, 1, self.activation)
        self.last = self.place - 1, width


def separable(given: Given) -> Model:
    """A ladder whose convolutions are divided: two filters for each channel, then 1x1."""
    return _ladder(given, start(given), _Separable)


class _Separable(Strip):
    def descend(self, width: int) -> None:
        place, channels = self.last
        self.route(place)
        self.convolve(1, 2 * channels, 3, 2, self.activation, groups=channels)
        self.convolve(2 * channels, width, 1, 1, self.activation)
        self.last = self.place - 1, width


def early(given: Given) -> Model:
    """A ladder that begins at half the input's size, not at a quarter."""
    model = start(given)
    return _ladder(given, model, Strip, stages(model.network, given.k, 2))


def labelled(given: Given) -> Model:
    """The base with the data's classes: a teacher leaves such a one its own start."""
    names = load(given.whole).tasks[0].names
    return classes(load(given.base, size=given.size), fresh=names, seed=given.seed)


def _ladder(given: Given, model: Model, form: type[Strip], read: Sequence[Layer] = ()) -> Model:
    def made(of: Model, width: int) -> Model:
        return ladder(of, given.k, width, given.seed, read=read, strip=form(of.network, given.k, given.seed))

    return made(model, widest(model, given.share, made))


def column(given: Given) -> Model:
    """A thin copy of the trunk of the network of k=0 behind its first layer, which also reads the base's stages.

    Its first weights are slices, as those of a branch.
    """
    model, whole = labelled(given), load(given.whole)
    streams = streams_of(whole.network, 0)
    made = partial(_beside, given, whole, streams)
    return made(model, widest(model, given.share, made))


def _beside(given: Given, whole: Model, streams: Streams, model: Model, parts: int) -> Model:
    k, strip = given.k, Strip(model.network, given.k, given.seed)
    of = whole if model.weights else replace(whole, weights=None)
    widths = {group: max(streams.full[group] * parts // _PARTS, 1) for group in streams.free}
    widths = {**streams.full, **widths}
    network = thinned_network(streams, widths)
    thin = thinned(Branch(of, streams, widths, 0, 1, given.seed), network, "slice")
    known, read, start = {0: 0}, {0: 0}, 1
    strip.route(0)
    for end in [layer.index for layer in stages(model.network, k)[:-1]] + [k - 1]:
        known |= {at: strip.place + at - start for at in range(start, end + 1)}
        strip.add(Part(thin, start, end + 1, dict(known), {at: read[at] for at in read if read[at] != known[at]}))
        strip.last = strip.place - 1, network.layers[end].y.c
        if end != k - 1:
            strip.join(model.network.layers[end])
        read |= {at: known[at] for at in range(start, end)} | {end: strip.last[0]}
        start = end + 1
    for at in strip.reads:
        strip.last = read[at], network.layers[at].y.c
        strip.give(at)
    return strip.into(model)


def start(given: Given) -> Model:
    """The network of k=0 on the base's trunk."""
    return swapped(load(given.base, size=given.size), load(given.whole), given.k)


def stitch(given: Given) -> Model:
    """The same, behind stitches."""
    return stitched(load(given.base, size=given.size), load(given.whole), given.k, given.pictures)


def untrained(given: Given) -> Model:
    """The base without weights."""
    return load(given.base, sibling=False)
