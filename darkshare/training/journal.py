"""The course of a training: a CSV file with a line per update, and a figure of loss and mAP."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from darkshare._figures import COLOURS, GREY, Look, legend_columns, rendered, write_figure
from darkshare._files import exists, reading, write_all, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

_WIDTH = 8.0  # inches, of the figure
_KEPT = 0.9  # of the mean loss at each update, as Darknet prints it
_EVERY, _SHARE = 10.0, 50  # seconds between two figures at least, and in times of what drawing took
_WIDE, _DECADE = (
    3,
    10,
)  # ratios of the highest loss to the lowest: a linear axis up to one, 1 to 8 have labels up to the other


class Update(NamedTuple):
    """One update.

    Attributes:
        batch: its number, from 1.
        images: pictures seen so far.
        rate: the learning rate.
        width: of the input.
        height: of the input.
        loss: per picture.
        mean: of the loss, as Darknet averages it.
        iou: mean overlap of truths with the boxes that are to find them; None without truths.
        objectness: mean at places with an object; likewise.
        seconds: for loading and training.
        restarts: how often the training had gone back to a good state because it diverged.
        map: after it, where it was measured; of 0..1. Of a classifier, top-1.
        precision: of products of 32-bit numbers: tf32 on a GPU, empty where they are taken with all digits.
    """

    batch: int
    images: int
    rate: float
    width: int
    height: int
    loss: float
    mean: float
    iou: float | None
    objectness: float | None
    seconds: float
    restarts: int = 0
    map: float | None = None
    precision: str = ""


_WIDTHS = len(Update._fields) - 1, len(Update._fields)  # of a line, without precision and with it


class Journal:
    """The entries of a training, in a file that grows by a line per update.

    Args:
        path: of the CSV file.
        last: the number of the last update that counts; later lines, of a training that was killed, are dropped.
        measure: what the column of what is measured is called.
        precision: of the updates to come; a column of its own, where there is any.

    Raises:
        DarkshareError: the file cannot be read or written.
    """

    def __init__(self, path: Path, last: int = 0, *, measure: str = "mAP", precision: str = "") -> None:
        self.path, self.figure, self._measure, self._precision = path, path.with_suffix(".png"), measure, precision
        self._next = monotonic() + _EVERY
        self.entries = _entries(path) if last else []
        self._width = len(Update._fields) - (not precision and not any(entry.precision for entry in self.entries))
        self.go_back(last)

    @property
    def mean(self) -> float | None:
        """The mean loss so far."""
        return self.entries[-1].mean if self.entries else None

    def mean_with(self, loss: float) -> float:
        """The mean loss after one more update."""
        return loss if self.mean is None else self.mean * _KEPT + loss * (1 - _KEPT)

    def add(self, entry: Update) -> None:
        """Write down one update.

        Raises:
            DarkshareError: the file cannot be written.
        """
        self.entries.append(entry._replace(precision=self._precision))
        with writing(self.path), open(self.path, "ab") as file:
            file.write(_lines([self.entries[-1][: self._width]]))

    def amend(self, measured: float) -> None:
        """Note the mAP after the last update.

        Raises:
            DarkshareError: the file cannot be written.
        """
        if self.entries:  # a resumed training may miss its file
            self.entries[-1] = self.entries[-1]._replace(map=measured)
            self._write()

    def go_back(self, last: int) -> None:
        """Drop the updates behind the one that the training goes on from.

        Raises:
            DarkshareError: the file cannot be written.
        """
        self.entries = [entry for entry in self.entries if entry.batch <= last]
        self._write()

    @property
    def wants_figure(self) -> bool:
        """Whether it is time to draw it again."""
        return bool(self.entries) and monotonic() >= self._next

    def draw(self, title: str) -> None:
        """Draw the course so far.

        Raises:
            DarkshareError: the file cannot be written.
        """
        begun = monotonic()
        plot_training(self.entries, self.figure, title=title, measure=self._measure)
        self._next = monotonic() + max(_EVERY, _SHARE * (monotonic() - begun))

    def _write(self) -> None:
        header = (*Update._fields[:-2], self._measure.lower().replace("-", ""), Update._fields[-1])
        rows = [row[: self._width] for row in (header, *self.entries)]
        write_all({self.path: [_lines(rows)]}, durable=False, own=True)


def plot_training(entries: Sequence[Update], path: Path | str, *, measure: str = "mAP", **look: Unpack[Look]) -> None:
    """Draw loss and mAP over the updates into a file; see `Outcome.plot`."""
    write_figure(path, lambda: _figure(entries, measure, look.get("width") or _WIDTH), **look)


def draw_training(entries: Sequence[Update], form: str, *, measure: str = "mAP") -> bytes:
    """The same figure as the bytes of a file: png, svg or pdf."""
    return rendered(lambda: _figure(entries, measure), form)


def _figure(entries: Sequence[Update], measure: str, width: float = _WIDTH) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4.5), layout="constrained")
    axes = figure.add_subplot()
    numbers = [entry.batch for entry in entries]
    losses = [entry.loss for entry in entries]
    axes.plot(numbers, losses, color=COLOURS[0], alpha=0.3, linewidth=0.8, label="loss")
    axes.plot(numbers, [entry.mean for entry in entries], color=COLOURS[0], label="mean loss")
    if losses and max(losses) > _WIDE * min(losses) > 0:
        _scale(axes, max(losses) / min(losses))
    axes.set(xlabel="batch", ylabel="loss per picture")
    axes.grid(color=GREY, alpha=0.25)
    measured = [entry for entry in entries if entry.map is not None]
    if measured:
        _draw_measured(axes.twinx(), measured, measure)
    handles = [line for one in figure.axes for line in one.get_legend_handles_labels()[0]]
    columns = legend_columns([str(line.get_label()) for line in handles], width)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _scale(axes: Axes, span: float) -> None:
    """A logarithmic axis of losses, with as many labels as there is room for."""
    from matplotlib.ticker import LogLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(LogLocator(subs=range(2, 9) if span < _DECADE else (2, 5)))
    axes.yaxis.set_minor_formatter("{x:g}")


def _draw_measured(axes: Axes, measured: Sequence[Update], measure: str) -> None:
    """The curve of mAP or top-1 on an axis of its own, with a ring around the best; the legend has the numbers."""
    percent = [100 * (entry.map or 0.0) for entry in measured]
    best = max(range(len(percent)), key=lambda i: percent[i])
    label = (
        f"{measure} (right): best {percent[best]:.1f} % after batch {measured[best].batch}, last {percent[-1]:.1f} %"
    )
    axes.plot([entry.batch for entry in measured], percent, color=COLOURS[1], marker="o", label=label)
    axes.plot(measured[best].batch, percent[best], "o", color=COLOURS[1], markersize=12, markerfacecolor="none")
    axes.set(ylim=(-2, 102), ylabel=f"{measure} on the validation pictures, %")


def _lines(rows: Sequence[Sequence[object]]) -> bytes:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()


def _entries(path: Path) -> list[Update]:
    """The entries of a file; none where there is no file, without a last line that was cut off."""
    if not exists(path):
        return []
    with reading(path):
        rows = csv.reader(path.read_text(encoding="utf-8", errors="replace").splitlines())
    found: list[Update] = []
    with suppress(ValueError, OverflowError, csv.Error):  # of an infinite number of pictures, of a cell of 200 kB
        for row in islice(rows, 1, None):
            if len(row) not in _WIDTHS or row[0] == Update._fields[0]:
                break
            found.append(_entry(row))
    return found


def _entry(row: Sequence[str]) -> Update:
    values = [None if cell == "" else float(cell) for cell in row[: _WIDTHS[0]]]
    numbers = [value if value is not None else 0.0 for value in values[:7]]
    batch, images, rate, width, height, loss, mean = numbers
    return Update(
        int(batch),
        int(images),
        rate,
        int(width),
        int(height),
        loss,
        mean,
        values[7],
        values[8],
        values[9] or 0.0,
        int(values[10] or 0),
        values[11],
        *row[_WIDTHS[0] :],
    )
