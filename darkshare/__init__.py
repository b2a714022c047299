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
    from darkshare.blend import mix, snap
    from darkshare.cfg import parse
    from darkshare.cuts import cut
    from darkshare.detections import Detections
    from darkshare.differences import stats, to_dataframe
    from darkshare.errors import DarkshareError, DarkshareWarning
    from darkshare.evaluation import Evaluation, evaluate, evaluate_model
    from darkshare.freezing import frozen
    from darkshare.guesses import Guesses
    from darkshare.media import watch
    from darkshare.model import Model, load, save
    from darkshare.network import Network, resolve
    from darkshare.opencv import Classifier, Detector
    from darkshare.residual import branch, reduce
    from darkshare.splice import concat, split
    from darkshare.tasks import Task

# Where each name lives; a module is imported when a name of it is first used.
_PLACES = {
    "blend": ("mix", "snap"),
    "cfg": ("parse",),
    "cuts": ("cut",),
    "detections": ("Detections",),
    "differences": ("stats", "to_dataframe"),
    "errors": ("DarkshareError", "DarkshareWarning"),
    "evaluation": ("Evaluation", "evaluate", "evaluate_model"),
    "freezing": ("frozen",),
    "media": ("watch",),
    "model": ("Model", "load", "save"),
    "network": ("Network", "resolve"),
    "guesses": ("Guesses",),
    "opencv": ("Classifier", "Detector"),
    "residual": ("branch", "reduce"),
    "splice": ("concat", "split"),
    "tasks": ("Task",),
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
