"""A data set and a base of a benchmark that trains, as they are typed, and the arguments that such programs share."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from zlib import crc32

import numpy as np
from records import FOLDER, Record, Training
from regret import Doubles, Outcomes, drawn_pictures, mean_ap

from darkshare.choose_k.sweep import Sweep, sweep
from darkshare.choose_k.trials import NET, TrialResult, folder_of
from darkshare.darknet.model import Model, load
from darkshare.data import Dataset, read_data
from darkshare.evaluation.arrays import ranked, truths_of
from darkshare.evaluation.classes import match_classes
from darkshare.evaluation.matching import darknet_hits
from darkshare.evaluation.runner import Runner
from darkshare.training.guards import digest_of_pictures

PLAIN = "plain"  # the way of trainings that only share layers
DRAWS = 400  # resamples of the test pictures
_IOU = 0.5


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between them, in ascending order."""
    return sorted(int(one) for one in text.split(","))


def arguments(about: str, output: str) -> argparse.ArgumentParser:
    """A parser of what is trained, and how.

    Args:
        about: the first line of the help.
        output: the folder, if nobody says.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", action="append", required=True, metavar="FILE.data:SIZE")
    parser.add_argument("--base", action="append", required=True, metavar="FILE.cfg")
    parser.add_argument("--seeds", type=numbers, default=[1, 2, 3])
    parser.add_argument("--batches", type=int, default=240)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--validate-every", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-train", action="store_true", help="take what the records have")
    parser.add_argument("-o", "--output", type=Path, default=Path(output), help="the folder of trainings")
    parser.add_argument(
        "--records", type=Path, default=FOLDER, metavar="DIR",
        help="what trainings gave; those that it has are not made again (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--format", default="markdown")
    return parser


class Place:
    """A pair of a data set, written FILE.data:SIZE, and a base.

    Attributes:
        stem: of the names of its files.
        folder: of the plain sweep.
        record: what trainings gave.
    """

    def __init__(self, args: argparse.Namespace, data: str, base: str) -> None:
        self.args, self.base = args, base
        self.data, _, side = data.rpartition(":")
        self.size = int(side), int(side)
        self.stem = f"{Path(self.data).stem}-{Path(base).stem}"
        self.folder: Path = args.output / self.stem
        self.record = Record.read(args.records / f"{self.stem}.json")

    @cached_property
    def test(self) -> Dataset:
        """The pictures of test=."""
        return read_data(self.data, "test")

    @cached_property
    def pictures(self) -> dict[str, int]:
        """How many each part has."""
        return {name: len(read_data(self.data, name).samples) for name in ("train", "valid", "test")}

    def seeds(self, ks: Iterable[int]) -> list[int]:
        """Those that every k has a plain training of."""
        return [seed for seed in self.args.seeds if all((PLAIN, k, seed) in self.record.trainings for k in ks)]

    def train(self, ks: Sequence[int], seed: int) -> None:
        """Make the plain trainings that the record has not."""
        missing = [k for k in ks if (PLAIN, k, seed) not in self.record.trainings]
        if missing:
            self.sweep(PLAIN, self.folder, self.base, missing, seed)

    def sweep(
        self, way: str, folder: Path, base: str, ks: Sequence[int], seed: int, *,
        longer: int = 1, side: str | None = None, teacher: Path | None = None,
    ) -> None:  # fmt: skip
        """Train, and put what comes of it into the record.

        Args:
            way: for the record.
            folder: of the sweep.
            base: the cfg.
            ks: the cuts.
            seed: of all of them.
            longer: times the updates.
            side: as of `train`.
            teacher: likewise.
        """
        args = self.args
        found = sweep(
            load(base), self.data, k=ks, seeds=seed, output=folder, jobs=args.jobs, threads=1,
            batches=longer * args.batches, batch=args.batch, size=self.size,
            validate_every=longer * args.validate_every, side=side, teacher=teacher,
        )  # fmt: skip
        _tell(f"{self.stem} {way}", found)
        done = {one.k: one for one in found.trials if one.seed == seed}
        for k in ks:
            if k in done:
                self._record(way, folder, done[k])
        if way == PLAIN:
            self.record.shares |= {one.k: (one.weights, one.flops) for one in found.choices}
        self.record.write()

    def _record(self, way: str, folder: Path, found: TrialResult) -> None:
        if way == PLAIN:
            told = {name: value for name, value in found.settings.items() if value is not None}
            self.record.require(
                {**told, "test pictures": digest_of_pictures(self.test.samples), "pictures": self.pictures}
            )
        if (way, found.k, found.seed) in self.record.trainings:  # trained again for its network only
            return
        model = load(best_of(folder, found.k, found.seed))
        test = test_maps(model, self.test, DRAWS if way == PLAIN else 0)
        valid = _validated(folder_of(folder, found.k, found.seed) / f"{NET}.csv") | {found.batches: found.map}
        self.record.trainings[way, found.k, found.seed] = Training(
            test, valid, found.train_seconds, model.network.flops
        )

    def network(self, k: int, seed: int) -> Path:
        """The cfg of a plain training's best checkpoint; it is trained again where that is not there."""
        path = best_of(self.folder, k, seed)
        if not path.exists():
            self.sweep(PLAIN, self.folder, self.base, [k], seed)
        return path


def best_of(sweep: Path, k: int, seed: int) -> Path:
    """The cfg of the checkpoint of a training that was best on valid=."""
    return folder_of(sweep, k, seed) / f"{NET}-best.cfg"


def _validated(journal: Path) -> dict[int, float]:
    with journal.open(encoding="utf-8", newline="") as file:
        return {int(row["batch"]): float(row["map"]) for row in csv.DictReader(file) if row["map"]}


def test_maps(model: Model, test: Dataset, draws: int) -> Doubles:
    """mAP on the test pictures by Darknet's rule, of 0..1: first of all of them, then of resamples.

    The resamples are the same for all networks.
    """
    seen = Runner.of(model, threads=1).detect_dataset(test)
    if seen.missing:
        raise SystemExit(f"{test.name}: {len(seen.missing)} pictures of test= cannot be read")
    task, count = model.task(None), len(test.samples)
    matched = match_classes(task.name, task.names, test.name, test.names, {}, by_order=False)
    truths, rows = truths_of(test.samples, matched.classes), ranked(seen.detections, seen.sizes)
    hits = darknet_hits(rows, truths, _IOU)
    counted, easy = rows.take(hits.counts), truths.take(~truths.difficult)
    found = Outcomes(
        counted.class_ids, counted.pictures, hits.hit[hits.counts], easy.class_ids, easy.pictures
    )  # fmt: skip
    rng = np.random.default_rng(crc32(Path(test.name).stem.encode()))
    return mean_ap(found, np.vstack([np.ones((1, count), np.int64), drawn_pictures(count, draws, rng)]))


def _tell(name: str, found: Sweep) -> None:
    """Print what a sweep did, and why trainings failed; end where it was stopped."""
    if found.stopped:
        raise SystemExit("stopped; the same call goes on")
    failed = [f"  k={one['k']} seed={one['seed']} failed: {one['error']}" for one in found.failed]
    print(f"{name}: {found.summary()}", *failed, sep="\n", flush=True)
