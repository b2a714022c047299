"""The lane and the column of every layer: the first task's network in one line, what others have of their own below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from darkshare.analysis.drawing.graph import DrawnLayer, NetworkGraph


@dataclass(frozen=True)
class Lane:
    """Layers in one line.

    Attributes:
        layers: from left to right.
        columns: theirs.
        tasks: those that end here, by their numbers.
        fork: the layer of another lane that the first one reads; None where it reads none.
    """

    layers: tuple[DrawnLayer, ...]
    columns: tuple[int, ...]
    tasks: tuple[int, ...]
    fork: int | None

    def runs(self, key: Callable[[DrawnLayer], object]) -> Iterator[tuple[tuple[DrawnLayer, ...], int, int]]:
        """Group neighbours that have the same key: the layers, their first column, and the one behind their last."""
        pairs = zip(self.layers, self.columns, strict=True)
        for _, group in groupby(pairs, lambda pair: key(pair[0])):
            layers, columns = zip(*group, strict=True)
            yield layers, columns[0], columns[-1] + 1

    def arcs(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """List what its layers read of it besides the layer before, as (place, column) of both."""
        found, columns = [], dict[int, int]()
        before = None
        for layer, column in zip(self.layers, self.columns, strict=True):
            found += [
                ((one, columns[one]), (layer.place, column)) for one in layer.inputs if one in columns and one != before
            ]
            columns[layer.place] = column
            before = layer.place
        return found


def lanes_of(graph: NetworkGraph, gap: int) -> list[Lane]:
    """Place all layers: whatever one reads lies to the left of it. `gap` columns lie before a lane that forks."""
    order = sorted(range(len(graph.tasks)), key=lambda n: (graph.tasks[n].colour, graph.tasks[n].is_vote))
    rank = {task: number for number, task in enumerate(order)}
    rows: dict[int, list[DrawnLayer]] = {}
    row = 0
    for layer in graph.layers:
        row = min((rank[task] for task in layer.tasks), default=row)
        rows.setdefault(row, []).append(layer)
    lane_of = {layer.place: row for row, layers in rows.items() for layer in layers}
    forks = {row: _fork(graph, layers[0], row, lane_of) for row, layers in rows.items()}
    columns = _columns(graph.layers, lane_of, forks, gap)
    ends = {number: _lane_of_task(graph, number, lane_of) for number in order}
    return [
        Lane(
            tuple(rows[row]),
            tuple(columns[layer.place] for layer in rows[row]),
            tuple(number for number in order if ends[number] == row),
            forks[row],
        )
        for row in _stacked(forks, lane_of)
    ]


def _fork(graph: NetworkGraph, first: DrawnLayer, row: int, lane_of: dict[int, int]) -> int | None:
    """The layer of another lane from which a lane comes; none for a vote, which comes from many."""
    if first.tasks and all(graph.tasks[task].is_vote for task in first.tasks):
        return None
    return max((one for one in first.inputs if one >= 0 and lane_of[one] != row), default=None)


def _stacked(forks: dict[int, int | None], lane_of: dict[int, int]) -> list[int]:
    """Order lanes so that no fork crosses another lane: each above those that leave the same one further left."""
    waiting = sorted((row for row, fork in forks.items() if fork is None), reverse=True)
    found = []
    while waiting:
        found.append(row := waiting.pop())
        own = [(fork, -other) for other, fork in forks.items() if fork is not None and lane_of[fork] == row]
        waiting += [-other for _, other in sorted(own)]
    return found


def _columns(
    layers: Sequence[DrawnLayer], lane_of: dict[int, int], forks: dict[int, int | None], gap: int
) -> dict[int, int]:
    found: dict[int, int] = {}
    last: dict[int, int] = {}  # the last column that is taken, by row
    for layer in layers:
        row = lane_of[layer.place]
        least = max((found[one] for one in layer.inputs if one >= 0), default=-1)
        begins = gap if row not in last and row and least >= 0 else 0
        last[row] = found[layer.place] = max(last.get(row, -1), least) + 1 + begins
    return found


def _lane_of_task(graph: NetworkGraph, number: int, lane_of: dict[int, int]) -> int | None:
    heads = graph.tasks[number].heads
    return lane_of[heads[-1]] if heads else None
