"""`engines`: those that are installed, and with a model how fast each of them runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from darkshare._tables import Result
from darkshare.darknet.model import Model
from darkshare.errors import BadValue, checked, warn
from darkshare.inference.bench.comparing import EngineComparison, compare_engines
from darkshare.inference.engines import DEFAULT, Presence, available
from darkshare.inference.engines.timing import ROUNDS
from darkshare.inference.int8 import QUANTISERS, Attempt, Int8, attempted, choose, missing


@dataclass(frozen=True, repr=False)
class EngineList(Result):
    """The engines, and whether they can be used here.

    Attributes:
        engines: by name, in the order of preference where nothing is measured.
    """

    engines: dict[str, Presence]

    def __iter__(self) -> Iterator[str]:
        """The names of those that can be used."""
        return (name for name, one in self.engines.items() if one.version)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each engine: its version, precisions, and why it cannot be used."""
        return [
            {
                "engine": name,
                "version": one.version or None,
                "precisions": ", ".join(one.precisions),
                "remark": one.reason or ("the default" if name == DEFAULT else ""),
            }
            for name, one in self.engines.items()
        ]

    def summary(self) -> str:
        return ", ".join(self)


@checked
def engines(
    model: Model | None = None, *, calibrate: str | None = None, rounds: int = ROUNDS, threads: int | None = None
) -> EngineList | EngineComparison:
    """List the engines of this machine; with a model, time it on each of them.

    Args:
        model: with weights.
        calibrate: pictures to make int8 files with, which are timed too; see `export`.
        rounds: how often each of them runs.
        threads: to compute with; what the engine takes without it.

    Raises:
        DarkshareError: the default engine cannot run the model, too few rounds, or no pictures.
    """
    if model is None:
        if calibrate:
            raise BadValue("calibrate needs a model to quantise")
        return EngineList(available())
    with ExitStack() as stack:
        made = _quantised(stack, model, calibrate) if calibrate else {}
        files = {engine: one.file for engine, one in made.items()}
        found = compare_engines(model, rounds=rounds, threads=threads, quantised=files)
    return replace(found, agreement={engine: one.worst for engine, one in made.items()})


def _quantised(stack: ExitStack, model: Model, calibrate: str) -> dict[str, Attempt]:
    """Make int8 files for the engines whose quantiser is here; the others are named."""
    chosen, found = choose(calibrate), {}
    for engine in QUANTISERS:
        if reason := missing(engine):
            warn(f"int8 for {engine} is left out: {reason}")
        else:
            found[engine] = stack.enter_context(attempted(model, chosen, Int8(engine)))
    return found
