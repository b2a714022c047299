"""One training of a sweep: its settings, its folder, its result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from darkshare._files import exists, reading, write_all
from darkshare.errors import DarkshareError
from darkshare.training.checkpoints import short
from darkshare.training.settings import Changes, Options

TRIALS, RESULT, NET, LOG = "trials", "result.json", "net", "log.txt"
FORMAT = "darkshare sweep 1"
# What an option must be the same in for two trainings to be one; the others say how it is computed.
SETTINGS = (
    "recipe",
    "negatives",
    "teacher",
    "amp",
    "ema",
    "bn_eval",
    "bn_epsilon",
    "augment",
    "validate_every",
    "cache_features",
    "cache_anyway",
    "cache_dtype",
)


@dataclass(frozen=True)
class Trial:
    """A training that is to be made, as plain values for another process.

    Attributes:
        cfg: the base's, like all paths here as the user gave it, or absolute.
        weights: the base's; None if it has none.
        data: a .data file.
        dialect: to read the base in.
        options: of the training, k and seed among them.
        folder: where everything of it lies.
        cwd: the folder that relative paths count from, also those in lists of pictures.
        settings: in which trainings differ, the fingerprints of base and data among them.
        beside: further k of this seed that are to be trained on this machine; their features come from one pass.
    """

    cfg: str
    weights: str | None
    data: str
    dialect: str
    options: Options
    folder: Path
    cwd: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"k={self.options.k} seed={self.options.seed}"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; `of_json` reads them."""
        return {**asdict(self), "folder": str(self.folder), "cwd": str(self.cwd)}

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Trial:
        """The trial that `to_json` gave."""
        options = dict(found["options"])
        changes = dict(options.pop("changes"))
        changes["size"] = tuple(changes["size"]) if changes["size"] else None
        made = Options(**options, changes=Changes(**changes))
        paths = {key: Path(found[key]) for key in ("folder", "cwd")}
        return cls(**{**found, **paths, "options": made, "beside": tuple(found["beside"])})


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial.

    Attributes:
        k: how many layers stayed the base's; 0 if all were trained.
        seed: of all that was random.
        map: mean average precision on the data's valid= by Darknet's rule, of 0..1, after the last update.
        rule: Darknet's, in words.
        coco_ap50: by COCO's tool; None where it is not installed.
        coco_ap: its mean over IoU .50 to .95; likewise.
        coco_tool: which one counted.
        conditions: thresholds, resizing and engine of the detections.
        aps: average precision of each class by Darknet's rule.
        best_map: the highest of those measured while training, with --validate-every; None without.
        best_batch: after which update that was.
        batches: how many updates there were.
        pictures: how many pictures they saw.
        train_seconds: of all updates, with the loading of pictures; those redone after a kill count once.
        wall_seconds: of the whole trial; None if it was stopped in between.
        device: that trained.
        threads: that each process computed with.
        versions: of darkshare and torch.
        settings: see `Trial`.
    """

    k: int
    seed: int
    map: float
    rule: str
    coco_ap50: float | None
    coco_ap: float | None
    coco_tool: str
    conditions: str
    aps: Mapping[str, float]
    best_map: float | None
    best_batch: int | None
    batches: int
    pictures: int
    train_seconds: float
    wall_seconds: float | None
    device: str
    threads: int | None
    versions: Mapping[str, str]
    settings: Mapping[str, Any]


def folder_of(sweep: Path, k: int, seed: int) -> Path:
    """The folder of a trial in that of its sweep."""
    return sweep / TRIALS / f"k{k}-seed{seed}"


def with_k(options: Options, k: int, seed: int) -> Options:
    """The options of one trial; without a trunk there is no cache of it, no side that reads it, and no teacher."""
    if not k:
        options = replace(options, cache_features=0, teacher=None, changes=replace(options.changes, side=None))
    return replace(options, k=k, seed=seed, resume=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file of plain values as a whole."""
    write_all({path: [json.dumps({"format": FORMAT, **value}, indent=1).encode(), b"\n"]}, own=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read what `write_json` wrote; None where there is no file.

    Raises:
        DarkshareError: it is not a file of a sweep.
    """
    if not exists(path):
        return None
    with reading(path):
        text = path.read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads(text)
        if found.pop("format") != FORMAT:
            raise KeyError
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DarkshareError("is not a file of a sweep; remove it, or choose another folder", file=str(path)) from None
    return dict(found)


def read_result(folder: Path) -> TrialResult | None:
    """The result in a trial's folder, if there is one.

    Raises:
        DarkshareError: the file is broken.
    """
    found = read_json(folder / RESULT)
    if found is None:
        return None
    if set(found) != {one.name for one in fields(TrialResult)}:
        raise DarkshareError("is of another version; remove it to train again", file=str(folder / RESULT))
    return TrialResult(**found)


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Refuse to mix trainings that differ in more than k and seed.

    Raises:
        DarkshareError: with what differs.
    """
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if differing:
        what = ", ".join(f"{key} {short(before.get(key))}, now {short(now.get(key))}" for key in differing)
        raise DarkshareError(
            f"is of a sweep with other settings ({what}); give those, or choose another folder", file=str(path)
        )


def results_in(sweep: Path, settings: Mapping[str, Any] | None) -> list[TrialResult]:
    """All results in a sweep's folder, by k and seed; `settings` they must have, those of the first without.

    Raises:
        DarkshareError: one of them is broken, or of other settings.
    """
    found = []
    for folder in _trial_folders(sweep):
        result = read_result(folder)
        if result is not None:
            settings = result.settings if settings is None else settings
            require_same(result.settings, settings, folder / RESULT)
            found.append(result)
    return sorted(found, key=lambda one: (one.k, one.seed))


def _trial_folders(sweep: Path) -> Iterable[Path]:
    return sorted((sweep / TRIALS).glob("k*-seed*"))
