"""darkshare: measure, retrain and splice Darknet networks that share their first layers.

from darkshare import concat, load, save

both = concat([load("base.cfg"), load("text.cfg")], k=74)
save(both, "both")
"""

from __future__ import annotations

__version__ = "0.1.0"

from darkshare.cfg import parse
from darkshare.cuts import cut
from darkshare.detections import Detections
from darkshare.errors import DarkshareError, DarkshareWarning
from darkshare.model import Model, Task, load, save
from darkshare.network import Network, resolve
from darkshare.opencv import Detector
from darkshare.splice import concat, split

__all__ = [
    "DarkshareError",
    "DarkshareWarning",
    "Detections",
    "Detector",
    "Model",
    "Network",
    "Task",
    "__version__",
    "concat",
    "cut",
    "load",
    "parse",
    "resolve",
    "save",
    "split",
]
