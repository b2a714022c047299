"""Bars of a bench: for each engine the separate networks on top of each other, and the merged one beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from darkshare._figures import COLOURS, Look, write_figure
from darkshare.inference.bench.merging import Bench, EngineResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

WIDTH = 0.36  # of a bar; the engines are 1 apart
_MERGED = COLOURS[1]


def plot_bench(found: Bench, path: Path | str, **look: Unpack[Look]) -> None:
    """Draw the median times of a bench as bars into a file; see `Bench.plot`."""
    write_figure(path, lambda: _figure(found), **look)


def _figure(found: Bench) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(5.5, 2.2 + 1.7 * len(found.engines)), 4.4), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(found.engines):
        _bars(axes, place, one, found)
    axes.set_xticks(range(len(found.engines)), [f"{one.engine}\n{one.version}" for one in found.engines])
    axes.set_xlim(-0.6, len(found.engines) - 0.4)
    axes.set_ylabel("time of a pass in ms (median and quartiles)")
    axes.margins(y=0.12)
    axes.grid(axis="y", color="#D0D0D0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{len(found.networks)} networks one after another, and merged ({found.cuts})", wrap=True)
    _legend(figure, found)
    return figure


def _bars(axes: Axes, place: float, one: EngineResult, found: Bench) -> None:
    """Two bars: a stack of the networks' own medians, scaled to the median of the sums, and the merged network."""
    separate, merged = one.separate.spread, one.merged.spread
    left, right = place - 0.52 * WIDTH, place + 0.52 * WIDTH
    bottom = 0.0
    for number, share in enumerate(_shares(one)):
        height = 1000 * separate.median * share
        axes.bar(left, height, WIDTH, bottom, color=_shade(number), edgecolor="white", linewidth=0.8)
        bottom += height
    axes.bar(right, 1000 * merged.median, WIDTH, color=_MERGED)
    for x, spread in ((left, separate), (right, merged)):
        reach = [[1000 * (spread.median - spread.q1)], [1000 * (spread.q3 - spread.median)]]
        axes.errorbar(x, 1000 * spread.median, reach, color="black", linewidth=1, capsize=3)
    ideal = 1000 * separate.median * found.ideal
    axes.plot([right - WIDTH / 2, right + WIDTH / 2], [ideal, ideal], color="black", linewidth=1.4, linestyle=":")
    foot = (right, 0), (0, 5)  # of its own bar, where none of the lines is
    axes.annotate(f"×{one.ratio.median:.2f}", *foot, textcoords="offset points", ha="center", weight="bold")


def _shares(one: EngineResult) -> list[float]:
    """Give the part that each network has in the time of all."""
    sums = [sum(network) for network in zip(*one.separate.seconds, strict=True)]
    return [part / sum(sums) for part in sums]


def _shade(number: int) -> str:
    """Give blues, darker and lighter in turn, so that neighbours in the stack differ without more colours."""
    return (COLOURS[0], "#7FB8DC")[number % 2]


def _legend(figure: Figure, found: Bench) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries = [
        (Patch(color=COLOURS[0]), "separate, one part per network"),
        (Patch(color=_MERGED), "merged, and its share of that time"),
        (Line2D([], [], color="black", linestyle=":"), f"by operations: ×{found.ideal:.2f}"),
    ]
    handles, texts = zip(*entries, strict=True)
    figure.legend(handles, texts, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
