"""RRR-Net's experiment in small: a base, reduced, branched, and trained on a few pictures of new classes.

    python run.py OUT [--data FOLDER] [--base FILE.cfg] [--methods ...] [--seeds 3] [--epochs 100]

Without --data, draw.py draws letters for the base and other characters, 20 of each class, for the experiment. With it,
the base still learns letters; the folder holds a folder of pictures per class, or train and val with such folders.
What is done already stands in OUT and is not done again, so an interrupted run goes on.

Compared are five networks, trained alike: `full`, all layers of the base; `probe`, its class layer alone; `reduced`,
the first block of each stage, with stem and two blocks frozen; `branched-4` and `-8`, the reduced one with what follows
these blocks divided among 4 and 8 thin branches. `branched-4-rrr` and `branched-4-random` are such ones too, with
another start (`darkshare branch --init`). Written are results.json, table.md and figure.png.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from darkshare import Model, branch, load, reduce, train
from darkshare._images import read_picture
from darkshare._tables import render
from darkshare.darknet.initial import drawn
from darkshare.data import ClassifiedDataset, read_classes
from darkshare.evaluation import Runner
from darkshare.surgery.classes import afresh, relabelled
from darkshare.surgery.residual.planning import layer_after
from darkshare.training.guards import digest
from darkshare.training.outcome import Outcome
from darkshare.training.preparation import trunk_floats
from darkshare.training.recalibration import recalibrated
from darkshare.training.settings import TrainingWatch

HERE = Path(__file__).parent
AFTER = "block 2"  # of the reduced network; with its stem, what RRR-Net calls three blocks
TOLERANCE = 0.03  # by which the branches' parameters and operations may miss those of the tail
EMA = 0.98  # of the weights, about the last four epochs
THREADS = 1
METHODS = ("full", "probe", "reduced", "branched-4", "branched-8")
MARKERS = "os^Dv"


@dataclass(frozen=True)
class Method:
    """A network to compare: how it is made of the base, and from which layer on it trains."""

    name: str
    make: Callable[[Model, ClassifiedDataset, int], tuple[Model, int]]


def full(base: Model, learn: ClassifiedDataset, seed: int) -> tuple[Model, int]:
    return base, 0


def probe(base: Model, learn: ClassifiedDataset, seed: int) -> tuple[Model, int]:
    return base, len(base.network.layers) - 2  # the convolution before [softmax]


def reduced(base: Model, learn: ClassifiedDataset, seed: int) -> tuple[Model, int]:
    small = recalibrated(reduce(base, "first"), (read_picture(one.picture) for one in learn.samples))
    return small, layer_after(small.network, AFTER) + 1


def branched(m: int, init: str, base: Model, learn: ClassifiedDataset, seed: int) -> tuple[Model, int]:
    small, k = reduced(base, learn, seed)
    ensemble = branch(small, AFTER, m, init=init, tolerance=TOLERANCE, seed=seed)
    return recalibrated(ensemble, (read_picture(one.picture) for one in learn.samples), k=k), k


def method(name: str) -> Method:
    """The method of a name: full, probe, reduced, or branched-M and branched-M-INIT."""
    whole = {one.__name__: one for one in (full, probe, reduced)}
    if name in whole:
        return Method(name, whole[name])
    found = re.fullmatch(r"branched-(\d+)(?:-(slice|rrr|random))?", name)
    if not found:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(whole)}, branched-M and branched-M-INIT")
    return Method(name, partial(branched, int(found[1]), found[2] or "slice"))


class Told(TrainingWatch):
    """Says how far it is, now and then."""

    def __init__(self) -> None:
        self.total = 1

    def begin(self, done: int, batches: int) -> None:
        self.total = batches

    def step(self, entry: Any) -> None:
        if entry.batch % max(self.total // 4, 1) == 0:
            print(f"  {entry.batch}/{self.total} loss {entry.mean:.3f}", flush=True)


def fit(network: Model, learn: ClassifiedDataset, stem: Path, k: int, seed: int, **how: Any) -> Outcome:
    """Train a network, or go on with it; where Ctrl-C stops it, this ends too."""
    alike = {"device": "cpu", "threads": THREADS, "workers": 1, "validate_every": 0, "resume": True, "watch": Told()}
    outcome = train(network, learn, output=stem, k=k, seed=seed, recipe="darknet", **alike, **how)
    if outcome.stopped:
        raise SystemExit(130)
    return outcome


def trained_base(out: Path, letters: int, batches: int) -> Model:
    """The base, trained on letters if there is none yet."""
    stem = out / "base"
    if not stem.with_suffix(".weights").exists() or stem.with_suffix(".checkpoint").exists():
        draw(out / "letters", "letters", letters)
        learn = read_classes(out / "letters")
        print(f"base: {len(learn.samples)} letters", flush=True)
        begun = perf_counter(), process_time()
        fit(load(HERE / "base.cfg"), learn, stem, 0, 0, batches=batches)
        base = load(stem.with_suffix(".cfg"))
        found = Runner.of(base, threads=THREADS).classify(read_classes(out / "letters", "valid"))
        seconds = {"seconds": perf_counter() - begun[0], "cpu": process_time() - begun[1]}
        (out / "base.json").write_text(json.dumps({"top1": found.mean, **seconds}) + "\n")
    return load(stem.with_suffix(".cfg"))


def draw(folder: Path, which: str, count: int) -> None:
    if not folder.exists():
        command = [sys.executable, str(HERE / "draw.py"), str(folder), "--set", which, "--train", str(count)]
        subprocess.run(command, check=True)


def results(out: Path, data: Path, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each method and seed."""
    base = load(given.base) if given.base else trained_base(out, given.letters, given.base_batches)
    learn, valid = (read_classes(data, part, share=given.split) for part in ("train", "valid"))
    own = digest(trunk_floats(base, len(base.network.layers)))
    settings = {"epochs": given.epochs, "lr": given.lr, "pictures": len(learn.samples), "base": own}
    for seed in range(given.seeds):
        start = relabelled(base, afresh(learn.names), initial=drawn(seed))
        for one in given.methods:
            stem = out / f"{one.name}-{seed}"
            path = out / f"{stem.name}.json"
            if not path.exists():
                row = {"method": one.name, "seed": seed, "settings": settings}
                row |= measured(start, one, learn, valid, seed, stem, given)
                path.write_text(json.dumps(row, indent=1) + "\n")
            row = json.loads(path.read_text())
            if row.get("settings") != settings:
                sys.exit(f"{path}: was made with other settings; remove it, or give another folder than {out}")
            yield row


def measured(
    start: Model,
    how: Method,
    learn: ClassifiedDataset,
    valid: ClassifiedDataset,
    seed: int,
    stem: Path,
    given: argparse.Namespace,
) -> dict[str, Any]:
    """Train a network and count how often it is right."""
    print(f"{stem.name}: {len(learn.samples)} pictures of {len(learn.names)} classes", flush=True)
    network, k = how.make(start, learn, seed)
    begun = perf_counter(), process_time()
    model = fit(network, learn, stem, k, seed, epochs=given.epochs, lr=given.lr, ema=EMA).model
    seconds, cpu = perf_counter() - begun[0], process_time() - begun[1]
    vote, *others = Runner.of(model, threads=THREADS).accuracies(valid)
    branches = [one.mean for one in others[:-2]]
    print(f"  top-1 {100 * vote.mean:.2f} %, {seconds:.0f} s", flush=True)
    return {
        "k": k,
        "layers": len(model.network.layers),
        "params": model.network.params,
        "trained": model.network.params - model.network.start(k),
        "flops": model.network.flops,
        "top1": vote.mean,
        "top1_branches": branches,
        "top1_of_probabilities": others[-2].mean if others else None,
        "seconds": seconds,
        "cpu": cpu,
        "conditions": vote.conditions,
    }


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each method: mean and deviation over the seeds."""
    found = []
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        top = [100 * row["top1"] for row in own]
        branches = [100 * np.mean(row["top1_branches"]) for row in own if row["top1_branches"]]
        mean = [100 * row["top1_of_probabilities"] for row in own if row["top1_of_probabilities"] is not None]
        found.append(
            {
                "network": name,
                "params": own[0]["params"],
                "MFLOPs": own[0]["flops"] / 1e6,
                "trained params": own[0]["trained"],
                "top-1, %": f"{np.mean(top):.1f} ± {deviation(top):.1f}",
                "a branch alone, %": f"{np.mean(branches):.1f}" if branches else None,
                "mean of probabilities, %": f"{np.mean(mean):.1f}" if mean else None,
                "seeds": len(own),
                "wall, s": round(float(np.mean([row["seconds"] for row in own]))),
                "processor, s": round(float(np.mean([row["cpu"] for row in own]))),
            }
        )
    return found


def deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def plot(rows: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Accuracy against parameters and against operations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    own = {name: [row for row in rows if row["method"] == name] for name in dict.fromkeys(r["method"] for r in rows)}
    for axes, key, label in zip(
        figure.subplots(1, 2, sharey=True), ("params", "flops"), ("parameters", "operations"), strict=True
    ):
        places = beside([rows[0][key] / 1e6 for rows in own.values()])
        for number, (place, (name, found)) in enumerate(zip(places, own.items(), strict=True)):
            top = [100 * row["top1"] for row in found]
            how = {"fmt": MARKERS[number % len(MARKERS)], "mfc": "none", "capsize": 4, "color": f"C{number}"}
            axes.errorbar(place, np.mean(top), deviation(top), label=name, **how)
            axes.scatter([place] * len(top), top, s=8, color=f"C{number}", alpha=0.5)
        axes.set(xlabel=f"{label}, millions (equal ones stand side by side)", xlim=(0, 1.05 * max(places)))
        axes.grid(alpha=0.25)
    figure.axes[0].set(ylabel="top-1 on the pictures set aside, %")
    figure.axes[0].legend(loc="best")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def beside(values: Sequence[float]) -> list[float]:
    """The same numbers, those that would cover each other drawn apart."""
    width = 0.03 * max(values)
    near = [[i for i, other in enumerate(values) if abs(other - value) < width] for value in values]
    return [
        value + width * (group.index(i) - (len(group) - 1) / 2)
        for i, (value, group) in enumerate(zip(values, near, strict=True))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, help="a folder of classes instead of drawn characters")
    parser.add_argument("--base", type=Path, help="a base that was trained before, such as another OUT/base.cfg")
    parser.add_argument("--split", type=float, default=0.2, help="of such a folder without val, the part set aside")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=100)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--methods", type=method, nargs="+", default=[*map(method, METHODS)], metavar="METHOD")
    parser.add_argument("--letters", type=int, default=200, help="pictures of each letter that the base learns from")
    parser.add_argument("--base-batches", type=int, default=2500)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    data = given.data or given.out / "signs"
    if given.data is None:
        draw(data, "signs", 20)
    rows = list(results(given.out, data, given))
    table = render(summary(rows), "markdown")
    (given.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    (given.out / "table.md").write_text(table + "\n")
    plot(rows, given.out / "figure.png", f"{given.out.name}: {given.seeds} seeds, {given.epochs:g} epochs")
    print(table)


if __name__ == "__main__":
    main()
