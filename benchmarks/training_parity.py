"""How near darkshare's training is to Darknet's, in figures: the fixtures of the tests, taken again.

    python benchmarks/training_parity.py

For each fixture, which Darknet's C code computed (docs/explanation/training.md): the largest delta and the largest
difference from it; how far the first update moves a float, and the largest difference afterwards; and that difference
with the batch norm of cuDNN in place of the CPU code's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parent.parent / "tests"


def main() -> None:
    """Print the table as Markdown."""
    sys.path.insert(0, str(TESTS))
    from darkshare._tables import render

    rows = [row(path) for path in sorted((TESTS / "fixtures" / "training").glob("*.npz"))]
    print(render(rows, "markdown"))


def row(path: Path) -> dict[str, object]:
    """The figures of one fixture."""
    largest, off = 0.0, 0.0
    from replays import Replay

    replay = Replay(path)
    for number in range(replay.options.subdivisions):
        for index, delta, _ in replay.pass_on(number):
            wanted = replay.given[f"delta_{index}_{number}"]
            largest = max(largest, float(np.abs(wanted).max()))
            off = max(off, float(np.abs(delta.ravel() - wanted).max()))
    wanted = replay.given["weights_0"]
    moved = np.abs(wanted - replay.given["weights"].astype(np.float32)).max()
    other = Replay(path, norm="batch")
    for number in range(other.options.subdivisions):
        list(other.pass_on(number))
    return {
        "fixture": path.stem,
        "largest delta": f"{largest:.2f}",
        "delta off by": f"{off:.0e}",
        "weights moved by": f"{moved:.2f}",
        "weights off by": f"{np.abs(replay.update() - wanted).max():.0e}",
        "with cuDNN's batch norm": f"{np.abs(other.update() - wanted).max():.0e}",
    }


if __name__ == "__main__":
    main()
