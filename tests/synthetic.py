"""Made-up detections, truths, pictures and classifiers that the tests of evaluation share."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import write_model

from darkshare import load
from darkshare.data import Box, Dataset, Sample
from darkshare.errors import Unsupported
from darkshare.evaluation import (
    Runner,
    coco,
    evaluate_detections,
)
from darkshare.inference.boxes import Detections

SIZE = (100, 50)


def dataset(rows, pictures: int, names: tuple[str, ...]) -> Dataset:
    """Rows of picture, class, x, y, w, h, difficult."""
    boxes = [
        tuple(Box(int(c), x, y, w, h, bool(hard)) for at, c, x, y, w, h, hard in rows if at == i)
        for i in range(pictures)
    ]
    return Dataset("set", names, tuple(Sample(Path(f"{i}.png"), own) for i, own in enumerate(boxes)))


def detections(rows, pictures: int, names: tuple[str, ...]) -> list[Detections]:
    """Rows of picture, class, score, x, y, w, h."""
    found = []
    for picture in range(pictures):
        own = np.array([row for row in rows if row[0] == picture], np.float64).reshape(-1, 7)
        corners = np.concatenate([own[:, 3:5] - own[:, 5:] / 2, own[:, 3:5] + own[:, 5:] / 2], axis=1)
        boxes = (corners * np.tile(SIZE, 2)).astype(np.float32)
        found.append(Detections(boxes, own[:, 2].astype(np.float32), own[:, 1].astype(int), names, "task"))
    return found


def evaluated(found, labelled, names=("a",), pictures=1, **how):
    data = dataset(labelled, pictures, names)
    return evaluate_detections(detections(found, pictures, names), data, [SIZE] * pictures, **how)


def crowded(seed: int, pictures: int, classes: int, *, hard: float = 0.0, many: int = 6):
    """Truths that overlap each other, several detections of each, and noise; scores with ties."""
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for picture in range(pictures):
        for _ in range(rng.integers(0, many)):
            c, place = int(rng.integers(classes)), np.concatenate([rng.uniform(0.2, 0.8, 2), rng.uniform(0.05, 0.3, 2)])
            for shift in (0, 0.3)[: rng.integers(1, 3)]:
                own = place + np.array([shift * place[2], 0, 0, -0.1 * shift * place[3]])
                truths.append((picture, c, *own, rng.random() < hard))
                for _ in range(rng.integers(0, 4)):
                    moved = own + rng.normal(0, 0.15, 4) * own[[2, 3, 2, 3]]
                    found.append((picture, c, round(rng.uniform(0.01, 1), 2), *moved[:2], *np.abs(moved[2:])))
        for _ in range(rng.poisson(3)):
            place = np.concatenate([rng.uniform(0, 1, 2), rng.uniform(0.05, 0.5, 2)])
            found.append((picture, int(rng.integers(classes)), round(rng.uniform(0.01, 1), 2), *place))
    return found, truths


def require_a_tool() -> None:
    """Skip where none of COCO's tools is installed."""
    try:
        coco.require_tool()
    except Unsupported as error:
        pytest.skip(str(error))


def names_of(classes: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(classes))


def drawn(folder: Path, seed: int, sizes) -> list[Path]:
    """Pictures of noise, so that a network with random weights finds something."""
    rng = np.random.default_rng(seed)
    paths = []
    for at, (w, h) in enumerate(sizes):
        noise = rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)
        paths.append(folder / f"{at}.png")
        cv2.imwrite(str(paths[-1]), cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC))
    return paths


def labelled_by(detector_model, paths, task=None, lowest=0.5, **how) -> Dataset:
    """A data set whose labels are what the model itself finds."""
    names = next(t.names for t in detector_model.tasks if task in (None, t.name))
    empty = Dataset("own", names, tuple(Sample(path, ()) for path in paths))
    seen = Runner.of(detector_model, lowest=lowest, **how).detect_dataset(empty, task)
    samples = []
    for path, found, (w, h) in zip(paths, seen.detections, seen.sizes, strict=True):
        places = [
            ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h) for _, _, (x1, y1, x2, y2) in found
        ]
        boxes = [Box(int(c), *place) for c, place in zip(found.class_ids, places, strict=True)]
        samples.append(Sample(path, tuple(boxes)))
    return Dataset("own", names, tuple(samples))


CLASSIFIER = """\
[net]
width=8
height=8
channels=3

[convolutional]
filters=3
size=1
stride=1
activation=linear

[avgpool]

[softmax]
groups=1
"""


def colour_classifier(folder: Path):
    """A classifier that says which of red, green and blue there is most of."""
    floats = np.concatenate([np.zeros(3), 5 * np.eye(3).ravel()])
    return load(write_model(folder / "colour", CLASSIFIER, floats, names=("red", "green", "blue")))


def painted(folder: Path, colours) -> tuple[Path, ...]:
    """Pictures that are grey at the sides and have a colour (R, G, B) in their middle square."""
    paths = []
    for at, colour in enumerate(colours):
        image = np.full((20, 40, 3), 255, np.uint8)
        image[:, 10:30] = colour[::-1]
        paths.append(folder / f"{at}.png")
        cv2.imwrite(str(paths[-1]), image)
    return tuple(paths)
