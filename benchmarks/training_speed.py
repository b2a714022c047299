"""Seconds per update of `train` beside AlexeyAB's Darknet, the time to the first one, and how fast pictures are made.

python benchmarks/training_speed.py DATA.data --net BASE.cfg:0,66,109 [--net OTHER.cfg:0,13] [--darknet darknet]
       [--size 256] [--batch 16] [--threads 2] [--updates 3] [--rounds 2] [--workers 1,2]

Darknet is its program, built with `make AVX=1 OPENMP=1`; without it, darkshare stands alone. Both train the same
network from the same weights (drawn ones, where BASE has none) on the same pictures, in turns, each in a process of
its own; with k above 0 Darknet has a kit's cfg. An update is from one to the next, pictures included; the first
does not count. "CPU" is the processor time of all threads, which suffers less from other programs, but counts those
of OpenMP that wait. Pictures are made for the first network, by threads and by processes in turns, with nothing else
to do. Needs Linux's /proc.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from darkshare._tables import render
from darkshare.darknet.model import Model, load, save
from darkshare.data import Dataset, in_order, read_data
from darkshare.inference.threads import made_ahead
from darkshare.surgery.kit import make_kit, write_kit
from darkshare.training.pictures.augmenting import Augmentation
from darkshare.training.pictures.loading import Source
from darkshare.training.pictures.makers import made_by
from darkshare.training.preparation import prepared
from darkshare.training.recipes import RECIPES
from darkshare.training.settings import Changes

LONG = 1000  # updates of the schedule, of which the first few are made


class Moment(NamedTuple):
    """The end of an update, in seconds since the program was started: on the clock, and of the processor."""

    wall: float
    cpu: float


def main() -> None:
    args = _arguments()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    data, nets = read_data(args.data, "train"), [_net(word) for word in args.net]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for at, (cfg, ks) in enumerate(nets):
            changes = Changes(batches=LONG, batch=args.batch, subdivisions=1, size=(args.size, args.size))
            base, _ = prepared(load(cfg, partial=True), data, 0, changes, RECIPES["darknet"], seed=0, name="net")
            home = Path(folder) / str(at)
            home.mkdir()
            save(base, home / "net", data={"train": str(Path(args.data).parent.absolute() / "train.txt")})
            rows += [_compared(args, cfg, base, data, home, k) for k in ks]
            if not at:
                pictures = _pictures(args, base, data)
    print(f"load {os.getloadavg()[0]:.1f}\n\n{render(rows, args.format)}\n\n{render(pictures, args.format)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--net", action="append", required=True, metavar="CFG:K,K")
    parser.add_argument("--darknet", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--format", default="text")
    return parser.parse_args()


def _net(word: str) -> tuple[Path, list[int]]:
    cfg, _, ks = word.rpartition(":")
    return Path(cfg), [int(k) for k in ks.split(",")]


def _compared(args: argparse.Namespace, cfg: Path, base: Model, data: Dataset, home: Path, k: int) -> dict[str, object]:
    """A row: medians of both over all updates of all rounds, and the ratio of Darknet's to ours."""
    found: dict[str, list[Moment]] = {"darkshare": [], "Darknet": []}
    first: list[Moment] = []
    for _ in range(args.rounds):
        ours = list(_of_darkshare(args, home, k))
        first.append(ours[0])
        found["darkshare"] += _differences(ours)
        if args.darknet:
            found["Darknet"] += _differences(list(_of_darknet(args, base, data, home, k)))
    row: dict[str, object] = {"network": cfg.stem, "k": k}
    row |= {"first, s": median(one.wall for one in first), "first, CPU s": median(one.cpu for one in first)}
    middle = {name: Moment(*map(median, zip(*moments, strict=True))) for name, moments in found.items() if moments}
    for name, one in middle.items():
        row |= {f"{name}, s": one.wall, f"{name}, CPU s": one.cpu}
    if args.darknet:
        row["ratio"] = middle["Darknet"].wall / middle["darkshare"].wall
        row["CPU ratio"] = middle["Darknet"].cpu / middle["darkshare"].cpu
    return row


def _differences(moments: list[Moment]) -> list[Moment]:
    return [Moment(after.wall - before.wall, after.cpu - before.cpu) for before, after in pairwise(moments)]


def _of_darkshare(args: argparse.Namespace, home: Path, k: int) -> Iterator[Moment]:
    """The ends of its updates, which are lines of the course that it writes."""
    with tempfile.TemporaryDirectory(dir=home) as out:
        words = [home / "net.cfg", args.data, "--k", k, "--batches", LONG, "--validate-every", 0]
        words += ["--threads", args.threads, "--device", "cpu", "-o", f"{out}/new"]
        course, seen = Path(out, "new.csv"), 1
        begun = time.perf_counter()
        program = [sys.executable, "-m", "darkshare", "train", *map(str, words)]
        with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while seen <= args.updates + 1:
                if process.poll() is not None:
                    raise SystemExit((process.stderr.read() if process.stderr else b"").decode())
                lines = course.read_bytes().count(b"\n") if course.exists() else 0
                if lines > seen:
                    seen = lines
                    yield _moment(process, begun)
                time.sleep(0.005)
            process.kill()


def _of_darknet(args: argparse.Namespace, base: Model, data: Dataset, home: Path, k: int) -> Iterator[Moment]:
    """The ends of its updates: of all layers, or with the cfg of a kit."""
    if not k:
        yield from of_darknet(args.darknet, home / "net", args.updates)
        return
    with tempfile.TemporaryDirectory(dir=home) as folder:
        kit = make_kit(base, k, data, batches=LONG, full=True)
        write_kit(kit, folder)
        stem = kit.train.name
        words = [f"{stem}.data", f"{stem}-cpu.cfg" if kit.cpu else f"{stem}.cfg", f"{stem}-full.weights"]
        yield from _printed([args.darknet.absolute(), "detector", "train", *words], Path(folder), args.updates)


def of_darknet(program: Path, stem: Path, updates: int) -> Iterator[Moment]:
    """The ends of Darknet's updates of a network with a .data file of its name, and of the first one before them.

    Raises:
        SystemExit: it made fewer.
    """
    words = [f"{stem.absolute()}{suffix}" for suffix in (".data", ".cfg", ".weights")]
    with tempfile.TemporaryDirectory(dir=stem.parent) as folder:
        yield from _printed([program.absolute(), "detector", "train", *words], Path(folder), updates)


def _printed(words: list[Path | str], folder: Path, updates: int) -> Iterator[Moment]:
    """The end of each update is a line that it prints."""
    program = [*words, "-clear", "-dont_show"]
    begun, seen = time.perf_counter(), 0
    with subprocess.Popen(program, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        for line in process.stdout:
            if b"avg loss" in line:
                yield _moment(process, begun)
                if (seen := seen + 1) > updates:
                    break
        process.kill()
    if seen <= updates:
        raise SystemExit(f"Darknet ended after {seen} updates")


def _moment(process: subprocess.Popen[bytes], begun: float) -> Moment:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return Moment(time.perf_counter() - begun, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def _pictures(args: argparse.Namespace, base: Model, data: Dataset) -> list[dict[str, object]]:
    """A row for each number of workers: pictures per second, and as a multiple of one thread's."""
    samples = in_order(data, base.tasks[0].names).samples
    source = Source(samples, base.network, Augmentation.of(base.network), 0)
    speeds: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        sources = {
            (how, workers): stack.enter_context(made_by(source, workers, device))
            for workers in map(int, args.workers.split(","))
            for how, device in (("threads", "cpu"), ("processes", "cuda"))
        }
        for number in range(args.rounds * 4 + 1):
            for key, one in sources.items():
                speed = _speed(one, key[1], args)
                if number:  # before the first, processes import
                    speeds.setdefault(key, []).append(speed)
    single = speeds["threads", 1]
    return [
        {
            "workers": workers, "made by": how, "pictures/s": median(found),
            "times one thread": median(a / b for a, b in zip(found, single, strict=True)),
        }
        for (how, workers), found in speeds.items()
    ]  # fmt: skip


def _speed(source: Source, workers: int, args: argparse.Namespace) -> float:
    size = args.size, args.size
    groups = [source.places(start, args.batch) for start in range(0, 10 * args.batch, args.batch)]
    begun = time.perf_counter()
    for _ in made_ahead(([partial(source.example, place, size) for place in group] for group in groups), workers):
        pass
    return 10 * args.batch / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
