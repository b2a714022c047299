"""Whether a trunk was really frozen, and if not, what moved in it and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from darkshare.analysis.trunk import (
    Moved,
    common_structure,
    describe,
    diagnose,
    identical_layers,
    label,
    last_stored,
    leaked,
    moved_tensors,
    require_same_structure,
    require_weights,
    structure_difference,
    with_input_of,
)
from darkshare.darknet.model import Model
from darkshare.errors import BadValue, WeightsSize


@dataclass(frozen=True)
class Trunk:
    """What two models share.

    Attributes:
        base: the base's label.
        other: the other's.
        k: how many leading layers were asked for; without a question, how many were meant to be frozen by the look
            of what moved in them.
        identical: how many leading layers are equal in structure and every bit.
        moved: the tensors of layers 0..k-1 that moved.
        verdict: the whole in one line.
        diagnosis: what happened and the cure; "" where there is nothing to cure.
    """

    base: str
    other: str
    k: int
    identical: int
    moved: tuple[Moved, ...]
    verdict: str
    diagnosis: str

    @property
    def is_frozen(self) -> bool:
        """Whether layers 0..k-1, and at least one, are identical."""
        return 0 < self.k <= self.identical


def frozen(base: Model, other: Model, k: int | None = None) -> Trunk:
    """Compare the first k layers of two models bit for bit, at the input size of the base.

    Args:
        base: whose trunk it is.
        other: what was trained from it.
        k: how many layers; without it, the longest identical run, or the longest run that only leaked: kernels
            that shrank by weight decay and rolling statistics that drifted.

    Raises:
        BadValue: k is not 1..n.
        TrunkMismatch: a layer below k computes something else.
        WeightsSize: a partial file that ends before layer k-1.
        DarkshareError: a model without weights.
    """
    for model in (base, other):
        require_weights(model)
    other = with_input_of(base, other)
    identical = identical_layers(base, other)
    if k is None:
        meant = max(identical, _leaked_layers(base, other, identical))
    else:
        _require_comparable(base, other, k)
        meant = k
    moved = tuple(moved_tensors(base, other, meant)) if meant > identical else ()
    evidence = moved or _evidence(base, other, meant)
    diagnosis = diagnose(evidence, last_stored(base.network, meant)) if evidence else ""
    verdict = describe(moved, base, meant) if moved else _shared(base, other, identical)
    return Trunk(label(base), label(other), meant, identical, moved, verdict, diagnosis)


def to_rows(trunks: Sequence[Trunk]) -> list[dict[str, Any]]:
    """The tensors that moved, one row for each."""
    return [{"model": trunk.other} | moved._asdict() for trunk in trunks for moved in trunk.moved]


def to_json(trunks: Sequence[Trunk]) -> list[dict[str, Any]]:
    """Each answer with the tensors that moved."""
    return [
        asdict(trunk) | {"frozen": trunk.is_frozen, "moved": [moved._asdict() for moved in trunk.moved]}
        for trunk in trunks
    ]


def _leaked_layers(base: Model, other: Model, start: int) -> int:
    """How many leading layers moved at most as layers do that were meant to be frozen; the first `start` did not."""
    limit = min(common_structure(base.network, other.network), base.loaded, other.loaded)
    for index in range(start, limit):
        if not all(map(leaked, moved_tensors(base, other, index + 1, start=index))):
            return index
    return limit


def _evidence(base: Model, other: Model, k: int) -> Sequence[Moved]:
    """Where no layer is shared: what moved in all that could be."""
    limit = min(common_structure(base.network, other.network), base.loaded, other.loaded)
    return () if k else moved_tensors(base, other, limit)


def _require_comparable(base: Model, other: Model, k: int) -> None:
    count = len(base.network.layers)
    if not 1 <= k <= count:
        raise BadValue(f"k={k} must be 1..{count}", file=base.name)
    require_same_structure(base.network, other.network, k)
    for model in (base, other):
        if model.weights and model.loaded < k:
            raise WeightsSize(f"ends before layer {k - 1}, so it cannot show {k} layers", file=model.weights.path)


def _shared(base: Model, other: Model, identical: int) -> str:
    """What is shared where nothing of it moved, and what ends it."""
    a, b = base.network, other.network
    if identical == len(a.layers) == len(b.layers):
        return f"all {identical} layers are bit-identical"
    found = structure_difference(a, b, identical + 1) if identical < len(a.layers) else None
    if found:
        end = f"layer {identical} is another: {found[1]}"
    elif identical == min(base.loaded, other.loaded):
        end = "there the weights end"
    else:
        end = f"layer {identical} [{a.layers[identical].kind.name}] has other weights"
    shared = f"layers 0..{identical - 1} are bit-identical (k={identical})" if identical else "no layer is shared"
    return f"{shared}; {end}"
