"""`sweep`: trainings for several k and seeds, and their summary."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._files import write_all
from darkshare._signals import uninterrupted
from darkshare._tables import Result, render
from darkshare._texts import to_escaped
from darkshare.analysis.savings import cuts_of
from darkshare.choose_k.chart import plot_sweep
from darkshare.choose_k.cluster import run_on_cluster
from darkshare.choose_k.planning import SweepPlan, plan
from darkshare.choose_k.processes import LAST, Message, run_here, shared_out
from darkshare.choose_k.results import Choice, choice_rows, choices, result_rows
from darkshare.choose_k.trials import FORMAT, Trial, TrialResult, read_json, results_in
from darkshare.darknet.model import Model
from darkshare.data.findings import warn_of
from darkshare.errors import DarkshareError, checked, require_least
from darkshare.training.settings import Changes, Options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from darkshare._figures import Look

CSV, JSON, PNG = "results.csv", "results.json", "results.png"


class SweepWatch:
    """Receives what happens in a sweep while it runs; a subclass shows it."""

    def begin(self, plan: SweepPlan, waiting: Sequence[Trial]) -> None:
        """Trainings are about to begin: those of the plan that have no result yet."""

    def show(self, message: Message) -> None:
        """A training has begun, goes on or has ended."""


@dataclass(frozen=True, repr=False)
class Sweep(Result):
    """The results of a sweep: a row for each k.

    Attributes:
        choices: the summary of each k.
        trials: all trainings that are done.
        failed: k, seed and error of those that failed in this call.
        files: that were written.
        stopped: whether Ctrl-C ended it; the same call goes on.
    """

    choices: tuple[Choice, ...]
    trials: tuple[TrialResult, ...]
    failed: tuple[Mapping[str, Any], ...]
    files: tuple[Path, ...]
    stopped: bool = False

    def rows(self) -> list[dict[str, Any]]:
        """The summaries, mAP and shares of 0..1."""
        return [asdict(one) for one in self.choices]

    def table(self) -> list[dict[str, Any]]:
        """The same in percent."""
        return choice_rows(self.choices)

    def notes(self) -> list[str]:
        """By which rule mAP was counted, and why trainings failed."""
        rule = [f"mAP: {self.trials[0].rule}", self.trials[0].conditions] if self.trials else []
        return rule + [f"k={one['k']} seed={one['seed']} failed: {one['error']}" for one in self.failed]

    def as_dict(self) -> dict[str, Any]:
        """Summaries, notes, trainings and failures, as plain values."""
        trials = [asdict(one) for one in self.trials]
        return {**super().as_dict(), "trials": trials, "failed": list(self.failed), "stopped": self.stopped}

    def summary(self) -> str:
        ks = ", ".join(str(one.k) for one in self.choices)
        parts = [f"{len(self.trials)} trainings for k={ks}" if ks else "no trainings"]
        parts += [f"{len(self.failed)} failed"] * bool(self.failed) + ["stopped"] * self.stopped
        return ", ".join(parts)

    def plot(self, path: Path | str, **look: Unpack[Look]) -> None:
        """Draw mAP and savings over k into a .png, .svg or .pdf file.

        Args:
            path: the file; it is replaced as a whole.
            look: width in inches, font_size in points, title, in place of the figure's own.

        Raises:
            DarkshareError: another suffix, or the file cannot be written.
        """
        plot_sweep(self.trials, self.choices, path, **look)


@checked
def sweep(  # noqa: D417 - some are described together
    base: Model, data: str | os.PathLike[str], *,
    k: int | Sequence[int], seeds: int | Sequence[int] = (1, 2, 3), output: str | os.PathLike[str] = "sweep",
    jobs: int = 1, threads: int | None = None, workers: int = 1, validate_every: int = 0, scheduler: str | None = None,
    epochs: float | None = None, batches: int | None = None, batch: int | None = None, subdivisions: int | None = None,
    lr: float | str | None = None, size: tuple[int, int] | None = None, side: str | None = None,
    teacher: str | os.PathLike[str] | None = None, recipe: str = "steady",
    negatives: str | os.PathLike[str] | None = None, device: str = "auto", amp: bool = False, ema: float | None = None,
    bn_eval: bool = False, augment: bool = True, cache_features: int = 0, cache_anyway: bool = False,
    checkpoint_every: float = 60, watch: SweepWatch | None = None,
) -> Sweep:  # fmt: skip
    """Train a task for every k and seed, and measure what mAP each k costs and what it saves.

    Each training runs in a process of its own and reads the base's files again. Ctrl-C saves; the same call goes on,
    and with further k or seeds adds them. A training that fails stops no other.

    Args:
        base: a detector, as it was loaded.
        data: a .data file with train= and valid=.
        k, seeds: each k is trained with each seed; k=0 trains all layers.
        output: a folder for all files.
        jobs: trainings at once.
        threads: of each training; None divides the cores by `jobs`.
        workers: threads that make pictures, in each training.
        validate_every: updates between validations; 0 for none before the end.
        scheduler: the address of a Dask cluster that does the work instead of `jobs`.
        epochs, batches, batch, subdivisions, lr, size, recipe, negatives: as of `train`.
        side, teacher: likewise, but of k=0, which has neither.
        device, amp, ema, bn_eval, augment: likewise.
        cache_features, cache_anyway, checkpoint_every: likewise.
        watch: is informed of what happens.

    Raises:
        DarkshareError: something that cannot be trained or evaluated, or a folder with another sweep.
    """
    require_least(1, jobs=jobs)
    changes = Changes(epochs, batches, batch, subdivisions, lr, size, side)
    options = Options(
        k=0, changes=changes, recipe=recipe, negatives=None if negatives is None else os.fspath(negatives),
        teacher=None if teacher is None else os.fspath(teacher),
        device=device, amp=amp, ema=ema, bn_eval=bn_eval, augment=augment, workers=workers, threads=threads,
        validate_every=validate_every, patience=0, cache_features=cache_features, cache_anyway=cache_anyway,
        checkpoint_every=checkpoint_every,
    )  # fmt: skip
    planned = plan(base, os.fspath(data), os.fspath(output), ks=cuts_of(k), seeds=cuts_of(seeds), options=options)
    warn_of(planned.findings)
    waiting = planned.waiting()
    watch = watch or SweepWatch()
    watch.begin(planned, waiting)
    messages = run_on_cluster(waiting, scheduler) if scheduler else run_here(shared_out(waiting, jobs), jobs)
    failed, stopped = _followed(messages, planned, len(waiting), watch)
    return _written(planned, failed, stopped=stopped)


def read_sweep(folder: Path) -> Sweep:
    """Read the results that a sweep has written into its folder.

    Raises:
        DarkshareError: there are none, or they are of another version.
    """
    path = folder / JSON
    found = read_json(path)
    if not (found and found.get("trials")):
        raise DarkshareError("holds no results of a sweep", file=str(folder))
    try:
        trials = tuple(TrialResult(**one, settings=found["settings"]) for one in found["trials"])
        return Sweep(tuple(Choice(**one) for one in found["choices"]), trials, tuple(found["failed"]), (path,))
    except (TypeError, KeyError):
        raise DarkshareError("is of another version; the same sweep writes it anew", file=str(path)) from None


def _followed(
    messages: Iterator[Message], planned: SweepPlan, count: int, watch: SweepWatch
) -> tuple[list[Message], bool]:
    """Pass messages on, and write the results so far after each training but the last.

    Returns:
        The messages of failures; whether Ctrl-C ended it, and all trainings have saved.
    """
    failed: list[Message] = []
    ended = 0
    try:
        with closing(messages):  # type: ignore[type-var]
            for message in messages:
                watch.show(message)
                failed += [message] if message.event == "failed" else []
                ended += message.event in LAST
                if message.event == "done" and ended < count:
                    with uninterrupted():
                        _written(planned, failed)
    except KeyboardInterrupt:
        return failed, True
    return failed, False


def _written(planned: SweepPlan, failed: Sequence[Message], *, stopped: bool = False) -> Sweep:
    """The results as they are now, and the files that hold them."""
    trials = [one for one in results_in(planned.folder, planned.settings) if one.k in planned.shares]
    found = choices(trials, planned.shares)
    failures = [{"k": one.trial.options.k, "seed": one.trial.options.seed, "error": one.text} for one in failed]
    files = write_results(planned.folder, trials, found, planned.shares, planned.settings, failures)
    return Sweep(tuple(found), tuple(trials), tuple(failures), tuple(files), stopped)


def write_results(
    folder: Path,
    trials: Sequence[TrialResult],
    found: Sequence[Choice],
    shares: Mapping[int, tuple[float, float]],
    settings: Mapping[str, Any],
    failed: Sequence[Mapping[str, Any]],
) -> list[Path]:
    """Write the tables and, if there are results, the figure.

    Returns:
        The files.

    Raises:
        DarkshareError: one of them cannot be written.
    """
    content = {
        "format": FORMAT,
        "settings": dict(settings),
        "choices": [asdict(one) for one in found],
        "trials": [{key: value for key, value in asdict(one).items() if key != "settings"} for one in trials],
        "failed": list(failed),
    }
    table = render(result_rows(trials, shares), "csv")
    write_all(
        {
            folder / CSV: [to_escaped(table), b"\n"],
            folder / JSON: [to_escaped(json.dumps(content, indent=1, ensure_ascii=False)), b"\n"],
        }
    )
    if not trials:
        return [folder / CSV, folder / JSON]
    plot_sweep(trials, found, folder / PNG)
    return [folder / CSV, folder / JSON, folder / PNG]
