"""Figure of what sharing saves over k; `docs/explanation/figures.md` says how to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from darkshare._figures import COLOURS, Look, label_above, rendered, write_figure
from darkshare.analysis.savings import Saving, cuts_of
from darkshare.errors import DarkshareError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack


def plot_savings(
    savings: Sequence[Saving], path: Path | str, *, k: int | Sequence[int] = (), **look: Unpack[Look]
) -> None:
    """Draw which part of a second network is shared at each k into a file; see `Savings.plot`."""
    write_figure(path, _drawing(savings, k), **look)


def savings_svg(savings: Sequence[Saving], *, k: int | Sequence[int] = ()) -> str:
    """The figure of `plot_savings` as text for a page."""
    return rendered(_drawing(savings, k), "svg", **{"svg.fonttype": "none"}).decode()


def _drawing(savings: Sequence[Saving], k: int | Sequence[int]) -> Callable[[], Figure]:
    """Draw them, with these k marked, which must be known."""
    known = {saving.k: saving for saving in savings}
    if not known:
        raise DarkshareError("nothing to draw: the networks have no layer to share")
    marks = sorted(set(cuts_of(k)))
    if unknown := [mark for mark in marks if mark not in known]:
        raise DarkshareError(f"k={unknown[0]} cannot be marked: it is not among the k of {min(known)} to {max(known)}")
    return partial(_savings, known, marks)


def _savings(known: Mapping[int, Saving], marks: Sequence[int]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(max(7.0, 1.4 + 0.085 * max(known)), 4.6), layout="constrained")
    axes = figure.subplots()
    ks = sorted(known)
    ends = [k for k in ks if known[k].block_end]
    for name, label, colour, marker in (("flops", "FLOPs", COLOURS[0], "o"), ("weights", "weights", COLOURS[1], "s")):
        axes.plot(ks, [getattr(known[k], name) for k in ks], color=colour, linewidth=1.6, label=label)
        axes.plot(
            ends,
            [getattr(known[k], name) for k in ends],
            marker,
            color=colour,
            markersize=4,
            label=f"{label}, block end",
        )
    for row, k in enumerate(marks):
        axes.axvline(k, color="black", linewidth=1, linestyle="--", zorder=0.5)
        close = row > 0 and k - marks[row - 1] < 0.07 * max(known)
        label_above(axes, k, f"k={k}", int(close and row % 2 == 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="k, the number of shared layers", ylabel="share of a further network", ylim=(0, 1))
    axes.set_xlim(0, max(known) + 1)
    axes.grid(color="#D0D0D0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", frameon=False)
    return figure
