"""`stats` of two yolov3-sized files against one plain numpy pass over the same files, and its peak memory.

python benchmarks/stats.py [--rounds 9]

Two yolov3 networks of 62 million seeded floats each (248 MB), no float the same. Every round runs, in turn: numpy's
||b-a|| and ||a|| over the whole vectors (one line of code, 248 MB of temporary memory); the same tensor by tensor (the
fastest simple way); `stats` with default options, quartiles of all 366 tensors included; with batch norm folded; and
with the spread of single weights; the command `darkshare stats`, less what `darkshare stats --help` takes. The files
are in the page cache and read anew in each act. Printed are medians and ratios of medians. Fails if the command, less
its start, takes more than twice numpy's pass by tensor, or if a command takes 300 MB.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from architectures import yolov3_text

from darkshare.analysis.stats import stats
from darkshare.darknet.cfg import parse
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import resolve
from darkshare.darknet.weights import Header

LARGEST_RATIO, LARGEST_MB = 2, 300
COMMANDS = (("stats",), ("stats", "--space", "folded"), ("stats", "--elementwise"))


def write_pair(folder: Path) -> tuple[Path, Path]:
    text = yolov3_text()
    count = resolve(parse(text)).params
    for seed, name in enumerate(("base", "other")):
        floats = np.random.default_rng(seed).uniform(0.5, 1.5, count).astype("<f4")
        (folder / f"{name}.cfg").write_text(text)
        (folder / f"{name}.weights").write_bytes(Header().to_bytes("alexeyab") + floats.tobytes())
    return folder / "base.cfg", folder / "other.cfg"


def whole_vectors(base: Model, other: Model) -> tuple[float, float]:
    a, b = (model.weights.view(0, model.weights.size) for model in (base, other))
    return float(np.linalg.norm(b - a)), float(np.linalg.norm(a))


def by_tensor(base: Model, other: Model) -> list[tuple[float, float]]:
    found = []
    for layer in base.network.layers:
        if layer.tensors:
            left, right = base.tensors(layer.index), other.tensors(layer.index)
            found += [(float(np.linalg.norm(right[n] - a)), float(np.linalg.norm(a))) for n, a in left.items()]
    return found


def seconds(act: Callable[..., object], pair: tuple[Path, Path]) -> float:
    base, other = map(load, pair)
    start = time.perf_counter()
    act(base, other)
    return time.perf_counter() - start


def command(*words: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "darkshare", "stats", *words], check=True, capture_output=True)
    return time.perf_counter() - start


def peak_of(*words: str) -> float:
    """Peak resident memory of a command in MB, measured by the system in a process of its own."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, sys.executable, *words]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(found.stdout) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        pair = write_pair(Path(name))
        acts: dict[str, Callable[..., object]] = {
            "numpy, whole vectors": whole_vectors,
            "numpy, by tensor": by_tensor,
            "stats": stats,
            "stats folded": partial(stats, space="folded"),
            "stats elementwise": partial(stats, elementwise=True),
        }
        for act in acts.values():
            seconds(act, pair)
        times: dict[str, list[float]] = {what: [] for what in acts}
        for _ in range(rounds):
            for what, act in acts.items():
                times[what].append(seconds(act, pair))
            times.setdefault("darkshare stats", []).append(command(*map(str, pair)) - command("--help"))
        middle = {what: statistics.median(values) for what, values in times.items()}
        print(f"2 x {load(pair[0]).network.params:,} floats, medians of {rounds} rounds")
        for what, value in middle.items():
            ratios = ", ".join(f"{value / middle[other]:5.2f} x {other}" for other in list(acts)[:2])
            print(f"{what:21} {value:6.3f} s   {ratios}")
        peaks = {" ".join(words): peak_of("-m", "darkshare", *words, *map(str, pair)) for words in COMMANDS}
        for what, peak in peaks.items():
            print(f"darkshare {what:21} peak memory {peak:4.0f} MB")
        print(f"python with click and numpy     peak memory {peak_of('-c', 'import click, numpy'):4.0f} MB")
        slow = middle["darkshare stats"] > LARGEST_RATIO * middle["numpy, by tensor"]
        sys.exit(slow or max(peaks.values()) > LARGEST_MB)


if __name__ == "__main__":
    main()
