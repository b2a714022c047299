"""A data set and a base of a benchmark that trains, as they are typed, and the arguments that such programs share."""

from __future__ import annotations

import argparse
from functools import cached_property
from pathlib import Path

from darkshare.choose_k.sweep import Sweep
from darkshare.data import Dataset, read_data


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
    parser.add_argument("--no-train", action="store_true", help="take what is there")
    parser.add_argument("-o", "--output", type=Path, default=Path(output))
    parser.add_argument("--format", default="markdown")
    return parser


def tell(name: str, found: Sweep) -> None:
    """Print what a sweep did, and why trainings failed; end where it was stopped."""
    if found.stopped:
        raise SystemExit("stopped; the same call goes on")
    failed = [f"  k={one['k']} seed={one['seed']} failed: {one['error']}" for one in found.failed]
    print(f"{name}: {found.summary()}", *failed, sep="\n", flush=True)


class Place:
    """A pair of a data set, written FILE.data:SIZE, and a base."""

    def __init__(self, args: argparse.Namespace, data: str, base: str) -> None:
        self.args, self.base = args, base
        self.data, _, side = data.rpartition(":")
        self.size = int(side), int(side)
        self.stem = f"{Path(self.data).stem}-{Path(base).stem}"

    @cached_property
    def test(self) -> Dataset:
        """The pictures of test=."""
        return read_data(self.data, "test")
