"""Compare the first layers of two models: same structure, same bits, and if not, a diagnosis.

Every command that needs a shared trunk uses these functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._tables import ranges
from darkshare.analysis.tensor_distance import Operand, distance, filters, ratio
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network, resized, resolve
from darkshare.darknet.weights import Run, StoredFloats, chunks
from darkshare.errors import DarkshareError, TrunkMismatch, Unsupported

UNRELATED = 0.3  # mean cosine of kernels; pairs with a common ancestor have 0.85 and more, others about 0
DECAYED = 0.05  # how far a kernel may be from a scaled copy, as a part of how much it shrank


class Moved(NamedTuple):
    """One tensor of the trunk that is not the base's.

    Attributes:
        relative: ||b - a|| / ||a||, or infinity where a is zero.
        cosine: between a and b as vectors.
        scale: the s for which s*a is nearest to b.
        residual: ||b - s*a|| / ||a||.
    """

    layer: int
    kind: str
    tensor: str
    relative: float
    cosine: float
    scale: float
    residual: float

    @property
    def is_kernel(self) -> bool:
        return self.tensor.endswith("weights")

    @property
    def is_statistic(self) -> bool:
        return self.tensor.endswith(("rolling_mean", "rolling_variance"))


def label(model: Model) -> str:
    """The name of a model in tables: the stem of its weights file, since models can share a cfg."""
    return Path((model.weights and model.weights.path) or model.name).stem


def require_weights(model: Model) -> None:
    """Refuse a model without weights.

    Raises:
        Unsupported: there are none.
    """
    if model.weights is None:
        raise Unsupported(f"{model.name}: has no weights file; give one behind the cfg")


def with_input_of(base: Model, other: Model) -> Model:
    """The other model with the base's input size, where that changes none of its tensors; else as it is.

    Models of one trunk are often run at different sizes, and their weights are the same for all.
    """
    size = base.network.input
    if (other.network.input.w, other.network.input.h) == (size.w, size.h):
        return other
    try:
        cfg = resized(other.network.cfg, size.w, size.h)
        network = resolve(cfg, dialect=other.network.dialect)
    except DarkshareError:
        return other
    same = [x.tensors for x in network.layers] == [x.tensors for x in other.network.layers]
    return replace(other, network=network) if same else other


def structure_difference(a: Network, b: Network, k: int) -> tuple[int, str] | None:
    """Find the first of the layers 0..k-1 that computes something else, and why; None if there is none."""
    for index in range(k):
        if index >= min(len(a.layers), len(b.layers)):
            shorter = a if len(a.layers) < len(b.layers) else b
            return index, f"{shorter.name} has only {len(shorter.layers)} layers"
        difference = layer_difference(a.layers[index], b.layers[index])
        if difference:
            return index, difference
    return None


def layer_difference(a: Layer, b: Layer) -> str | None:
    """Explain why two layers compute different things, weights aside; None if they compute the same."""
    found = a.kind.differences(b.kind)
    if not found and a.sources != b.sources:
        found = [f"reads layers {list(a.sources)} against {list(b.sources)}"]
    if not found and (a.y != b.y or (a.kind.reads_previous and a.x != b.x)):
        found = [f"{a.x} -> {a.y} against {b.x} -> {b.y}"]
    if not found and a.tensors != b.tensors:
        found = ["other tensors are stored"]
    return ", ".join(found) or None


def common_structure(a: Network, b: Network) -> int:
    """Count the leading layers that compute the same, weights aside."""
    limit = min(len(a.layers), len(b.layers))
    found = structure_difference(a, b, limit)
    return limit if found is None else found[0]


def identical_layers(a: Model, b: Model) -> int:
    """Count the leading layers that are equal in structure and, where both have weights, in every bit."""
    limit = common_structure(a.network, b.network)
    if a.weights is None or b.weights is None:
        return limit
    limit = min(limit, a.loaded, b.loaded)
    moved = (i for i in range(limit) if any(not same_bits(x, y) for _, x, y in _pairs(a, b, i)))
    return next(moved, limit)


def moved_tensors(a: Model, b: Model, k: int, *, start: int = 0) -> list[Moved]:
    """Every tensor of layers start..k-1 whose bits differ. The structure must be the same up to k."""
    return [
        _moved(a.network.layers[index], name, x, y)
        for index in range(start, k)
        for name, x, y in _pairs(a, b, index)
        if not same_bits(x, y)
    ]


def _pairs(a: Model, b: Model, index: int) -> Iterable[tuple[str, Run, Run]]:
    if not a.network.layers[index].tensors:
        return
    left, right = a.stored_tensors(index), b.stored_tensors(index)
    for name, x in left.items():
        yield name, x, right[name]


def same_bits(x: NDArray[Any] | StoredFloats, y: NDArray[Any] | StoredFloats) -> bool:
    """Bit for bit, so that NaN equals itself and 0 differs from -0; stops at the first piece that differs."""
    pieces = zip(*(chunks([one.reshape(-1)]) for one in (x, y)), strict=True)
    return all(np.array_equal(left.view(np.uint32), right.view(np.uint32)) for left, right in pieces)


def _moved(layer: Layer, name: str, x: Run, y: Run) -> Moved:
    found = distance(Operand(x), Operand(y), exact=True)
    base = float(found.base.sum())
    scale = found.product / base if base else 1.0
    rest = distance(Operand(x, np.full(filters(x.shape), scale)), Operand(y)).moved
    cosine = found.cosine
    return Moved(
        layer.index,
        layer.kind.name,
        name,
        relative=found.relative,
        cosine=float(base == found.other) if cosine is None else cosine,
        scale=scale,
        residual=ratio(float(rest.sum()) ** 0.5, base**0.5),
    )


def diagnose(moved: Sequence[Moved], last: int | None = None) -> str:
    """Name the most likely cause of the moved tensors of a trunk, and the cure.

    Darknet's training leaves these traces: pjreddie's applies weight decay to all layers and goes on averaging in
    batch norm, whatever `stopbackward` says; AlexeyAB's and hank-ai's freeze the layers before the one with
    `stopbackward=1`, not that one.

    Args:
        moved: the tensors, at least one.
        last: the last layer of the trunk that stores something, if others before it do too.
    """
    if {m.layer for m in moved} == {last}:
        return _diagnose_last(moved, last)
    kernels = [m for m in moved if m.is_kernel]
    rest = [m for m in moved if not m.is_kernel and not m.is_statistic]
    drifted = any(m.is_statistic for m in moved)
    if not kernels and not rest:
        return (
            "kernels, biases and scales are the base's and only rolling statistics drifted: the trunk was frozen, "
            "but batch norm went on averaging; the base's own trunk is the likely cure, "
            "but measure it, single scores change a lot"
        )
    if all(map(leaked, moved)):
        least = min(m.scale for m in kernels)
        return (
            f"biases and scales are the base's and every kernel shrank by one factor (down to {least:.4f})"
            f"{', and rolling statistics drifted' if drifted else ''}: weight decay in layers without a "
            "gradient, as in a trunk that was meant to be frozen; the base's own trunk is the likely cure, "
            "but measure it"
        )
    related = [m.cosine for m in kernels if np.isfinite(m.cosine)]
    if related and float(np.mean(related)) < UNRELATED:
        return (
            "the kernels have nothing in common: another model altogether, not one retrained from this base; "
            "merging on the base's trunk would be noise"
        )
    return (
        "the trunk was trained too: retrain from layer k with the base's trunk, because a model that was "
        "fine-tuned end to end performs very badly on another trunk"
    )


def _diagnose_last(moved: Sequence[Moved], last: int | None) -> str:
    if all(map(leaked, moved)):
        return (
            f"only layer {last} moved, the last of the trunk, and without being trained (weight decay, rolling "
            "statistics): it carried stopbackward=1, and Darknet freezes the layers before that one only; "
            f"k={last} is shared exactly, and stopbackward=1 belongs on a layer without weights behind the trunk, "
            "such as a [route] to its last layer"
        )
    return f"only layer {last} was trained, the last of the trunk: the models share k={last}"


def leaked(m: Moved) -> bool:
    """Whether a tensor moved as it does in a layer that Darknet freezes: by weight decay, or as a statistic."""
    return m.is_statistic or (m.is_kernel and _shrank(m))


def _shrank(m: Moved) -> bool:
    return 0 < m.scale < 1 and m.residual <= DECAYED * (1 - m.scale)


def last_stored(network: Network, k: int) -> int | None:
    """The last of the layers 0..k-1 that stores something, if it is not the only one."""
    stored = [layer.index for layer in network.layers[:k] if layer.tensors]
    return stored[-1] if len(stored) > 1 else None


def require_same_structure(base: Network, other: Network, k: int) -> None:
    """Refuse networks that compute different things below k.

    Raises:
        TrunkMismatch: with the first difference and its line.
    """
    found = structure_difference(base, other, k)
    if found is None:
        return
    index, why = found
    line = other.layers[index].section.lineno if index < len(other.layers) else None
    raise TrunkMismatch(
        f"layer {index} is not the base's ({base.name}): {why}; k={k} needs layers 0..{k - 1} to be the same, "
        f"so use {f'k<={index}' if index else 'another base'}",
        file=other.name,
        line=line,
    )


def require_same_trunk(base: Model, other: Model, k: int) -> None:
    """Refuse a trunk that is not the base's, bit for bit.

    Raises:
        TrunkMismatch: the layers, the tensors, the largest relative difference, the likely cause and cure.
    """
    moved = moved_tensors(base, other, k)
    if moved:
        file = other.weights.path if other.weights else other.name
        cause = diagnose(moved, last_stored(base.network, k))
        raise TrunkMismatch(f"{describe(moved, base, k)}; {cause}", file=file)


def describe(moved: Sequence[Moved], base: Model, k: int) -> str:
    """Describe in one line which layers and tensors of the trunk moved, and how far."""
    total = sum(len(layer.tensors) for layer in base.network.layers[:k])
    worst = max(moved, key=lambda m: m.relative)
    names = sorted({m.tensor.rpartition(".")[2] for m in moved})
    return (
        f"layers 0..{k - 1} are not the base's: {len(moved)} of {total} tensors differ ({', '.join(names)} "
        f"in layers {ranges(sorted({m.layer for m in moved}))}), most in layer {worst.layer} [{worst.kind}] "
        f"'{worst.tensor}', by {worst.relative:.3g} of its norm"
    )
