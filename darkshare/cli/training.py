"""`train`."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import click

from darkshare._files import exists, is_folder
from darkshare._signals import stopped
from darkshare.cli import command, options
from darkshare.cli.hints import Made, again, hint
from darkshare.cli.parameters import RATE
from darkshare.cli.printing import noted, show, wrote
from darkshare.cli.progress import bar, is_watched, say_above
from darkshare.darknet.cfg import no_collection
from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError
from darkshare.training.journal import Update
from darkshare.training.outcome import Outcome, Outcomes
from darkshare.training.recipes import RECIPES
from darkshare.training.settings import DEVICES, TrainingWatch
from darkshare.training.train import train as train_model

LINES = 20  # of the course, where there is no terminal


@command()
@click.argument("files", nargs=-1, required=True, metavar="BASE.cfg [BASE.weights] DATA.data|FOLDER...")
@click.option("--k", type=click.IntRange(0), required=True, help="Layers 0..k-1 stay as they are; 0 trains all.")
@options.output_option("trained")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="How often each picture is seen.")
@click.option("--batches", type=click.IntRange(1), help="Updates to make, instead of the cfg's max_batches.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="About how long it may take.")
@click.option(
    "--batch",
    type=click.IntRange(1),
    help="Pictures per update, instead of the cfg's; --batches says how many of these.",
)
@click.option("--subdivisions", type=click.IntRange(1), help="Parts in which they go through the network.")
@click.option("--lr", type=RATE, help="Learning rate, instead of the recipe's; auto: that of a range test.")
@options.side_option
@click.option("--teacher", metavar="FILE.cfg", help="The same network trained with k=0, to learn from as well.")
@options.choice_option("--recipe", tuple(RECIPES), "How it goes: steadily, or by the cfg to the letter.", "steady")
@click.option("--negatives", metavar="FOLDER", help="Pictures without objects, such as the base's own.")
@options.seed_option("Of all that is random.")
@options.choice_option("--device", DEVICES, "Where torch computes.", "auto")
@options.threads_option("How many torch computes with.")
@click.option("--workers", type=click.IntRange(0), default=2, show_default=True, help="Threads that make pictures.")
@click.option("--amp", is_flag=True, help="Mixed precision: bfloat16 where that is precise enough. For GPUs.")
@click.option("--ema", type=click.FloatRange(0, 1, max_open=True), help="Keep a mean of the weights, like 0.999.")
@click.option("--bn-eval", is_flag=True, help="Batch norm with the base's statistics, for very small batches.")
@click.option("--augment/--no-augment", default=True, help="Change pictures at random; or as inference sees them.")
@click.option(
    "--split",
    type=click.FloatRange(0, 1, max_open=True),
    help="Of a folder of classes, to validate on.  [default: 0.2]",
)
@click.option(
    "--validate-every", type=click.IntRange(0), help="Batches between two validations; 0: none. [default: 10 in all]"
)
@click.option(
    "--patience", type=click.IntRange(0), help="Validations without a better one, then it ends.  [default: recipe's]"
)
@click.option(
    "--cache-features", type=click.IntRange(0), default=0, help="Compute the trunk once for K copies of each picture."
)
@click.option("--cache-anyway", is_flag=True, help="Also where it is not 1.5 times as fast.")
@click.option("--checkpoint-every", type=click.FloatRange(0), default=60, show_default=True, help="Seconds.")
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped or killed.")
@options.size_option
@options.plot_option("Draw loss and mAP. Of several tasks, each into a file with its name.")
@options.dialect_option
@options.format_option
def train(files: tuple[str, ...], plot: str | None, dialect: str, form: str, **how: Any) -> list[Path]:
    """Train a network from layer k on; the layers before stay the base's, byte for byte.

    As Darknet trains: its loss, targets, schedule and augmentations as the cfg says them; --dialect says in which
    fork's form. The heads get the data's classes; those that the base knows by the same name keep their weights.
    Writes .cfg, .weights, .names and .data, the same with -best for the highest mAP on the pictures of valid=, and a
    .csv and .png of the course. Ctrl-C saves; --resume goes on to the same result.

    Classifiers learn from a .data file with labels=, or from a folder with a folder of pictures per class (or train and
    val with such folders). The branches of an ensemble train side by side, each by a loss of its own; what averages
    them stays as it is. Measured is top-1 then.

    Several data sets are a task each, trained side by side on the layers that stay, to what each comes to alone. The
    name of each stands behind that of --output: text-a.cfg.

    \b
    Examples:
      darkshare train yolov3.cfg yolov3.weights text.data --k 74 -o text
      darkshare train yolov3.cfg yolov3.conv.74 text.data --k 74 --epochs 30
      darkshare train tiny.cfg masks.data --k 20 --cache-features 8 -o masks
      darkshare train ensemble.cfg signs/ --k 15 --ema 0.99 -o signs
      darkshare train yolov3.cfg text.data plates.data --k 74 -o street
    """
    _import_torch()
    base, data = base_and_data(files, dialect)
    with Bar("top-1" if base.classifies(base.tasks[0]) else "mAP") as shown:
        found = train_model(base, data if len(data) > 1 else data[0], watch=shown, **how)
    show(found, form=form)
    noted(path for one in _each(found) for path in (*one.files, *one.best_files) if path.exists())
    if plot:
        _draw(found, Path(plot))
    if found.stopped:
        again("--resume")
        raise click.exceptions.Exit(stopped()[0])
    if isinstance(found, Outcomes) and found.failed:
        raise click.exceptions.Exit(1)
    outcomes = _each(found)
    made = [path for one in outcomes for path in one.best_network]
    hint(Made(made, outcomes[0].model, base, how["k"]), form)
    return made


def _draw(found: Outcome | Outcomes, path: Path) -> None:
    """Draw the course, or that of each task beside it."""
    tasks = found.tasks if isinstance(found, Outcomes) else {"": found}
    paths = {path.with_stem(f"{path.stem}-{task}") if task else path: one for task, one in tasks.items()}
    for one, outcome in paths.items():
        outcome.plot(one, **options.figure_look())
    wrote([*paths])


def _each(found: Outcome | Outcomes) -> list[Outcome]:
    """The training, or those of all tasks."""
    return [*found.tasks.values()] if isinstance(found, Outcomes) else [found]


def _import_torch() -> None:
    """Import it without a look for cycles in what it brings, now or later: a tenth of the start."""
    with no_collection(), suppress(ImportError):  # the library says what to install
        import torch  # noqa: F401
    gc.freeze()


def base_and_data(paths: Sequence[str], dialect: str) -> tuple[Model, list[str]]:
    """The base, whose weights may end early, and the data sets behind it."""
    data = [path for path in paths if _is_data(Path(path))]
    of_model = [path for path in paths if path not in data]
    if not data and (missing := next((path for path in of_model if not exists(path)), None)):
        raise DarkshareError("cannot be read: No such file or directory", file=missing)
    if not data:
        raise click.UsageError("give a .data file or a folder of classes: BASE.cfg [BASE.weights] DATA")
    return options.one_model(of_model, dialect=dialect, partial=True), data


def _is_data(path: Path) -> bool:
    """Everything else is a model's: a part of a weights file may be called yolov3.conv.74."""
    return path.suffix == ".data" or (is_folder(path) and path.suffix not in (".cfg", ".weights"))


class Bar(TrainingWatch):
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, measure: str = "mAP") -> None:
        self._bars = ExitStack()
        self._shown: Any = None
        self._total = self._done = self._printed = 0
        self._speed: float | None = None
        self._map: float | None = None
        self._measure = measure

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()
        self._shown = None

    def say(self, text: str) -> None:
        say_above(text)

    def begin(self, done: int, batches: int) -> None:
        self._total, self._printed = batches, done
        self._open(batches - done)

    def cached(self, done: int, rows: int) -> None:
        if not self._done:
            self._open(rows)
        self._advance(done - self._done, f"features {done}/{rows}")
        self._done = done

    def of(self, task: str) -> Bar:
        return _TaskBar(self, task)

    def step(self, entry: Update) -> None:
        speed = entry.images / entry.batch / max(entry.seconds, 1e-9)
        self._speed = speed if self._speed is None else 0.9 * self._speed + 0.1 * speed
        self._map = entry.map if entry.map is not None else self._map
        measured = "" if self._map is None else f", {self._measure} {100 * self._map:.1f} %"
        text = f"{entry.batch}/{self._total} loss {entry.mean:.3f}{measured}, {self._speed:.1f} pictures/s"
        self._advance(1, text)
        if not is_watched() and (entry.batch - self._printed) * LINES >= self._total:
            self._printed = entry.batch
            self.say(text)

    def _open(self, length: int) -> None:
        self._bars.close()
        self._shown = self._bars.enter_context(bar(length, shows_text=True))

    def _advance(self, steps: int, text: str) -> None:
        if self._shown is not None:
            self._shown.update(steps, text)


class _TaskBar(Bar):
    """A task's part of a bar for several: the name stands before what is told, and its steps are among those of all."""

    def __init__(self, whole: Bar, task: str) -> None:
        super().__init__(whole._measure)
        self._whole, self._task = whole, task

    def say(self, text: str) -> None:
        self._whole.say(f"{self._task}: {text}")

    def _open(self, length: int) -> None:
        if self._whole._shown is None:
            self._whole._open(length)
        else:
            self._whole._shown.length += length

    def _advance(self, steps: int, text: str) -> None:
        self._whole._advance(steps, f"{self._task}: {text}")
