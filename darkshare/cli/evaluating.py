"""`evaluate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from darkshare import evaluation
from darkshare._files import write_all
from darkshare._tables import printable, render
from darkshare.cli.evaluations import Job, jobs_of, loaded
from darkshare.cli.findings import tell, tell_divided
from darkshare.cli.options import asked, dialect_option, flags, format_option, load_all, running_options, size_option
from darkshare.cli.parameters import NAMED_FILE, RENAMING
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.data import ClassifiedDataset, Dataset, read_classes, read_data
from darkshare.errors import BadValue, DarkshareError
from darkshare.evaluation import LOWEST, RULES, THRESHOLD, Accuracy, Judged, Runner
from darkshare.evaluation.classes import listed, match_classes
from darkshare.inference.boxes import NMS
from darkshare.inference.engines import DEFAULT
from darkshare.inference.onnx import SUFFIXES as EXPORTED

OF_MODEL = (".cfg", ".weights")
OF_BOXES = ("rule", "points", "iou", "thresh", "lowest", "nms", "beside", "plot", "table")  # the other options
OF_CLASSES = ("top", "share", "seed")  # that only one kind of network has a use for


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights] [FILE.data]")
@click.option("--data", type=NAMED_FILE, multiple=True, help="A task's own data set.")
@click.option(
    "--part", default="valid", show_default=True, type=click.Choice(("valid", "train", "test")), help="Of the data set."
)
@click.option("--rule", type=click.Choice([*RULES, "both"]), default=RULES[0], show_default=True, help="Whose rule.")
@click.option("--points", type=click.Choice(("0", "11", "101")), help="By Darknet's rule; 0 is the area.  [default: 0]")
@click.option("--iou", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="The overlap of a hit.")
@click.option("--thresh", type=click.FloatRange(0, 1), default=THRESHOLD, show_default=True, help="For precision, F1.")
@click.option("--lowest", type=click.FloatRange(0, 1), default=LOWEST, show_default=True, help="Scores above it count.")
@click.option("--nms", type=click.FloatRange(0, 1), default=NMS, show_default=True, help="Largest overlap of boxes.")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Guesses that count, of classifiers.")
@click.option("--split", "share", type=click.FloatRange(0, 1, max_open=True), default=0, help="Of a folder, see train.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of --split.")
@click.option("--map", "renamed", type=RENAMING, multiple=True, help="See above.")
@click.option("--by-order", is_flag=True, help="Match classes by their numbers, whatever their names.")
@click.option("--beside", type=NAMED_FILE, multiple=True, help="Compare with this model.")
@click.option("--plot", metavar="FILE", help="Draw precision over recall into a .png, .svg or .pdf.")
@click.option("--csv", "table", metavar="FILE", help="Write the points of these curves.")
@running_options(DEFAULT)
@size_option
@dialect_option
@format_option
def evaluate(paths: tuple[str, ...], data: tuple[tuple[str, str], ...], form: str, **how: Any) -> None:
    """Mean average precision per task and class on labelled pictures, with the rule beside every number.

    Each task of a merged model is evaluated on its own data set, and beside other models if you like: what their
    tasks of the same name reach there. Classes are matched by name; --map person=human counts the data set's persons
    as the task's humans, and --map person= leaves them out. Of classifiers top-1 and top-5 are told, of an
    ensemble those of each branch too; their data set is a .data file with labels=, or a folder with one folder of
    pictures per class.

    \b
    Examples:
      darkshare evaluate masks.cfg masks.weights masks.data
      darkshare evaluate both.cfg --data masks=masks.data --data coco=coco.data --rule both
      darkshare evaluate both.cfg --data masks=masks.data --beside masks.cfg --plot curves.png --csv curves.csv
    """
    run = Run.of(paths, data, **how)
    run.require_uses()
    if run.is_classifier:
        run.tell_accuracy(run.accuracies(), form)
    else:
        run.tell(run.judged(), form)


@dataclass(frozen=True)
class Run:
    """One evaluation as asked for on the command line."""

    model: Model
    jobs: tuple[Job, ...]
    part: str
    rules: tuple[dict[str, Any], ...]
    renamed: dict[str, str]
    by_order: bool
    running: dict[str, Any]
    plot: str | None
    table: str | None
    ks: tuple[int, ...]
    share: float
    seed: int
    runners: dict[int, Runner] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Sequence[str], data: Sequence[tuple[str, str]], **how: Any) -> Run:
        """Load the models and sort the data sets; nothing is run yet.

        Raises:
            DarkshareError: a model that cannot be loaded, a task that is not there, a figure that cannot be drawn.
        """
        loading = {"dialect": how.pop("dialect"), "size": how.pop("size")}
        if exported := [path for path in paths if Path(path).suffix in EXPORTED]:
            raise click.UsageError(
                f"evaluate takes a .cfg, and {exported[0]} is an exported file; give the .cfg that it was made from"
            )
        models = load_all([path for path in paths if Path(path).suffix in OF_MODEL], **loading)
        if len(models) != 1:
            raise click.UsageError(
                f"evaluate takes one model, and further ones with --beside; {len(models)} were given"
            )
        beside = how.pop("beside")
        given = [*(("", path) for path in paths if Path(path).suffix not in OF_MODEL), *data]
        jobs = jobs_of(models[0], given, loaded(beside, loading))
        rules = _rules(how.pop("rule"), how.pop("points"), how.pop("iou"), how.pop("thresh"))
        renamed, by_order = dict(how.pop("renamed")), how.pop("by_order")
        if renamed and by_order:
            raise click.UsageError("--map names classes and --by-order does not look at names; give one of them")
        part, plot, table, ks = how.pop("part"), how.pop("plot"), how.pop("table"), (1, how.pop("top"))
        aside = how.pop("share"), how.pop("seed")
        _require_outputs((plot, table), (*paths, *(path for _, path in (*data, *beside))))
        return cls(models[0], jobs, part, rules, renamed, by_order, how, plot, table, ks, *aside)

    @property
    def is_classifier(self) -> bool:
        """Whether classes of pictures are asked for instead of boxes."""
        found = {self.model.classifies(job.task) for job in self.jobs}
        if len(found) > 1:
            raise click.UsageError("some of the tasks find boxes, others classify pictures: evaluate them in two calls")
        return found == {True}

    def require_uses(self) -> None:
        """Refuse options that would do nothing."""
        if self.is_classifier and (given := flags(OF_BOXES)):
            raise click.UsageError(f"{', '.join(given)}: about boxes, and this model classifies pictures")
        if not self.is_classifier and (given := flags(OF_CLASSES)):
            raise click.UsageError(f"{', '.join(given)}: about classes of pictures, and this model finds boxes")

    def judged(self) -> list[Judged]:
        """Run everything."""
        if self.rules[-1]["rule"] == "coco":
            evaluation.require_tool()  # rather now than after the pictures
        for model in (self.model, *(job.beside[0] for job in self.jobs if job.beside)):
            self._runner(model)
        datasets, found = [_told(read_data(job.path, self.part)) for job in self.jobs], []
        self._require_classes(datasets)
        for job, dataset in zip(self.jobs, datasets, strict=True):
            own = self._evaluations(self.model, job.task, dataset)
            beside = self._evaluations(*job.beside, dataset) if job.beside else ()
            found.append(Judged(own, beside, self.model.name, job.beside[0].name if job.beside else ""))
        return found

    def accuracies(self) -> list[list[Accuracy]]:
        """Run everything, for classifiers; of an ensemble its vote, its branches and both means."""
        runner, found = self._runner(self.model), []
        datasets = [_told(read_classes(job.path, self.part, share=self.share, seed=self.seed)) for job in self.jobs]
        self._require_classes(datasets)
        for job, dataset in zip(self.jobs, datasets, strict=True):
            tell_divided(job.path)
            if asked("top") and self.ks[-1] >= len(job.task.names) > 1:
                classes = f"{job.task.name} has {len(job.task.names)} classes"
                click.echo(f"Note: {classes}, so top-{self.ks[-1]} holds all and is not shown", err=True)
            watch = _bar(f"{job.task.name} on {dataset.name}")
            found.append(runner.accuracies(dataset, job.task.name, watch, ks=self.ks, **self._matching(dataset)))
        return found

    def _matching(self, dataset: Dataset | ClassifiedDataset) -> dict[str, Any]:
        """How the classes of one of the data sets are matched; --map may speak of those of another."""
        renamed = {name: to for name, to in self.renamed.items() if name in dataset.names}
        return {"renamed": renamed, "by_order": self.by_order}

    def _require_classes(self, datasets: Sequence[Dataset | ClassifiedDataset]) -> None:
        """Refuse classes that do not match, rather now than after the pictures."""
        known = dict.fromkeys(name for dataset in datasets for name in dataset.names)
        for name in self.renamed:
            if name not in known:
                owners = ", ".join(dataset.name for dataset in datasets)
                raise BadValue(f"--map {name}=…: {owners} has no such class; it has {listed(list(known))}")
        for job, dataset in zip(self.jobs, datasets, strict=True):
            for task in (job.task, *(job.beside[1:] if job.beside else ())):
                match_classes(task.name, task.names, dataset.name, dataset.names, **self._matching(dataset))

    def tell(self, found: Sequence[Judged], form: str) -> None:
        """Print the rows and what belongs to them; write the curves."""
        if form == "json":
            click.echo(json.dumps(evaluation.to_json(found), indent=1))
        else:
            click.echo(render(evaluation.to_rows(found), form))
            click.echo("", err=form == "csv")
            for line in evaluation.lines(found):
                click.echo(line, err=form == "csv")
        for note in dict.fromkeys(note for one in found for made in (*one.own, *one.beside) for note in made.notes):
            click.echo(f"Note: {note}", err=True)
        self._write(found)

    def tell_accuracy(self, found: Sequence[Sequence[Accuracy]], form: str) -> None:
        """Print the rows of classifiers: each class of a task, but of branches the sum only."""
        if form == "json":
            click.echo(json.dumps([one.to_json() for job in found for one in job], indent=1))
            return
        rows = [row for vote, *others in found for row in (*vote.to_rows(), *(one.to_rows()[-1] for one in others))]
        click.echo(render(_filled(rows), form))
        for one, *_ in found:
            click.echo(printable(str(one)), err=form == "csv")
            for note in one.notes:
                click.echo(f"Note: {note}", err=True)

    def _evaluations(self, model: Model, task: Task, dataset: Dataset) -> tuple[evaluation.Evaluation, ...]:
        seen = self._runner(model).look(dataset, task.name, _bar(f"{task.name} of {Path(model.name).name}"))
        return tuple(seen.evaluate(dataset, **rule, **self._matching(dataset)) for rule in self.rules)

    def _runner(self, model: Model) -> Runner:
        """Each model is loaded into the engine once."""
        if id(model) not in self.runners:
            self.runners[id(model)] = Runner.of(model, **self.running)
        return self.runners[id(model)]

    def _write(self, found: Sequence[Judged]) -> None:
        if self.plot:
            from darkshare.evaluation.chart import plot_curves

            plot_curves(found, self.plot)
        if self.table:
            write_all({Path(self.table): [render(list(evaluation.curve_rows(found)), "csv").encode(), b"\n"]})
        for path in filter(None, (self.plot, self.table)):
            click.echo(f"wrote {path}", err=True)


def _filled(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of tasks with more and with fewer classes: top-5 is there for some of them only."""
    columns = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key) for key in columns} for row in rows]


def _rules(name: str, points: str | None, iou: float, threshold: float) -> tuple[dict[str, Any], ...]:
    """The arguments of `evaluate` for each rule."""
    names = RULES if name == "both" else (name,)
    if points and "darknet" not in names:
        raise click.UsageError("--points is for Darknet's rule; COCO's has 101")
    chosen = {"darknet": None if points is None else int(points)}
    return tuple({"rule": rule, "points": chosen.get(rule), "iou": iou, "threshold": threshold} for rule in names)


def _told(dataset: Any) -> Any:
    """The data set; what is wrong with it goes to stderr."""
    tell(dataset.findings, dataset.name)
    return dataset


def _require_outputs(outputs: tuple[str | None, str | None], inputs: Sequence[str]) -> None:
    """Refuse names before minutes are spent."""
    if outputs[0]:
        from darkshare._figures import figure_format

        figure_format(outputs[0])
    known = {Path(path).resolve() for path in inputs}
    for path in filter(None, outputs):
        if Path(path).resolve() in known:
            raise DarkshareError("is one of the inputs and would be replaced; choose another name", file=path)


def _bar(label: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """A progress bar on a terminal: how many pictures, and how long it will take."""

    def shown(items: Sequence[Any]) -> Iterator[Any]:
        with click.progressbar(items, label=printable(label), show_pos=True, file=sys.stderr) as bar:
            yield from bar

    return shown if sys.stderr.isatty() else iter
