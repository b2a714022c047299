"""A process in which commands meet faults: it has imported what they need, and forks for each of them.

It reads names of rows, one a line, and answers with a line of JSON for each.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.columns import tried
from faults.rows import ROWS
from faults.running import Bench, own_mounts

from darkshare._figures import rendered
from darkshare.choose_k import sweep
from darkshare.choose_k.processes import Message
from darkshare.choose_k.trial_run import run_trial
from darkshare.choose_k.trials import Trial
from darkshare.cli import COMMANDS, main
from darkshare.training.settings import TrainingWatch


def preload() -> None:
    """Import what the commands import, and find matplotlib's fonts, so that no process needs to."""
    import onnxruntime  # noqa: F401
    from matplotlib.figure import Figure

    for name in COMMANDS:
        main.get_command(None, name)
    rendered(Figure, "svg")


def run_in_this_process(trials: Sequence[Trial], jobs: int) -> Iterator[Message]:
    """Stand in for the processes of a sweep, so that faults meet its trials as well."""
    for trial in trials:
        run_trial(trial, TrainingWatch())
        yield Message(trial, "done", text="mAP")


def found(name: str, base: Path, *, every: bool, only: Sequence[str] = ()) -> dict[str, Any]:
    """What happens to one command under every fault."""
    (row,) = (row for row in ROWS if row.name == name)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reader)
            sweep.run_here = run_in_this_process
            bench = Bench(row, base, mounts=not own_mounts())
            tallies = {name: tally.__dict__ for name, tally in tried(bench, every=every, only=only)}
            answer = json.dumps(tallies)
        except BaseException:
            answer = json.dumps({"error": traceback.format_exc()})
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said)


if __name__ == "__main__":
    preload()
    for line in sys.stdin:
        name, every, *only = json.loads(line)
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            sys.stdout.write(json.dumps(found(name, Path(folder), every=every, only=only)) + "\n")
            sys.stdout.flush()
