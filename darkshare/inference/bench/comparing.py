"""One network on every engine of this machine, and which of them to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from darkshare._files.scratch import scratch
from darkshare._tables import Results
from darkshare.darknet.model import Model
from darkshare.darknet.weights import Floats
from darkshare.errors import DarkshareError, warn
from darkshare.inference.engines import DEFAULT, available
from darkshare.inference.engines.files import File, engine_file
from darkshare.inference.engines.timing import (
    DIGITS,
    ROUNDS,
    Measured,
    TimeRatio,
    in_turns,
    ratio,
    require_rounds,
    rounded,
)
from darkshare.inference.engines.worker import Worker

INT8 = "int8"  # a file of its own, not a way to run one


@dataclass(frozen=True)
class EngineTiming:
    """One engine in one precision.

    Attributes:
        engine: one of `engines.NAMES`.
        precision: one of `engines.PRECISIONS`, or int8.
        version: of the engine.
        measured: the network, alone in its process.
        ratio: of its time to that of the first one.
        difference: to what the first one gives: the largest one in a head as a share of that head's largest number,
            over all heads; None where a number is not finite.
    """

    engine: str
    precision: str
    version: str
    measured: Measured
    ratio: TimeRatio
    difference: float | None


@dataclass(frozen=True, repr=False)
class EngineComparison(Results[EngineTiming]):
    """A network on every engine of this machine.

    Attributes:
        items: a timing for each engine and precision, the default one first.
        agreement: for each engine with an int8 file how well its worst head agrees with fp32.
    """

    agreement: dict[str, float] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each timing, in milliseconds and MiB."""
        return [
            {
                "engine": one.engine,
                "version": one.version,
                "precision": one.precision,
                **one.measured.columns(one.ratio),
                "difference": one.difference,
            }
            for one in self
        ]

    def table(self) -> list[dict[str, Any]]:
        digits = {**DIGITS, "ms": 2, "q1": 2, "q3": 2, "load ms": 0, "first ms": 0}
        return [{**rounded(row, digits), "difference": _two_digits(row["difference"])} for row in self.rows()]

    def notes(self) -> list[str]:
        """The engine to use, and how well int8 agrees."""
        agreement = (
            f"int8 for {engine} agrees with fp32 in {worst:.3f}, its worst head"
            for engine, worst in self.agreement.items()
        )
        return [*recommendation(self.items), *agreement]

    def as_dict(self) -> dict[str, Any]:
        """Everything, with the seconds of every round."""
        return {**super().as_dict(), "timings": [asdict(one) for one in self], "agreement": self.agreement}

    def summary(self) -> str:
        return f"{len(self)} timings; {recommendation(self.items)[0]}"


def compare_engines(
    model: Model,
    *,
    rounds: int = ROUNDS,
    threads: int | None = None,
    quantised: Mapping[str, File] = MappingProxyType({}),
) -> EngineComparison:
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
    wanted = [(name, precision) for name, one in present.items() for precision in one.precisions]
    wanted += [(name, INT8) for name in quantised]
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        file = engine_file(model, folder / "network.onnx", present)
        workers = {}
        for engine, precision in wanted:
            its = quantised[engine] if precision == INT8 else file
            how = {"threads": threads, "precision": "fp32" if precision == INT8 else precision}
            if worker := _started(engine, its, model.name, **how):
                workers[engine, precision] = stack.enter_context(worker)
        found = in_turns(list(workers.values()), rounds)
        outputs = [worker.outputs() for worker in workers.values()]
    timings = (
        EngineTiming(name, precision, present[name].version, one, ratio(one, found[0]), _difference(given, outputs[0]))
        for (name, precision), one, given in zip(workers, found, outputs, strict=True)
    )
    return EngineComparison(tuple(timings))


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


def recommendation(timings: Sequence[EngineTiming]) -> list[str]:
    """Say which engine to use, in a line or two: the fastest in fp32, and what lower precision would add to it."""
    exact = [one for one in timings if one.precision == "fp32"]
    best = min(exact, key=lambda one: one.ratio.median)
    if best.ratio.high >= 1:
        best = timings[0]
    lines = [f"use --engine {best.engine}{_gain(best, timings[0])}"]
    lower = [one for one in timings if one not in exact and one.difference is not None]
    faster = [one for one in lower if one.ratio.high < best.ratio.low]
    if faster:
        other = min(faster, key=lambda one: one.ratio.median)
        lines.append(
            f"or {_options(other)}{_gain(other, timings[0])}, "
            f"if the heads may be off by {other.difference:.1%} of their largest numbers (as here on noise)"
        )
    return lines


def _options(one: EngineTiming) -> str:
    if one.precision == INT8:
        return f"the file of export --precision int8 --engine {one.engine}"
    return f"--engine {one.engine} --precision {one.precision}"


def _gain(one: EngineTiming, first: EngineTiming) -> str:
    if one is first:
        return ": nothing here is faster for sure"
    return f": {1 / one.ratio.median:.2f} times as fast as {first.engine}"


def _two_digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.2g}")
