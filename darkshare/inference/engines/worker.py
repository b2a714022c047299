"""Networks in a process of their own, with its own memory and threads.

The parent writes one word a line and gets one line of JSON back. Only the files of the networks are handed over, so
that nothing but the engine fills the memory that is measured.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from darkshare._children import start
from darkshare.darknet.weights import Floats
from darkshare.errors import DarkshareError, DarkshareWarning, warn
from darkshare.inference.engines import Engine, open_engine
from darkshare.inference.engines.files import File

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Loading:
    """Seconds over all networks: from the files to ready engines, and their first runs."""

    load: float
    first: float


class Worker:
    """Networks that are loaded, and have run once, in a process that ends with the `with` block.

    Raises:
        DarkshareError: the engine refuses, or the process dies.
    """

    def __init__(self, engine: str, files: Sequence[File], **how: Any) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._engine = engine
        self._process = start(__name__, Path(files[0].path).parent, self._errors)
        try:
            answer = self.ask(json.dumps({"engine": engine, "files": files, "how": how}))
        except BaseException:
            self.close()
            raise
        self.loading = Loading(*answer["seconds"])
        for message in answer["warnings"]:
            warn(message)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self) -> list[float]:
        """Run each network once, in turn; returns the seconds of each."""
        found: list[float] = self.ask("run")
        return found

    def peak(self) -> int | None:
        """Give the largest resident memory so far, in bytes; None where the system does not report it."""
        found: int | None = self.ask("peak")
        return found

    def convolutions(self) -> list[int]:
        """See `Engine.convolutions`, for each network."""
        found: list[int] = self.ask("convolutions")
        return found

    def outputs(self) -> list[Floats]:
        """The outputs of all networks."""
        with np.load(self.ask("outputs")) as found:
            return [found[name] for name in found.files]

    def ask(self, line: str) -> Any:
        """Send a line and wait for the answer.

        Raises:
            DarkshareError: the error of the other process, or that it died.
        """
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise self._death()
        found = json.loads(answer)
        if "error" in found:
            raise DarkshareError(found["error"])
        return found["answer"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _death(self) -> DarkshareError:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        if code == -9:
            why = "it was killed; is there too little memory? Close programs, or measure one engine at a time"
        else:
            why = f"exit code {code}{': ' + said[-1] if said else ''}"
        return DarkshareError(f"the process that ran the engine {self._engine} died: {why}")


def run_in_turns(workers: Sequence[Worker], rounds: int, *, warm_up: int = 2) -> list[list[list[float]]]:
    """Run the workers one after another, again and again, so that what slows the machine slows them alike.

    Every second round goes backwards: none of them always runs behind the same other one.

    Args:
        workers: those to compare.
        rounds: how often each of them runs.
        warm_up: runs before that, which do not count.

    Returns:
        For each worker the seconds of each round, for each of its networks.
    """
    found: list[list[list[float]]] = [[] for _ in workers]
    for number in range(-warm_up, rounds):
        turns = list(zip(workers, found, strict=True))
        for worker, seconds in turns[:: -1 if number % 2 else 1]:
            took = worker.run()
            if number >= 0:
                seconds.append(took)
    return found


# Below is what runs in the other process.


def _serve(lines: IO[str], answers: IO[str]) -> None:
    job = json.loads(lines.readline())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DarkshareWarning)
        begin = time.perf_counter()
        engines = [open_engine(job["engine"], path, outputs, **job["how"]) for path, outputs, _ in job["files"]]
        loading = time.perf_counter() - begin
    runs = [_prepared(engine, shape) for engine, (_, _, shape) in zip(engines, job["files"], strict=True)]
    first = sum(_seconds(run) for run in runs)
    said = [str(one.message) for one in caught if issubclass(one.category, DarkshareWarning)]
    _answer(answers, {"seconds": [loading, first], "warnings": said})
    acts: dict[str, Callable[[], Any]] = {
        "run": lambda: [_seconds(run) for run in runs],
        "peak": _peak,
        "convolutions": lambda: [engine.convolutions() for engine in engines],
        "outputs": lambda: _saved([array for run in runs for array in run()]),
    }
    for line in lines:
        _answer(answers, acts[line.strip()]())


def _prepared(engine: Engine, shape: Sequence[int]) -> Callable[[], list[Any]]:
    blob = np.random.default_rng(0).random(shape, np.float32)
    return lambda: engine.run(blob)


def _seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _saved(arrays: Sequence[Floats]) -> str:
    """A file with arrays in the current folder, which is the parent's."""
    path = Path("outputs.npz").absolute()
    np.savez(path, *arrays)
    return str(path)


def _peak() -> int | None:
    """VmHWM, which starts anew with the program; ru_maxrss would hold what the parent had when it started this one."""
    if STATUS.exists():
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _answer(answers: IO[str], found: Any) -> None:
    print(json.dumps({"answer": found}), file=answers, flush=True)


def main() -> None:
    """Serve until the parent closes its end. What engines print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        _serve(sys.stdin, answers)
    except DarkshareError as error:
        print(json.dumps({"error": str(error)}), file=answers, flush=True)
