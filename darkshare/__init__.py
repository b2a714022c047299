"""darkshare: measure, retrain and splice Darknet networks that share their first layers.

from darkshare import concat, load, save

both = concat([load("base.cfg"), load("text.cfg")], k=74)
save(both, "both")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from darkshare.analysis.frozen import frozen
    from darkshare.analysis.stats import stats, to_dataframe
    from darkshare.darknet.cfg import parse
    from darkshare.darknet.model import Model, load, save
    from darkshare.darknet.network import Network, resolve
    from darkshare.darknet.tasks import Task
    from darkshare.errors import DarkshareError, DarkshareWarning
    from darkshare.evaluation import Evaluation, evaluate, evaluate_model
    from darkshare.inference.boxes import Detections
    from darkshare.inference.classification import Guesses
    from darkshare.inference.detector import Classifier, Detector
    from darkshare.inference.media import watch
    from darkshare.surgery.cut import cut
    from darkshare.surgery.mix import mix, snap
    from darkshare.surgery.residual import branch, reduce
    from darkshare.surgery.splice import concat, split

# Where each name lives; a module is imported when a name of it is first used.
_PLACES = {
    "surgery.mix": ("mix", "snap"),
    "darknet.cfg": ("parse",),
    "surgery.cut": ("cut",),
    "inference.boxes": ("Detections",),
    "analysis.stats": ("stats", "to_dataframe"),
    "errors": ("DarkshareError", "DarkshareWarning"),
    "evaluation": ("Evaluation", "evaluate", "evaluate_model"),
    "analysis.frozen": ("frozen",),
    "inference.media": ("watch",),
    "darknet.model": ("Model", "load", "save"),
    "darknet.network": ("Network", "resolve"),
    "inference.classification": ("Guesses",),
    "inference.detector": ("Classifier", "Detector"),
    "surgery.residual": ("branch", "reduce"),
    "surgery.splice": ("concat", "split"),
    "darknet.tasks": ("Task",),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Classifier",
    "DarkshareError",
    "DarkshareWarning",
    "Detections",
    "Detector",
    "Evaluation",
    "Guesses",
    "Model",
    "Network",
    "Task",
    "__version__",
    "branch",
    "concat",
    "cut",
    "evaluate",
    "evaluate_model",
    "frozen",
    "load",
    "mix",
    "parse",
    "reduce",
    "resolve",
    "save",
    "snap",
    "split",
    "stats",
    "to_dataframe",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'darkshare' has no attribute {name!r}")
    return getattr(import_module(f"darkshare.{_MODULES[name]}"), name)
