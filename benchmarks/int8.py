"""int8 files against fp32 and against OpenCV 4's Darknet importer: times in turns, and mAP on labelled pictures.

python benchmarks/int8.py --opencv4 PYTHON [MODEL.cfg=DATA.data ...] [MODEL.cfg ...] [--yolov3] [--rounds 20]
                          [--threads 1] [--markdown FILE] [--json FILE]

PYTHON is the interpreter of an environment with OpenCV 4. Pictures of train= calibrate, and mAP is counted on those of
valid=. A model without a data set has drawn weights, which take as long as others, and is calibrated with noise.
--yolov3 adds yolov3 with drawn weights, and two of them merged at k=74. Of a merged model OpenCV runs the networks that
it was made of, one after another. Every side has a process of its own, and runs in turn with the others. With one
thread, times are of the processor, so other programs count little; with more they are of the clock on the wall.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from merged import KS, ByProcessors, for_importer, pair
from onnx_agreement import seeded
from target_runs import Side

from darkshare._tables import render
from darkshare.darknet.model import Model, load
from darkshare.darknet.weights import Header, Weights
from darkshare.data import read_data
from darkshare.errors import DarkshareWarning
from darkshare.evaluation.exporting import quantise
from darkshare.inference.engines.files import engine_file
from darkshare.inference.engines.timing import FEWEST, Measured, in_turns, ratio
from darkshare.inference.int8 import QUANTISERS, SUFFIXES, prepared
from darkshare.surgery.splice import concat, split

NOISE = 4  # pictures of it that calibrate
COSTS = ("mAP fp32", "mAP int8", "pictures", "calibrated by", "agreement", "layers in fp32")
OPENCV = "OpenCV 4"


def models(given: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Model, str]]:
    """The name of each network, and its data set; "" for none."""
    for word in given.model:
        cfg, _, data = word.partition("=")
        model = load(cfg)
        if not data:
            model = replace(model, weights=Weights(Header(), (seeded(model.network),), "drawn"))
        yield Path(cfg).stem, model, data
    if given.yolov3:
        both = pair(folder, 416, KS[0])
        yield "yolov3", both[0], ""
        yield f"two yolov3 merged at k={KS[0]}", concat(both, KS[0]), ""


def quantised(model: Model, data: str, engine: str, path: Path) -> dict[str, Any]:
    """Write the int8 file, and say what it costs."""
    if not data:
        rng = np.random.default_rng(0)
        noise = [rng.random((1, *model.network.input[:3]), np.float32) for _ in range(NOISE)]
        prepared(model, engine, path.parent, noise).write(path, (), {})
        return {}
    found = quantise(model, path, calibrate=data, data=data, engine=engine, rounds=FEWEST)
    (score,) = found.scores
    maps = [round(100 * value, 2) for value in (score.exact, score.quantised)]
    pictures = [len(read_data(data, "valid").samples), found.calibrated]
    return dict(
        zip(COSTS, (*maps, *pictures, round(min(head.level for head in found.heads), 3), len(found.kept)), strict=True)
    )


def sides(
    model: Model, data: str, folder: Path, given: argparse.Namespace, stack: ExitStack
) -> tuple[dict[tuple[str, str], Side], dict[str, dict[str, Any]]]:
    """OpenCV, and fp32 and int8 on each engine that has a quantiser; and by engine what int8 costs."""
    np.save(folder / "input.npy", np.random.default_rng(1).random((1, *model.network.input[:3]), np.float32))

    def enter(python: str, engine: str, networks: Sequence[Any]) -> Side:
        job = {"engine": engine, "networks": networks, "input": str(folder / "input.npy"), "threads": given.threads}
        return stack.enter_context(Side(python, folder, **job))

    apart = split(model) if len(model.tasks) > 1 else [model]
    networks = [for_importer(one, folder / f"apart{i}" / "net") for i, one in enumerate(apart)]
    found, costs = {(OPENCV, "fp32"): enter(given.opencv4, "opencv", networks)}, {}
    exact = engine_file(model, folder / "fp32.onnx", ())
    for engine in QUANTISERS:
        path = folder / f"int8-{engine}{SUFFIXES[engine]}"
        costs[engine] = quantised(model, data, engine, path)
        for precision, file in (("fp32", exact.path), ("int8", str(path))):
            network = {"file": file, "outputs": exact.outputs}
            found[engine, precision] = enter(sys.executable, engine, [network])
    return found, costs


def compared(one: Measured, other: Measured) -> str:
    """A ratio of times, with its bounds of 95 %."""
    found = ratio(one, other)
    return f"{found.median:.3f} ({found.low:.3f} to {found.high:.3f})"


def rows(name: str, given: argparse.Namespace, model: Model, data: str, folder: Path) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        entered, costs = sides(model, data, folder, given, stack)
        timed: list[Any] = [ByProcessors(one) if given.threads == 1 else one for one in entered.values()]
        times = dict(zip(entered, in_turns(timed, given.rounds), strict=True))
        base = times[OPENCV, "fp32"]
        for engine, cost in costs.items():
            exact, small = times[engine, "fp32"], times[engine, "int8"]
            yield {
                "network": name,
                "engine": f"{engine} {entered[engine, 'int8'].versions[engine]}",
                **dict.fromkeys(COSTS, ""),
                **cost,
                f"{OPENCV}, ms": round(1000 * base.spread.median, 2),
                "int8, ms": round(1000 * small.spread.median, 2),
                "fp32 / OpenCV": compared(exact, base),
                "int8 / OpenCV": compared(small, base),
                "int8 / fp32": compared(small, exact),
            }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="*", metavar="MODEL.cfg[=DATA.data]")
    parser.add_argument("--opencv4", required=True, metavar="PYTHON")
    parser.add_argument("--yolov3", action="store_true")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    table: list[dict[str, Any]] = []
    warnings.simplefilter("ignore", DarkshareWarning)
    with tempfile.TemporaryDirectory() as name:
        for number, (title, model, data) in enumerate(models(given, Path(name))):
            folder = Path(name) / str(number)
            folder.mkdir()
            table += rows(title, given, model, data, folder)
            print(f"{title} done", file=sys.stderr)
            if given.json:
                given.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(render(table, "text"))
    if given.markdown:
        given.markdown.write_text(render(table, "markdown") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
