"""An int8 file, written where the user wants it, with its agreement, accuracy and time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from darkshare._files import pieces, require_unread, write_all
from darkshare._tables import Result
from darkshare._texts import to_escaped
from darkshare.darknet.model import Model
from darkshare.errors import BadValue
from darkshare.inference.engines.files import File
from darkshare.inference.engines.timing import Measured, TimeRatio, in_turns, ratio, require_rounds, rounded
from darkshare.inference.engines.worker import Worker
from darkshare.inference.int8.agreement import HeadAgreement
from darkshare.inference.int8.calibration import choose
from darkshare.inference.int8.nncf import Nncf
from darkshare.inference.int8.search import SUFFIXES, Int8, attempted, require_quantiser
from darkshare.inference.onnx import MANIFEST, ExportForm, beside, lower
from darkshare.inference.onnx.facts import manifest
from darkshare.inference.runners import LANGUAGES, runner


@dataclass(frozen=True)
class Speed:
    """The times of both files on their engine, in turns, each in a process of its own."""

    exact: Measured
    quantised: Measured
    ratio: TimeRatio


@dataclass(frozen=True)
class TaskScores:
    """Mean average precision of a task in fp32 and int8, from 0 to 1, and the rule that counted it."""

    task: str
    data: str
    exact: float
    quantised: float
    rule: str


Judge = Callable[[str, str], Sequence[TaskScores]]  # takes the paths of both files, fp32 and int8


@dataclass(frozen=True, repr=False)
class Quantised(Result):
    """An int8 file, and how it compares with fp32.

    Attributes:
        path: the file.
        others: what was written beside it.
        engine: that it was made for and measured on.
        heads: in the file's order.
        kept: the layers that stayed in fp32.
        limit: that the heads were held against.
        calibrated: how many pictures the quantiser saw.
        judged: on how many pictures the heads were compared.
        apart: whether these were other pictures.
        speed: of both.
        scores: of the tasks that were judged by labelled pictures.
    """

    path: Path
    engine: str
    heads: tuple[HeadAgreement, ...]
    kept: tuple[int, ...]
    limit: float
    calibrated: int
    judged: int
    apart: bool
    speed: Speed
    scores: tuple[TaskScores, ...] = ()
    others: tuple[Path, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files that were written."""
        return [self.path, *self.others]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each head."""
        scores = {score.task: score for score in self.scores}
        return [
            {
                "task": head.task,
                "output": head.output,
                "found": head.found,
                "both": head.both,
                "score off by": head.score_difference,
                "numbers off by": head.difference,
                **(_percents(scores.get(head.task)) if scores else {}),
            }
            for head in self.heads
        ]

    def table(self) -> list[dict[str, Any]]:
        digits = {"both": 3, "score off by": 4, "numbers off by": 4, "mAP fp32": 2, "mAP int8": 2}
        return [rounded(row, digits) for row in self.rows()]

    def notes(self) -> list[str]:
        """The pictures, the layers in fp32, the times and the rule of mAP."""
        before, after = self.speed.exact.spread.median, self.speed.quantised.spread.median
        gain, own = self.speed.ratio, "other" if self.apart else "the same"
        verdict = "" if gain.high < 1 else ": not surely faster here, so fp32 is the better choice on this machine"
        kept = ", ".join(f"L{i}" for i in self.kept) or "none"
        return [
            f"calibrated with {self.calibrated} pictures, compared on {self.judged} {own} ones",
            f"layers kept in fp32: {kept}",
            f"{self.engine}: fp32 {1000 * before:.2f} ms, int8 {1000 * after:.2f} ms, "
            f"ratio {gain.median:.3f} ({gain.low:.3f} to {gain.high:.3f}){verdict}",
            *(f"mAP of {score.task} on {score.data}: {score.rule}" for score in self.scores),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything, with the seconds of every round."""
        paths = {"path": str(self.path), "others": [*map(str, self.others)]}
        return {**super().as_dict(), **asdict(self), **paths}

    def summary(self) -> str:
        worst = min(head.level for head in self.heads)
        return f"{self.path} for {self.engine}, agrees with fp32 in {worst:.3f}, its worst head"


def write_int8(
    model: Model,
    output: str | os.PathLike[str] | None,
    calibrate: str,
    how: Int8,
    *,
    judge: Judge | None = None,
    protect: Sequence[str] = (),
    with_manifest: bool = False,
    language: str | None = None,
) -> Quantised:
    """Write a model in int8 and measure its agreement with fp32, its accuracy and its time.

    The whole network is quantised first. A head that agrees with fp32 in less than `how.agreement` gets its last
    convolution back in fp32; if that is not enough, the tenth of the layers below it that adds most error, and so on.

    Args:
        model: with weights.
        output: an .onnx file for ONNX Runtime, an .xml for OpenVINO, which gets a .bin beside it; None for one beside
            the cfg.
        calibrate: see `calibration.choose`.
        how: the engine, the agreement that is wanted, and how to measure.
        judge: gives the mean average precision of both files.
        protect: files that must not be replaced, usually the inputs.
        with_manifest: also write what a program has to know of the file.
        language: of a runner that is written beside it; None for none.

    Raises:
        DarkshareError: what cannot be read, written or quantised.
    """
    require_rounds(how.rounds)
    require_quantiser(how.engine, how.agreement)
    suffix = SUFFIXES[how.engine]
    target = Path(output) if output else beside(model, f"-int8{suffix}")
    if target.suffix != suffix:
        raise BadValue(f"int8 for {how.engine} is a file with the suffix {suffix}", file=str(target))
    form = ExportForm(bn_epsilon=how.bn_epsilon, target=how.engine if with_manifest else "")
    more: dict[Path, Iterable[bytes]] = {}
    if language is not None:
        program = runner(model, language, target, form)
        more[target.with_suffix(LANGUAGES[language])] = [program]
    chosen = choose(calibrate, how.count, how.seed)
    with attempted(model, chosen, how) as best:
        speed = _speed(how, (best.exact, best.file))
        scores = tuple(judge(best.exact.path, best.file.path)) if judge else ()
        if with_manifest:
            known = manifest(lower(model, form), precision="int8", quantised=best.facts)
            more = {target.with_suffix(MANIFEST): [to_escaped(known)], **more}
        made = zip(_paths(target), _paths(Path(best.file.path)), strict=True)
        contents = {path: pieces(source) for path, source in made} | more
        require_unread(contents, protect)
        write_all(contents)
    return Quantised(
        path=target, others=tuple(contents)[1:], engine=how.engine, heads=best.heads, kept=best.kept,
        limit=how.agreement, calibrated=len(chosen.calibration), judged=len(chosen.trial),
        apart=not set(chosen.trial) & set(chosen.calibration), speed=speed, scores=scores,
    )  # fmt: skip


def _speed(how: Int8, both: Sequence[File]) -> Speed:
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(how.engine, [file], threads=how.threads)) for file in both]
        exact, quantised = in_turns(workers, how.rounds)
    return Speed(exact, quantised, ratio(quantised, exact))


def _paths(target: Path) -> list[Path]:
    """Name the files that an int8 file is."""
    return [target, target.with_suffix(".bin")] if target.suffix == Nncf.suffix else [target]


def _percents(score: TaskScores | None) -> dict[str, float | None]:
    values = (None, None) if score is None else (100 * score.exact, 100 * score.quantised)
    return dict(zip(("mAP fp32", "mAP int8"), values, strict=True))
