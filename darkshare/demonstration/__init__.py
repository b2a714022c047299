"""A small self-contained run of the main job: two tiny detectors, one merged, the same answers in one pass.

One detector was trained for shapes, the other from its layer 13 on for text; `examples/demo-models` says how.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkshare import files
from darkshare.detections import Detections
from darkshare.drawing import annotate
from darkshare.model import Model, load, save
from darkshare.opencv import Detector
from darkshare.pictures import encoded
from darkshare.savings import saved
from darkshare.splice import concat
from darkshare.weights import Floats

HERE = Path(__file__).parent
NETWORKS = ("shapes", "text")
K = 13


@dataclass(frozen=True)
class Comparison:
    """A head of the merged network against the same head of the network that it came from."""

    task: str
    head: int
    separate: int
    values: int
    largest_difference: float


@dataclass(frozen=True)
class Demonstration:
    """What `demonstrate` made, found and measured."""

    picture: Path
    found: tuple[Detections, ...]
    comparisons: tuple[Comparison, ...]
    rows: list[dict[str, object]]


def demonstrate(folder: Path) -> Demonstration:
    """Write two networks, merge them, run all three on a drawn picture and compare every head.

    Args:
        folder: where the networks, the merged one and the pictures go.
    """
    separate = _write_networks(folder)
    merged = concat(separate, K)
    save(merged, folder / "both")
    merged = load(folder / "both.cfg")
    photo = drawn_picture()
    detector = Detector(merged)
    comparisons = tuple(_compare(merged, detector.raw(photo), separate, photo))
    found = tuple(detector.detect(photo))
    picture = folder / "both.png"
    drawn = {folder / "photo.png": photo, picture: annotate(photo, found)}
    files.write_all({path: [encoded(image, ".png")] for path, image in drawn.items()})
    return Demonstration(picture, found, comparisons, saved(separate, merged))


def drawn_picture() -> NDArray[np.uint8]:
    """A picture with three shapes and a line of text, BGR, 480x480."""
    import cv2

    image = np.full((480, 480, 3), 235, np.uint8)
    cv2.circle(image, (120, 130), 60, (60, 90, 200), -1, cv2.LINE_AA)
    cv2.rectangle(image, (270, 70), (390, 190), (170, 120, 40), -1)
    triangle = np.array([[240, 220], [170, 330], [310, 330]], np.int32)
    cv2.fillPoly(image, [triangle], (80, 160, 60), cv2.LINE_AA)
    cv2.putText(image, "two tasks, one pass", (60, 420), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (40, 40, 40), 3, cv2.LINE_AA)
    return image


def _write_networks(folder: Path) -> list[Model]:
    models = []
    for name in NETWORKS:
        parts = [f"{name}{suffix}" for suffix in (".cfg", ".names", ".weights")]
        files.write_all({folder / part: [(HERE / part).read_bytes()] for part in parts})
        models.append(load(folder / f"{name}.cfg"))
    return models


def _compare(
    merged: Model, found: dict[int, Floats], separate: list[Model], photo: NDArray[np.uint8]
) -> Iterator[Comparison]:
    for task, model in zip(merged.tasks, separate, strict=True):
        alone = Detector(model).raw(photo)
        for head, own in zip(task.heads, model.tasks[0].heads, strict=True):
            difference = float(np.abs(found[head] - alone[own]).max())
            yield Comparison(task.name, head, own, alone[own].size, difference)
