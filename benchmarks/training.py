"""How much faster training gets with a frozen trunk, and with its features kept: beside what operations promise.

    python benchmarks/training.py base.cfg base.weights pictures.data --k 74

Three trainings of the same network take turns, update by update: all layers, frozen below k, and frozen with the
features read from their files. The pictures are made beforehand, since operations say nothing of that; one thread
computes, and processor time is counted, so that other programs disturb little. With --epochs, each is then trained to
the end as `darkshare train` does it, and mAP is measured.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from darkshare._tables import render
from darkshare.darknet.model import Model, load
from darkshare.data import Dataset, in_order, read_data
from darkshare.training import caching
from darkshare.training.building import build
from darkshare.training.devices import DeviceSettings
from darkshare.training.feeding import FeatureFeed, Feed, PictureFeed
from darkshare.training.pictures.augmenting import Augmentation
from darkshare.training.pictures.loading import Source
from darkshare.training.preparation import prepared
from darkshare.training.recipes import RECIPES
from darkshare.training.settings import Changes
from darkshare.training.stepping import Trainer
from darkshare.training.train import train

FULL, FROZEN, CACHED = "all layers", "frozen", "cached"


def main() -> None:
    args = _arguments()
    import torch

    torch.set_num_threads(1)
    base, data = load(args.cfg, args.weights), read_data(args.data, "train")
    changes = Changes(batches=1000, batch=args.batch, subdivisions=1, size=(args.size, args.size), lr=args.lr)
    rows = []
    for k in args.k:
        with tempfile.TemporaryDirectory() as folder:
            rows += _timed(base, replace(data, samples=data.samples[: 4 * args.batch]), k, changes, args.rounds, folder)
        if args.epochs:
            valid, whole = read_data(args.data, "valid"), replace(changes, batches=None, epochs=args.epochs)
            rows[-1] |= {f"mAP, {name}": text for name, text in _learned(base, data, valid, k, whole, args.seeds)}
    print(render(rows, args.format))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("data")
    parser.add_argument("--k", type=int, action="append", required=True)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--epochs", type=float, help="train as well, and measure mAP")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--format", default="text")
    return parser.parse_args()


def _timed(base: Model, data: Dataset, k: int, changes: Changes, rounds: int, folder: str) -> list[dict[str, Any]]:
    """Seconds per update of the three, in turns, and their ratios beside the theoretical ones."""
    import torch

    how = DeviceSettings(torch.device("cpu"))
    trainers: dict[str, Trainer] = {}
    feeds: dict[str, Feed] = {}
    for name, own_k in ((FULL, 0), (FROZEN, k), (CACHED, k)):
        model, _ = prepared(base, data, own_k, changes, RECIPES["darknet"], seed=0, name="benchmark")
        source = Source(in_order(data, model.tasks[0].names).samples, model.network, Augmentation.of(model.network), 0)
        net, batch = build(model, own_k), model.network.net.batch
        trainers[name] = trainer = Trainer(net, how, seed=0, amp=False, ema=0.0)
        feeds[name] = PictureFeed(source, trainer.trunk, batch, batch, 1000)
        if name == CACHED:
            count = len(data.samples)
            cache = caching.open_cache(Path(folder), model.network, net.reads, 1, count, 200)
            size = model.network.input.w, model.network.input.h
            caching.fill_caches([caching.Features(cache, {"k": k})], net, source, size=size, batch=batch, workers=0)
            feeds[name] = FeatureFeed(source, cache, how, batch, batch, {})
            promised = caching.estimate(model.network, net.reads, k, count, float("inf"), count, 200)
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for number in range(1, rounds + 3):
        names = list(trainers) if number % 2 else list(trainers)[::-1]
        for name in names:
            examples = [job() for job in feeds[name].jobs(number)] if name != CACHED else []
            begun = process_time()
            examples = examples or [job() for job in feeds[name].jobs(number)]
            trainers[name].launch(number, feeds[name].parts(examples))
            seconds[name].append(process_time() - begun)
    times = {name: values[2:] for name, values in seconds.items()}  # the first two do not count
    return [
        {
            "k": k,
            **{f"ms, {name}": 1000 * median(values) for name, values in times.items()},
            "all / frozen": _ratio(times[FULL], times[FROZEN]),
            "promised": promised.full / promised.limit,
            "all / cached": _ratio(times[FULL], times[CACHED]),
            "promised ": promised.full,
            "frozen / cached": _ratio(times[FROZEN], times[CACHED]),
            "promised  ": promised.limit,
        }
    ]


def _ratio(a: Sequence[float], b: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return median(x / y for x, y in zip(a, b, strict=True))


def _learned(
    base: Model, data: Dataset, valid: Dataset, k: int, changes: Changes, seeds: int
) -> Iterator[tuple[str, str]]:
    """mAP of each seed, for the three."""
    for name, own_k, copies in ((FULL, 0, 0), (FROZEN, k, 0), (CACHED, k, 4)):
        found = []
        for seed in range(seeds):
            how = {"seed": seed, "validate_every": 10**9, "cache_features": copies, "cache_anyway": True, "threads": 1}
            with tempfile.TemporaryDirectory() as folder:
                outcome = train(base, (data, valid), output=Path(folder) / "out", k=own_k, **asdict(changes), **how)
                found.append(outcome.map or 0.0)
        yield name, " ".join(f"{100 * one:.1f}" for one in found)


if __name__ == "__main__":
    main()
