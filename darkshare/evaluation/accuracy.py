"""Accuracy of classifiers: how often the likeliest class is right, or one of the k likeliest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from darkshare._tables import Result, without, wrapped
from darkshare.darknet.tasks import Task
from darkshare.data import ClassifiedDataset
from darkshare.errors import BadValue
from darkshare.evaluation.arrays import Doubles, Ids
from darkshare.evaluation.classes import match_classes

TOP = 5  # guesses that count, beside the first
ALL = "(all)"  # the row of all classes
WORST = 12  # pictures that are kept


class ClassAccuracy(NamedTuple):
    """One class: the number of its pictures, and for each k the share of them found among the first k guesses."""

    class_id: int
    name: str
    pictures: int
    top: tuple[float, ...]


class WrongGuess(NamedTuple):
    """A picture that is taken for another class: its file, its class, the likeliest one and its probability."""

    picture: Path
    name: str
    guess: str
    probability: float


@dataclass(frozen=True, eq=False, repr=False)
class Accuracy(Result):
    """Top-1 and top-k of one task on a data set.

    Attributes:
        task: its name.
        data: the data set's name.
        pictures: how many there are.
        conditions: how pictures were cut, and what computed.
        ks: how many guesses count, such as 1 and 5.
        top: for each of `ks` the part of the pictures whose class is among so many guesses.
        classes: those that the data set has pictures of.
        remarks: about classes that do not match.
        worst: pictures that are taken for another class, those with the highest probability, at most WORST.
    """

    task: str
    data: str
    pictures: int
    conditions: str
    ks: tuple[int, ...]
    top: tuple[float, ...]
    classes: tuple[ClassAccuracy, ...]
    remarks: tuple[str, ...] = ()
    worst: tuple[WrongGuess, ...] = ()

    def __str__(self) -> str:
        return f"{self.summary()} ({self.conditions})" if self.conditions else self.summary()

    @property
    def mean(self) -> float:
        """Top-1, of 0..1."""
        return self.top[0]

    @property
    def mistakes(self) -> str:
        """Nothing: what is not right is wrong."""
        return ""

    @property
    def rule(self) -> str:
        """The measure and its conditions."""
        return f"top-1 of {self.task}, {self.conditions}" if self.conditions else f"top-1 of {self.task}"

    def rows(self) -> list[dict[str, Any]]:
        """A row for each class."""
        return [self._row(one) for one in self.classes]

    def table(self) -> list[dict[str, Any]]:
        """The rows, and one for all classes."""
        return without([*self.rows(), self.row_of_all()], "class_id")

    def row_of_all(self) -> dict[str, Any]:
        """The row of all classes."""
        return {**self._row(ClassAccuracy(-1, ALL, self.pictures, self.top)), "class_id": None}

    def notes(self) -> list[str]:
        """The numbers in one line, and how classes were matched."""
        return [*wrapped(str(self)), *(f"Note: {remark}" for remark in self.remarks)]

    def as_dict(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "data": self.data,
            "pictures": self.pictures,
            "conditions": self.conditions,
            **self._tops(self.top),
            "classes": self.rows(),
            "notes": list(self.remarks),
        }

    def summary(self) -> str:
        tops = ", ".join(f"top-{k} {value:.4f}" for k, value in zip(self.ks, self.top, strict=True))
        return f"{self.task} on {self.data}, {self.pictures} pictures: {tops}"

    def _row(self, one: ClassAccuracy) -> dict[str, Any]:
        head = {"task": self.task, "class_id": one.class_id, "class": one.name, "pictures": one.pictures}
        return {**head, **self._tops(one.top)}

    def _tops(self, top: Sequence[float]) -> dict[str, float]:
        return {f"top{k}": value for k, value in zip(self.ks, top, strict=True)}


def evaluate_guesses(
    guesses: Doubles,
    task: Task,
    dataset: ClassifiedDataset,
    *,
    top: int = TOP,
    map: Mapping[str, str] | None = None,
    by_order: bool = False,
    conditions: str = "",
) -> Accuracy:
    """Compare class probabilities with the classes of pictures.

    Args:
        guesses: (pictures, classes of the task), larger is likelier.
        task: whose classes they are.
        dataset: pictures and their classes.
        top: how many guesses count, beside the first alone; of equal ones the lower class comes first, as in
            Darknet's `top_k`. One that holds all classes is left out.
        map: see `evaluate_detections`.
        by_order: likewise.
        conditions: for the reader.

    Raises:
        BadValue: classes that do not match, or no pictures.
    """
    if len(guesses) != len(dataset.samples):
        raise BadValue(f"{dataset.name} has {len(dataset.samples)} pictures, but there are guesses for {len(guesses)}")
    matched = match_classes(task.name, task.names, dataset.name, dataset.names, map or {}, by_order=by_order)
    truths = np.array([matched.classes[sample.class_id] for sample in dataset.samples], np.int64)
    kept = truths >= 0
    if not kept.any():
        raise BadValue(f"{dataset.name} has no pictures to evaluate on")
    guesses, truths = guesses[kept], truths[kept]
    places = _places(guesses, truths)
    limits = tuple(k for k in sorted({1, top}) if k == 1 or k < len(task.names))
    classes = tuple(
        ClassAccuracy(i, task.names[i], int((truths == i).sum()), _tops(places[truths == i], limits))
        for i in np.unique(truths).tolist()
    )
    tops = _tops(places, limits)
    pictures = [sample.picture for sample, is_kept in zip(dataset.samples, kept, strict=True) if is_kept]
    worst = tuple(_worst(guesses, truths, places, pictures, task.names))
    return Accuracy(task.name, dataset.name, len(truths), conditions, limits, tops, classes, matched.notes, worst)


def _worst(
    guesses: Doubles, truths: Ids, places: Ids, pictures: Sequence[Path], names: Sequence[str]
) -> Iterator[WrongGuess]:
    """The pictures whose class is not the likeliest one, the highest probability first."""
    rows = np.flatnonzero(places)
    for row in rows[np.argsort(-guesses[rows].max(axis=1), kind="stable")][:WORST].tolist():
        guess = int(guesses[row].argmax())
        yield WrongGuess(pictures[row], names[truths[row]], names[guess], float(guesses[row, guess]))


def _places(guesses: Doubles, truths: Ids) -> Ids:
    """Count for each picture the classes that come before the true one."""
    own = guesses[np.arange(len(truths)), truths][:, None]
    lower = np.arange(guesses.shape[1])[None, :] < truths[:, None]
    places: Ids = ((guesses > own) | ((guesses == own) & lower)).sum(axis=1)
    return places


def _tops(places: Ids, ks: Sequence[int]) -> tuple[float, ...]:
    return tuple(float((places < k).mean()) for k in ks)
