"""A drawing as SVG: one text that stands by itself, with each layer's details as its title."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from darkshare.analysis.drawing.sheet import PAINTS, Caption, Dot, LayerMarks, Shape, Sheet, Slab, Stroke

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif"
Details = Sequence[tuple[str, str]]


def svg_text(sheet: Sheet, details: Sequence[Details] = (), *, attributes: str = 'class="net"') -> str:
    """The drawing as an <svg> element.

    Args:
        sheet: the drawing.
        details: of each layer, by its place, what its title says; no titles without.
        attributes: of the element.
    """
    width, height = _number(sheet.width), _number(sheet.height)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {attributes} {size}>',
        f"<title>{escape(sheet.spoken)}</title>\n<style>\n{_style(sheet)}</style>",
        f'<rect class="f-ground" width="{width}" height="{height}"/>',
        *map(_shape, sheet.bands),
        *map(_shape, sheet.behind),
        *(_layer(one, details[one.place] if details else ()) for one in sheet.layers),
        "</svg>\n",
    ]
    return "\n".join(filter(None, lines))


def _layer(marks: LayerMarks, details: Details) -> str:
    places = f'data-place="{marks.place}" data-lane="{marks.lane}"'
    title = f"<title>{escape(chr(10).join(map(': '.join, details)))}</title>" if details else ""
    return f'<g class="layer" {places}>{title}{_shape(marks.field, "field")}{"".join(map(_shape, marks.shapes))}</g>'


def _style(sheet: Sheet) -> str:
    """The paints that are used, for both schemes, as plain values: some programs know no variables."""
    shapes = [*sheet.bands, *sheet.behind, *(shape for one in sheet.layers for shape in one.shapes)]
    used = {"ground", *(shape.paint for shape in shapes)}

    def rules(scheme: int) -> str:
        return "".join(
            f".net .f-{name}{{fill:{PAINTS[name][scheme]}}}.net .s-{name}{{stroke:{PAINTS[name][scheme]}}}"
            for name in PAINTS
            if name in used
        )

    return (
        f".net text{{font-family:{FONT};white-space:pre}}.net .s{{fill:none}}.net .field{{fill:transparent}}\n"
        f"{rules(0)}\n"
        f"@media screen and (prefers-color-scheme:dark){{{rules(1)}}}\n"
    )


def _shape(shape: Shape, kind: str = "") -> str:
    if isinstance(shape, Slab):
        place = f'x="{_number(shape.x)}" y="{_number(shape.y)}" width="{_number(shape.w)}" height="{_number(shape.h)}"'
        if shape.is_hollow:
            return f'<rect class="s s-{shape.paint}" stroke-dasharray="3 2" {place}/>'
        return f'<rect class="{kind or f"f-{shape.paint}"}" {place}/>'
    if isinstance(shape, Dot):
        x, y, r = map(_number, shape[:3])
        return f'<circle class="f-{shape.paint}" cx="{x}" cy="{y}" r="{r}"/>'
    if isinstance(shape, Caption):
        anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
        bold = ' font-weight="600"' if shape.is_bold else ""
        place = f'x="{_number(shape.x)}" y="{_number(shape.y)}" font-size="{_number(shape.size)}"'
        return f'<text class="f-{shape.paint}" {place}{anchor}{bold}>{escape(shape.text)}</text>' if shape.text else ""
    return _stroke(shape)


def _stroke(shape: Stroke) -> str:
    steps = "".join(f"{'L' if len(step) == 1 else 'C'}{' '.join(map(_point, step))}" for step in shape.steps)
    ends = "" if shape.ends is None else f' data-from="{shape.ends[0]}" data-to="{shape.ends[1]}"'
    kind = "s" if shape.ends is None else "s link"
    return (
        f'<path class="{kind} s-{shape.paint}" stroke-width="{_number(shape.width)}"{ends} '
        f'd="M{_point(shape.start)}{steps}"/>'
    )


def _point(point: tuple[float, float]) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
