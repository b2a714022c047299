"""Join networks that share their first layers into one, and take them apart again.

From the shared-backbone paper (Bailer & Fassold): base + [route] to layer k-1 + the second network's layers from k on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal, get_args

from darkshare._tables import runs
from darkshare._version import __version__
from darkshare.analysis.check.heads import TWO_REGIONS
from darkshare.analysis.savings import cut_of_each, file_bytes
from darkshare.analysis.trunk import (
    common_structure,
    describe,
    diagnose,
    identical_layers,
    moved_tensors,
    structure_difference,
)
from darkshare.darknet.cfg import Line, Section, comment_line, new_section
from darkshare.darknet.cut_points import illegal_cut
from darkshare.darknet.kinds import Net, Region, Route, read_kind
from darkshare.darknet.model import Model, branch_tasks, without_branch_tasks
from darkshare.darknet.tasks import Task, group_by_ensemble
from darkshare.errors import (
    BadValue,
    DarkshareError,
    ShapeMismatch,
    TrunkMismatch,
    checked,
    meant,
    require_choice,
    warn,
)
from darkshare.surgery.assemble import Part, assemble, grafted
from darkshare.surgery.heads import pad_to_union, unpad
from darkshare.surgery.mismatch import deepest_cut, require_shared
from darkshare.surgery.quantities import Quantities

Layout = Literal["native", "padded"]
# Keys that change the training of layers far from their own.
TRAINING_KEYS = ("stopbackward", "train_only_bn", "onlyforward", "dont_update", "burnin_update")


@dataclass(frozen=True, repr=False)
class Merger(Quantities):
    """Numbers of separate networks beside those of the merged one, with the k of each task.

    Attributes:
        models: the separate networks, the base first.
        merged: the product.
    """

    models: tuple[Model, ...]
    merged: Model

    def rows(self) -> list[dict[str, Any]]:
        separate = [model.network for model in self.models]
        merged = self.merged.network
        quantities = {
            "layers": (sum(len(network.layers) for network in separate), len(merged.layers)),
            "params": (sum(network.params for network in separate), merged.params),
            "BFLOPs": (sum(network.flops for network in separate) / 1e9, merged.flops / 1e9),
            "file bytes": (sum(map(file_bytes, separate)), file_bytes(merged)),
        }
        return [
            {
                "quantity": name,
                "separately": apart,
                "merged": together,
                "saved": apart - together,
                "saved %": round(100 * (1 - together / apart), 1) if apart else 0.0,
            }
            for name, (apart, together) in quantities.items()
        ]

    def notes(self) -> list[str]:
        return [", ".join(f"{task.name} k={task.k}" for task in without_branch_tasks(self.merged).tasks if task.k)]

    def as_dict(self) -> dict[str, Any]:
        """The rows and notes, and each task with its k and its classes."""
        tasks = [{"name": task.name, "k": task.k, "classes": list(task.names)} for task in self.merged.tasks]
        return {**super().as_dict(), "tasks": tasks}

    def summary(self) -> str:
        return f"{len(self.models)} networks in one, {', '.join(self.notes())}"


@checked
def concat(
    models: Sequence[Model],
    k: int | Sequence[int] | None = None,
    *,
    layout: Layout = "native",
    force: bool = False,
    name: Sequence[str] = (),
) -> Model:
    """Splice networks onto the first one, which stays as it is.

    Args:
        models: the base and at least one further network, all with weights or all without.
        k: the number of leading layers that each further network shares with the base; one number for all or one for
            each. Without it, the longest trunk that is bit-identical and a legal cut.
        layout: "native" keeps each head's own classes; "padded" gives every head the classes of all tasks, so
            that stock Darknet runs it.
        force: merge on the base's trunk although the weights of the other's differ.
        name: the names of the tasks, in place of the file names; an ensemble has one for its vote and branches.

    Returns:
        The merged model. Its report, a `Merger`, says what it saves.

    Raises:
        TrunkMismatch: the trunks differ in structure or, without `force`, in bits.
        ShapeMismatch: the input sizes differ.
        BadValue: a cut that is not legal, or names for more or fewer tasks.
    """
    require_choice("layout", layout, get_args(Layout))
    if len(models) < 2:
        raise BadValue("concat needs a base and at least one further network")
    base, *others = _named(models, name)
    _require_joinable(base, others)
    ks = _cuts(base, others, k)
    net = base.network.cfg.sections[0]
    parts: list[Part | Section] = [Part(base, 0, len(base.network.layers))]
    tasks = list(base.tasks)
    length = len(base.network.layers)
    for other, cut_at in zip(others, ks, strict=True):
        _require_trunk(base, other, cut_at, force=force)
        _warn_of_differences(base, other, cut_at)
        names = ", ".join(task.name for task in without_branch_tasks(other).tasks)
        graft = grafted(other, cut_at, length, f"task {names}")
        first = length + len(graft) - 1  # behind the inserted [route], if there is one
        parts += graft
        tasks += [_moved_task(task, cut_at, first - cut_at) for task in other.tasks]
        length = first + len(other.network.layers) - cut_at
    network, weights = assemble(net, parts, base.network.dialect, _title([base, *others]))
    merged = Model(network, weights, tuple(tasks))
    _warn_of_sizes(merged)
    if layout == "padded":
        merged = pad_to_union(merged)
    else:
        _warn_of_unequal_classes(merged)
    if len(merged.network.of_kind(Region)) > 1:
        warn(f"the merged network has several [region] heads: {TWO_REGIONS}")
    return replace(merged, report=Merger(tuple(models), merged))


def _require_joinable(base: Model, others: Sequence[Model]) -> None:
    for other in others:
        if (other.weights is None) != (base.weights is None):
            without = other if other.weights is None else base
            raise DarkshareError("has no weights, but another network has: give all or none", file=without.name)
        if other.network.input != base.network.input:
            raise ShapeMismatch(
                f"its input is {other.network.input}, the base's is {base.network.input}; "
                "choose one for both with --size, where a network made for another size may find less",
                file=other.name,
                line=other.network.cfg.sections[0].lineno,
            )
        if other.network.dialect != base.network.dialect:
            raise BadValue(f"is read as {other.network.dialect}, the base as {base.network.dialect}", file=other.name)


def _cuts(base: Model, others: Sequence[Model], k: int | Sequence[int] | None) -> list[int]:
    return cut_of_each(k, len(others)) or [longest_trunk(base, other) for other in others]


def longest_trunk(base: Model, other: Model) -> int:
    """Find the largest legal k below the first head with all layers before it bit-identical in both models.

    Raises:
        TrunkMismatch: not even the first layer is the same.
    """
    same = identical_layers(base, other)
    first_head = min(head.index for head in (*base.network.heads, *other.network.heads))
    legal = [k for k in range(1, min(same, first_head) + 1) if illegal_cut(other.network, k) is None]
    if legal:
        return legal[-1]
    common = min(common_structure(base.network, other.network), first_head)
    require_shared(base, other, max(common, 1), cut=deepest_cut(base, common or first_head))
    raise TrunkMismatch(f"has no legal cut below its first {same} layers", file=other.name)


def _require_trunk(base: Model, other: Model, k: int, *, force: bool) -> None:
    why = illegal_cut(other.network, k)
    if why:
        raise BadValue(why, file=other.name)
    if not force or structure_difference(base.network, other.network, k):
        require_shared(base, other, k)
    if base.weights is None or other.weights is None or not force:
        return
    moved = moved_tensors(base, other, k)
    if moved:
        warn(f"{other.name}: merged on the base's trunk although {describe(moved, base, k)}; {diagnose(moved)}")


def _title(models: Sequence[Model]) -> tuple[Line, ...]:
    names = [task.name for model in models for task in without_branch_tasks(model).tasks]
    text = f"Merged by darkshare {__version__}: " + ", ".join(names)
    return comment_line(text.encode("ascii", "backslashreplace").decode()), Line("\n")


def _moved_task(task: Task, k: int, distance: int) -> Task:
    """A task of a further network, as it lies in the product."""
    placed: list[tuple[int, int]] = []
    for start, stop in task.runs:
        if start < k:
            placed.append((start, min(stop, k)))
        if stop > k:
            placed.append((max(start, k) + distance, stop + distance))
    heads = tuple(head if head < k else head + distance for head in task.heads)
    return replace(task, heads=heads, runs=tuple(placed))


def _named(models: Sequence[Model], names: Sequence[str]) -> list[Model]:
    """The models with the names asked for, and no name twice."""
    groups = [group_by_ensemble(model.tasks) for model in models]
    wanted = list(names) or [one[0].ensemble or one[0].name for its in groups for one in its]
    if len(wanted) != sum(map(len, groups)):
        raise BadValue(
            f"{len(wanted)} names for {sum(map(len, groups))} tasks: give one for each, and one for a whole ensemble"
        )
    left, taken = iter(wanted), set[str]()
    found = []
    for model, its in zip(models, groups, strict=True):
        tasks = [task for one in its for task in _with_new_name(one, next(left), taken)]
        found.append(replace(model, tasks=tuple(tasks)))
    return found


def _with_new_name(tasks: Sequence[Task], name: str, taken: set[str]) -> list[Task]:
    """A task or an ensemble with this name, or with a number behind it where that is taken; adds to `taken`."""
    numbered = (name if number == 1 else f"{name}-{number}" for number in count(1))
    found = next(its for one in numbered if taken.isdisjoint(_names_of(its := _called(tasks, one))))
    taken |= _names_of(found)
    return found


def _names_of(tasks: Sequence[Task]) -> set[str]:
    """The names of tasks; an ensemble has its name also where no task of it gives the vote."""
    return {name for task in tasks for name in (task.name, task.ensemble) if name}


def _called(tasks: Sequence[Task], name: str) -> list[Task]:
    """A task or an ensemble with this name: of an ensemble the vote has it, and each branch with its number."""
    if not tasks[0].ensemble:
        return [replace(tasks[0], name=name)]
    numbers = count(1)
    return [
        replace(task, name=name if task.name == task.ensemble else f"{name}-{next(numbers)}", ensemble=name)
        for task in tasks
    ]


def _warn_of_differences(base: Model, other: Model, k: int) -> None:
    """Warn of what the product cannot keep of a further network."""
    if base.network.net.letter_box != other.network.net.letter_box:
        warn(f"{other.name}: letter_box={other.network.net.letter_box} gives way to the base's [net]")
    for layer in other.network.layers[k:]:
        found = [key for key in TRAINING_KEYS if getattr(layer.kind, key)]
        if found:
            warn(
                f"{other.name}: {found[0]}= in {layer.label} would change the training of the merged network; "
                "it does nothing at inference"
            )


def _warn_of_sizes(merged: Model) -> None:
    """Warn of tasks that were made for another input size than the product's."""
    size = merged.network.input
    made = {
        task.name: read_kind(Net, new_section("net", **task.net), merged.network.dialect)
        for task in without_branch_tasks(merged).tasks
    }
    others = [
        f"{name} for {net.width}x{net.height}"
        for name, net in made.items()
        if net.width and net.height and (net.width, net.height) != (size.w, size.h)
    ]
    if others:
        warn(
            f"made for another size than {size.w}x{size.h}: {', '.join(others)}; a task may find much less there (mAP "
            "62.1 instead of 90.5 of one trained at 160x160 and run at 320x320), so measure each (darkshare evaluate), "
            f"or train it with --size {size.w}x{size.h}"
        )


def _warn_of_unequal_classes(merged: Model) -> None:
    boxes = [head for head in merged.network.heads if head.kind.gives_boxes]
    *fewer, most = sorted({head.classes for head in boxes}) or [0]
    if fewer:
        warn(
            f"the heads have {', '.join(map(str, fewer))} and {most} classes: OpenCV and darkshare run this, "
            "but stock Darknet overflows or mislabels boxes; use --layout padded for it"
        )


@checked
def split(model: Model, task: str | Sequence[str] = ()) -> list[Model]:
    """Take a merged model apart: each task's own network, with its own [net], classes and weights header.

    The vote of an ensemble comes with its branches, as tasks of one model.

    Args:
        model: the merged model.
        task: the name of the task wanted, or several; all without it.

    Raises:
        BadValue: it is not merged, or has no task of that name.
        DarkshareError: an ensemble whose branches lie outside of it.
    """
    if len(model.tasks) == 1:
        raise BadValue(
            "is not a merged model, or its .tasks.json is missing, which says what belongs to which task",
            file=model.name,
        )
    known = {one.name: one for one in model.tasks}
    wanted = (task,) if isinstance(task, str) else task
    unknown = [name for name in wanted if name not in known]
    if unknown:
        near = meant(unknown[0], known)
        raise BadValue(f"has no task {unknown[0]}; its tasks are {', '.join(known)}{near}", file=model.name)
    return [_alone(model, known[name]) for name in wanted or known]


def _alone(model: Model, task: Task) -> Model:
    known: dict[int, int] = {}
    parts: list[Part | Section] = []
    position = 0
    for start, stop in task.runs:
        if start and isinstance(model.network.layers[start - 1].kind, Route):
            known[start - 1] = position - 1  # the inserted route stands for the layer that it copies
        parts.append(Part(model, start, stop, dict(known), mark=""))
        known |= {old: position + old - start for old in range(start, stop)}
        position += stop - start
    merged_net = model.network.cfg.sections[0]
    net = new_section("net", **task.net) if task.k else merged_net.set(**task.net)
    network, weights = assemble(net, parts, model.network.dialect)
    is_vote = task.name == task.ensemble
    own = [task, *branch_tasks(model, task.name)] if is_vote else [replace(task, ensemble="")]
    tasks = tuple(_placed(model, one, known) for one in own)
    return unpad(Model(network, weights and replace(weights, header=task.header), tasks))


def _placed(model: Model, task: Task, known: Mapping[int, int]) -> Task:
    """A task of a model where its layers lie in one that was taken out of it."""
    layers = [i for start, stop in task.runs for i in range(start, stop)]
    if foreign := [i for i in (*layers, *task.heads) if i not in known]:
        label = model.network.layers[foreign[0]].label
        raise DarkshareError(
            f"task {task.name} needs {label}, which is not among the layers of what is taken out: "
            "its .tasks.json belongs to another cfg",
            file=model.name,
        )
    heads = tuple(known[i] for i in task.heads)
    return task.of_product(heads=heads, runs=runs(known[i] for i in layers))
