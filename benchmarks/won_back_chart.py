"""The figure of `loss_won_back.py`: mAP over the number of shared layers, as in Figure 5 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from places import PLAIN

from darkshare._figures import COLOURS, GREY, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = Mapping[int, Sequence[float]]  # for each k the mAP of each seed, in %
_MARKS = "o^svDPX*"


def plot_ways(found: Mapping[str, Mapping[str, Curve]], path: Path) -> None:
    """Draw a panel for each data set into a file.

    Args:
        found: by data set and way; the plain one has k=0 and the most k.
        path: a .png, .svg or .pdf file.
    """
    write_figure(path, lambda: _figure(found))


def _figure(found: Mapping[str, Mapping[str, Curve]]) -> Figure:
    from matplotlib.figure import Figure

    columns = min(len(found), 3)
    lines = -(-len(found) // columns)
    figure = Figure(figsize=(1 + 4 * columns, 0.6 + 3.4 * lines), layout="constrained")
    panels: Any = figure.subplots(lines, columns, squeeze=False)
    for axes, (name, ways) in zip(panels.flat, found.items(), strict=False):
        _panel(axes, ways)
        axes.set_title(name)
    for axes in panels.flat[len(found) :]:
        axes.set_axis_off()
    for axes in panels[-1]:
        axes.set_xlabel("k, the number of shared layers")
    for axes in panels[:, 0]:
        axes.set_ylabel("mAP on the test pictures, %")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize="small")
    return figure


def _panel(axes: Axes, ways: Mapping[str, Curve]) -> None:
    """The plain curve through the means with a dot for each seed, a dotted line at k=0, marks for the other ways."""
    plain = ways[PLAIN]
    shared = sorted(k for k in plain if k)
    axes.axhline(mean(plain[0]), color=GREY, linewidth=1, linestyle=":", label="k=0, trained end to end")
    axes.plot(
        shared, [mean(plain[k]) for k in shared], color=COLOURS[0], linewidth=1.4, label="shared, retrained behind k"
    )
    axes.plot(*_dots(plain, shared), ".", color=COLOURS[0], markersize=5)
    others = [(name, curve) for name, curve in ways.items() if name != PLAIN and curve]
    for (name, curve), mark, colour in zip(others, _MARKS, (*COLOURS[1:], *COLOURS, GREY), strict=False):
        ks = sorted(curve)
        axes.plot(ks, [mean(curve[k]) for k in ks], mark, color=colour, markersize=7, label=f"with {name}")
    axes.set_xticks(shared)
    axes.set_ylim(bottom=0)
    axes.grid(color="#D0D0D0", linewidth=0.6)
    axes.set_axisbelow(True)


def _dots(curve: Curve, ks: Sequence[int]) -> tuple[list[int], list[float]]:
    return [k for k in ks for _ in curve[k]], [one for k in ks for one in curve[k]]
