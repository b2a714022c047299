"""The layout of a drawing: bars for what layers cost, on lines that say whose they are, arcs for what they read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from darkshare._tables import printable, ranges
from darkshare.analysis.drawing.costs import cost_bars
from darkshare.analysis.drawing.graph import NetworkGraph
from darkshare.analysis.drawing.lanes import Lane, lanes_of
from darkshare.analysis.drawing.sheet import WIDE, Caption, Dot, Screen, Sheet, Slab, Stroke, fitted, text_width
from darkshare.analysis.drawing.tracks import Placed, Sizes, arc_depth, draw_lane, draw_links
from darkshare.analysis.drawing.words import UNCOUNTED, amount, operations, owners

WIDEST = 26.0  # px, a column of a small network
NARROWEST = 620.0  # px, all columns together, so that the words have room
FORK = 26.0  # px before a lane that forks
MANY = 8  # lanes, from which on they are low and have no words of their own above


def lay_out(graph: NetworkGraph, screen: Screen = WIDE) -> Sheet:
    """Lay a graph out; docs/how-to/draw.md says what is where."""
    column = min(WIDEST, max(screen.least, screen.columns / _columns(lanes_of(graph, gap=1))))
    lanes = lanes_of(graph, gap=max(1, round(min(FORK, 0.06 * screen.columns) / column)))
    column = min(WIDEST, max(screen.least, screen.columns / _columns(lanes)))
    width = max(min(NARROWEST, screen.columns), _columns(lanes) * column)
    colours = 1 + max((task.colour for task in graph.tasks), default=0)
    sizes = Sizes(
        left=screen.margin,
        column=column,
        height=96.0 if len(lanes) <= 2 else 72.0 if len(lanes) <= MANY else 38.0,
        most=max(layer.layer.flops for layer in graph.layers),
        slot=min(4.0, 16 / colours),
    )
    sheet = Sheet(2 * screen.margin + width + screen.labels, spoken="; ".join(notes_of(graph)))
    top = cost_bars(sheet, graph, screen, _heading(sheet, graph, screen))
    placed = []
    for lane in lanes:
        has_words = len(lanes) <= MANY or screen.is_narrow or len({owners(graph, one) for one in lane.layers}) > 1
        placed.append(_placed(graph, lane, sizes, top, has_words=has_words and len(graph.tasks) > 1))
        top = placed[-1].floor
    draw_links(sheet, graph, placed, sizes)
    for number, one in enumerate(placed):
        draw_lane(sheet, graph, one, number, sizes)
        if screen.labels:
            _end(sheet, graph, one, sizes.x(one.lane.columns[-1] + 1) + 10)
    sheet.height = _legend(sheet, graph, screen, top + 20)
    return sheet


def _columns(lanes: Sequence[Lane]) -> int:
    return 1 + max(lane.columns[-1] for lane in lanes)


def _heading(sheet: Sheet, graph: NetworkGraph, screen: Screen) -> float:
    room = sheet.width - 2 * screen.margin
    title = " + ".join(printable(Path(name).name) or "unnamed" for name in graph.names)
    sheet.behind.append(Caption(screen.margin, 36, fitted(title, 20, room, is_bold=True), 20, is_bold=True))
    y, line = 58.0, ""
    for part in [f"{part}, " for part in summary_of(graph).split(", ")] + [""]:
        if line and (not part or text_width(line + part, 13) > room):
            sheet.behind.append(Caption(screen.margin, y, line.removesuffix(", "), 13, paint="muted"))
            y, line = y + 18, ""
        line += part
    return y


def summary_of(graph: NetworkGraph) -> str:
    """Describe a drawing in a line."""
    tasks = f"{len(graph.tasks)} tasks, " if len(graph.tasks) > 1 else ""
    size = graph.layers[0].layer.x
    return (
        f"{tasks}{len(graph.layers)} layers, {operations(graph.flops)}, {amount(graph.params)} parameters, input {size}"
    )


def notes_of(graph: NetworkGraph) -> list[str]:
    """Say in a few lines what a drawing shows."""
    shared = [layer.place for layer in graph.layers if graph.is_shared(layer)]
    tasks = ", ".join(printable(task.name) for task in graph.tasks)
    lines = [summary_of(graph), *([f"tasks: {tasks}"] if tasks else [])]
    return [*lines, f"shared layers: {ranges(shared)}"] if shared else lines


def _placed(graph: NetworkGraph, lane: Lane, sizes: Sizes, top: float, *, has_words: bool) -> Placed:
    """Stack what belongs to a lane: words, stages, bars, the lines of tasks, arcs, reads from other lanes."""
    rail = top + (26 if has_words else 8) + 18 + sizes.height
    below = rail + 2 + sizes.slot * max(len(graph.colours(layer)) or 1 for layer in lane.layers)
    arcs = below + max((arc_depth((stop - start) * sizes.column) for (_, start), (_, stop) in lane.arcs()), default=2.0)
    own = {layer.place for layer in lane.layers}
    outer = sum(one not in own and one >= 0 for layer in lane.layers for one in layer.inputs) - (lane.fork is not None)
    return Placed(lane, rail, below, arcs, arcs + 6 * min(outer, 6) + 10, has_words)


def _end(sheet: Sheet, graph: NetworkGraph, placed: Placed, x: float) -> None:
    """Name the tasks that end in a lane, behind its last layer."""
    tasks = [graph.tasks[number] for number in placed.lane.tasks]
    if not tasks:
        return
    name = printable(", ".join(task.name for task in tasks))
    count = tasks[0].classes if len(tasks) == 1 else 0
    classes = f"{count:,} {'class' if count == 1 else 'classes'}" if count else ""
    room = sheet.width - x - 6
    sheet.behind.append(Caption(x, placed.rail - 8, fitted(name, 14, room, is_bold=True), 14, is_bold=True))
    sheet.behind.append(Caption(x, placed.rail + 7, fitted(classes, 11, room), 11, paint="muted"))


def _legend(sheet: Sheet, graph: NetworkGraph, screen: Screen, y: float) -> float:
    """Say what the marks mean that are there, in as many lines as they need; gives the place below."""
    most = max(layer.layer.flops for layer in graph.layers)
    entries = [
        ("bar", f"height: operations of a layer, at most {operations(most)}", most),
        ("hollow", f"with weights, operations {UNCOUNTED}", any(layer.is_uncounted for layer in graph.layers)),
        ("dot", "head, an output", True),
        ("arc", "reads an earlier layer", any(isinstance(shape, Stroke) and shape.ends for shape in sheet.behind)),
    ]
    x = left = screen.margin
    for mark, text in ((mark, text) for mark, text, is_there in entries if is_there):
        length = 24 + text_width(text, 11) + 14
        if x > left and x + length > sheet.width:
            x, y = left, y + 20
        if mark == "arc":
            sheet.behind.append(Stroke((x, y - 8), (((x, y + 1), (x + 16, y + 1), (x + 16, y - 8)),), "link", 1.5))
        elif mark == "dot":
            sheet.behind.append(Dot(x + 8, y - 4, 5, "muted"))
        else:
            sheet.behind.append(Slab(x + 4, y - 10, 8, 12, "muted", is_hollow=mark == "hollow"))
        sheet.behind.append(Caption(x + 24, y, text, 11, paint="muted"))
        x += length
    return y + 18
