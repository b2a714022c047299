"""The choice of k: by training for several, or by a guess before any training."""

from __future__ import annotations
