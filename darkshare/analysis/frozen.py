"""Tell whether a trunk was really frozen, and if not, what moved in it and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from darkshare._tables import Results
from darkshare.analysis.savings import cut_of_each
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
from darkshare.errors import BadValue, WeightsSize, checked


@dataclass(frozen=True)
class Trunk:
    """The shared first layers of two models.

    Attributes:
        base: the base's label.
        other: the other's.
        k: how many leading layers were asked for; without that, as many as look frozen by the tensors that moved.
        identical: how many leading layers are equal in structure and every bit.
        moved: the tensors of layers 0..k-1 that moved.
        verdict: the whole in one line.
        diagnosis: what happened and the cure; "" where there is nothing to cure.
    """

    base: str
    other: str
    k: int
    identical: int
    moved: tuple[Moved, ...] = field(repr=False)
    verdict: str
    diagnosis: str

    @property
    def is_frozen(self) -> bool:
        """Whether layers 0..k-1, and at least one, are identical."""
        return 0 < self.k <= self.identical


@dataclass(frozen=True, repr=False)
class Frozen(Results[Trunk]):
    """Whether models share a base's first layers; a sequence with one `Trunk` for each of them."""

    @property
    def is_frozen(self) -> bool:
        """Whether all of them do."""
        return all(one.is_frozen for one in self)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each tensor that moved."""
        return [{"model": one.other} | moved._asdict() for one in self for moved in one.moved]

    def notes(self) -> list[str]:
        return [f"{one.other}: {'; '.join(filter(None, [one.verdict, one.diagnosis]))}" for one in self]

    def as_dict(self) -> dict[str, Any]:
        described = [asdict(one) | {"frozen": one.is_frozen} for one in self]
        for one in described:
            del one["moved"]
        return super().as_dict() | {"frozen": self.is_frozen, "models": described}

    def summary(self) -> str:
        return ", ".join(f"{one.other} {'is' if one.is_frozen else 'is not'} frozen (k={one.k})" for one in self)


@checked
def frozen(base: Model, *others: Model, k: int | Sequence[int] | None = None) -> Frozen:
    """Compare the first k layers of models bit for bit with those of the first one.

    Args:
        base: whose trunk it is.
        others: those that were trained from it, compared at the input size of the base.
        k: how many layers, one number for all or one for each; without it, the longest identical run, or the longest
            run that only leaked: kernels that shrank by weight decay and rolling statistics that drifted.

    Raises:
        BadValue: there is nothing to compare with the base, or k is not 1..n.
        TrunkMismatch: a layer below k computes something else.
        WeightsSize: a partial file that ends before layer k-1.
        DarkshareError: a model without weights.
    """
    if not others:
        raise BadValue("give the model to compare with the first one", file=base.name)
    ks: Sequence[int | None] = cut_of_each(k, len(others)) or [None] * len(others)
    return Frozen(tuple(compare_trunks(base, other, own) for other, own in zip(others, ks, strict=True)))


def compare_trunks(base: Model, other: Model, k: int | None = None) -> Trunk:
    """Compare two models as `frozen` does, and raise what it raises."""
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


def _leaked_layers(base: Model, other: Model, start: int) -> int:
    """Count the leading layers that moved only as frozen ones do; the first `start` did not move."""
    limit = min(common_structure(base.network, other.network), base.loaded, other.loaded)
    for index in range(start, limit):
        if not all(map(leaked, moved_tensors(base, other, index + 1, start=index))):
            return index
    return limit


def _evidence(base: Model, other: Model, k: int) -> Sequence[Moved]:
    """The moved tensors of all comparable layers, where no layer is shared."""
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
    """Describe the shared layers where no tensor moved, and what ends them."""
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
