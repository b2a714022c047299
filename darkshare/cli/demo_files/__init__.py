"""Run the main job on three tiny detectors: one merged network, the same answers in one pass.

One detector was trained for what is in a street, two from its layer 13 on: for marks and for lines of text;
`examples/demo-models` says how, and draws the pictures.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darkshare._files import write_all
from darkshare._images import Picture, encoded, read_picture
from darkshare._tables import Result, fitted, render
from darkshare.analysis.drawing import draw
from darkshare.analysis.drawing.figure import figure_bytes
from darkshare.darknet.model import Model, load, save
from darkshare.darknet.weights import Floats
from darkshare.data import Dataset
from darkshare.data.types import Box, Sample
from darkshare.errors import DarkshareWarning
from darkshare.evaluation import Runner
from darkshare.inference.boxes import Detections
from darkshare.inference.detector import Detector
from darkshare.inference.draw import annotate
from darkshare.surgery.splice import concat

HERE = Path(__file__).parent
NETWORKS = ("street", "marks", "text")
PHOTO = "street.png"
PICTURES = HERE / "pictures"
IOUS = (0.5, 0.75)
K = 13


@dataclass(frozen=True)
class SameHead:
    """A head of the merged network against the same head of the network that it came from."""

    task: str
    head: int
    separate: int
    values: int
    largest_difference: float


@dataclass(frozen=True)
class TaskScore:
    """Mean average precision of a task by Darknet's rule: of boxes that hit, IoU > 0.5, and that fit, IoU > 0.75."""

    task: str
    truths: int
    mean: float
    fitting: float


@dataclass(frozen=True, repr=False)
class Demonstration(Result):
    """The picture that `demonstrate` drew, what is on it, how networks compare, how good tasks are, and remarks."""

    picture: Path
    found: tuple[Detections, ...]
    comparisons: tuple[SameHead, ...]
    scores: tuple[TaskScore, ...]
    savings: Result
    remarks: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(row) for row in self.comparisons]

    def heading(self) -> str:
        return f"Three networks share their first {K} layers. Every head, merged against separate:"

    def notes(self) -> list[str]:
        return [f"The picture with all boxes, above the merged network: {self.picture}"]

    def seen(self) -> list[dict[str, Any]]:
        """A row for each class that is on the picture: how often, and how sure the network is of the least sure one."""
        scores: dict[tuple[str, str], list[float]] = {}
        for found in self.found:
            for name, score, _ in found:
                scores.setdefault((found.task, name), []).append(score)
        return [
            {"task": task, "name": name, "objects": len(all_), "lowest_score": round(min(all_), 2)}
            for (task, name), all_ in scores.items()
        ]

    def measured(self) -> list[dict[str, Any]]:
        """A row for each task: how well it finds what is drawn in pictures that no network learned from."""
        return [{"task": x.task, "truths": x.truths, "mAP": x.mean, "AP75": x.fitting} for x in self.scores]

    def text(self, form: str = "text", room: int | None = None) -> str:
        """The tables below one another, each with its line above."""
        parts = [
            fitted(self.heading(), room), render(self.rows(), form, room),
            "What that saves:", render(self.savings.table(), form, room),
            "What one pass of the merged network sees:", render(self.seen(), form, room),
            "How well, on a dozen pictures that none of them learned from:", render(self.measured(), form, room),
            *self.notes(),
        ]  # fmt: skip
        return "\n\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        rows = {"rows": self.rows(), "savings": self.savings.rows(), "seen": self.seen(), "measured": self.measured()}
        return {**rows, "notes": [*self.notes(), *self.remarks]}

    def summary(self) -> str:
        return f"{len(self.comparisons)} heads, {sum(map(len, self.found))} objects"


def demonstrate(folder: Path) -> Demonstration:
    """Write three networks, merge them, run all four on a drawn picture, compare every head and measure the tasks.

    Args:
        folder: where the networks, the merged one and the pictures go.
    """
    separate = _write_networks(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DarkshareWarning)
        both = concat(separate, K)
    assert both.report is not None
    save(both, folder / "both")
    merged = load(folder / "both.cfg")
    photo, runner = read_picture(HERE / PHOTO), Runner.of(merged)
    comparisons = tuple(_compare(merged, runner.detector.raw(photo), separate, photo))
    found = tuple(runner.detector.detect(photo))
    scores = tuple(_measure(runner, list(_datasets(separate))))
    picture = folder / "both.png"
    drawn = encoded(_above(annotate(photo, found), merged), ".png")
    write_all({folder / PHOTO: [(HERE / PHOTO).read_bytes()], picture: [drawn]})
    remarks = tuple(str(one.message) for one in caught)
    return Demonstration(picture, found, comparisons, scores, both.report, remarks)


def _write_networks(folder: Path) -> list[Model]:
    models = []
    for name in NETWORKS:
        parts = [f"{name}{suffix}" for suffix in (".cfg", ".names", ".weights")]
        write_all({folder / part: [(HERE / part).read_bytes()] for part in parts})
        models.append(load(folder / f"{name}.cfg"))
    return models


def _datasets(models: Sequence[Model]) -> Iterator[Dataset]:
    """The pictures to measure on, with the boxes of each task."""
    rows = list(csv.DictReader(io.StringIO((PICTURES / "boxes.csv").read_text(encoding="utf-8"))))
    for name, model in zip(NETWORKS, models, strict=True):
        boxes: dict[str, list[Box]] = {row["picture"]: [] for row in rows}
        for row in rows:
            if row["task"] == name:
                x, y, w, h = (float(row[key]) for key in "xywh")
                boxes[row["picture"]].append(Box(int(row["class"]), x, y, w, h))
        samples = tuple(Sample(PICTURES / f"{stem}.jpg", tuple(own)) for stem, own in boxes.items())
        yield Dataset(name, model.tasks[0].names, samples)


def _compare(merged: Model, found: dict[int, Floats], separate: list[Model], photo: Picture) -> Iterator[SameHead]:
    for task, model in zip(merged.tasks, separate, strict=True):
        alone = Detector(model).raw(photo)
        for head, own in zip(task.heads, model.tasks[0].heads, strict=True):
            difference = float(np.abs(found[head] - alone[own]).max())
            yield SameHead(task.name, head, own, alone[own].size, difference)


def _measure(runner: Runner, datasets: list[Dataset]) -> Iterator[TaskScore]:
    """The pictures of all data sets are the same, so one pass over those of the first is enough."""
    tasks = runner.model.tasks
    for task, found, dataset in zip(tasks, runner.detect_tasks(datasets[0], tasks), datasets, strict=True):
        means = [round(found.evaluate(dataset, iou=iou).mean, 3) for iou in IOUS]
        yield TaskScore(task.name, sum(len(sample.boxes) for sample in dataset.samples), *means)


def _above(photo: Picture, merged: Model) -> Picture:
    """The picture above the drawing of the network, as wide as the wider of both, on white."""
    import cv2

    drawing = cv2.imdecode(np.frombuffer(figure_bytes(draw(merged).sheet, "png"), np.uint8), cv2.IMREAD_COLOR)
    assert drawing is not None
    width = max(photo.shape[1], drawing.shape[1])
    sheet = np.full((photo.shape[0] + drawing.shape[0], width, 3), 255, np.uint8)
    for part, top in ((photo, 0), (drawing, photo.shape[0])):
        left = (width - part.shape[1]) // 2
        sheet[top : top + part.shape[0], left : left + part.shape[1]] = part
    return sheet
