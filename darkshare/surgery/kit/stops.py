"""Place `stopbackward` so that Darknet really freezes the layers before it.

A layer that carries it gets no gradient, but is updated all the same: weight decay and batch norm change it. So a
layer without weights has to carry it (update_network and backward_network in AlexeyAB's network.c, parse_network_cfg
in its parser.c).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from darkshare.darknet.cfg import Cfg, Section, new_section
from darkshare.darknet.cut_points import illegal_cut
from darkshare.darknet.kinds import Boxes, Shortcut
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network, resolve
from darkshare.darknet.portable import plain_cfg
from darkshare.errors import BadValue, Unsupported
from darkshare.surgery.assemble import Part, assemble

FREEZE = 1  # the value with which AlexeyAB and hank-ai leave all layers before out of training
STOP = 1_000_000  # any other one only ends the backward pass, on GPUs while it is above the iteration


class FrozenNetwork(NamedTuple):
    """A network whose first layers Darknet freezes.

    Attributes:
        network: to be trained.
        carrier: the layer with stopbackward.
        inserted: how many [route] layers were put in for it.
    """

    network: Network
    carrier: int
    inserted: int


def frozen_below(model: Model, k: int) -> FrozenNetwork:
    """Freeze layers 0..k-1 of a cfg for stock Darknet: `stopbackward=1` at k, `learning_rate=0` below.

    AlexeyAB and hank-ai need only the first on a GPU. The second keeps the kernels where pjreddie, and AlexeyAB on a
    CPU, go on updating what is frozen; batch norm's statistics drift there even so.

    Layer k or k-1 carries it if it has no weights. Else [route] layers are inserted at k: one to each frozen layer
    that a trained [shortcut] adds, since AlexeyAB crashes where that shortcut has no gradient to write to, and one to
    layer k-1.

    Args:
        model: the network to be trained; its weights are not looked at.
        k: how many leading layers are frozen.

    Raises:
        BadValue: the network cannot be cut at k.
        Unsupported: the convolution before a head would be frozen.
    """
    network = model.network
    if why := illegal_cut(network, k):
        raise BadValue(why, file=model.name)
    _require_free_heads(model, k)
    for carrier in (k, k - 1):
        layer = network.layers[carrier]
        if layer.kind.stops_backward and not layer.tensors and not _added(network, carrier + 1, below=carrier):
            return FrozenNetwork(_marked(network.cfg, network.dialect, k, carrier), carrier, 0)
    targets = [*sorted(_added(network, k, below=k) - {k - 1}), k - 1]
    known, through = {index: index for index in range(k)}, {target: k + at for at, target in enumerate(targets)}
    routes: list[Part | Section] = [new_section("route", layers=target) for target in targets]
    bare = replace(model, weights=None)
    parts = [Part(bare, 0, k), *routes, Part(bare, k, len(network.layers), known, through)]
    joined, _ = assemble(network.cfg.sections[0], parts, network.dialect, network.cfg.head)
    return FrozenNetwork(_marked(joined.cfg, network.dialect, k, k), k, len(routes))


def stopped_only(frozen: FrozenNetwork) -> Network:
    """Return the same network for AlexeyAB on a CPU, which crashes where batch norm lies below `stopbackward=1`.

    Any other value only ends the backward pass there; `learning_rate=0` keeps the kernels.
    """
    sections = list(frozen.network.cfg.sections)
    sections[frozen.carrier + 1] = sections[frozen.carrier + 1].set(stopbackward=STOP)
    return resolve(replace(frozen.network.cfg, sections=tuple(sections)), dialect=frozen.network.dialect)


def _require_free_heads(model: Model, k: int) -> None:
    for layer in model.network.layers:
        if isinstance(layer.kind, Boxes) and layer.index <= k:
            raise Unsupported(
                f"{model.name}: k={k} freezes {layer.label} or the convolution before it, so it could not learn new "
                f"classes; choose k up to {layer.index - 1}"
            )


def _added(network: Network, start: int, *, below: int) -> set[int]:
    """The layers before `below` that shortcuts from layer `start` on add."""
    shortcuts = [layer for layer in network.layers[start:] if isinstance(layer.kind, Shortcut)]
    return {target for layer in shortcuts for target in layer.sources if target < below}


def _marked(cfg: Cfg, dialect: str, k: int, carrier: int) -> Network:
    """The cfg with stopbackward at one layer alone, and no rate where there is something to update below k."""
    net, *layers = cfg.sections
    sections = [net]
    for layer, part in zip(resolve(cfg, dialect=dialect).layers, layers, strict=True):
        marked = part.set(stopbackward=FREEZE if layer.index == carrier else None)
        sections.append(marked.set(learning_rate=0) if layer.index < k and layer.tensors else marked)
    return resolve(plain_cfg(replace(cfg, sections=tuple(sections)), dialect), dialect=dialect)
