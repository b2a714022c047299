"""Figures: box plots of differences over the layers.

Everything is drawn from stored statistics. `docs/explanation/figures.md` says how to read the figures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from darkshare._figures import COLOURS, GREY, Look, drawable, label_above, legend_columns, rendered, write_figure
from darkshare.analysis.boxplot import Spread
from darkshare.analysis.differences import Comparison, Difference
from darkshare.analysis.savings import cuts_of
from darkshare.errors import DarkshareError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

PANELS = ("biases", "weights")  # above one another, as in the paper's Figures 1-3
TOGETHER = 4  # models that share a panel; more of them get panels of their own
_SLOT, _PER_BOX, _EDGES = 0.105, 0.045, 1.4  # inches: a layer with one box, each further box, beside the axes
_LEAST, _MOST = 7.0, 16.0  # inches, of the whole
_DECADES = 10  # the most that a log axis spans


class BoxPlot(NamedTuple):
    """One box plot in its place: `x` in layers, `reason` for the eye where there are no numbers."""

    x: float
    width: float
    colour: str
    spread: Spread | None
    difference: Difference
    comparison: Comparison

    @property
    def identical(self) -> bool:
        """Whether all of it is zero."""
        return self.spread.maximum == 0 if self.spread else self.difference.relative == 0

    @property
    def title(self) -> str:
        """The text that a pointer over it shows."""
        d, spread = self.difference, self.spread
        found = f"{self.comparison.other}: layer {d.layer} [{d.kind}] {d.quantity}"
        numbers = f"median {spread.median:.3g}, half of them {spread.q1:.3g} to {spread.q3:.3g}" if spread else ""
        return f"{found}: {'identical' if self.identical else numbers}"


class Scale(NamedTuple):
    """The y axis of one panel; on a log axis zeros are drawn in a strip of their own below it."""

    bottom: float
    top: float
    zero: float
    floor: float
    log: bool

    @classmethod
    def of(cls, spreads: Sequence[Spread], *, log: bool) -> Scale:
        """A scale that shows every box, and outliers as far as they leave the boxes room."""
        reach = max((s.high for s in spreads), default=0.0)
        top = min(max((s.maximum for s in spreads), default=0.0), 2 * reach) or 1.0
        if not log:
            return cls(-0.05 * top, 1.08 * top, 0.0, 0.0, log=False)
        seen = [v for s in spreads for v in (s.low, s.q1, s.median) if v > 0]
        least = max(min(seen, default=top / 10), top * 10.0**-_DECADES)
        floor = 10.0 ** math.floor(math.log10(least))
        strip = (top / floor) ** 0.08 if any(s.minimum == 0 for s in spreads) else 1.0
        return cls(floor / strip, top * (top / floor) ** 0.06, floor / strip**0.5, floor, log=True)

    def place(self, value: float) -> float:
        """The y position of a value: zeros in their strip, values outside the axis at its edge."""
        return min(max(value, self.floor), self.top) if value > 0 else self.zero


def plot_differences(
    comparisons: Sequence[Comparison], path: Path | str, *, k: int | Sequence[int] = (), log: bool = False,
    layers: tuple[int, int] | None = None, **look: Unpack[Look],
) -> None:  # fmt: skip
    """Draw box plots of the relative differences per layer, biases above weights; see `Differences.plot`."""
    ks, width = sorted(set(cuts_of(k))), look.get("width")
    write_figure(path, lambda: _differences(comparisons, ks, log=log, width=width, layers=layers)[0], **look)


def differences_svg(comparisons: Sequence[Comparison], *, k: int | Sequence[int] = (), log: bool = False) -> str:
    """The figure of `plot_differences` as text for a page: each box has its numbers as a title and leads to its row."""
    from html import escape

    boxes: list[BoxPlot] = []

    def draw() -> Figure:
        figure, drawn = _differences(comparisons, sorted(set(cuts_of(k))), log=log)
        boxes.extend(drawn)
        return figure

    def linked(found: re.Match[str]) -> str:
        box = boxes[int(found[1])]
        row = row_anchor(comparisons.index(box.comparison), box.difference)
        return f'<g id="box{found[1]}"><title>{escape(box.title)}</title><a href="#{row}">{found[2]}</a></g>'

    svg = rendered(draw, "svg", **{"svg.fonttype": "none"}).decode()
    return re.sub(r'<g id="box(\d+)">(.*?)</g>', linked, svg, flags=re.DOTALL)


def row_anchor(number: int, difference: Difference) -> str:
    """The name of the place in a page where a difference of a comparison, by its number, has its row."""
    return f"row-{number}-{difference.layer}-{difference.other_layer}-{difference.quantity}"


def _differences(
    comparisons: Sequence[Comparison], ks: Sequence[int], *, log: bool, width: float | None = None,
    layers: tuple[int, int] | None = None,
) -> tuple[Figure, list[BoxPlot]]:  # fmt: skip
    from matplotlib.figure import Figure

    base = _common_base(comparisons)
    if wrong := [k for k in ks if not 0 <= k <= base.layers]:
        raise DarkshareError(f"k={wrong[0]} cannot be marked: {base.base} has {base.layers} layers")
    first, last = layers or (0, base.layers - 1)
    if not 0 <= first <= last < base.layers:
        raise DarkshareError(f"layers={first}-{last} must lie in 0-{base.layers - 1}, the layers of {base.base}")
    shown = range(first, last + 1)
    groups = [comparisons[at : at + TOGETHER] for at in range(0, len(comparisons), TOGETHER)]
    if width is None:
        wished = _EDGES + len(shown) * (_SLOT + _PER_BOX * (min(len(comparisons), TOGETHER) - 1))
        width = max(_LEAST, min(wished, _MOST))
    figure = Figure(figsize=(width, 0.6 + 6.2 * len(groups)), layout="constrained")
    rows = figure.subplots(2 * len(groups), 1, sharex=True, squeeze=False)[:, 0]
    boxes: list[BoxPlot] = []
    for at, group in enumerate(groups):
        pair = list(rows[2 * at : 2 * at + 2])
        for axes, quantity in zip(pair, PANELS, strict=True):
            _panel(axes, drawn := list(_boxes(group, quantity, shown)), base, shown, log=log, first=len(boxes))
            axes.set_ylabel(f"{quantity}: relative difference")
            boxes += drawn
        _mark_cuts(pair, [k for k in ks if first <= k <= last + 1], width / len(shown))
        _explain(pair[-1], group, boxes, width - _EDGES)
    where = "batch norm folded in" if base.space == "folded" else "as in the files"
    figure.suptitle(drawable(f"Difference to {base.base}, relative to it, by layer ({where})"), wrap=True)
    return figure, boxes


def _common_base(comparisons: Sequence[Comparison]) -> Comparison:
    bases = {(c.base, c.layers, c.space): c for c in comparisons}
    if len(bases) == 1:
        return comparisons[0]
    if not bases:
        raise DarkshareError("there is nothing to draw: give a base and at least one model to compare with it")
    names = ", ".join(f"{base} ({space})" for base, _, space in bases)
    raise DarkshareError(f"one figure shows one base in one space, not {names}; draw one figure for each")


def _boxes(group: Sequence[Comparison], quantity: str, shown: range) -> Iterator[BoxPlot]:
    """A layer's boxes share its place: side by side by model, and in it by sublayer."""
    room = 0.86 / len(group)
    for at, comparison in enumerate(group):
        found: dict[int, list[Difference]] = {}
        for d in comparison.differences:
            if d.layer in shown and d.quantity.rpartition(".")[2] == quantity:
                found.setdefault(d.layer, []).append(d)
        for layer, differences in found.items():
            step = room / len(differences)
            for n, d in enumerate(differences):
                x = layer - 0.43 + at * room + (n + 0.5) * step
                yield BoxPlot(x, 0.85 * step, COLOURS[at], d.elementwise or d.filters, d, comparison)


def _panel(axes: Axes, boxes: Sequence[BoxPlot], base: Comparison, shown: range, *, log: bool, first: int) -> None:
    scale = Scale.of([box.spread for box in boxes if box.spread], log=log)
    _ground(axes, base, shown, scale)
    moved = [box for box in boxes if box.spread and not box.identical]
    drawn = axes.bxp(
        [_statistics(box.spread, scale) for box in moved if box.spread],
        positions=[box.x for box in moved],
        widths=[box.width for box in moved],
        showfliers=False,
        showcaps=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"linewidth": 0.5},
        medianprops={"color": "black", "linewidth": 1.1, "solid_capstyle": "butt"},
        whiskerprops={"linewidth": 0.8},
    )
    names = [f"box{first + boxes.index(box)}" for box in moved]
    for at, (box, name) in enumerate(zip(moved, names, strict=True)):
        drawn["boxes"][at].set(facecolor=box.colour, edgecolor=box.colour, gid=name)
        drawn["medians"][at].set(gid=f"{name}-median")
        for end in (0, 1):
            drawn["whiskers"][2 * at + end].set(color=box.colour, gid=f"{name}-whisker{end}")
    _mark_single(axes, boxes, scale)


def _statistics(spread: Spread, scale: Scale) -> dict[str, Any]:
    keys = {"whislo": spread.low, "q1": spread.q1, "med": spread.median, "q3": spread.q3, "whishi": spread.high}
    return {key: scale.place(value) for key, value in keys.items()} | {"fliers": []}


def _ground(axes: Axes, base: Comparison, shown: range, scale: Scale) -> None:
    """Draw the background: stages as bands, heads as dotted lines, the strip of the zeros."""
    from matplotlib.ticker import MultipleLocator

    edges = [0, *base.stages, base.layers]
    for begin, end in list(pairwise(edges))[1::2]:
        axes.axvspan(begin - 0.5, end - 0.5, color="#EFEFEF", linewidth=0, zorder=0)
    for head in base.heads:
        axes.axvline(head, color=GREY, linewidth=1, linestyle=":", zorder=0.5)
    if scale.log:
        _log_axis(axes, scale)
    axes.set_ylim(scale.bottom, scale.top)
    axes.set_xlim(shown.start - 0.7, shown.stop - 0.3)
    axes.xaxis.set_major_locator(MultipleLocator(10 if len(shown) > 25 else 1))
    axes.xaxis.set_minor_locator(MultipleLocator(1))
    axes.tick_params(axis="x", which="minor", length=2)
    axes.tick_params(axis="x", labelbottom=True)
    axes.grid(axis="y", color="#D0D0D0", linewidth=0.6)
    axes.set_axisbelow(True)


def _log_axis(axes: Axes, scale: Scale) -> None:
    axes.set_yscale("log")
    decades = range(round(math.log10(scale.floor)), math.floor(math.log10(scale.top)) + 1)
    ticks = [10.0**decade for decade in decades]
    labels = [f"{tick:g}" for tick in ticks]
    if scale.zero < scale.floor:
        axes.axhspan(scale.bottom, scale.floor, color="#D9D9D9", linewidth=0, zorder=0.6)
        ticks, labels = [scale.zero, *ticks], ["0", "", *labels[1:]]  # the lowest decade's would touch the 0
    axes.set_yticks(ticks, labels=labels)
    axes.set_yticks([m * tick for tick in ticks[-len(decades) :] for m in range(2, 10)], minor=True, labels=[])


def _mark_single(axes: Axes, boxes: Sequence[BoxPlot], scale: Scale) -> None:
    """Mark what is not a box: equal layers, the furthest outliers, bases of zero and layers without numbers."""
    top = axes.get_xaxis_transform()
    for box in boxes:
        if box.identical:
            axes.plot(box.x, scale.zero, "s", color=box.colour, markersize=3.2, markeredgewidth=0)
        elif box.difference.relative is None:
            axes.plot(box.x, 0.02, "x", color=GREY, markersize=4, transform=top)
        elif box.spread is None or box.spread.maximum > scale.top:
            axes.plot(box.x, 0.98, "^", color=box.colour, markersize=4, markeredgewidth=0, transform=top)
    for box in boxes:
        spread = box.spread
        if spread and spread.outliers:
            size = 1.5 + math.log10(spread.outliers)
            ends = [v for v in (spread.minimum, spread.maximum) if not spread.low <= v <= spread.high]
            shown = [scale.place(v) for v in ends if v <= scale.top]
            axes.plot([box.x] * len(shown), shown, "o", color=box.colour, markersize=size, fillstyle="none", mew=0.6)


def _mark_cuts(pair: Sequence[Axes], ks: Sequence[int], inches: float) -> None:
    """Lines through both panels; labels above them, one row higher where they would touch."""
    rows: list[float] = []  # where the last label of each row ends, in inches
    for k in ks:
        for axes in pair:
            axes.axvline(k - 0.5, color="black", linewidth=1.2, linestyle="--", zorder=3)
        at = k * inches
        row = next((n for n, end in enumerate(rows) if end < at), len(rows))
        rows[row : row + 1] = [at + 0.55]
        label_above(pair[0], k - 0.5, f"k={k}", row)


def _explain(axes: Axes, group: Sequence[Comparison], boxes: Sequence[BoxPlot], inches: float) -> None:
    """The legend, in as many columns as there is room for."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def mark(marker: str, **how: Any) -> Line2D:
        return Line2D([], [], linestyle="none", marker=marker, color=GREY, markersize=5, **how)

    entries: list[tuple[Any, str]] = [
        (Patch(color=colour), drawable(comparison.other)) for colour, comparison in zip(COLOURS, group, strict=False)
    ]
    optional = [
        (mark("s"), "identical", any(box.identical for box in boxes)),
        (mark("o", fillstyle="none"), "furthest outlier; larger if many", any(_outliers(box) for box in boxes)),
        (mark("^"), "beyond the axis", True),
        (mark("x"), "not comparable", any(box.difference.relative is None for box in boxes)),
        (Line2D([], [], color=GREY, linestyle=":"), "head", bool(group[0].heads)),
        (Patch(color="#E4E4E4"), "bands: stages", bool(group[0].stages)),
    ]
    entries += [(handle, text) for handle, text, wanted in optional if wanted]
    axes.set_xlabel("layer")
    handles, texts = zip(*entries, strict=True)
    legend = axes.legend(
        handles,
        texts,
        loc="upper left",
        bbox_to_anchor=(0, -0.16),
        ncols=legend_columns(texts, inches),
        frameon=False,
        fontsize="small",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _outliers(box: BoxPlot) -> int:
    return box.spread.outliers if box.spread else 0
