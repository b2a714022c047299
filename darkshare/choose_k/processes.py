"""Trials in processes of their own, some at a time: one that dies ends no other, and its process is replaced.

A process does one trial after the other, since its start takes longer than a short training. The parent writes each as
a line of JSON and gets a line for everything that happens; an empty line ends the process. What else it says goes to a
log file in the trial's folder.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import json
import os
import signal
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import IO, Any, NamedTuple

from darkshare._children import start
from darkshare._files import writing
from darkshare._signals import stoppable
from darkshare.choose_k.trial_run import run_trial
from darkshare.choose_k.trials import LOG, Trial
from darkshare.errors import DarkshareError, DarkshareWarning
from darkshare.training.journal import Update
from darkshare.training.settings import TrainingWatch

LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # each asks for its own
LAST = ("done", "failed", "stopped")
_OFTEN = 0.2  # seconds between two messages on how far it is


class Message(NamedTuple):
    """An event of a trial.

    Attributes:
        trial: whose.
        event: begin, step, or one of LAST, behind which nothing comes.
        batch: updates made so far.
        text: the loss, or why it failed.
    """

    trial: Trial
    event: str
    batch: int = 0
    text: str = ""


def run_here(trials: Sequence[Trial], jobs: int) -> Iterator[Message]:
    """Run trials on this machine and yield what happens. Closing the iterator early makes them save and stop.

    Args:
        trials: in this order.
        jobs: how many at once.
    """
    waiting, running, idle = deque(trials), list[Process](), list[Process]()
    said: SimpleQueue[Message] = SimpleQueue()
    try:
        while waiting or running or not said.empty():
            while waiting and len(running) < jobs:
                trial = waiting.popleft()
                try:
                    running.append(_begun(trial, idle, said.put))
                except OSError as error:
                    said.put(Message(trial, "failed", text=f"{trial.folder}: {error.strerror or error}"))
            message = said.get()
            if message.event in LAST:
                idle += [one for one in running if one.trial is message.trial]
                running = [one for one in running if one.trial is not message.trial]
            if not waiting:
                for one in idle:
                    one.end()
            yield message
    finally:
        stop(running)
        for one in idle:
            one.wait()


def _begun(trial: Trial, idle: list[Process], tell: Callable[[Message], object]) -> Process:
    """The process that does a trial: one that is idle, if it still lives."""
    trial.folder.mkdir(parents=True, exist_ok=True)
    while idle:
        process = idle.pop()
        if process.go_on(trial):
            return process
    return Process(trial, tell)


class Process:
    """A process that does trials, one after the other.

    Args:
        trial: the first of them.
        tell: called from a thread of its own with every message.
    """

    def __init__(self, trial: Trial, tell: Callable[[Message], object]) -> None:
        self.trial = trial
        self.is_stopping = False
        self._is_busy, self._has_ended, self._changing = True, False, Lock()
        trial.folder.mkdir(parents=True, exist_ok=True)
        threads = trial.options.threads
        variables = dict.fromkeys(LIBRARIES, str(threads)) if threads else {}
        path = trial.folder / LOG
        with writing(path), open(path, "ab") as log:
            self._process = start(__name__, Path(trial.cwd), log, variables)
        self._write(json.dumps(trial.to_json()))
        self._thread = Thread(target=self._listen, args=(tell,), daemon=True)
        self._thread.start()

    def go_on(self, trial: Trial) -> bool:
        """Give it a further trial behind the last message of the one before; False if it has ended."""
        with self._changing:
            if not self._has_ended:
                self.trial, self._is_busy = trial, True
                self._write(json.dumps(trial.to_json()))
            return not self._has_ended

    def end(self) -> None:
        """Let it end as soon as it is idle."""
        self._write("")

    def stop(self) -> None:
        """Ask it to save and stop."""
        self.is_stopping = True
        self._process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)

    def wait(self) -> None:
        """Wait until it has ended and all messages have arrived."""
        self.end()
        self._thread.join()

    def _write(self, line: str) -> None:
        assert self._process.stdin
        with contextlib.suppress(OSError, ValueError):  # it is gone, or the pipe is closed already
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()  # and stays open: its end is the end of this process

    def _listen(self, tell: Callable[[Message], object]) -> None:
        assert self._process.stdin
        assert self._process.stdout
        with self._process.stdout:
            for line in self._process.stdout:
                message = Message(self.trial, **json.loads(line))
                self._is_busy = message.event not in LAST
                tell(message)
        code = self._process.wait()
        with self._changing:
            self._has_ended = True
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._is_busy:
            tell(self._death(code))

    def _death(self, code: int) -> Message:
        if self.is_stopping:
            return Message(self.trial, "stopped")
        if code == -signal.SIGKILL if os.name == "posix" else False:
            return Message(self.trial, "failed", text="its process was killed; is there too little memory?")
        path = self.trial.folder / LOG
        said = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        why = f": {said[-1]}" if said else ""
        return Message(self.trial, "failed", text=f"its process ended with exit code {code}{why}; see {path}")


def stop(running: Sequence[Process]) -> None:
    """Make processes save and end, and wait for it."""
    for one in running:
        one.stop()
    for one in running:
        one.wait()


def shared_out(trials: Sequence[Trial], jobs: int) -> list[Trial]:
    """The trials with the cores divided among them as threads, and features of all k of a seed from one pass.

    A number of threads that was given stays.
    """
    own, ks = max(cores() // jobs, 1), dict[int, list[int]]()
    for one in trials:
        if one.options.cache_features:
            ks.setdefault(one.options.seed, []).append(one.options.k)
    return [
        replace(
            one,
            options=replace(one.options, threads=one.options.threads or own),
            beside=tuple(ks.get(one.options.seed, ())) if one.options.cache_features else (),
        )
        for one in trials
    ]


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# The other side.


class ParentWatch(TrainingWatch):
    """Writes a line for the parent; where there is no parent any more, the training saves and stops."""

    def __init__(self, answers: IO[str]) -> None:
        self._answers = answers
        self._last = 0.0

    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def begin(self, done: int, batches: int) -> None:
        self._tell("begin", done, "")

    def step(self, entry: Update) -> None:
        if time.monotonic() - self._last >= _OFTEN:
            self._tell("step", entry.batch, f"loss {entry.mean:.3f}")

    def cached(self, done: int, rows: int) -> None:
        if time.monotonic() - self._last >= _OFTEN:
            self._tell("step", 0, f"features {done}/{rows}")

    def _tell(self, event: str, batch: int, text: str) -> None:
        self._last = time.monotonic()
        try:
            answer(self._answers, event=event, batch=batch, text=text)
        except BrokenPipeError:
            raise KeyboardInterrupt from None


def answer(answers: IO[str], **what: Any) -> None:
    """Write one line to the parent."""
    print(json.dumps(what), file=answers, flush=True)


def main() -> None:
    """Do the trials on stdin. What libraries print goes to stderr, which is the log."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("always", DarkshareWarning)
    lines: SimpleQueue[bytes] = SimpleQueue()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError), stoppable(always=True):
        Thread(target=_read, args=(lines,), daemon=True).start()
        while line := lines.get():
            last = _do(Trial.of_json(json.loads(line)), answers)
            answer(answers, **last)
            if last["event"] == "stopped":
                return


def _read(lines: SimpleQueue[bytes]) -> None:
    """Pass the lines of stdin on; its end comes when the parent is gone, and then strikes as Ctrl-C does."""
    rest = b""
    while piece := os.read(0, 2**16):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            lines.put(line)
        if b"" in whole:
            return
    lines.put(b"")
    _thread.interrupt_main()


def _do(trial: Trial, answers: IO[str]) -> dict[str, str]:
    """Do a trial, and leave nothing of it in memory; gives its last message."""
    try:
        path = trial.folder / LOG
        with writing(path), open(path, "ab") as log:
            sys.stderr.flush()
            for handle in (1, 2):
                os.dup2(log.fileno(), handle)
        found = run_trial(trial, ParentWatch(answers))
    except DarkshareError as error:
        return {"event": "failed", "text": str(error)}
    except KeyboardInterrupt:
        return {"event": "stopped"}
    finally:
        _free_memory()
    return {"event": "done", "text": f"mAP {100 * found.map:.2f} %"} if found else {"event": "stopped"}


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
