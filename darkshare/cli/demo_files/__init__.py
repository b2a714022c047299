"""Run the main job on two tiny detectors: one merged network, the same answers in one pass.

One detector was trained for shapes, the other from its layer 13 on for text; `examples/demo-models` says how.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darkshare._files import write_all
from darkshare._images import Picture, encoded, read_picture
from darkshare._tables import Result, fitted, render
from darkshare.darknet.model import Model, load, save
from darkshare.darknet.weights import Floats
from darkshare.errors import DarkshareWarning
from darkshare.inference.boxes import Detections
from darkshare.inference.detector import Detector
from darkshare.inference.draw import annotate
from darkshare.surgery.splice import concat

HERE = Path(__file__).parent
NETWORKS = ("shapes", "text")
PHOTO = "photo.png"
K = 13


@dataclass(frozen=True)
class SameHead:
    """A head of the merged network against the same head of the network that it came from."""

    task: str
    head: int
    separate: int
    values: int
    largest_difference: float


@dataclass(frozen=True, repr=False)
class Demonstration(Result):
    """The picture that `demonstrate` drew, what is on it, how all networks compare, and remarks on the merged one."""

    picture: Path
    found: tuple[Detections, ...]
    comparisons: tuple[SameHead, ...]
    savings: Result
    remarks: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(row) for row in self.comparisons]

    def heading(self) -> str:
        return f"Two networks of 23 layers share their first {K}. Every head, merged against separate:"

    def notes(self) -> list[str]:
        return [f"The picture with both tasks' boxes: {self.picture}"]

    def seen(self) -> list[dict[str, Any]]:
        """A row for each object on the picture."""
        return [
            {"task": found.task, "name": name, "score": round(score, 2)}
            for found in self.found
            for name, score, _ in found
        ]

    def text(self, form: str = "text", room: int | None = None) -> str:
        """The tables below one another, each with its line above."""
        parts = [
            fitted(self.heading(), room), render(self.rows(), form, room),
            "What that saves:", render(self.savings.table(), form, room),
            "What one pass of the merged network sees:", render(self.seen(), form, room), *self.notes(),
        ]  # fmt: skip
        return "\n\n".join(parts)

    def as_dict(self) -> dict[str, Any]:
        notes = [*self.notes(), *self.remarks]
        return {"rows": self.rows(), "savings": self.savings.rows(), "seen": self.seen(), "notes": notes}

    def summary(self) -> str:
        return f"{len(self.comparisons)} heads, {len(self.seen())} objects"


def demonstrate(folder: Path) -> Demonstration:
    """Write two networks, merge them, run all three on a drawn picture and compare every head.

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
    photo = read_picture(HERE / PHOTO)
    detector = Detector(merged)
    comparisons = tuple(_compare(merged, detector.raw(photo), separate, photo))
    found = tuple(detector.detect(photo))
    picture = folder / "both.png"
    write_all({folder / PHOTO: [(HERE / PHOTO).read_bytes()], picture: [encoded(annotate(photo, found), ".png")]})
    return Demonstration(picture, found, comparisons, both.report, tuple(str(one.message) for one in caught))


def _write_networks(folder: Path) -> list[Model]:
    models = []
    for name in NETWORKS:
        parts = [f"{name}{suffix}" for suffix in (".cfg", ".names", ".weights")]
        write_all({folder / part: [(HERE / part).read_bytes()] for part in parts})
        models.append(load(folder / f"{name}.cfg"))
    return models


def _compare(merged: Model, found: dict[int, Floats], separate: list[Model], photo: Picture) -> Iterator[SameHead]:
    for task, model in zip(merged.tasks, separate, strict=True):
        alone = Detector(model).raw(photo)
        for head, own in zip(task.heads, model.tasks[0].heads, strict=True):
            difference = float(np.abs(found[head] - alone[own]).max())
            yield SameHead(task.name, head, own, alone[own].size, difference)
