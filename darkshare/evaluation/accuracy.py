"""How often a classifier is right: the class it thinks most likely, or one of the k most likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from darkshare.darknet.tasks import Task
from darkshare.data import ClassifiedDataset
from darkshare.errors import BadValue
from darkshare.evaluation.arrays import Doubles, Ids
from darkshare.evaluation.classes import match_classes

if TYPE_CHECKING:
    import pandas as pd

KS = (1, 5)


class ClassAccuracy(NamedTuple):
    """One class: how many pictures show it, and which part of them is found among the first k guesses."""

    class_id: int
    name: str
    pictures: int
    top: tuple[float, ...]


@dataclass(frozen=True)
class Accuracy:
    """How often a task's guesses are right on a data set.

    Attributes:
        task: its name.
        data: the data set's name.
        pictures: how many there are.
        conditions: how pictures were cut, and what computed.
        ks: how many guesses count, such as 1 and 5.
        top: for each of `ks` the part of the pictures whose class is among so many guesses.
        classes: those that the data set has pictures of.
        notes: about classes that do not match.
    """

    task: str
    data: str
    pictures: int
    conditions: str
    ks: tuple[int, ...]
    top: tuple[float, ...]
    classes: tuple[ClassAccuracy, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        tops = ", ".join(f"top-{k} {value:.4f}" for k, value in zip(self.ks, self.top, strict=True))
        how = f" ({self.conditions})" if self.conditions else ""
        return f"{self.task} on {self.data}, {self.pictures} pictures: {tops}{how}"

    @property
    def mean(self) -> float:
        """Top-1, of 0..1."""
        return self.top[0]

    @property
    def rule(self) -> str:
        """How it was counted."""
        return f"top-1 of {self.task}, {self.conditions}" if self.conditions else f"top-1 of {self.task}"

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each class and one for all."""
        everything = ClassAccuracy(-1, "(all)", self.pictures, self.top)
        return [
            {"task": self.task, "class": one.name, "pictures": one.pictures}
            | {f"top{k}": value for k, value in zip(self.ks, one.top, strict=True)}
            for one in (*self.classes, everything)
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "task": self.task,
            "data": self.data,
            "pictures": self.pictures,
            "conditions": self.conditions,
            **{f"top{k}": value for k, value in zip(self.ks, self.top, strict=True)},
            "classes": self.to_rows()[:-1],
            "notes": list(self.notes),
        }

    def to_dataframe(self) -> pd.DataFrame:
        """`to_rows` as a table, without the row for all."""
        import pandas as pd

        return pd.DataFrame(self.to_rows()[:-1])


def classify_score(
    guesses: Doubles,
    task: Task,
    dataset: ClassifiedDataset,
    *,
    ks: Sequence[int] = KS,
    renamed: Mapping[str, str] | None = None,
    by_order: bool = False,
    conditions: str = "",
) -> Accuracy:
    """Compare class probabilities with the classes of pictures.

    Args:
        guesses: (pictures, classes of the task), larger is likelier.
        task: whose classes they are.
        dataset: pictures and their classes.
        ks: how many guesses count; of equal ones the lower class comes first, as in Darknet's `top_k`.
        renamed: see `evaluate`.
        by_order: likewise.
        conditions: for the reader.

    Raises:
        BadValue: classes that do not match, or no pictures.
    """
    if len(guesses) != len(dataset.samples):
        raise BadValue(f"{dataset.name} has {len(dataset.samples)} pictures, but there are guesses for {len(guesses)}")
    matched = match_classes(task.name, task.names, dataset.name, dataset.names, renamed or {}, by_order=by_order)
    truths = np.array([matched.classes[sample.class_id] for sample in dataset.samples], np.int64)
    kept = truths >= 0
    if not kept.any():
        raise BadValue(f"{dataset.name} has no pictures to evaluate on")
    places, truths = _places(guesses[kept], truths[kept]), truths[kept]
    limits = tuple(k for k in sorted(set(ks)) if k == 1 or k < len(task.names))  # every class is among all of them
    classes = tuple(
        ClassAccuracy(i, task.names[i], int((truths == i).sum()), _tops(places[truths == i], limits))
        for i in np.unique(truths).tolist()
    )
    top = _tops(places, limits)
    return Accuracy(task.name, dataset.name, len(truths), conditions, limits, top, classes, matched.notes)


def _places(guesses: Doubles, truths: Ids) -> Ids:
    """How many classes come before the true one."""
    own = guesses[np.arange(len(truths)), truths][:, None]
    lower = np.arange(guesses.shape[1])[None, :] < truths[:, None]
    places: Ids = ((guesses > own) | ((guesses == own) & lower)).sum(axis=1)
    return places


def _tops(places: Ids, ks: Sequence[int]) -> tuple[float, ...]:
    return tuple(float((places < k).mean()) for k in ks)
