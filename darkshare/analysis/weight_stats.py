"""The weights of one model, layer by layer: norms, ranges, zeros, dead filters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from darkshare._tables import Results
from darkshare.analysis.boxplot import Spread, spread_of
from darkshare.analysis.columns import SPREAD, Column, filled, rows_of, shown_columns, spread
from darkshare.analysis.layer_tensors import quantities_of, quantity_names, require_space
from darkshare.analysis.tensor_distance import FLOOR, Doubles, Operand, row_products
from darkshare.analysis.trunk import label, require_weights
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
        broken: how many values are NaN or infinite; all else is computed from the others.
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


# Every column of `stats` for one model, in its order; see `differences.COLUMNS`.
COLUMNS = (
    Column("layer", "its index"),
    Column("kind", "the section's name"),
    Column("quantity", "the tensor; `wf.weights` is that of a sublayer"),
    Column("count", "values"),
    Column("norm", "root of the sum of their squares"),
    Column("minimum", "the smallest value"),
    Column(
        "filter_q1", "quartile of the filters' norms; of one value per filter, of the values", spread("filters", "q1")
    ),
    Column("filter_median", "their median", spread("filters", "median")),
    Column("filter_q3", "their upper quartile", spread("filters", "q3")),
    Column("maximum", "the largest value"),
    Column("zeros", "share of values that are exactly 0"),
    Column("dead", "filters that, with batch norm folded in, are less than a thousandth of the layer's median"),
    Column("broken", "values that are NaN or infinite; all else is computed from the others", shown=filled("broken")),
    *(
        Column(f"filter_{name}", f"{name} of the filters' norms", spread("filters", name), shown=False)
        for name in SPREAD
        if name not in ("q1", "median", "q3")
    ),
)


@dataclass(frozen=True, repr=False)
class WeightStats(Results[Distribution]):
    """The weights of one model; a sequence with one `Distribution` for each quantity of each layer.

    Attributes:
        model: its label, the stem of its file.
    """

    model: str

    def rows(self) -> list[dict[str, Any]]:
        return rows_of(COLUMNS, self)

    def table(self) -> list[dict[str, Any]]:
        rows = self.rows()
        names = shown_columns(COLUMNS, rows)
        return [{name: row[name] for name in names} for row in rows]

    def notes(self) -> list[str]:
        """One line on the whole model."""
        count, zeros = sum(one.count for one in self), sum(one.zeros * one.count for one in self)
        filters = sum(one.filters.count for one in self if one.filters and one.dead is not None)
        dead = {one.layer: one.dead for one in self if one.dead}
        places = f" (layers {', '.join(map(str, dead))})" if dead else ""
        broken = sum(one.broken for one in self)
        text = f"{count:,} values, {100 * zeros / max(1, count):.3g} % of them 0"
        text += f"; dead filters: {sum(dead.values())} of {filters:,}"
        return [text + places + (f"; {broken} values are NaN or infinite" if broken else "")]

    def summary(self) -> str:
        return f"{self.model}: {self.notes()[0]}"


def describe_weights(model: Model, *, space: str = "raw", bn_epsilon: float = 1e-5) -> WeightStats:
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
    found = [
        one
        for index in range(model.loaded)
        if quantity_names(model.network.layers[index], space)
        for one in _layer(model, index, space, bn_epsilon)
    ]
    return WeightStats(tuple(found), label(model))


def _layer(model: Model, index: int, space: str, epsilon: float) -> Iterator[Distribution]:
    kind = model.network.layers[index].kind.name
    folded = quantities_of(model, index, "folded", epsilon) if space == "raw" else {}
    for name, operand in quantities_of(model, index, space, epsilon).items():
        yield _described(index, kind, name, operand, folded.get(name))


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
    """Count the filters that give a constant, or nearly; their batch norm can be the reason."""
    if folded is not None and folded.factors is not None:
        norms = norms * np.abs(np.nan_to_num(folded.factors))
    return int((norms <= FLOOR * np.median(norms)).sum())
