"""Which guess at k is worth what: measured mAP of data sets x bases x cuts x seeds, and every guess against it.

    python benchmarks/which_k.py --data cells/cells.data:128 --data receipts/receipts.data:160 \
        --base f10-coco.cfg --base xl10-coco.cfg --k 0,22,48,66,89,99,109 --seeds 1,2,3 --batches 240 \
        --validate-every 60 -o which-k

Each pair of data set and base is a `darkshare sweep` in a folder of its own; the same call goes on where one was
stopped, and a seed is done everywhere before the next begins. The checkpoint that was best on valid= is measured once
on test=. What trainings gave, and the guesses, are put into the records (records.py); trainings that these have are not
made, so that with `--no-train` the tables come from them alone, without data and networks. Prints tables and draws
which-k.png; with `--deeper 66` (the default) also which-k-66.png, for those who must save so much that smaller cuts do
not count.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from k_allowances import allowance_rows
from k_guesses import (
    Guess,
    by_beginnings,
    by_features,
    by_halving,
    by_minutes,
    by_swaps,
    guess_of,
    plain,
    results,
    without_looking,
)
from k_verdicts import Pair, choice_rows, data_rows, judged, truth_rows
from places import PLAIN, Place, arguments, numbers
from stitches import PICTURES
from which_k_chart import plot_guesses

from darkshare._tables import render
from darkshare.darknet.model import load
from darkshare.data import read_data
from darkshare.errors import DarkshareWarning


def main() -> None:
    args = _arguments()
    warnings.simplefilter("ignore", DarkshareWarning)
    places = [_Place(args, data, base) for data in args.data for base in args.base]
    for seed in () if args.no_train else args.seeds:
        for place in places:
            place.train(args.k, seed)
    pairs = [pair for place in places for pair in place.measured()]
    if not pairs:
        raise SystemExit("no pair of data set and base has a seed of every k; train first, without --no-train")
    print(render(list(data_rows(pairs)), args.format))
    print(render(list(truth_rows(pairs)), args.format))
    print(render(list(choice_rows(pairs)), args.format))
    for least in [0, *args.deeper]:
        own = [pair.deeper(least) for pair in pairs]
        found = judged(own)
        print(f"k={','.join(map(str, own[0].ks[1:]))}")
        print(render([one.row() for one in found], args.format))
        plot_guesses(found, args.output / (f"which-k-{least}.png" if least else "which-k.png"), len(pairs))
    print(render(list(allowance_rows(pairs, args.allowed)), args.format))


def _arguments() -> argparse.Namespace:
    parser = arguments((__doc__ or "").splitlines()[0], "which-k")
    parser.add_argument("--k", type=numbers, default=[0, 22, 48, 66, 89, 99, 109], help="0 is always one")
    parser.add_argument("--early", type=int, default=60, help="updates after which early trainings are compared")
    parser.add_argument("--boxes", type=int, default=300)
    parser.add_argument("--recalibrate", type=int, default=64, metavar="PICTURES")
    parser.add_argument(
        "--allowed", type=lambda text: [float(one) for one in text.split(",")], default=[3.0, 1.0, 5.0],
        metavar="POINTS", help="that a cut may lose; halving is judged by the first",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, help="run `suggest-k --minutes` on each pair, too, alone on the machine"
    )
    parser.add_argument("--deeper", type=numbers, default=[66], metavar="K", help="judge the cuts from K on once more")
    args = parser.parse_args()
    args.k = sorted({0, *args.k})
    return args


class _Place(Place):
    """A pair of data set and base, and its cuts."""

    def __init__(self, args: argparse.Namespace, data: str, base: str) -> None:
        super().__init__(args, data, base)
        self.cuts = [k for k in args.k if k]

    def measured(self) -> Iterator[Pair]:
        """The pair, if every k has a seed in common."""
        seeds = self.seeds(self.args.k)
        if not seeds:
            return
        record, ks = self.record, self.args.k
        tests = [[record.trainings[PLAIN, k, seed].test for seed in seeds] for k in ks]
        flops = {k: record.shares[k][1] for k in ks}
        data, base = (Path(one).stem for one in (self.data, self.base))
        yield Pair(data, base, record.of, ks, seeds, np.array(tests).transpose(2, 0, 1), flops, self._guesses(seeds))

    def _guesses(self, seeds: Sequence[int]) -> dict[str, Guess]:
        args, ks, shares = self.args, self.cuts, self.record.shares
        trials = {(k, seed): self.record.trainings[PLAIN, k, seed] for seed in seeds for k in args.k}
        early, late = results(trials, args.early), results(trials, args.batches)
        return {
            **without_looking(ks),
            **self._kept("without trainings of cuts", self._by_looking),
            **by_beginnings(early, ks, f"{args.early} updates"),
            f"halving, {args.early} updates": by_halving(early, shares, ks, args.allowed),
            f"halving, {args.batches} updates": by_halving(late, shares, ks, args.allowed),
            **(self._kept(f"--minutes {args.minutes:g}", self._by_minutes) if args.minutes else {}),
        }

    def _kept(self, name: str, make: Callable[[], dict[str, Guess]]) -> dict[str, Guess]:
        """The guesses that take a while, from the record if they are there and of the same cuts and options."""
        args = self.args
        about = {
            "cuts": self.cuts,
            "boxes": args.boxes,
            "recalibrate": args.recalibrate,
            "stitched": PICTURES,
            "allowed": args.allowed[0],
            "seed": args.seeds[0],
            "kept": list(Guess._fields),
        }
        kept = self.record.guesses.get(name, {})
        if kept.get("of") != about:
            if args.no_train:
                raise SystemExit(f"{self.record.path}: has no guesses {name} of these cuts; leave --no-train out")
            kept = {"of": about, "guesses": {name: plain(guess) for name, guess in make().items()}}
            self.record.guesses[name] = kept
            self.record.write()
        return {name: guess_of(one) for name, one in kept["guesses"].items()}

    def _by_looking(self) -> dict[str, Guess]:
        import torch

        torch.set_num_threads(1)
        args, seed = self.args, self.args.seeds[0]
        base, tuned = load(self.base, size=self.size), load(self.network(0, seed))
        learn, valid = (read_data(self.data, name) for name in ("train", "valid"))
        seconds = self.record.trainings[PLAIN, 0, seed].seconds
        return {
            **by_features(base, learn, self.cuts, args.boxes),
            **by_swaps(base, tuned, learn, valid, self.cuts, args.recalibrate, seconds),
        }

    def _by_minutes(self) -> dict[str, Guess]:
        minutes, allowed = self.args.minutes, self.args.allowed[0]
        folder = self.folder / f"minutes-{minutes:g}-points-{allowed:g}"
        found = by_minutes(
            load(self.base), self.data, self.cuts, folder, allowed=allowed, minutes=minutes, size=self.size
        )  # fmt: skip
        return {f"--minutes {minutes:g}": found}


if __name__ == "__main__":
    main()
