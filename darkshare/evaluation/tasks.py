"""Evaluation of every task of a model on its own data set, beside other models where there are some."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.data import ClassifiedDataset, Dataset, is_divided, read_classes, read_data
from darkshare.data.findings import warn_of
from darkshare.data.unreadable import without
from darkshare.errors import BadArguments, BadValue, checked, require_least, warn
from darkshare.evaluation.accuracy import TOP
from darkshare.evaluation.average_precision import RULES, THRESHOLD, Evaluation
from darkshare.evaluation.classes import listed, match_classes
from darkshare.evaluation.coco import require_tool
from darkshare.evaluation.cross import Cross, cross_count, others_of, require_several
from darkshare.evaluation.results import Accuracies, Evaluations, TaskEvaluation
from darkshare.evaluation.runner import LOWEST, DatasetDetections, Runner, Watch
from darkshare.inference.boxes import NMS, OVERLAP
from darkshare.inference.engines import DEFAULT
from darkshare.inference.media.chunks import CHUNK, Chunks
from darkshare.inference.onnx import BN_EPSILON

OF_BOXES = {  # parameters that are for detectors only
    "rule", "points", "iou", "thresh", "lowest", "nms", "tiles", "overlap", "beside", "cross", "output", "chunk",
    "scheduler",
}  # fmt: skip
OF_CLASSES = {"top", "split", "seed"}  # for classifiers only
NOT_FOR_CLASSIFIERS = "about boxes, and this model classifies pictures"
NOT_FOR_DETECTORS = "about classes of pictures, and this model finds boxes"
_RUNNING = ("lowest", "nms", "tiles", "overlap", "batch", "bn_epsilon", "engine", "threads", "precision")
Source = str | os.PathLike[str] | Dataset | ClassifiedDataset
Sources = Source | Mapping[str, Source] | Sequence[tuple[str, Source]]  # one, or several by their tasks
Models = Model | Mapping[str, Model] | Sequence[Model | tuple[str, Model]]  # likewise
T = TypeVar("T")
D = TypeVar("D", Dataset, ClassifiedDataset)


@checked
def evaluate(
    model: Model, data: Sources, *, part: str = "valid", rule: str = RULES[0], points: int | None = None,
    iou: float = 0.5, thresh: float = THRESHOLD, lowest: float = LOWEST, nms: float = NMS,
    tiles: tuple[int, int] | None = None, overlap: float = OVERLAP, top: int = TOP, split: float = 0, seed: int = 0,
    map: Mapping[str, str] | Sequence[tuple[str, str]] = (), by_order: bool = False, beside: Models = (),
    cross: bool = False, output: str | os.PathLike[str] | None = None, chunk: int | None = None,
    scheduler: str | None = None, batch: int = 1, bn_epsilon: float = BN_EPSILON, engine: str = DEFAULT,
    threads: int | None = None, precision: str = "fp32", watch: Callable[[str], Watch] = lambda label: iter,
) -> Evaluations | Accuracies:  # fmt: skip
    """Run a model over labelled pictures and measure mean average precision per task, or top-1 and top-k.

    Args:
        model: with weights.
        data: a .data file, of a classifier also a folder of classes, or a data set; for several tasks {task: data}.
        part: of a file or folder: "valid", "train" or "test".
        rule: "darknet" (`detector map`), "coco" (COCO's own tool, from the extra `coco`) or "both".
        points: recalls at which precision is read by Darknet's rule; 0, or none, for the area under the curve.
        iou: the overlap that makes a hit.
        thresh: precision, recall and F1 are those of scores above it.
        lowest: detections above this score count at all.
        nms: of two boxes of one class that overlap more, the better one counts.
        tiles: see `detect`; columns and rows.
        overlap: of tiles.
        top: of classifiers, how many guesses count beside the first.
        split: of a folder of classes, the share that `train` set aside for validation; 0 takes all pictures.
        seed: of `split`.
        map: the task's class for classes of the data sets that have another name; "" leaves one out.
        by_order: match classes by their numbers, whatever their names.
        beside: another model to compare with, or several: {task: model}, or tasks of the same names are compared.
        cross: count too what each task of a merged model finds in the pictures of the others.
        output: a folder that keeps the boxes of each task by chunks of pictures; the same call goes on with them.
        chunk: how many pictures are one (256).
        scheduler: the address of a Dask cluster that finds the boxes.
        batch: how many pictures, or tiles of them, go through the network at once.
        bn_epsilon: of batch norm, see `export`.
        engine: what computes, see `engines`.
        threads: with how many.
        precision: in which.
        watch: gives for a label what goes through the pictures, for a progress bar.

    Raises:
        BadArguments: arguments that contradict each other, or would do nothing for this model.
        DarkshareError: a task that is not there, classes that do not match, files that cannot be read.
    """
    given = dict(locals())
    require_least(1, batch=batch, chunk=chunk)
    if chunk and not (output or scheduler):
        raise BadArguments("chunk is for a folder, or a cluster: give output or scheduler too")
    folder = Path(output) if output else None
    cut = Chunks(folder, chunk or CHUNK, scheduler=scheduler) if folder or scheduler else None
    running = {x: given[x] for x in _RUNNING}
    run = _Run(model, _jobs(model, data, beside), part, dict(map), by_order, watch, running, cut)
    if map and by_order:
        raise BadArguments("map names classes, and by_order does not look at names; give one of them")
    if run.classifies:
        _require_use(given, OF_BOXES, NOT_FOR_CLASSIFIERS)
        return run.accuracies(top, split, seed)
    _require_use(given, OF_CLASSES, NOT_FOR_DETECTORS)
    return run.evaluations(_rules(rule, points, iou, thresh), cross=cross)


class _Job(NamedTuple):
    """A task, its data set, and what to compare it with."""

    task: Task
    source: Source
    beside: tuple[Model, Task] | None = None


@dataclass(frozen=True)
class _Run:
    """The tasks to evaluate, and how."""

    model: Model
    jobs: tuple[_Job, ...]
    part: str
    map: dict[str, str]
    by_order: bool
    watch: Callable[[str], Watch]
    running: dict[str, Any]
    cut: Chunks | None
    runners: dict[int, Runner] = field(default_factory=dict)

    @property
    def classifies(self) -> bool:
        """Whether the tasks give classes of pictures instead of boxes."""
        found = {self.model.classifies(job.task) for job in self.jobs}
        if len(found) > 1:
            raise BadArguments("some of the tasks find boxes, others classify pictures: evaluate them in two calls")
        return found == {True}

    def evaluations(self, rules: Sequence[dict[str, Any]], *, cross: bool) -> Evaluations:
        """Evaluate detectors; whatever can be wrong is found before the pictures are read."""
        if cross:
            require_several(self.model)
        if rules[-1]["rule"] == "coco":
            require_tool()
        for model in (self.model, *(job.beside[0] for job in self.jobs if job.beside)):
            self._runner(model)
        datasets = [self._dataset(job, Dataset, lambda path: read_data(path, self.part)) for job in self.jobs]
        self._require_classes(datasets)
        found, strange = [], []
        for job, dataset in zip(self.jobs, datasets, strict=True):
            others = others_of(self.model, job.task) if cross else []
            folder = "cross" if cross else "model"
            mine, *theirs = self._detections(self.model, [job.task, *others], dataset, folder, job.task)
            one = TaskEvaluation(self._by_rules(mine, dataset, rules), model=self.model.name)
            if job.beside:
                (other,) = self._detections(job.beside[0], job.beside[1:], dataset, "beside", job.task)
                one = one._replace(beside=self._by_rules(other, dataset, rules), other=job.beside[0].name)
            found.append(one)
            strange += [(their, dataset, job.task) for their in theirs]
        return Evaluations(tuple(found), self._crossed(strange, found) if cross else None)

    def accuracies(self, top: int, split: float, seed: int) -> Accuracies:
        """Evaluate classifiers."""

        def read(path: str | os.PathLike[str]) -> ClassifiedDataset:
            if split and is_divided(path):
                warn(f"{path} has parts of its own, so --split is not used")
            return read_classes(path, self.part, share=split, seed=seed)

        runner, found, remarks = self._runner(self.model), [], []
        datasets = [self._dataset(job, ClassifiedDataset, read) for job in self.jobs]
        self._require_classes(datasets)
        for job, dataset in zip(self.jobs, datasets, strict=True):
            if top != TOP and top >= len(job.task.names) > 1:
                classes = f"{job.task.name} has {len(job.task.names)} classes"
                remarks.append(f"{classes}, so top-{top} holds all and is not shown")
            watch = self.watch(f"{job.task.name} on {dataset.name}")
            made = runner.accuracies(dataset, job.task.name, watch, top=top, **self._matching(dataset))
            found.append(tuple(made))
        return Accuracies(tuple(found), tuple(remarks))

    def _detections(
        self, model: Model, tasks: Sequence[Task], dataset: Dataset, folder: str, owner: Task
    ) -> tuple[DatasetDetections, ...]:
        """The boxes of tasks in the pictures of one that owns them, kept in a folder where there is one."""
        named = ", ".join(task.name for task in tasks)
        cut = self.cut and self.cut._replace(folder=self.cut.folder and self.cut.folder / folder / owner.name)
        watch = self.watch(f"{named} of {Path(model.name).name}")
        return self._runner(model).detect_tasks(dataset, tasks, watch, cut)

    def _by_rules(
        self, found: DatasetDetections, dataset: Dataset, rules: Sequence[dict[str, Any]]
    ) -> tuple[Evaluation, ...]:
        return tuple(found.evaluate(dataset, **rule, **self._matching(dataset)) for rule in rules)

    def _crossed(
        self, strange: Sequence[tuple[DatasetDetections, Dataset, Task]], found: Sequence[TaskEvaluation]
    ) -> Cross:
        """Count the boxes in pictures of others, also above the best threshold that each task has on its own."""
        best = {one.own[0].task: one.own[0].best for one in found}
        counts = []
        for one, dataset, owner in strange:
            point, seen = best.get(one.detections[0].task), without(dataset, one.missing)
            threshold = found[0].own[0].threshold
            counts.append(cross_count(one.detections, seen, owner.name, threshold, point and point.threshold, self.map))
        return Cross(tuple(counts))

    def _runner(self, model: Model) -> Runner:
        """Load each model into the engine once."""
        if id(model) not in self.runners:
            self.runners[id(model)] = Runner.of(model, **self.running)
        return self.runners[id(model)]

    @staticmethod
    def _dataset(job: _Job, kind: type[D], read: Callable[[str | os.PathLike[str]], D]) -> D:
        """Read the data set of a task, or take the one that was given."""
        found = job.source
        if not isinstance(found, Dataset | ClassifiedDataset):
            made = read(found)
            warn_of(made.findings)
            return made
        if not isinstance(found, kind):
            holds = "boxes" if isinstance(found, Dataset) else "classes of pictures"
            raise BadValue(f"{found.name} has {holds}, which is not what {job.task.name} gives")
        return found

    def _matching(self, dataset: Dataset | ClassifiedDataset) -> dict[str, Any]:
        """The arguments for matching the classes of one data set; `map` may have those of another."""
        return {"map": {old: new for old, new in self.map.items() if old in dataset.names}, "by_order": self.by_order}

    def _require_classes(self, datasets: Sequence[Dataset | ClassifiedDataset]) -> None:
        """Refuse classes that do not match, before the pictures are read."""
        known = dict.fromkeys(name for dataset in datasets for name in dataset.names)
        for name in self.map:
            if name not in known:
                owners = ", ".join(dataset.name for dataset in datasets)
                raise BadValue(f"--map {name}=…: {owners} has no such class; it has {listed(list(known))}")
        for job, dataset in zip(self.jobs, datasets, strict=True):
            for task in (job.task, *(job.beside[1:] if job.beside else ())):
                match_classes(task.name, task.names, dataset.name, dataset.names, **self._matching(dataset))


def _require_use(given: Mapping[str, Any], names: set[str], reason: str) -> None:
    """Refuse arguments that would do nothing."""
    defaults = {name: parameter.default for name, parameter in signature(evaluate).parameters.items()}
    if unused := [name for name in defaults if name in names and (given[name] or None) != (defaults[name] or None)]:
        raise BadArguments(f"{', '.join(unused)}: {reason}")


def _rules(name: str, points: int | None, iou: float, thresh: float) -> tuple[dict[str, Any], ...]:
    """The arguments of `evaluate_detections` for each rule."""
    if name not in (*RULES, "both"):
        raise BadArguments(f"there is no rule {name}; use {', '.join(RULES)} or both")
    if points and name == "coco":
        raise BadArguments("--points is for Darknet's rule; COCO's has 101")
    names = RULES if name == "both" else (name,)
    chosen = {"darknet": points}
    return tuple({"rule": rule, "points": chosen.get(rule), "iou": iou, "thresh": thresh} for rule in names)


def _named(given: T | Mapping[str, T] | Sequence[T | tuple[str, T]]) -> list[tuple[str, T]]:
    """Each value with the task that it was given for, or ""."""
    if isinstance(given, Mapping):
        return list(given.items())
    several = given if isinstance(given, list | tuple) else [given]
    return [one if isinstance(one, tuple) else ("", one) for one in several]


def _jobs(model: Model, data: Sources, beside: Models) -> tuple[_Job, ...]:
    """Find which task is evaluated on which data set, and beside which other model."""
    found: dict[str, _Job] = {}
    sources: list[tuple[str, Source]] = _named(data)
    for name, source in sources:
        task = _task(model, name, source)
        if task.name in found:
            raise BadValue(f"two data sets for {task.name}: {_label(found[task.name].source)} and {_label(source)}")
        found[task.name] = _Job(task, source)
    if not found:
        raise BadArguments("give a data set: FILE.data, or --data TASK=FILE.data for each task")
    for name, other in _named(beside):
        for own, counterpart in _counterparts(name, other, found, alone=len(model.tasks) == 1):
            if earlier := found[own].beside:
                raise BadValue(f"two models to compare {own} with: {earlier[0].name} and {other.name}")
            found[own] = found[own]._replace(beside=(other, counterpart))
    return tuple(found.values())


def _label(source: Source) -> str:
    return source.name if isinstance(source, Dataset | ClassifiedDataset) else os.fspath(source)


def _task(model: Model, name: str, source: Source) -> Task:
    """The task that a data set is for."""
    try:
        return model.task(name or None)
    except BadValue as error:
        if not name:
            error.message += f", with --data TASK={_label(source)}"
        raise


def _counterparts(name: str, other: Model, found: Mapping[str, _Job], *, alone: bool) -> list[tuple[str, Task]]:
    """The tasks that another model is to be compared with, and its own tasks for them."""
    if name and name not in found:
        raise BadValue(
            f"--beside {name}=…: there is no data set for a task {name}; there is one for {', '.join(found)}"
        )
    same = [(task.name, task) for task in other.tasks if task.name in found and name in ("", task.name)]
    if same:
        return same
    if len(other.tasks) == 1 and (name or alone):
        return [(name or next(iter(found)), other.tasks[0])]
    tasks, known = ", ".join(task.name for task in other.tasks), ", ".join(found)
    raise BadValue(f"{other.name} has {tasks}, which is none of {known}: say which it is with --beside TASK=FILE.cfg")
