"""The layers of one network, or of several over their common trunk, with the tasks that need each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from darkshare.analysis.alignment import aligned
from darkshare.analysis.differences import Difference
from darkshare.analysis.drawing.sheet import task_paint
from darkshare.analysis.stats import layer_differences
from darkshare.analysis.trunk import identical_layers, label, with_input_of
from darkshare.darknet.cut_points import illegal_cut
from darkshare.darknet.model import Model, branch_tasks
from darkshare.darknet.network import Layer

Pairs = list[tuple[int, int]]


class DrawnTask(NamedTuple):
    """A task as it is drawn.

    Attributes:
        name: as the model calls it; of one task in a file of its own, the file's.
        classes: how many it tells apart.
        colour: counted from 0; the branches of an ensemble have one.
        heads: the places of its outputs among the drawn layers.
        is_vote: whether it is the mean of an ensemble's branches.
    """

    name: str
    classes: int
    colour: int
    heads: tuple[int, ...]
    is_vote: bool


@dataclass(frozen=True)
class DrawnLayer:
    """A layer as it is drawn.

    Attributes:
        place: among the drawn layers, from 0; of one network, the layer's index.
        model: which of the models it is from.
        layer: what the network says of it.
        inputs: the places of the layers that it reads; -1 is the network's input.
        tasks: those that need it, by their numbers; none where nothing reads it.
        differences: how far its tensors are from the base's.
    """

    place: int
    model: int
    layer: Layer
    inputs: tuple[int, ...]
    tasks: tuple[int, ...]
    differences: tuple[Difference, ...] = ()

    @property
    def is_uncounted(self) -> bool:
        """Say whether it holds weights and Darknet does not count what it does with them."""
        return bool(self.layer.size) and not self.layer.flops


@dataclass(frozen=True)
class NetworkGraph:
    """Everything that a drawing shows.

    Attributes:
        names: of the models' files.
        labels: of the models, in a word.
        tasks: in the order of the models.
        layers: the first model's, then of each other model those behind the common trunk.
        shared: for each model, how many of its leading layers are the first model's; all for the first.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    tasks: tuple[DrawnTask, ...]
    layers: tuple[DrawnLayer, ...]
    shared: tuple[int, ...]

    @cached_property
    def params(self) -> int:
        """Floats in the weights files, the shared ones once."""
        return sum(layer.layer.size for layer in self.layers)

    @cached_property
    def flops(self) -> float:
        """Operations, the shared ones once."""
        return sum(layer.layer.flops for layer in self.layers)

    def is_shared(self, layer: DrawnLayer) -> bool:
        """Say whether several tasks need a layer; the vote of an ensemble is not one more than its branches."""
        return sum(not self.tasks[task].is_vote for task in layer.tasks) > 1

    def colours(self, layer: DrawnLayer) -> tuple[int, ...]:
        """List the colours of the tasks that need a layer."""
        return tuple(sorted({self.tasks[task].colour for task in layer.tasks}))

    def paint(self, layer: DrawnLayer) -> str:
        """Name the paint of a layer: its task's, the common one, or none of them."""
        found = self.colours(layer)
        return "shared" if self.is_shared(layer) else task_paint(found[0] if found else None)

    def apart(self, costs: Sequence[float]) -> float:
        """Sum up what networks of their own would need, given what each layer needs; an ensemble is one network."""
        return sum(cost * max(1, len(self.colours(layer))) for cost, layer in zip(costs, self.layers, strict=True))


def graph_of(models: Sequence[Model]) -> NetworkGraph:
    """Put one network, or several over the trunk that they share with the first one, into one graph."""
    base, *others = models[0], *(with_input_of(models[0], other) for other in models[1:])
    shared = [len(base.network.layers), *(_shared(base, other) for other in others)]
    places: list[list[int]] = []
    count = 0
    for model, k in zip((base, *others), shared, strict=True):
        own = len(model.network.layers) - (k if places else 0)
        places.append([*range(k if places else 0), *range(count, count + own)])
        count += own
    tasks = list(_tasks((base, *others), places))
    needs = [
        {places[at][index] for index in model.network.needed(task.heads)}
        for at, model in enumerate((base, *others))
        for task in model.tasks
    ]
    found: dict[int, DrawnLayer] = {}
    for at, model in enumerate((base, *others)):
        for layer, place in zip(model.network.layers, places[at], strict=True):
            if place not in found:
                inputs = tuple(dict.fromkeys(places[at][index] if index >= 0 else -1 for index in layer.inputs))
                users = tuple(task for task, needed in enumerate(needs) if place in needed)
                found[place] = DrawnLayer(place, at, layer, inputs, users)
    for place, differences in _differences(base, others, shared, places).items():
        found[place] = replace(found[place], differences=differences)
    names, labels = tuple(model.name for model in models), tuple(map(label, models))
    return NetworkGraph(names, labels, tuple(tasks), tuple(found.values()), tuple(shared))


def _shared(base: Model, other: Model) -> int:
    """Count the leading layers that are the base's, up to a legal cut below the first head; 0 where there is none."""
    most = min(identical_layers(base, other), *(head.index for head in (*base.network.heads, *other.network.heads)))
    return next((k for k in range(most, 0, -1) if illegal_cut(other.network, k) is None), 0)


def _tasks(models: Sequence[Model], places: Sequence[Sequence[int]]) -> Iterator[DrawnTask]:
    colours: dict[object, int] = {}
    for at, model in enumerate(models):
        for number, task in enumerate(model.tasks):
            key = (at, task.ensemble) if task.ensemble else (at, number)
            name = label(model) if len(models) > 1 and len(model.tasks) == 1 else task.name
            heads = tuple(places[at][head] for head in task.heads)
            is_vote = task.name == task.ensemble and bool(branch_tasks(model, task.ensemble))
            yield DrawnTask(name, len(task.names), colours.setdefault(key, len(colours)), heads, is_vote)


def _differences(
    base: Model, others: Sequence[Model], shared: Sequence[int], places: Sequence[Sequence[int]]
) -> Mapping[int, tuple[Difference, ...]]:
    """The differences to the base by place: those of the other models, and those of further tasks of the first one."""
    compared: list[tuple[Model, Pairs, Sequence[int]]] = [(base, _pairs_of_tasks(base), places[0])]
    for other, k, own in zip(others, shared[1:], places[1:], strict=True):
        if other.weights is not None:
            pairs = [(i, j) for i, j in aligned(base, other, k) if i >= 0 and j >= k]
            compared.append((other, pairs, own))
    found = {}
    for other, pairs, own in compared if base.weights is not None else ():
        for i, j in pairs:
            if differences := layer_differences(base, i, other, j):
                found[own[j]] = differences
    return found


def _pairs_of_tasks(model: Model) -> Pairs:
    """The layers of a merged network's further tasks beside those of its first one, where all kinds are the same."""
    if not model.tasks:
        return []
    first, *others = [[i for run in task.runs for i in range(*run)] for task in model.tasks]
    kinds = [layer.kind.name for layer in model.network.layers]
    alike = [own for own in others if [kinds[i] for i in own] == [kinds[i] for i in first]]
    return [(i, j) for own in alike for i, j in zip(first, own, strict=True) if i != j]


def names_of(tasks: Sequence[DrawnTask], numbers: Sequence[int]) -> str:
    """Name tasks in few words; an ensemble stands for its branches where several of them are meant."""
    meant = [tasks[number] for number in numbers]
    branches = Counter(task.colour for task in meant if not task.is_vote)
    votes = {task.colour for task in meant if task.is_vote}
    shown = [
        task.name
        for task in meant
        if (branches[task.colour] != 1 if task.is_vote else task.colour not in votes or branches[task.colour] == 1)
    ]
    if len(shown) > 4 and len(numbers) == len(tasks):
        return f"all {len(shown)} tasks"
    more = [f"{len(shown) - 3} more"] if len(shown) > 4 else []
    *some, last = [*shown[: 3 if more else 4], *more] or ["no task"]
    return f"{', '.join(some)} and {last}" if some else last
