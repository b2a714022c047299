"""Draw two data sets in Darknet's format on the same pictures: shapes (circle, square, triangle) and lines of text.

Every picture shows both, so that each detector learns to leave the other's objects alone.

    python draw.py FOLDER [--train 2000] [--valid 200] [--seed 1] [--widest 1]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 224  # pixels, the networks' input
TRIES = 12  # to find room
SHAPES = ("circle", "square", "triangle")
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_PLAIN,
)
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

Picture = NDArray[np.uint8]


class Drawn(NamedTuple):
    """Something in a picture: its class, and the box around it in pixels."""

    class_id: int
    left: float
    top: float
    right: float
    bottom: float


def draw(rng: np.random.Generator, side: int = SIDE, widest: float = 1) -> tuple[Picture, list[Drawn], list[Drawn]]:
    """A picture, its shapes and its lines of text, up to a share of its width; they don't overlap."""
    picture = background(rng, side)
    shapes: list[Drawn] = []
    lines: list[Drawn] = []
    wanted = rng.integers(0, 5, 2)
    for _ in range(TRIES):
        if len(shapes) < wanted[0]:
            shapes += add_shape(picture, rng, shapes + lines)
        if len(lines) < wanted[1]:
            lines += add_text(picture, rng, shapes + lines, widest)
    noise = rng.normal(0, rng.uniform(0, 8), picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), shapes, lines


def background(rng: np.random.Generator, side: int) -> Picture:
    """A plain colour or a gradient, sometimes with thin lines across it, which are neither shape nor text."""
    ends = rng.uniform(0, 255, (2, 3)) if rng.random() < 0.5 else np.repeat(rng.uniform(0, 255, (1, 3)), 2, 0)
    ramp = np.linspace(0, 1, side)[:, None, None]
    picture = np.broadcast_to(ends[0] * (1 - ramp) + ends[1] * ramp, (side, side, 3))
    picture = np.ascontiguousarray(picture if rng.random() < 0.5 else picture.transpose(1, 0, 2), np.uint8)
    for _ in range(rng.integers(0, 3)):
        ends = rng.integers(0, side, (2, 2)).tolist()
        cv2.line(picture, ends[0], ends[1], colour(rng, picture, (0, 0, side, side)), 1, cv2.LINE_AA)
    return picture


def colour(rng: np.random.Generator, picture: Picture, box: tuple[int, int, int, int]) -> tuple[float, float, float]:
    """One that can be told from what lies in the box now."""
    left, top, right, bottom = box
    there = picture[max(top, 0) : bottom, max(left, 0) : right].reshape(-1, 3).mean(axis=0)
    while True:
        found = rng.uniform(0, 255, 3)
        if np.abs(found - there).sum() > 200:
            b, g, r = found.tolist()
            return b, g, r


def add_shape(picture: Picture, rng: np.random.Generator, taken: list[Drawn]) -> Iterator[Drawn]:
    """One of `SHAPES`, somewhere free and turned at random; nothing where there is no room."""
    class_id = int(rng.integers(len(SHAPES)))
    radius = float(rng.uniform(9, 46))
    x, y = rng.uniform(radius, picture.shape[0] - radius, 2)
    points = corners(class_id, radius, float(rng.uniform(0, 2 * np.pi))) + np.array([x, y])
    shape = Drawn(class_id, *points.min(axis=0), *points.max(axis=0))
    if overlaps(shape, taken):
        return
    box = (int(shape.left), int(shape.top), int(shape.right), int(shape.bottom))
    cv2.fillPoly(picture, [np.round(points * 16).astype(np.int32)], colour(rng, picture, box), cv2.LINE_AA, 4)
    yield shape


def corners(class_id: int, radius: float, turn: float) -> NDArray[np.float64]:
    """The outline of a shape around 0,0."""
    count = (64, 4, 3)[class_id]
    angles = turn + 2 * np.pi * np.arange(count) / count
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def add_text(picture: Picture, rng: np.random.Generator, taken: list[Drawn], widest: float) -> Iterator[Drawn]:
    """A line of one to four words, somewhere free; nothing where there is no room."""
    words = ("".join(rng.choice(list(LETTERS), rng.integers(2, 8))) for _ in range(rng.integers(1, 5)))
    line, font = " ".join(words), int(rng.choice(FONTS))
    size = float(rng.uniform(0.35, 0.9)) * (1.8 if font == cv2.FONT_HERSHEY_PLAIN else 1)
    thickness = int(rng.integers(1, 3))
    (width, height), below = cv2.getTextSize(line, font, size, thickness)
    side = picture.shape[0]
    if width + 8 >= side or width > widest * side:
        return
    x, y = int(rng.uniform(4, side - width - 4)), int(rng.uniform(height + 4, side - below - 4))
    text = Drawn(0, x, y - height, x + width, y + below)
    if overlaps(text, taken):
        return
    box = (x, y - height, x + width, y + below)
    cv2.putText(picture, line, (x, y), font, size, colour(rng, picture, box), thickness, cv2.LINE_AA)
    yield text


def overlaps(one: Drawn, taken: list[Drawn], margin: float = 3) -> bool:
    """Whether it touches any of those, or nearly."""
    return any(
        one.left - margin < other.right
        and other.left - margin < one.right
        and one.top - margin < other.bottom
        and other.top - margin < one.bottom
        for other in taken
    )


def label(drawn: Drawn, side: int) -> str:
    """A line of a Darknet label file: class, centre and size as fractions of the picture."""
    left, top, right, bottom = np.clip(np.array(drawn[1:]) / side, 0, 1)
    return f"{drawn.class_id} {(left + right) / 2:.6f} {(top + bottom) / 2:.6f} {right - left:.6f} {bottom - top:.6f}\n"


def write(folder: Path, train: int, valid: int, seed: int, widest: float) -> None:
    """Both data sets, each in a folder of its own, with the same pictures."""
    classes = {"shapes": SHAPES, "text": ("text",)}
    for name, names in classes.items():
        (folder / name / "images").mkdir(parents=True, exist_ok=True)
        (folder / name / "labels").mkdir(exist_ok=True)
        (folder / name / f"{name}.names").write_text("".join(f"{one}\n" for one in names))
        lines = [f"classes={len(names)}", "train=train.txt", "valid=valid.txt", f"names={name}.names"]
        (folder / name / f"{name}.data").write_text("\n".join(lines) + "\n")
    for number, part in enumerate(("train", "valid")):
        rng = np.random.default_rng([seed, number])
        stems = [f"{part}-{i:05d}" for i in range((train, valid)[number])]
        for stem in stems:
            picture, *truths = draw(rng, widest=widest)
            _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
            for name, found in zip(classes, truths, strict=True):
                (folder / name / "images" / f"{stem}.jpg").write_bytes(encoded.tobytes())
                text = "".join(label(one, picture.shape[0]) for one in found)
                (folder / name / "labels" / f"{stem}.txt").write_text(text)
        for name in classes:
            (folder / name / f"{part}.txt").write_text("".join(f"images/{stem}.jpg\n" for stem in stems))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=2000, help="pictures to train on")
    parser.add_argument("--valid", type=int, default=200, help="pictures to evaluate on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--widest", type=float, default=1, help="line of text, as a share of the picture's width")
    given = parser.parse_args()
    write(given.folder, given.train, given.valid, given.seed, given.widest)
