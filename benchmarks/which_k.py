"""Which guess at k is worth what: measured mAP of data sets x bases x cuts x seeds, and every guess against it.

    python benchmarks/which_k.py --data cells/cells.data:128 --data receipts/receipts.data:160 \
        --base f10-coco.cfg --base xl10-coco.cfg --k 0,22,48,66,89,99,109 --seeds 1,2,3 --batches 240 \
        --validate-every 60 -o which-k

Each pair of data set and base is a `darkshare sweep` in a folder of its own; the same call goes on where one was
stopped, and a seed is done everywhere before the next begins. The checkpoint that was best on valid= is measured once
on test=, and what it finds there is kept, as are the guesses. Prints tables and draws which-k.png; with `--deeper 66`
(the default) also which-k-66.png, for those who must save so much that smaller cuts do not count.
"""

from __future__ import annotations

import argparse
import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from k_allowances import allowance_rows
from k_guesses import (
    Guess,
    begun_results,
    by_beginnings,
    by_features,
    by_halving,
    by_minutes,
    by_swaps,
    without_looking,
)
from k_verdicts import Pair, choice_rows, data_rows, judged, truth_rows
from places import Place, arguments, numbers, tell
from regret import Outcomes
from stitches import PICTURES
from which_k_chart import plot_guesses

from darkshare._files import write_all
from darkshare._tables import render
from darkshare.choose_k.sweep import read_sweep, sweep
from darkshare.choose_k.trials import TrialResult, folder_of
from darkshare.darknet.model import load
from darkshare.data import Dataset, read_data
from darkshare.errors import DarkshareError, DarkshareWarning
from darkshare.evaluation.arrays import ranked, truths_of
from darkshare.evaluation.classes import match_classes
from darkshare.evaluation.matching import darknet_hits
from darkshare.evaluation.runner import Runner
from darkshare.training.guards import digest_of_pictures

BEST, OWN = "net-best.cfg", "which-k"
IOU = 0.5


def main() -> None:
    args = _arguments()
    warnings.simplefilter("ignore", DarkshareWarning)
    places = [_Place(args, data, base) for data in args.data for base in args.base]
    for count in range(1, 1 if args.no_train else len(args.seeds) + 1):
        for place in places:
            place.train(args.seeds[:count])
    pairs = [pair for place in places for pair in _measured(place)]
    if not pairs:
        raise SystemExit("no pair of data set and base has a seed of every k; train first, without --no-train")
    print(render(list(data_rows(pairs)), args.format))
    print(render(list(truth_rows(pairs)), args.format))
    print(render(list(choice_rows(pairs)), args.format))
    for least in [0, *args.deeper]:
        own = [pair.deeper(least) for pair in pairs]
        found = judged(own, args.draws)
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
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap")
    args = parser.parse_args()
    args.k = sorted({0, *args.k})
    return args


class _Place(Place):
    """A pair of data set and base, and its folder."""

    def __init__(self, args: argparse.Namespace, data: str, base: str) -> None:
        super().__init__(args, data, base)
        self.folder: Path = args.output / self.stem
        self.cuts = [k for k in args.k if k]

    def train(self, seeds: Sequence[int]) -> None:
        args = self.args
        found = sweep(
            load(self.base), self.data, k=args.k, seeds=seeds, output=self.folder, jobs=args.jobs, threads=1,
            batches=args.batches, batch=args.batch, size=self.size, validate_every=args.validate_every,
        )  # fmt: skip
        tell(self.folder.name, found)


def _measured(place: _Place) -> Iterator[Pair]:
    """The pair, if every k has a seed in common."""
    try:
        found = read_sweep(place.folder)
    except DarkshareError:
        return
    ks = place.args.k
    done = {(one.k, one.seed): one for one in found.trials}
    seeds = [seed for seed in place.args.seeds if all((k, seed) in done for k in ks)]
    if not seeds:
        return
    trials = [done[k, seed] for seed in seeds for k in ks]
    parts = {name: read_data(place.data, name) for name in ("train", "valid")} | {"test": place.test}
    about = {name: (len(part.samples), digest_of_pictures(part.samples)) for name, part in parts.items()}
    if any(about[name][1] != trials[0].settings[f"{name} pictures"] for name in ("train", "valid")):
        raise SystemExit(f"{place.folder}: is of other pictures than {place.data}")
    nets = [[_outcomes(place, k, seed, parts["test"], about["test"][1]) for seed in seeds] for k in ks]
    guesses = _guesses(place, trials, {one.k: (one.weights, one.flops) for one in found.choices}, parts)
    flops = {one.k: one.flops for one in found.choices}
    yield Pair(Path(place.data).stem, Path(place.base).stem, about, ks, seeds, nets, flops, guesses)


def _outcomes(place: _Place, k: int, seed: int, test: Dataset, digest: str) -> Outcomes:
    """What the best checkpoint of a training finds in the test pictures, from a file if it is there."""
    kept = place.folder / OWN / f"k{k}-seed{seed}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            if str(arrays["digest"]) == digest:
                return Outcomes(*(arrays[name] for name in Outcomes._fields))
    model = load(folder_of(place.folder, k, seed) / BEST)
    seen = Runner.of(model, threads=1).detect_dataset(test)
    if seen.missing:
        raise SystemExit(f"{test.name}: {len(seen.missing)} pictures of test= cannot be read")
    task = model.task(None)
    matched = match_classes(task.name, task.names, test.name, test.names, {}, by_order=False)
    truths, rows = truths_of(test.samples, matched.classes), ranked(seen.detections, seen.sizes)
    hits = darknet_hits(rows, truths, IOU)
    counted, easy = rows.take(hits.counts), truths.take(~truths.difficult)
    found = Outcomes(
        counted.class_ids, counted.pictures, hits.hit[hits.counts], easy.class_ids, easy.pictures
    )  # fmt: skip
    file = io.BytesIO()
    np.savez_compressed(file, digest=np.array(digest), **found._asdict())
    kept.parent.mkdir(exist_ok=True)
    write_all({kept: [file.getvalue()]})
    return found


def _guesses(
    place: _Place,
    trials: Sequence[TrialResult],
    shares: Mapping[int, tuple[float, float]],
    parts: Mapping[str, Dataset],
) -> dict[str, Guess]:
    args, ks = place.args, place.cuts
    early = begun_results(place.folder, trials, args.early)
    return {
        **without_looking(ks),
        **_kept_guesses(place, trials, parts),
        **by_beginnings(early, ks, f"{args.early} updates"),
        f"halving, {args.early} updates": by_halving(early, shares, ks, args.allowed),
        f"halving, {args.batches} updates": by_halving(trials, shares, ks, args.allowed),
        **_by_minutes(place),
    }


def _by_minutes(place: _Place) -> dict[str, Guess]:
    args = place.args
    if args.minutes is None:
        return {}
    minutes, allowed = args.minutes, args.allowed[0]
    folder = place.folder / OWN / f"minutes-{minutes:g}-points-{allowed:g}"
    found = by_minutes(
        load(place.base), place.data, place.cuts, folder, allowed=allowed, minutes=minutes, size=place.size
    )  # fmt: skip
    return {f"--minutes {minutes:g}": found}


def _kept_guesses(place: _Place, trials: Sequence[TrialResult], parts: Mapping[str, Dataset]) -> dict[str, Guess]:
    """The guesses that take a while, from a file if it is there and of the same files, cuts and options."""
    import torch

    torch.set_num_threads(1)
    args, whole = place.args, min((one for one in trials if one.k == 0), key=lambda one: one.seed)
    about = {
        **{name: value for name, value in whole.settings.items() if value is not None},  # as sweeps compare them
        "cuts": place.cuts,
        "boxes": args.boxes,
        "recalibrate": args.recalibrate,
        "stitched": PICTURES,
        "seed": whole.seed,
        "kept": list(Guess._fields),
    }
    path = place.folder / OWN / "guesses.json"
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["of"] == about:
            return {name: Guess(**one) for name, one in kept["guesses"].items()}
    base = load(place.base, size=place.size)
    tuned = load(folder_of(place.folder, 0, whole.seed) / BEST)
    found = by_features(base, parts["train"], place.cuts, args.boxes)
    found |= by_swaps(
        base, tuned, parts["train"], parts["valid"], place.cuts, args.recalibrate, whole.train_seconds
    )  # fmt: skip
    text = json.dumps({"of": about, "guesses": {name: one._asdict() for name, one in found.items()}}, indent=1)
    write_all({path: [text.encode()]})
    return found


if __name__ == "__main__":
    main()
