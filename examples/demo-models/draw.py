"""Draw data sets of three tasks in Darknet's format on the same pictures of streets: street, marks and text.

python draw.py FOLDER [--train 2000] [--valid 200] [--seed 1]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from street import CLASSES, draw
from things import HEIGHT, WIDTH, Box


def shares(box: Box) -> tuple[float, float, float, float]:
    """The centre and the size of a box as fractions of the picture, as Darknet labels it."""
    left, top, right, bottom = np.array(box) / (WIDTH, HEIGHT, WIDTH, HEIGHT)
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def label(class_id: int, box: Box) -> str:
    """A line of a Darknet label file: the class and the box."""
    return " ".join([str(class_id), *(f"{share:.6f}" for share in shares(box))]) + "\n"


def write(folder: Path, train: int, valid: int, seed: int) -> None:
    """A data set for each task, in a folder of its own, with the same pictures."""
    for name, names in CLASSES.items():
        (folder / name / "images").mkdir(parents=True, exist_ok=True)
        (folder / name / "labels").mkdir(exist_ok=True)
        (folder / name / f"{name}.names").write_text("".join(f"{one}\n" for one in names))
        lines = [f"classes={len(names)}", "train=train.txt", "valid=valid.txt", f"names={name}.names"]
        (folder / name / f"{name}.data").write_text("\n".join(lines) + "\n")
    for number, part in enumerate(("train", "valid")):
        stems = [f"{part}-{i:05d}" for i in range((train, valid)[number])]
        for i, stem in enumerate(stems):
            street = draw(np.random.default_rng([seed, number, i]))
            _, encoded = cv2.imencode(".jpg", street.image, [cv2.IMWRITE_JPEG_QUALITY, 88])
            for name, found in street.seen.items():
                (folder / name / "images" / f"{stem}.jpg").write_bytes(encoded.tobytes())
                (folder / name / "labels" / f"{stem}.txt").write_text("".join(label(*one) for one in found))
        for name in CLASSES:
            (folder / name / f"{part}.txt").write_text("".join(f"images/{stem}.jpg\n" for stem in stems))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=2000, help="pictures to train on")
    parser.add_argument("--valid", type=int, default=200, help="pictures to evaluate on")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    write(given.folder, given.train, given.valid, given.seed)
