"""mAP over k with every seed, above what a further network saves: the trade-off in Figure 5 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._figures import COLOURS, GREY, Look, rendered, write_figure
from darkshare.choose_k.results import Choice
from darkshare.choose_k.trials import TrialResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack


def plot_sweep(results: Sequence[TrialResult], found: Sequence[Choice], path: Path | str, **look: Unpack[Look]) -> None:
    """Draw at least one result of a sweep into a file; see `Sweep.plot`."""
    write_figure(path, lambda: _figure(results, found), **look)


def sweep_svg(results: Sequence[TrialResult], found: Sequence[Choice]) -> str:
    """The figure of `plot_sweep` as text for a page."""
    return rendered(lambda: _figure(results, found), "svg", **{"svg.fonttype": "none"}).decode()


def _figure(results: Sequence[TrialResult], found: Sequence[Choice]) -> Figure:
    from matplotlib.figure import Figure

    has_coco = any(one.coco_ap is not None for one in found)
    heights = (3, 2, 2) if has_coco else (3, 2)
    figure = Figure(figsize=(8, 1.3 * sum(heights)), layout="constrained")
    panels: Any = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    _draw_scores(panels[0], results, found, "map", COLOURS[0])
    _ring_pareto(panels[0], found)
    counts = sorted({one.seeds for one in found})
    seeds = "one seed" if counts == [1] else f"{'..'.join(map(str, counts))} seeds"
    panels[0].set_ylabel("mAP, %")
    figure.suptitle(f"mAP on the validation pictures (top: Darknet's rule, IoU > 0.50), {seeds}", wrap=True)
    if has_coco:
        _draw_scores(panels[1], results, found, "coco_ap", COLOURS[1])
        panels[1].set_ylabel("COCO's AP, %\n(IoU 0.50 to 0.95)")
    _draw_savings(panels[-1], found)
    for axes in panels:
        axes.grid(color="#D0D0D0", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelbottom=True)
    panels[-1].set_xticks([one.k for one in found])
    last = max(found[-1].k, 1)
    panels[-1].set_xlim(min(found[0].k, 0) - 0.06 * last, 1.12 * last)  # room for the numbers
    return figure


def _draw_scores(axes: Axes, results: Sequence[TrialResult], found: Sequence[Choice], score: str, colour: str) -> None:
    """The means as a line with their numbers, every seed as a circle, and a dotted line at the mean of k=0."""
    known = [(one.k, 100 * getattr(one, score)) for one in found if getattr(one, score) is not None]
    single = [(one.k, 100 * getattr(one, score)) for one in results if getattr(one, score) is not None]
    axes.plot(*zip(*known, strict=True), color=colour, marker="_", markersize=14, mew=2, linewidth=1.2, label="mean")
    axes.plot(*zip(*single, strict=True), "o", color=colour, markersize=4.5, fillstyle="none", label="one seed")
    if known[0][0] == 0:
        axes.axhline(known[0][1], color=GREY, linewidth=1, linestyle=":", label="mean of k=0, trained end to end")
    for k, value in known:
        _number(axes, k, value)
    axes.legend(fontsize="small", frameon=False, loc="best")


def _number(axes: Axes, x: float, y: float) -> None:
    axes.annotate(
        f"{y:.1f}",
        (x, y),
        xytext=(13, 4),
        textcoords="offset points",
        fontsize="small",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def _ring_pareto(axes: Axes, found: Sequence[Choice]) -> None:
    best = [one for one in found if one.pareto]
    points = [one.k for one in best], [100 * one.map for one in best]
    label = "Pareto: no larger k has such a mean"
    axes.plot(*points, "o", markersize=17, fillstyle="none", color="black", label=label)
    axes.legend(fontsize="small", frameon=False, loc="best")


def _draw_savings(axes: Axes, found: Sequence[Choice]) -> None:
    from matplotlib.ticker import PercentFormatter

    ks = [one.k for one in found]
    axes.plot(ks, [one.flops for one in found], "-^", color=COLOURS[2], label="FLOPs")
    axes.plot(ks, [one.weights for one in found], "--v", color=GREY, label="weights")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="k, the number of shared layers (0: trained end to end)", ylabel="saved of a further network")
    axes.set_ylim(0, 1)
    axes.legend(fontsize="small", frameon=False, loc="best")
