"""`sweep`, `suggest-k` and `plan`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from inspect import signature
from pathlib import Path
from typing import Any

import click

from darkshare._signals import stopped
from darkshare.choose_k.planning import SweepPlan
from darkshare.choose_k.plans import PREFERENCES, Plan
from darkshare.choose_k.plans import plan as choose
from darkshare.choose_k.processes import LAST, Message
from darkshare.choose_k.suggest import suggest_k as guess
from darkshare.choose_k.sweep import SweepWatch
from darkshare.choose_k.sweep import sweep as train_all
from darkshare.choose_k.trials import NET, Trial, folder_of
from darkshare.cli import command, options
from darkshare.cli.hints import Made, again, hint
from darkshare.cli.parameters import NAMED_FILE, NUMBERS, POINTS
from darkshare.cli.printing import noted, say, show, wrote
from darkshare.cli.progress import bar, say_above, watcher
from darkshare.cli.training import base_and_data, train
from darkshare.darknet.model import Model, load
from darkshare.darknet.pairing import is_of_model
from darkshare.darknet.tasks import group_by_ensemble
from darkshare.darknet.typed import DATA, files_of, next_command, train_words
from darkshare.inference.engines import DEFAULT


@command()
@click.argument("files", nargs=-1, required=True, metavar="BASE.cfg [BASE.weights] DATA.data")
@options.k_option("Layers that stay the base's; 0 trains all.", required=True)
@options.several_option("--seeds", NUMBERS, default=["1,2,3"], show_default=True, help="Each k is trained with each.")
@options.folder_option("sweep", "all files.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Trainings at once.")
@options.threads_option("Of each training.  [default: the cores divided by --jobs]")
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Threads that make pictures.")
@click.option(
    "--validate-every", type=click.IntRange(0), default=0, help="Batches between validations.  [default: none]"
)
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster that does the work instead of --jobs.")
@options.plot_option("Draw mAP and savings over k.")
@options.dialect_option
@options.format_option
def sweep(files: tuple[str, ...], plot: str | None, dialect: str, form: str, **how: Any) -> None:
    """Train a task for every k and seed, and show what mAP each k costs and what it saves.

    Each training is evaluated on the pictures of valid= after its last update, by Darknet's rule and by COCO's.
    Writes results.csv, results.json and results.png; each training lies in a folder of its own. Ctrl-C saves; the same
    command goes on, and with further --k or --seeds adds them. All other options are those of train.

    \b
    Examples:
      darkshare sweep yolov3.cfg text.data --k 0,41,49,65,74 --epochs 30 -o sweep
      darkshare sweep tiny.cfg masks.data --k 0,8,12 --seeds 1,2,3,4,5 --jobs 2
      darkshare sweep tiny.cfg masks.data --k 0,8 --plot mAP.pdf --width 3.5
      darkshare sweep tiny.cfg masks.data --k 0,8 --scheduler tcp://10.0.0.1:8786
    """
    base, data = base_and_data(files, dialect)
    if len(data) > 1:
        raise click.UsageError("give one .data file: BASE.cfg [BASE.weights] DATA.data")
    with Progress() as progress:
        result = train_all(base, data[0], watch=progress, **how)
    show(result, form=form)
    noted([how["output"]])
    if plot and result.trials:
        result.plot(plot, **options.figure_look())
    wrote([*result.files, *([plot] if plot and result.trials else [])])
    if result.stopped:
        say("stopped; the same command goes on")
        again()
    if result.stopped or result.failed:
        raise click.exceptions.Exit(stopped()[0] if result.stopped else 1)
    best = max(result.trials, key=lambda one: (one.k > 0, one.map))  # sharing nothing is only what to compare with
    cfg = folder_of(Path(how["output"]), best.k, best.seed) / f"{NET}.cfg"
    hint(Made([cfg, cfg.with_suffix(".weights")], load(cfg, dialect=dialect), base, best.k), form)


_OWN = {option.name for option in sweep.params}
sweep.params += [one for one in train.params if one.name in signature(train_all).parameters and one.name not in _OWN]


class Progress(SweepWatch):
    """A bar over all trainings on a terminal; everywhere a line for each that ends. May begin again with others."""

    def __init__(self) -> None:
        self._bars = ExitStack()
        self._bar: Any = None
        self._batches = self._count = self._ended = 0
        self._at: dict[str, int] = {}
        self._told: set[str] = set()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def begin(self, plan: SweepPlan, waiting: Sequence[Trial]) -> None:
        self._bars.close()
        self._bar = None
        say(*(f"Note: {note}" for note in plan.notes if note not in self._told))
        self._told.update(plan.notes)
        done = len(plan.trials) - len(waiting)
        before = f", {done} of them done before" if done else ""
        say(f"{len(plan.trials)} trainings of {plan.batches} batches{before}")
        self._batches, self._count, self._ended = plan.batches, len(waiting), 0
        self._at = dict.fromkeys((trial.name for trial in waiting), 0)
        if waiting:
            self._bar = self._bars.enter_context(bar(plan.batches * len(waiting), shows_text=True))

    def show(self, message: Message) -> None:
        name = message.trial.name
        if message.event in LAST:
            self._ended += 1
            say_above(f"{self._ended}/{self._count} {name}: {message.event} {message.text}")
        batch = self._batches if message.event in ("done", "failed") else message.batch
        steps, self._at[name] = batch - self._at[name], batch
        if self._bar is not None:
            self._bar.update(steps, f"{self._ended}/{self._count} {name} {message.text}"[:60])


@command()
@click.argument("files", nargs=-1, required=True, metavar="BASE.cfg [BASE.weights] [TRAINED.cfg] [DATA.data]")
@options.k_option("Cuts to look at.  [default: the ends of blocks]")
@click.option(
    "--max-loss", type=click.FloatRange(0), default=1.0, show_default=True, help="mAP points that may be lost."
)
@click.option("--budget", metavar="LIMIT", help="For what a network adds: 'flops<=0.4' of its own, or 'mb<=1.5'.")
@click.option("--boxes", type=click.IntRange(20), default=300, show_default=True, help="Labelled objects to look at.")
@click.option("--recalibrate", type=click.IntRange(2), help="Pictures on which batch norm is measured again.")
@click.option("--sweep", metavar="FOLDER", help="Compare the guesses with what a sweep measured.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Train for so long to find it, all in all.")
@options.folder_option("suggested", "all files of these trainings.")
@options.seed_option("Of pictures and backgrounds.")
@options.threads_option("To compute with.")
@options.size_option
@options.dialect_option
@options.format_option
def suggest_k(files: tuple[str, ...], form: str, size: tuple[int, int] | None, dialect: str, **how: Any) -> int:
    """Guess how many layers to share, without training; or find it by training.

    With a base alone: where it can be cut and what that saves. With data: how well the base's layers tell the labelled
    objects of train= apart (LogME). With a network that was trained from the base: how far its layers moved, and with
    data its mAP on valid= after its first k layers are replaced by the base's. These are guesses; sweep measures.

    --minutes trains k=0 and some cuts for a short while, then cuts between them, then those about which there is doubt
    with other seeds, until the time is over: the largest k that loses no more than --max-loss, a standard error
    included. The folder is that of a sweep.

    \b
    Examples:
      darkshare suggest-k yolov3.cfg yolov3.weights text.data
      darkshare suggest-k yolov3.cfg text.cfg text.data --max-loss 2
      darkshare suggest-k tiny.cfg masks.data --budget 'flops<=0.5' --sweep masks
      darkshare suggest-k tiny.cfg masks.data --minutes 30 --max-loss 1 -o masks-k
    """
    of_model = [path for path in files if is_of_model(path)]
    data = [path for path in files if path not in of_model]
    models = options.load_all(of_model, size=size, dialect=dialect, partial=True)
    if not 1 <= len(models) <= 2 or len(data) > 1:
        raise click.UsageError("give a base, perhaps a network trained from it, and perhaps one .data file")
    tuned = models[1] if len(models) > 1 else None
    with Progress() as progress:
        found = guess(
            models[0], tuned, data[0] if data else None, size=size, watch=watcher(), trainings=progress, **how
        )
    show(found, form=form)
    if found.measured is not None:
        noted([how["output"]])
        wrote(found.measured.files)
        if found.measured.stopped:
            say("stopped; the same command goes on")
            again()
            raise click.exceptions.Exit(stopped()[0])
    k = (found.measured and found.measured.k) or next((k for k in found.advice.values() if k), found.candidates[0].k)
    hint(Made(files_of(models[0]), models[0], k=k, data=data[0] if data else DATA), form)
    return k


@command()
@click.argument("files", nargs=-1, required=True, metavar="BASE.cfg [BASE.weights] TASK=SWEEP|TABLE.csv ...")
@options.keyed_option("--max-loss", POINTS, help="mAP points that each task, or this one, may lose.")
@click.option("--budget", metavar="LIMIT", help="For all: 'flops<=0.5' of separate networks, 'mb<=12' or 'ms<=30'.")
@options.choice_option("--prefer", PREFERENCES, "The least of it.  [default: loss; cost without a budget]")
@options.folder_option(None, "the Pareto front, as a figure and tables; nothing without it.")
@options.engine_option(DEFAULT, text="Measures ms.")
@options.precision_option
@options.rounds_option("ms: how often each cut runs.")
@options.threads_option("ms: to compute with.  [default: the engine's choice]")
@options.size_option
@options.dialect_option
@options.format_option
def plan(
    files: tuple[str, ...], form: str, output: str | None, size: tuple[int, int] | None, dialect: str, **how: Any
) -> None:
    """Choose k for each of several tasks that share a base, within a device's budget.

    A task is the folder of its sweep, or a table with columns k and loss (in points). Costs are exact for FLOPs and
    weights, and measured here for ms; all losses and costs are sums over the tasks, so no plan within the limits is
    better than the one that is found.

    \b
    Examples:
      darkshare plan base.cfg text=text-sweep logos=logos-sweep --max-loss 1
      darkshare plan base.cfg text=text.csv logos=logos.csv --budget 'mb<=9'
      darkshare plan base.cfg text=text-sweep --budget 'ms<=30' -o plan
    """
    of_model = [path for path in files if is_of_model(path)]
    base = options.one_model(of_model, size=size, dialect=dialect)
    tasks: dict[str, list[str]] = {}
    for name, path in (NAMED_FILE.convert(path, None, None) for path in files if path not in of_model):
        tasks.setdefault(name or Path(path).stem, []).append(path)
    in_ms = ("engine", "precision", "rounds", "threads")
    if not (how["budget"] or "").strip().startswith("ms") and (idle := options.flags(in_ms)):
        raise click.UsageError(f"{idle[0]} is for a budget in ms")
    how["max_loss"] = dict(how["max_loss"]) or None
    found = choose(base, tasks, **how, watch=watcher())
    show(found, form=form)
    if output:
        wrote(found.write(output))
    if form != "json":
        say(*_next_commands(found, base, [] if size is None else ["--size", f"{size[0]}x{size[1]}"]))


def _next_commands(found: Plan, base: Model, size: list[object]) -> Iterator[str]:
    """The commands that make the plan: a training of each task that has none yet, and the merging."""
    files: list[str] = []
    merged = [one for one in found.chosen.cuts if one.k]
    for one in found.chosen.cuts:
        if not one.is_trained:
            yield next_command("train", *train_words(base, one.k, one.task), *size, of=base)
        if one.k:
            files += files_of(one.model) if one.is_trained else [f"{one.task}.cfg", f"{one.task}.weights"]
    if merged:
        weights = [] if base.weights else ["BASE.weights"]
        ks = ",".join(str(one.k) for one in merged)
        own = [group[0].ensemble or group[0].name for group in group_by_ensemble(base.tasks)]
        names = [word for name in (*own, *(one.task for one in merged)) for word in ("--name", name)]
        output = "both" if "merged.cfg" in files else "merged"
        words = [*files_of(base), *weights, *files, "--k", ks, *names, *size, "-o", output]
        yield next_command("concat", *words, of=base)
