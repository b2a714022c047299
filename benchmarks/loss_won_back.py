"""How much of the mAP that sharing costs is won back by a side, by a teacher, by both; and by more updates alone.

    python benchmarks/loss_won_back.py --data cells/cells.data:128 --data receipts/receipts.data:160 \
        --base f10-coco.cfg --k 66,109 --seeds 1,2,3 --batches 240 --validate-every 60 -o won-back

Each data set, base and way is a `darkshare sweep` in a folder of its own, and the plain one also trains k=0, which is
what can be won back and, of the first seed, the teacher. The same call goes on where one was stopped; a seed is done
everywhere before the next begins. The checkpoint that was best on valid= is measured once on test=. Prints a row for
each data set, base and k, and for each way and k the mean over them, with the probability of a gain so large if each
sign were by chance. With `--no-train` what is there is taken.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from places import Place, arguments, numbers
from regret import by_signs

from darkshare._files import write_all
from darkshare._tables import render
from darkshare.choose_k.sweep import sweep
from darkshare.choose_k.trials import RESULT, folder_of
from darkshare.darknet.model import load
from darkshare.errors import DarkshareWarning
from darkshare.evaluation import evaluate_model
from darkshare.training.guards import digest_of_pictures

SIDE = "ladder:4%"
# How each way differs from the plain one; its name stands behind that of the folder.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "twice": {"longer": 2},
    "ladder": {"side": SIDE},
    "teacher": {"taught": True},
    "ladder-teacher": {"side": SIDE, "taught": True},
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
    rows = [row for place in places for k in args.k for row in place.rows(k)]
    print(render(rows, args.format))
    means = [row for k in args.k for row in _means([one for one in rows if one["k"] == k], args.ways)]
    print(render(means, args.format))


def _arguments() -> argparse.Namespace:
    parser = arguments((__doc__ or "").splitlines()[0], "won-back")
    parser.add_argument("--k", type=numbers, default=[66, 109])
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS))
    return parser.parse_args()


class _Place(Place):
    """A data set and a base, with a folder for each way."""

    def folder(self, way: str) -> Path:
        home: Path = self.args.output
        return home / (self.stem if way == "plain" else f"{self.stem}-{way}")

    def train(self, way: str, seeds: Sequence[int]) -> None:
        args, how = self.args, WAYS[way]
        teacher = folder_of(self.folder("plain"), 0, args.seeds[0]) / f"{BEST}.cfg"
        longer = how.get("longer", 1)
        found = sweep(
            load(self.base), self.data, k=[0, *args.k] if way == "plain" else args.k, seeds=seeds,
            output=self.folder(way), jobs=args.jobs, threads=1, batches=longer * args.batches, batch=args.batch,
            size=self.size, validate_every=longer * args.validate_every, side=how.get("side"),
            teacher=teacher if how.get("taught") else None,
        )  # fmt: skip
        if found.stopped:
            raise SystemExit("stopped; the same call goes on")
        print(f"{self.folder(way).name}: {found.summary()}", flush=True)

    def rows(self, k: int) -> Iterator[dict[str, Any]]:
        """One row with the mAP of k=0 and of each way at k, over the seeds that plain sharing has; none without."""
        whole, plain = self._maps("plain", 0), self._maps("plain", k)
        seeds = sorted(whole.keys() & plain.keys())
        if not seeds:
            return
        row: dict[str, Any] = {"data": Path(self.data).stem, "base": Path(self.base).stem, "k": k, "seeds": len(seeds)}
        row["k=0"] = mean(whole[seed] for seed in seeds)
        for way in self.args.ways:
            own = self._maps(way, k)
            is_there = own.keys() >= set(seeds)
            row[way] = mean(own[seed] for seed in seeds) if is_there else None
            row[f"{way}, FLOPs"] = self._added(way, k) if is_there else None
        yield {name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}

    def _maps(self, way: str, k: int) -> dict[int, float]:
        """mAP of the best checkpoint of each seed on test=, in %, from a file if it is there."""
        found, digest = {}, digest_of_pictures(self.test.samples)
        for seed in self.args.seeds:
            folder = folder_of(self.folder(way), k, seed)
            if not (folder / RESULT).exists():
                continue
            kept = json.loads((folder / KEPT).read_text()) if (folder / KEPT).exists() else {}
            if kept.get("digest") != digest:
                kept = {
                    "digest": digest,
                    "map": evaluate_model(load(folder / f"{BEST}.cfg"), self.test, threads=1).mean,
                }
                write_all({folder / KEPT: [json.dumps(kept).encode()]})
            found[seed] = 100 * kept["map"]
        return found

    def _added(self, way: str, k: int) -> float:
        """FLOPs that a way adds to the network, in %."""
        own, plain = (
            load(folder_of(self.folder(one), k, self.args.seeds[0]) / f"{BEST}.cfg").network.flops
            for one in (way, "plain")
        )
        return 100 * (own / plain - 1)


def _means(rows: Sequence[Mapping[str, Any]], ways: Sequence[str]) -> Iterator[dict[str, Any]]:
    """For each way the mean gain over data sets and bases, and what share of the loss that is."""
    for way in ways:
        own = [row for row in rows if row[way] is not None and row["k=0"] > row["plain"]]
        if way == "plain" or not own:
            continue
        gains = [row[way] - row["plain"] for row in own]
        shares = [gain / (row["k=0"] - row["plain"]) for gain, row in zip(gains, own, strict=True)]
        yield {
            "k": own[0]["k"],
            "way": way,
            "of": len(own),
            "points": round(mean(gains), 2),
            "won back %": round(100 * mean(shares), 1),
            "FLOPs added %": round(mean(row[f"{way}, FLOPs"] for row in own), 2),
            "two thirds": sum(share >= 2 / 3 for share in shares),
            "p": round(by_signs(gains), 3),
        }


if __name__ == "__main__":
    main()
