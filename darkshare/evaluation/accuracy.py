"""How often a classifier is right: the class it thinks most likely, or one of the k most likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from darkshare.datasets import ClassifiedDataset
from darkshare.errors import BadValue, DarkshareError
from darkshare.evaluation.classes import match_classes
from darkshare.evaluation.labelled import Doubles, Ids
from darkshare.kinds import Softmax
from darkshare.model import Model, Task
from darkshare.pictures import Picture
from darkshare.weights import Floats

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


def cropped(image: Picture) -> Picture:
    """The square in the middle, as Darknet gives pictures to classifiers (center_crop_image in pjreddie's image.c)."""
    h, w = image.shape[:2]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return image[top : top + side, left : left + side]


def probabilities(model: Model, task: Task, raws: Sequence[Mapping[int, Floats]]) -> Doubles:
    """The class probabilities of a task, (pictures, classes); of several heads the mean.

    Args:
        model: whose heads they are.
        task: the classifier.
        raws: what the heads give for each picture; softmax is taken of what does not end in [softmax].

    Raises:
        DarkshareError: heads without one number per class, or values that are no numbers.
    """
    parts = []
    for head in task.heads:
        values = np.stack([raw[head].reshape(-1) for raw in raws]).astype(np.float64)
        layer = model.network.layers[head]
        if values.shape[1] != len(task.names):
            raise BadValue(f"{layer.label} gives {values.shape[1]} numbers for {len(task.names)} classes")
        if not np.isfinite(values).all():
            raise DarkshareError(f"{layer.label} gives values that are no numbers: are the weights broken?")
        parts.append(values if isinstance(layer.kind, Softmax) else _softmax(values))
    mean: Doubles = np.mean(parts, axis=0)
    return mean


def _softmax(values: Doubles) -> Doubles:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Doubles = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _places(guesses: Doubles, truths: Ids) -> Ids:
    """How many classes come before the true one."""
    own = guesses[np.arange(len(truths)), truths][:, None]
    lower = np.arange(guesses.shape[1])[None, :] < truths[:, None]
    places: Ids = ((guesses > own) | ((guesses == own) & lower)).sum(axis=1)
    return places


def _tops(places: Ids, ks: Sequence[int]) -> tuple[float, ...]:
    return tuple(float((places < k).mean()) for k in ks)
