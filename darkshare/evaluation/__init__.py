"""How good a task is on labelled pictures: average precision by Darknet's rule and by COCO's, or top-k accuracy.

No number goes without the rule by which it was counted.
"""

from __future__ import annotations

from darkshare.evaluation.accuracy import Accuracy, ClassAccuracy, classify_score
from darkshare.evaluation.average_precision import RULES, THRESHOLD, ClassScore, Evaluation, Operating, Rule, evaluate
from darkshare.evaluation.coco import require_tool
from darkshare.evaluation.running import LOWEST, Runner, Seen, classifier_accuracy, evaluate_model
from darkshare.evaluation.tables import Judged, curve_rows, lines, to_json, to_rows

__all__ = [
    "LOWEST",
    "RULES",
    "THRESHOLD",
    "Accuracy",
    "ClassAccuracy",
    "ClassScore",
    "Evaluation",
    "Judged",
    "Operating",
    "Rule",
    "Runner",
    "Seen",
    "classifier_accuracy",
    "classify_score",
    "curve_rows",
    "evaluate",
    "evaluate_model",
    "lines",
    "require_tool",
    "to_json",
    "to_rows",
]
