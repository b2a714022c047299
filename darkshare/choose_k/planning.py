"""The plan of a sweep: what can be refused is refused here, not hours later in one of its processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from darkshare._files import exists, is_folder
from darkshare._files.opened import sha256
from darkshare.analysis.savings import at_cuts
from darkshare.choose_k.trials import (
    NET,
    SETTINGS,
    TRIALS,
    Trial,
    folder_of,
    read_json,
    read_result,
    require_same,
    results_in,
    with_k,
    write_json,
)
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.data import Dataset, Finding, read_data
from darkshare.data.findings import joined
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.evaluation import require_tool
from darkshare.inference.cluster import require_on_disk
from darkshare.inference.detector import Detector
from darkshare.training.guards import digest_of_pictures, require_pictures, require_torch
from darkshare.training.preparation import prepared, updates
from darkshare.training.recipes import RECIPES
from darkshare.training.settings import Options

SWEEP = "sweep.json"
MOST = 10_000  # trials


@dataclass(frozen=True)
class SweepPlan:
    """The trainings of a sweep.

    Attributes:
        folder: where everything lies.
        trials: all that were asked for, whether they are done or not.
        settings: the common ones, in which sweeps differ.
        shares: for each k, also those done before, the shares of weights and operations that a further network saves.
        batches: updates of each trial.
        findings: in the data set.
        notes: on what is made of the base, and on how it is evaluated.
    """

    folder: Path
    trials: tuple[Trial, ...]
    settings: Mapping[str, Any]
    shares: Mapping[int, tuple[float, float]]
    batches: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def waiting(self) -> list[Trial]:
        """The trials without a result.

        Raises:
            DarkshareError: a result that is broken or of other settings.
        """
        found = []
        for trial in self.trials:
            result = read_result(trial.folder)
            if result is None:
                found.append(trial)
            else:
                require_same(result.settings, self.settings, trial.folder)
        return found


def plan(
    base: Model, data: str, folder: str | Path, *, ks: Sequence[int], seeds: Sequence[int], options: Options
) -> SweepPlan:
    """Check that everything which a sweep needs is there, and begin its folder or find the same one begun.

    Args:
        base: as it was read from its files, at any size; each training reads these again.
        data: a .data file with train= and valid=.
        folder: for all files of the sweep.
        ks: how many layers stay the base's, 0 to train all.
        seeds: each k is trained with each of them.
        options: of the trainings; k and seed in it do not count.

    Raises:
        DarkshareError: something that cannot be trained or evaluated, or a folder with another sweep.
    """
    ks, seeds = sorted(set(ks)), sorted(set(seeds))
    if not ks or not seeds or len(ks) * len(seeds) > MOST:
        raise BadValue(f"a sweep has 1..{MOST} trials, not {len(ks) * len(seeds)}")
    require_torch()
    folder = Path(folder).absolute()
    if base.classifies(base.tasks[0]):
        what = "classifies pictures, and a sweep compares detectors; take `darkshare train` per k"
        raise Unsupported(what, file=base.name)
    own = require_on_disk(base, any_size=True)
    if own and options.changes.size is None:
        options = replace(options, changes=replace(options.changes, size=own))
    learn, valid = read_data(data, "train"), read_data(data, "valid")
    require_pictures(learn)
    require_pictures(valid)
    made = {k: _prepared(base, learn, k, options) for k in ks}
    model, notes = made[ks[-1]]
    Detector(model)
    path, cwd = None if base.weights is None else base.weights.path, Path.cwd()
    settings = _settings(base, data, {"train": learn, "valid": valid}, options)
    _begun(folder, settings)
    more = {0, *(result.k for result in results_in(folder, settings))} - made.keys()
    made |= {k: _prepared(base, learn, k, options) for k in more}
    shares = _shares({k: one.network for k, (one, _) in made.items()})
    trials = tuple(
        Trial(
            base.name,
            path,
            data,
            base.network.dialect,
            with_k(options, k, seed),
            folder_of(folder, k, seed),
            cwd,
            settings,
        )
        for seed in seeds  # the first seed of all k comes first, so that a figure is there early
        for k in ks
    )
    findings = joined((learn.findings, valid.findings))
    return SweepPlan(folder, trials, settings, shares, updates(model), findings, (*notes, *_tool_note()))


def _prepared(base: Model, data: Dataset, k: int, options: Options) -> tuple[Model, list[str]]:
    """The model that is trained at this k, and notes on what is made of the base."""
    return prepared(base, data, k, with_k(options, k, 0).changes, RECIPES[options.recipe], seed=0, name=NET)


def _shares(made: Mapping[int, Network]) -> dict[int, tuple[float, float]]:
    """The savings of a further network at each k, less what its side costs; nothing at k=0, which is one of them."""
    plain = made[0]
    found = at_cuts([plain, plain], sorted(made.keys() - {0}))
    sides = {k: (one.params / plain.params - 1, one.flops / plain.flops - 1) for k, one in made.items()}
    saved = {saving.k: (saving.weights - sides[saving.k][0], saving.flops - sides[saving.k][1]) for saving in found}
    return {0: (0.0, 0.0)} | saved


def _tool_note() -> list[str]:
    try:
        require_tool()
    except DarkshareError as error:
        return [f"{error.message.partition(':')[0]}; the results have Darknet's mAP only"]
    return []


def _settings(base: Model, data: str, parts: Mapping[str, Dataset], options: Options) -> dict[str, Any]:
    """The settings that all trials of a sweep have in common."""
    chosen = asdict(options)
    changes = {key: list(value) if isinstance(value, tuple) else value for key, value in chosen["changes"].items()}
    pictures = {f"{part} pictures": digest_of_pictures(dataset.samples) for part, dataset in parts.items()}
    return {
        "cfg": sha256(base.name),
        "weights": sha256(base.weights.path) if base.weights else None,
        "dialect": base.network.dialect,
        **pictures,
        **changes,
        **{key: chosen[key] for key in SETTINGS},
    }


def _begun(folder: Path, settings: Mapping[str, Any]) -> None:
    """Begin the folder, or refuse one of another sweep."""
    path = folder / SWEEP
    before = read_json(path)
    if before is None:
        if exists(folder) and (not is_folder(folder) or any(folder.iterdir())):
            raise DarkshareError("is not a folder of a sweep; choose another one", file=str(folder))
    elif exists(folder / TRIALS):
        require_same(before["settings"], settings, path)
    write_json(path, {"settings": dict(settings)})
