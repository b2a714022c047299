"""The bars at the top of a drawing: where operations and parameters go, and what sharing saves of them."""

from __future__ import annotations

from collections.abc import Sequence

from darkshare._tables import printable
from darkshare.analysis.drawing.graph import NetworkGraph, names_of
from darkshare.analysis.drawing.sheet import Caption, Screen, Sheet, Slab, first_fit
from darkshare.analysis.drawing.words import amount, operations, resolution

HEIGHT = 20.0
NAMES = 92.0  # px, for what a bar counts, beside it
LEAST = 40.0  # px of one part of a bar, from which on its resolutions are told apart
ABOVE = 18.0  # px, for the same above it
DARK = ("shared", "task0")  # paints that need light words on white


def cost_bars(sheet: Sheet, graph: NetworkGraph, screen: Screen, top: float) -> float:
    """Draw both bars; gives the place below them."""
    left = screen.margin + (0 if screen.is_narrow else NAMES)
    width = min(sheet.width - screen.margin, screen.margin + screen.columns + screen.labels) - left
    for name, costs, shown in (
        ("operations", [one.layer.flops for one in graph.layers], operations),
        ("parameters", [float(one.layer.size) for one in graph.layers], amount),
    ):
        total, apart = sum(costs), graph.apart(costs)
        if not total:
            continue
        if screen.is_narrow:
            top += ABOVE
        y = top - 5 if screen.is_narrow else top + 15
        sheet.behind.append(Caption(screen.margin, y, name, 12, paint="muted"))
        x, step = left, width / apart
        for part in _parts(graph, costs):
            cost = sum(costs[place] for place in part)
            whose, share = _whose(graph, part), f"{cost / total:.0%}"
            _segments(sheet, graph, part, [costs[place] * step for place in part], x, top)
            forms = (f"{whose} {shown(cost)}, {share}", f"{whose} {share}", whose)
            _below(sheet, forms if cost < total else (shown(cost),), x, top, cost * step)
            x += cost * step
        if (saved := apart - total) > 0.001 * total:
            share = f"{saved / apart:.0%}"
            saying = (f"saved {shown(saved)}: {share} less than separate networks", f"saved {shown(saved)}, {share}")
            sheet.behind.append(Slab(x + 1, top + 0.5, saved * step - 2, HEIGHT - 1, "muted", is_hollow=True))
            _below(sheet, (*saying, f"saved {share}"), x, top, saved * step)
        top += HEIGHT + 22
    return top + 4


def _parts(graph: NetworkGraph, costs: Sequence[float]) -> list[list[int]]:
    """The places of layers that cost anything, by the tasks that they belong to, the shared ones first."""
    found: dict[tuple[bool, tuple[int, ...]], list[int]] = {}
    for layer, cost in zip(graph.layers, costs, strict=True):
        if cost:
            found.setdefault((not graph.is_shared(layer), graph.colours(layer)), []).append(layer.place)
    return [found[key] for key in sorted(found)]


def _whose(graph: NetworkGraph, part: Sequence[int]) -> str:
    first = graph.layers[part[0]]
    if graph.is_shared(first):
        return "shared"
    ensemble = [task.name for task in graph.tasks if task.is_vote and task.colour in graph.colours(first)]
    return printable(ensemble[0] if ensemble else names_of(graph.tasks, first.tasks))


def _segments(
    sheet: Sheet, graph: NetworkGraph, part: Sequence[int], lengths: Sequence[float], x: float, y: float
) -> None:
    """The layers of one part, by resolution where that can be seen, and named where there is room."""
    paint = graph.paint(graph.layers[part[0]])
    found: dict[str, float] = {}
    for place, length in zip(part, lengths, strict=True):
        name = resolution(graph.layers[place].layer.y) if sum(lengths) > LEAST else ""
        found[name] = found.get(name, 0.0) + length
    for name, length in found.items():
        sheet.behind.append(Slab(x, y, max(length - 1, 0.3), HEIGHT, paint))
        over = "on-dark" if paint in DARK else "on-light"
        sheet.behind.append(Caption(x + length / 2, y + 14, first_fit((name,), 10, length - 4), 10, "middle", over))
        x += length


def _below(sheet: Sheet, forms: Sequence[str], x: float, y: float, room: float) -> None:
    if text := first_fit(forms, 11, room - 6):
        sheet.behind.append(Caption(x, y + HEIGHT + 13, text, 11))
