"""Cuts of a task with what each loses and costs: from the folders of its sweeps, and from tables."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import mean

from darkshare._files import is_folder
from darkshare._texts import read_text
from darkshare.analysis.savings import at_cuts, file_bytes
from darkshare.choose_k.results import deviation, results_from
from darkshare.choose_k.trials import NET, TrialResult, folder_of, require_same
from darkshare.darknet.cut_points import illegal_cut
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import Network
from darkshare.errors import BadValue, DarkshareError

COLUMNS = ("k", "loss", "side", "cfg")  # of a table; the first two are in every one


@dataclass(frozen=True)
class TaskCut:
    """A cut of a task.

    Attributes:
        task: its name.
        k: how many layers are the base's; 0 for a network of its own.
        side: the side that its training had; None without one.
        loss: points of mAP less than at the smallest k; below 0 where there are more.
        deviation: the standard deviation of these over the seeds; None with fewer than two, and of a table.
        seeds: how many there are; None of a table.
        flops: of what the task adds to the base.
        file_bytes: of its weights.
        ms: of its pass; None where it is not measured.
        model: the network that was trained so, or the base for a task that a table tells of.
        is_trained: whether it is that.
    """

    task: str
    k: int
    side: str | None
    loss: float
    deviation: float | None
    seeds: int | None
    flops: float
    file_bytes: int
    model: Model = field(compare=False, repr=False)
    is_trained: bool
    ms: float | None = None

    @property
    def label(self) -> str:
        """The cut in a few letters."""
        return f"k={self.k}" + (f" {self.side}" if self.side else "")


def cuts_of_task(task: str, sources: Sequence[str], base: Model) -> list[TaskCut]:
    """The cuts of a task, by k.

    Args:
        task: its name.
        sources: folders of sweeps from the base on the same data, or .csv tables.
        base: the network that all tasks share.

    Raises:
        DarkshareError: a source that is neither, or of another base, data or input size; a cut that is not legal.
    """
    tables = [path for path in sources if Path(path).suffix.lower() == ".csv" and not is_folder(path)]
    if strange := [path for path in sources if path not in tables and not is_folder(path)]:
        raise DarkshareError("is neither the folder of a sweep nor a .csv table", file=strange[0])
    found = list(_of_sweeps(task, [Path(path) for path in sources if path not in tables], base))
    for path in tables:
        found += _of_table(task, Path(path), base)
    found.sort(key=lambda one: (one.k, one.side or ""))
    for one, other in pairwise(found):
        if (one.k, one.side) == (other.k, other.side):
            raise BadValue(f"{task} has {one.label} twice in {', '.join(sources)}; keep one of them")
    return found


def _of_sweeps(task: str, folders: Sequence[Path], base: Model) -> Iterator[TaskCut]:
    """Give the cuts of sweeps, whose losses are those to the smallest k of them all, seed by seed."""
    if not folders:
        return
    results = [(folder, one) for folder in folders for one in results_from(folder, base)]
    data = {key: results[0][1].settings.get(key) for key in ("valid pictures", "size")}
    for folder, one in results:
        require_same({key: one.settings.get(key) for key in data}, data, folder)
    groups: dict[tuple[int, str], list[tuple[Path, TrialResult]]] = {}
    for folder, one in results:
        groups.setdefault((one.k, str(one.settings.get("side") or "")), []).append((folder, one))
    whole = {one.seed: one.map for _, one in groups[min(groups)]}
    for (k, side), group in groups.items():
        lost = [100 * (whole[one.seed] - one.map) for _, one in group if one.seed in whole]
        if not lost:
            why = f"its k={k} has no seed of k={min(groups)[0]} to compare with; add one with --seeds"
            raise DarkshareError(why, file=str(group[0][0]))
        folder, best = max(group, key=lambda one: one[1].map)
        model = load(folder_of(folder, k, best.seed) / f"{NET}.cfg", dialect=base.network.dialect)
        yield _cut(task, k, side or None, mean(lost), base, model, deviation(lost), len(lost))


def _of_table(task: str, path: Path, base: Model) -> Iterator[TaskCut]:
    """Give the cuts that the rows of a table tell."""
    reader = csv.DictReader(read_text(path).text.splitlines())
    columns = [name.strip() for name in reader.fieldnames or ()]
    if {*columns} - {*COLUMNS} or not {*COLUMNS[:2]} <= {*columns}:
        what = f"has the columns {', '.join(columns)}" if columns else "is empty"
        raise DarkshareError(
            f"{what}; a table of losses has k and loss in points, perhaps side and cfg", file=str(path)
        )
    reader.fieldnames = columns
    try:
        rows = [({key: (row[key] or "").strip() for key in columns}, reader.line_num) for row in reader]
    except csv.Error as error:
        raise DarkshareError(f"is not a table: {error}", file=str(path), line=reader.line_num) from None
    if not rows:
        raise DarkshareError("has no row", file=str(path))
    for row, line in rows:
        try:
            yield _of_row(task, row, path, base)
        except BadValue as error:  # noqa: PERF203 - each row has its line
            raise error.locate(str(path), line) from None


def _of_row(task: str, row: dict[str, str], path: Path, base: Model) -> TaskCut:
    try:
        k, loss = int(row["k"]), float(row["loss"])
    except ValueError:
        raise BadValue(f"k={row['k']} and loss={row['loss']} must be a whole number and points of mAP") from None
    if not math.isfinite(loss):
        raise BadValue(f"loss={row['loss']} must be points of mAP")
    side, cfg = row.get("side") or None, row.get("cfg")
    if k and (why := illegal_cut(base.network, k)):
        raise BadValue(why)
    if side and not cfg:
        raise BadValue(f"the cost of the side {side} is not known; name the network that has it, in a column cfg")
    model = load(path.parent / cfg, dialect=base.network.dialect) if cfg else base
    if cfg and model.weights is None:
        raise BadValue(f"{cfg} has no weights beside it; leave cfg empty for a task that is not trained yet")
    return _cut(task, k, side, loss, base, model)


def _cut(
    task: str,
    k: int,
    side: str | None,
    loss: float,
    base: Model,
    model: Model,
    spread: float | None = None,
    seeds: int | None = None,
) -> TaskCut:
    own, first = model.network.input, base.network.input
    if own != first:
        raise DarkshareError(
            f"takes {own}, the base {first}, and a merged network has one input: "
            f"sweep all tasks at one size, and give that, as --size {own.w}x{own.h}",
            file=model.name,
        )
    flops, size = _added(base.network, model.network, k)
    return TaskCut(task, k, side, loss, spread, seeds, flops, size, model, model is not base)


def _added(base: Network, own: Network, k: int) -> tuple[float, int]:
    """The operations and the bytes of weights that a network from layer k on adds to the base."""
    if not k:
        return own.flops, file_bytes(own)
    merged = at_cuts([base, own], [k])[0]
    return round(1e9 * merged.bflops - base.flops), merged.file_bytes - file_bytes(base)
