"""A small self-contained run of the main job: two tiny networks, one merged, the same answers in one pass.

The networks' weights are seeded, not trained: the trunk is the same in both, so everything about splicing is real,
but what they "see" means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkshare import cfg as cfgs
from darkshare import files
from darkshare.cuts import initial_floats
from darkshare.detections import Detections
from darkshare.drawing import annotate
from darkshare.model import Model, load, save
from darkshare.network import Network, resolve
from darkshare.opencv import Detector
from darkshare.savings import saved
from darkshare.splice import concat
from darkshare.weights import Floats, Header

HERE = Path(__file__).parent
NETWORKS = ("shapes", "text")
K = 13
SEED = 7
SHOWN = 4  # boxes of each task in the picture


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
    """What `demonstrate` made and measured."""

    picture: Path
    comparisons: tuple[Comparison, ...]
    rows: list[dict[str, object]]


def demonstrate(folder: Path) -> Demonstration:
    """Make two networks, merge them, run all three on a drawn picture and compare every head.

    Args:
        folder: where the networks, the merged one and the pictures go.
    """
    import cv2

    separate = _write_networks(folder)
    merged = concat(separate, K)
    save(merged, folder / "both")
    merged = load(folder / "both.cfg")
    photo = drawn_picture()
    detector = Detector(merged)
    comparisons = tuple(_compare(merged, detector.raw(photo), separate, photo))
    boxes = [_best(found) for found in Detector(merged, threshold=0.01).detect(photo)]
    picture = folder / "both.png"
    _write_picture(folder / "photo.png", photo, cv2)
    _write_picture(picture, annotate(photo, boxes), cv2)
    return Demonstration(picture, comparisons, saved(separate, merged))


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
    trunk: Floats | None = None
    models = []
    for seed, name in enumerate(NETWORKS, SEED):
        network = resolve(cfgs.read(HERE / f"{name}.cfg"))
        data = _seeded(network, seed)
        if trunk is not None:
            data[: trunk.size] = trunk
        trunk = data[: network.start(K)]
        files.write_all(
            {
                folder / f"{name}.cfg": [(HERE / f"{name}.cfg").read_bytes()],
                folder / f"{name}.names": [(HERE / f"{name}.names").read_bytes()],
                folder / f"{name}.weights": [Header().to_bytes("alexeyab"), data],
            }
        )
        models.append(load(folder / f"{name}.cfg"))
    return models


def _seeded(network: Network, seed: int) -> Floats:
    """Darknet's start values, with random scales and biases, so that heads give more than one number."""
    data = initial_floats(network, 0, seed)
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        begin = layer.start
        for tensor in layer.tensors:
            if tensor.name in ("biases", "scales"):
                data[begin : begin + tensor.size] += rng.uniform(-0.3, 0.3, tensor.size)
            begin += tensor.size
    return data


def _compare(
    merged: Model, found: dict[int, Floats], separate: list[Model], photo: NDArray[np.uint8]
) -> Iterator[Comparison]:
    for task, model in zip(merged.tasks, separate, strict=True):
        alone = Detector(model).raw(photo)
        for head, own in zip(task.heads, model.tasks[0].heads, strict=True):
            difference = float(np.abs(found[head] - alone[own]).max())
            yield Comparison(task.name, head, own, alone[own].size, difference)


def _best(found: Detections) -> Detections:
    return replace(found, boxes=found.boxes[:SHOWN], scores=found.scores[:SHOWN], class_ids=found.class_ids[:SHOWN])


def _write_picture(path: Path, image: NDArray[np.uint8], cv2: Any) -> None:
    _, encoded = cv2.imencode(".png", image)
    files.write_all({path: [encoded.tobytes()]})
