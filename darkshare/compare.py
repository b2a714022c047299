"""Whether two models compute the same thing in their first layers, and if not, what happened to them.

Structure is compared first (what is computed), then bits (with which numbers). The one place for trunk
detection: `concat` and every command that speaks of a shared trunk use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from darkshare.errors import TrunkMismatch
from darkshare.model import Model
from darkshare.network import Layer, Network
from darkshare.weights import Floats, release

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


def structure_difference(a: Network, b: Network, k: int) -> tuple[int, str] | None:
    """The first of the layers 0..k-1 that does not compute the same in both, and why; None if all do."""
    for index in range(k):
        if index >= min(len(a.layers), len(b.layers)):
            shorter = a if len(a.layers) < len(b.layers) else b
            return index, f"{shorter.name} has only {len(shorter.layers)} layers"
        difference = _layer_difference(a.layers[index], b.layers[index])
        if difference:
            return index, difference
    return None


def _layer_difference(a: Layer, b: Layer) -> str | None:
    found = a.kind.differences(b.kind)
    if not found and a.sources != b.sources:
        found = [f"reads layers {list(a.sources)} against {list(b.sources)}"]
    if not found and (a.x, a.y) != (b.x, b.y):
        found = [f"{a.x} -> {a.y} against {b.x} -> {b.y}"]
    if not found and a.tensors != b.tensors:
        found = ["other tensors are stored"]
    return ", ".join(found) or None


def common_structure(a: Network, b: Network) -> int:
    """How many leading layers compute the same, weights aside."""
    limit = min(len(a.layers), len(b.layers))
    found = structure_difference(a, b, limit)
    return limit if found is None else found[0]


def identical_layers(a: Model, b: Model) -> int:
    """How many leading layers are equal in structure and, where both have weights, in every bit."""
    limit = common_structure(a.network, b.network)
    if a.weights is None or b.weights is None:
        return limit
    for index in range(min(limit, a.loaded, b.loaded)):
        if any(not _same_bits(x, y) for _, x, y in _pairs(a, b, index)):
            return index
    return min(limit, a.loaded, b.loaded)


def moved_tensors(a: Model, b: Model, k: int) -> list[Moved]:
    """Every tensor of layers 0..k-1 whose bits differ. The structure must be the same up to k."""
    return [
        _moved(a.network.layers[index], name, x, y)
        for index in range(k)
        for name, x, y in _pairs(a, b, index)
        if not _same_bits(x, y)
    ]


def _pairs(a: Model, b: Model, index: int) -> Iterable[tuple[str, Floats, Floats]]:
    if not a.network.layers[index].tensors:
        return
    left, right = a.tensors(index), b.tensors(index)
    for name, x in left.items():
        yield name, x, right[name]
        release(x)
        release(right[name])


def _same_bits(x: Floats, y: Floats) -> bool:
    """Bit for bit, so that NaN equals itself and 0 differs from -0."""
    return bool(np.array_equal(x.view(np.uint32), y.view(np.uint32)))


def _moved(layer: Layer, name: str, x: Floats, y: Floats) -> Moved:
    a, b = x.ravel().astype(np.float64), y.ravel().astype(np.float64)
    aa, bb, ab = float(a @ a), float(b @ b), float(a @ b)
    scale = ab / aa if aa else 1.0
    base = aa**0.5
    return Moved(
        layer.index,
        layer.kind.name,
        name,
        relative=_ratio(float(np.linalg.norm(b - a)), base),
        cosine=_ratio(ab, (aa * bb) ** 0.5) if aa and bb else float(aa == bb),
        scale=scale,
        residual=_ratio(float(np.linalg.norm(b - scale * a)), base),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else (0.0 if part == 0 else float("inf"))


def diagnose(moved: Sequence[Moved]) -> str:
    """What most likely happened to a trunk whose tensors moved, and the cure.

    The signatures are those of Darknet's training (landscape of freezing: weight decay is applied to all
    layers, and batch norm keeps averaging in training mode, whatever `stopbackward` says).
    """
    kernels = [m for m in moved if m.is_kernel]
    rest = [m for m in moved if not m.is_kernel and not m.is_statistic]
    drifted = any(m.is_statistic for m in moved)
    if not kernels and not rest:
        return (
            "kernels, biases and scales are the base's and only rolling statistics drifted: the trunk was frozen, "
            "but batch norm went on averaging; the base's own trunk is the likely cure (--force), "
            "but measure it, single scores change a lot"
        )
    if kernels and not rest and all(_shrank(m) for m in kernels):
        least = min(m.scale for m in kernels)
        return (
            f"biases and scales are the base's and every kernel shrank by one factor (down to {least:.4f})"
            f"{', and rolling statistics drifted' if drifted else ''}: weight decay in a trunk that was meant to be "
            "frozen; the base's own trunk is the likely cure (--force), but measure it"
        )
    related = [m.cosine for m in kernels if np.isfinite(m.cosine)]
    if related and float(np.mean(related)) < UNRELATED:
        return (
            "the kernels have nothing in common: another model altogether, not one retrained from this base; "
            "merging on the base's trunk would be noise"
        )
    return (
        "the trunk was trained too: retrain from layer k with the base's trunk, because a model that was "
        "fine-tuned end to end performs very badly on another trunk (--force merges all the same)"
    )


def _shrank(m: Moved) -> bool:
    return 0 < m.scale < 1 and m.residual <= DECAYED * (1 - m.scale)


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
        f"so use k<={index}" + ("" if index else ", or another base"),
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
        raise TrunkMismatch(f"{describe(moved, base, k)}; {diagnose(moved)}", file=file)


def describe(moved: Sequence[Moved], base: Model, k: int) -> str:
    """In one line: which layers and tensors of the trunk moved, and how far."""
    total = sum(len(layer.tensors) for layer in base.network.layers[:k])
    worst = max(moved, key=lambda m: m.relative)
    names = sorted({m.tensor.rpartition(".")[2] for m in moved})
    return (
        f"layers 0..{k - 1} are not the base's: {len(moved)} of {total} tensors differ ({', '.join(names)} "
        f"in layers {_ranges(sorted({m.layer for m in moved}))}), most in layer {worst.layer} [{worst.kind}] "
        f"'{worst.tensor}', by {worst.relative:.3g} of its norm"
    )


def _ranges(numbers: Sequence[int]) -> str:
    """`[0, 1, 2, 5]` as `0-2, 5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
