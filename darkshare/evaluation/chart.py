"""Precision over recall as a figure: a small panel for each class, so that no colour must tell classes apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from darkshare._figures import COLOURS, GREY, Look, drawable, write_figure
from darkshare.errors import DarkshareError
from darkshare.evaluation.average_precision import ClassScore, Evaluation
from darkshare.evaluation.curves import Curve
from darkshare.evaluation.results import TaskEvaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from typing_extensions import Unpack

MOST = 100  # panels of a task
_PANEL = 2.1  # inches
_OWN, _OTHER = COLOURS[0], COLOURS[1]


def plot_curves(tasks: Sequence[TaskEvaluation], path: str | PathLike[str], **look: Unpack[Look]) -> None:
    """Draw the curves of every task and class into a file; see `Evaluations.plot`."""
    write_figure(Path(path), lambda: _figure(tasks), **look)


def _figure(tasks: Sequence[TaskEvaluation]) -> Figure:
    from matplotlib.figure import Figure

    shown = [_shown(one.own[0]) for one in tasks]
    if not any(shown):
        raise DarkshareError("there is no curve to draw: no class has truths")
    most = math.ceil(math.sqrt(1.5 * max(map(len, shown))))
    grids = [_grid(len(classes), most) for classes in shown]
    rows = [count for count, _ in grids]
    width = max(_PANEL * max(columns for _, columns in grids) + 0.4, 6.5)
    figure = Figure(figsize=(width, (_PANEL + 0.25) * sum(rows) + 0.8 * len(rows)), layout="constrained")
    parts = figure.subfigures(len(tasks), 1, height_ratios=rows, squeeze=False)[:, 0]
    for part, one, classes, grid in zip(parts, tasks, shown, grids, strict=True):
        _task(part, one, classes, grid)
    return figure


def _grid(panels: int, most: int) -> tuple[int, int]:
    """Rows and columns of panels with as little left empty as `most` columns allow."""
    rows = max(math.ceil(panels / most), 1)
    return rows, max(math.ceil(panels / rows), 1)


def _shown(found: Evaluation) -> list[ClassScore]:
    """The classes with truths; where there are too many, those with most of them."""
    known = [one for one in found.classes if one.truths]
    most = sorted(known, key=lambda one: -one.truths)[:MOST]
    return [one for one in known if one in most] if len(known) > MOST else known


def _task(part: SubFigure, one: TaskEvaluation, classes: Sequence[ClassScore], grid: tuple[int, int]) -> None:
    own, beside = one.own[0], one.beside[0] if one.beside else None
    grids: Any = part.subplots(*grid, squeeze=False, sharex=True, sharey=True)
    for axes in grids.flat[len(classes) :]:
        axes.set_visible(False)
    for axes, score in zip(grids.flat, classes, strict=False):
        other = None if beside is None else next((s for s in beside.classes if s.name == score.name), None)
        _panel(axes, score, other, own.threshold)
    cut = "" if len(classes) == sum(bool(s.truths) for s in own.classes) else f", the {MOST} classes with most truths"
    compared = f" ({beside.mean:.4f} {Path(one.other).stem})" if beside else ""
    mean = f"{own.task} on {own.data}: mAP@{own.rule.iou:.2f} {own.mean:.4f}{compared}"
    part.suptitle(f"{drawable(mean)}\n{own.rule}{cut}", fontsize="small")
    for axes in grids[-1]:
        axes.set_xlabel("recall", fontsize="small")
    for axes in grids[:, 0]:
        axes.set_ylabel("precision", fontsize="small")
    if beside:
        _legend(part, one)


def _panel(axes: Axes, score: ClassScore, other: ClassScore | None, threshold: float) -> None:
    _line(axes, score.curve, _OWN, threshold, dashed=False)
    if other is not None:
        _line(axes, other.curve, _OTHER, threshold, dashed=True)
    numbers = " | ".join(f"{one.ap:.3f}" for one in (score, other) if one is not None and one.ap is not None)
    axes.set_title(f"{drawable(score.name)[:18]}  {numbers}", fontsize="small")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.04)
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.tick_params(labelsize="small")
    axes.grid(color="#E0E0E0", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _line(axes: Axes, curve: Curve, colour: str, threshold: float, *, dashed: bool) -> None:
    """The best precision from each recall on, and the area below; the curve itself, thin; a dot at the threshold."""
    if not len(curve.scores):
        return
    recall = np.concatenate([[0], curve.recall, curve.recall[-1:]])
    best = np.concatenate([curve.envelope[:1], curve.envelope, [0]])
    if not dashed:
        axes.fill_between(recall, best, step="pre", color=colour, alpha=0.12, linewidth=0)
    axes.plot(curve.recall, curve.precision, color=colour, linewidth=0.5, alpha=0.7)
    axes.step(recall, best, where="pre", color=colour, linewidth=1.5, linestyle="--" if dashed else "-")
    above = int((curve.scores > threshold).sum())
    if above:
        axes.plot(curve.recall[above - 1], curve.precision[above - 1], "o", color=colour, markersize=3 if dashed else 5)


def _legend(part: SubFigure, one: TaskEvaluation) -> None:
    from matplotlib.lines import Line2D

    own, beside = one.own[0], one.beside[0]
    entries = [
        (Line2D([], [], color=_OWN), drawable(Path(one.model).stem or own.task)),
        (Line2D([], [], color=_OTHER, linestyle="--"), drawable(Path(one.other).stem or beside.task)),
        (Line2D([], [], color=GREY, marker="o", linestyle=""), f"scores > {own.threshold:g}"),
    ]
    handles, texts = zip(*entries, strict=True)
    part.legend(handles, texts, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
