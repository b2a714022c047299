"""darkshare on its fastest engine against what else runs the same Darknet weights on a processor, in one run.

python benchmarks/alternatives.py [BASE.cfg [OTHER.cfg] | --yolov3 1|2 [--size 416]] [--k K] [--photo PHOTO]
       [--opencv4 PYTHON] [--darknet libdarknet.so] [--onnxslim PYTHON] [--rounds 20] [--threads N]
       [--markdown FILE] [--json FILE]

One network, or two that share layers 0..k-1: darkshare then runs them merged, OpenCV and Darknet one after the other,
and ONNX Runtime one file in which onnxslim found what they share. Without a cfg, seeded yolov3 networks.

PYTHON is the interpreter of an environment with OpenCV 4, or with onnxslim (without it: this one's). The library is
AlexeyAB's Darknet, built with `make AVX=1 OPENMP=1 LIBSO=1`. What is missing is said and left out. Every side has a
process of its own, gets the same prepared photo, and runs in turn. "ratio" is its time as a multiple of darkshare's,
"difference" the largest one of a probability in the last head of each network. The exit code is 1 if a side is
faster than darkshare for sure, by 2 % at least; such a ratio is marked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from asking import Asked
from merged import pair as seeded_pair

from darkshare._images import read_picture
from darkshare._tables import render
from darkshare.analysis.boxplot import spread_of
from darkshare.darknet.model import Model, load, save
from darkshare.errors import DarkshareError
from darkshare.inference.engines import NAMES, available
from darkshare.inference.engines.timing import ROUNDS, median_interval, require_rounds
from darkshare.inference.onnx import output_name, write_onnx
from darkshare.inference.preprocess import preprocess
from darkshare.surgery.splice import concat

SLIM = "onnxruntime on onnxslim"
FASTER = 0.98  # two processes that run the same file differ by 2 % and more


class Missing(Exception):
    """Why a side cannot take part."""


class Side(Asked):
    """A process that runs its networks when told to."""

    def __init__(self, name: str, python: str, job: dict[str, Any]) -> None:
        self.name, self.job = name, job
        here = Path(__file__).parent
        paths = [str(Path(path).absolute()) for path in sys.path] if job["kind"] == "darkshare" else []
        threads = {"OMP_NUM_THREADS": str(job["threads"])} if job["threads"] else {}
        variables = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)}
        super().__init__([python, here / "contestant.py"], env=variables)
        try:
            self.version = self.ask(json.dumps(job))["version"]
        except BaseException:
            self.__exit__()
            raise

    def ask(self, line: str) -> Any:
        """Send a line and wait for the answer.

        Raises:
            Missing: an error in its place.
        """
        answer = super().ask(line)
        if isinstance(answer, dict) and "error" in answer:
            raise Missing(answer["error"])
        return answer

    def heads(self) -> list[np.ndarray]:
        """Probabilities in the last head of each network."""
        with np.load(self.ask("heads")) as found:
            return [found[name] for name in found.files]

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def described(model: Model, stem: Path, *, task_heads: bool = True) -> dict[str, Any]:
    """A network on disk in the forms that the sides read, and what they should compute of it."""
    network = model.network
    yolos = [layer for layer in network.heads if layer.kind.name == "yolo"]
    if len(yolos) != len(network.heads):
        raise SystemExit(f"{network.name}: only [yolo] heads are compared here")
    save(model, stem)
    onnx = stem.with_name(f"{stem.name}.onnx")
    write_onnx(model, onnx)
    order = [layer.index for layer in yolos]
    return {
        "cfg": f"{stem}.cfg",
        "weights": f"{stem}.weights",
        "onnx": str(onnx),
        "outputs": [output_name(layer) for layer in yolos],
        "convolutions": [f"conv_{layer.index - 1}" for layer in yolos],
        "heads": [[len(layer.kind.mask) * (5 + layer.kind.classes), layer.y.h, layer.y.w] for layer in yolos],
        "anchors": len(yolos[-1].kind.mask),
        "compared": [order.index(task.heads[-1]) for task in model.tasks],
    }


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


def slimmed(networks: Sequence[dict[str, Any]], folder: Path, python: str) -> dict[str, Any]:
    """All networks in one file, from which onnxslim takes what is there twice, until it finds no more."""
    import onnx

    wide, slim = folder / "wide.onnx", folder / "slim.onnx"
    outputs = side_by_side([network["onnx"] for network in networks], wide)
    nodes = [sys.maxsize, len(onnx.load(wide).graph.node)]
    while nodes[-1] < nodes[-2]:  # one pass finds only so many layers in a row
        command = [python, "-m", "onnxslim", str(wide), str(slim)]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode or not slim.exists():
            raise Missing((made.stderr.strip().splitlines() or ["onnxslim wrote nothing"])[-1])
        slim.replace(wide)
        nodes.append(len(onnx.load(wide).graph.node))
    print(f"onnxslim: {nodes[1]} nodes, {nodes[-1]} after {len(nodes) - 2} passes", file=sys.stderr)
    lengths = np.cumsum([0, *(len(network["outputs"]) for network in networks)])
    last = [int(start) + network["compared"][-1] for start, network in zip(lengths, networks, strict=False)]
    return {**networks[0], "onnx": str(wide), "outputs": outputs, "compared": last}


def sides(
    given: argparse.Namespace, together: dict[str, Any], apart: Sequence[dict[str, Any]], folder: Path, stack: ExitStack
) -> list[Side]:
    """Everyone who can take part; darkshare's engines come first."""
    common = {"blob": str(folder / "blob.npy"), "threads": given.threads}
    found: list[Side] = []

    def enter(name: str, python: str | None, need: str, make: Any) -> None:
        try:
            if not python:
                raise Missing(need)
            job = {**common, "answers": str(folder / f"{len(found)}.npz"), **make()}
            found.append(stack.enter_context(Side(name, python, job)))
        except (Missing, OSError) as error:
            print(f"{name} is left out: {error}", file=sys.stderr)

    for engine, one in available().items():
        make = {"kind": "darkshare", "engine": engine, "version": one.version, "networks": [together]}
        enter(f"darkshare, {engine}", sys.executable if one.version else None, one.reason, lambda m=make: m)
    if not found:
        raise SystemExit(f"none of darkshare's engines runs here: {', '.join(NAMES)}")
    enter("OpenCV 4's importer", given.opencv4, "--opencv4 PYTHON", lambda: {"kind": "opencv4", "networks": apart})
    library = given.darknet and {"kind": "darknet", "library": str(given.darknet.absolute()), "networks": apart}
    enter("AlexeyAB's Darknet", sys.executable if library else None, "--darknet libdarknet.so", lambda: library)
    enter(
        SLIM,
        sys.executable,
        "",
        lambda: {"kind": "onnxruntime", "networks": [slimmed(apart, folder, given.onnxslim or sys.executable)]},
    )
    return found


def take_turns(entered: Sequence[Side], rounds: int) -> list[list[float]]:
    """Seconds of each side in each round, every second round backwards."""
    times: list[list[float]] = [[] for _ in entered]
    for number in range(-1, rounds):
        turns = list(zip(entered, times, strict=True))
        for side, seconds in turns[:: -1 if number % 2 else 1]:
            took = side.ask("run")
            if number >= 0:
                seconds.append(took)
    return times


def rows(entered: Sequence[Side], times: Sequence[Sequence[float]]) -> list[dict[str, object]]:
    """The table, in the order of the medians."""
    ours = [i for i, side in enumerate(entered) if side.job["kind"] == "darkshare"]
    best = min(ours, key=lambda i: float(np.median(times[i])))
    wanted = entered[best].heads()
    made = []
    for i, side in enumerate(entered):
        spread = spread_of(np.array(times[i]))
        ratios = sorted(a / b for a, b in zip(times[i], times[best], strict=True))
        low, high = median_interval(ratios)
        faster = side.job["kind"] != "darkshare" and high < FASTER
        heads = zip(side.heads(), wanted, strict=True)
        made.append(
            {
                "what": side.name,
                "version": side.version,
                "ms": float(f"{1000 * spread.median:.4g}"),
                "q1": float(f"{1000 * spread.q1:.4g}"),
                "q3": float(f"{1000 * spread.q3:.4g}"),
                "ratio": f"{float(np.median(ratios)):.3f} ({low:.3f} to {high:.3f})" + (" !" if faster else ""),
                "difference": float(f"{max(float(np.abs(a - b).max()) for a, b in heads):.1g}"),
            }
        )
    return sorted(made, key=lambda row: row["ms"])


def models(given: argparse.Namespace, folder: Path) -> list[Model]:
    """The networks to run."""
    if given.model:
        return [load(path) for path in given.model]
    return seeded_pair(folder, given.size)[: given.yolov3]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="*", metavar="MODEL.cfg")
    parser.add_argument("--yolov3", type=int, choices=(1, 2), default=1, help="how many, without a MODEL.cfg")
    parser.add_argument("--size", type=int, default=416, help="of their input")
    parser.add_argument("--k", type=int)
    parser.add_argument("--photo", type=Path, help="without it, a seeded one")
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
        seeded = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
        np.save(folder / "blob.npy", preprocess(read_picture(given.photo) if given.photo else seeded, both.network))
        together = described(both, folder / "both")
        apart = [described(model, folder / f"apart{i}") for i, model in enumerate(networks)]
        entered = sides(given, together, apart, folder, stack)
        times = take_turns(entered, given.rounds)
        table = rows(entered, times)
    title = f"{' + '.join(task.name for task in both.tasks)}, {given.rounds} rounds in turns"
    print(title)
    print(render(table, "text"))
    if given.markdown:
        given.markdown.write_text(f"{title}\n\n{render(table, 'markdown')}\n", encoding="utf-8")
    if given.json:
        seconds = {side.name: took for side, took in zip(entered, times, strict=True)}
        given.json.write_text(json.dumps({"table": table, "seconds": seconds}, indent=1) + "\n", encoding="utf-8")
    return int(any("!" in str(row["ratio"]) for row in table))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DarkshareError as error:
        sys.exit(str(error))
