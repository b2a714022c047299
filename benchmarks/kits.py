"""What a stock Darknet moves below k when it trains from a kit, and whether snap, frozen and concat then pass.

    python benchmarks/kits.py alexeyab=path/to/darknet pjreddie=path/to/darknet base.cfg base.weights data.data 85 88

Trains on a CPU, 4 batches of 4 pictures at 96x96, from weights of full length, so that all that moves is Darknet's.
Needs pictures whose labels both forks find, such as those in a folder JPEGImages with the labels in labels.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from darkshare import concat, frozen, load, snap
from darkshare._tables import render
from darkshare.darknet.model import Model
from darkshare.data import read_data
from darkshare.surgery.kit import make_kit, write_kit

SHORT = {"batch": "4", "subdivisions": "1", "burn_in": "0"}


def main(*words: str) -> None:
    forks = dict(word.split("=", 1) for word in words if "=" in word)
    cfg, weights, data, *ks = (word for word in words if "=" not in word)
    base = load(cfg, weights, size=(96, 96))
    rows = [row(fork, path, base, data, int(k)) for k in ks for fork, path in forks.items()]
    print(render(rows, "markdown"))


def row(fork: str, darknet: str, base: Model, data: str, k: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        kit = make_kit(base, k, read_data(data), batches=4, full=True)
        write_kit(kit, folder)
        stem = kit.train.name + ("-cpu" if kit.cpu and fork == "alexeyab" else "")
        trained = train(Path(folder), Path(darknet).absolute(), kit.train.name, stem)
        start = load(Path(folder, f"{kit.train.name}.cfg"), Path(folder, f"{kit.train.name}-full.weights"))
        below, behind = moved(start, trained, range(k)), moved(start, trained, range(k, len(start.network.layers)))
        ready = snap(base, trained, k)
        concat([base, ready], k)  # refuses a trunk that is not the base's
        passed = frozen(base, ready, k=k).is_frozen
    return {"k": k, "fork": fork, "moved below k": below, "moved from k on": behind, "snap, frozen, concat": passed}


def train(folder: Path, darknet: Path, name: str, stem: str) -> Model:
    cfg = folder / f"{stem}.cfg"
    lines = [line.partition("=") for line in cfg.read_text().splitlines()]
    cfg.write_text("\n".join(f"{key}={SHORT[key]}" if key in SHORT else key + sep + value for key, sep, value in lines))
    run = [darknet, "detector", "train", f"{name}.data", cfg.name, f"{name}-full.weights", "-clear", "-dont_show"]
    subprocess.run(run, cwd=folder, check=True, capture_output=True, timeout=600)
    return load(folder / f"{name}.cfg", folder / "backup" / f"{stem}_final.weights")


def moved(start: Model, trained: Model, layers: range) -> list[str]:
    """How many of the tensors of each name are others."""
    all_of, others = Counter[str](), Counter[str]()
    for index in layers:
        if start.network.layers[index].tensors:
            before, after = start.tensors(index), trained.tensors(index)
            all_of.update(list(before))
            others.update(name for name in before if not np.array_equal(before[name], after[name]))
    return [f"{name} {others[name]}/{all_of[name]}" for name in all_of if others[name]]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
