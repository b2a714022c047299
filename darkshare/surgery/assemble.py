"""Join runs of layers, with their runs of floats, into one network: every splicing goes through here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from darkshare.darknet.cfg import Cfg, Line, Section, comment_line, new_section
from darkshare.darknet.cut_points import reads_from
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network, Ref, resolve
from darkshare.darknet.portable import list_text, plain_cfg
from darkshare.darknet.weights import Floats, Header, Run, Weights
from darkshare.errors import BadReference

_ON = ", on the shared layers 0.."


@dataclass(frozen=True)
class Part:
    """A run of a model's layers, start..stop.

    Attributes:
        known: layers outside of it, and their places in the product.
        through: of these, the ones whose outputs are read from another place; share_index= and the like name a layer
            without reading it, and keep to `known`.
        mark: the comment that its first section gets in place of an earlier one; None leaves it as it is.
    """

    model: Model
    start: int
    stop: int
    known: Mapping[int, int] = field(default_factory=dict)
    through: Mapping[int, int] = field(default_factory=dict)
    mark: str | None = None


class Fresh(NamedTuple):
    """A new layer with the floats that it stores; its references are those of the product."""

    section: Section
    floats: Floats


def assemble(
    net: Section, parts: Sequence[Part | Fresh | Section], dialect: str, head: tuple[Line, ...] = ()
) -> tuple[Network, Weights | None]:
    """Join runs of layers, and single new layers, into one network.

    References are rewritten to where their layers now lie; a relative one whose distance survives stays as
    written, so the product differs from its sources only where it must.

    Args:
        net: the [net] section.
        parts: what to join, in order.
        dialect: the product's.
        head: comments before [net].

    Returns:
        The resolved product, and its weights if all parts have them.

    Raises:
        BadReference: a reference into layers that were left out.
    """
    sections: list[Section] = []
    runs: list[Run] = []
    models = [part.model for part in parts if isinstance(part, Part)]
    for part in parts:
        if isinstance(part, Section):
            sections.append(part)
            continue
        if isinstance(part, Fresh):
            sections.append(part.section)
            runs.append(part.floats)
            continue
        first, network = len(sections), part.model.network
        place = {**part.known, **{old: first + old - part.start for old in range(part.start, part.stop)}}
        read = {**place, **part.through}
        sections += [_rewired(layer, place, read) for layer in network.layers[part.start : part.stop]]
        if part.mark is not None:
            sections[first] = _marked(sections[first], part.mark)
        if part.model.weights is not None:
            runs += part.model.weights.slice(network.start(part.start), network.start(part.stop))
    cfg = plain_cfg(Cfg(head, (net, *map(_ended, sections)), models[0].name), dialect)
    complete = all(model.weights is not None for model in models)
    return resolve(cfg, dialect=dialect), Weights(Header(), tuple(runs)) if complete else None


def grafted(model: Model, k: int, place: int, what: str) -> list[Part | Section]:
    """Lay a model's layers from k on behind other layers, the first k of which are its own as well.

    They read layer k-1 through a [route] to it. Where none of them reads it, as where layer k is a [route] to other
    layers, that route is left out: an engine would take it for an output of the network, since nothing reads it.

    Args:
        model: whose layers from k on are wanted.
        k: how many layers are shared.
        place: the index of the first one in the product.
        what: the words for them in the comment that goes in front.
    """
    count, is_read = len(model.network.layers) - k, reads_from(model.network, k, k - 1)
    place += is_read
    mark = f"{what}: layers {place}..{place + count - 1}{_ON}{k - 1}"
    shared = {j: j for j in range(k)}
    if not is_read:
        return [Part(model, k, k + count, shared, mark=mark)]
    route = _marked(new_section("route", layers=k - 1), mark)
    return [route, Part(model, k, k + count, shared, {k - 1: place - 1})]


def _marked(section: Section, mark: str) -> Section:
    """A section with this comment behind its header, or none, in place of what an earlier `grafted` put there."""
    header, *rest = section.lines
    if rest and _ON in rest[0].text and not rest[0].key:
        rest = rest[1:]
    return replace(section, lines=(header, *([comment_line(mark)] if mark else []), *rest))


def _rewired(layer: Layer, place: Mapping[int, int], read: Mapping[int, int]) -> Section:
    """A layer's section with its references to where the layers lie now, and to where they are read."""
    changed: dict[str, str] = {}
    for key in dict.fromkeys(ref.key for ref in layer.refs):
        refs = [ref for ref in layer.refs if ref.key == key]
        written = tuple(_written(ref, layer.label, place[layer.index], read if ref.reads else place) for ref in refs)
        if written != tuple(ref.written for ref in refs):
            changed[key] = list_text(written)
    return layer.section.set(**changed)


def _written(ref: Ref, label: str, here: int, place: Mapping[int, int]) -> int:
    target = place.get(ref.target)
    if target is None:
        raise BadReference(f"{label} reads layer {ref.target}, which is not part of the product")
    relative = target - here
    # [contrastive] yolo_layer=0 means none, so layer 0 has no absolute number there.
    stays = ref.written < 0 and relative == ref.written
    return relative if stays or (ref.key == "yolo_layer" and target == 0) else target


def _ended(section: Section) -> Section:
    """A section whose last line ends, so that another can follow."""
    *lines, last = section.lines
    if last.text.endswith("\n"):
        return section
    return replace(section, lines=(*lines, last._replace(text=last.text + "\n"), Line("\n")))
