"""One network on every engine of this machine, and which of them to use."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from darkshare.darknet.model import Model
from darkshare.darknet.weights import Floats
from darkshare.errors import DarkshareError, warn
from darkshare.inference.bench.timing import ROUNDS, Measured, Ratio, measured, ratio, require_rounds, written
from darkshare.inference.engines import DEFAULT, available
from darkshare.inference.engines.worker import File, Worker, take_turns

INT8 = "int8"  # a file of its own, not a way to run one


@dataclass(frozen=True)
class Entry:
    """One engine in one precision.

    Attributes:
        engine: one of `engines.NAMES`.
        precision: one of `engines.PRECISIONS`, or int8.
        version: of the engine.
        measured: the network, alone in its process.
        ratio: of its time to that of the first entry.
        difference: to what the first entry gives: the largest one in a head as a share of that head's largest
            number, over all heads; None where a number is not finite.
    """

    engine: str
    precision: str
    version: str
    measured: Measured
    ratio: Ratio
    difference: float | None


def race(
    model: Model,
    *,
    rounds: int = ROUNDS,
    threads: int | None = None,
    quantised: Mapping[str, File] = MappingProxyType({}),
) -> list[Entry]:
    """Run a network on every engine of this machine, in every precision that it has; the default one comes first.

    Args:
        model: with weights.
        rounds: how often each of them runs.
        threads: to compute with; what the engine takes without it.
        quantised: the same network as int8 files, by the engine that they are for.

    Raises:
        DarkshareError: the default engine cannot run it, or too few rounds.
    """
    require_rounds(rounds)
    present = available()
    entries = [(name, precision) for name, one in present.items() for precision in one.precisions]
    entries += [(name, INT8) for name in quantised]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="darkshare-"))
        file = written(model, Path(folder) / "network.onnx")
        workers = {}
        for engine, precision in entries:
            its = quantised[engine] if precision == INT8 else file
            how = {"threads": threads, "precision": "fp32" if precision == INT8 else precision}
            if worker := _started(engine, its, model.name, **how):
                workers[engine, precision] = stack.enter_context(worker)
        times = take_turns(list(workers.values()), rounds)
        found = [measured(*one) for one in zip(workers.values(), times, strict=True)]
        outputs = [worker.outputs() for worker in workers.values()]
    return [
        Entry(engine, precision, present[engine].version, one, ratio(one, found[0]), _difference(given, outputs[0]))
        for (engine, precision), one, given in zip(workers, found, outputs, strict=True)
    ]


def _started(engine: str, file: File, name: str, **how: Any) -> Worker | None:
    try:
        return Worker(engine, [file], **how)
    except DarkshareError as error:
        if engine == DEFAULT:
            raise error.locate(name, None) from None
        warn(f"{engine} in {how['precision']} is left out: {error}")
        return None


def _difference(found: Sequence[Floats], wanted: Sequence[Floats]) -> float | None:
    pairs = list(zip(found, wanted, strict=True))
    if not all(np.isfinite(head).all() for pair in pairs for head in pair):
        return None
    return max(float(np.abs(a.astype(float) - b).max() / (np.abs(b).max() or 1)) for a, b in pairs)


def choice(entries: Sequence[Entry]) -> str:
    """Which engine to use, in a line or two: the fastest in fp32, and what lower precision would add to it."""
    exact = [entry for entry in entries if entry.precision == "fp32"]
    best = min(exact, key=lambda entry: entry.ratio.median)
    if best.ratio.high >= 1:
        best = entries[0]
    lines = [f"use --engine {best.engine}{_gain(best, entries[0])}"]
    lower = [entry for entry in entries if entry not in exact and entry.difference is not None]
    faster = [entry for entry in lower if entry.ratio.high < best.ratio.low]
    if faster:
        other = min(faster, key=lambda entry: entry.ratio.median)
        lines.append(
            f"or {_way(other)}{_gain(other, entries[0])}, "
            f"if the heads may be off by {other.difference:.1%} of their largest numbers (as here on noise)"
        )
    return "\n".join(lines)


def _way(entry: Entry) -> str:
    if entry.precision == INT8:
        return f"the file of export --precision int8 --engine {entry.engine}"
    return f"--engine {entry.engine} --precision {entry.precision}"


def _gain(entry: Entry, first: Entry) -> str:
    if entry is first:
        return ": nothing here is faster for sure"
    return f": {1 / entry.ratio.median:.2f} times as fast as {first.engine}"


def to_rows(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """The entries for people; `to_json` has every number."""
    return [
        {
            "engine": entry.engine,
            "version": entry.version,
            "precision": entry.precision,
            "ms": round(1000 * entry.measured.spread.median, 2),
            "q1": round(1000 * entry.measured.spread.q1, 2),
            "q3": round(1000 * entry.measured.spread.q3, 2),
            "ratio": round(entry.ratio.median, 3),
            "low": round(entry.ratio.low, 3),
            "high": round(entry.ratio.high, 3),
            "load ms": round(1000 * entry.measured.loading.load),
            "first ms": round(1000 * entry.measured.loading.first),
            "peak MiB": entry.measured.peak_mib,
            "difference": None if entry.difference is None else float(f"{entry.difference:.2g}"),
        }
        for entry in entries
    ]


def to_json(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """Everything, with the seconds of every round."""
    return [asdict(entry) for entry in entries]
