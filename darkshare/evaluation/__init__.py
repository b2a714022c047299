"""Measures of a model on labelled pictures: average precision by Darknet's rule and by COCO's, or top-k accuracy.

Within the package: arrays, classes, curves < matching, coco < average_precision, accuracy < runner, results < tasks,
exporting, chart. Every number comes with the rule by which it was counted.
"""

from __future__ import annotations

from darkshare.evaluation.accuracy import Accuracy, ClassAccuracy, evaluate_guesses
from darkshare.evaluation.average_precision import (
    RULES,
    THRESHOLD,
    ApRule,
    ClassScore,
    Evaluation,
    OperatingPoint,
    evaluate_detections,
)
from darkshare.evaluation.coco import require_tool
from darkshare.evaluation.results import Accuracies, Curves, Evaluations, TaskEvaluation
from darkshare.evaluation.runner import LOWEST, DatasetDetections, Runner, classifier_accuracy, evaluate_model
from darkshare.evaluation.tasks import evaluate

__all__ = [
    "LOWEST",
    "RULES",
    "THRESHOLD",
    "Accuracies",
    "Accuracy",
    "ApRule",
    "ClassAccuracy",
    "ClassScore",
    "Curves",
    "DatasetDetections",
    "Evaluation",
    "Evaluations",
    "OperatingPoint",
    "Runner",
    "TaskEvaluation",
    "classifier_accuracy",
    "evaluate",
    "evaluate_detections",
    "evaluate_guesses",
    "evaluate_model",
    "require_tool",
]
