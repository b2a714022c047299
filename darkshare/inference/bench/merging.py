"""Separate networks against the merged one: time, memory, files, and what the operations promise."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._files.scratch import scratch
from darkshare._tables import Result
from darkshare.analysis.trunk import with_input_of
from darkshare.darknet.model import Model, without_branch_tasks
from darkshare.darknet.weights import Header
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning, checked
from darkshare.inference.engines import DEFAULT, presence
from darkshare.inference.engines.files import File, engine_file
from darkshare.inference.engines.timing import (
    DIGITS,
    MIB,
    ROUNDS,
    Measured,
    TimeRatio,
    in_turns,
    ratio,
    require_rounds,
    rounded,
)
from darkshare.inference.engines.worker import Worker
from darkshare.surgery import splice

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from darkshare._figures import Look


@dataclass(frozen=True)
class EngineResult:
    """Separate networks against the merged one on an engine.

    Attributes:
        engine: one of `engines.NAMES`.
        version: of it.
        separate: the networks, all loaded, one run after another.
        merged: the one network.
        ratio: of time, merged / separate.
        separate_convolutions: what the engine really ran for one picture, by its own record.
        merged_convolutions: likewise.
    """

    engine: str
    version: str
    separate: Measured
    merged: Measured
    ratio: TimeRatio
    separate_convolutions: int
    merged_convolutions: int


@dataclass(frozen=True, repr=False)
class Bench(Result):
    """Separate networks against the merged one on this machine.

    Attributes:
        networks: the separate ones.
        ks: how many layers each further one shares with the base.
        ideal: the merged network's operations as a share of the separate ones'.
        separate_file_bytes: of the weights.
        merged_file_bytes: likewise.
        rounds: how often everything ran.
        threads: None: as many as the engine took.
        precision: that was computed in.
        engines: the result of each engine.
    """

    networks: tuple[str, ...]
    ks: tuple[int, ...]
    ideal: float
    separate_file_bytes: int
    merged_file_bytes: int
    rounds: int
    threads: int | None
    precision: str
    engines: tuple[EngineResult, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Two rows for each engine, in milliseconds and MiB."""
        return [
            {
                "engine": one.engine,
                "networks": name,
                **side.columns(one.ratio if side is one.merged else None),
                "convolutions": convolutions,
            }
            for one in self.engines
            for name, side, convolutions in (
                ("separate", one.separate, one.separate_convolutions),
                ("merged", one.merged, one.merged_convolutions),
            )
        ]

    def table(self) -> list[dict[str, Any]]:
        return [rounded(row, DIGITS) for row in self.rows()]

    def notes(self) -> list[str]:
        """The networks and their cuts, the ratio by operations, and the sizes of the files."""
        apart, together = self.separate_file_bytes, self.merged_file_bytes
        counted = {None: "as many threads as the engine takes", 1: "1 thread"}
        threads = counted.get(self.threads, f"{self.threads} threads")
        cuts = ", ".join(f"k={k}" for k in self.ks)
        return [
            f"{' + '.join(self.networks)}, {cuts}; {self.rounds} rounds in turns, {threads}, {self.precision}",
            f"ratio: median of merged / separate in each round; the true one lies from low to high with 95 %; "
            f"by operations {self.ideal:.3f}",
            f"weights: {apart / MIB:.1f} MiB separate, {together / MIB:.1f} MiB merged, ratio {together / apart:.3f}",
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything, with the seconds of every round."""
        return {**super().as_dict(), **asdict(self)}

    def summary(self) -> str:
        ratios = ", ".join(f"{one.engine} {one.ratio.median:.3f}" for one in self.engines)
        return f"{' + '.join(self.networks)}, {self.cuts}; merged / separate: {ratios}"

    @property
    def cuts(self) -> str:
        """The k of each further network, once each where they are the same."""
        return ", ".join(f"k={k}" for k in dict.fromkeys(self.ks))

    def plot(self, path: Path | str, **look: Unpack[Look]) -> None:
        """Draw the median times as bars into a file.

        Args:
            path: a .png, .svg or .pdf file; it is replaced as a whole.
            look: width in inches, font_size in points, title, in place of the figure's own.

        Raises:
            DarkshareError: the suffix is none of .png, .svg and .pdf, or the file cannot be written.
        """
        from darkshare.inference.bench.chart import plot_bench

        plot_bench(self, path, **look)


def separate_and_merged(
    models: Sequence[Model], k: int | Sequence[int] | None = None, *, force: bool = False
) -> tuple[list[Model], Model]:
    """Give the networks and the merged one, from several networks or from one that is merged already.

    Raises:
        DarkshareError: they cannot be merged, or the only one given does not do two tasks; the vote of an ensemble
            is one, and its branches are none of their own.
    """
    if len(models) > 1:
        with warnings.catch_warnings():  # what `concat` warns of matters to those who get its files
            warnings.simplefilter("ignore", DarkshareWarning)
            return list(models), splice.concat(models, k, force=force)
    if not models:
        raise BadValue("bench needs the separate networks, or a merged one")
    (merged,) = models
    names = [task.name for task in without_branch_tasks(merged).tasks]
    if len(names) < 2:
        found = "is one ensemble" if len(merged.tasks) > 1 else "has one task only"
        raise DarkshareError(f"{found}: give a further network, or a merged one", file=merged.name)
    if k is not None:
        raise BadValue("is merged already, so k is known: leave it out", file=merged.name)
    return [with_input_of(merged, one) for one in splice.split(merged, names)], merged


@checked
def bench(
    models: Model | Sequence[Model],
    *,
    k: int | Sequence[int] | None = None,
    force: bool = False,
    engine: str | Sequence[str] = (DEFAULT,),
    precision: str = "fp32",
    rounds: int = ROUNDS,
    threads: int | None = None,
) -> Bench:
    """Measure networks separately against merged: time, memory, load time, beside what operations promise.

    Args:
        models: several networks, which are merged in memory; or one that is merged already, which is taken apart.
        k: shared layers, for all further networks or one for each; without it, the longest bit-identical trunk.
        force: merge although the trunks' weights differ; the time is the same.
        engine: one or more of `engines()`.
        precision: to compute in.
        rounds: how often each side runs.
        threads: to compute with; what the engine takes without it.

    Raises:
        DarkshareError: they cannot be merged, an engine that cannot run them, or too few rounds.
    """
    require_rounds(rounds)
    given = [models] if isinstance(models, Model) else list(models)
    sides = separate_and_merged(given, None if k == () else k, force=force)
    names = [engine] if isinstance(engine, str) else engine
    return measure_merging(*sides, names, rounds=rounds, threads=threads, precision=precision)


def measure_merging(
    separate: Sequence[Model],
    merged: Model,
    engines: Sequence[str] = (DEFAULT,),
    *,
    rounds: int = ROUNDS,
    threads: int | None = None,
    precision: str = "fp32",
) -> Bench:
    """Measure separate networks, run one after another, against the merged one, on each engine.

    Raises:
        DarkshareError: an engine that cannot run them, or too few rounds.
    """
    require_rounds(rounds)
    with scratch() as folder:
        files = [engine_file(model, folder / f"{i}.onnx", engines) for i, model in enumerate([*separate, merged])]
        how = {"threads": threads, "precision": precision}
        found = tuple(_measure(engine, files[:-1], files[-1:], rounds, how) for engine in dict.fromkeys(engines))
    tasks = without_branch_tasks(merged).tasks
    return Bench(
        networks=tuple(task.name for task in tasks),
        ks=tuple(task.k for task in tasks if task.k),
        ideal=merged.network.flops / sum(model.network.flops for model in separate),
        separate_file_bytes=sum(map(_file_bytes, separate)),
        merged_file_bytes=_file_bytes(merged),
        rounds=rounds,
        threads=threads,
        precision=precision,
        engines=found,
    )


def _measure(
    engine: str, separate: Sequence[File], merged: Sequence[File], rounds: int, how: Mapping[str, Any]
) -> EngineResult:
    sides = (separate, merged)
    with ExitStack() as stack:
        apart, together = in_turns([stack.enter_context(Worker(engine, files, **how)) for files in sides], rounds)
    counts = [_count(engine, files, how) for files in sides]
    return EngineResult(engine, presence(engine).version, apart, together, ratio(together, apart), *counts)


def _count(engine: str, files: Sequence[File], how: Mapping[str, Any]) -> int:
    """Count the convolutions that an engine runs, in a process of its own: keeping the record costs time."""
    with Worker(engine, files, profile=True, **how) as worker:
        return sum(worker.convolutions())


def _file_bytes(model: Model) -> int:
    return Header().size(model.network.dialect) + 4 * model.network.params
