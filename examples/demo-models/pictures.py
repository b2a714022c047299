"""Draw the picture that `darkshare demo` looks at, and a dozen to measure on with their boxes.

python pictures.py ../../darkshare/cli/demo_files
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np
from draw import shares
from street import CLASSES, draw

SEED, COUNT = 7, 12  # those that networks learn from and are chosen by have other seeds
SHOWN, WIDE = 717, 1280


def write(folder: Path) -> None:
    """All into the folder of the demo's files."""
    shown = draw(np.random.default_rng([SEED, 0, SHOWN]), WIDE, gibberish=0).image
    cv2.imwrite(str(folder / "street.png"), shown, [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_STRATEGY, 0])
    (folder / "pictures").mkdir(exist_ok=True)
    with (folder / "pictures" / "boxes.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["picture", "task", "class", "x", "y", "w", "h"])
        for number in range(COUNT):
            street = draw(np.random.default_rng([SEED, 1, number]))
            picture = folder / "pictures" / f"{number:02}.jpg"
            cv2.imwrite(str(picture), street.image, [cv2.IMWRITE_JPEG_QUALITY, 88])
            for task in CLASSES:
                for class_id, box in street.seen[task]:
                    table.writerow([picture.stem, task, class_id, *(f"{share:.5f}" for share in shares(box))])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
