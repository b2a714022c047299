"""Asks a process of `matrix.py` what happens to commands under faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Server:
    """The process, which ends with the `with` block."""

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("matrix.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, name: str, *, every: bool = False, only: Sequence[str] = ()) -> dict[str, Any]:
        """What happens to one row under every fault, or under those only: outcomes, what is wrong, why it was skipped.

        Args:
            name: of the row.
            every: whether each fault is tried at every place; else at some.
            only: the names of faults.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([name, every, *only]) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        assert "error" not in found, found["error"]
        return found
