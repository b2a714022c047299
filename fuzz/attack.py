"""Attack one target in this process: judge what each input does, keep what is wrong, count what was reached."""

from __future__ import annotations

import hashlib
import mmap
import re
import resource
import shlex
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from random import Random
from types import CodeType, FrameType
from typing import Any, NamedTuple
from unittest.mock import patch

from mutation import LARGEST, Mutation, havoc
from targets import Target

from darkshare.errors import DarkshareError, DarkshareWarning

SLOWEST = 1.0  # seconds of processor time for an input of at most LARGEST bytes
LONGEST = 30  # seconds of processor time until an input counts as a hang
MOST_MEMORY = 300 * 2**20  # bytes that one input may add to the peak of the process
_CHANGING = re.compile(r"'[^']*'|[0-9.]+")
_TOLD = 60  # characters of an outcome that tell it from others
_TOLD_EACH = 10_000  # executions: their number is known if the process ends without being asked to
_LARGEST_CORPUS = 2000
_OPTIMISED = 1  # the flag of a function's code; that of a class or module runs when it is imported


class Hang(BaseException):
    """An input that does not come to an end."""


class Find(NamedTuple):
    """An input that did something else than to succeed or to raise DarkshareError.

    Attributes:
        what: the error and the line of the package that it comes from; one of each is kept.
        data: the input.
        text: how it went.
    """

    what: str
    data: bytes
    text: str


class Judge:
    """The function of a target, whose failures become finds.

    Args:
        name: of the target.
        function: it.
        into: the folder that finds are written into.
    """

    def __init__(self, name: str, function: Callable[[bytes], object], into: Path) -> None:
        self.name, self.function, self.into = name, function, into
        self.executions = 0
        self.finds: dict[str, Find] = {}
        self._peak = _peak()
        into.mkdir(parents=True, exist_ok=True)
        (into / "current").write_bytes(bytes(4 + LARGEST))
        with open(into / "current", "r+b") as file:
            self._current = mmap.mmap(file.fileno(), 0)  # what a process that crashes leaves

    def __call__(self, data: bytes) -> str:
        """Run an input; gives its outcome in few words."""
        self.executions += 1
        self._current[: 4 + len(data[:LARGEST])] = len(data[:LARGEST]).to_bytes(4, "little") + data[:LARGEST]
        begun = time.thread_time()
        try:
            outcome = _CHANGING.sub("#", str(self.function(data)))[:_TOLD]
        except DarkshareError as error:
            outcome = _CHANGING.sub("#", error.message)[:_TOLD]
        except (Exception, Hang) as error:  # whatever else is a find
            outcome = self._keep(_what(error), data, "".join(traceback.format_exception(error)))
        if (taken := time.thread_time() - begun) > SLOWEST:
            outcome = self._keep("slow", data, f"{taken:.1f} s for {len(data)} bytes\n")
        if (peak := _peak()) > self._peak:
            if peak > self._peak + MOST_MEMORY:
                outcome = self._keep("memory", data, f"{(peak - self._peak) >> 20} MiB for {len(data)} bytes\n")
            self._peak = peak
        return outcome

    def _keep(self, what: str, data: bytes, text: str) -> str:
        if what not in self.finds:
            self.finds[what] = Find(what, data, text)
            path = self.into / f"find-{hashlib.sha256(what.encode()).hexdigest()[:8]}"
            path.write_bytes(data)
            again = f"python fuzz/run.py {self.name} --input {shlex.quote(str(path))}"
            path.with_suffix(".txt").write_text(f"{what}\n{again}\n\n{text}", errors="backslashreplace")
        return what


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _what(error: BaseException) -> str:
    """The kind of an error, and the innermost line of the package or of a target."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    ours = [f for f in frames if "darkshare" in Path(f.filename).parts or f.filename.endswith("_targets.py")]
    place = (ours or frames)[-1]
    said = _CHANGING.sub("#", str(error))[:_TOLD] if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno} {said}".rstrip()


@contextmanager
def prepared(name: str, target: Target, into: Path) -> Iterator[Judge]:
    """Make the judge of a target, with a folder for its files, and with warnings as errors."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DarkshareWarning)
        try:
            yield Judge(name, target.prepare(Path(folder).resolve()), into)
        finally:
            patch.stopall()  # what the target put in place of something slow


@contextmanager
def _ending() -> Iterator[Callable[[], object]]:
    """Give what is to be called before each input: an alarm ends those that hang."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, ring)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_PROF, LONGEST)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def mutated(data: bytes, rng: Random, words: list[bytes], breaks: Mutation) -> bytes:
    """Break one thing, or a few bytes."""
    if rng.randrange(2):
        return breaks(data, rng)[:LARGEST]
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = havoc(data, rng, words)
    return data[:LARGEST]


def attack(judge: Judge, target: Target, corpus: list[bytes], *, seconds: float, runs: int, seed: int) -> None:
    """Try mutations of a corpus, and add those with outcomes that are new to it.

    Args:
        judge: of the target.
        target: it.
        corpus: inputs, such as the seeds; all of them are tried first.
        seconds: to end after.
        runs: to end after so many executions of the judge, the corpus among them.
        seed: of what is random.
    """
    rng, words = Random(seed), target.words()
    until = time.monotonic() + seconds
    with _ending() as wind_up:
        seen = set()
        for data in corpus:
            wind_up()
            seen.add(judge(data))
        while judge.executions < runs and time.monotonic() < until:
            data = mutated(rng.choice(corpus), rng, words, target.breaks)
            wind_up()
            outcome = judge(data)
            if judge.executions % _TOLD_EACH == 0:
                print(f"executed {judge.executions}", flush=True)
            if outcome not in seen and len(corpus) < _LARGEST_CORPUS:
                seen.add(outcome)
                corpus.append(data)


# coverage


def lines_of(target: Target) -> dict[str, set[int]]:
    """The lines of the functions of a target's modules, by file."""
    found: dict[str, set[int]] = {}
    for name in _modules(target.modules):
        spec = find_spec(name)
        code = spec.loader.get_code(name)
        found[code.co_filename] = set(_function_lines(code))
    return found


def _modules(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        module = import_module(f"darkshare.{name}")
        yield module.__name__
        for one in walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
            yield one.name


def _function_lines(code: CodeType) -> Iterator[int]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & _OPTIMISED:
                yield from (line for _, _, line in inner.co_lines() if line and line != inner.co_firstlineno)
            yield from _function_lines(inner)


def covered(judge: Judge, target: Target, inputs: Iterable[bytes], seconds: float) -> tuple[int, int]:
    """Count the lines of the functions of a target's modules: those that inputs run within a time, and all."""
    wanted = lines_of(target)
    reached: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if name not in wanted:
            return None
        if event == "line":
            reached.add((name, frame.f_lineno))
        return trace

    before = sys.gettrace()
    until = time.monotonic() + seconds
    sys.settrace(trace)
    try:
        for data in inputs:
            if time.monotonic() < until:
                judge(data)
    finally:
        sys.settrace(before)
    return sum(line in wanted[name] for name, line in reached), sum(map(len, wanted.values()))
