"""Measure how far models differ, per layer and quantity, relative to the base.

The headline is a ratio of norms and the distribution is one ratio per filter, because a mean over |b-a|/|a| of
single weights has no meaning (docs/explanation/differences.md).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple, overload

import numpy as np

from darkshare.analysis.alignment import aligned
from darkshare.analysis.boxplot import spread_of
from darkshare.analysis.differences import Comparison, Difference, Differences
from darkshare.analysis.layer_tensors import quantities_of, quantity_names, require_space
from darkshare.analysis.tensor_distance import Operand, distance, elementwise_ratios, per_filter
from darkshare.analysis.trunk import (
    UNRELATED,
    identical_layers,
    label,
    require_weights,
    same_bits,
    with_input_of,
)
from darkshare.analysis.weight_stats import WeightStats, describe_weights
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.errors import checked

Progress = Callable[[int], object]  # called with the number of floats that were compared since its last call


@overload
def stats(
    base: Model,
    *,
    space: str = "raw",
    elementwise: bool = False,
    bn_epsilon: float = 1e-5,
    progress: Progress | None = None,
) -> WeightStats: ...


@overload
def stats(
    base: Model,
    other: Model,
    /,
    *others: Model,
    space: str = "raw",
    elementwise: bool = False,
    bn_epsilon: float = 1e-5,
    progress: Progress | None = None,
) -> Differences: ...


@checked
def stats(
    base: Model,
    *others: Model,
    space: str = "raw",
    elementwise: bool = False,
    bn_epsilon: float = 1e-5,
    progress: Progress | None = None,
) -> WeightStats | Differences:
    """Measure how far models are from a base, per layer and tensor; of one model alone, describe its own weights.

    Args:
        base: the model that differences are relative to.
        others: those to compare with it.
        space: raw, the values of the files; or folded, batch norm put into kernels and biases.
        elementwise: also the spread of single weights, which takes longer; of one model alone, nothing more.
        bn_epsilon: what is added to a variance before its root is taken.
        progress: called with the number of floats that were compared since its last call.

    Returns:
        `Differences` with one `Comparison` for each other model, or the `WeightStats` of one.

    Raises:
        DarkshareError: a model without weights, or an unknown space.
    """
    if not others:
        return describe_weights(base, space=space, bn_epsilon=bn_epsilon)
    require_space(space)
    for model in (base, *others):
        require_weights(model)
    found = []
    for other in (with_input_of(base, model) for model in others):
        loaded = base.loaded, other.loaded
        pair = _Pair(base, other, space, elementwise, bn_epsilon, identical_layers(base, other), loaded)
        found.append(_comparison(pair, progress))
    return Differences(tuple(found))


def layer_differences(base: Model, layer: int, other: Model, other_layer: int) -> tuple[Difference, ...]:
    """Compare a layer with one of another model, or of the same one, as `stats` does in the raw space.

    Raises:
        Unsupported: a model without weights.
    """
    pair = _Pair(base, other, "raw", False, 0, 0, (base.loaded, other.loaded))
    return tuple(_layer(pair, layer, other_layer))


class _Pair(NamedTuple):
    """Two models and the settings of their comparison."""

    base: Model
    other: Model
    space: str
    elementwise: bool
    epsilon: float
    identical: int
    loaded: tuple[int, int]  # leading layers with weights, of each


def _comparison(pair: _Pair, progress: Progress | None) -> Comparison:
    network = pair.base.network
    differences: list[Difference] = []
    for i, j in aligned(pair.base, pair.other, pair.identical):
        differences += _layer(pair, i, j)
        if progress:
            progress(network.layers[i].size if i >= 0 else 0)
    return Comparison(
        label(pair.base),
        label(pair.other),
        pair.space,
        len(network.layers),
        tuple(head.index for head in network.heads),
        _stages(network),
        pair.identical,
        tuple(differences),
        _verdict(network, pair.identical, differences),
    )


def _stages(network: Network) -> tuple[int, ...]:
    """The layers that halve the resolution."""
    return tuple(
        layer.index
        for layer in network.layers
        if layer.kind.reads_previous
        and layer.onward.is_image
        and layer.onward.w < layer.x.w
        and round(layer.x.w / layer.onward.w) == 2
    )


def _layer(pair: _Pair, i: int, j: int) -> Iterator[Difference]:
    """The differences between layer i of the base and layer j of the other; either may be missing."""
    here = pair.base.network.layers[i] if i >= 0 else pair.other.network.layers[j]
    absent = _absent(pair, i, j)
    if absent:
        for name in quantity_names(here, pair.space):
            yield Difference(i, j, here.kind.name, name, None, None, skipped=absent)
        return
    ours = quantities_of(pair.base, i, pair.space, pair.epsilon)
    theirs = quantities_of(pair.other, j, pair.space, pair.epsilon)
    for name in ours | theirs:
        blank = Difference(i, j, here.kind.name, name, None, None)
        if name not in ours or name not in theirs:
            yield replace(blank, skipped=f"not in {label(pair.other if name in ours else pair.base)}")
        elif ours[name].values.shape != theirs[name].values.shape:
            yield replace(blank, skipped=_shapes(pair, i, j, ours[name], theirs[name]))
        else:
            yield _measured(blank, ours[name], theirs[name], pair)


def _absent(pair: _Pair, i: int, j: int) -> str:
    """Explain why a layer cannot be compared, or "" if it can."""
    for model, index, loaded in zip((pair.base, pair.other), (i, j), pair.loaded, strict=True):
        if index < 0:
            return f"no such layer in {label(model)}"
        if index >= loaded:
            return f"the weights of {label(model)} end before it"
    return ""


def _shapes(pair: _Pair, i: int, j: int, a: Operand, b: Operand) -> str:
    """Describe how shapes differ, with the class counts where these are the reason."""
    both = " against ".join("x".join(map(str, x.values.shape)) for x in (a, b))
    heads = [model.network.layers[at + 1 : at + 2] for model, at in ((pair.base, i), (pair.other, j))]
    classes = [head[0].classes if head and head[0].kind.is_head else 0 for head in heads]
    return both + (f" ({classes[0]} classes against {classes[1]})" if all(classes) and len(set(classes)) > 1 else "")


def _measured(blank: Difference, a: Operand, b: Operand, pair: _Pair) -> Difference:
    single, clipped = elementwise_ratios(a, b) if pair.elementwise else (None, None)
    if blank.layer < pair.identical or _same(a, b):
        zero = spread_of(np.zeros(a.rows))
        return replace(blank, relative=0.0, filters=zero, elementwise=single, clipped=clipped, cosine=1.0)
    found = distance(a, b)
    if not found.is_finite:
        return replace(blank, skipped="NaN or infinite values")
    return replace(
        blank,
        relative=found.relative,
        filters=per_filter(found, one_value=a.values.ndim == 1),
        elementwise=single,
        clipped=clipped,
        cosine=found.cosine,
    )


def _same(a: Operand, b: Operand) -> bool:
    if not same_bits(a.values, b.values):
        return False
    if a.factors is None or b.factors is None:
        return a.factors is b.factors
    return same_bits(a.factors, b.factors)


def _verdict(network: Network, identical: int, differences: Sequence[Difference]) -> str:
    if identical == len(network.layers) and not any(d.layer < 0 for d in differences):
        return f"all {identical} layers are bit-identical"
    parts = [f"bit-identical up to layer {identical - 1} (k={identical})" if identical else "no layer is bit-identical"]
    kernels = [d for d in differences if d.quantity.endswith("weights") and d.relative is not None]
    if len(kernels) > 1:
        before, after = max(pairwise(kernels), key=lambda pair: _rise(*pair))
        if _rise(before, after) > 0:
            parts.append(
                f"largest jump at layer {after.layer} [{after.kind}], whose weights differ by {after.relative:.3g} "
                f"of their norm, those of layer {before.layer} by {before.relative:.3g}"
            )
    cosines = [d.cosine for d in kernels if d.cosine is not None]
    if cosines and (mean := sum(cosines) / len(cosines)) < UNRELATED:
        parts.append(f"the kernels have nothing in common (mean cosine {mean:.2f}), so it is not a retrained base")
    skipped = sorted({d.layer if d.layer >= 0 else d.other_layer for d in differences if d.skipped})
    if skipped:
        parts.append(f"not compared: {len(skipped)} layers")
    return "; ".join(parts)


def _rise(before: Difference, after: Difference) -> float:
    low, high = (min(d.relative or 0.0, sys.float_info.max) for d in (before, after))
    return high - low
