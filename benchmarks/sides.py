"""Networks with a side, merged with their base, in whatever runs them, beside the two networks alone.

python benchmarks/sides.py make FOLDER NET.cfg:K ... [--trained BASE.cfg SIDED.cfg:K] [--size 320]
python benchmarks/sides.py run FOLDER [--pjreddie libdarknet.so] [--alexeyab LIB] [--hank-ai LIB]
python benchmarks/sides.py table FOLDER

`make` gives each NET a second one with three classes, a side in front of layer K and weights of its own from there on,
none of whose scales is 0; `--trained` takes what `train --side` wrote. `run` takes the engines of the environment that
it is run in (OpenCV 4: its own Darknet importer; OpenCV 5 and ONNX Runtime: exported files) and the Darknets that are
named, for which networks are merged in the padded layout. All get the same input and must give equal bits. A side that
changes nothing is named, and so are keys that a Darknet reads as if they were not there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx_agreement import seeded

from darkshare.darknet.kinds import Convolutional
from darkshare.darknet.model import Model, load, save
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import DarkshareWarning
from darkshare.inference.onnx import INPUT, output_name, write_onnx
from darkshare.surgery.classes import classes
from darkshare.surgery.sides import Side, with_side
from darkshare.surgery.splice import concat

NAMES = ["one", "two", "three"]  # of the second task
ENDING = ".found.json"
FORKS = ("pjreddie", "alexeyab", "hank-ai")
Heads = list[np.ndarray]
Run = Callable[[Path, dict[str, Any], str, np.ndarray], Heads]


# make


def filled(model: Model, floats: np.ndarray) -> Model:
    return replace(model, weights=Weights(Header(), (floats,), "seeded"))


def drawn(cfg: str, k: int, size: tuple[int, int] | None) -> tuple[Model, Model]:
    """A network, with drawn weights where it has none, and another with a side and drawn weights from layer k on."""
    base = load(cfg, size=size)
    if base.weights is None:
        base = filled(base, seeded(base.network))
    sided = with_side(classes(base, fresh=NAMES), k, Side())
    floats, start = seeded(sided.network, seed=2), base.network.start(k)
    floats[:start] = base.weights.view(0, start)
    return base, filled(sided, floats)


def own_layers(base: Model, sided: Model, k: int) -> range:
    return range(k, k + len(sided.network.layers) - len(base.network.layers))


def deaf(base: Model, sided: Model, k: int) -> Model:
    """The network whose side adds nothing: by what it differs from the other, the side counts."""
    floats = sided.weights.view(0, sided.weights.size).copy()
    for layer in (sided.network.layers[at] for at in own_layers(base, sided, k)):
        if isinstance(layer.kind, Convolutional):
            count = layer.kind.filters
            floats[layer.start : layer.start + 2 * count] = 0  # biases and scales
    return filled(sided, floats)


def make(target: Path, base: Model, sided: Model, k: int) -> None:
    target.mkdir(parents=True, exist_ok=True)
    models = {"base": base, "sided": sided, "deaf": deaf(base, sided, k)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DarkshareWarning)
        models |= {layout: concat([base, sided], k, layout=layout) for layout in ("native", "padded")}
    for name, model in models.items():
        one = replace(model.network.cfg, sections=(once(model), *model.network.cfg.sections[1:]))
        save(replace(model, network=replace(model.network, cfg=one)), target / name)
        write_onnx(model, target / f"{name}.onnx")
    network = base.network
    np.save(target / "input.npy", np.random.default_rng(3).random((1, *network.input[:3]), np.float32))
    added, whole = own_layers(base, sided, k), sided.network.flops
    share = sum(sided.network.layers[at].flops for at in added) / (
        whole - sum(sided.network.layers[at].flops for at in added)
    )
    facts = {"k": k, "size": "x".join(map(str, network.input[2:0:-1])), "layers": len(added), "share": share}
    facts["heads"] = {name: [head.index for head in model.network.heads] for name, model in models.items()}
    facts["outputs"] = {name: [output_name(head) for head in model.network.heads] for name, model in models.items()}
    (target / "facts.json").write_text(json.dumps(facts))


def once(model: Model) -> Any:
    """The section [net] for one picture at a time, at the size that was asked for."""
    size = model.network.input
    return model.network.cfg.sections[0].set(batch=1, subdivisions=1, width=size.w, height=size.h)


# run


def importer(target: Path, facts: dict[str, Any], name: str, x: np.ndarray) -> Heads:
    import cv2

    dnn: Any = cv2.dnn  # OpenCV 4's: what is typed is OpenCV 5's, which has no importer
    net = dnn.readNetFromDarknet(str(target / f"{name}.cfg"), str(target / f"{name}.weights"))
    net.setInput(x)
    return list(net.forward([f"conv_{head - 1}" for head in facts["heads"][name]]))


def opencv(target: Path, facts: dict[str, Any], name: str, x: np.ndarray) -> Heads:
    import cv2

    net = cv2.dnn.readNetFromONNX(str(target / f"{name}.onnx"))
    net.setInput(x)
    return list(net.forward(facts["outputs"][name]))


def onnx_runtime(target: Path, facts: dict[str, Any], name: str, x: np.ndarray) -> Heads:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(target / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    return list(session.run(facts["outputs"][name], {INPUT: x}))


def darknet(fork: str, library: str) -> Run:
    def run(target: Path, _: dict[str, Any], name: str, x: np.ndarray) -> Heads:
        del x  # it is read from its file
        program, output = Path(__file__).with_name("darknet_boxes.py"), target / "boxes.npy"
        files = [target / f"{name}.cfg", target / f"{name}.weights", target / "input.npy", output]
        subprocess.run([sys.executable, program, fork, library, *files], check=True, capture_output=True)
        return [np.load(output)]

    return run


def runners(libraries: dict[str, str]) -> Iterator[tuple[str, Run, str]]:
    """Of everything that this environment has: a label, the function, and the layout of what is merged for it."""
    import cv2

    version = ".".join(cv2.__version__.split(".")[:2])
    if hasattr(cv2.dnn, "readNetFromDarknet"):
        yield f"OpenCV {version}, importer", importer, "native"
        yield f"OpenCV {version}, importer, padded", importer, "padded"
    else:
        yield f"OpenCV {version}", opencv, "native"
        yield "ONNX Runtime", onnx_runtime, "native"
    for fork, library in libraries.items():
        yield fork, darknet(fork, library), "padded"


def run(folder: Path, libraries: dict[str, str]) -> None:
    for label, how, layout in runners(libraries):
        for path in sorted(folder.glob("*/facts.json")):
            target, facts = path.parent, json.loads(path.read_text())
            print(label, target.name, file=sys.stderr, flush=True)
            keys = unknown(target, label) if label in FORKS else []
            try:
                found = {"keys": keys} if keys else compared(target, facts, how, layout, boxes=label in FORKS)
            except Exception as error:  # whatever an engine refuses with is the result
                found = {"error": str(error)}
            (target / f"{label}{ENDING}").write_text(json.dumps(found))


def unknown(target: Path, fork: str) -> list[str]:
    """The keys that a fork does not know and that change what the base computes."""
    own, other = (load(target / "base.cfg", dialect=one, sibling=False).network.layers for one in ("alexeyab", fork))
    texts = [text for x, y in zip(own, other, strict=True) for text in x.kind.differences(y.kind)]
    return sorted({text.split()[0] for text in texts} - {"nms_kind", "beta_nms"})  # boxes here have not met suppression


def compared(target: Path, facts: dict[str, Any], how: Run, layout: str, *, boxes: bool) -> dict[str, Any]:
    x = np.load(target / "input.npy")
    one, base, own, without = (how(target, facts, name, x) for name in (layout, "base", "sided", "deaf"))
    if boxes:
        apart = [np.concatenate([widened(base[0], 0, own[0].shape[1] - 5), widened(own[0], base[0].shape[1] - 5, 0)])]
    else:
        apart = [*base, *own]
        if layout == "padded":
            one = [narrowed(x, y, at < len(base)) for at, (x, y) in enumerate(zip(one, apart, strict=True))]
    return {
        "values": sum(head.size for head in apart),
        "boxes": len(apart[0]) if boxes else 0,
        "largest": gap(one, apart),
        "side": gap(own, without),
    }


def widened(rows: np.ndarray, before: int, behind: int) -> np.ndarray:
    """Boxes of a network alone as the padded one has them: with no score in the classes of the other."""
    return np.concatenate([rows[:, :5], np.pad(rows[:, 5:], [(0, 0), (before, behind)])], 1)


def narrowed(wide: np.ndarray, alone: np.ndarray, is_first: bool) -> np.ndarray:
    """The channels of a padded head that its own task has: its classes come first, or last."""
    anchors = 3
    rows, own = wide.reshape(anchors, -1, *wide.shape[-2:]), alone.shape[1] // anchors - 5
    scores = rows[:, 5 : 5 + own] if is_first else rows[:, -own:]
    return np.concatenate([rows[:, :5], scores], 1).reshape(alone.shape)


def gap(one: Heads, other: Heads) -> float:
    """The largest difference; infinite where there are not as many values."""
    if [a.shape for a in one] != [b.shape for b in other]:
        return float("inf")
    pairs = [(a[a != b], b[a != b]) for a, b in zip(one, other, strict=True)]  # equal infinities have no difference
    return max(float(np.abs(a - b).max(initial=0)) for a, b in pairs)


# table


def table(folder: Path) -> str:
    labels = sorted({path.name.removesuffix(ENDING) for path in folder.glob(f"*/*{ENDING}")}, key=place)
    lines = [f"| network | k | its side | {' | '.join(labels)} |", f"|---|--:|--:|{'--:|' * len(labels)}"]
    for path in sorted(folder.glob("*/facts.json")):
        facts = json.loads(path.read_text())
        cells = [
            path.parent.name.replace(f"-{facts['k']}", "", 1),
            str(facts["k"]),
            f"{facts['layers']} layers, {100 * facts['share']:.2g} %",
        ]
        lines.append(f"| {' | '.join([*cells, *(cell(path.with_name(f'{label}{ENDING}')) for label in labels)])} |")
    return "\n".join(lines)


def place(label: str) -> tuple[bool, int, str]:
    """Engines first, then Darknets in the order in which they came to be."""
    return label in FORKS, FORKS.index(label) if label in FORKS else 0, label


def cell(path: Path) -> str:
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    if "error" in found:
        return "refused"
    if "keys" in found:
        return f"knows no {', '.join(f'`{key}`' for key in found['keys'])}"
    if found["side"] == 0:
        return "**the side is not heard**"
    return f"{found['largest']:.2g} of {found['boxes'] or found['values']}" + " boxes" * bool(found["boxes"])


def at(text: str) -> tuple[str, int]:
    name, _, k = text.rpartition(":")
    return name, int(k)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    first = steps.add_parser("make")
    first.add_argument("folder", type=Path)
    first.add_argument("nets", nargs="*", type=at, metavar="NET.cfg:K")
    first.add_argument("--trained", nargs=2, action="append", default=[], metavar=("BASE.cfg", "SIDED.cfg:K"))
    first.add_argument("--size", type=int)
    second = steps.add_parser("run")
    second.add_argument("folder", type=Path)
    for fork in FORKS:
        second.add_argument(f"--{fork}", dest=fork)
    steps.add_parser("table").add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.step == "make":
        size = (given.size, given.size) if given.size else None
        for cfg, k in given.nets:
            make(given.folder / f"{Path(cfg).stem}-{k}", *drawn(cfg, k, size), k)
        for cfg, (sided, k) in ((cfg, at(text)) for cfg, text in given.trained):
            make(given.folder / f"{Path(cfg).stem}-{k}-trained", load(cfg, size=size), load(sided, size=size), k)
    elif given.step == "run":
        run(given.folder, {fork: path for fork in FORKS if (path := vars(given)[fork])})
    else:
        print(table(given.folder))


if __name__ == "__main__":
    main()
