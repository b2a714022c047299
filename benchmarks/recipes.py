"""How well the recipes of `darkshare train` do: data sets x bases x k x seeds, at equal updates.

    python benchmarks/recipes.py --data cells/cells.data:128 --data receipts/receipts.data:160 \
        --base f10-coco.cfg --base xl10-coco.cfg --k 0,66,109 --seeds 1,2,3 --batches 80 -o recipes

Each pair of data set and base is a `darkshare sweep` for each recipe, in a folder of its own, so the same call goes on
where one was stopped; a seed is done everywhere before the next begins. A training whose loss is not a number any more
counts as 0. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from places import numbers

from darkshare._tables import render
from darkshare.choose_k.sweep import Sweep, sweep
from darkshare.darknet.model import load
from darkshare.errors import DarkshareWarning
from darkshare.training.recipes import RECIPES
from darkshare.training.settings import AUTO


def main() -> None:
    args = _arguments()
    warnings.simplefilter("ignore", DarkshareWarning)
    last: dict[tuple[str, str, str], Sweep] = {}
    for count in range(1, len(args.seeds) + 1):
        for data, base, recipe in ((d, b, r) for d in args.data for b in args.base for r in RECIPES):
            last[data, base, recipe] = found = _swept(args, data, base, recipe, args.seeds[:count])
            scores = " ".join(f"k={one.k}:{100 * one.map:.1f}" for one in found.trials)
            print(
                f"{Path(data).stem} {Path(base).stem} {recipe} seeds {count}: {scores} failed {len(found.failed)}",
                flush=True,
            )
    rows = [row for data in args.data for base in args.base for row in _rows(last, data, base, args)]
    print(render(rows, args.format))
    print(render(list(_means(rows)), args.format))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", action="append", required=True, metavar="FILE.data:SIZE")
    parser.add_argument("--base", action="append", required=True, metavar="FILE.cfg")
    parser.add_argument("--k", type=numbers, default=[0])
    parser.add_argument("--seeds", type=numbers, default=[1, 2, 3])
    parser.add_argument("--batches", type=int, default=80)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", choices=[AUTO], help="find the rate of each training by a range test")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("recipes"))
    parser.add_argument("--format", default="markdown")
    return parser.parse_args()


def _swept(args: argparse.Namespace, data: str, base: str, recipe: str, seeds: Sequence[int]) -> Sweep:
    path, _, size = data.rpartition(":")
    folder = args.output / f"{Path(path).stem}-{Path(base).stem}-{recipe}"
    return sweep(
        load(base), path, k=args.k, seeds=seeds, output=folder, jobs=args.jobs, threads=1, batches=args.batches,
        batch=args.batch, subdivisions=1, size=(int(size), int(size)), recipe=recipe,
        lr=args.lr,
    )  # fmt: skip


def _rows(
    found: dict[tuple[str, str, str], Sweep], data: str, base: str, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """A row for each k: the means over seeds, a training that diverged as 0."""
    for k in args.k:
        row: dict[str, Any] = {"data": Path(data).stem, "base": Path(base).stem, "k": k}
        for recipe in RECIPES:
            one = found[data, base, recipe]
            trials = [trial for trial in one.trials if trial.k == k]
            gone = len(args.seeds) - len(trials)
            row[f"mAP, {recipe}"] = round(100 * sum(trial.map for trial in trials) / len(args.seeds), 1)
            row[f"AP, {recipe}"] = round(100 * sum(trial.coco_ap or 0.0 for trial in trials) / len(args.seeds), 1)
            row[f"diverged, {recipe}"] = gone
        yield row


def _means(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each data set: the means over bases and k."""
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        names = [name for name in own[0] if name not in ("data", "base", "k")]
        counted = {name: sum(row[name] for row in own) for name in names if name.startswith("diverged")}
        yield {"data": data, **{name: round(mean(row[name] for row in own), 1) for name in names}, **counted}


if __name__ == "__main__":
    main()
