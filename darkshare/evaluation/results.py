"""Results of `evaluate`: tasks and classes beneath one another, rules and models side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from darkshare._tables import Result, without, wrapped
from darkshare.evaluation.accuracy import ALL, Accuracy
from darkshare.evaluation.average_precision import ClassScore, Evaluation
from darkshare.evaluation.cross import Cross

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from darkshare._figures import Look


class TaskEvaluation(NamedTuple):
    """One task by each rule, and by the same rules a task of another model to compare with.

    Attributes:
        own: an evaluation for each rule.
        beside: likewise, of the other model; empty without one.
        model: the name of the model.
        other: the name of the other model, or "".
    """

    own: tuple[Evaluation, ...]
    beside: tuple[Evaluation, ...] = ()
    model: str = ""
    other: str = ""

    def all(self) -> Iterator[tuple[str, Evaluation]]:
        """Each evaluation with the name of its model."""
        yield from ((self.model, found) for found in self.own)
        yield from ((self.other, found) for found in self.beside)


Named = Mapping[str | None, float | None]


@dataclass(frozen=True, eq=False, repr=False)
class Evaluations(Result):
    """Mean average precision of the tasks of a detector.

    Attributes:
        tasks: each task that was evaluated, in the order of the data sets.
        cross: what each task finds in the pictures of the others; None where that was not asked.
    """

    tasks: tuple[TaskEvaluation, ...]
    cross: Cross | None = None

    @property
    def means(self) -> dict[str, float]:
        """The mean average precision of each task, from 0 to 1, by the first rule."""
        return {one.own[0].task: one.own[0].mean for one in self.tasks}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each class of each task, and one for all classes of a task: its mean average precision."""
        compares = any(one.beside for one in self.tasks)
        return [row for one in self.tasks for row in _rows(one, compares=compares)]

    def table(self) -> list[dict[str, Any]]:
        return without(self.rows(), "class_id")

    def notes(self) -> list[str]:
        """Each mean with its rule, what lies above the threshold, and how classes were matched."""
        lines, remarks = [], []
        for one in self.tasks:
            lines += [line for found in one.own for line in found.lines()]
            lines += [line for found in one.beside for line in found.lines(f"{one.other}: ")]
            remarks += [f"Note: {remark}" for _, found in one.all() for remark in found.remarks]
        return [*lines, *dict.fromkeys(remarks)]

    def text(self, form: str = "text", room: int | None = None) -> str:
        own = super().text(form, room)
        return f"{own}\n\n{self.cross.text(form, room)}" if self.cross else own

    def as_dict(self) -> dict[str, Any]:
        """Everything but the curves: the rows, for each task its evaluations and those beside it, and `cross`."""
        tasks = [
            {"model": one.model, "own": [found.as_dict() for found in one.own]}
            | {"other": one.other or None, "beside": [found.as_dict() for found in one.beside]}
            for one in self.tasks
        ]
        return {**super().as_dict(), "tasks": tasks} | ({"cross": self.cross.as_dict()} if self.cross else {})

    def _repr_html_(self) -> str:
        return super()._repr_html_() + (self.cross._repr_html_() if self.cross else "")

    def summary(self) -> str:
        iou = self.tasks[0].own[0].rule.iou
        return f"mAP@{iou:.2f} " + ", ".join(f"{task} {mean:.4f}" for task, mean in self.means.items())

    def curves(self) -> Curves:
        """Precision over recall: the points of every class, by every rule, of both models."""
        return Curves(self.tasks)

    def plot(self, path: str | PathLike[str], **look: Unpack[Look]) -> None:
        """Draw precision over recall, a panel for each class, into a .png, .svg or .pdf; of several rules the first.

        Args:
            path: the file; it is replaced as a whole.
            look: width in inches, font_size in points, title, in place of the figure's own.

        Raises:
            DarkshareError: another suffix, the file cannot be written, or no class has truths.
        """
        from darkshare.evaluation.chart import plot_curves

        plot_curves(self.tasks, path, **look)


@dataclass(frozen=True, eq=False, repr=False)
class Curves(Result):
    """Precision over recall of all classes, as a table.

    Attributes:
        tasks: those that were evaluated.
    """

    tasks: tuple[TaskEvaluation, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each detection: score, precision and recall down to it, the best precision from there on."""
        return [row for one in self.tasks for model, found in one.all() for row in _curve_rows(model, found)]

    def summary(self) -> str:
        return f"{sum(len(found.classes) for one in self.tasks for _, found in one.all())} curves"


@dataclass(frozen=True, eq=False, repr=False)
class Accuracies(Result):
    """Top-1 and top-k of the tasks of a classifier.

    Attributes:
        tasks: for each task its accuracy; of an ensemble that of its vote, each branch's, and those of both means.
        remarks: about the numbers that are shown.
    """

    tasks: tuple[tuple[Accuracy, ...], ...]
    remarks: tuple[str, ...] = ()

    @property
    def means(self) -> dict[str, float]:
        """Top-1 of each task, from 0 to 1."""
        return {first.task: first.mean for first, *_ in self.tasks}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each class of a task and one for all; of branches and means the row for all only."""
        rows = [
            row
            for first, *others in self.tasks
            for row in (*first.rows(), first.row_of_all(), *(one.row_of_all() for one in others))
        ]
        columns = dict.fromkeys(key for row in rows for key in row)  # a task of few classes has no top-5
        return [{key: row.get(key) for key in columns} for row in rows]

    def table(self) -> list[dict[str, Any]]:
        return without(self.rows(), "class_id")

    def notes(self) -> list[str]:
        """Each task's numbers in one line, and how classes were matched."""
        remarks = (*self.remarks, *(remark for first, *_ in self.tasks for remark in first.remarks))
        lines = [line for first, *_ in self.tasks for line in wrapped(str(first))]
        return [*lines, *dict.fromkeys(f"Note: {remark}" for remark in remarks)]

    def as_dict(self) -> dict[str, Any]:
        """The rows, and everything of each task, branch and mean."""
        return {**super().as_dict(), "tasks": [one.as_dict() for task in self.tasks for one in task]}

    def summary(self) -> str:
        return "top-1 " + ", ".join(f"{task} {mean:.4f}" for task, mean in self.means.items())


def _rows(one: TaskEvaluation, *, compares: bool) -> Iterator[dict[str, Any]]:
    first = one.own[0]
    own, beside = [_named(found) for found in one.own], [_named(found) for found in one.beside]
    for score in (*first.classes, None):
        at = first.at if score is None else score.at
        row: dict[str, Any] = {"task": first.task, "class_id": None if score is None else score.class_id}
        row["class"] = ALL if score is None else score.name
        row["truths"] = first.truths if score is None else score.truths
        row["boxes"] = sum(s.detections for s in first.classes) if score is None else score.detections
        for place, found in enumerate(one.own):
            row |= _precisions(found, own[place], beside[place] if beside else None, score, compares=compares)
        yield row | {key: value for key, value in at._asdict().items() if key != "fn"}


def _precisions(
    found: Evaluation, named: Named, beside: Named | None, score: ClassScore | None, *, compares: bool
) -> dict[str, Any]:
    """The columns of one rule; their names say rule and IoU."""
    key = f"{found.rule.name}_ap{100 * found.rule.iou:.0f}"
    name = None if score is None else score.name
    own = named.get(name)
    row: dict[str, Any] = {key: own}
    if compares:
        other = None if beside is None else beside.get(name)
        difference = None if own is None or other is None else own - other
        row |= {f"{key}_beside": other, f"{key}_difference": difference}
    if found.coco:
        numbers = found.coco.numbers
        of_class = None if score is None else found.coco.of_class(score.class_id)
        row |= {"coco_ap": numbers["AP"] if of_class is None else of_class["coco_ap"]}
        row |= {"coco_ar": numbers["AR_100"] if of_class is None else of_class["coco_ar"]}
    return row


def _named(found: Evaluation) -> Named:
    """The AP by the name of the class, of several alike that of the first; under None the mean."""
    return {None: found.mean} | {score.name: score.ap for score in reversed(found.classes)}


def _curve_rows(model: str, found: Evaluation) -> Iterator[dict[str, Any]]:
    head = {"task": found.task, "model": model, "rule": str(found.rule)}
    for one in found.classes:
        columns = (one.curve.scores, one.curve.precision, one.curve.recall, one.curve.envelope)
        for score, precision, recall, best in zip(*(column.tolist() for column in columns), strict=True):
            yield {
                **head, "class": one.name, "score": round(score, 6), "precision": precision, "recall": recall,
                "envelope": best,
            }  # fmt: skip
