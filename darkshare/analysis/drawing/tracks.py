"""The lanes of a drawing: bands of one resolution, the lines of tasks, bars, heads, and what layers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from darkshare.analysis.drawing.graph import DrawnLayer, NetworkGraph
from darkshare.analysis.drawing.lanes import Lane
from darkshare.analysis.drawing.sheet import (
    Caption,
    Dot,
    LayerMarks,
    Shape,
    Sheet,
    Slab,
    Stroke,
    first_fit,
    fitted,
    task_paint,
)
from darkshare.analysis.drawing.words import numbers, operations, owners, resolution

STUB = 4.0  # px, the height of a layer that costs nothing


@dataclass(frozen=True)
class Sizes:
    """Sizes that depend on the network.

    Attributes:
        left: where the first column begins.
        column: the width of a layer.
        height: that of the costliest layer.
        most: its operations.
        slot: the thickness of the line of one task.
    """

    left: float
    column: float
    height: float
    most: float
    slot: float

    def x(self, column: float) -> float:
        """The left edge of a column."""
        return self.left + column * self.column


@dataclass(frozen=True)
class Placed:
    """A lane with its heights on the sheet.

    Attributes:
        lane: the lane.
        rail: where its bars stand, on the lines of tasks.
        below: where these end and arcs begin.
        arcs: where the deepest arc ends and lines from other lanes run.
        floor: where the next lane begins.
        has_words: whether it says above which tasks need what.
    """

    lane: Lane
    rail: float
    below: float
    arcs: float
    floor: float
    has_words: bool


def arc_depth(span: float) -> float:
    """The depth of an arc over so many px."""
    return float(min(46.0, 6 + 2.0 * span**0.5))


def draw_lane(sheet: Sheet, graph: NetworkGraph, placed: Placed, number: int, sizes: Sizes) -> None:
    """Draw one lane without what it reads."""
    _bands(sheet, placed, sizes)
    if placed.has_words:
        _brackets(sheet, graph, placed, sizes)
    _rails(sheet, graph, placed, sizes)
    for layer, column in zip(placed.lane.layers, placed.lane.columns, strict=True):
        top = placed.rail - sizes.height
        field = Slab(sizes.x(column), top, sizes.column, placed.below - top + 4, "ink")
        sheet.layers.append(LayerMarks(layer.place, number, field, _marks(graph, layer, column, placed.rail, sizes)))


def _bands(sheet: Sheet, placed: Placed, sizes: Sizes) -> None:
    """Bands of one resolution, named where there is room."""
    top, height = placed.rail - sizes.height - 18, sizes.height + 18
    for number, (layers, start, stop) in enumerate(placed.lane.runs(lambda one: resolution(one.layer.y))):
        left, room = sizes.x(start), sizes.x(stop) - sizes.x(start)
        if number % 2 == 0:
            sheet.bands.append(Slab(left, top, room, height, "band"))
        name = resolution(layers[0].layer.y)
        cost = sum(one.layer.flops for one in layers)
        forms = (*((f"{name} · {operations(cost)}",) if cost else ()), name, name.partition("×")[0])
        if text := name and first_fit(forms, 10.5, room - 5):
            sheet.bands.append(Caption(left + 3, top + 12, text, 10.5, paint="muted"))


def _brackets(sheet: Sheet, graph: NetworkGraph, placed: Placed, sizes: Sizes) -> None:
    """Say above each stretch of a lane which tasks need it."""
    y = placed.rail - sizes.height - 25
    for layers, start, stop in placed.lane.runs(lambda one: owners(graph, one)):
        left, right = sizes.x(start) + 1, sizes.x(stop) - 1
        is_shared = graph.is_shared(layers[0])
        sheet.behind.append(
            Stroke((left, y + 4), (((left, y),), ((right, y),), ((right, y + 4),)), graph.paint(layers[0]), 1.6)
        )
        whose = owners(graph, layers[0])
        cost = operations(sum(one.layer.flops for one in layers))
        forms = [f"{whose} · {numbers(layers)} · {cost}", f"{whose} · {numbers(layers)}", whose]
        room = right - left
        forms.append("shared" if is_shared else fitted(whose, 12, room))
        text = first_fit(forms, 12, room, is_bold=is_shared)
        sheet.behind.append(Caption(left, y - 6, text, 12, is_bold=is_shared))


def _rails(sheet: Sheet, graph: NetworkGraph, placed: Placed, sizes: Sizes) -> None:
    """A line for each task below the layers that it needs, broken where a layer does not read the one before."""
    for place, (first, last) in enumerate(_connected(placed.lane)):
        for layers, start, stop in _sliced(placed.lane, first, last).runs(graph.colours):
            left = sizes.x(start) + (sizes.column * 0.2 if place and start == placed.lane.columns[first] else 0)
            for slot, colour in enumerate(graph.colours(layers[0]) or (None,)):
                y = placed.rail + 1 + slot * sizes.slot
                sheet.behind.append(Slab(left, y, sizes.x(stop) - left, sizes.slot, task_paint(colour)))


def _connected(lane: Lane) -> list[tuple[int, int]]:
    """Stretches of a lane in which each layer reads the one before, as (start, stop)."""
    breaks = [at for at, (before, layer) in enumerate(pairwise(lane.layers), 1) if before.place not in layer.inputs]
    return list(zip([0, *breaks], [*breaks, len(lane.layers)], strict=True))


def _sliced(lane: Lane, start: int, stop: int) -> Lane:
    return Lane(lane.layers[start:stop], lane.columns[start:stop], (), None)


def _marks(graph: NetworkGraph, layer: DrawnLayer, column: int, rail: float, sizes: Sizes) -> tuple[Shape, ...]:
    paint = graph.paint(layer)
    gap = min(1.5, sizes.column * 0.15)
    left, width = sizes.x(column) + gap / 2, sizes.column - gap
    cost = layer.layer.flops
    height = max(STUB, sizes.height * (0.35 if layer.is_uncounted else cost / sizes.most if sizes.most else 0))
    bar = Slab(left, rail - height, width, height, paint, is_hollow=layer.is_uncounted)
    if not layer.layer.kind.is_head and not any(layer.place in task.heads for task in graph.tasks):
        return (bar,)
    x, r = sizes.x(column + 0.5), min(6.0, max(3.0, sizes.column * 0.5))
    y = rail - max(height, 16) - r
    return bar, Stroke((x, rail), (((x, y),),), paint, 1.6), Dot(x, y, r, paint)


def draw_links(sheet: Sheet, graph: NetworkGraph, placed: Sequence[Placed], sizes: Sizes) -> None:
    """Draw what layers read besides the layer before: arcs within a lane, angled lines and forks between lanes."""
    where = {
        layer.place: (one, column)
        for one in placed
        for layer, column in zip(one.lane.layers, one.lane.columns, strict=True)
    }
    for one in placed:
        for (source, start), (reader, stop) in one.lane.arcs():
            depth = arc_depth((stop - start) * sizes.column) * 4 / 3
            begin, end = sizes.x(start + 0.5), sizes.x(stop + 0.5)
            steps = (((begin, one.below + depth), (end, one.below + depth), (end, one.below)),)
            sheet.behind.append(Stroke((begin, one.below), steps, "link", 1.3, (source, reader)))
        _outer(sheet, graph, one, where, sizes)


def _outer(sheet: Sheet, graph: NetworkGraph, one: Placed, where: dict[int, tuple[Placed, int]], sizes: Sizes) -> None:
    """The lines from other lanes: a thick one where the lane forks, thin ones below the arcs."""
    count = 0
    for layer in one.lane.layers:
        for place in layer.inputs:
            other, column = where.get(place, (one, 0))
            if other is one:
                continue
            if place == one.lane.fork and layer is one.lane.layers[0]:
                _fork(sheet, graph, layer, one, other, column, sizes)
                continue
            count += 1
            end = sizes.x(where[layer.place][1] + 0.5), one.below
            y = one.arcs + 6 * min(count, 6)
            start = sizes.x(column + 1), other.below
            sheet.behind.append(_elbow(start, y, end, (place, layer.place)))


def _fork(
    sheet: Sheet, graph: NetworkGraph, first: DrawnLayer, one: Placed, other: Placed, column: int, sizes: Sizes
) -> None:
    """Lead the line of a task from the trunk to its own lane; those that fork together lie side by side."""
    source = other.lane.layers[other.lane.columns.index(column)]
    there, own = graph.colours(source), (*graph.colours(first), None)
    slot = there.index(own[0]) if own[0] in there else 0
    begin = sizes.x(column + 1), other.rail + 1 + (slot + 0.5) * sizes.slot
    end = sizes.x(one.lane.columns[0]), one.rail + 1 + sizes.slot / 2
    x = begin[0] + 7 + (len(there) - slot) * sizes.slot * 1.3
    x = min(x, (begin[0] + 2 * end[0]) / 3)
    r = min(8.0, x - begin[0], end[0] - x, (end[1] - begin[1]) / 2)
    steps = (
        ((x - r, begin[1]),),
        ((x, begin[1]), (x, begin[1]), (x, begin[1] + r)),
        ((x, end[1] - r),),
        ((x, end[1]), (x, end[1]), (x + r, end[1])),
        (end,),
    )
    width = max(sizes.slot, 1.5)
    sheet.behind.append(Stroke(begin, steps, task_paint(own[0]), width, (source.place, first.place)))


def _elbow(start: tuple[float, float], y: float, end: tuple[float, float], ends: tuple[int, int]) -> Stroke:
    """A line down, along y and up again, with round corners."""
    r = min(6.0, abs(end[0] - start[0]) / 2)
    steps = (
        ((start[0], y - r),),
        ((start[0], y), (start[0], y), (start[0] + r, y)),
        ((end[0] - r, y),),
        ((end[0], y), (end[0], y), (end[0], y - r)),
        (end,),
    )
    return Stroke(start, steps, "link", 1.3, ends)
