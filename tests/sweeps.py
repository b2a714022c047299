"""Sweeps of a few quick trainings, planned and not run."""

from __future__ import annotations

from pathlib import Path

from darkshare.choose_k.planning import plan
from darkshare.darknet.model import load
from darkshare.training.settings import Changes, Options


def options(batches: int = 3, side: str | None = None, **how) -> Options:
    chosen = {"device": "cpu", "threads": 1, "workers": 0, "validate_every": 0, **how}
    return Options(k=0, changes=Changes(batches=batches, batch=4, side=side), **chosen)


def planned(base: Path, data: Path, folder: Path, *, ks=(3,), seeds=(1,), **how):
    return plan(load(base, partial=True), str(data), folder, ks=ks, seeds=seeds, options=options(**how))
