"""Which task of a model `evaluate` runs on what, and beside which other models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from darkshare.cli.options import load_all
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.errors import BadValue


class Job(NamedTuple):
    """A task, its data set, and what to compare it with."""

    task: Task
    path: str
    beside: tuple[Model, Task] | None


def loaded(given: Sequence[tuple[str, str]], loading: dict[str, Any]) -> list[tuple[str, Model]]:
    """The other models, each with the task it was given for, or "" for those of the same name."""
    files: list[tuple[str, list[str]]] = []
    for task, path in given:
        if Path(path).suffix == ".weights" and files and not task:
            files[-1][1].append(path)
        else:
            files.append((task, [path]))
    return [(task, model) for task, paths in files for model in load_all(paths, **loading)]


def jobs_of(model: Model, data: Sequence[tuple[str, str]], beside: Sequence[tuple[str, Model]]) -> tuple[Job, ...]:
    """Which task is evaluated on what, and beside what."""
    if not data:
        raise click.UsageError("give a data set: FILE.data, or --data TASK=FILE.data for each task")
    found: dict[str, Job] = {}
    for name, path in data:
        task = _task(model, name, path)
        if task.name in found:
            raise BadValue(f"two data sets for {task.name}: {found[task.name].path} and {path}")
        found[task.name] = Job(task, path, None)
    for name, other in beside:
        pairs = _pairs(name, other, found, alone=len(model.tasks) == 1)
        for own, counterpart in pairs:
            if earlier := found[own].beside:
                raise BadValue(f"two models to compare {own} with: {earlier[0].name} and {other.name}")
            found[own] = found[own]._replace(beside=(other, counterpart))
    return tuple(found.values())


def _task(model: Model, name: str, path: str) -> Task:
    """The task that a data set is for."""
    try:
        return model.task(name or None)
    except BadValue as error:
        if not name:
            error.message += f", with --data TASK={path}"
        raise


def _pairs(name: str, other: Model, found: dict[str, Job], *, alone: bool) -> list[tuple[str, Task]]:
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
