"""`add-task`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from darkshare._files import exists, is_folder
from darkshare.cli import command, main, options
from darkshare.cli.hints import Made, hint
from darkshare.cli.parameters import CUT
from darkshare.cli.printing import say
from darkshare.darknet.model import Model, load
from darkshare.darknet.pairing import is_of_model
from darkshare.darknet.typed import files_of, plain_path, typed
from darkshare.errors import BadArguments
from darkshare.training.files import TrainingFiles
from darkshare.training.settings import AUTO, DEVICES

# Options that steps have, too: which of them get it.
STEPS = {
    "epochs": ("train",),
    "batches": ("train",),
    "minutes": ("train",),
    "batch": ("train",),
    "side": ("train",),
    "negatives": ("train",),
    "device": ("train",),
    "seed": ("suggest-k", "train"),
    "threads": ("suggest-k", "train", "evaluate"),
    "size": ("suggest-k", "train", "concat", "report"),
    "dialect": ("check", "suggest-k", "train", "frozen", "concat", "evaluate", "report"),
}


@command()
@click.argument("files", nargs=-1, required=True, metavar="BASE.cfg [BASE.weights] DATA.data|FOLDER")
@click.option(
    "--k", type=CUT, metavar="K|auto", default=AUTO, show_default=True, help="Shared layers; auto: what suggest-k says."
)
@options.output_option("both")
@click.option("--base-data", metavar="FILE", help="The base's own data set, to measure its task on.")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="How often each picture is seen.")
@click.option("--batches", type=click.IntRange(1), help="Updates to make.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="About how long the training may take.")
@click.option("--batch", type=click.IntRange(1), help="Pictures per update.")
@options.side_option
@click.option("--negatives", metavar="FOLDER", help="Pictures without objects, such as the base's own.")
@click.option("--resume", is_flag=True, help="Go on after a stop; a training that is done is not done again.")
@options.seed_option("Of all that is random.")
@options.choice_option("--device", DEVICES, "Where torch computes.", "auto")
@options.threads_option("To compute with.")
@options.size_option
@options.dialect_option
def add_task(
    files: tuple[str, ...], k: int | str, output: str, base_data: str | None, resume: bool, **how: Any
) -> None:
    """Teach a network a further task: choose k, train, merge, prove and measure, step by step.

    The data is a .data file, or a folder that import-data reads. Each step is a command of its own, and is printed as
    you could have typed it: check, suggest-k, train, frozen, concat --verify, evaluate, report. The first that fails
    ends it; with --resume, the same command goes on.

    \b
    Examples:
      darkshare add-task yolov3.cfg yolov3.weights text.data -o both
      darkshare add-task coco.cfg raccoon/ --k 109 --epochs 20 -o both
      darkshare add-task coco.cfg text.data --base-data coco.data --resume
    """
    base, data = _base_and_data(files, how["dialect"])
    guide = _Guide(base, data, output, how)
    made = guide.go(k, base_data, resume=resume)
    hint(Made([f"{output}.cfg", f"{output}.weights"], made))


class _Guide:
    """The steps from a base and a data set to the merged network.

    Args:
        base: a detector with all its weights.
        data: a .data file, or a folder to import.
        output: the merged network's path without suffix; what is made on the way is called after it.
        given: the values of options that steps take, by name.
    """

    def __init__(self, base: Model, data: str, output: str, given: dict[str, Any]) -> None:
        self.base, self.data, self.output, self.given = base, data, output, given
        self.task = Path(data).resolve().stem
        self.trained = Path(f"{output}-{self.task}")
        if self.task in (names := [task.name for task in base.tasks]):
            raise BadArguments(f"the base has a task {self.task!r} already; call the data set otherwise")
        self.names = [*names, self.task]

    def go(self, k: int | str, base_data: str | None, *, resume: bool) -> Model:
        """Take all steps."""
        base = [plain_path(path) for path in files_of(self.base)]
        if is_folder(self.data):
            self.data = self._imported(resume=resume)
        self._step("check", *base, self.data)
        if base_data:
            self._step("check", plain_path(base_data))
        if k == AUTO:
            k = self._step("suggest-k", *base, self.data)
        trained = self._train(base, k, resume=resume)
        self._step("frozen", *base, *trained, "--k", k)
        names = [word for name in self.names for word in ("--name", name)]
        self._step("concat", *base, *trained, "--k", k, *names, "--verify", "-o", self.output)
        own = [f"{self.names[0]}={base_data}"] if base_data else []
        sets = [word for one in (f"{self.task}={self.data}", *own) for word in ("--data", one)]
        cfg = plain_path(f"{self.output}.cfg")
        self._step("evaluate", cfg, *sets, "--cross")
        beside = [word for path in (base[0], trained[0]) for word in ("--beside", path)]
        self._step("report", cfg, *beside, *sets, "-o", f"{self.output}.html")
        return load(cfg, dialect=self.given["dialect"])

    def _imported(self, *, resume: bool) -> str:
        """Make a .data file of a folder."""
        folder = Path(f"{self.trained}-data")
        path = str(folder / f"{folder.name}.data")
        if not (resume and exists(path)):
            self._step("import-data", plain_path(self.data), "-o", folder)
        return path

    def _train(self, base: Sequence[str], k: int | str, *, resume: bool) -> list[str]:
        """Train, or find what was trained; the best network's files."""
        found = TrainingFiles(self.trained).trained if resume else []
        if not found:
            more = ["--resume"] if resume else []
            found = self._step("train", *base, self.data, "--k", k, "-o", self.trained, *more)
        return [plain_path(path) for path in found]

    def _step(self, name: str, *words: object) -> Any:
        """Run a command as if it had been typed; what its function returns."""
        typed_in = [*map(str, words), *self._options(name)]
        say(f"\n$ darkshare {typed(name, *typed_in)}")
        context = click.get_current_context()
        step = main.get_command(context, name)
        assert step is not None
        with step.make_context(name, typed_in, parent=context) as running:
            return step.invoke(running)

    def _options(self, name: str) -> list[str]:
        """The options of a step that were typed."""
        return [
            word
            for option, value in self.given.items()
            if name in STEPS[option] and options.asked(option)
            for word in (f"--{option}", _written(value))
        ]


def _written(value: Any) -> str:
    """The value of an option as it is typed."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _base_and_data(files: Sequence[str], dialect: str) -> tuple[Model, str]:
    """The base, and what was given behind it."""
    of_model = [path for path in files if is_of_model(path)]
    data = [path for path in files if path not in of_model]
    if len(data) != 1:
        raise click.UsageError("give a base and one data set: BASE.cfg [BASE.weights] DATA")
    base = options.one_model(of_model, dialect=dialect)
    if base.weights is None:
        raise BadArguments(f"{base.name} has no weights; give them behind it")
    if any(map(base.classifies, base.tasks)):
        raise BadArguments(
            f"{base.name} classifies, and add-task is for detectors; train and concat do it step by step"
        )
    return base, data[0]
