"""A process that answers lines of its input with lines of JSON: both of its ends, for benchmarks of several engines."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Asked:
    """A process that is asked.

    Args:
        words: the program and its arguments.
        how: the environment and folder, as `subprocess.Popen` takes them.
    """

    def __init__(self, words: Sequence[str | Path], **how: Any) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(words, text=True, **pipes, **how)

    def ask(self, line: str) -> Any:
        """Send a line and wait for the answer, which is an `error` where the process has ended."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            print(line, file=self._process.stdin, flush=True)
            said = self._process.stdout.readline()
        except BrokenPipeError:
            said = ""
        return json.loads(said) if said else {"error": f"its process ended with {self._process.wait()}"}


def answering() -> Callable[[object], None]:
    """Give the function by which the process that is asked answers; what engines print is not an answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(found: object) -> None:
        print(json.dumps(found), file=answers, flush=True)

    return answer
