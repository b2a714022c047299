"""Whether more threads or another layout make a merged network faster, on each engine of `target_runs.py`.

python benchmarks/engine_settings.py --environments FOLDER [--engine ncnn ...] [--rounds 6] [--processor-time]
                                     [--size 416] [--markdown FILE]

Two seeded yolov3 that share 74 layers, merged. The settings of an engine take turns, each in a process of its own; the
ratio to the first of them, the engine as it is in one thread, is that of single rounds, with bounds that hold the true
one with 95 %. What threads gain only the clock tells, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from merged import ByProcessors, pair
from target_runs import ENGINES, Side, python_of, with_pnnx, written

from darkshare._tables import render
from darkshare.darknet.model import Model
from darkshare.inference.bench import separate_and_merged
from darkshare.inference.engines.timing import FEWEST, MIB, in_turns, ratio, require_rounds

AS_IT_IS: dict[str, Any] = {}
SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "ONNX Runtime": ({"graph_optimization_level": "ORT_ENABLE_EXTENDED"},),  # without its blocked layout, NCHWc
    "OpenCV 4": ({"winograd": False},),
    "OpenCV 5": ({"winograd": False},),
    "OpenVINO": ({"PERFORMANCE_HINT": "LATENCY"}, {"PERFORMANCE_HINT": "THROUGHPUT"}),
    "ncnn": ({"use_winograd_convolution": False}, {"use_packing_layout": False}, {"use_sgemm_convolution": False}),
    "tract": (),
}


def rows(name: str, model: Model, folder: Path, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each setting of an engine."""
    network = written(model, name, folder / name)
    settings = [(1, AS_IT_IS), (2, AS_IT_IS), *((1, one) for one in SETTINGS[name])]
    job = {"engine": ENGINES[name].worker, "networks": [network], "input": str(folder / "input.npy")}
    with ExitStack() as stack:
        python = python_of(given.environments, name)
        sides: list[Any] = [
            stack.enter_context(Side(python, folder / name, threads=threads, settings=one, **job))
            for threads, one in settings
        ]
        timed: list[Any] = [ByProcessors(one) if given.processor_time else one for one in sides]
        found = in_turns(timed, given.rounds)
        version = next(iter(sides[0].versions.values()))
    for (threads, one), measured in zip(settings, found, strict=True):
        time = ratio(measured, found[0])
        yield {
            "engine": f"{name} {version}",
            "threads": threads,
            "setting": ", ".join(f"{key}={value}" for key, value in one.items()) or "as it is",
            "ms": round(1000 * measured.spread.median),
            "ratio": f"{time.median:.3f} ({time.low:.3f} to {time.high:.3f})",
            "peak MiB": round((measured.peak_bytes or 0) / MIB),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environments", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--engine", action="append", choices=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=FEWEST)
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--processor-time", action="store_true", help="instead of that of the clock")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    require_rounds(given.rounds)
    given.environments = given.environments.absolute()
    with_pnnx(given.environments)
    table: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, merged = separate_and_merged(pair(folder, given.size, 74), 74)
        np.save(folder / "input.npy", np.random.default_rng(0).random((1, *merged.network.input[:3]), np.float32))
        for engine in given.engine or SETTINGS:
            table += rows(engine, merged, folder, given)
            print(f"{engine} done", file=sys.stderr)
    print(render(table, "text"))
    if given.markdown:
        given.markdown.write_text(render(table, "markdown") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
