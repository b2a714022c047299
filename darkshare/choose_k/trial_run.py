"""One trial from end to end: train, or go on with it, then evaluate by both rules."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter

from darkshare._files import writing
from darkshare._version import __version__
from darkshare.choose_k.features import fill_together, with_known_rate
from darkshare.choose_k.trials import NET, RESULT, Trial, TrialResult, write_json
from darkshare.darknet.model import Model, load, sibling
from darkshare.data import Dataset, read_data
from darkshare.errors import DarkshareError
from darkshare.evaluation import Evaluation, Runner, evaluate_model, require_tool
from darkshare.training.files import TrainingFiles
from darkshare.training.guards import device_of
from darkshare.training.journal import Journal
from darkshare.training.optimising import batch_size
from darkshare.training.preparation import updates
from darkshare.training.run import Training
from darkshare.training.settings import TrainingWatch


def run_trial(trial: Trial, watch: TrainingWatch) -> TrialResult | None:
    """Run a trial and write its result; None if Ctrl-C came first, and the next call goes on.

    Raises:
        DarkshareError: it cannot be trained or evaluated, or another process is at it.
    """
    _limit_threads(trial.options.threads)
    begun = perf_counter()
    with _claimed(trial.folder):
        valid = read_data(trial.data, "valid")
        model, whole = _trained(trial, valid, watch)
        if model is None:
            return None
        found = _evaluated(trial, model, valid)
        result = _result(trial, model, found, perf_counter() - begun if whole else None)
        write_json(trial.folder / RESULT, asdict(result))
        return result


def _trained(trial: Trial, valid: Dataset, watch: TrainingWatch) -> tuple[Model | None, bool]:
    """The model after the last update, None if it is not that far; and whether it was trained in one go."""
    stem = trial.folder / NET
    if model := _finished(stem, trial.dialect):
        return model, False
    whole = not TrainingFiles(stem).checkpoint.exists()
    base = load(trial.cfg, trial.weights, dialect=trial.dialect, partial=True)
    judge = partial(evaluate_model, dataset=valid, threads=trial.options.threads)
    learn = read_data(trial.data, "train")
    fill_together(trial, base, learn, watch)
    options = with_known_rate(trial, watch)
    outcome = Training(base, learn, stem, options, judge=judge, watch=watch).run()
    return (None if outcome.stopped else load(sibling(stem, ".cfg"), dialect=trial.dialect)), whole


def _finished(stem: Path, dialect: str) -> Model | None:
    """The model of a training that was finished, but killed before it was evaluated."""
    if TrainingFiles(stem).checkpoint.exists() or not sibling(stem, ".weights").exists():
        return None
    model = load(sibling(stem, ".cfg"), dialect=dialect)
    assert model.weights is not None
    pictures = updates(model) * batch_size(model.network.net)
    return model if model.weights.header.seen == pictures else None


def _evaluated(trial: Trial, model: Model, valid: Dataset) -> dict[str, Evaluation]:
    """Evaluate by each rule whose tool is installed."""
    seen = Runner.of(model, threads=trial.options.threads).detect_dataset(valid)
    found = {"darknet": seen.evaluate(valid)}
    with contextlib.suppress(DarkshareError):
        require_tool()
        found["coco"] = seen.evaluate(valid, rule="coco")
    return found


def _result(trial: Trial, model: Model, found: dict[str, Evaluation], seconds: float | None) -> TrialResult:
    import torch

    entries = Journal(sibling(trial.folder / NET, ".csv"), updates(model)).entries
    measured = [entry for entry in entries if entry.map is not None]
    best = max(measured, key=lambda entry: (entry.map or 0.0, -entry.batch), default=None)
    darknet, coco = found["darknet"], found["coco"].coco if "coco" in found else None
    assert model.weights is not None
    return TrialResult(
        k=trial.options.k,
        seed=trial.options.seed,
        map=darknet.mean,
        rule=str(darknet.rule),
        coco_ap50=coco and coco.numbers["AP50"],
        coco_ap=coco and coco.numbers["AP"],
        coco_tool=coco.tool if coco else "",
        conditions=darknet.conditions,
        aps={one.name: one.ap for one in darknet.classes if one.ap is not None},
        best_map=best and best.map,
        best_batch=best and best.batch,
        batches=updates(model),
        pictures=model.weights.header.seen,
        train_seconds=round(sum(entry.seconds for entry in entries), 3),
        wall_seconds=None if seconds is None else round(seconds, 3),
        device=str(device_of(trial.options.device)),
        threads=trial.options.threads,
        versions={"darkshare": __version__, "torch": str(torch.__version__)},
        settings=trial.settings,
    )


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Keep two processes from one trial, where the system knows locks; the lock ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    lock = folder / ".lock"
    with writing(lock), open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DarkshareError("another process is at this trial; wait for it, or end it", file=str(folder)) from None
        yield


def _limit_threads(threads: int | None) -> None:
    """Limit OpenCV's threads; the training limits torch's."""
    if threads:
        import cv2

        cv2.setNumThreads(threads)
