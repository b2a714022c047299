"""Average precision per class and its mean, by one rule that is named beside every number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from darkshare._tables import Result, wrapped
from darkshare.data import Dataset
from darkshare.errors import BadValue, warn
from darkshare.evaluation.arrays import Ids, RankedDetections, ranked, truths_of
from darkshare.evaluation.classes import match_classes
from darkshare.evaluation.coco import CocoSummary, summarise
from darkshare.evaluation.curves import AUC, BestF1, Curve, average_precision, best_f1, curve
from darkshare.evaluation.matching import Hits, coco_hits, darknet_hits
from darkshare.evaluation.wrong_boxes import WrongBoxes, wrong_boxes
from darkshare.inference.boxes import Detections

RULES = ("darknet", "coco")
COCO_IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
THRESHOLD = 0.25  # of the block of precision, recall and F1 (-thresh in detector.c)
_CLOSE = 1e-6


class ApRule(NamedTuple):
    """A rule by which average precision is counted.

    Attributes:
        name: one of RULES.
        points: recalls at which precision is read; 0 for the area under the curve.
        iou: the overlap that makes a hit: more than that by Darknet's rule, that or more by COCO's.
    """

    name: str = "darknet"
    points: int = AUC
    iou: float = 0.5

    def __str__(self) -> str:
        points = f"{self.points} points" if self.points else "area under the curve"
        if self.name == "coco":
            return f"COCO's rule: {points}, IoU >= {self.iou:.2f}, classes with truths"
        return f"Darknet's rule: {points}, IoU > {self.iou:.2f}, all classes"


class OperatingPoint(NamedTuple):
    """Precision and recall when the scores above a threshold are kept.

    Attributes:
        precision: TP / (TP + FP); 0 where nothing was found.
        recall: TP / truths.
        f1: their harmonic mean.
        tp: hits.
        fp: other detections.
        fn: truths that were not hit.
        average_iou: of the hits, but divided by TP + FP as Darknet does.
    """

    precision: float
    recall: float
    f1: float
    tp: int
    fp: int
    fn: int
    average_iou: float

    @classmethod
    def of(cls, tp: int, fp: int, truths: int, overlap: float) -> OperatingPoint:
        precision, recall = tp / max(tp + fp, 1), tp / max(truths, 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-300)
        return cls(precision, recall, f1, tp, fp, truths - tp, overlap / max(tp + fp, 1))

    def __str__(self) -> str:
        """The line of numbers that Darknet prints for its threshold."""
        counts = f"TP {self.tp}, FP {self.fp}, FN {self.fn}"
        return (
            f"precision {self.precision:.2f}, recall {self.recall:.2f}, F1 {self.f1:.2f}, {counts}, "
            f"average IoU {100 * self.average_iou:.2f} %"
        )


class ClassScore(NamedTuple):
    """One class.

    Attributes:
        class_id: the task's.
        name: of the class.
        ap: average precision, from 0 to 1; None where COCO's rule has none, because there are no truths.
        truths: how many there are.
        detections: how many count.
        at: at the threshold.
        curve: precision over recall.
    """

    class_id: int
    name: str
    ap: float | None
    truths: int
    detections: int
    at: OperatingPoint
    curve: Curve

    @property
    def best(self) -> BestF1 | None:
        """The threshold of the class's best F1; None where nothing is found."""
        return best_f1([self.curve], self.truths)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Result):
    """Average precision of one task on a data set, by one rule.

    Attributes:
        task: its name.
        data: the data set's name.
        pictures: how many there are.
        rule: by which the numbers were counted.
        conditions: how the detections were made: thresholds, resizing, engine.
        classes: those that the data set has labels for, in the task's order.
        threshold: of `at`.
        at: over all classes, precision and recall above the threshold.
        remarks: about classes that do not match.
        coco: all numbers of COCO's own tool, where the rule is COCO's.
        wrong: the false positives and the misses at the threshold; `wrong.worst` has the worst pictures.
    """

    task: str
    data: str
    pictures: int
    rule: ApRule
    conditions: str
    classes: tuple[ClassScore, ...]
    threshold: float
    at: OperatingPoint
    remarks: tuple[str, ...] = ()
    coco: CocoSummary | None = None
    wrong: WrongBoxes | None = None

    @property
    def mean(self) -> float:
        """Mean average precision (mAP), from 0 to 1; 0 where no class has one."""
        known = [one.ap for one in self.classes if one.ap is not None]
        return float(np.mean(known)) if known else 0.0

    @property
    def mistakes(self) -> str:
        """The false positives and the misses at the threshold, in words."""
        return f"FP {self.at.fp}, FN {self.at.fn} at > {self.threshold:g}"

    @property
    def truths(self) -> int:
        """The number of labelled boxes, without difficult ones."""
        return sum(one.truths for one in self.classes)

    @property
    def best(self) -> BestF1 | None:
        """The threshold, one for all classes, of the best F1; None where nothing is found."""
        return best_f1([one.curve for one in self.classes], self.truths)

    def __str__(self) -> str:
        by = f"{self.rule}; {self.coco.tool}" if self.coco else str(self.rule)
        how = f"; {self.conditions}" if self.conditions else ""
        return f"{self.summary()} ({by}{how})"

    def summary(self) -> str:
        return f"{self.task} on {self.data}, {self.pictures} pictures: mAP@{self.rule.iou:.2f} {self.mean:.6f}"

    def lines(self, mark: str = "") -> list[str]:
        """The mean with its rule, and what lies above the threshold, at most 80 columns wide.

        Args:
            mark: what the first line begins with.
        """
        parts = [f"{mark}{self}", f"  at scores > {self.threshold:g}: {self.at}"]
        if best := self.best:
            parts.append(f"  {best}")
        if self.coco:
            parts.append("  " + ", ".join(f"{k} {v:.4f}" for k, v in self.coco.numbers.items() if v is not None))
        return [line for part in parts for line in wrapped(part)]

    def notes(self) -> list[str]:
        """The mean with its rule, what lies above the threshold, and how classes were matched."""
        return [*self.lines(), *(f"Note: {remark}" for remark in self.remarks)]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each class with the rule in each; the curves are left out."""
        head = {"task": self.task, "data": self.data, "rule": str(self.rule), "conditions": self.conditions}
        return [
            {**head, "class_id": one.class_id, "name": one.name, "ap": one.ap, "truths": one.truths}
            | {"detections": one.detections, "threshold": self.threshold, **one.at._asdict()}
            | ({} if self.coco is None else self.coco.of_class(one.class_id))
            for one in self.classes
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the curves, as plain values."""
        classes = [
            {key: value for key, value in one._asdict().items() if key not in ("at", "curve")}
            | one.at._asdict()
            | {"best_f1": one.best and one.best._asdict()}
            | ({} if self.coco is None else self.coco.of_class(one.class_id))
            for one in self.classes
        ]
        return {
            "task": self.task,
            "data": self.data,
            "pictures": self.pictures,
            "map": self.mean,
            "rule": {"text": str(self.rule), **self.rule._asdict()},
            "conditions": self.conditions,
            "threshold": self.threshold,
            "at_threshold": self.at._asdict(),
            "best_f1": self.best and self.best._asdict(),
            "classes": classes,
            "coco": None if self.coco is None else {"tool": self.coco.tool, **self.coco.numbers},
            "notes": list(self.remarks),
        }


def evaluate_detections(
    detections: Sequence[Detections],
    dataset: Dataset,
    sizes: Sequence[tuple[int, int]],
    *,
    rule: str = RULES[0],
    points: int | None = None,
    iou: float = 0.5,
    thresh: float = THRESHOLD,
    map: Mapping[str, str] | None = None,
    by_order: bool = False,
) -> Evaluation:
    """Compare the detections of one task with a data set.

    Classes are matched by name. A class of the data set that the task does not have is an error; classes of the task
    without labels are left out of the mean, and `notes` say so.

    Args:
        detections: of each picture of the data set, with all scores that may count (Darknet takes those above .005).
        dataset: pictures and boxes.
        sizes: width and height of each picture, in pixels.
        rule: "darknet" (AlexeyAB's `detector map`) or "coco" (COCO's own tool, from the extra `coco`).
        points: recalls at which precision is read, 11 or 101; 0 for the area under the curve. Without it 0 by
            Darknet's rule; COCO's has 101.
        iou: the overlap that makes a hit.
        thresh: for precision, recall, F1 and the average IoU, keep scores above it.
        map: the task's class for classes of the data set that have another name; "" leaves one out.
        by_order: match classes by their numbers instead.

    Raises:
        BadValue: classes that do not match, a rule that is not there, or lists of different lengths.
        Unsupported: COCO's rule without its tool.
    """
    chosen = _chosen(rule, points, iou)
    task, names = _task_of(detections, dataset, sizes)
    matched = match_classes(task, names, dataset.name, dataset.names, map or {}, by_order=by_order)
    truths = truths_of(dataset.samples, matched.classes)
    found = ranked(detections, sizes)
    found = found.take(np.isin(found.class_ids, matched.counted))
    if rule == "coco":  # as Darknet writes them for COCO's tool (print_cocos)
        found = found._replace(corners=found.corners.clip(0, 1))
    hits = (darknet_hits if rule == "darknet" else coco_hits)(found, truths, iou)
    counts = np.bincount(truths.class_ids[~truths.difficult], minlength=len(names))
    of_class = zip(matched.counted, _of_classes(found, matched.counted), strict=True)
    scores = tuple(_class_score(i, names[i], chosen, found, hits, rows, int(counts[i]), thresh) for i, rows in of_class)
    summary = summarise(found, truths, sizes, matched.counted) if rule == "coco" else None
    tp, fp = sum(one.at.tp for one in scores), sum(one.at.fp for one in scores)
    at = OperatingPoint.of(tp, fp, sum(one.truths for one in scores), _overlap_above(found, hits, thresh))
    wrong = wrong_boxes(names, dataset.samples, sizes, found, truths, hits, iou, thresh)
    made = Evaluation(task, dataset.name, len(sizes), chosen, "", scores, thresh, at, matched.notes, summary, wrong)
    _require_agreement(made)
    return made


def _chosen(rule: str, points: int | None, iou: float) -> ApRule:
    if rule not in RULES:
        raise BadValue(f"there is no rule {rule}; use {' or '.join(RULES)}")
    if rule == "coco" and (points not in (None, 101) or iou not in COCO_IOUS):
        raise BadValue("COCO's rule has 101 points, and an IoU of 0.50, 0.55, … 0.95")
    if points is not None and (points < 0 or points == 1):
        raise BadValue(f"points must be 0 for the area under the curve, or at least 2, not {points}")
    if not 0 < iou < 1:
        raise BadValue(f"the IoU must lie between 0 and 1, not {iou}")
    return ApRule(rule, (101 if rule == "coco" else AUC) if points is None else points, iou)


def _task_of(
    detections: Sequence[Detections], dataset: Dataset, sizes: Sequence[tuple[int, int]]
) -> tuple[str, tuple[str, ...]]:
    """Name and classes of the one task that was run."""
    if not dataset.samples:
        raise BadValue(f"{dataset.name} has no pictures to evaluate on")
    if not len(detections) == len(dataset.samples) == len(sizes):
        counts = f"{len(detections)} detections, {len(sizes)} sizes"
        raise BadValue(f"{dataset.name} has {len(dataset.samples)} pictures, but there are {counts}")
    tasks = {(one.task, one.names) for one in detections}
    if len(tasks) > 1:
        raise BadValue(f"detections of several tasks: {', '.join(sorted(name for name, _ in tasks))}; give one's alone")
    return tasks.pop()


def _of_classes(found: RankedDetections, class_ids: Sequence[int]) -> Iterator[Ids]:
    """The rows of the detections of each class, best first."""
    order = np.argsort(found.class_ids, kind="stable")
    begins, ends = (np.searchsorted(found.class_ids[order], class_ids, side) for side in ("left", "right"))
    return (order[begin:end] for begin, end in zip(begins, ends, strict=True))


def _class_score(
    class_id: int,
    name: str,
    rule: ApRule,
    found: RankedDetections,
    hits: Hits,
    rows: Ids,
    truths: int,
    threshold: float,
) -> ClassScore:
    rows = rows[hits.counts[rows]]
    drawn = curve(found.scores[rows], hits.hit[rows], truths)
    above = rows[found.scores[rows] > threshold]
    tp = int(hits.hit[above].sum())
    at = OperatingPoint.of(tp, len(above) - tp, truths, hits.overlap[above].sum())
    ap = average_precision(drawn, rule.points)
    none = rule.name == "coco" and not truths
    return ClassScore(class_id, name, None if none else ap, truths, len(rows), at, drawn)


def _overlap_above(found: RankedDetections, hits: Hits, threshold: float) -> float:
    return float(hits.overlap[hits.counts & (found.scores > threshold)].sum())


def _require_agreement(made: Evaluation) -> None:
    """Count COCO's number once more ourselves, and say it where the tool has another."""
    if made.coco is None:
        return
    for one in made.classes:
        other = made.coco.average_precision(one.class_id, COCO_IOUS.index(made.rule.iou))
        if abs((one.ap or 0) - (other or 0)) > _CLOSE:
            text = (
                f"{made.coco.tool} gives class {one.name} an AP of {other}, but counted again it is {one.ap}; "
                "are there boxes that overlap equally?"
            )
            warn(text)
