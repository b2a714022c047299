"""Draw the picture of docs/how-to/detect.md: a crowd, with a label at each box, and with labels that make room.

    python docs/make_crowd.py docs/images/crowd.png

People and cars are drawn here too, so the picture is the project's own; scores are made up.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from darkshare import Detections, annotate
from darkshare.inference.draw import HUES

WIDTH, HEIGHT, HORIZON = 800, 430, 130
NAMES = ("person", "car", "گاڑی", "帽子")
COATS = ((60, 60, 140), (120, 80, 40), (70, 110, 70), (90, 90, 90), (40, 120, 170), (130, 100, 150))
Picture = NDArray[np.uint8]
Seen = tuple[tuple[float, float, float, float], int]


def street() -> Picture:
    """Sky, houses with windows, and the ground."""
    image = np.full((HEIGHT, WIDTH, 3), (225, 205, 180), np.uint8)
    rng = np.random.default_rng(4)
    for left in range(0, WIDTH, 100):
        top = int(rng.integers(10, 50))
        cv2.rectangle(image, (left, top), (left + 99, HORIZON), rng.integers(120, 190, 3).tolist(), cv2.FILLED)
        for x in range(left + 15, left + 80, 28):
            for y in range(top + 14, HORIZON - 30, 34):
                cv2.rectangle(image, (x, y), (x + 14, y + 20), (110, 95, 80), cv2.FILLED)
    image[HORIZON:] = (150, 150, 150)
    return image


def add_person(image: Picture, x: float, feet: float, tall: float, coat: tuple[int, int, int]) -> list[Seen]:
    """Legs, coat, head, and for some a hat."""
    wide, head = tall * 0.3, tall * 0.09
    body = [
        (-0.5, -0.85),
        (0.5, -0.85),
        (0.4, -0.4),
        (0.3, 0),
        (0.05, 0),
        (0, -0.4),
        (-0.05, 0),
        (-0.3, 0),
        (-0.4, -0.4),
    ]
    points = np.array([[x + dx * wide, feet + dy * tall] for dx, dy in body])
    cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], coat, cv2.LINE_AA, 4)
    cv2.circle(image, (round(x), round(feet - tall + head)), round(head), (140, 170, 215), cv2.FILLED, cv2.LINE_AA)
    seen: list[Seen] = [((x - wide / 2, feet - tall, x + wide / 2, feet), 0)]
    if coat == COATS[0]:
        hat = (x - head * 1.2, feet - tall - head * 0.3, x + head * 1.2, feet - tall + head * 0.7)
        cv2.ellipse(
            image, ((x, feet - tall + head * 0.3), (head * 2.4, head), 0), (30, 30, 60), cv2.FILLED, cv2.LINE_AA
        )
        seen.append((hat, 3))
    return seen


def add_car(image: Picture, left: float, ground: float, long: float, class_id: int) -> Seen:
    """A body, a cabin, two wheels."""
    tall = long * 0.38
    outline = [(0, 0.85), (0, 0.5), (0.2, 0.45), (0.32, 0), (0.72, 0), (0.86, 0.45), (1, 0.55), (1, 0.85)]
    points = np.array([[left + x * long, ground - tall + y * tall] for x, y in outline])
    cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], (150, 60, 50), cv2.LINE_AA, 4)
    for x in (0.22, 0.78):
        cv2.circle(image, (round(left + x * long), round(ground - tall * 0.16)), round(tall * 0.17), (40, 40, 40), -1)
    return (left, ground - tall, left + long, ground), class_id


def crowd() -> tuple[Picture, Detections]:
    """The picture, and what stands in it, those behind first."""
    image, rng = street(), np.random.default_rng(11)
    seen = [add_car(image, 540, 226, 90, 1), add_car(image, 690, 262, 140, 2), add_car(image, -30, 240, 110, 1)]
    for depth in np.sort(rng.uniform(0, 1, 44) ** 2.2):
        x, feet, tall = rng.uniform(10, WIDTH - 10), HORIZON + 12 + 280 * depth, 22 + 190 * depth
        seen += add_person(image, x, feet, tall, COATS[rng.integers(len(COATS))])
    boxes, class_ids = zip(*seen, strict=True)
    order = np.argsort(-rng.permutation(len(seen)))
    scores = np.linspace(0.97, 0.31, len(seen)).astype(np.float32)
    found = np.array(boxes, np.float32)[order], scores, np.array(class_ids, np.intp)[order]
    return image, Detections(*found, NAMES, "street")


def plainly(image: Picture, found: Detections) -> Picture:
    """The usual way: each label on top of its box, whatever lies there."""
    drawn = image.copy()
    for name, score, box in reversed(list(found)):
        x1, y1, x2, y2 = map(round, box)
        colour, text = HUES[0][::-1], f"{name} {score:.2f}"
        (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 3)
        cv2.rectangle(drawn, (x1, y1 - height - below), (x1 + width, y1), colour, cv2.FILLED)
        cv2.putText(drawn, text, (x1, y1 - below), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return drawn


if __name__ == "__main__":
    picture, truths = crowd()
    both = np.vstack([plainly(picture, truths), annotate(picture, [truths], legend=True)])
    cv2.imwrite(sys.argv[1], both, [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_STRATEGY, 0])
