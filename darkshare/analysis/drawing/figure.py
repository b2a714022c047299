"""A drawing as a picture or PDF, by matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darkshare._figures import drawable, rendered
from darkshare.analysis.drawing.sheet import PAINTS, Caption, Dot, Shape, Sheet, Slab

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

PX = 72 / 96  # of a CSS pixel, in points


def figure_bytes(sheet: Sheet, form: str) -> bytes:
    """The drawing as a file of one of the formats of `_figures`, on white."""
    return rendered(lambda: _figure(sheet), form)


def _figure(sheet: Sheet) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(sheet.width / 96, sheet.height / 96))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, sheet.width), ylim=(sheet.height, 0))
    axes.axis("off")
    for shape in (*sheet.bands, *sheet.behind, *(shape for one in sheet.layers for shape in one.shapes)):
        axes.add_artist(_artist(shape))
    return figure


def _artist(shape: Shape) -> Artist:
    from matplotlib.patches import Circle, PathPatch, Rectangle
    from matplotlib.path import Path
    from matplotlib.text import Text

    colour = PAINTS[shape.paint][0]
    if isinstance(shape, Slab):
        how: dict[str, Any] = {"facecolor": colour, "linewidth": 0}
        if shape.is_hollow:
            how = {"facecolor": "none", "edgecolor": colour, "linewidth": PX, "linestyle": (0, (3, 2))}
        return Rectangle((shape.x, shape.y), shape.w, shape.h, **how)
    if isinstance(shape, Dot):
        return Circle((shape.x, shape.y), shape.r, facecolor=colour, linewidth=0)
    if isinstance(shape, Caption):
        anchor = {"start": "left", "middle": "center", "end": "right"}[shape.anchor]
        weight = "bold" if shape.is_bold else "normal"
        return Text(
            shape.x, shape.y, drawable(shape.text), color=colour, fontsize=shape.size * PX, ha=anchor, weight=weight,
            va="baseline",
        )  # fmt: skip
    points = [shape.start, *(point for step in shape.steps for point in step)]
    codes = [Path.MOVETO, *(Path.LINETO if len(step) == 1 else Path.CURVE4 for step in shape.steps for _ in step)]
    return PathPatch(Path(points, codes), facecolor="none", edgecolor=colour, linewidth=shape.width * PX)
