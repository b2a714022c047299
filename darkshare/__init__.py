"""darkshare: measure, retrain and splice Darknet networks that share their first layers.

from darkshare import load, concat, save

both = concat([load("base.cfg"), load("text.cfg")], k=74)
save(both, "both")
"""

from __future__ import annotations

__version__ = "0.1.0"
