"""Make one thin branch: a network with fewer channels behind its trunk, and its first weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from darkshare.darknet import kinds
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network, resolve
from darkshare.darknet.weights import FLOAT, Floats, Header, Weights
from darkshare.surgery.residual.streams import Channels, Streams, groups_of, is_parallel, width_of

INITS = ("slice", "rrr", "random")
Ids = NDArray[np.intp]
Widths = Mapping[int, int]
Init = Callable[["Branch"], Iterator[Floats]]


class Branch:
    """One of m branches, with all that its first weights are made from.

    Args:
        model: the network that is divided, with weights.
        streams: its groups of channels.
        widths: the channels that each group keeps.
        number: of the branch, from 0.
        m: how many branches there are.
        seed: of the random parts.
    """

    def __init__(self, model: Model, streams: Streams, widths: Widths, number: int, m: int, seed: int) -> None:
        self.model, self.streams, self.widths = model, streams, widths
        self.number, self.m, self.seed = number, m, seed

    def random(self, layer: Layer, *more: int) -> np.random.Generator:
        """Numbers for a layer that are the same for all branches, unless `more` says otherwise."""
        return np.random.default_rng([self.seed, layer.index, *more])

    def chosen(self, groups: Channels) -> Ids:
        """The channels of a tensor that the branch keeps: of each group a window that starts number/m of the way.

        So m branches of width n/sqrt(m) hold every channel about sqrt(m) times.
        """
        found, start = [], 0
        for group in groups:
            full, width, pack = self.streams.full[group], self.widths[group], self.streams.packs[group]
            window = (np.arange(width // pack) + full // pack * self.number // self.m) % (full // pack)
            found.append(start + (np.sort(window)[:, None] * pack + np.arange(pack)).ravel())
            start += full
        return np.concatenate(found).astype(np.intp)

    def kept(self, layer: Layer) -> tuple[int, int]:
        """Input and output channels that the branch has at a layer."""
        reads, gives = self.streams.reads[layer.index], self.streams.gives[layer.index]
        return width_of(reads, self.widths), width_of(gives, self.widths)


def thinned_network(streams: Streams, widths: Widths) -> Network:
    """The network with other widths behind its trunk; all layers keep their indices."""
    cfg = streams.network.cfg
    sections = list(cfg.sections)
    for layer in streams.tail:
        if isinstance(layer.kind, kinds.Convolutional | kinds.Connected):
            n = width_of(streams.gives[layer.index], widths)
            key = "output" if isinstance(layer.kind, kinds.Connected) else "filters"
            changed = {key: n, "groups": groups_of(layer, n)} if is_parallel(layer) else {key: n}
            sections[layer.index + 1] = layer.section.set(**changed)
    return resolve(replace(cfg, sections=tuple(sections)), dialect=streams.network.dialect)


def thinned(branch: Branch, network: Network, init: str) -> Model:
    """Build one branch behind the whole trunk; the trunk's floats are the model's own, as views.

    Args:
        branch: which one.
        network: as `thinned_network` makes it.
        init: `slice`: the channels of a part of the model, with their batch norm; `rrr`: RRR-Net's own distribution
            of kernels, with fresh batch norm and head; `random`: as Darknet starts a training.
    """
    weights = branch.model.weights
    if weights is None:
        return Model(network, None, branch.model.tasks)
    trunk = weights.slice(0, branch.model.network.start(branch.streams.after + 1))
    return Model(network, Weights(Header(), (*trunk, *_STARTS[init](branch))), branch.model.tasks)


def _sliced(branch: Branch) -> Iterator[Floats]:
    """The model's own values for the channels that stay.

    Sums over fewer inputs are smaller. Batch norm's statistics are scaled for it, and where there are none, the
    kernels are. (Larger kernels in front of batch norm would compute the same, but learn more slowly.)
    """
    for layer in branch.streams.tail:
        given = branch.model.tensors(layer.index)
        ids = branch.chosen(branch.streams.gives[layer.index]) if given else np.empty(0, np.intp)
        sums = "weights" in given and not is_parallel(layer)
        share = FLOAT.type(branch.kept(layer)[0] / _inputs(layer)) if sums else FLOAT.type(1)
        factors = {"rolling_mean": share, "rolling_variance": share**2} if "scales" in given else {}
        for tensor in layer.tensors:
            values = given[tensor.name][ids] * factors.get(tensor.name, FLOAT.type(1))
            if tensor.name == "weights" and sums:
                values = _narrowed(branch, layer, values, larger=not factors)
            yield np.ascontiguousarray(values, FLOAT).ravel()


def _narrowed(branch: Branch, layer: Layer, rows: Floats, *, larger: bool) -> Floats:
    """Kernels, or rows of a matrix, for the inputs that stay; larger by as much as their group has fewer."""
    groups = branch.streams.reads[layer.index]
    values = rows.reshape(len(rows), _inputs(layer), -1)[:, branch.chosen(groups)]
    if not larger:
        return values
    full, kept = branch.streams.full, branch.widths
    factors = np.repeat([full[g] / kept[g] for g in groups], [kept[g] for g in groups]).astype(FLOAT)
    return np.asarray(values * factors[:, None], FLOAT)


def _inputs(layer: Layer) -> int:
    """Channels, or numbers, that each of a layer's outputs is made from."""
    return layer.x.c if layer.x.is_image else layer.x.size


def _random(branch: Branch) -> Iterator[Floats]:
    """Uniform in +-sqrt(2 / fan-in), as in make_convolutional_layer; another draw for each branch."""
    for layer in branch.streams.tail:
        x, y = branch.kept(layer)
        for tensor in layer.tensors:
            yield _fresh(branch, layer, tensor.name, _thin_shape(layer, tensor.shape, x, y)).ravel()


def _recycled(branch: Branch) -> Iterator[Floats]:
    """RRR-Net's recycling: 2-D kernels are distributed among the branches, for each input channel anew.

    From the authors' code: of each convolution the first input channels count; per input channel its kernels go to
    the branches in their order, and where there are too few, random permutations of all follow. Batch norm and heads
    start fresh.
    """
    for layer in branch.streams.tail:
        x, y = branch.kept(layer)
        is_head = bool(branch.streams.means & set(branch.streams.gives[layer.index]))
        for tensor in layer.tensors:
            shape = _thin_shape(layer, tensor.shape, x, y)
            if tensor.name != "weights" or is_head or len(shape) < 4:
                yield _fresh(branch, layer, tensor.name, shape).ravel()
                continue
            given = branch.model.tensors(layer.index)["weights"]
            values = np.empty(shape, FLOAT)
            random = branch.random(layer)
            for c in range(shape[1]):
                order = _kernel_order(random, len(given), branch.m * y)
                values[:, c] = given[order[branch.number * y : (branch.number + 1) * y], c]
            yield values.ravel()


def _kernel_order(random: np.random.Generator, count: int, wanted: int) -> Ids:
    """0..count-1 in order, then in random permutations, up to the number wanted."""
    rounds = [np.arange(count)] + [random.permutation(count) for _ in range(math.ceil(wanted / count) - 1)]
    return np.concatenate(rounds)[:wanted]


def _thin_shape(layer: Layer, shape: tuple[int, ...], x: int, y: int) -> tuple[int, ...]:
    """The shape of a tensor with x input and y output channels instead of the layer's own."""
    if len(shape) == 1:
        return (y,)
    if is_parallel(layer):
        return (y, *shape[1:])
    return (y, shape[1] * x // _inputs(layer), *shape[2:])


def _fresh(branch: Branch, layer: Layer, name: str, shape: tuple[int, ...]) -> Floats:
    """A tensor before any training."""
    if name in ("scales", "rolling_variance"):
        return np.ones(shape, FLOAT)
    if name != "weights":
        return np.zeros(shape, FLOAT)
    limit = math.sqrt(2 / (math.prod(shape[1:]) or 1))
    return branch.random(layer, branch.number + 1).uniform(-limit, limit, shape).astype(FLOAT)


_STARTS: dict[str, Init] = {"slice": _sliced, "rrr": _recycled, "random": _random}
