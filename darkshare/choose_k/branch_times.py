"""Times of branches on this machine: of the base with one branch, less the base's alone, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from darkshare.choose_k.task_cuts import TaskCut
from darkshare.darknet.model import Model
from darkshare.evaluation.runner import Watch
from darkshare.inference.bench import measure_merging, separate_and_merged


def timed(
    base: Model,
    tasks: Sequence[Sequence[TaskCut]],
    engine: str,
    *,
    rounds: int,
    threads: int | None,
    precision: str,
    watch: Watch,
) -> tuple[float, list[list[TaskCut]]]:
    """The milliseconds of the base, and the cuts with theirs; networks of one structure are measured once.

    Raises:
        DarkshareError: an engine that cannot run them, networks without weights, or too few rounds.
    """
    kinds = {_kind(one): one for own in tasks for one in own}
    alone, added = [], {}
    for kind, one in watch(list(kinds.items())):
        pair = separate_and_merged([base, one.model], one.k, force=True)[1] if one.k else one.model
        found = measure_merging([base], pair, [engine], rounds=rounds, threads=threads, precision=precision).engines[0]
        own, both = (1000 * side.spread.median for side in (found.separate, found.merged))
        alone.append(own)
        added[kind] = both - own if one.k else both
    return median(alone), [[replace(one, ms=added[_kind(one)]) for one in own] for own in tasks]


def _kind(one: TaskCut) -> tuple[float, ...]:
    return one.k, one.flops, one.file_bytes
