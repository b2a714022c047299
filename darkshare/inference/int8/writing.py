"""An int8 file, written where the user wants it, and what it costs and gives: agreement, accuracy, time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from darkshare._files import CHUNK, write_all
from darkshare.darknet.model import Model, require_unprotected
from darkshare.darknet.tasks import Task
from darkshare.data import Dataset
from darkshare.errors import BadValue
from darkshare.evaluation import Runner
from darkshare.inference.bench import ROUNDS, Measured, Ratio
from darkshare.inference.bench.timing import measured, ratio, require_rounds
from darkshare.inference.engines.worker import File, Worker, take_turns
from darkshare.inference.int8.agreement import Agreement
from darkshare.inference.int8.calibration import PICTURES, SEED, choose
from darkshare.inference.int8.nncf import Nncf
from darkshare.inference.int8.search import LIMIT, SUFFIXES, attempted, require_quantiser


@dataclass(frozen=True)
class Speed:
    """Both files on their engine, in turns, each in a process of its own."""

    exact: Measured
    quantised: Measured
    ratio: Ratio


@dataclass(frozen=True)
class Score:
    """Mean average precision of a task, from 0 to 1, and the rule that counted it."""

    task: str
    data: str
    exact: float
    quantised: float
    rule: str


@dataclass(frozen=True)
class Quantised:
    """An int8 file, and how it compares with fp32.

    Attributes:
        path: the file.
        engine: that it was made for and measured on.
        heads: in the file's order.
        kept: the layers that stayed in fp32.
        limit: that the heads were held against.
        calibrated: how many pictures the quantiser saw.
        judged: on how many pictures the heads were compared.
        apart: whether these were other pictures.
        speed: of both.
        scores: of the tasks whose classes the data set has.
    """

    path: Path
    engine: str
    heads: tuple[Agreement, ...]
    kept: tuple[int, ...]
    limit: float
    calibrated: int
    judged: int
    apart: bool
    speed: Speed
    scores: tuple[Score, ...] = ()


def quantise(
    model: Model,
    path: str | os.PathLike[str],
    pictures: str,
    *,
    engine: str = "onnxruntime",
    limit: float = LIMIT,
    count: int = PICTURES,
    seed: int = SEED,
    data: Dataset | None = None,
    rounds: int = ROUNDS,
    threads: int | None = None,
    bn_epsilon: float = 1e-5,
    protect: Sequence[str] = (),
) -> Quantised:
    """Write a model in int8 and measure what became of it.

    The whole network is quantised first. A head that agrees with fp32 in less than `limit` gets its last convolution
    back in fp32; if that is not enough, the tenth of the layers below it that adds most error, and so on.

    Args:
        model: with weights.
        path: an .onnx file for ONNX Runtime, an .xml for OpenVINO, which gets a .bin beside it.
        pictures: see `calibration.choose`.
        engine: the one whose quantiser is used, and that the file is made for.
        limit: see `Agreement.level`; 0 takes int8 as it comes.
        count: how many pictures calibrate at most.
        seed: of the lot that draws them.
        data: labelled pictures, to count mean average precision on.
        rounds: how often each file runs for the comparison of times.
        threads: to measure with.
        bn_epsilon: see `onnxfile.export`.
        protect: files that must not be replaced, usually the inputs.

    Raises:
        DarkshareError: what cannot be read, written or quantised.
    """
    require_rounds(rounds)
    require_quantiser(engine, limit)
    target = Path(path)
    if target.suffix != SUFFIXES[engine]:
        raise BadValue(f"int8 for {engine} is a file with the suffix {SUFFIXES[engine]}", file=str(target))
    tasks = _tasks_of(model, data) if data else []
    chosen = choose(pictures, count, seed)
    with attempted(model, chosen, engine, limit=limit, seed=seed, bn_epsilon=bn_epsilon) as best:
        both = (best.exact, best.file)
        speed = _speed(engine, both, rounds, threads)
        scores = tuple(_scores(model, tasks, data, engine, both)) if data else ()
        _store(Path(best.file.path), target, protect)
    return Quantised(
        path=target, engine=engine, heads=best.heads, kept=best.kept, limit=limit, calibrated=len(chosen.calibration),
        judged=len(chosen.trial), apart=not set(chosen.trial) & set(chosen.calibration), speed=speed, scores=scores,
    )  # fmt: skip


def _speed(engine: str, both: Sequence[File], rounds: int, threads: int | None) -> Speed:
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(engine, [file], threads=threads)) for file in both]
        times = take_turns(workers, rounds)
        exact, quantised = (measured(*one) for one in zip(workers, times, strict=True))
    return Speed(exact, quantised, ratio(quantised, exact))


def _tasks_of(model: Model, data: Dataset) -> list[Task]:
    """The tasks that know all classes of a data set.

    Raises:
        BadValue: there is none.
    """
    found = [task for task in model.tasks if set(data.names) <= set(task.names)]
    if not found:
        known = {name for task in model.tasks for name in task.names}
        strange = next((name for name in data.names if name not in known), data.names[0])
        raise BadValue(f"no task has all classes of {data.name}, such as {strange!r}", file=model.name)
    return found


def _scores(model: Model, tasks: Sequence[Task], data: Dataset, engine: str, both: Sequence[File]) -> Iterator[Score]:
    """Mean average precision of both files, for each of the tasks."""
    runners = [Runner.of(model, engine=engine, file=file.path) for file in both]
    for task in tasks:
        exact, quantised = (runner.detect_dataset(data, task.name).evaluate(data) for runner in runners)
        yield Score(task.name, data.name, exact.mean, quantised.mean, str(exact.rule))


def _store(made: Path, target: Path, protect: Sequence[str]) -> None:
    contents = {target: _pieces(made)}
    if made.suffix == Nncf.suffix:
        contents[target.with_suffix(".bin")] = _pieces(made.with_suffix(".bin"))
    require_unprotected(contents, protect)
    write_all(contents)


def _pieces(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def to_rows(found: Quantised) -> list[dict[str, object]]:
    """A line for each head, for people; `to_json` has every number."""
    scores = {score.task: score for score in found.scores}
    return [
        {
            "task": head.task,
            "output": head.output,
            "found": head.found,
            "both": None if head.both is None else round(head.both, 3),
            "score off by": None if head.score_difference is None else round(head.score_difference, 4),
            "numbers off by": round(head.difference, 4),
        }
        | ({} if not scores else _map_columns(scores.get(head.task)))
        for head in found.heads
    ]


def _map_columns(score: Score | None) -> dict[str, object]:
    values = (None, None) if score is None else (score.exact, score.quantised)
    return {
        name: None if value is None else round(100 * value, 2)
        for name, value in zip(("mAP fp32", "mAP int8"), values, strict=True)
    }


def lines(found: Quantised) -> list[str]:
    """The lines below the table."""
    before, after = found.speed.exact.spread.median, found.speed.quantised.spread.median
    gain, own = found.speed.ratio, "other" if found.apart else "the same"
    verdict = "" if gain.high < 1 else ": not surely faster here, so fp32 is the better choice on this machine"
    kept = ", ".join(f"L{i}" for i in found.kept) or "none"
    said = [
        f"calibrated with {found.calibrated} pictures, compared on {found.judged} {own} ones",
        f"layers kept in fp32: {kept}",
        f"{found.engine}: fp32 {1000 * before:.2f} ms, int8 {1000 * after:.2f} ms, "
        f"ratio {gain.median:.3f} ({gain.low:.3f} to {gain.high:.3f}){verdict}",
    ]
    return said + [f"mAP of {score.task} on {score.data}: {score.rule}" for score in found.scores]


def to_json(found: Quantised) -> dict[str, object]:
    """Everything, with the seconds of every round."""
    return {**asdict(found), "path": str(found.path)}
