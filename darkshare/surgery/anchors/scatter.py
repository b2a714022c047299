"""A figure of box sizes with the anchors among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from darkshare._figures import COLOURS, GREY, Look, drawable, write_figure
from darkshare.surgery.anchors.assignment import HeadAnchors
from darkshare.surgery.anchors.clusters import Sizes, ious

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

_MOST = 20_000  # dots; more of them hide each other
_SPAN = 20  # of the largest size to the smallest, from which on such ticks are at least four


def plot_anchors(
    path: Path | str, sizes: Sizes, shared: Sequence[HeadAnchors], before: Sizes, *, own: str, **look: Unpack[Look]
) -> None:
    """Draw the sizes of boxes, coloured by the head whose anchor fits best, with a title; see `AnchorFit.plot`."""
    write_figure(path, lambda: _scatter(sizes, shared, before, own), **look)


def _scatter(sizes: Sizes, shared: Sequence[HeadAnchors], before: Sizes, title: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    axes = figure.subplots()
    step = -(-len(sizes) // _MOST)
    owners = ious(sizes[::step], np.concatenate([np.array(head.anchors) for head in shared])).argmax(axis=1)
    of_anchor = np.repeat(range(len(shared)), [len(head.anchors) for head in shared])
    for at, head in enumerate(shared):
        colour, own = COLOURS[at % len(COLOURS)], sizes[::step][of_anchor[owners] == at]
        axes.plot(own[:, 0], own[:, 1], ".", color=colour, markersize=3, alpha=0.35, markeredgewidth=0)
        w, h = np.array(head.anchors).T
        label = f"anchors of layer {head.layer}, stride {head.stride:g}"
        axes.plot(w, h, "o", color=colour, markersize=9, markeredgecolor="black", label=label, zorder=3)
    axes.plot(before[:, 0], before[:, 1], "x", color=GREY, markersize=7, label="anchors before", zorder=2)
    axes.set(xscale="log", yscale="log", xlabel="width in pixels of the input", ylabel="height in pixels of the input")
    for axis in (axes.xaxis, axes.yaxis):
        _ticks(axis)
    axes.grid(color="#D0D0D0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", fontsize="small")
    figure.suptitle(drawable(title), wrap=True)
    return figure


def _ticks(axis: Axis) -> None:
    """Ticks at 1, 2 and 5 times powers of ten; at round numbers where the sizes differ too little for several."""
    from matplotlib.ticker import AutoLocator, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > _SPAN * low else AutoLocator())
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")
