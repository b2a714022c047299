"""`plan`: a cut for each of several tasks, within the budget of a device."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._files import write_all
from darkshare._tables import Result, render, wrapped
from darkshare._texts import to_escaped
from darkshare.analysis.savings import file_bytes
from darkshare.choose_k.branch_times import timed
from darkshare.choose_k.budgets import UNITS, Budget, read_budget
from darkshare.choose_k.fronts import pareto_front
from darkshare.choose_k.task_cuts import TaskCut, cuts_of_task
from darkshare.darknet.model import Model
from darkshare.darknet.typed import plain_name
from darkshare.errors import BadArguments, DarkshareError, checked, require_choice, require_known, require_least
from darkshare.evaluation.runner import Watch
from darkshare.inference.engines import DEFAULT
from darkshare.inference.engines.timing import ROUNDS, require_rounds

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from darkshare._figures import Look

PREFERENCES = ("loss", "cost")
Source = str | os.PathLike[str]
PLAN, FRONT, PNG = "plan.csv", "front.csv", "front.png"
MB = 1e6


@dataclass(frozen=True)
class TaskPlan:
    """A plan: a cut for each task.

    Attributes:
        cost: of all networks together, in the budget's unit.
        loss: points of mAP that all tasks lose together.
        deviation: of that, from the spread of each task over its seeds; None where one is not known.
        cuts: in the order of the tasks.
    """

    cost: float
    loss: float
    deviation: float | None
    cuts: tuple[TaskCut, ...]

    def row(self, unit: str) -> dict[str, Any]:
        """The plan on one line."""
        ks = {f"k of {one.task}": one.label.removeprefix("k=") for one in self.cuts}
        return {unit: self.cost, "loss": self.loss, "deviation": self.deviation, **ks}


@dataclass(frozen=True, repr=False)
class Plan(Result):
    """A cut for each task, and the plans that no other beats.

    Attributes:
        base: the name of the network that all share.
        base_flops: of it alone.
        base_file_bytes: likewise, of weights.
        base_ms: likewise, of a pass; None where it is not measured.
        separate_flops: of the networks one beside the other.
        chosen: the plan.
        front: by ascending cost, so by descending loss, all plans that no other one beats and whose tasks lose no
            more than they may.
        unit: of costs: flops, mb or ms.
        budget: the most that it may be; None without one.
        allowed: the points that each task may lose, where they are limited.
    """

    base: str
    base_flops: float
    base_file_bytes: int
    base_ms: float | None
    separate_flops: float
    chosen: TaskPlan
    front: tuple[TaskPlan, ...] = field(repr=False)
    unit: str
    budget: float | None
    allowed: Mapping[str, float]

    def rows(self) -> list[dict[str, Any]]:
        """The base and each task, with shares of 0..1 of the separate networks' operations, and bytes."""
        none = dict.fromkeys(("k", "side", "loss", "deviation", "seeds", "allowed"))
        base = {"task": self.base, **none, **self._costs(self.base_flops, self.base_file_bytes, self.base_ms)}
        return [base, *(self._row(one) for one in self.chosen.cuts)]

    def _row(self, one: TaskCut) -> dict[str, Any]:
        kept = {name: getattr(one, name) for name in ("task", "k", "side", "loss", "deviation", "seeds")}
        allowed = self.allowed.get(one.task)
        return {**kept, "allowed": allowed, **self._costs(one.flops, one.file_bytes, one.ms)}

    def _costs(self, flops: float, size: int, ms: float | None) -> dict[str, Any]:
        return {"flops": flops / self.separate_flops, "file_bytes": size, "ms": ms}

    def table(self) -> list[dict[str, Any]]:
        """The columns in which something is known, rounded."""
        names = {"deviation": "±", "flops": "FLOPs %", "file_bytes": "MB"}
        scale = {"flops": 100.0, "file_bytes": 1 / MB}
        rows = self.rows()
        known = [key for key in rows[0] if any(row[key] is not None for row in rows)]
        shown = [{key: row[key] for key in known} for row in rows]
        for row in shown:
            row.update({key: round(by * row[key], 3) for key, by in scale.items()})
            row.update({key: round(row[key], 2) for key in ("loss", "deviation") if row.get(key) is not None})
        return [{names.get(key, key): value for key, value in row.items()} for row in shown]

    def notes(self) -> list[str]:
        """The plan in a sentence, the front beside it, and how far to trust it."""
        lines = wrapped(self.advice())
        first, last = self.front[0], self.front[-1]
        if len(self.front) > 1:
            ends = [f"{amount(self.unit, one.cost)}, {one.loss:.2f} points lost" for one in (first, last)]
            lines += wrapped(f"{len(self.front)} plans are on the Pareto front: from {ends[0]}, to {ends[1]}")
        for one in self.chosen.cuts:
            limit = self.allowed.get(one.task)
            if limit is not None and one.deviation and one.loss + one.deviation > limit:
                what = f"{one.task} may lose more than {limit:g}: {one.loss:.2f} ± {one.deviation:.2f} over its seeds"
                lines += wrapped(f"{what}, of which more would tell")
        if single := [one.task for one in self.chosen.cuts if one.seeds == 1 and one.loss]:
            lines += wrapped(f"{_listed(single)}: one seed tells the loss, so nothing its spread; sweep more --seeds")
        if self.unit == "ms":
            lines += wrapped("ms: the base with one branch, less the base alone; bench measures the merged network")
        return lines

    def advice(self) -> str:
        """The plan in a sentence."""
        places: dict[str, list[str]] = {}
        for one in self.chosen.cuts:
            places.setdefault(one.label if one.k else "", []).append(one.task)
        whole = places.pop("", [])
        off = [f"{_listed(names)} off at {label}" for label, names in places.items()]
        what = [f"branch {_listed(off)}"] * bool(off) + [f"leave {_listed(whole)} unmerged"] * bool(whole)
        spread = "" if self.chosen.deviation is None else f" ± {self.chosen.deviation:.2f}"
        takes = f"base and tasks take {amount(self.unit, self.chosen.cost, of=True)}"
        done = f"{', and '.join(what)}: {takes}, and the tasks lose {self.chosen.loss:.2f}{spread} points of mAP"
        return done[0].upper() + done[1:]

    def as_dict(self) -> dict[str, Any]:
        """Rows and notes, the sums, and the front."""
        sums = {name: getattr(self.chosen, name) for name in ("cost", "loss", "deviation")}
        kept = {name: getattr(self, name) for name in ("unit", "budget", "separate_flops")}
        front = [one.row("cost") for one in self.front]
        return {**super().as_dict(), **kept, **sums, "front": front}

    def summary(self) -> str:
        cuts = ", ".join(f"{one.task} {one.label}" for one in self.chosen.cuts)
        return f"{cuts}; {amount(self.unit, self.chosen.cost)}, {self.chosen.loss:.2f} points lost"

    def plot(self, path: Path | str, **look: Unpack[Look]) -> None:
        """Draw loss over cost of all plans on the front, and the k of each task along it.

        Args:
            path: a .png, .svg or .pdf file; it is replaced as a whole.
            look: width in inches, font_size in points, title, in place of the figure's own.

        Raises:
            DarkshareError: another suffix, or the file cannot be written.
        """
        from darkshare.choose_k.plan_chart import plot_plan

        plot_plan(self, path, **look)

    def write(self, folder: Path | str) -> list[Path]:
        """Write plan.csv, front.csv and front.png into a folder.

        Raises:
            DarkshareError: one of them cannot be written.
        """
        place = Path(folder)
        front = [one.row(self.unit) for one in self.front]
        tables = {place / name: render(rows, "csv") for name, rows in ((PLAN, self.rows()), (FRONT, front))}
        write_all({path: [to_escaped(text), b"\n"] for path, text in tables.items()})
        self.plot(place / PNG)
        return [*tables, place / PNG]


@checked
def plan(  # noqa: D417 - some are described together
    base: Model, tasks: Mapping[str, Source | Sequence[Source]], *,
    max_loss: float | Mapping[str, float] | None = None, budget: str | None = None, prefer: str | None = None,
    engine: str = DEFAULT, precision: str = "fp32", rounds: int = ROUNDS, threads: int | None = None,
    watch: Watch = iter,
) -> Plan:  # fmt: skip
    """Choose a cut for each of several tasks that share a base, so that a device's budget holds them all.

    What a plan costs and loses is the sum over its tasks, so the best of all plans is found, not a good one.

    Args:
        base: the network that all share; its own task keeps all its layers.
        tasks: for each name the folder of a sweep from this base, several of them on the same data, or a .csv table
            with columns k and loss, in points of mAP.
        max_loss: points that each task may lose, or some tasks' own by name; "" is all others.
        budget: "flops<=0.5" as a share of the separate networks' operations, "mb<=12" of weights, or "ms<=30" of a
            pass, which is measured here for each cut.
        prefer: the least "loss" or the least "cost" within both limits; without it the least loss within a budget,
            the least cost without one.
        engine, precision, rounds, threads: as of `bench`, for a budget in ms.
        watch: goes through the cuts that are measured, for a progress bar.

    Raises:
        BadArguments: neither a budget nor a loss.
        DarkshareError: sources that do not fit the base; no plan within the limits, with the nearest ones.
    """
    if budget is None and max_loss is None:
        raise BadArguments("give a budget, the loss that is allowed, or both")
    if prefer is not None:
        require_choice("prefer", prefer, PREFERENCES)
    require_rounds(rounds)
    if not tasks:
        raise BadArguments("give at least one task and its sweep or table")
    most = None if budget is None else read_budget(budget)
    unit = most.unit if most else "flops"
    allowed = _allowed(max_loss, list(tasks))
    cuts = [cuts_of_task(name, _paths(sources), base) for name, sources in tasks.items()]
    kept, ms = [_within(own, allowed.get(own[0].task)) for own in cuts], None
    if unit == "ms":
        ms, kept = timed(base, kept, engine, rounds=rounds, threads=threads, precision=precision, watch=watch)
    separate = base.network.flops + sum(own[0].model.network.flops for own in cuts) or 1.0
    size = file_bytes(base.network)
    start, scale = {"flops": (base.network.flops, separate), "mb": (size, MB), "ms": (ms or 0.0, 1.0)}[unit]
    front = _front(kept, unit, start, scale)
    within = [one for one in front if most is None or one.cost <= most.most]
    if most and not within:
        raise DarkshareError(_out_of_reach(most, front))
    chosen = within[0 if (prefer or ("loss" if most else "cost")) == "cost" else -1]
    limit = most.most if most else None
    return Plan(plain_name(base), base.network.flops, size, ms, separate, chosen, front, unit, limit, allowed)


def _paths(sources: Source | Sequence[Source]) -> list[str]:
    given = [sources] if isinstance(sources, str | os.PathLike) else sources
    return [os.fspath(one) for one in given]


def _allowed(max_loss: float | Mapping[str, float] | None, tasks: Sequence[str]) -> dict[str, float]:
    """The points that each task may lose, where they are limited."""
    given = dict(max_loss) if isinstance(max_loss, Mapping) else {} if max_loss is None else {"": max_loss}
    require_known("task", [name for name in given if name], tasks)
    for value in given.values():
        require_least(0, max_loss=value)
    found = {name: given.get(name, given.get("")) for name in tasks}
    return {name: value for name, value in found.items() if value is not None}


def _within(cuts: Sequence[TaskCut], limit: float | None) -> list[TaskCut]:
    """The cuts of a task that lose no more than it may.

    Raises:
        DarkshareError: there is none.
    """
    found = [one for one in cuts if limit is None or one.loss <= limit]
    if not found:
        best = min(cuts, key=lambda one: one.loss)
        raise DarkshareError(
            f"no cut of {best.task} loses at most {limit:g} points: {best.label} loses least, {best.loss:.2f}; "
            "allow that, or give smaller k"
        )
    return found


def _front(tasks: Sequence[Sequence[TaskCut]], unit: str, start: float, scale: float) -> tuple[TaskPlan, ...]:
    name = {"mb": "file_bytes"}.get(unit, unit)
    options = [[(getattr(one, name), one.loss) for one in own] for own in tasks]
    found = []
    for point in pareto_front(options, start):
        cuts = tuple(own[pick] for own, pick in zip(tasks, point.picks, strict=True))
        spreads = [one.deviation for one in cuts if one.deviation is not None]
        whole = math.hypot(*spreads) if len(spreads) == len(cuts) else None
        found.append(TaskPlan(point.cost / scale, point.loss, whole, cuts))
    return tuple(found)


def _out_of_reach(budget: Budget, front: Sequence[TaskPlan]) -> str:
    """Tell of the plans that are nearest to a budget which none keeps."""
    least, best = (
        f"{', '.join(f'{cut.task} {cut.label}' for cut in one.cuts)} takes {amount(budget.unit, one.cost)} "
        f"and loses {one.loss:.2f} points"
        for one in (front[0], front[-1])
    )
    other = "" if len(front) == 1 else f"; the most accurate, {best}"
    return f"no plan keeps to {budget}: the cheapest, {least}{other}; raise the limits, or give larger k"


def amount(unit: str, cost: float, *, of: bool = False) -> str:
    """A cost as people read it, perhaps with what it is a part of."""
    shown = UNITS[unit] if of else UNITS[unit].partition(" ")[0]
    return f"{100 * cost if unit == 'flops' else cost:.4g} {shown}"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
