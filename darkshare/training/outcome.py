"""The result of a training."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._tables import Result, to_html
from darkshare.darknet.model import Model
from darkshare.training.files import BEST
from darkshare.training.journal import Update, draw_training, plot_training

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from darkshare._figures import Look


def measured(measure: str, mean: float, mistakes: str) -> str:
    """The measure, with the mistakes behind it where the measure does not say all."""
    return f"{measure} {100 * mean:.2f} %" + (f" ({mistakes})" if mistakes else "")


@dataclass(frozen=True, repr=False)
class Outcome(Result):
    """The network that a training left, and its course: a row for each update.

    Attributes:
        model: after the last update.
        done: how many updates it had.
        batches: how many it was to have.
        map: of the model; None if it was not measured. Of a classifier, top-1.
        best: the highest measured.
        best_batch: after which update that was.
        seconds: that this run took.
        rule: by which it was counted.
        files: that were written.
        entries: of the updates.
        measure: "mAP" or "top-1".
        stopped: whether Ctrl-C ended it before everything was done.
        tested: of the best network, on pictures by which nothing was chosen; None where there are none.
        mistakes: of the model on the validation pictures: false positives and misses above a threshold, in words.
        best_mistakes: of the best one.
    """

    model: Model
    done: int
    batches: int
    map: float | None
    best: float | None
    best_batch: int
    seconds: float
    rule: str
    files: tuple[Path, ...]
    entries: tuple[Update, ...] = ()
    measure: str = "mAP"
    stopped: bool = False
    tested: float | None = None
    mistakes: str = ""
    best_mistakes: str = ""

    @property
    def best_files(self) -> tuple[Path, ...]:
        """The names that the files of the best network have, where one was measured; not each of them is written."""
        stem = self.files[0].stem
        files = self.files if self.best_batch else ()
        return tuple(path.with_name(f"{stem}{BEST}{path.name.removeprefix(stem)}") for path in files)

    @property
    def best_network(self) -> tuple[Path, ...]:
        """The cfg and the weights of the best network, which may be the last one."""
        return (self.best_files if self.best_batch not in (0, self.done) else self.files)[:2]

    def rows(self) -> list[dict[str, Any]]:
        """The updates."""
        hidden = () if any(entry.precision for entry in self.entries) else ("precision",)
        return [{key: value for key, value in entry._asdict().items() if key not in hidden} for entry in self.entries]

    def table(self) -> list[dict[str, Any]]:
        """Nothing: people look at the figure, and the notes say what came out."""
        return []

    def notes(self) -> list[str]:
        """The files, and the mAP of the networks in them."""
        cfg = self.files[0]
        lines = [f"{cfg}: {self.summary()}"]
        if self.best is not None:
            best = f"the best, after batch {self.best_batch}, {measured(self.measure, self.best, self.best_mistakes)}"
            lines.append(f"{self.best_files[0]}: {best}")
            lines += [*self._tested(), f"{self.measure}: {self.rule}"]
        return [*lines, f"{self.seconds:.0f} s; wrote {', '.join(map(str, self.files))}"]

    def _tested(self) -> list[str]:
        """The sentence on how far the best may be better than it is; none where nothing was chosen."""
        if self.tested is not None:
            return [f"the best has {100 * self.tested:.2f} % on the pictures of test=, by which nothing was chosen"]
        chosen = sum(entry.map is not None for entry in self.entries) > 1 and not self.stopped
        return ["the best is chosen by what measures it; import-data --test sets others aside"] if chosen else []

    def as_dict(self) -> dict[str, Any]:
        """The course, the notes, and what came out, as plain values."""
        names = (
            "done", "batches", "map", "mistakes", "best", "best_batch", "best_mistakes", "seconds", "rule", "measure",
            "stopped", "tested",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return {**super().as_dict(), **found, "files": [str(path) for path in self.files]}

    def summary(self) -> str:
        last = "" if self.map is None else f", {measured(self.measure, self.map, self.mistakes)}"
        return f"after batch {self.done} of {self.batches}{last}"

    def plot(self, path: Path | str, **look: Unpack[Look]) -> None:
        """Draw loss and mAP into a .png, .svg or .pdf file.

        Args:
            path: the file; it is replaced as a whole.
            look: width in inches, font_size in points, title, in place of the figure's own.

        Raises:
            DarkshareError: another suffix, or the file cannot be written.
        """
        plot_training(self.entries, path, measure=self.measure, **look)

    def _repr_html_(self) -> str:
        numbers = {"updates": self.done, self.measure: self.map, "best": self.best, "seconds": self.seconds}
        table = to_html([numbers], self.notes())
        if not self.entries:
            return table
        picture = b64encode(draw_training(self.entries, "png", measure=self.measure)).decode()
        return f'<img src="data:image/png;base64,{picture}" alt="loss per update">{table}'


@dataclass(frozen=True, repr=False)
class Outcomes(Result):
    """The networks that trainings side by side left: a row for each.

    Attributes:
        tasks: what came out, by task.
        failed: why the others ended with an error, by task.
    """

    tasks: Mapping[str, Outcome]
    failed: Mapping[str, str]

    @property
    def stopped(self) -> bool:
        """Whether Ctrl-C ended one of them before everything was done."""
        return any(one.stopped for one in self.tasks.values())

    def rows(self) -> list[dict[str, Any]]:
        """The numbers of each, mAP or top-1 of 0..1."""
        names = ("done", "batches", "measure", "map", "best", "best_batch", "tested", "seconds", "stopped")
        return [{"task": task, **{name: getattr(one, name) for name in names}} for task, one in self.tasks.items()]

    def table(self) -> list[dict[str, Any]]:
        """Nothing: the notes say what came out."""
        return []

    def notes(self) -> list[str]:
        """The notes of each, and why others failed."""
        lines = [line for one in self.tasks.values() for line in one.notes()]
        return [*lines, *(f"{task} failed: {why}" for task, why in self.failed.items())]

    def as_dict(self) -> dict[str, Any]:
        """The rows, the notes, each training with its course, and the failures, as plain values."""
        tasks = {task: one.as_dict() for task, one in self.tasks.items()}
        return {**super().as_dict(), "tasks": tasks, "failed": dict(self.failed), "stopped": self.stopped}

    def summary(self) -> str:
        parts = [f"{task} {one.summary()}" for task, one in self.tasks.items()]
        return "; ".join([*parts, *(f"{task} failed" for task in self.failed)])
