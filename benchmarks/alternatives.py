"""darkshare on its fastest engine against what else runs the same Darknet weights on a processor, in one run.

python benchmarks/alternatives.py [BASE.cfg [OTHER.cfg] | --yolov3 1|2 [--size 416]] [--k K]
       [--opencv4 PYTHON] [--darknet libdarknet.so] [--onnxslim PYTHON] [--rounds 20] [--threads N]
       [--markdown FILE] [--json FILE]

One network, or two that share layers 0..k-1: darkshare then runs them merged, OpenCV and Darknet one after the other,
and ONNX Runtime one file in which onnxslim found what they share. Without a cfg, seeded yolov3 networks.

PYTHON is the interpreter of an environment with OpenCV 4, or with onnxslim (without it: this one's). The library is
AlexeyAB's Darknet, built with `make AVX=1 OPENMP=1 LIBSO=1`. What is missing is said and left out. Every side has a
process of its own, gets the same noise, and runs in turn. "ratio" is its time as a multiple of darkshare's,
"difference" the largest one of a probability in the last head of each network. The exit code is 1 if a side is
faster than darkshare for sure, by 2 % at least; such a ratio is marked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from merged import for_importer
from merged import pair as seeded_pair
from target_runs import Missing, Side

from darkshare._tables import render
from darkshare.darknet.model import Model, load
from darkshare.errors import DarkshareError
from darkshare.inference.engines import NAMES, available
from darkshare.inference.engines.files import engine_file
from darkshare.inference.engines.timing import ROUNDS, Measured, in_turns, ratio, require_rounds
from darkshare.inference.engines.worker import Worker
from darkshare.inference.onnx import write_onnx
from darkshare.surgery.splice import concat

SLIM = "onnxruntime on onnxslim"
FASTER = 0.98  # two processes that run the same file differ by 2 % and more


class Entered(NamedTuple):
    """A side that takes part.

    Attributes:
        name: for people.
        version: of its engine.
        side: its process.
        ours: whether it is darkshare.
        last: the numbers of the last head of each network, anchors by values by cells.
        activated: whether these are probabilities.
    """

    name: str
    version: str
    side: Any
    ours: bool
    last: list[np.ndarray]
    activated: bool = False

    def probabilities(self) -> list[np.ndarray]:
        """Objectness and classes in the last head of each network."""
        planes = [head[:, 4:].astype(float) for head in self.last]
        return planes if self.activated else [1 / (1 + np.exp(-one)) for one in planes]


def last_heads(models: Sequence[Model], heads: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Of all heads of some models those that are a task's last."""
    found, all_heads = [], iter(heads)
    for model in models:
        own = dict(zip(model.heads, all_heads, strict=False))
        found += [as_planes(model, task.heads[-1], own[task.heads[-1]]) for task in model.tasks]
    return found


def as_planes(model: Model, head: int, values: np.ndarray) -> np.ndarray:
    kind, y = model.network.layers[head].kind, model.network.layers[head].y
    if kind.name != "yolo":
        raise SystemExit(f"{model.name}: only [yolo] heads are compared here")
    return values.reshape(len(kind.mask), 5 + kind.classes, y.h * y.w)


def side_by_side(files: Sequence[str], target: Path) -> list[str]:
    """One ONNX file with several networks on one input, each with its own layers; returns the names of its outputs."""
    import onnx

    first = onnx.load(files[0])
    first.graph.name = "all"
    for number, file in enumerate(files[1:], 2):
        other = onnx.load(file)
        graph = onnx.compose.add_prefix(other, f"n{number}_", rename_inputs=False).graph
        first.graph.node.extend(graph.node)
        first.graph.initializer.extend(graph.initializer)
        first.graph.output.extend(graph.output)
    onnx.save(first, target)
    return [output.name for output in first.graph.output]


def slimmed(models: Sequence[Model], folder: Path, python: str) -> dict[str, Any]:
    """All networks in one file, from which onnxslim takes what is there twice, until it finds no more."""
    import onnx

    wide, slim = folder / "wide.onnx", folder / "slim.onnx"
    files = [folder / f"{i}.onnx" for i in range(len(models))]
    for model, file in zip(models, files, strict=True):
        write_onnx(model, file)
    outputs = side_by_side([str(file) for file in files], wide)
    nodes = [sys.maxsize, len(onnx.load(wide).graph.node)]
    while nodes[-1] < nodes[-2]:  # one pass finds only so many layers in a row
        command = [python, "-m", "onnxslim", str(wide), str(slim)]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode or not slim.exists():
            raise Missing((made.stderr.strip().splitlines() or ["onnxslim wrote nothing"])[-1])
        slim.replace(wide)
        nodes.append(len(onnx.load(wide).graph.node))
    print(f"onnxslim: {nodes[1]} nodes, {nodes[-1]} after {len(nodes) - 2} passes", file=sys.stderr)
    return {"file": str(wide), "outputs": outputs}


def for_darknet(model: Model, stem: Path) -> dict[str, Any]:
    """With the shape of the only head that its library gives."""
    last = model.network.layers[model.heads[-1]]
    shape = (1, len(last.kind.mask) * (5 + last.kind.classes), last.y.h, last.y.w)
    return for_importer(model, stem) | {"shape": shape}


def sides(
    given: argparse.Namespace, both: Model, apart: Sequence[Model], folder: Path, stack: ExitStack
) -> list[Entered]:
    """Everyone who can take part; darkshare's engines come first."""
    found: list[Entered] = []
    for engine, one in available().items():
        if not one.version:
            print(f"darkshare, {engine} is left out: {one.reason}", file=sys.stderr)
            continue
        file = engine_file(both, folder / f"{engine}.onnx", [engine])
        worker = stack.enter_context(Worker(engine, [file], threads=given.threads))
        last = last_heads([both], worker.outputs())
        found.append(Entered(f"darkshare, {engine}", one.version, worker, True, last))
    if not found:
        raise SystemExit(f"none of darkshare's engines runs here: {', '.join(NAMES)}")
    shape = (1, *both.network.input[:3])
    np.save(folder / "input.npy", np.random.default_rng(0).random(shape, np.float32))  # as darkshare's workers get it

    def enter(name: str, python: str | None, engine: str, networks: Callable[[], Any], **more: Any) -> Side | None:
        try:
            if not python:
                raise Missing("the option that says where it is is missing")
            job = {"engine": engine, "networks": networks(), "input": str(folder / "input.npy"), **more}
            return stack.enter_context(Side(python, folder, threads=given.threads, **job))
        except (Missing, OSError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            return None

    def files(form: Callable[[Model, Path], Any]) -> list[Any]:
        return [form(model, folder / f"apart{i}" / "net") for i, model in enumerate(apart)]

    if side := enter("OpenCV 4's importer", given.opencv4, "opencv", lambda: files(for_importer)):
        found.append(Entered("OpenCV 4's importer", "", side, False, last_heads(apart, side.heads)))
    python, library = (sys.executable, str(given.darknet.absolute())) if given.darknet else (None, "")
    if side := enter("AlexeyAB's Darknet", python, "darknet", lambda: files(for_darknet), library=library):
        last = [as_planes(one, one.heads[-1], head) for one, head in zip(apart, side.heads, strict=True)]
        found.append(Entered("AlexeyAB's Darknet", "", side, False, last, activated=True))
    slim = given.onnxslim or sys.executable
    if side := enter(SLIM, sys.executable, "onnxruntime", lambda: [slimmed(apart, folder, slim)]):
        found.append(Entered(SLIM, "", side, False, last_heads(apart, side.heads)))
    return found


def rows(entered: Sequence[Entered], measured: Sequence[Measured]) -> list[dict[str, object]]:
    """The table, in the order of the medians."""
    ours = [i for i, one in enumerate(entered) if one.ours]
    best = min(ours, key=lambda i: measured[i].spread.median)
    wanted = entered[best].probabilities()
    made = []
    for one, times in zip(entered, measured, strict=True):
        found = ratio(times, measured[best])
        faster = not one.ours and found.high < FASTER
        heads = zip(one.probabilities(), wanted, strict=True)
        made.append(
            {
                "what": one.name,
                "version": one.version or next(iter(one.side.versions.values()), ""),
                "ms": float(f"{1000 * times.spread.median:.4g}"),
                "q1": float(f"{1000 * times.spread.q1:.4g}"),
                "q3": float(f"{1000 * times.spread.q3:.4g}"),
                "ratio": f"{found.median:.3f} ({found.low:.3f} to {found.high:.3f})" + (" !" if faster else ""),
                "difference": float(f"{max(float(np.abs(a - b).max()) for a, b in heads):.1g}"),
            }
        )
    return sorted(made, key=lambda row: row["ms"])


def models(given: argparse.Namespace, folder: Path) -> list[Model]:
    """The networks to run."""
    if given.model:
        return [load(path) for path in given.model]
    return seeded_pair(folder, given.size, given.k or 74)[: given.yolov3]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="*", metavar="MODEL.cfg")
    parser.add_argument("--yolov3", type=int, choices=(1, 2), default=1, help="how many, without a MODEL.cfg")
    parser.add_argument("--size", type=int, default=416, help="of their input")
    parser.add_argument("--k", type=int)
    parser.add_argument("--opencv4", metavar="PYTHON")
    parser.add_argument("--darknet", type=Path, metavar="libdarknet.so")
    parser.add_argument("--onnxslim", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    require_rounds(given.rounds)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        networks = models(given, folder)
        with warnings.catch_warnings():  # what `concat` warns of is for other programs' users
            warnings.simplefilter("ignore")
            both = concat(networks, given.k, force=True) if len(networks) > 1 else networks[0]
        entered = sides(given, both, networks, folder, stack)
        measured = in_turns([one.side for one in entered], given.rounds)
        table = rows(entered, measured)
    title = f"{' + '.join(task.name for task in both.tasks)}, {given.rounds} rounds in turns"
    print(title)
    print(render(table, "text"))
    if given.markdown:
        given.markdown.write_text(f"{title}\n\n{render(table, 'markdown')}\n", encoding="utf-8")
    if given.json:
        seconds = {one.name: times.sums for one, times in zip(entered, measured, strict=True)}
        given.json.write_text(json.dumps({"table": table, "seconds": seconds}, indent=1) + "\n", encoding="utf-8")
    return int(any("!" in str(row["ratio"]) for row in table))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DarkshareError as error:
        sys.exit(str(error))
