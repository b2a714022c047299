"""Results of a sweep: a row for each training, and a summary for each k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from darkshare._files.opened import sha256
from darkshare.choose_k.trials import TrialResult, results_in
from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError


@dataclass(frozen=True)
class Choice:
    """A k over its seeds.

    Attributes:
        k: how many layers are shared.
        seeds: how many trainings there are.
        map: the mean of their mAP by Darknet's rule, of 0..1.
        lowest: of these.
        highest: of these.
        deviation: the standard deviation over the seeds; None with one seed.
        coco_ap50: the mean by COCO's tool; None where one of them was not counted.
        coco_ap: likewise, over IoU .50 to .95.
        lost: mAP of k=0 less this one's, the mean over the seeds that both have; None without such a seed.
        lost_deviation: its standard deviation over these seeds; None with fewer than two.
        weights: the share of a further network's weights that is saved.
        flops: of its operations.
        train_seconds: the mean.
        pareto: whether no larger k has a mean mAP as high.
    """

    k: int
    seeds: int
    map: float
    lowest: float
    highest: float
    deviation: float | None
    coco_ap50: float | None
    coco_ap: float | None
    lost: float | None
    lost_deviation: float | None
    weights: float
    flops: float
    train_seconds: float
    pareto: bool


def choices(results: Sequence[TrialResult], shares: Mapping[int, tuple[float, float]]) -> list[Choice]:
    """The summary of each k, in ascending order.

    Args:
        results: of any number of trials.
        shares: for each k the shares of weights and of operations that are saved.
    """
    whole = {one.seed: one.map for one in results if one.k == 0}
    found: list[Choice] = []
    for k in sorted({one.k for one in results}, reverse=True):
        own = [one for one in results if one.k == k]
        maps = [one.map for one in own]
        lost = [whole[one.seed] - one.map for one in own if one.seed in whole]
        found.append(
            Choice(
                k,
                len(own),
                mean(maps),
                min(maps),
                max(maps),
                deviation(maps),
                _mean([one.coco_ap50 for one in own]),
                _mean([one.coco_ap for one in own]),
                mean(lost) if lost else None,
                deviation(lost),
                *shares[k],
                mean(one.train_seconds for one in own),
                pareto=all(mean(maps) > other.map for other in found),
            )
        )
    return found[::-1]


def measured_maps(sweep: Path, base: Model) -> dict[int, float]:
    """The mean mAP of each k in a sweep's folder.

    Raises:
        DarkshareError: there are no results, or they are of another base.
    """
    results = results_from(sweep, base)
    return {k: mean(x.map for x in results if x.k == k) for k in sorted({x.k for x in results})}


def results_from(sweep: Path, base: Model) -> list[TrialResult]:
    """All results in the folder of a sweep from this base.

    Raises:
        DarkshareError: there are no results, or they are of another base.
    """
    results = results_in(sweep, None)
    if not results:
        raise DarkshareError("holds no results of a sweep", file=str(sweep))
    require_base(results[0], base, sweep)
    return results


def require_base(result: TrialResult, base: Model, sweep: Path) -> None:
    """Refuse a result that comes from other weights than those of a base.

    Raises:
        DarkshareError: it does.
    """
    if result.settings["weights"] != (base.weights and sha256(base.weights.path)):
        raise DarkshareError(f"is a sweep from other weights than those of {base.name}", file=str(sweep))


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None of fewer than two values."""
    return stdev(values) if len(values) > 1 else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return mean(known) if len(known) == len(values) else None


def choice_rows(found: Sequence[Choice]) -> list[dict[str, object]]:
    """The columns of summaries that fit a terminal, mAP in percent."""
    return [
        {
            "k": one.k,
            "pareto": "yes" if one.pareto else "",
            "seeds": one.seeds,
            "mAP %": _percent(one.map),
            "from..to": f"{100 * one.lowest:.2f}..{100 * one.highest:.2f}",
            "lost": _percent(one.lost),
            "±": _percent(one.lost_deviation),
            "COCO %": _percent(one.coco_ap),
            "FLOPs %": _percent(one.flops),
            "weights %": _percent(one.weights),
        }
        for one in found
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2) + 0.0  # -0.0 becomes 0.0


def result_rows(results: Sequence[TrialResult], shares: Mapping[int, tuple[float, float]]) -> list[dict[str, Any]]:
    """One flat row for each training."""
    left_out = ("settings", "aps", "versions")
    rows = []
    for one in results:
        row = {key: value for key, value in asdict(one).items() if key not in left_out}
        row |= {"weights_saved": shares[one.k][0], "flops_saved": shares[one.k][1]}
        rows.append(row | {f"{name}_version": version for name, version in one.versions.items()})
    return rows
