"""The boxes that each task finds in the pictures of other tasks, which are not labelled for it: probably mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from darkshare._tables import Result, without, wrapped
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.data import Dataset
from darkshare.errors import BadArguments
from darkshare.evaluation.accuracy import ALL
from darkshare.evaluation.classes import listed
from darkshare.inference.boxes import Detections

SHOWN = 3  # classes of a task in the table
_CURE = "where that is not there, train it with such pictures, but others: --negatives FOLDER"
MUCH = 0.05  # of the pictures: with boxes in more of them, a task lacks pictures without objects


class CrossClass(NamedTuple):
    """One class of a task, or all, in the pictures of another.

    Attributes:
        class_id: the task's; None for all classes.
        name: of the class.
        boxes: above the threshold.
        pictures: that have at least one of them.
        highest: the best score, above the threshold or not; None where nothing is found.
        best_boxes: boxes above the task's threshold of best F1; None where that is not known.
    """

    class_id: int | None
    name: str
    boxes: int
    pictures: int
    highest: float | None
    best_boxes: int | None


@dataclass(frozen=True, eq=False)
class CrossCount:
    """The boxes of a task in the pictures of one other task.

    Attributes:
        task: that looked.
        k: the layers that it shares with the base; 0 for the base itself, which is not to be trained again.
        owner: the task that the pictures are for.
        data: their data set.
        pictures: how many count.
        left_out: how many do not, since their labels hold a class of the task.
        shared: the classes of the data set that are the task's too.
        threshold: of `boxes`.
        best: the task's threshold of best F1 on its own data; None where that is not known.
        all: of all classes.
        classes: of the task, in its order.
    """

    task: str
    k: int
    owner: str
    data: str
    pictures: int
    left_out: int
    shared: tuple[str, ...]
    threshold: float
    best: float | None
    all: CrossClass
    classes: tuple[CrossClass, ...]

    @property
    def is_much(self) -> bool:
        """Whether boxes are in so many pictures that training with such pictures as negatives should help."""
        return self.all.pictures > MUCH * self.pictures

    def row(self, one: CrossClass) -> dict[str, Any]:
        """A class, or all of them, as a line of the table."""
        count = self.pictures
        return {
            "task": self.task, "data": self.data, "class_id": one.class_id, "class": one.name, "pictures": count,
            "left_out": self.left_out, "threshold": self.threshold, "boxes": one.boxes,
            "per_100": 100 * one.boxes / count if count else None, "share": one.pictures / count if count else None,
            "highest": one.highest, "best_at": self.best, "best_boxes": one.best_boxes,
        }  # fmt: skip

    def shown(self) -> list[CrossClass]:
        """All classes together, and the few of several that find most."""
        found = [one for one in self.classes if one.boxes] if len(self.classes) > 1 else []
        return [self.all, *sorted(found, key=lambda one: -one.boxes)[:SHOWN]]


@dataclass(frozen=True, eq=False, repr=False)
class Cross(Result):
    """The boxes of each task in the pictures of the others, task by task and data set by data set.

    Attributes:
        counts: of each task and data set.
    """

    counts: tuple[CrossCount, ...]

    def heading(self) -> str:
        return f"In the pictures of other tasks, at scores > {self.counts[0].threshold:g}: probably mistakes"

    def rows(self) -> list[dict[str, Any]]:
        """A row for all classes of a task in one data set, then one for each class."""
        return [count.row(one) for count in self.counts for one in (count.all, *count.classes)]

    def table(self) -> list[dict[str, Any]]:
        rows = [count.row(one) for count in self.counts for one in count.shown()]
        return without(rows, "class_id", "left_out", "threshold", "best_at")  # 80 columns; the last stands above

    def notes(self) -> list[str]:
        """The pictures that do not count, the classes that are not shown, and what helps against many boxes."""
        several = [one.task for one in self.counts if sum(each.boxes > 0 for each in one.classes) > SHOWN]
        remarks = [
            *(
                f"left out for {one.task}: {one.left_out} of {one.left_out + one.pictures} pictures of {one.data}, "
                f"whose labels hold its {listed(one.shared)}"
                for one in self.counts
                if one.left_out
            ),
            *(f"the {SHOWN} classes of {task} with most boxes are shown" for task in dict.fromkeys(several)),
            *(
                f"{one.task} finds something in {100 * one.all.pictures / one.pictures:.0f} % of the pictures of "
                f"{one.data}; {_CURE if one.k else 'look at whether that is there'}"
                for one in self.counts
                if one.is_much
            ),
        ]
        return [line for remark in remarks for line in wrapped(f"Note: {remark}")]

    def summary(self) -> str:
        return ", ".join(f"{one.task} on {one.data}: {one.all.boxes} boxes" for one in self.counts)


def cross_count(
    detections: Sequence[Detections], dataset: Dataset, k: int, owner: str, threshold: float, best: float | None,
    map: Mapping[str, str],
) -> CrossCount:  # fmt: skip
    """Count what a task finds in the pictures of another.

    A picture whose labels hold a class of the task does not count: what is found there may be right. Classes are
    the same where their names are, or the name that `map` gives the data set's.

    Args:
        detections: the task's, of each picture of the data set.
        dataset: the other task's.
        k: the layers that the task shares with the base.
        owner: that task.
        threshold: boxes with scores above it count.
        best: the task's threshold of best F1; None where that is not known.
        map: other names for classes of the data set.
    """
    task, names = detections[0].task, detections[0].names
    shared = {at: name for at, name in enumerate(dataset.names) if {name, map.get(name, name)} & set(names)}
    kept = [
        found
        for found, sample in zip(detections, dataset.samples, strict=True)
        if not any(box.class_id in shared for box in sample.boxes)
    ]
    scores = np.concatenate([np.empty(0), *(one.scores for one in kept)]).astype(np.float64)
    ids = np.concatenate([np.empty(0, np.int64), *(one.class_ids for one in kept)]).astype(np.int64)
    at = np.repeat(np.arange(len(kept)), [len(one) for one in kept])
    above, count = scores > threshold, len(names)
    boxes = np.bincount(ids[above], minlength=count)
    seen = np.bincount(np.unique(at[above] * count + ids[above]) % count, minlength=count)
    highest = np.zeros(count)
    np.maximum.at(highest, ids, scores)
    left = None if best is None else np.bincount(ids[scores > best], minlength=count)

    def one(class_id: int) -> CrossClass:
        known = None if left is None else int(left[class_id])
        top = float(highest[class_id]) or None
        return CrossClass(class_id, names[class_id], int(boxes[class_id]), int(seen[class_id]), top, known)

    known = None if left is None else int(left.sum())
    together = CrossClass(None, ALL, int(above.sum()), len(np.unique(at[above])), float(highest.max()) or None, known)
    return CrossCount(
        task, k, owner, dataset.name, len(kept), len(detections) - len(kept), tuple(shared.values()), threshold, best,
        together, tuple(one(class_id) for class_id in range(count)),
    )  # fmt: skip


def others_of(model: Model, task: Task) -> list[Task]:
    """Give the other tasks that find boxes, without branches of the same ensemble, which have the same classes."""
    return [
        one
        for one in model.tasks
        if one.name != task.name and not model.classifies(one) and not (one.ensemble and one.ensemble == task.ensemble)
    ]


def require_several(model: Model) -> None:
    """Refuse a model whose tasks have no pictures of one another.

    Raises:
        BadArguments: only one task finds boxes.
    """
    if not any(others_of(model, task) for task in model.tasks if not model.classifies(task)):
        raise BadArguments(
            "cross is for merged models of several detectors, and this has one; what it must not find is learned from "
            "pictures without objects (train --negatives FOLDER), and measured on a data set that holds such pictures"
        )
