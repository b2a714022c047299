"""Merged networks in the engines that people deploy them with, each in an environment of its own.

python benchmarks/target_runs.py --environments FOLDER [--zoo ../shared] [--target ncnn ...] [--model NAME ...]

The environments are made with pip where they are not there yet (3 GB). Each model is written with `export --for` the
target, runs there on one input, and is compared with ONNX Runtime's numbers of the plain file; then both run in turns,
in one thread each, and the ratio of their processor times is taken within a round. What was found goes into
target_runs.json beside this program, and from there into docs/reference/target-runs.md (`python
docs/make_target_runs.py`). What is not asked for keeps its figures. MNN's converter is left out: it installs packages
and reports to a log store.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from asking import Asked
from onnx_agreement import seeded

from darkshare.darknet.model import Model, load
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import DarkshareError, DarkshareWarning
from darkshare.evaluation.exporting import export
from darkshare.inference.engines.worker import Loading
from darkshare.inference.onnx import TARGETS, output_name
from darkshare.inference.onnx.targets import Target
from darkshare.inference.onnx.writing import OPSET
from darkshare.surgery.classes import classes
from darkshare.surgery.residual.branching import branch
from darkshare.surgery.residual.reducing import reduce
from darkshare.surgery.splice import concat

RESULTS = Path(__file__).with_name("target_runs.json")
WORKER = Path(__file__).with_name("target_worker.py")
REFERENCE = "ONNX Runtime"
NEEDS_GPU = "needs an NVIDIA GPU, and a package from an index of NVIDIA's own, which this program does not install"


class Recipe(NamedTuple):
    """How a model is made.

    Attributes:
        cfg: of the base, in the zoo.
        k: the layers that are shared.
        other: the second network's cfg; None for one like the base with three classes and drawn weights.
        size: of the input; None for the cfg's.
        branches: of an ensemble instead of a second network, behind layer k-1.
    """

    cfg: str
    k: int
    other: str | None = None
    size: int | None = None
    branches: int = 0

    def text(self) -> str:
        """The same in words."""
        if self.branches:
            return f"`{self.cfg}` divided after layer {self.k - 1} among {self.branches} branches, with drawn weights"
        other = f"`{self.other}`" if self.other else "one like it with three classes, both with drawn weights"
        return f"`{self.cfg}` and {other}, merged at k={self.k}"


class Engine(NamedTuple):
    """An engine, the environment that it runs in, and the preset that writes its file.

    Attributes:
        worker: the function of target_worker.py; None where it cannot be run.
        preset: a row of TARGETS; "" for the plain file.
        packages: for pip; the environment has nothing else.
        is_timed: whether its time says something; that of a simulator does not.
    """

    worker: str | None
    preset: str
    packages: tuple[str, ...] = ()
    is_timed: bool = True


RECIPES = {
    "four unequal heads": Recipe("models/f10-coco/f10-coco.cfg", 109, "models/f10-mask-a/f10-mask-a.cfg"),
    "yolov4-tiny": Recipe("zoo/alexeyab/yolov4-tiny.cfg", 27, size=416),
    "yolov3": Recipe("zoo/alexeyab/yolov3.cfg", 74, size=416),
    "yolov7-tiny": Recipe("zoo/alexeyab/yolov7-tiny.cfg", 40, size=416),
    "ensemble": Recipe("zoo/pjreddie/resnet18.cfg", 14, size=224, branches=4),
}
_RKNN = (  # what the toolkit asks for, but a torch without CUDA, for which pip must know PyTorch's own index
    "rknn-toolkit2", "setuptools<80", "protobuf==4.25.4", "psutil", "ruamel.yaml", "scipy<1.14", "tqdm",
    "opencv-python-headless<4.11", "fast-histogram", "numpy==1.26.4", "onnx==1.18.0", "ml_dtypes", "onnxruntime<1.24",
    "flatbuffers", "packaging", "coloredlogs", "humanfriendly", "torch==2.13.0+cpu", "typing_extensions", "sympy",
    "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "filelock",
)  # fmt: skip
ENGINES = {
    REFERENCE: Engine("onnxruntime", "onnxruntime", ("onnxruntime", "numpy")),
    "OpenCV 4": Engine("opencv", "opencv", ("opencv-python-headless<5", "numpy")),
    "OpenCV 5": Engine("opencv", "opencv", ("opencv-python-headless>=5", "numpy")),
    "OpenVINO": Engine("openvino", "openvino", ("openvino", "numpy")),
    "ncnn": Engine("ncnn", "ncnn", ("pnnx", "ncnn", "numpy", "tqdm", "requests", "portalocker")),
    "tract": Engine("tract", "", ("tract", "numpy")),
    "RKNN, simulated": Engine("rknn", "rknn", _RKNN, is_timed=False),
    "TensorRT": Engine(None, "tensorrt"),
}
NO_DEPENDENCIES = ("ncnn", "rknn")  # pnnx asks for a torch that it does not use


def digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def digest_of_model(name: str) -> str:
    """What a cell's figures depend on, on the side of the model."""
    return digest(tuple(RECIPES[name]))


def digest_of_target(name: str) -> str:
    """Likewise, on the side of the target: its row here, and what its preset says of the file, not what it refuses."""
    engine = ENGINES[name]
    row = TARGETS[engine.preset] if engine.preset else Target()
    return digest((tuple(engine), row.suffixes, row.outputs[0], row.precisions[0], row.names, OPSET))


# models


def drawn(model: Model, seed: int) -> Model:
    """The model with drawn weights that keep values near 1."""
    return replace(model, weights=Weights(Header(), (seeded(model.network, seed),), "drawn"))


def made(recipe: Recipe, zoo: Path) -> Model:
    """The merged network, or the ensemble."""
    size = (recipe.size, recipe.size) if recipe.size else None
    base = load(zoo / recipe.cfg, size=size)
    if base.weights is None:
        base = drawn(base, 1)
    if recipe.branches:
        return branch(reduce(base, keep="all"), recipe.k - 1, recipe.branches)
    if recipe.other:
        other = load(zoo / recipe.other, size=size)
    else:
        other = classes(drawn(base, 2), fresh=["one", "two", "three"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DarkshareWarning)
        return concat([base, other], recipe.k, force=True)


# environments


def python_of(folder: Path, name: str) -> Path:
    """The interpreter of an engine's environment, which is made if it is not there."""
    engine = ENGINES[name]
    place = folder / name.replace(" ", "-").replace(",", "").lower()
    ready = place / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        how = ["--no-deps"] * (engine.worker in NO_DEPENDENCIES)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", *how, *engine.packages], check=True)
        ready.touch()
    return place / "bin" / "python"


class Missing(Exception):
    """Why a side cannot take part."""


class Side(Asked):
    """A process that has loaded networks, and has run them once; as a worker of `bench` it runs in turns.

    Args:
        python: of its environment.
        place: a folder for its answers.
        job: see target_worker.py.

    Raises:
        Missing: what its engine says.
    """

    def __init__(self, python: Path | str, place: Path, **job: Any) -> None:
        answers = place / f"{job['engine']}.npz"
        own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        if job["threads"]:
            own["OMP_NUM_THREADS"] = str(job["threads"])
        super().__init__([python, WORKER], cwd=place, env=own)
        try:
            found = self.ask(json.dumps(job | {"answers": str(answers)}))
        except BaseException:
            self.close()
            raise
        self.versions: dict[str, str] = found["versions"]
        self.written = [Path(path) for path in found["written"]]
        self.loading = Loading(*found["seconds"])
        with np.load(answers) as heads:
            self.heads = [heads[key] for key in heads.files]

    def ask(self, line: str) -> Any:
        """Send a line and wait for the answer.

        Raises:
            Missing: an error in its place.
        """
        answer = super().ask(line)
        if isinstance(answer, dict) and "error" in answer:
            raise Missing(answer["error"])
        return answer

    def run(self) -> list[float]:
        return list(self.ask("run"))

    def peak(self) -> int:
        return int(self.ask("peak"))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def written(model: Model, name: str, place: Path) -> dict[str, Any]:
    """A network in the form that an engine takes, for a job.

    Raises:
        Missing: what darkshare refuses to write.
    """
    preset = ENGINES[name].preset
    file = place / f"net{TARGETS[preset].suffixes[0] if preset else '.onnx'}"
    place.mkdir(exist_ok=True)
    try:
        export(model, file, target=preset or None)
    except DarkshareError as error:
        raise Missing(f"darkshare refuses: {error.message}") from None
    return {"file": str(file), "outputs": [output_name(model.network.layers[head]) for head in model.heads]}


# measuring


def measured(model: Model, name: str, reference: Side, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """What a target makes of a model: versions, largest difference, MiB and times, or why not."""
    engine = ENGINES[name]
    if engine.worker is None:
        return {"error": NEEDS_GPU}
    try:
        network = written(model, name, folder / name)
        job = {"engine": engine.worker, "networks": [network], "input": str(folder / "input.npy"), "threads": 1}
        with Side(python_of(given.environments, name), folder / name, **job) as side:
            file = Path(network["file"])
            suffixes = TARGETS[engine.preset].suffixes if engine.preset else (".onnx",)
            files = side.written or [file.with_suffix(suffix) for suffix in suffixes]
            found = {"versions": side.versions, "bytes": sum(path.stat().st_size for path in files)}
            found |= compared(reference.heads, side.heads)
            if engine.is_timed and "error" not in found:
                rounds = [(reference.ask("cpu"), side.ask("cpu")) for _ in range(given.rounds)]
                found |= {"ms": 1000 * median(b for _, b in rounds), "ratio": median(b / a for a, b in rounds)}
    except Missing as error:
        return {"error": str(error)}
    return found


def with_pnnx(environments: Path) -> None:
    """Let `export` find the pnnx of ncnn's environment."""
    package = python_of(environments, "ncnn").parent.parent / "lib"
    for program in package.glob("python*/site-packages/pnnx/pnnx"):
        os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def compared(wanted: list[np.ndarray], found: list[np.ndarray]) -> dict[str, Any]:
    if [head.size for head in wanted] != [head.size for head in found]:
        return {"error": "gives outputs of other lengths"}
    return {"largest": max(float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True))}


def rows(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Everything of one model."""
    model = made(RECIPES[name], given.zoo)
    shape = model.network.input
    cells: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.save(folder / "input.npy", np.random.default_rng(3).random((1, *shape[:3]), np.float32))
        job = {
            "engine": ENGINES[REFERENCE].worker,
            "networks": [written(model, "tract", folder / "plain")],
            "input": str(folder / "input.npy"),
            "threads": 1,
        }
        with Side(python_of(given.environments, REFERENCE), folder / "plain", **job) as reference:
            reach = max(float(np.abs(head).max()) for head in reference.heads)
            for target in given.target:
                print(f"{name}: {target}", file=sys.stderr, flush=True)
                cells[target] = measured(model, target, reference, folder, given) | {"target": digest_of_target(target)}
    size = f"{shape.w}x{shape.h}"
    made_of = RECIPES[name].text()
    return {
        "recipe": digest_of_model(name),
        "made": made_of,
        "size": size,
        "heads": len(model.heads),
        "reach": reach,
        "cells": cells,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--zoo", type=Path, default=Path("../shared"))
    parser.add_argument("--target", action="append", choices=list(ENGINES))
    parser.add_argument("--model", action="append", choices=list(RECIPES))
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    given.environments, given.target = given.environments.absolute(), given.target or list(ENGINES)
    if "ncnn" in given.target:
        with_pnnx(given.environments)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in given.model or RECIPES:
        one = rows(name, given)
        before = found.get(name, {"cells": {}})["cells"]
        one["cells"] = {key: (before | one["cells"])[key] for key in ENGINES if key in before | one["cells"]}
        found[name] = one
        RESULTS.write_text(json.dumps({key: found[key] for key in RECIPES if key in found}, indent=1) + "\n")
    subprocess.run([sys.executable, Path(__file__).parents[1] / "docs" / "make_target_runs.py"], check=True)


if __name__ == "__main__":
    main()
