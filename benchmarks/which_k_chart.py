"""The figure of `which_k.py`: regret and tau of each guess, a dot for each pair, the mean and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from darkshare._figures import COLOURS, GREY, write_figure

if TYPE_CHECKING:
    from k_verdicts import Verdict
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_guesses(found: Sequence[Verdict], path: Path, pairs: int) -> None:
    """Draw all guesses into a file, the first on top.

    Args:
        found: the guesses.
        path: a .png, .svg or .pdf file.
        pairs: of data set and base.
    """
    write_figure(path, lambda: _figure(found, pairs))


def _figure(found: Sequence[Verdict], pairs: int) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.4 * len(found)), layout="constrained")
    left, right = axes = figure.subplots(1, 2, sharey=True)
    _panel(left, [(one.regrets, one.regret_between) for one in found], COLOURS[0], f"the mean (pairs: {pairs}), 95 %")
    _panel(right, [(one.taus, one.tau_between) for one in found], COLOURS[0], f"the mean (pairs: {pairs}), 95 %")
    left.set_xlabel("regret, points of mAP (0 is best)")
    right.set_xlabel("Kendall's tau (1 is best)")
    right.set(xlim=(-1.05, 1.05), xticks=(-1, -0.5, 0, 0.5, 1))
    right.axvline(0, color=GREY, linewidth=0.8)
    left.set_yticks(range(len(found)), [one.name for one in found])
    left.invert_yaxis()
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize="small")
    for one in axes:
        one.grid(color="#D0D0D0", linewidth=0.6, axis="x")
        one.set_axisbelow(True)
    return figure


def _panel(axes: Axes, rows: Sequence[tuple[Sequence[float], tuple[float, float]]], colour: str, label: str) -> None:
    """A row of dots for each guess, and its mean within the interval."""
    xs: list[Any] = [x for own, _ in rows for x in own]
    ys = [at + 0.22 for at, (own, _) in enumerate(rows) for _ in own]
    axes.plot(xs, ys, "o", color=GREY, markersize=3.5, alpha=0.6, label="a data set on a base")
    means = [mean(own) for own, _ in rows]
    places = [at - 0.12 for at in range(len(rows))]
    axes.hlines(places, [low for _, (low, _) in rows], [high for _, (_, high) in rows], color=colour, linewidth=1.6)
    axes.plot(means, places, "D", color=colour, markersize=5, label=label)
