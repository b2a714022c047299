"""yolov3 + yolov3 separately against merged, at the cuts of the shared-backbone paper, on every engine that is here.

python benchmarks/merged.py [--k 74 --k 65 --k 49 --k 41] [--engine opencv ...] [--rounds 20] [--size 416]
                            [--markdown FILE] [--json FILE]

The networks have 80 classes and 1 class and seeded weights, which take as long as trained ones. (2-f)/2 is the paper's
estimate from f, the shared part of the operations; "by operations" counts both networks as they are. A ratio above
LIMIT times that is marked, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from architectures import yolov3_text

from darkshare._tables import render
from darkshare.darknet.cfg import parse
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import resolve
from darkshare.darknet.weights import Header
from darkshare.inference.bench import Bench, measure_merging, separate_and_merged
from darkshare.inference.engines import NAMES, available
from darkshare.surgery.cut import initial_floats

KS = (74, 65, 49, 41)
CLASSES = (80, 1)
LIMIT = 1.08
MIB = 2**20


def pair(folder: Path, size: int) -> list[Model]:
    """Two networks on disk that share all layers before the first head."""
    paths = []
    trunk = np.empty(0, "f4")
    for seed, classes in enumerate(CLASSES):
        text = yolov3_text(classes, size=size)
        network = resolve(parse(text))
        data = initial_floats(network, 0, seed)
        data[: trunk.size] = trunk
        trunk = data[: network.start(max(KS))].copy()
        stem = folder / f"yolov3-{classes}"
        stem.with_suffix(".cfg").write_text(text)
        stem.with_suffix(".weights").write_bytes(Header().to_bytes("alexeyab") + data.tobytes())
        paths.append(stem.with_suffix(".cfg"))
    return [load(path) for path in paths]


def estimate(model: Model, k: int) -> float:
    """(2-f)/2."""
    network = model.network
    return 1 - sum(layer.flops for layer in network.layers[:k]) / network.flops / 2


def rows(k: int, found: Bench, paper: float) -> Iterator[dict[str, object]]:
    for one, (separate, merged) in zip(found.engines, zip(*[iter(found.table())] * 2, strict=True), strict=True):
        peaks = [separate["peak MiB"], merged["peak MiB"]]
        yield {
            "k": k,
            "engine": f"{one.engine} {one.version}",
            "separate ms": round(1000 * one.separate.spread.median),
            "merged ms": round(1000 * one.merged.spread.median),
            "time": f"{one.ratio.median:.3f} ({one.ratio.low:.3f} to {one.ratio.high:.3f})",
            "(2-f)/2": f"{paper:.3f}",
            "by operations": f"{found.ideal:.3f}",
            "time / operations": f"{one.ratio.median / found.ideal:.3f}"
            + (" !" if one.ratio.median > LIMIT * found.ideal else ""),
            "peak MiB": " → ".join(map(str, peaks)),
            "peak": f"{peaks[1] / peaks[0]:.2f}" if all(peaks) else "",
            "weights MiB": f"{found.separate_file_bytes / MIB:.1f} → {found.merged_file_bytes / MIB:.1f}",
            "file": f"{found.merged_file_bytes / found.separate_file_bytes:.2f}",
            "convolutions": f"{one.separate_convolutions} → {one.merged_convolutions}",
        }


def arguments() -> argparse.Namespace:
    here = [name for name, one in available().items() if one.version]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--k", type=int, action="append", choices=KS)
    parser.add_argument("--engine", action="append", choices=list(NAMES))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.k, given.engine = given.k or KS, given.engine or here
    return given


def main() -> int:
    given = arguments()
    table: list[dict[str, object]] = []
    everything = []
    with tempfile.TemporaryDirectory() as folder:
        models = pair(Path(folder), given.size)
        for k in given.k:
            both = separate_and_merged(models, k)
            found = measure_merging(*both, given.engine, rounds=given.rounds, threads=given.threads)
            everything.append(found.as_dict())
            table += rows(k, found, estimate(models[1], k))
            print(f"k={k} done", file=sys.stderr)
    print(render(table, "text"))
    if given.markdown:
        given.markdown.write_text(render(table, "markdown") + "\n", encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    return int(any("!" in str(row["time / operations"]) for row in table))


if __name__ == "__main__":
    sys.exit(main())
