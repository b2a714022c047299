"""Evaluations as rows: classes beneath one another, rules and models side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from darkshare.evaluation.average_precision import ClassScore, Evaluation, Operating

ALL = "(all)"


class Judged(NamedTuple):
    """One task: by each rule its evaluation, and by the same rules that of another model to compare with."""

    own: tuple[Evaluation, ...]
    beside: tuple[Evaluation, ...] = ()
    model: str = ""  # their names
    other: str = ""


def to_rows(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """A row for each class of each task, and one for all classes of a task: its mean average precision."""
    compares = any(one.beside for one in judged)
    return [row for one in judged for row in _rows(one, compares=compares)]


def to_json(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Everything but the curves: for each task its evaluations, and those of the model beside it."""
    return [
        {"model": one.model, "own": [found.to_json() for found in one.own]}
        | {"other": one.other or None, "beside": [found.to_json() for found in one.beside]}
        for one in judged
    ]


def curve_rows(judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    """A row for each detection of each curve: score, precision, recall, and the best precision from there on."""
    for one in judged:
        for model, evaluations in ((one.model, one.own), (one.other, one.beside)):
            for found in evaluations:
                yield from _curve_rows(model, found)


def lines(judged: Sequence[Judged]) -> Iterator[str]:
    """What stands below the table: each mean with its rule, and what lies above the threshold."""
    for one in judged:
        for mark, evaluations in (("", one.own), (f"{one.other}: ", one.beside)):
            for found in evaluations:
                yield f"{mark}{found}"
                yield f"  at scores > {found.threshold:g}: {said(found.at)}"
                if found.coco:
                    yield "  " + ", ".join(f"{k} {v:.4f}" for k, v in found.coco.numbers.items() if v is not None)


def said(at: Operating) -> str:
    """The line of numbers that Darknet prints for its threshold."""
    counts = f"TP {at.tp}, FP {at.fp}, FN {at.fn}"
    return (
        f"precision {at.precision:.2f}, recall {at.recall:.2f}, F1 {at.f1:.2f}, {counts}, "
        f"average IoU {100 * at.average_iou:.2f} %"
    )


def _rows(one: Judged, *, compares: bool) -> Iterator[dict[str, Any]]:
    first = one.own[0]
    for score in (*first.classes, None):
        at = first.at if score is None else score.at
        row: dict[str, Any] = {"task": first.task, "class": ALL if score is None else score.name}
        row["truths"] = first.truths if score is None else score.truths
        row["boxes"] = sum(s.detections for s in first.classes) if score is None else score.detections
        for place, found in enumerate(one.own):
            row |= _precisions(found, one.beside[place] if one.beside else None, score, compares=compares)
        yield row | {key: value for key, value in at._asdict().items() if key != "fn"}


def _precisions(
    found: Evaluation, beside: Evaluation | None, score: ClassScore | None, *, compares: bool
) -> dict[str, Any]:
    """The columns of one rule; their names say rule and IoU."""
    key = f"{found.rule.name}_ap{100 * found.rule.iou:.0f}"
    own = _precision(found, score)
    row: dict[str, Any] = {key: own}
    if compares:
        other = None if beside is None else _precision(beside, score)
        difference = None if own is None or other is None else own - other
        row |= {f"{key}_beside": other, f"{key}_difference": difference}
    if found.coco:
        numbers = found.coco.numbers
        of_class = None if score is None else found.coco.of_class(score.class_id)
        row |= {"coco_ap": numbers["AP"] if of_class is None else of_class["coco_ap"]}
        row |= {"coco_ar": numbers["AR_100"] if of_class is None else of_class["coco_ar"]}
    return row


def _precision(found: Evaluation, score: ClassScore | None) -> float | None:
    if score is None:
        return found.mean
    return next((one.ap for one in found.classes if one.name == score.name), None)


def _curve_rows(model: str, found: Evaluation) -> Iterator[dict[str, Any]]:
    head = {"task": found.task, "model": model, "rule": str(found.rule)}
    for one in found.classes:
        columns = (one.curve.scores, one.curve.precision, one.curve.recall, one.curve.envelope)
        for score, precision, recall, best in zip(*(column.tolist() for column in columns), strict=True):
            yield {
                **head, "class": one.name, "score": round(score, 6), "precision": precision, "recall": recall,
                "envelope": best,
            }  # fmt: skip
