"""`train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from darkshare._tables import printable
from darkshare.cli.findings import tell, tell_divided
from darkshare.cli.options import Files, dialect_option, pair, size_option
from darkshare.darknet.model import Model, load, sibling
from darkshare.data import ClassifiedDataset, Dataset, read_class_folders, read_classes, read_data, read_options, split
from darkshare.errors import DarkshareError
from darkshare.evaluation import classifier_accuracy, evaluate_model
from darkshare.training.guards import require_pictures
from darkshare.training.journal import Entry
from darkshare.training.preparation import Changes
from darkshare.training.settings import DEVICES, Judge, Options, Outcome, Watch
from darkshare.training.train import BEST
from darkshare.training.train import train as run_training

STOPPED = 130  # the exit code of what Ctrl-C ends
LINES = 20  # of the course, where there is no terminal
CHANGES = ("epochs", "batches", "batch", "subdivisions", "rate", "size")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="BASE.cfg [BASE.weights] DATA.data|FOLDER")
@click.option("--k", type=click.IntRange(0), required=True, help="Layers 0..k-1 stay as they are; 0 trains all.")
@click.option("-o", "--output", default="trained", show_default=True, help="Path of the new files, without suffix.")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="How often each picture is seen.")
@click.option("--batches", type=click.IntRange(1), help="How many updates are made, instead of the cfg's max_batches.")
@click.option("--batch", type=click.IntRange(1), help="Pictures per update, instead of the cfg's.")
@click.option("--subdivisions", type=click.IntRange(1), help="Parts in which they go through the network.")
@click.option("--lr", "rate", type=click.FloatRange(0, min_open=True), help="Learning rate, instead of the cfg's.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all that is random.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where torch computes.")
@click.option("--threads", type=click.IntRange(1), help="How many torch computes with.")
@click.option("--workers", type=click.IntRange(0), default=2, show_default=True, help="Threads that make pictures.")
@click.option("--amp", is_flag=True, help="Mixed precision: bfloat16 where that is precise enough. For GPUs.")
@click.option("--ema", type=click.FloatRange(0, 1, max_open=True), help="Keep a mean of the weights, like 0.999.")
@click.option("--bn-eval", is_flag=True, help="Batch norm with the base's statistics, for very small batches.")
@click.option("--no-augment", "augment", flag_value=False, default=True, help="Pictures as inference sees them.")
@click.option(
    "--split",
    "share",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    help="Of a folder of classes, to validate on.",
)
@click.option(
    "--validate-every", type=click.IntRange(0), help="Batches between two validations; 0: none. [default: 10 in all]"
)
@click.option(
    "--cache-features",
    "copies",
    type=click.IntRange(0),
    default=0,
    help="Compute the trunk once for K copies of each picture.",
)
@click.option("--cache-anyway", is_flag=True, help="Also where it is not 1.5 times as fast.")
@click.option("--checkpoint-every", type=click.FloatRange(0), default=60, show_default=True, help="Seconds.")
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped or killed.")
@size_option
@dialect_option
def train(files: tuple[str, ...], output: str, dialect: str, share: float, **how: Any) -> None:
    """Train a network from layer k on; the layers before stay the base's, byte for byte.

    As Darknet trains: its loss, targets, schedule and augmentations as the cfg says them; --dialect says in which
    fork's form. The heads get the data's classes; those that the base knows by the same name keep their weights.
    Writes .cfg, .weights, .names and .data, the same with -best for the highest mAP on the pictures of valid=, and a
    .csv and .png of the course. Ctrl-C saves; --resume goes on to the same result.

    Classifiers learn from a .data file with labels=, or from a folder with a folder of pictures per class (or train and
    val with such folders). The branches of an ensemble train side by side, each by a loss of its own; what averages
    them stays as it is. Measured is top-1 then.

    \b
    Examples:
      darkshare train yolov3.cfg yolov3.weights text.data --k 74 -o text
      darkshare train yolov3.cfg yolov3.conv.74 text.data --k 74 --epochs 30
      darkshare train tiny.cfg masks.data --k 20 --cache-features 8 -o masks
      darkshare train ensemble.cfg signs/ --k 15 --ema 0.99 -o signs
    """
    (cfg, weights), data = sorted_files(files)
    options = Options(changes=Changes(**{name: how.pop(name) for name in CHANGES}), **how)
    base = load(cfg, weights, dialect=dialect, partial=True)
    learn, judge = _parts(data, base, validates=options.validate_every != 0, share=share, seed=options.seed)
    protect = [*files, base.weights.path if base.weights else ""]
    with Bar("top-1" if isinstance(learn, ClassifiedDataset) else "mAP") as bar:
        outcome = run_training(base, learn, output, options, judge=judge, watch=bar, protect=protect)
    click.echo(_summary(outcome))
    if outcome.stopped:
        raise click.exceptions.Exit(STOPPED)


def sorted_files(paths: Sequence[str]) -> tuple[Files, str]:
    """The base's files, and the .data file behind them."""
    data = [path for path in paths if _is_data(Path(path))]
    of_model = [path for path in paths if path not in data]
    if not data and (missing := next((path for path in of_model if not Path(path).exists()), None)):
        raise DarkshareError("cannot be read: No such file or directory", file=missing)
    models = pair(of_model)
    if len(models) != 1 or len(data) != 1:
        raise click.UsageError("give one base and one .data file or folder of classes: BASE.cfg [BASE.weights] DATA")
    return models[0], data[0]


def _is_data(path: Path) -> bool:
    """Everything else is a model's: a part of a weights file may be called yolov3.conv.74."""
    return path.suffix == ".data" or (path.is_dir() and path.suffix not in (".cfg", ".weights"))


def _parts(
    data: str, base: Model, *, validates: bool, share: float, seed: int
) -> tuple[Dataset | ClassifiedDataset, Judge | None]:
    """Pictures to learn from, and what judges on others; what is wrong with them is told."""
    learn, valid = (_classes if base.classifies(base.tasks[0]) else _boxes)(data, share, seed)
    tell_divided(data)
    found = list(dict.fromkeys([*learn.findings, *(valid.findings if valid and validates else ())]))
    tell(found, data)
    if valid is not None and validates:
        require_pictures(valid)
        if isinstance(valid, ClassifiedDataset):
            return learn, partial(classifier_accuracy, dataset=valid)
        return learn, partial(evaluate_model, dataset=valid)
    if validates:
        click.echo("Note: no pictures to validate on, so nothing is measured and no best weights are kept", err=True)
    return learn, None


def _boxes(data: str, share: float, seed: int) -> tuple[Dataset, Dataset | None]:
    return read_data(data, "train"), read_data(data, "valid") if "valid" in read_options(data).parts else None


def _classes(data: str, share: float, seed: int) -> tuple[ClassifiedDataset, ClassifiedDataset | None]:
    if not Path(data).is_dir():
        has_valid = "valid" in read_options(data).parts
        return read_classes(data), read_classes(data, "valid") if has_valid else None
    parts = read_class_folders(data)
    if "all" not in parts:
        return read_classes(data), parts.get("valid")
    if not share:
        return parts["all"], None
    learn, valid = split(parts["all"], share, seed)
    click.echo(f"{len(valid.samples)} of {len(parts['all'].samples)} pictures are set aside for validation", err=True)
    return learn, valid


class Bar(Watch):
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, measure: str = "mAP") -> None:
        self._shown: Any = None
        self._total = self._last = self._told = 0
        self._speed: float | None = None
        self._map: float | None = None
        self._measure = measure

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def say(self, text: str) -> None:
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        click.echo(f"{clear}{printable(text)}", err=True)

    def begin(self, done: int, batches: int) -> None:
        self._total, self._told = batches, done
        self._open(batches - done)

    def cached(self, done: int, rows: int) -> None:
        if self._shown is None and sys.stderr.isatty():
            self._last = 0
            self._open(rows)
        self._advance(done - self._last, f"features {done}/{rows}")
        self._last = done
        if done == rows:
            self._close()

    def step(self, entry: Entry) -> None:
        speed = entry.images / entry.batch / max(entry.seconds, 1e-9)
        self._speed = speed if self._speed is None else 0.9 * self._speed + 0.1 * speed
        self._map = entry.map if entry.map is not None else self._map
        measured = "" if self._map is None else f", {self._measure} {100 * self._map:.1f} %"
        told = f"{entry.batch}/{self._total} loss {entry.mean:.3f}{measured}, {self._speed:.1f} pictures/s"
        self._advance(1, told)
        if self._shown is None and (entry.batch - self._told) * LINES >= self._total:
            self._told = entry.batch
            click.echo(told, err=True)

    def _open(self, length: int) -> None:
        self._close()
        if sys.stderr.isatty():
            self._shown = click.progressbar(None, length, item_show_func=lambda text: text, file=sys.stderr).__enter__()

    def _advance(self, steps: int, text: str) -> None:
        if self._shown is not None:
            self._shown.update(steps, text)

    def _close(self) -> None:
        if self._shown is not None:
            self._shown.__exit__(None, None, None)
            self._shown = None


def _summary(outcome: Outcome) -> str:
    """What lies where, and how good it is."""
    cfg = outcome.files[0]
    measured = "" if outcome.map is None else f", {outcome.measure} {100 * outcome.map:.2f} %"
    lines = [f"{cfg}: after batch {outcome.done} of {outcome.batches}{measured}"]
    if outcome.best is not None:
        best = sibling(cfg.with_suffix(""), f"{BEST}.cfg")
        lines.append(
            f"{best}: the best, after batch {outcome.best_batch}, {outcome.measure} {100 * outcome.best:.2f} %"
        )
        lines.append(f"{outcome.measure}: {outcome.rule}")
    lines.append(f"{outcome.seconds:.0f} s; wrote {', '.join(map(str, outcome.files))}")
    return "\n".join(lines)
