"""The differences between models: their values, and the columns of their table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._tables import Results
from darkshare.analysis.boxplot import Spread
from darkshare.analysis.columns import SPREAD, Column, filled, rows_of, shown_columns, spread

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from darkshare._figures import Look


@dataclass(frozen=True)
class Difference:
    """One quantity of one layer, against the same of another model.

    Attributes:
        layer: its index in the base; -1 where only the other network has it.
        other_layer: its index in the other network, which differs where these differ in depth; -1 where it has none.
        kind: the layer's kind.
        quantity: one of QUANTITIES; sublayers of recurrent kinds keep their prefix, as in `wf.weights`.
        relative: ||b-a|| / ||a||; infinite where the base is zero and the other is not; None where skipped.
        filters: the same per filter; of one value per filter, |b-a| / max(|a|, floor). None where the base is zero.
        elementwise: |b-a| / max(|a|, floor) of single weights, only if asked for and the base is not zero.
        clipped: the share of these whose base was below the floor.
        cosine: between a and b as vectors, 1 where they are identical; None where one of them is zero.
        skipped: why there are no numbers.
    """

    layer: int
    other_layer: int
    kind: str
    quantity: str
    relative: float | None
    filters: Spread | None
    elementwise: Spread | None = None
    clipped: float | None = None
    cosine: float | None = None
    skipped: str = ""


# Every column of `stats`, in its order. To add one, add a line here and one to the table in docs/how-to/stats.md.
COLUMNS = (
    Column("layer", "index in the base; -1 where only the other network has it", on_page=True),
    Column(
        "other_layer",
        "index in the other network; shown where it differs",
        shown=lambda rows: any(row["layer"] != row["other_layer"] for row in rows),
        on_page=True,
    ),
    Column("kind", "the section's name", on_page=True),
    Column("quantity", "the tensor; `wf.weights` is that of a sublayer", on_page=True),
    Column("relative", "‖other − base‖ / ‖base‖ of the whole tensor", on_page=True),
    Column("cosine", "between both tensors as vectors", shown=False, on_page=True),
    Column("q1", "a quarter of the filters differ by less", spread("filters", "q1"), on_page=True),
    Column("median", "of the same ratio of each filter", spread("filters", "median"), on_page=True),
    Column("q3", "a quarter of the filters differ by more", spread("filters", "q3"), on_page=True),
    Column("low", "lower whisker, at 1.5 interquartile ranges", spread("filters", "low")),
    Column("high", "upper whisker", spread("filters", "high")),
    Column("outliers", "filters beyond the whiskers", spread("filters", "outliers"), on_page=True),
    Column("maximum", "the filter that differs most", spread("filters", "maximum"), on_page=True),
    Column("minimum", "the filter that differs least", spread("filters", "minimum"), shown=False),
    Column("p1", "one filter in a hundred differs by less", spread("filters", "p1"), shown=False),
    Column("p99", "one filter in a hundred differs by more", spread("filters", "p99"), shown=False, on_page=True),
    Column("mean", "over the filters", spread("filters", "mean"), shown=False),
    Column("count", "filters", spread("filters", "count"), shown=False),
    *(
        Column(
            f"elementwise_{name}",
            f"{name} over single weights, with `--elementwise`",
            spread("elementwise", name),
            shown=filled(f"elementwise_{name}") if name in ("median", "p99") else False,
        )
        for name in SPREAD
    ),
    Column("clipped", "share of single weights below the floor", shown=filled("clipped")),
    Column(
        "note",
        "why there are no numbers, or that the base is zero and the ratio infinite",
        lambda d: "the base is zero" if d.relative == math.inf else d.skipped,
        shown=filled("note"),
        on_page=True,
    ),
)


@dataclass(frozen=True)
class Comparison:
    """A base against one other model.

    Attributes:
        base: its label, the stem of its file.
        other: the other's label.
        space: raw as in the file, or folded, with batch norm put into the kernels.
        layers: how many the base has.
        heads: the base's heads.
        stages: its layers that halve the resolution.
        identical: how many leading layers are equal in structure and every bit.
        differences: by layer, in the order of QUANTITIES.
        verdict: the whole in one line.
    """

    base: str
    other: str
    space: str
    layers: int
    heads: tuple[int, ...]
    stages: tuple[int, ...]
    identical: int
    differences: tuple[Difference, ...] = field(repr=False)
    verdict: str

    def rows(self) -> list[dict[str, Any]]:
        """One row for each difference, with all of COLUMNS."""
        return rows_of(COLUMNS, self.differences)


@dataclass(frozen=True, repr=False)
class Differences(Results[Comparison]):
    """A base against other models; a sequence with one `Comparison` for each of them."""

    def rows(self) -> list[dict[str, Any]]:
        return [{"base": one.base, "other": one.other, "space": one.space, **row} for one in self for row in one.rows()]

    def table(self) -> list[dict[str, Any]]:
        rows = self.rows()
        names = [*(["other"] if len(self) > 1 else []), *shown_columns(COLUMNS, rows)]
        return [{name: row[name] for name in names} for row in rows]

    def notes(self) -> list[str]:
        return [f"{one.other}: {one.verdict}" for one in self]

    def as_dict(self) -> dict[str, Any]:
        described = [asdict(replace(one, differences=())) for one in self]
        for one in described:
            del one["differences"]
        return super().as_dict() | {"comparisons": described}

    def summary(self) -> str:
        others = ", ".join(f"{one.other} (k={one.identical})" for one in self)
        return f"{self[0].layers} layers of {self[0].base} against {others}"

    def plot(
        self, path: str | Path, *, k: int | Sequence[int] = (), log: bool = False,
        layers: tuple[int, int] | None = None, **look: Unpack[Look],
    ) -> None:  # fmt: skip
        """Draw box plots per layer, biases above weights, into a .png, .svg or .pdf file.

        Args:
            path: the file; it is replaced as a whole.
            k: cuts to mark; a line at k is drawn between layers k-1 and k.
            log: a logarithmic y axis, with a strip of its own for zeros.
            layers: the first and the last one to show; all without it.
            look: width in inches, font_size in points, title, in place of the figure's own.

        Raises:
            BadValue: a look in which the figure has no room.
            DarkshareError: another suffix, or a k or layers beyond the base's.
        """
        from darkshare.analysis.plots import plot_differences

        plot_differences(self, path, k=k, log=log, layers=layers, **look)

    def write_html(self, path: str | Path, *, k: int | Sequence[int] = ()) -> None:
        """Write one page with the figures and the rows, which opens offline.

        Args:
            path: the .html file; it is replaced as a whole.
            k: cuts to mark in the figures.

        Raises:
            DarkshareError: a k beyond the base's layers, or the file cannot be written.
        """
        from darkshare.analysis.html import write_html

        write_html(self, path, k=k)
