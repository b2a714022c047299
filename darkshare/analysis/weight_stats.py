"""The weights of one model, layer by layer: norms, ranges, zeros, dead filters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from darkshare.analysis.boxplot import Spread, spread_of
from darkshare.analysis.layer_tensors import give_back, quantities_of, quantity_names, require_space
from darkshare.analysis.tensor_distance import FLOOR, Doubles, Operand, row_products
from darkshare.analysis.trunk import require_weights
from darkshare.darknet.model import Model


@dataclass(frozen=True)
class Distribution:
    """One quantity of one layer.

    Attributes:
        layer: its index.
        kind: the layer's kind.
        quantity: one of QUANTITIES, with the prefix of a recurrent kind's sublayer.
        count: how many values.
        norm: the root of the sum of their squares.
        minimum: the smallest value; None where all are broken.
        maximum: the largest.
        zeros: the share of values that are exactly 0.
        filters: the norms of the filters; of one value per filter, the values.
        dead: kernels only: filters that, with batch norm folded in, are less than a thousandth of the layer's median.
        broken: values that are NaN or infinite; all else speaks of the others.
    """

    layer: int
    kind: str
    quantity: str
    count: int
    norm: float
    minimum: float | None
    maximum: float | None
    zeros: float
    filters: Spread | None
    dead: int | None
    broken: int


def describe_weights(model: Model, *, space: str = "raw", bn_epsilon: float = 1e-5) -> list[Distribution]:
    """Describe every quantity of every layer that stores something.

    Args:
        model: with weights; of a partial file, the layers that it has.
        space: raw, the values of the file; or folded, batch norm put into kernels and biases.
        bn_epsilon: what is added to a variance before its root is taken.

    Raises:
        DarkshareError: no weights, or an unknown space.
    """
    require_space(space)
    require_weights(model)
    return [
        found
        for index in range(model.loaded)
        if quantity_names(model.network.layers[index], space)
        for found in _layer(model, index, space, bn_epsilon)
    ]


_SPREAD = {f"filter_{field.name}": field.name for field in fields(Spread)}


def to_rows(found: Iterable[Distribution]) -> list[dict[str, Any]]:
    """One flat row for each, the numbers of `filters` under their own names."""
    rows = []
    for one in found:
        row = asdict(one)
        del row["filters"]
        rows.append(row | {name: getattr(one.filters, field, None) for name, field in _SPREAD.items()})
    return rows


def summary(found: Sequence[Distribution]) -> str:
    """One line on the whole model."""
    count, zeros = sum(one.count for one in found), sum(one.zeros * one.count for one in found)
    filters = sum(one.filters.count for one in found if one.filters and one.dead is not None)
    dead = {one.layer: one.dead for one in found if one.dead}
    places = f" (layers {', '.join(map(str, dead))})" if dead else ""
    broken = sum(one.broken for one in found)
    text = f"{count:,} values, {100 * zeros / max(1, count):.3g} % of them 0"
    text += f"; dead filters: {sum(dead.values())} of {filters:,}"
    return text + places + (f"; {broken} values are NaN or infinite" if broken else "")


def _layer(model: Model, index: int, space: str, epsilon: float) -> Iterator[Distribution]:
    kind = model.network.layers[index].kind.name
    folded = quantities_of(model, index, "folded", epsilon)
    for name, operand in quantities_of(model, index, space, epsilon).items():
        yield _described(index, kind, name, operand, folded.get(name) if space == "raw" else None)
    give_back(model, index)


def _described(index: int, kind: str, name: str, operand: Operand, folded: Operand | None) -> Distribution:
    sizes, lows, highs, zeros, broken = [], [], [], 0, 0
    for block in operand.blocks():
        fine = np.isfinite(block)
        some = block[fine]
        broken += block.size - some.size
        zeros += some.size - int(np.count_nonzero(some))
        lows.append(float(some.min(initial=math.inf)))
        highs.append(float(some.max(initial=-math.inf)))
        whole = block if some.size == block.size else np.where(fine, block, 0)
        sizes.append(row_products(whole, whole))
    norms = np.sqrt(np.concatenate(sizes))
    count, any_fine = operand.values.size, min(lows) <= max(highs)
    values = operand.product()[np.isfinite(operand.values)] if operand.values.ndim == 1 else norms
    return Distribution(
        index,
        kind,
        name,
        count,
        norm=float(np.linalg.norm(norms)),
        minimum=min(lows) if any_fine else None,
        maximum=max(highs) if any_fine else None,
        zeros=zeros / count,
        filters=spread_of(values) if any_fine else None,
        dead=_dead(norms, folded) if name.endswith("weights") and operand.values.ndim > 1 else None,
        broken=broken,
    )


def _dead(norms: Doubles, folded: Operand | None) -> int:
    """How many filters give a constant, or nearly: their batch norm can be what makes them so."""
    if folded is not None and folded.factors is not None:
        norms = norms * np.abs(np.nan_to_num(folded.factors))
    return int((norms <= FLOOR * np.median(norms)).sum())
