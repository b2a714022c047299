"""Words and numbers of a drawing: short ones for the picture, all of them for each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from darkshare._tables import printable, ranges
from darkshare.analysis.drawing.graph import DrawnLayer, NetworkGraph, names_of
from darkshare.darknet.kinds import Shape

UNCOUNTED = "not counted by Darknet"


def amount(number: float) -> str:
    """A number with three digits and a unit.

    >>> amount(61_949_149), amount(0), amount(999), amount(999_900)
    ('61.9 M', '0', '999', '1 M')
    """
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= 0.9995 * factor or (factor == 1e3 and number >= 1000):
            return f"{number / factor:.3g}{unit}"
    return f"{number:.3g}"


def operations(flops: float) -> str:
    """Operations as Darknet counts them.

    >>> operations(65.3e9), operations(65.3e6), operations(900)
    ('65.3 BFLOPs', '65.3 MFLOPs', '0.0009 MFLOPs')
    """
    return f"{flops / 1e9:.3g} BFLOPs" if flops >= 0.9995e8 or not flops else f"{flops / 1e6:.3g} MFLOPs"


def resolution(shape: Shape) -> str:
    """Width and height of an output; empty where Darknet knows none."""
    return f"{shape.w}×{shape.h}" if shape.is_image else ""


def owners(graph: NetworkGraph, layer: DrawnLayer) -> str:
    """Say whose a layer is."""
    names = printable(names_of(graph.tasks, layer.tasks))
    if not graph.is_shared(layer):
        return f"{names} only" if layer.tasks else names
    return f"shared by {'the branches of ' if len(graph.colours(layer)) == 1 else ''}{names}"


def numbers(layers: Sequence[DrawnLayer]) -> str:
    """The numbers of layers, as their own network counts them."""
    found = ranges(sorted({layer.layer.index for layer in layers}), "–")
    return f"{'layer' if len(layers) == 1 else 'layers'} {found}"


def name_of(graph: NetworkGraph, layer: DrawnLayer) -> str:
    """A layer's number, with the name of its network where several are drawn."""
    first = f"layer {layer.layer.index}"
    if len(graph.names) == 1:
        return first
    return f"{first} of {printable(graph.labels[layer.model])}"


def details(graph: NetworkGraph, layer: DrawnLayer) -> list[tuple[str, str]]:
    """Everything that is said of a layer, as (what, value); the first pair is its name and kind."""
    own = layer.layer
    names = printable(names_of(graph.tasks, layer.tasks))
    window = f" {own.kind.window_text}" if own.kind.window_text else ""
    reads = [name_of(graph, graph.layers[one]) if one >= 0 else "the input" for one in layer.inputs]
    found = [
        (name_of(graph, layer), f"{own.kind.name}{window}"),
        ("output", str(own.y) if own.y.size else "none"),
        ("input", str(own.x) if own.kind.reads_previous else ""),
        ("parameters", f"{own.size:,}{_share(own.size, graph.params)}"),
        (
            "operations",
            f"{operations(own.flops)}{_share(own.flops, graph.flops)}" if not layer.is_uncounted else UNCOUNTED,
        ),
        ("shared by" if graph.is_shared(layer) else "needed by", names),
        ("classes", f"{own.classes:,}" if own.kind.is_head and own.classes else ""),
        ("reads", ", ".join(reads)),
        ("weights of", f"layer {own.shares}" if own.shares is not None else ""),
        ("differs from the base", _differences(layer)),
    ]
    return [(what, value) for what, value in found if value]


def _share(part: float, whole: float) -> str:
    return f" ({'<0.1%' if part < 0.0005 * whole else f'{part / whole:.1%}'})" if part else ""


def _differences(layer: DrawnLayer) -> str:
    """The relative difference of each tensor, or why there is none."""
    found = layer.differences
    if reasons := {one.skipped for one in found if one.skipped}:
        return f"not comparable: {printable(sorted(reasons)[0])}"
    shown = [
        f"{one.quantity.replace('_', ' ')} by {'∞' if one.relative == math.inf else f'{one.relative:.2g}'}"
        for one in found
        if one.relative is not None
    ]
    base = f" ({found[0].layer} there)" if found and found[0].layer != layer.layer.index else ""
    return f"{', '.join(shown)}{base}" if shown else ""
