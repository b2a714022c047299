"""Training on a GPU: updates beside AlexeyAB's Darknet, and beside what operations take at the card's own rate.

python benchmarks/gpu.py [--net f10-coco.cfg:256:0,66,109] [--darknet darknet] [--seconds 420] [--workers 16]
                         [--json FILE] [--markdown FILE] [--quick]

yolov3 at 416 with k=0 and k=74, and every --net CFG:SIZE:K,K; weights that are not there are drawn, the pictures as
well. Each is trained at 16 and 64 pictures an update, with and without --amp, as the recipe steady does it:

- `made`: milliseconds of an update whose pictures are made already;
- `course`: of one as `darkshare train` makes it, pictures included;
- `kept`: with the features in the GPU's memory, as --cache-features has them;
- `by operations`: all forward and two times what trains backward, by darkshare's own counts, at the rate of the card's
  matrix products in bfloat16 (with amp) or TF32, measured here; `times that` is `made` beside it;
- `Darknet`: an update of all layers by AlexeyAB's program, built with cuDNN, pictures included; `ratio` is that to
  `course`.

Then one training is measured without each thing that a GPU does otherwise. What is not begun within --seconds is left
out and named. --quick goes through all of it in seconds, with a small network and on a CPU if need be; its figures say
nothing. gpu.sh builds Darknet first.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from architectures import yolov3_text
from labelled import draw, write_data
from training_speed import of_darknet

from darkshare._tables import render
from darkshare.darknet.model import Model, load, save
from darkshare.darknet.network import Network
from darkshare.data import Dataset, in_order
from darkshare.errors import DarkshareError
from darkshare.training import caching
from darkshare.training.building import build
from darkshare.training.devices import DeviceSettings, is_gpu
from darkshare.training.feeding import FeatureFeed, Feed, PictureFeed, held
from darkshare.training.pictures.augmenting import Augmentation
from darkshare.training.pictures.loading import Source
from darkshare.training.preparation import prepared
from darkshare.training.recipes import RECIPES
from darkshare.training.run import Training
from darkshare.training.settings import Changes, Options
from darkshare.training.stepping import Trainer

T = TypeVar("T")
LONG = 1000  # updates of the schedule, of which the first few are made
DEMO = Path(__file__).parent.parent / "darkshare" / "cli" / "demo_files" / "street.cfg"
MEANS = ("tf32", "channels_last", "inference", "fixed")  # of `DeviceSettings`


class Scale(NamedTuple):
    """The sizes of what is measured.

    Attributes:
        side: of the matrices.
        pictures: that are drawn.
        shape: of each.
        batches: pictures of an update.
        warm: calls that do not count.
        seconds: that count of each call at least, and one call at least.
        updates: of a course, and of Darknet, that count.
    """

    side: int = 8192
    pictures: int = 128
    shape: tuple[int, int] = (640, 480)
    batches: tuple[int, ...] = (16, 64)
    warm: int = 5
    seconds: float = 1.5
    updates: int = 30


QUICK = Scale(64, 4, (96, 64), (2,), 2, 0.0, 1)


class Case(NamedTuple):
    """A training to measure.

    Attributes:
        base: with weights for all layers, prepared for `batch`.
        stem: of its files, which Darknet reads.
        k: the first layer that trains.
        batch: pictures of an update.
        amp: mixed precision.
    """

    base: Model
    stem: Path
    k: int
    batch: int
    amp: bool

    @property
    def changes(self) -> Changes:
        """What the training is asked for."""
        size = self.base.network.input
        return Changes(batches=LONG, batch=self.batch, subdivisions=1, size=(size.w, size.h), lr=1e-4)

    @property
    def named(self) -> dict[str, Any]:
        """The first columns of its row."""
        return {"network": self.stem.parent.name, "k": self.k, "batch": self.batch, "amp": self.amp}


class Measured:
    """All that is measured, within a time.

    Args:
        args: of the program.
        folder: for files.
    """

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        import torch

        self.args, self.folder, self.scale = args, folder, QUICK if args.quick else Scale()
        if not args.quick and not torch.cuda.is_available():
            raise SystemExit("there is no GPU that torch can use; --quick only goes through the motions")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.how = DeviceSettings(self.device, **dict.fromkeys(MEANS, True))
        self.end = perf_counter() + args.seconds
        self.data = drawn(folder, self.scale)
        self.rates: dict[str, float] = {}
        self.left_out: list[str] = []
        self._darknet: dict[Path, float | None] = {}

    def row(self, name: str, make: Callable[[], T]) -> Iterator[T]:
        """What it makes, such as a row, unless the time is over or it fails."""
        if perf_counter() > self.end:
            self.left_out.append(f"{name}: no time was left")
            return
        begun = perf_counter()
        try:
            yield make()
        except (DarkshareError, RuntimeError) as error:  # torch has no closed family of errors for too little memory
            self.left_out.append(f"{name}: {str(error).partition(chr(10))[0]}")
        gc.collect()
        print(f"{name}: {perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)

    def per_call(self, run: Callable[[], object]) -> float:
        """Seconds of a call; the device goes from one to the next."""
        for _ in range(self.scale.warm):
            run()
        self._wait()
        begun = perf_counter()
        calls = 0
        while not calls or perf_counter() - begun < self.scale.seconds:
            run()
            calls += 1
        self._wait()
        return (perf_counter() - begun) / calls

    def _wait(self) -> None:
        import torch

        if is_gpu(self.device):
            torch.cuda.synchronize(self.device)

    def matmul(self) -> dict[str, Any]:
        """The rates of matrix products, in TFLOP/s."""
        import torch

        side = self.scale.side
        for name, dtype in (("bfloat16", torch.bfloat16), ("tf32", torch.float32), ("float32", torch.float32)):
            a, b = (torch.randn(side, side, device=self.device).to(dtype) for _ in range(2))
            with DeviceSettings(self.device, tf32=name == "tf32").on():
                self.rates[name] = 2 * side**3 / self.per_call(partial(torch.matmul, a, b)) / 1e12
        return {"device": _name(self.device), **{f"{name}, TFLOP/s": rate for name, rate in self.rates.items()}}

    def update(self, case: Case) -> dict[str, Any]:
        """All about a training."""
        import torch

        if is_gpu(self.device):
            torch.cuda.reset_peak_memory_stats(self.device)
        made = 1000 * self.made(case, self.how)
        peak = torch.cuda.max_memory_allocated(self.device) / 2**30 if is_gpu(self.device) else None
        course, darknet = 1000 * self._course(case), self._of_darknet(case.stem)
        work = operations(case.base.network, case.k, case.batch)
        least = work / self.rates["bfloat16" if case.amp else "tf32"] / 1e9
        return {
            **case.named, "made, ms": made, "course, ms": course, "kept, ms": self._kept(case), "GiB": peak,
            "TFLOP": work / 1e12, "by operations, ms": least, "times that": made / least,
            "Darknet, ms": darknet, "ratio": darknet and darknet / course,
        }  # fmt: skip

    def made(self, case: Case, how: DeviceSettings) -> float:
        """Seconds of an update whose pictures are made already."""
        trainer, source = self._trainer(case, how)
        return self.per_call(launches(trainer, PictureFeed(source, trainer.trunk, case.batch, case.batch, LONG)))

    def without(self, case: Case) -> Iterator[dict[str, Any]]:
        """A row for a training with all that a GPU does otherwise, with all but one of it, and with nothing of it."""
        hows = {"all": self.how, **{f"without {one}": self.how._replace(**{one: False}) for one in MEANS}}
        hows["nothing"] = DeviceSettings(self.device)
        found: dict[str, float] = {}
        for name, how in hows.items():
            made = partial(self.made, case, how)
            for seconds in self.row(f"{case.named}, {name}", made):
                found[name] = 1000 * seconds
        for name, ms in found.items():
            yield {
                **case.named,
                "what": name,
                "made, ms": ms,
                "times all": ms / found["all"] if "all" in found else None,
            }

    def _trainer(self, case: Case, how: DeviceSettings) -> tuple[Trainer, Source]:
        recipe = RECIPES["steady"]
        model, _ = prepared(case.base, self.data, case.k, case.changes, recipe, seed=0, name="gpu")
        net = build(model, case.k, statistics=recipe.statistics).to(self.device, channels_last=how.channels_last)
        samples, packed = in_order(self.data, model.tasks[0].names).samples, is_gpu(self.device)
        source = Source(samples, model.network, _augmentation(model), 0, packed=packed)
        return Trainer(net, how, seed=0, amp=case.amp, ema=recipe.ema, clip=recipe.clip), source

    def _kept(self, case: Case) -> float | None:
        """Milliseconds with the features of all pictures kept, where there is a trunk."""
        if not case.k:
            return None
        (trainer, source), size = self._trainer(case, self.how), case.changes.size
        assert size
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            most = _augmentation(trainer.net.model).most
            found = (Path(folder), source.network, trainer.net.reads, 1, len(source.samples), most)
            features = [caching.Features(caching.open_cache(*found), {})]
            how = {"size": size, "batch": case.batch, "workers": self.args.workers, "device": self.device}
            caching.fill_caches(features, trainer.net, source, **how)
            cache = features[0].cache
            feed = FeatureFeed(source, cache, self.how, case.batch, case.batch, held(cache, self.device))
            return 1000 * self.per_call(launches(trainer, feed))

    def _course(self, case: Case) -> float:
        """Seconds of an update as a training makes it."""
        more = {"workers": self.args.workers, "device": self.device.type, "validate_every": 0, "checkpoint_every": 1e9}
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            options = Options(k=case.k, changes=case.changes, amp=case.amp, **more)
            training = Training(case.base, self.data, Path(folder) / "new", options)
            training.begin()
            with closing(training.course()) as course:
                for _ in range(self.scale.warm):
                    next(course)
                begun = perf_counter()
                for _ in range(self.scale.updates):
                    next(course)
                return (perf_counter() - begun) / self.scale.updates

    def _of_darknet(self, stem: Path) -> float | None:
        """Milliseconds of an update of all layers by Darknet, which is asked once."""
        if self.args.darknet and stem not in self._darknet:
            self._darknet[stem] = None
            try:
                ends = [one.wall for one in of_darknet(self.args.darknet, stem, self.scale.warm + self.scale.updates)]
                own = ends[self.scale.warm :]
                self._darknet[stem] = 1000 * median(b - a for a, b in pairwise(own))
            except (OSError, SystemExit) as error:
                self.left_out.append(f"Darknet, {stem.parent.name}: {error}")
        return self._darknet.get(stem)


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        own = Measured(args, Path(folder))
        nets = [DEMO.parent / f"{DEMO.name}:64:0,13"] if args.quick else [_yolov3(Path(folder))]
        rates = list(own.row("matrix products", own.matmul))
        cases = [case for batch in own.scale.batches for net in (*nets, *args.net) for case in _cases(own, net, batch)]
        rows = [row for case in cases for row in own.row(str(case.named), partial(own.update, case))]
        apart = list(own.without(next(case for case in cases if case.k and case.amp)))
    goals = list(_goals(rows))
    tables = [render(table, "markdown") for table in (rates, rows, apart, goals) if table]
    text = "\n\n".join([*tables, *(f"Left out: {one}" for one in own.left_out)])
    print(text)
    if args.markdown:
        args.markdown.write_text(f"{text}\n", encoding="utf-8")
    if args.json:
        found = {"rates": rates, "updates": rows, "without": apart, "goals": goals, "left_out": own.left_out}
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--net", action="append", default=[], metavar="CFG:SIZE:K,K")
    parser.add_argument("--darknet", type=Path)
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def drawn(folder: Path, scale: Scale) -> Dataset:
    """Photo-like pictures of a square each, as JPEG files with a list of them: reading them takes as long as usual."""
    import cv2

    data, samples = draw(folder, scale.pictures, size=scale.shape), []
    for sample in data.samples:
        path = sample.picture.with_suffix(".jpg")
        cv2.imwrite(str(path), cv2.GaussianBlur(cv2.imread(str(sample.picture)), (7, 7), 0))
        samples.append(sample._replace(picture=path))
    data = replace(data, samples=tuple(samples))
    write_data(folder, data)
    return data


def _yolov3(folder: Path) -> str:
    path = folder / "yolov3.cfg"
    path.write_text(yolov3_text(2))
    return f"{path}:416:0,74"


def _cases(own: Measured, net: str | Path, batch: int) -> Iterator[Case]:
    """The trainings of a network; its files for Darknet are written."""
    cfg, size, ks = str(net).rsplit(":", 2)
    changes = Changes(batches=LONG, batch=batch, subdivisions=1, size=(int(size), int(size)), lr=1e-4)
    given = load(cfg, partial=True)
    base, _ = prepared(given, own.data, 0, changes, RECIPES["darknet"], seed=0, name="net")
    stem = own.folder / f"batch{batch}" / Path(cfg).stem / "net"
    stem.parent.mkdir(parents=True)
    save(base, stem, data={"train": str(own.folder / "train.txt")})
    written = load(f"{stem}.cfg")
    for k in map(int, ks.split(",")):
        yield from (Case(written, stem, k, batch, amp) for amp in (True, False))


def launches(trainer: Trainer, feed: Feed) -> Callable[[], object]:
    """Make an update at each call, always of the same pictures; the numbers of the one before are read then."""
    examples = [job() for job in feed.jobs(1)]

    def made() -> Iterator[None]:
        before = None
        for number in count(1):
            launched = trainer.launch(number, feed.parts(examples))
            if before:
                before.step  # noqa: B018 - it waits
            before = launched
            yield

    return partial(next, made())


def operations(network: Network, k: int, batch: int) -> float:
    """Of an update: all layers forward, and those that train two times as much backward."""
    return batch * (network.flops + 2.0 * sum(layer.flops for layer in network.layers[k:]))


def _augmentation(model: Model) -> Augmentation:
    return Augmentation.of(model.network)


def _name(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device) if is_gpu(device) else "CPU"


def _goals(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each goal and training that has one."""
    for row in rows:
        frozen = row["network"] == "yolov3" and row["k"] == 74
        wanted = [("ratio", "at least", 1.0)] if not row["k"] else []
        wanted += [("ratio", "at least", 3.0), ("times that", "at most", 2.5)] if frozen else []
        for what, bound, value in wanted:
            found = row[what]
            met = None if found is None else found >= value if bound == "at least" else found <= value
            named = {key: row[key] for key in ("network", "k", "batch", "amp")}
            yield {**named, "goal": f"{what} {bound} {value:g}", "found": found, "met": met}


if __name__ == "__main__":
    main()
