"""Separate networks against the merged one: time, memory, files, and what the operations promise."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from darkshare.darknet.model import Model, without_branch_tasks
from darkshare.darknet.weights import Header
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning
from darkshare.inference.bench.timing import MIB, ROUNDS, Measured, Ratio, measured, ratio, require_rounds, written
from darkshare.inference.engines import DEFAULT, presence
from darkshare.inference.engines.worker import File, Worker, take_turns
from darkshare.surgery import splice


@dataclass(frozen=True)
class Bout:
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
    ratio: Ratio
    separate_convolutions: int
    merged_convolutions: int


@dataclass(frozen=True)
class Bench:
    """What merging gains on this machine.

    Attributes:
        networks: the separate ones.
        ks: how many layers each further one shares with the base.
        ideal: the merged network's operations as a share of the separate ones'.
        separate_file_bytes: of the weights.
        merged_file_bytes: likewise.
        rounds: how often everything ran.
        threads: None: as many as the engine took.
        precision: that was computed in.
        bouts: one for each engine.
    """

    networks: tuple[str, ...]
    ks: tuple[int, ...]
    ideal: float
    separate_file_bytes: int
    merged_file_bytes: int
    rounds: int
    threads: int | None
    precision: str
    bouts: tuple[Bout, ...]


def separate_and_merged(
    models: Sequence[Model], k: int | Sequence[int] | None = None, *, force: bool = False
) -> tuple[list[Model], Model]:
    """The networks and their merger, from several networks or from one that is merged already.

    Raises:
        DarkshareError: they cannot be merged, or the only one given does not do two tasks; the vote of an ensemble
            is one, and its branches are none of their own.
    """
    if len(models) > 1:
        with warnings.catch_warnings():  # what `concat` warns of matters to those who get its files
            warnings.simplefilter("ignore", DarkshareWarning)
            return list(models), splice.concat(models, k, force=force)
    (merged,) = models
    names = [task.name for task in without_branch_tasks(merged).tasks]
    if len(names) < 2:
        found = "is one ensemble" if len(merged.tasks) > 1 else "has one task only"
        raise DarkshareError(f"{found}: give a further network, or a merged one", file=merged.name)
    if k is not None:
        raise BadValue("is merged already, so k is known: leave it out", file=merged.name)
    return splice.split(merged, names), merged


def bench(
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
    with tempfile.TemporaryDirectory(prefix="darkshare-") as folder:
        files = [written(model, Path(folder) / f"{i}.onnx") for i, model in enumerate([*separate, merged])]
        how = {"threads": threads, "precision": precision}
        bouts = tuple(_bout(engine, files[:-1], files[-1:], rounds, how) for engine in dict.fromkeys(engines))
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
        bouts=bouts,
    )


def _bout(engine: str, separate: Sequence[File], merged: Sequence[File], rounds: int, how: Mapping[str, Any]) -> Bout:
    arms = (separate, merged)
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(engine, files, **how)) for files in arms]
        times = take_turns(workers, rounds)
        found = [measured(*one) for one in zip(workers, times, strict=True)]
    apart, together = found
    counts = [_count(engine, files, how) for files in arms]
    return Bout(engine, presence(engine).version, apart, together, ratio(together, apart), *counts)


def _count(engine: str, files: Sequence[File], how: Mapping[str, Any]) -> int:
    """The convolutions that an engine runs; in a process that is not timed, since keeping the record costs time."""
    with Worker(engine, files, profile=True, **how) as worker:
        return sum(worker.convolutions())


def _file_bytes(model: Model) -> int:
    return Header().size(model.network.dialect) + 4 * model.network.params


def to_rows(found: Bench) -> list[dict[str, object]]:
    """Two lines for each engine, times in milliseconds, for people; `to_json` has every number."""
    return [row for bout in found.bouts for row in _lines(bout)]


def _lines(bout: Bout) -> list[dict[str, object]]:
    arms = [("separate", bout.separate, bout.separate_convolutions), ("merged", bout.merged, bout.merged_convolutions)]
    return [
        {
            "engine": bout.engine,
            "networks": name,
            "ms": _milliseconds(arm.spread.median),
            "q1": _milliseconds(arm.spread.q1),
            "q3": _milliseconds(arm.spread.q3),
            "ratio": round(bout.ratio.median, 3) if arm is bout.merged else None,
            "low": round(bout.ratio.low, 3) if arm is bout.merged else None,
            "high": round(bout.ratio.high, 3) if arm is bout.merged else None,
            "load ms": _milliseconds(arm.loading.load),
            "first ms": _milliseconds(arm.loading.first),
            "peak MiB": arm.peak_mib,
            "convolutions": convolutions,
        }
        for name, arm, convolutions in arms
    ]


def _milliseconds(seconds: float) -> float:
    return float(f"{1000 * seconds:.4g}")


def totals(found: Bench) -> list[str]:
    """The lines below the table."""
    apart, together = found.separate_file_bytes, found.merged_file_bytes
    counted = {None: "as many threads as the engine takes", 1: "1 thread"}
    threads = counted.get(found.threads, f"{found.threads} threads")
    cuts = ", ".join(f"k={k}" for k in found.ks)
    return [
        f"{' + '.join(found.networks)}, {cuts}; {found.rounds} rounds in turns, {threads}, {found.precision}",
        f"ratio: median of merged / separate in each round; the true one lies from low to high with 95 %; "
        f"by operations {found.ideal:.3f}",
        f"weights: {apart / MIB:.1f} MiB separate, {together / MIB:.1f} MiB merged, ratio {together / apart:.3f}",
    ]


def to_json(found: Bench) -> dict[str, object]:
    """Everything, with the seconds of every round."""
    return asdict(found)
