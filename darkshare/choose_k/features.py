"""Features of all k of a seed, from one pass of the deepest trunk: it computes those of all others on its way.

Caches of different seeds hold other pictures, since augmentation draws by the seed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from darkshare._files import exists, writing
from darkshare.choose_k.trials import NET, Trial, folder_of, read_json, with_k, write_json
from darkshare.darknet.model import Model, sibling
from darkshare.data import Dataset
from darkshare.errors import DarkshareError
from darkshare.training.caching import Features
from darkshare.training.feeding import PictureFeed
from darkshare.training.run import Training
from darkshare.training.settings import AUTO, Options, TrainingWatch

RATE = "rate.json"  # in a trial's folder: the learning rate that a range test found


def fill_together(trial: Trial, base: Model, data: Dataset, watch: TrainingWatch) -> None:
    """Fill the caches of a trial and of those `beside` it, once in a sweep; whoever comes meanwhile waits for it.

    What cannot be filled so is left to its own training, which says why.

    Args:
        trial: which is about to begin.
        base: as it is on disk.
        data: the pictures to learn from.
        watch: is told how far it is.
    """
    if len(trial.beside) < 2:
        return
    with _once(trial.folder.parent / f".features-seed{trial.options.seed}.lock") as is_first:
        pictures: PictureFeed | None = None
        found: list[Features] = []
        for k in sorted(trial.beside, reverse=True) if is_first else ():
            made = _features(trial, k, base, data)
            if made is None:
                continue
            own, features = made
            pictures = pictures or own
            if own.mini == pictures.mini and set(features.cache.reads) <= pictures.trunk.net.in_trunk:
                found.append(features)
        if pictures and len(found) > 1:
            pictures.fill(found, trial.options, watch)


def _features(trial: Trial, k: int, base: Model, data: Dataset) -> tuple[PictureFeed, Features] | None:
    """The pictures and the cache of a training; None where it has none or a whole one, or sees to that itself."""
    stem = folder_of(trial.folder.parents[1], k, trial.options.seed) / NET
    if exists(sibling(stem, ".csv")):
        return None  # it has begun before
    try:
        training = Training(base, data, stem, with_k(trial.options, k, trial.options.seed))
        if trial.options.changes.lr == AUTO:
            write_json(stem.with_name(RATE), {"rate": training.options.changes.rate})
        if not training.copies:
            return None
        features = training.features()
    except DarkshareError:
        return None
    return None if features.is_whole else (training.pictures(training.source), features)


def with_known_rate(trial: Trial, watch: TrainingWatch) -> Options:
    """The options of a trial, with the learning rate that was found when its cache was made, if it was to be found."""
    known = read_json(trial.folder / RATE) if trial.options.changes.lr == AUTO else None
    if known is None:
        return trial.options
    watch.say(f"learning rate {known['rate']:g}: that of the range test before the features were computed")
    return replace(trial.options, changes=replace(trial.options.changes, lr=known["rate"]))


@contextlib.contextmanager
def _once(path: Path) -> Iterator[bool]:
    """Whether this is the first process of the sweep here; it keeps the others waiting.

    The others touch no cache but their own: one that is done with its training removes it. Where the system knows no
    locks, nobody is first.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield False
        return
    sweep = str(os.getppid())
    with writing(path), open(path, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file.read() != sweep
        file.truncate(0)
        file.write(sweep)
