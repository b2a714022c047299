"""Draw characters for a classifier: a folder per class, in OpenCV's fonts, turned, sheared, on clutter.

    python draw.py FOLDER [--set letters|signs] [--train 20] [--valid 20] [--side 64] [--seed 1]

`letters` are the capitals A to T, to train a base on; `signs` are ten digits and ten small letters, which that base
has never seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SETS = {"letters": "ABCDEFGHIJKLMNOPQRST", "signs": "0123456789abdeghnqrt"}
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)

Picture = NDArray[np.uint8]
Colour = tuple[float, float, float]


def draw(character: str, rng: np.random.Generator, side: int) -> Picture:
    """A picture of one character among lines and specks."""
    back, ink = colours(rng)
    picture = np.full((side, side, 3), back, np.uint8)
    for _ in range(int(rng.integers(0, 3))):
        (x0, y0), (x1, y1) = rng.integers(0, side, (2, 2)).tolist()
        cv2.line(picture, (x0, y0), (x1, y1), between(back, ink, rng.uniform(0.2, 0.6)), 1, cv2.LINE_AA)
    mask = cv2.warpAffine(written(character, rng, side), placed(rng, side), (side, side))[..., None] / 255
    mixed = picture * (1 - mask) + np.array(ink) * mask
    noise = rng.normal(0, rng.uniform(1, 8), picture.shape)
    return np.clip(mixed + noise, 0, 255).astype(np.uint8)


def colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Background and ink, one dark and one light."""
    dark, light = rng.uniform(0, 100, 3).tolist(), rng.uniform(155, 255, 3).tolist()
    return (tuple(dark), tuple(light)) if rng.random() < 0.5 else (tuple(light), tuple(dark))


def between(a: Colour, b: Colour, share: float) -> Colour:
    x, y, z = (p * (1 - share) + q * share for p, q in zip(a, b, strict=True))
    return x, y, z


def written(character: str, rng: np.random.Generator, side: int) -> Picture:
    """The character in the middle, as a mask."""
    font, thickness = FONTS[int(rng.integers(len(FONTS)))], int(rng.integers(2, 5))
    scale = 0.6 * side / cv2.getTextSize("H", font, 1.0, thickness)[0][1]
    (wide, high), _ = cv2.getTextSize(character, font, scale, thickness)
    mask = np.zeros((side, side), np.uint8)
    corner = ((side - wide) // 2, (side + high) // 2)
    cv2.putText(mask, character, corner, font, scale, 255, thickness, cv2.LINE_AA)
    return mask


def placed(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """A random turn, size, shear and shift around the middle."""
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-12, 12)), float(rng.uniform(0.8, 1.2)))
    turn[0, 1] += rng.uniform(-0.2, 0.2)
    turn[:, 2] += rng.uniform(-0.12, 0.12, 2) * side
    return turn


def kind_of(character: str) -> str:
    return "digit" if character.isdecimal() else "capital" if character.isupper() else "small"


def write(folder: Path, characters: str, count: int, side: int, rng: np.random.Generator) -> None:
    """`count` pictures of each character, in a folder of its own."""
    for character in characters:
        place = folder / f"{kind_of(character)}-{character}"  # no name is part of another, as Darknet's lists want it
        place.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            cv2.imwrite(str(place / f"{number:04d}.png"), draw(character, rng, side))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", choices=SETS, default="signs")
    parser.add_argument("--train", type=int, default=20, help="pictures of each class to learn from")
    parser.add_argument("--valid", type=int, default=20, help="pictures of each class to judge on")
    parser.add_argument("--side", type=int, default=64, help="pixels")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for number, (part, count) in enumerate((("train", given.train), ("val", given.valid))):
        rng = np.random.default_rng([given.seed, number])
        write(given.folder / part, SETS[given.set], count, given.side, rng)


if __name__ == "__main__":
    main()
