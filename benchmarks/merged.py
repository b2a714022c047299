"""yolov3 + yolov3 separately against merged, at the cuts of the shared-backbone paper, on every engine that is here.

python benchmarks/merged.py [--k 74 --k 65 --k 49 --k 41] [--environments FOLDER] [--engine ncnn ...] [--rounds 20]
                            [--threads N] [--size 416] [--markdown FILE] [--json FILE]

The networks have 80 classes and 1 class and seeded weights, which take as long as trained ones; at each k they are
another pair, which shares the first k layers and no more. darkshare's engines run in this environment, ncnn, tract and
OpenCV 4, with its own importer and with our files, in those of `target_runs.py`, which are made in FOLDER if they are
not there. An engine's separate and merged networks take turns; where there is an OpenCV 4, its importer with the
separate networks does too, and the last columns relate the engine to it. Times are medians; their ratios, with bounds
that hold the true one with 95 %, are those of single rounds. A ratio above LIMIT times what operations promise is
marked, and so is a merged network that peaks above the separate ones; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from architectures import yolov3_text
from target_runs import ENGINES, Missing, Side, python_of, with_pnnx, written

from darkshare._tables import render
from darkshare.darknet.cfg import parse
from darkshare.darknet.model import Model, load, save
from darkshare.darknet.network import resolve
from darkshare.darknet.weights import Header
from darkshare.errors import DarkshareError
from darkshare.inference.bench import separate_and_merged
from darkshare.inference.engines import available
from darkshare.inference.engines.files import engine_file
from darkshare.inference.engines.timing import MIB, ROUNDS, Measured, in_turns, ratio, require_rounds
from darkshare.inference.engines.worker import Worker
from darkshare.surgery.cut import initial_floats

KS = (74, 65, 49, 41)
CLASSES = (80, 1)
LIMIT = 1.08
IMPORTER = "OpenCV 4's importer"
ELSEWHERE = {IMPORTER: "OpenCV 4", "OpenCV 4": "OpenCV 4", "ncnn": "ncnn", "tract": "tract"}


def pair(folder: Path, size: int, k: int) -> list[Model]:
    """Two networks on disk that share the first k layers and differ in all others."""
    paths = []
    trunk = np.empty(0, "f4")
    for seed, classes in enumerate(CLASSES):
        text = yolov3_text(classes, size=size)
        network = resolve(parse(text))
        data = initial_floats(network, 0, seed)
        data[: trunk.size] = trunk
        trunk = data[: network.start(k)].copy()
        stem = folder / f"yolov3-{classes}"
        stem.with_suffix(".cfg").write_text(text)
        stem.with_suffix(".weights").write_bytes(Header().to_bytes("alexeyab") + data.tobytes())
        paths.append(stem.with_suffix(".cfg"))
    return [load(path) for path in paths]


def for_importer(model: Model, stem: Path) -> dict[str, Any]:
    """A network as Darknet's files; the importer is asked for the convolutions before the heads."""
    stem.parent.mkdir(exist_ok=True)
    save(model, stem)
    return {"file": f"{stem}.cfg", "outputs": [f"conv_{head - 1}" for head in model.heads]}


class Engines:
    """Those of this environment and of others, for networks in a folder."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self._environments, self._threads, self._folder = given.environments, given.threads, folder
        here = {name: one.version for name, one in available().items() if one.version}
        names = [*here, *(ELSEWHERE if given.environments else ())]
        if unknown := set(given.engine or ()) - set(names):
            raise SystemExit(f"not here: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
        self.names, self._here = given.engine or names, here

    def open(self, name: str, models: Sequence[Model]) -> Any:
        """Networks in a process.

        Raises:
            Missing: the engine refuses them.
        """
        with tempfile.TemporaryDirectory(dir=self._folder) as temporary:
            place = Path(temporary)
            try:
                if name in self._here:
                    files = [engine_file(one, place / f"{i}.onnx", [name]) for i, one in enumerate(models)]
                    return Worker(name, files, threads=self._threads)
                return self._elsewhere(name, models, place)
            except DarkshareError as error:
                raise Missing(str(error)) from None

    def _elsewhere(self, name: str, models: Sequence[Model], place: Path) -> Side:
        write = for_importer if name == IMPORTER else partial(in_form_of, name)
        networks = [write(model, place / f"{i}" / "net") for i, model in enumerate(models)]
        np.save(place / "input.npy", np.random.default_rng(0).random((1, *models[0].network.input[:3]), np.float32))
        job = {"engine": ENGINES[ELSEWHERE[name]].worker, "networks": networks, "threads": self._threads}
        return Side(python_of(self._environments, ELSEWHERE[name]), place, input=str(place / "input.npy"), **job)

    def titled(self, name: str, side: Any) -> str:
        return f"{name} {self._here.get(name) or next(iter(side.versions.values()))}"


def in_form_of(name: str, model: Model, stem: Path) -> dict[str, Any]:
    return written(model, ELSEWHERE[name], stem.parent)


def rows(k: int, engines: Engines, models: Sequence[Model], rounds: int) -> Iterator[tuple[dict[str, Any], Any]]:
    """A row for each engine, and what was measured."""
    separate, merged = separate_and_merged(models, k)
    promised = merged.network.flops / sum(model.network.flops for model in separate)
    with ExitStack() as stack:
        importer = stack.enter_context(engines.open(IMPORTER, separate)) if IMPORTER in engines.names else None
        for name in engines.names:
            with ExitStack() as own:
                try:
                    apart = importer if name == IMPORTER else own.enter_context(engines.open(name, separate))
                    together = own.enter_context(engines.open(name, [merged]))
                except Missing as error:
                    print(f"k={k}: {name} is left out: {error}", file=sys.stderr)
                    continue
                sides = dict.fromkeys([apart, together, *([importer] if importer else [])])
                found = in_turns(list(sides), rounds)
                title = engines.titled(name, together)
            yield row(k, title, found, promised), [title, *(asdict(one) for one in found)]


def row(k: int, title: str, found: Sequence[Measured], promised: float) -> dict[str, Any]:
    """Of the separate networks, the merged one and perhaps the importer's."""
    apart, together = found[:2]
    time = ratio(together, apart)
    peaks = [one.peak_bytes and round(one.peak_bytes / MIB) for one in (apart, together)]
    more = peaks[0] and peaks[1] and peaks[1] > peaks[0]
    made: dict[str, Any] = {
        "k": k,
        "engine": title,
        "separate ms": round(1000 * apart.spread.median),
        "merged ms": round(1000 * together.spread.median),
        "merged / separate": f"{time.median:.3f} ({time.low:.3f} to {time.high:.3f})",
        "by operations": f"{promised:.3f}",
        "time / operations": f"{time.median / promised:.3f}" + " !" * (time.median > LIMIT * promised),
        "peak MiB": f"{peaks[0]} → {peaks[1]}" + " !" * bool(more),
    }
    if len(found) > 2 or title.startswith(IMPORTER):
        for name, one in (("separate", apart), ("merged", together)):
            made[f"{name} / {IMPORTER}"] = f"{ratio(one, found[-1] if len(found) > 2 else apart).median:.3f}"
    return made


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--k", type=int, action="append", choices=KS)
    parser.add_argument("--environments", type=Path, metavar="FOLDER")
    parser.add_argument("--engine", action="append")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    require_rounds(given.rounds)
    if given.environments:
        given.environments = given.environments.absolute()
        with_pnnx(given.environments)
    return given


def main() -> int:
    given = arguments()
    table: list[dict[str, Any]] = []
    everything = []
    for k in given.k or KS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for one, measured in rows(k, Engines(given, folder), pair(folder, given.size, k), given.rounds):
                table.append(one)
                everything.append([k, *measured])
                print(render([one], "text"), file=sys.stderr, flush=True)
    print(render(table, "text"))
    if given.markdown:
        given.markdown.write_text(render(table, "markdown") + "\n", encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    return int("!" in str(table))


if __name__ == "__main__":
    sys.exit(main())
