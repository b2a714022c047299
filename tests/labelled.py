"""Small labelled pictures, drawn here: a coloured square on gray, whose colour is its class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from darkshare.data import Box, Dataset, Sample
from darkshare.training.settings import TrainingWatch

COLOURS = ((40, 40, 220), (220, 60, 30))  # BGR: red, blue
NAMES = ("red", "blue")
MORE_COLOURS = (*COLOURS, (40, 200, 40), (20, 220, 230), (230, 40, 200))


def draw(folder: Path, count: int, *, seed: int = 0, size: tuple[int, int] = (48, 40)) -> Dataset:
    """`count` pictures of one square each in folder/images, labels in folder/labels."""
    rng = np.random.default_rng(seed)
    width, height = size
    samples = []
    for number in range(count):
        class_id, side = number % 2, int(rng.integers(10, 20))
        x, y = int(rng.integers(width - side)), int(rng.integers(height - side))
        picture = rng.integers(100, 140, (height, width, 3)).astype(np.uint8)
        picture[y : y + side, x : x + side] = COLOURS[class_id]
        path = folder / "images" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)
        box = Box(class_id, (x + side / 2) / width, (y + side / 2) / height, side / width, side / height)
        label = folder / "labels" / f"{number}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(" ".join(f"{value:.9g}" for value in box[:5]) + "\n")
        samples.append(Sample(path, (box,)))
    return Dataset("squares", NAMES, tuple(samples))


def write_picture(path: Path, seed: int = 0, size: tuple[int, int] = (20, 10)) -> Path:
    """A picture of noise, of that width and height; its suffix may be of any format that OpenCV writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    path.write_bytes(bytes(cv2.imencode(path.suffix, noise)[1]))
    return path


def write_data(folder: Path, dataset: Dataset, valid: int = 0) -> Path:
    """A .data file of it; its last `valid` pictures are to validate on."""
    paths = [str(sample.picture) for sample in dataset.samples]
    cut = len(paths) - valid
    (folder / "train.txt").write_text("".join(f"{path}\n" for path in paths[:cut]))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in dataset.names))
    lines = [f"classes={len(dataset.names)}", f"train={folder}/train.txt", f"names={folder}/classes.txt"]
    if valid:
        (folder / "valid.txt").write_text("".join(f"{path}\n" for path in paths[cut:]))
        lines.append(f"valid={folder}/valid.txt")
    data = folder / "squares.data"
    data.write_text("\n".join(lines) + "\n")
    return data


def draw_classes(folder: Path, count: int, *, seed: int = 0, names: Sequence[str] = NAMES, side: int = 40) -> Path:
    """A folder per class with `count` pictures each: a square on gray, whose colour is the class."""
    rng = np.random.default_rng(seed)
    for class_id, name in enumerate(names):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = rng.integers(90, 150, (side, side, 3)).astype(np.uint8)
            x, y = rng.integers(2, side // 2, 2).tolist()
            picture[y : y + side // 3, x : x + side // 3] = MORE_COLOURS[class_id]
            cv2.imwrite(str(place / f"{number}.png"), picture)
    return folder


class Said(TrainingWatch):
    """Keeps what is told; `stop` raises Ctrl-C behind an update."""

    def __init__(self, stop: int | None = None) -> None:
        self.texts: list[str] = []
        self.losses: list[float] = []
        self.stop = stop

    def say(self, text: str) -> None:
        self.texts.append(text)

    def step(self, entry) -> None:
        self.losses.append(entry.loss)
        if entry.batch == self.stop:
            raise KeyboardInterrupt
