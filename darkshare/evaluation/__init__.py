"""Measures of a model on labelled pictures: average precision by Darknet's rule and by COCO's, or top-k accuracy.

Within the package: arrays, classes, curves < matching, coco < wrong_boxes < average_precision, accuracy < runner, cross
< results < tasks, exporting, chart. Every number comes with the rule by which it was counted.
"""

from __future__ import annotations

from darkshare.evaluation.accuracy import Accuracy, evaluate_guesses
from darkshare.evaluation.average_precision import (
    RULES,
    THRESHOLD,
    Evaluation,
    evaluate_detections,
)
from darkshare.evaluation.coco import require_tool
from darkshare.evaluation.cross import Cross
from darkshare.evaluation.results import Accuracies, Evaluations, TaskEvaluation
from darkshare.evaluation.runner import LOWEST, Runner, classifier_accuracy, evaluate_model
from darkshare.evaluation.tasks import evaluate

__all__ = [
    "LOWEST",
    "RULES",
    "THRESHOLD",
    "Accuracies",
    "Accuracy",
    "Cross",
    "Evaluation",
    "Evaluations",
    "Runner",
    "TaskEvaluation",
    "classifier_accuracy",
    "evaluate",
    "evaluate_detections",
    "evaluate_guesses",
    "evaluate_model",
    "require_tool",
]
