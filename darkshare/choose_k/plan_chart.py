"""Figure of a plan: loss over cost of all plans on the front, and the k of each task along it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._figures import COLOURS, GREY, Look, drawable, write_figure
from darkshare.choose_k.budgets import UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from darkshare.choose_k.plans import Plan

MARKERS = "os^vDP"
ROWS = 7  # of a legend
MOST_NAMED = 4  # tasks in the legend's line
MOST_BARS = 60  # plans whose spread is drawn


def plot_plan(plan: Plan, path: Path | str, **look: Unpack[Look]) -> None:
    """Draw a plan into a file; see `Plan.plot`."""
    write_figure(path, lambda: _figure(plan), **look)


def _figure(plan: Plan) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.5), layout="constrained")
    panels: Any = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    scale = 100 if plan.unit == "flops" else 1
    costs = [scale * one.cost for one in plan.front]
    _draw_front(panels[0], plan, costs, scale)
    _draw_cuts(panels[1], plan, costs)
    for axes in panels:
        axes.axvline(scale * plan.chosen.cost, color="black", linewidth=0.8, zorder=0.5)
        if plan.budget is not None:
            axes.axvline(scale * plan.budget, color=GREY, linewidth=1.2, linestyle="--", label="budget")
        axes.grid(color="#D0D0D0", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelbottom=True)
        columns = 1 + len(axes.get_legend_handles_labels()[1]) // ROWS
        axes.legend(fontsize="small", frameon=False, loc="best", ncols=columns)
    panels[1].set_xlabel(f"cost of base and tasks together, {UNITS[plan.unit]}")
    return figure


def _draw_front(axes: Axes, plan: Plan, costs: list[float], scale: float) -> None:
    """Steps, since a budget between two plans buys the cheaper one; spread where all seeds tell it."""
    losses = [one.loss for one in plan.front]
    label = f"Pareto front, {len(costs)} {'plan' if len(costs) == 1 else 'plans'}"
    axes.step(costs, losses, where="post", color=COLOURS[0], linewidth=1.2)
    axes.plot(costs, losses, "o", color=COLOURS[0], markersize=4.5, label=label)
    known = [(x, one.loss, one.deviation) for x, one in zip(costs, plan.front, strict=True) if one.deviation]
    if known and len(costs) <= MOST_BARS:
        xs, ys, spreads = zip(*known, strict=True)
        axes.errorbar(xs, ys, spreads, fmt="none", ecolor=COLOURS[0], elinewidth=0.8, capsize=2, label="± over seeds")
    at = scale * plan.chosen.cost, plan.chosen.loss
    axes.plot(*at, "o", markersize=15, fillstyle="none", color="black", label=f"the plan: {_cuts(plan)}")
    axes.set_ylabel("mAP that all tasks lose, points")


def _cuts(plan: Plan) -> str:
    """The chosen cuts in a line of the legend; of many tasks, the first ones."""
    few = [f"{drawable(one.task)} {one.label}" for one in plan.chosen.cuts[:MOST_NAMED]]
    return ", ".join(few + ["…"] * (len(plan.chosen.cuts) > MOST_NAMED))


def _draw_cuts(axes: Axes, plan: Plan, costs: list[float]) -> None:
    """The k of each task in every plan on the front."""
    for place, one in enumerate(plan.chosen.cuts):
        ks = [point.cuts[place].k for point in plan.front]
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        axes.step(costs, ks, where="post", color=colour, linewidth=1)
        axes.plot(costs, ks, marker, color=colour, markersize=4.5, label=drawable(one.task))
    axes.set_ylabel("k, layers shared")
