"""Exported networks against OpenCV's Darknet importer and against Darknet itself, for a folder of public cfgs.

python benchmarks/onnx_agreement.py make ZOO FOLDER      networks with seeded weights, their ONNX files, an input each
python benchmarks/onnx_agreement.py run FOLDER           every engine of this environment; repeat in others
python benchmarks/onnx_agreement.py run FOLDER --alexeyab libdarknet.so --pjreddie libdarknet.so
python benchmarks/onnx_agreement.py table FOLDER         the table in docs/reference/onnx.md

ZOO holds alexeyab/ and pjreddie/, the cfg folders of these Darknets. To keep it short, layers get a quarter of their
filters (`--whole`: all) and networks the smallest input that they take. Darknet is built with LIBSO=1, for AlexeyAB's
without AVX, whose max-pooling at stride 1 is wrong. Heads are taken out of Darknet and OpenCV's importer by ending
the cfg before them, so no other function of these programs is needed than their own reading and running of a cfg.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darkshare.darknet.cfg import Cfg, read_cfg, to_bytes
from darkshare.darknet.kinds import Boxes, Detection
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network, resolve
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import DarkshareError
from darkshare.inference.onnx import INPUT, output_name, write_onnx

SIZES = ((96, 64), (128, 128), (128, 256), None)  # the smallest that resolves; None: the cfg's own
SLIM = 4
ENOUGH = 1e-4
RAW = (Boxes, Detection)
PLAIN = {"xnor": 0, "temperature": 1, "extra": 0, "spread": 1}  # what OpenCV's importer reads every value as


# make


def slim(cfg: Cfg) -> Cfg:
    """The same architecture with a quarter of the filters; what heads read stays."""
    sections = list(cfg.sections)
    for i, section in enumerate(sections[:-1]):
        if sections[i + 1].kind in ("yolo", "region", "Gaussian_yolo", "detection"):
            continue
        thinner = {
            key: int(value) // SLIM
            for key in ("filters", "output", "groups")
            if (value := section.get(key)) and int(value) >= 4 * SLIM and section.kind != "route"
        }
        sections[i] = section.set(**thinner) if thinner else section
    return replace(cfg, sections=tuple(sections))


def small(cfg: Cfg, fork: str, *, whole: bool) -> Network:
    """The first form of a cfg that resolves, with its batch set to 1."""
    net, *layers = cfg.sections
    once = replace(cfg, sections=(net.set(batch=1, subdivisions=1), *layers))
    for text in (once,) if whole else (slim(once), once):
        for size in SIZES:
            try:
                network = resolve(text, dialect=fork, size=size)
            except DarkshareError:
                continue
            if size is None or all(layer.kind.name != "crop" for layer in network.layers):
                return network
    return resolve(once, dialect=fork)


def seeded(network: Network, seed: int = 1) -> np.ndarray:
    """Weights that keep values near 1, with variances near 100: nobody's epsilon counts there (see the page)."""
    rng = np.random.default_rng(seed)
    data = np.zeros(network.params, "<f4")
    added = {layer.index - 1 for layer in network.layers if layer.kind.name == "shortcut"}
    for layer in network.layers:
        begin, norm = layer.start, any(t.name == "scales" for t in layer.tensors)
        for tensor in layer.tensors:
            part = data[begin : begin + tensor.size]
            begin += tensor.size
            if tensor.name == "rolling_variance":
                part[:] = rng.uniform(80, 120, tensor.size)
            elif tensor.name == "scales":
                part[:] = rng.uniform(0.7, 1.3, tensor.size) * (0.3 if layer.index in added else 1)
            elif tensor.name == "weights":
                per_filter = int(np.prod(tensor.shape[-3:] if len(tensor.shape) > 2 else tensor.shape[1:]))
                part[:] = rng.standard_normal(tensor.size, np.float32) * np.sqrt(2 / per_filter) * (10 if norm else 1)
            else:
                part[:] = rng.standard_normal(tensor.size, np.float32) * 0.1
    return data


def ending(network: Network, head: Layer) -> Cfg:
    """The cfg up to a head: with it where it computes something, without it where it is raw."""
    is_raw = isinstance(head.kind, RAW) or head.kind.name == "cost"
    return replace(network.cfg, sections=network.cfg.sections[: head.index + (1 if is_raw else 2)])


def make(zoo: Path, folder: Path, *, whole: bool) -> None:
    for fork in ("alexeyab", "pjreddie"):
        for path in sorted((zoo / fork).rglob("*.cfg")):
            target = folder / fork / path.relative_to(zoo / fork).with_suffix("")
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            facts = {"error": ""}
            try:
                facts |= made(read_cfg(path), fork, target, whole=whole)
            except DarkshareError as error:
                facts["error"] = str(error).partition(": ")[2]
            (target / "facts.json").write_text(json.dumps(facts))


def made(cfg: Cfg, fork: str, target: Path, *, whole: bool) -> dict[str, Any]:
    """Write a network's files; returns what the other steps must know of it."""
    network = small(cfg, fork, whole=whole)
    weights = Weights(Header(), (seeded(network),))
    task = Task("net", (), tuple(head.index for head in network.heads), ((0, len(network.layers)),))
    write_onnx(Model(network, weights, (task,)), target / "net.onnx")
    (target / "net.weights").write_bytes(Header().to_bytes(fork) + weights.view(0, weights.size).tobytes())
    for head in network.heads:
        (target / f"{head.index}.cfg").write_bytes(to_bytes(ending(network, head)))
    np.save(target / "input.npy", np.random.default_rng(2).random((1, *network.input[:3]), np.float32))
    keys = {key for layer in network.layers for key, plain in PLAIN.items() if getattr(layer.kind, key, plain) != plain}
    return {
        "heads": {head.index: output_name(head) for head in network.heads},
        "fork": fork,
        "size": "x".join(map(str, network.input[2:0:-1])),
        "keys": sorted(keys),
    }


# run


Runner = Callable[[Path, dict[str, Any], np.ndarray], dict[str, np.ndarray]]


def through_onnx(*engine: int) -> Runner:
    def run(target: Path, facts: dict[str, Any], x: np.ndarray) -> dict[str, np.ndarray]:
        import cv2

        net = cv2.dnn.readNetFromONNX(str(target / "net.onnx"), *engine)
        net.setInput(x)
        return dict(zip(facts["heads"], net.forward(list(facts["heads"].values())), strict=True))

    return run


def importer(target: Path, facts: dict[str, Any], x: np.ndarray) -> dict[str, np.ndarray]:
    import cv2

    found = {}
    dnn: Any = cv2.dnn  # OpenCV 4's: what is typed is OpenCV 5's, which has no importer
    for head in facts["heads"]:
        net = dnn.readNetFromDarknet(str(target / f"{head}.cfg"), str(target / "net.weights"))
        net.setInput(x)
        found[head] = net.forward()
    return found


def onnx_runtime(target: Path, facts: dict[str, Any], x: np.ndarray) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(target / "net.onnx"), providers=["CPUExecutionProvider"])
    return dict(zip(facts["heads"], session.run(list(facts["heads"].values()), {INPUT: x}), strict=True))


def darknet(library: str, fork: str) -> Runner:
    """Darknet's own functions, in a child of their own for each head: it ends the program where it fails."""

    def run(target: Path, facts: dict[str, Any], x: np.ndarray) -> dict[str, np.ndarray]:
        sizes = {head: np.load(target / "ONNX Runtime.npz")[head].size for head in facts["heads"]}
        return {head: forked(target / f"{head}.cfg", size, facts, x) for head, size in sizes.items()}

    def forked(cfg: Path, size: int, facts: dict[str, Any], x: np.ndarray) -> np.ndarray:
        result = cfg.with_suffix(".npy")
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            lib = ctypes.CDLL(library)
            network = loaded(lib, cfg, "xnor" in facts["keys"])
            predict = lib.network_predict_ptr if fork == "alexeyab" else lib.network_predict
            predict.restype = ctypes.POINTER(ctypes.c_float)
            found = predict(network, x.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
            np.save(result, np.ctypeslib.as_array(found, (size,)))
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise ValueError("Darknet ended itself")
        return np.load(result)

    def loaded(lib: Any, cfg: Path, xnor: bool) -> ctypes.c_void_p:
        files = str(cfg).encode(), str(cfg.parent / "net.weights").encode(), 0
        load = lib.load_network if fork == "pjreddie" else lib.load_network_custom
        load.restype = ctypes.c_void_p
        network = ctypes.c_void_p(load(*files) if fork == "pjreddie" else load(*files, 1))
        if xnor and fork == "alexeyab":  # as its `detector test` does; it takes its struct, of 2 KiB or so, by value
            ctypes.c_int.in_dll(lib, "gpu_index").value = -1
            lib.calculate_binary_weights(ctypes.cast(network, ctypes.POINTER(ByValue)).contents)
        return network

    return run


class ByValue(ctypes.Structure):
    """The start of a struct whose fields do not matter."""

    _fields_ = (("start", ctypes.c_char * 4096),)


def runners(libraries: dict[str, str]) -> Iterator[tuple[str, Runner, str]]:
    """(label, how, fork or "" for all) of everything that this environment has."""
    import cv2

    version = ".".join(cv2.__version__.split(".")[:2])
    if hasattr(cv2.dnn, "ENGINE_NEW"):
        yield f"OpenCV {version} new", through_onnx(cv2.dnn.ENGINE_NEW), ""
        yield f"OpenCV {version} classic", through_onnx(cv2.dnn.ENGINE_CLASSIC), ""
    else:
        yield f"OpenCV {version}", through_onnx(), ""
        yield f"importer {version}", importer, ""
    try:
        import onnxruntime  # noqa: F401

        yield "ONNX Runtime", onnx_runtime, ""
    except ImportError:
        pass
    for fork, library in libraries.items():
        yield f"Darknet {fork}", darknet(library, fork), fork
    if "pjreddie" in libraries:  # for what AlexeyAB's Darknet refuses
        yield "Darknet pjreddie", darknet(libraries["pjreddie"], "pjreddie"), "alexeyab"


def run(folder: Path, libraries: dict[str, str]) -> None:
    for label, how, fork in runners(libraries):
        for path in sorted(folder.rglob("facts.json")):
            facts = json.loads(path.read_text())
            if facts["error"] or fork not in ("", facts["fork"]):
                continue
            if label.endswith("pjreddie") and fork == "alexeyab" and (path.parent / "Darknet alexeyab.npz").exists():
                continue
            try:
                found = how(path.parent, facts, np.load(path.parent / "input.npy"))
            except Exception as error:  # whatever an engine refuses with is the result
                (path.parent / f"{label}.txt").write_text(str(error))
                (path.parent / f"{label}.npz").unlink(missing_ok=True)
            else:
                np.savez(path.parent / f"{label}.npz", **found)
        print(label, file=sys.stderr)


# table


def differences(target: Path, other: str) -> tuple[float, float] | None:
    """(largest absolute, largest relative to the range of its head) of a result from ONNX Runtime's."""
    path = target / f"{other}.npz"
    if not path.exists():
        return None
    ours, theirs = np.load(target / "ONNX Runtime.npz"), np.load(path)
    gaps = []
    for head in ours.files:
        a, b = ours[head].ravel(), theirs[head].ravel()
        gap = np.abs(a - b).max() if a.size == b.size else np.inf
        gaps.append((float(gap), float(gap / np.abs(a).max())))
    return max(gap for gap, _ in gaps), max(share for _, share in gaps)


def shown(found: tuple[float, float] | None) -> str:
    if found is None:
        return ""
    if np.isinf(found[0]):
        return "**other length**"
    text = f"{found[0]:.0e}, {found[1]:.0e}"
    return text if found[1] <= ENOUGH else f"**{text}**"


def remark(target: Path, facts: dict[str, Any], importer: str) -> str:
    """Why the importer is not a judge."""
    found, reason = differences(target, importer), target / f"{importer}.txt"
    if found is None and reason.exists():
        said = re.search(r"error: \(-\d+:([^)]+)\) (.+?)( in function|$)", reason.read_text())
        text = f"{said[2][:60]} ({said[1].lower()})" if said else "refused"
        return f"importer: {text}".replace("||", "or").replace("|", "or")
    if found and found[1] > ENOUGH and facts["keys"]:
        return f"importer ignores {', '.join(facts['keys'])}"
    return ""


def row(target: Path, facts: dict[str, Any], importer: str, engines: list[str]) -> list[str]:
    forks = [label for label in ("Darknet alexeyab", "Darknet pjreddie") if (target / f"{label}.npz").exists()]
    by_darknet = differences(target, forks[0]) if forks else None
    remarks = [remark(target, facts, importer)]
    if forks and forks[0] != f"Darknet {facts['fork']}":
        remarks.append("Darknet: pjreddie's, as AlexeyAB's asserts that the images have one size")
    largest = max((differences(target, engine) or (np.inf, np.inf) for engine in engines), key=lambda pair: pair[1])
    cells = [facts["size"], shown(differences(target, importer)), shown(by_darknet), shown(largest)]
    return [*cells, "; ".join(filter(None, remarks))]


def table(folder: Path) -> str:
    done = {path.stem for path in folder.rglob("*.npz")}
    engines = sorted(label for label in done if label.startswith("OpenCV"))
    importer = max((label for label in done if label.startswith("importer")), key=lambda name: int(name.split(".")[1]))
    lines = [f"| cfg | input | {importer} | Darknet | engines | remark |", "|---|---|---|---|---|---|"]
    for path in sorted(folder.rglob("facts.json")):
        facts, name = json.loads(path.read_text()), path.parent.relative_to(folder).as_posix()
        cells = ["", "", "", "", f"refused: {facts['error']}"]
        if not facts["error"]:
            cells = row(path.parent, facts, importer, engines)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([f"engines: {', '.join(engines)}", "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    first = steps.add_parser("make")
    first.add_argument("zoo", type=Path)
    first.add_argument("folder", type=Path)
    first.add_argument("--whole", action="store_true")
    second = steps.add_parser("run")
    second.add_argument("folder", type=Path)
    second.add_argument("--alexeyab")
    second.add_argument("--pjreddie")
    steps.add_parser("table").add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.step == "make":
        make(given.zoo, given.folder, whole=given.whole)
    elif given.step == "run":
        forks = {"alexeyab": given.alexeyab, "pjreddie": given.pjreddie}
        run(given.folder, {fork: library for fork, library in forks.items() if library})
    else:
        print(table(given.folder))


if __name__ == "__main__":
    main()
