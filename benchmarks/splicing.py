"""`concat` of two yolov3-sized models against `cp` of the bytes that it writes, side by side, and its peak memory.

python benchmarks/splicing.py [--rounds 9] [--json FILE]

Two yolov3 networks (80 classes and 1 class, 248 and 246 MB, seeded, the first 74 layers the same) are spliced at
k=74. Every round runs, in turn: `cp` of the merged weights; the same with `sync`, because darkshare's files are on
disk before they get their names; `concat` and `save` in this process; and the whole command, which starts a process.
Each target exists before. Printed are medians and the ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from architectures import yolov3_text

from darkshare.darknet.cfg import parse
from darkshare.darknet.model import load, save
from darkshare.darknet.network import resolve
from darkshare.darknet.weights import Header
from darkshare.surgery.cut import initial_floats
from darkshare.surgery.splice import concat

K = 74


def write_pair(folder: Path) -> tuple[Path, Path]:
    trunk = np.empty(0, "f4")
    for seed, (name, classes) in enumerate((("base", 80), ("text", 1))):
        text = yolov3_text(classes)
        network = resolve(parse(text))
        data = initial_floats(network, 0, seed)
        data[: trunk.size] = trunk
        trunk = data[: network.start(K)].copy()
        (folder / f"{name}.cfg").write_text(text)
        (folder / f"{name}.weights").write_bytes(Header().to_bytes("alexeyab") + data.tobytes())
    return folder / "base.cfg", folder / "text.cfg"


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def shell(command: str, folder: Path) -> Callable[[], object]:
    return lambda: subprocess.run(["sh", "-c", command], cwd=folder, check=True, capture_output=True)


def peak_of(command: list[str], folder: Path) -> float:
    """Peak resident memory of a command in MB, measured by the system in a process of its own."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    return int(found.stdout) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rounds = given.rounds
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pair = write_pair(folder)
        command = [sys.executable, "-m", "darkshare", "concat", *map(str, pair), "--k", str(K), "-o", "both"]
        acts = {
            "cp": shell("cp both.weights copy.weights", folder),
            "cp and sync": shell("cp both.weights copy.weights && sync copy.weights", folder),
            "concat and save": lambda: save(concat([load(path) for path in pair], K), folder / "both"),
            "darkshare concat": lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True),
        }
        acts["concat and save"]()
        acts["cp"]()
        times = {what: [0.0] * rounds for what in acts}
        for turn in range(rounds):
            for what, act in acts.items():
                times[what][turn] = seconds(act)
        middle = {what: statistics.median(values) for what, values in times.items()}
        written = (folder / "both.weights").stat().st_size / 1e6
        print(f"{written:.0f} MB written, medians of {rounds} rounds")
        for what, value in middle.items():
            ratios = ", ".join(f"{value / middle[other]:.2f} x {other}" for other in ("cp", "cp and sync"))
            print(f"{what:17} {value:6.3f} s   {ratios}")
        python = peak_of([sys.executable, "-c", "import click, numpy"], folder)
        peak = peak_of(command, folder)
        print(f"peak memory {peak:.0f} MB; python with click and numpy {python:.0f} MB")
    if given.json:
        found = {"seconds": times, "peak MB": peak, "python's peak MB": python}
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
