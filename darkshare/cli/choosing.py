"""`sweep`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from darkshare._signals import uninterrupted
from darkshare._tables import printable, render
from darkshare.choose_k.cluster import run_on_cluster
from darkshare.choose_k.planning import Sweep, plan
from darkshare.choose_k.processes import LAST, Message, run_here, shared_out
from darkshare.choose_k.results import Choice, choice_rows, choices, write_results
from darkshare.choose_k.trials import Result, Trial, results_in
from darkshare.cli.options import dialect_option
from darkshare.cli.parameters import NUMBERS
from darkshare.cli.training import CHANGES, STOPPED, sorted_files, train
from darkshare.training.preparation import Changes
from darkshare.training.settings import Options

_OWN = ("k", "seed", "threads", "workers", "validate_every", "resume")  # options of a training that differ here
_SHOWN = 10  # notes


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="BASE.cfg [BASE.weights] DATA.data")
@click.option("--k", "ks", type=NUMBERS, required=True, help="Layers that stay the base's; 0 trains all.")
@click.option("--seeds", type=NUMBERS, default="1,2,3", show_default=True, help="Each k is trained with each.")
@click.option("-o", "--output", default="sweep", show_default=True, help="Folder for all files.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Trainings at once.")
@click.option("--threads", type=click.IntRange(1), help="Of each training.  [default: the cores divided by --jobs]")
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Threads that make pictures.")
@click.option(
    "--validate-every", type=click.IntRange(0), default=0, help="Batches between validations.  [default: none]"
)
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster that does the work instead of --jobs.")
@dialect_option
def sweep(files: tuple[str, ...], output: str, jobs: int, scheduler: str | None, dialect: str, **how: Any) -> None:
    """Train a task for every k and seed, and show what mAP each k costs and what it saves.

    Each training is evaluated on the pictures of valid= after its last update, by Darknet's rule and by COCO's.
    Writes results.csv, results.json and results.png; each training lies in a folder of its own. Ctrl-C saves; the same
    command goes on, and with further --k or --seeds adds them. All other options are those of train.

    \b
    Examples:
      darkshare sweep yolov3.cfg text.data --k 0,41,49,65,74 --epochs 30 -o sweep
      darkshare sweep tiny.cfg masks.data --k 0,8,12 --seeds 1,2,3,4,5 --jobs 2
      darkshare sweep tiny.cfg masks.data --k 0,8 --scheduler tcp://10.0.0.1:8786
    """
    (cfg, weights), data = sorted_files(files)
    ks, seeds = how.pop("ks"), how.pop("seeds")
    changes = Changes(**{name: how.pop(name) for name in CHANGES})
    options = Options(k=0, changes=changes, **how)
    planned = plan(cfg, weights, data, output, ks=ks, seeds=seeds, options=options, dialect=dialect)
    waiting = _told(planned)
    trials = run_on_cluster(waiting, scheduler) if scheduler else run_here(shared_out(waiting, jobs), jobs)
    with Progress(planned, waiting) as progress:
        stopped = _followed(trials, planned, progress)
    _finish(planned, progress.failed, stopped=stopped)


_PASSED = {*CHANGES, *Options.__dataclass_fields__} - {*_OWN}
sweep.params += [option for option in train.params if option.name in _PASSED]


def _told(planned: Sweep) -> list[Trial]:
    """What is left to do; notes go to stderr."""
    waiting = planned.waiting()
    for note in planned.notes[:_SHOWN]:
        click.echo(f"Note: {printable(note)}", err=True)
    if len(planned.notes) > _SHOWN:
        click.echo(f"Note: {len(planned.notes) - _SHOWN} more such notes", err=True)
    done = len(planned.trials) - len(waiting)
    before = f", {done} of them done before" if done else ""
    click.echo(f"{len(planned.trials)} trainings of {planned.batches} batches{before}", err=True)
    return waiting


def _followed(messages: Iterator[Message], planned: Sweep, progress: Progress) -> bool:
    """Show what happens, and write what there is behind each training; whether Ctrl-C ended it. All has saved then."""
    try:
        with closing(messages):  # type: ignore[type-var]
            for message in messages:
                progress.show(message)
                if message.event == "done" and not progress.is_over:
                    with uninterrupted():
                        _written(planned, progress.failed)
    except KeyboardInterrupt:
        return True
    return False


def _written(planned: Sweep, failed: Sequence[Message]) -> tuple[list[Result], list[Choice], list[Path]]:
    """Results and their summaries as they are now, and the files that hold them."""
    results = [one for one in results_in(planned.folder, planned.settings) if one.k in planned.shares]
    found = choices(results, planned.shares)
    failures = [{"k": one.trial.options.k, "seed": one.trial.options.seed, "error": one.text} for one in failed]
    return results, found, write_results(planned.folder, results, found, planned.shares, planned.settings, failures)


def _finish(planned: Sweep, failed: Sequence[Message], *, stopped: bool) -> None:
    """Write and print what there is."""
    results, found, files = _written(planned, failed)
    if found:
        click.echo(render(choice_rows(found), "text"))
        click.echo(f"\nmAP: {results[0].rule}; {results[0].conditions}")
    click.echo(f"wrote {', '.join(map(str, files))}", err=True)
    for one in failed:
        click.echo(f"Error: {one.trial.name}: {printable(one.text)}", err=True)
    if stopped:
        click.echo("stopped; the same command goes on", err=True)
    if stopped or failed:
        raise click.exceptions.Exit(STOPPED if stopped else 1)


class Progress:
    """A bar over all trainings on a terminal; everywhere a line for each that ends."""

    def __init__(self, planned: Sweep, waiting: Sequence[Trial]) -> None:
        self.failed: list[Message] = []
        self._batches, self._count = planned.batches, len(waiting)
        self._at = dict.fromkeys((trial.name for trial in waiting), 0)
        self._ended = 0
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty() and self._count:
            length = self._batches * self._count
            self._bar = click.progressbar(None, length, item_show_func=lambda text: text, file=sys.stderr).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)

    @property
    def is_over(self) -> bool:
        """Whether all have ended."""
        return self._ended == self._count

    def show(self, message: Message) -> None:
        """Take notice of a message."""
        name = message.trial.name
        if message.event in LAST:
            self._ended += 1
            self.failed += [message] if message.event == "failed" else []
            self._say(f"{self._ended}/{self._count} {name}: {message.event} {printable(message.text)}".rstrip())
        batch = self._batches if message.event in ("done", "failed") else message.batch
        steps, self._at[name] = batch - self._at[name], batch
        if self._bar is not None:
            self._bar.update(steps, f"{self._ended}/{self._count} {name} {message.text}"[:60])

    def _say(self, text: str) -> None:
        clear = "\r\x1b[K" if self._bar is not None else ""
        click.echo(f"{clear}{text}", err=True)
