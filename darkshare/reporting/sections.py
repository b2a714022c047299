"""The sections of a report: each is what one command says, and names it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from darkshare._files import is_file
from darkshare._tables import Result
from darkshare.analysis.differences import Differences
from darkshare.analysis.drawing import Drawing
from darkshare.analysis.frozen import Frozen, Trunk, compare_trunks
from darkshare.analysis.html import differences_part
from darkshare.analysis.page import figure_part, table_part
from darkshare.analysis.savings import savings
from darkshare.analysis.savings_plot import savings_svg
from darkshare.analysis.stats import stats
from darkshare.analysis.trunk import with_input_of
from darkshare.choose_k.chart import sweep_svg
from darkshare.choose_k.results import require_base
from darkshare.choose_k.sweep import read_sweep
from darkshare.darknet.cfg import read_cfg
from darkshare.darknet.kinds.base import DIALECTS
from darkshare.darknet.model import Model, without_branch_tasks
from darkshare.darknet.network import resolve
from darkshare.darknet.typed import as_read_from, files_of, typed
from darkshare.data import ClassifiedDataset, Dataset
from darkshare.errors import DarkshareError, TrunkMismatch
from darkshare.evaluation import evaluate
from darkshare.evaluation.runner import Watch
from darkshare.evaluation.tasks import Source, Sources
from darkshare.inference.bench import bench
from darkshare.inference.media.sources import Names
from darkshare.inference.verification import verify
from darkshare.reporting.pictures import found_in, worst_errors
from darkshare.surgery.splice import split

_OF_FILES = ("split", "stats", "frozen")  # commands that know no --size
PARTS = "parts"  # the folder of `split` in commands


@dataclass(frozen=True)
class ReportSection:
    """A part of the page.

    Attributes:
        title: above it.
        summary: what it comes to, in a line.
        command: that gives the same alone; "" where none does.
        body: as HTML.
        is_wrong: whether it tells of a failure.
    """

    title: str
    summary: str
    command: str
    body: str
    is_wrong: bool = False

    @property
    def anchor(self) -> str:
        """The name of its place in the page."""
        return self.title.lower()

    def html(self) -> str:
        """The whole of it."""
        alone = f'<p class="alone">Alone: <code>{escape(self.command)}</code></p>\n' if self.command else ""
        state = ' class="wrong"' if self.is_wrong else ""
        return (
            f'<section id="{self.anchor}"><h2>{escape(self.title)}</h2>\n<p{state}>{escape(self.summary)}</p>\n'
            f"{alone}{self.body}\n</section>\n"
        )


def drawn(sketch: Drawing, models: Sequence[Model]) -> ReportSection:
    """The drawing of the network, or of several over the trunk that they share."""
    shown = [{**row, "shared": "yes" if row["shared"] else None} for row in sketch.rows()]
    marks = [f' id="layer-{one.place}" data-place="{one.place}"' for one in sketch.graph.layers]
    table = f'<details class="filtered"><summary>Layers</summary>{table_part(shown, marks=marks)}</details>'
    body = f"{sketch.part()}{table}"
    return ReportSection("Drawing", sketch.summary(), command("draw", models, "-o", "drawing.html"), body)


def places_in(sketch: Drawing, shown: Sequence[Model], networks: Sequence[Model]) -> list[dict[int, int]]:
    """The places in a drawing of each network's layers; none of one that is not known there.

    Args:
        sketch: the drawing.
        shown: what is drawn: the networks, or a model that holds one for each of its tasks.
        networks: whose layers.
    """
    if len(shown) == 1:
        tasks = without_branch_tasks(shown[0]).tasks
        named = {task.name: task for task in tasks}
        own = [named.get(one.tasks[0].name) for one in networks]  # by their names, or in order where these differ
        found = [[i for run in task.runs for i in range(*run)] for task in (own if all(own) else tasks) if task]
        sizes = [len(one.network.layers) for one in networks]
        return [dict(enumerate(one)) for one in found] if [*map(len, found)] == sizes else []
    drawn = {(one.model, one.layer.index): one.place for one in sketch.graph.layers}
    return [
        {i: drawn[0 if i < k else at, i] for i in range(len(one.network.layers))}
        for at, (one, k) in enumerate(zip(networks, sketch.graph.shared, strict=True))
    ]


def networks_in(merged: Model) -> list[Model]:
    """The networks of a merged model as `split` would write them, at its size; none of another."""
    names = [task.name for task in without_branch_tasks(merged).tasks]
    parts = [with_input_of(merged, one) for one in split(merged, names)] if len(names) > 1 else []
    return [
        as_read_from(part, f"{PARTS}/{name}.cfg", f"{PARTS}/{name}.weights")
        for name, part in zip(names, parts, strict=False)
    ]


def cuts(sketch: Drawing, shown: Sequence[Model]) -> list[int]:
    """The numbers of layers that the drawn networks share, each once."""
    ks = [task.k for task in shown[0].tasks] if len(shown) == 1 else sketch.graph.shared[1:]
    return sorted({k for k in ks if k})


def saved(networks: Sequence[Model], sketch: Drawing, ks: Sequence[int], merged: Model | None) -> list[ReportSection]:
    """The savings of what is drawn, and those at other cuts; nothing where no trunk can be shared.

    Args:
        networks: whose; one stands for two like it.
        sketch: the drawing of them in one.
        ks: the cuts there.
        merged: the model that is taken apart into the networks, where that is not done yet.
    """
    try:
        every = savings(networks)
    except DarkshareError:
        return []
    marks = [one.k for one in every if one.k in ks]
    rows = replace(every, items=tuple(one for one in every if one.k in marks or one.block_end))
    if ks and len(networks) > 1:
        weights = _share(sketch, [one.layer.size for one in sketch.graph.layers])
        operations = _share(sketch, [one.layer.flops for one in sketch.graph.layers])
        cut = ", ".join(f"k={k}" for k in ks)
        summary = f"{weights:.1%} of all weights, {operations:.1%} of all operations, with {cut}"
    else:
        like = " of two networks like it" if len(networks) == 1 else ""
        summary = f"{len(every)} legal cuts{like}, up to k={every[-1].k}"
    plot = figure_part("Share of a further network by k", savings_svg(every, k=marks), "savings")
    alone = command("savings", networks, of=merged)
    return [ReportSection("Savings", summary, alone, f"{plot}\n{_table(rows)}")]


def _share(sketch: Drawing, costs: Sequence[float]) -> float:
    """The part that separate networks need beyond what is drawn, of all that they need."""
    apart = sketch.graph.apart(costs)
    return 1 - sum(costs) / apart if apart else 0.0


def compared(networks: Sequence[Model], merged: Model | None) -> list[ReportSection]:
    """Whether the trunk of each further network that has weights is the base's, bit for bit.

    Args:
        networks: the base, and those that were trained from it.
        merged: the model that they were merged into, which says how many layers each shares; without it, all alike.
    """
    if len(networks) < 2 or not all(one.weights for one in networks):
        return []
    base, *others = networks
    ks = _shared_by(merged, others) if merged else [None] * len(others)
    every = Frozen(tuple(_trunk(base, other, k) for other, k in zip(others, ks, strict=True)))
    rows = [
        {"network": one.other, "k": one.k, "frozen": "yes" if one.is_frozen else "no", "identical": one.identical}
        | {"moved tensors": len(one.moved)}
        for one in every
    ]
    moved = f"<h3>Tensors that moved</h3>\n{table_part(every.rows())}" if every.rows() else ""
    asked = [word for k in ks if k for word in ("--k", str(k))]
    alone = command("frozen", networks, *asked)
    body = f"{table_part(rows)}\n{_notes(every.notes())}\n{moved}"
    return [ReportSection("Trunk", every.summary(), alone, body)]


def _trunk(base: Model, other: Model, k: int | None) -> Trunk:
    """The trunk of both as far as it is asked for, or where that computes something else, as far as it is alike."""
    try:
        return compare_trunks(base, other, k)
    except TrunkMismatch:
        return compare_trunks(base, other)


def _shared_by(merged: Model, others: Sequence[Model]) -> list[int | None]:
    """The number of layers that each network shares in a merged one: of the task of its name, or else in order."""
    first, *rest = without_branch_tasks(merged).tasks
    named = {task.name: task.k for task in (first, *rest)}
    in_order = [task.k for task in rest] if len(rest) == len(others) else [0] * len(others)
    return [named.get(one.tasks[0].name, k) or None for one, k in zip(others, in_order, strict=True)]


def swept(folder: Path, base: Model | None) -> ReportSection:
    """Mean average precision and savings over k, as a sweep has measured them.

    Args:
        folder: of the sweep.
        base: whose weights it must have begun from, where that is known.
    """
    found = read_sweep(folder)
    if base:
        require_base(found.trials[0], base, folder)
    best = [one for one in found.choices if one.pareto and one.k]
    told = [
        f"k={one.k} saves {one.flops:.1%} of the operations"
        + (f" and loses {100 * one.lost:.2f} points of mAP" if one.lost is not None else f" at mAP {one.map:.2%}")
        for one in best
    ]
    plot = figure_part("mAP and savings by k", sweep_svg(found.trials, found.choices), "sweep")
    summary = "; ".join([found.summary(), *told])
    return ReportSection("Sweep", summary, "", f"{plot}\n{_table(found)}")


def differing(
    networks: Sequence[Model], ks: Sequence[int], merged: Model | None, places: Sequence[Mapping[int, int]]
) -> list[ReportSection]:
    """The differences of several networks that have weights; `places` are those of their layers in the drawing."""
    found = stats(*networks) if all(one.weights for one in networks) else None
    if not isinstance(found, Differences):
        return []
    alone = command("stats", networks, "--html", "differences.html", of=merged)
    part = differences_part(found, k=ks, is_brief=True, places=places)
    return [ReportSection("Differences", "; ".join(found.notes()), alone, part)]


def verified(merged: Model, parts: Sequence[Model]) -> ReportSection:
    """The proof that a merged network gives what its parts give."""
    found = verify(merged, *parts)
    return ReportSection(
        "Verification", found.summary(), command("verify", [merged, *parts]), _table(found), not found.is_equal
    )


def pictured(model: Model, images: Sequence[str]) -> tuple[ReportSection, list[str]]:
    """Pictures with the boxes that are found in them; and their names."""
    summary, body, names = found_in(model, images)
    return ReportSection("Detections", summary, command("detect", [model], *images), body), names


def evaluated(model: Model, sources: Sequence[tuple[str, Source]], watch: Callable[[str], Watch]) -> ReportSection:
    """Average precision or accuracy on labelled pictures, with the worst errors."""
    found = evaluate(model, list(sources), watch=watch)
    alone = command("evaluate", [model], *data_words(sources))
    return ReportSection("Evaluation", found.summary(), alone, f"{_table(found)}\n{worst_errors(found)}")


def timed(models: Sequence[Model]) -> ReportSection:
    """Separate networks against the merged one on this machine."""
    found = bench(list(models))
    return ReportSection("Benchmark", found.summary(), command("bench", models), _table(found))


def named_sources(data: Sources) -> list[tuple[str, Source]]:
    """Each data set with the task that it is for, or ""."""
    if isinstance(data, Mapping):
        return list(data.items())
    several = data if isinstance(data, list | tuple) else [data]
    return [one if isinstance(one, tuple) else ("", one) for one in several]


def label_of(source: Source) -> str:
    """The name of a data set or of its file."""
    return source.name if isinstance(source, Dataset | ClassifiedDataset) else os.fspath(source)


def data_words(sources: Sequence[tuple[str, Source]]) -> list[str]:
    """Data sets as they are typed."""
    named = [f"{task}={label_of(source)}" if task else label_of(source) for task, source in sources]
    return [word for one in named for word in ("--data", one)]


def listed(images: Names) -> list[str]:
    """The names of pictures as they are typed."""
    return [os.fspath(one) for one in ([images] if isinstance(images, str | os.PathLike) else images)]


def command(
    name: str, models: Sequence[Model], *words: str, of: Model | None = None, beside: Sequence[Model] = ()
) -> str:
    """The command that shows a section alone; behind `split` where it is about the parts of a merged model.

    Args:
        name: of the command.
        models: whose files come first.
        words: behind them.
        of: the merged model.
        beside: further models that it reads, whose files are among the words.
    """
    files = [file for one in models for file in files_of(one)]
    first = f"{command('split', [of], '-o', PARTS)}; " if of else ""
    return f"{first}darkshare {typed(name, *files, *words, *_reading(name, [of] if of else [*models, *beside]))}"


def _reading(name: str, models: Sequence[Model]) -> list[str]:
    """The options by which a command reads the models as they were read."""
    dialect, (height, width) = models[0].network.dialect, models[0].network.input[1:3]
    found = [] if dialect == DIALECTS[0] else ["--dialect", dialect]
    files = [] if name in _OF_FILES else [one.name for one in models if is_file(one.name)]
    own = {resolve(read_cfg(file), dialect=dialect).input[1:3] for file in files}
    return found + (["--size", f"{width}x{height}"] if own - {(height, width)} else [])


def _table(found: Result) -> str:
    return f"{table_part(found.table())}\n{_notes([line for line in found.notes() if line != found.summary()])}"


def _notes(lines: Sequence[str]) -> str:
    """Notes as lines that the page breaks."""
    whole = "\n".join(lines).replace("\n    ", " ").split("\n")
    return "".join(f'<p class="note">{escape(line)}</p>' for line in whole if line)
