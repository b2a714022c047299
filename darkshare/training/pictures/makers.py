"""Processes that make pictures: threads need Python's lock for a fifth of the time, so that many wait for one another.

The parent asks for a picture through a pipe and reads it from another. A child ends when its pipe does, and so with
the parent.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

import numpy as np

from darkshare._children import start
from darkshare.errors import DarkshareError
from darkshare.training.pictures.augmenting import Example
from darkshare.training.pictures.geometry import Size
from darkshare.training.pictures.loading import Place, Source

_THREADS = 4  # that are as fast as processes, as long as nothing else keeps Python busy
_WHOLE = 2**20  # bytes that a pipe is to hold: a picture, so that its maker need not wait


@contextmanager
def made_by(source: Source, workers: int, device: str) -> Iterator[Source]:
    """The source, or one whose examples processes make, where threads would wait for one another or keep a GPU waiting.

    Args:
        source: of the pictures.
        workers: threads that ask for examples.
        device: that trains: on any but the cpu, Python is busy with it.
    """
    if workers <= (_THREADS if device == "cpu" else 0):
        yield source
        return
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        idle = SimpleQueue[_Maker]()
        for _ in range(workers):
            maker = _Maker(source, errors)
            stack.callback(maker.close)
            idle.put(maker)
        yield _Spread(**vars(source), idle=idle)


@dataclass(frozen=True)
class _Spread(Source):
    """A source whose examples are made by whoever is idle."""

    idle: SimpleQueue[_Maker] = field(default_factory=SimpleQueue)

    def example(self, place: Place, size: Size) -> Example:
        maker = self.idle.get()
        try:
            return maker.example(place, size)
        finally:
            self.idle.put(maker)


class _Maker:
    """A process that makes examples, one at a time."""

    def __init__(self, source: Source, errors: IO[bytes]) -> None:
        self._source, self._errors, self._knows = source, errors, False
        self._process = start(__name__, Path.cwd(), errors)
        self._requests: Any = getattr(self._process.stdin, "buffer", None)
        self._answers: Any = getattr(self._process.stdout, "buffer", None)
        _widen(self._answers)

    def example(self, place: Place, size: Size) -> Example:
        """See `Source.example`.

        Raises:
            DarkshareError: what it raises there, or the process died.
        """
        try:
            if not self._knows:  # not at the start: whoever sends it waits for the imports
                pickle.dump(self._source, self._requests)
                self._knows = True
            pickle.dump((place, size), self._requests)
            self._requests.flush()
            shape, kind, truths, unreadable, error = pickle.load(self._answers)  # noqa: S301 - of our own child
            image = np.empty(shape, kind)
            if self._answers.readinto(image.data.cast("B")) != image.nbytes:
                raise EOFError
        except (OSError, EOFError, pickle.UnpicklingError):
            raise self._death() from None
        self._source.unreadable.join(unreadable)
        if error:
            raise error
        return Example(image, truths)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        self._process.wait()

    def _death(self) -> DarkshareError:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        why = "killed; is there too little memory" if code == -9 else f"exit code {code}: {' '.join(said[-1:])}"
        return DarkshareError(f"a process that makes pictures died ({why}); take fewer --workers")


def _widen(pipe: Any) -> None:
    """Let a pipe hold a picture, where the system can do that."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _WHOLE)


# Below is what runs in the other process.


def main() -> None:
    """Make examples until the parent closes its end. What libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import cv2

    cv2.setNumThreads(1)  # there are as many processes as are wanted
    with suppress(EOFError, BrokenPipeError):
        source = pickle.load(sys.stdin.buffer)  # noqa: S301 - of our own parent
        while True:
            place, size = pickle.load(sys.stdin.buffer)  # noqa: S301
            _answer(source, place, size, answers)


def _answer(source: Source, place: Place, size: Size, answers: IO[bytes]) -> None:
    image: Any = np.empty(0)
    truths, error = np.empty(0, np.float32), None
    try:
        image, truths = source.example(place, size)
    except DarkshareError as refused:
        error = refused
    pickle.dump((image.shape, image.dtype, truths, source.unreadable, error), answers)
    answers.write(np.ascontiguousarray(image).data)
    answers.flush()
