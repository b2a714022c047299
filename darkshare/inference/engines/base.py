"""The interface of all engines: a loaded network that runs, and the settings that each of them takes in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np

from darkshare.darknet.weights import Floats
from darkshare.errors import DarkshareError

PRECISIONS = ("fp32", "bf16", "fp16")


class Engine(Protocol):
    """A network that is loaded into an engine. One thread at a time may use it."""

    def run(self, blob: Floats) -> list[Floats]:
        """Compute all outputs, each batch x channels x height x width, in the order given when it was opened.

        Args:
            blob: float32, batch x channels x height x width.

        Raises:
            DarkshareError: the engine refuses.
        """

    def convolutions(self) -> int:
        """Count the convolutions of one run, from the engine's own record of its last runs.

        The engine must have been opened with `profile` and have run; ONNX Runtime gives it once.
        """


class Settings(NamedTuple):
    """See `open_engine`."""

    threads: int | None = None
    precision: str = "fp32"
    profile: bool = False


@contextmanager
def errors_of(engine: str) -> Iterator[None]:
    """Turn what an engine raises into one line that names it; the engines share no class of errors."""
    try:
        yield
    except DarkshareError:
        raise
    except Exception as error:
        said = str(getattr(error, "err", "") or error)
        lines = [line.strip() for line in said.splitlines() if line.strip()] or [type(error).__name__]
        raise DarkshareError(f"{engine} cannot do it: {' '.join(lines)}") from None


def in_parts(run: Callable[[Floats], list[Floats]], blob: Floats, size: int) -> list[Floats]:
    """Run a batch in parts of a file's fixed batch, the last one filled up, for engines that take it at its word."""
    found = []
    for start in range(0, len(blob), size):
        part = blob[start : start + size]
        missing = [(0, size - len(part)), *[(0, 0)] * (blob.ndim - 1)]
        found.append([values[: len(part)] for values in run(np.pad(part, missing) if len(part) < size else part)])
    return [np.concatenate(part) for part in zip(*found, strict=True)]
