"""Sweeps of a few quick trainings, planned or run here, and results as of some that were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from darkshare.choose_k.planning import plan
from darkshare.choose_k.processes import Message
from darkshare.choose_k.trial_run import run_trial
from darkshare.choose_k.trials import TrialResult
from darkshare.darknet.model import load
from darkshare.training.settings import Changes, Options, TrainingWatch


def trained_here(trials, jobs):
    """In place of `processes.run_here`, which starts processes: all trials in this one."""
    for trial in trials:
        run_trial(trial, TrainingWatch())
        yield Message(trial, "done", text="mAP")


def options(batches: int = 3, side: str | None = None, **how) -> Options:
    chosen = {"device": "cpu", "threads": 1, "workers": 0, "validate_every": 0, **how}
    return Options(k=0, changes=Changes(batches=batches, batch=4, side=side), **chosen)


def planned(base: Path, data: Path, folder: Path, *, ks=(3,), seeds=(1,), **how):
    return plan(load(base, partial=True), str(data), folder, ks=ks, seeds=seeds, options=options(**how))


def result(k: int, seed: int, score: float, **how) -> TrialResult:
    found = TrialResult(
        k, seed, score, "a rule", score - 0.1, score / 2, "a tool", "so", {"red": score}, None, None, 3, 12, 10.0 * k,
        1.0, "cpu", 1, {"darkshare": "0"}, {"weights": "x"},
    )  # fmt: skip
    return replace(found, **how)
