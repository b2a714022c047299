"""How much of the mAP that sharing costs is won back by a side, by a teacher, by both; and by more updates alone.

    python benchmarks/loss_won_back.py --data cells/cells.data:128 --data receipts/receipts.data:160 \
        --base f10-coco.cfg --k 66,109 --seeds 1,2,3 --batches 240 --validate-every 60 -o won-back

Each data set, base and way is a `darkshare sweep` in a folder of its own, and so is each k and seed of a way whose base
is made for it (ways.py). The plain one also trains k=0, which is what can be won back and, of the first seed, the
teacher. The same call goes on where one was stopped; a seed is done everywhere before the next begins. The checkpoint
that was best on valid= is measured once on test=, and what that gave is put into the records (records.py); trainings
that these have are not made. Prints for each k the mAP of each way, and means of what it wins over plain sharing with
the same seeds, with Wilcoxon's probability of gains so large by chance. With `--no-train` what the records
have is taken; `--plot` draws mAP over all k that are given, as Figure 5 of the paper.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import ways
from places import PLAIN, Place, arguments, best_of, numbers
from regret import by_ranks
from won_back_chart import plot_ways

from darkshare._tables import render
from darkshare.darknet.model import Model, save
from darkshare.data import read_data
from darkshare.errors import DarkshareWarning


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
    PLAIN: Way(),
    "twice": Way(longer=2),
    "ladder": Way(SIDE),
    "teacher": Way(taught=PLAIN),
    "ladder-teacher": Way(SIDE, PLAIN),
    # controls
    "wide": Way(made=ways.wide),
    "cut": Way(made=ways.cut),
    "random": Way(made=ways.drawn_reads),
    "untrained": Way(made=ways.untrained, whole=True),
    "scratch": Way(SIDE, "untrained"),
    "twice-ladder-teacher": Way(SIDE, PLAIN, longer=2),
    "start": Way(made=ways.start),
    "ladder-start": Way(SIDE, made=ways.start),
    "ladder-lessons": Way(SIDE, PLAIN, ways.labelled),
    "slow-ladder-teacher": Way(None, PLAIN, ways.slow),
    # others
    "column": Way(made=ways.column),
    "stitch": Way(made=ways.stitch),
    "stitch-ladder-teacher": Way(SIDE, PLAIN, ways.stitch),
    "deeper-ladder-teacher": Way(None, PLAIN, ways.deeper),
    "separable-ladder-teacher": Way(None, PLAIN, ways.separable),
    "early-ladder-teacher": Way(None, PLAIN, ways.early),
}
WHOLE = "k=0"


def main() -> None:
    args = _arguments()
    warnings.simplefilter("ignore", DarkshareWarning)
    places = [_Place(args, data, base) for data in args.data for base in args.base]
    for seed in () if args.no_train else args.seeds:
        for place in places:
            for way in args.ways:
                place.train_way(way, seed)
    if args.plot:
        plot_ways({place.stem: place.curves() for place in places}, args.plot)
    for k in args.k:
        print(f"k={k}")
        print(render(list(_rows([place.measured(k) for place in places], args.ways)), args.format))


def _arguments() -> argparse.Namespace:
    parser = arguments((__doc__ or "").splitlines()[0], "won-back")
    parser.add_argument("--k", type=numbers, default=[66, 109])
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS), help="plain is always one")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw mAP over all k, a panel for each data set")
    args = parser.parse_args()
    args.ways = list(dict.fromkeys([PLAIN, *args.ways]))
    return args


class Measured(NamedTuple):
    """What was measured of a data set and a base at one k.

    Attributes:
        name: of both.
        maps: of each way, k=0 among them, mAP by seed, in %.
        flops: that each way adds to the plain network, in %.
    """

    name: str
    maps: Mapping[str, Mapping[int, float]]
    flops: Mapping[str, float]

    def against_plain(self, way: str) -> tuple[float, float] | None:
        """Points that sharing loses, and that the way wins, over the seeds of all three; None without a loss."""
        parts = [self.maps[name] for name in (WHOLE, PLAIN, way)]
        seeds = set.intersection(*map(set, parts))
        if not seeds:
            return None
        whole, plain, own = (mean(one[seed] for seed in seeds) for one in parts)
        return (whole - plain, own - plain) if whole > plain else None


class _Place(Place):
    """A data set and a base, with a folder for each way."""

    def train_way(self, name: str, seed: int) -> None:
        """Make the trainings that the record has not."""
        if name == PLAIN:
            self.train([0, *self.args.k], seed)
            return
        way, teacher = WAYS[name], None
        missing = [k for k in self.args.k if (name, k, seed) not in self.record.trainings]
        if not missing:
            return
        if way.taught:
            teacher = self.network(0, self.args.seeds[0]) if way.taught == PLAIN else self._untrained(way.taught)
        if not way.made:
            self.sweep(
                name, self._home(name), self.base, missing, seed, longer=way.longer, side=way.side, teacher=teacher
            )
            return
        for k in missing:
            base, folder = self._made(name, way.made, k, seed), self._home(name) / f"k{k}-seed{seed}"
            self.sweep(name, folder, base, [k], seed, side=way.side, teacher=teacher)

    def _home(self, name: str) -> Path:
        return self.folder.with_name(f"{self.stem}-{name}")

    def _untrained(self, name: str) -> Path:
        """The cfg of the teacher of a way that only teaches others."""
        seed, make = self.args.seeds[0], WAYS[name].made
        folder = self._home(name) / f"k0-seed{seed}"
        assert make
        if not best_of(folder, 0, seed).exists():
            self.sweep(name, folder, self._made(name, make, 0, seed), [0], seed)
        return best_of(folder, 0, seed)

    def _made(self, name: str, make: Callable[[ways.Given], Model], k: int, seed: int) -> str:
        """The cfg of a way's own base, which is written before the first training."""
        stem = self._home(name) / "bases" / f"k{k}-seed{seed}"
        if not stem.with_suffix(".cfg").exists():
            pictures = [Path(sample.picture) for sample in read_data(self.data, "train").samples]
            whole = self.network(0, self.args.seeds[0])
            save(make(ways.Given(self.base, k, seed, self.size, whole, pictures)), stem)
        return f"{stem}.cfg"

    def measured(self, k: int) -> Measured:
        """What the record has of that k."""
        maps = {WHOLE: self._maps(PLAIN, 0), **{name: self._maps(name, k) for name in self.args.ways}}
        flops = {}
        for name in self.args.ways:
            for seed in maps[name].keys() & maps[PLAIN].keys():
                own, plain = (self.record.trainings[one, k, seed].flops for one in (name, PLAIN))
                flops[name] = 100 * (own / plain - 1)
        return Measured(self.stem, maps, flops)

    def curves(self) -> dict[str, dict[int, list[float]]]:
        """For each way and k the mAP of each seed, where there is one; k=0 belongs to the plain way."""
        found = {name: {k: list(self._maps(name, k).values()) for k in (0, *self.args.k)} for name in self.args.ways}
        return {name: {k: maps for k, maps in curve.items() if maps} for name, curve in found.items()}

    def _maps(self, name: str, k: int) -> dict[int, float]:
        """mAP on test= of each seed, in %."""
        trainings = self.record.trainings
        return {
            seed: 100 * float(trainings[name, k, seed].test[0])
            for seed in self.args.seeds if (name, k, seed) in trainings
        }  # fmt: skip


def _rows(found: Sequence[Measured], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The mAP of each way, and what it wins over plain sharing, as means over data sets and bases that lose by that."""
    empty = dict.fromkeys(
        ("way", "seeds", *(one.name for one in found), "FLOPs added %", "points", "won back %", "two thirds", "p")
    )
    for name in (WHOLE, *names):
        there = [one for one in found if one.maps.get(name)]
        if not there:
            continue
        seeds = sorted({len(one.maps[name]) for one in there})
        row = empty | {"way": name, "seeds": " to ".join(map(str, seeds[:1] + seeds[1:][-1:]))}
        row |= {one.name: round(mean(one.maps[name].values()), 1) for one in there}
        if name != WHOLE:
            row["FLOPs added %"] = round(mean(one.flops[name] for one in there), 2)
        own = [both for one in there if name not in (WHOLE, PLAIN) and (both := one.against_plain(name))]
        if own:
            lost, gains = zip(*own, strict=True)
            row |= {"points": round(mean(gains), 2), "won back %": round(100 * sum(gains) / sum(lost), 1)}
            thirds = sum(gain >= 2 / 3 * points for points, gain in own)
            row |= {"two thirds": f"{thirds}/{len(own)}", "p": round(by_ranks(gains), 3)}
        yield row


if __name__ == "__main__":
    main()
