"""How much of the mAP that sharing costs is won back by a side, by a teacher, by both; and by more updates alone.

    python benchmarks/loss_won_back.py --data cells/cells.data:128 --data receipts/receipts.data:160 \
        --base f10-coco.cfg --k 66,109 --seeds 1,2,3 --batches 240 --validate-every 60 -o won-back

Each data set, base and way is a `darkshare sweep` in a folder of its own, and so is each k and seed of a way whose base
is made for it (ways.py). The plain one also trains k=0, which is what can be won back and, of the first seed, the
teacher. The same call goes on where one was stopped; a seed is done everywhere before the next begins. The checkpoint
that was best on valid= is measured once on test=. Prints for each k the mAP of each way and means of what it wins, with
the probability of a gain so large if each sign were by chance. With `--no-train` what is there is taken; `--plot` draws
mAP over all k that are given, as Figure 5 of the paper.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import ways
from places import Place, arguments, numbers, tell
from regret import by_signs
from won_back_chart import plot_ways

from darkshare._files import write_all
from darkshare._tables import render
from darkshare.choose_k.sweep import sweep
from darkshare.choose_k.trials import RESULT, folder_of
from darkshare.darknet.model import Model, load, save
from darkshare.data import read_data
from darkshare.errors import DarkshareWarning
from darkshare.evaluation import evaluate_model
from darkshare.training.guards import digest_of_pictures


class Way(NamedTuple):
    """The difference of a way from the plain one.

    Attributes:
        side: beside the trunk, as `train` has it.
        taught: the way whose k=0 network of the first seed teaches; none without.
        made: makes the base for each k and seed.
        longer: times the updates.
        whole: only k=0 is trained, to teach others.
    """

    side: str | None = None
    taught: str = ""
    made: Callable[[ways.Given], Model] | None = None
    longer: int = 1
    whole: bool = False


SIDE = f"ladder:{100 * ways.SHARE:g}%"
WAYS: Mapping[str, Way] = {  # the name stands behind that of the folder
    "plain": Way(),
    "twice": Way(longer=2),
    "ladder": Way(SIDE),
    "teacher": Way(taught="plain"),
    "ladder-teacher": Way(SIDE, "plain"),
    # controls
    "wide": Way(made=ways.wide),
    "cut": Way(made=ways.cut),
    "random": Way(made=ways.drawn_reads),
    "untrained": Way(made=ways.untrained, whole=True),
    "scratch": Way(SIDE, "untrained"),
    "twice-ladder-teacher": Way(SIDE, "plain", longer=2),
    "start": Way(made=ways.start),
    "ladder-start": Way(SIDE, made=ways.start),
    "ladder-lessons": Way(SIDE, "plain", ways.labelled),
    "slow-ladder-teacher": Way(None, "plain", ways.slow),
    # others
    "column": Way(made=ways.column),
    "stitch": Way(made=ways.stitch),
    "stitch-ladder-teacher": Way(SIDE, "plain", ways.stitch),
    "deeper-ladder-teacher": Way(None, "plain", ways.deeper),
    "separable-ladder-teacher": Way(None, "plain", ways.separable),
    "early-ladder-teacher": Way(None, "plain", ways.early),
}
BEST, KEPT = "net-best", "on-test.json"


def main() -> None:
    args = _arguments()
    warnings.simplefilter("ignore", DarkshareWarning)
    places = [_Place(args, data, base) for data in args.data for base in args.base]
    for count in range(1, 1 if args.no_train else len(args.seeds) + 1):
        for place in places:
            for way in args.ways:
                place.train(way, args.seeds[:count])
    if args.plot:
        plot_ways({place.stem: place.curves() for place in places}, args.plot)
    for k in args.k:
        print(f"k={k}")
        print(render(list(_rows([found for place in places if (found := place.measured(k))], args.ways)), args.format))


def _arguments() -> argparse.Namespace:
    parser = arguments((__doc__ or "").splitlines()[0], "won-back")
    parser.add_argument("--k", type=numbers, default=[66, 109])
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS), help="plain is always one")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw mAP over all k, a panel for each data set")
    args = parser.parse_args()
    args.ways = list(dict.fromkeys(["plain", *args.ways]))
    return args


class Measured(NamedTuple):
    """What was measured at one k.

    Attributes:
        name: of the data set and the base.
        seeds: how many there are.
        whole: mAP of k=0, in %.
        maps: of each way.
        flops: that each way adds to the plain network, in %.
    """

    name: str
    seeds: int
    whole: float
    maps: Mapping[str, float]
    flops: Mapping[str, float]


class _Place(Place):
    """A data set and a base, with a folder for each way."""

    def folder(self, name: str, k: int, seed: int) -> Path:
        """The folder of the sweep that a training is in; each base that is made has one of its own."""
        home = self.args.output / (self.stem if name == "plain" else f"{self.stem}-{name}")
        return home / f"k{k}-seed{seed}" if WAYS[name].made else home

    def best(self, name: str, k: int, seed: int) -> Path:
        """The cfg of the checkpoint of a training that was best on valid=."""
        return folder_of(self.folder(name, k, seed), k, seed) / f"{BEST}.cfg"

    def train(self, name: str, seeds: Sequence[int]) -> None:
        way = WAYS[name]
        if way.taught not in ("", "plain"):
            self.train(way.taught, seeds)
        ks = [0] if way.whole else [0, *self.args.k] if name == "plain" else self.args.k
        if not way.made:
            self._sweep(name, self.base, ks, seeds)
            return
        for seed in seeds[:1] if way.whole else seeds:
            for k in ks:
                self._sweep(name, self._made(name, k, seed), [k], [seed])

    def _made(self, name: str, k: int, seed: int) -> str:
        """The cfg of a way's own base, which is written before the first training."""
        folder = self.folder(name, k, seed)
        stem = folder.parent / "bases" / folder.name
        if not stem.with_suffix(".cfg").exists():
            pictures = [Path(sample.picture) for sample in read_data(self.data, "train").samples]
            whole = self.best("plain", 0, self.args.seeds[0])
            make = WAYS[name].made
            assert make
            save(make(ways.Given(self.base, k, seed, self.size, whole, pictures)), stem)
        return f"{stem}.cfg"

    def _sweep(self, name: str, base: str, ks: Sequence[int], seeds: Sequence[int]) -> None:
        args, way = self.args, WAYS[name]
        found = sweep(
            load(base), self.data, k=ks, seeds=seeds, output=self.folder(name, ks[-1], seeds[-1]), jobs=args.jobs,
            threads=1, batches=way.longer * args.batches, batch=args.batch, size=self.size,
            validate_every=way.longer * args.validate_every, side=way.side,
            teacher=self.best(way.taught, 0, args.seeds[0]) if way.taught else None,
        )  # fmt: skip
        tell(f"{self.stem} {name}", found)

    def measured(self, k: int) -> Measured | None:
        """The mAP of k=0, of plain sharing and of the ways at k, over the seeds that plain sharing has, if any."""
        whole, plain = self._maps("plain", 0), self._maps("plain", k)
        seeds = sorted(whole.keys() & plain.keys())
        if not seeds:
            return None
        maps, flops = dict[str, float](), dict[str, float]()
        own = load(self.best("plain", k, seeds[0])).network.flops
        for name in self.args.ways:
            found = {} if WAYS[name].whole else self._maps(name, k)
            if found.keys() >= set(seeds):
                maps[name] = mean(found[seed] for seed in seeds)
                flops[name] = 100 * (load(self.best(name, k, seeds[0])).network.flops / own - 1)
        return Measured(self.stem, len(seeds), mean(whole[seed] for seed in seeds), maps, flops)

    def curves(self) -> dict[str, dict[int, list[float]]]:
        """For each way and k the mAP of each seed, where there is one; k=0 belongs to the plain way."""
        found = {name: {k: list(self._maps(name, k).values()) for k in (0, *self.args.k)} for name in self.args.ways}
        return {name: {k: maps for k, maps in curve.items() if maps} for name, curve in found.items()}

    def _maps(self, name: str, k: int) -> dict[int, float]:
        """mAP of the best checkpoint of each seed on test=, in %, from a file if it is there."""
        found, digest = {}, digest_of_pictures(self.test.samples)
        for seed in self.args.seeds:
            cfg = self.best(name, k, seed)
            if not cfg.with_name(RESULT).exists():
                continue
            kept = json.loads(cfg.with_name(KEPT).read_text()) if cfg.with_name(KEPT).exists() else {}
            if kept.get("digest") != digest:
                kept = {"digest": digest, "map": evaluate_model(load(cfg), self.test, threads=1).mean}
                write_all({cfg.with_name(KEPT): [json.dumps(kept).encode()]})
            found[seed] = 100 * kept["map"]
        return found


def _rows(found: Sequence[Measured], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The mAP of each way, and what it wins over plain sharing, as means over data sets and bases that lose by that."""
    heads = {one.name: f"{one.name} ({one.seeds})" for one in found}
    empty = dict.fromkeys(("way", *heads.values(), "FLOPs added %", "points", "won back %", "two thirds", "p"))
    yield empty | {"way": "k=0"} | {heads[one.name]: round(one.whole, 1) for one in found}
    for name in names:
        there = [one for one in found if name in one.maps]
        if not there:
            continue
        row = empty | {"way": name} | {heads[one.name]: round(one.maps[name], 1) for one in there}
        own = [one for one in there if one.whole > one.maps["plain"]]
        row["FLOPs added %"] = round(mean(one.flops[name] for one in there), 2)
        if name != "plain" and own:
            gains = [one.maps[name] - one.maps["plain"] for one in own]
            shares = [gain / (one.whole - one.maps["plain"]) for gain, one in zip(gains, own, strict=True)]
            lost = sum(one.whole - one.maps["plain"] for one in own)
            row |= {"points": round(mean(gains), 2), "won back %": round(100 * sum(gains) / lost, 1)}
            row |= {"two thirds": f"{sum(share >= 2 / 3 for share in shares)}/{len(own)}"}
            row |= {"p": round(by_signs(gains), 3)}
        yield row


if __name__ == "__main__":
    main()
