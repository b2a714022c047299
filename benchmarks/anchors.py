"""Anchors by medians, as darkshare finds them, against means, as AlexeyAB's calc_anchors takes them.

    python benchmarks/anchors.py [masks.data ...]

For each data set (the public ones without any) and number of anchors: the average IoU of a box with its best anchor,
the best of ten k-means each, at an input of 416x416.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darkshare._tables import render
from darkshare.darknet.cfg import parse
from darkshare.darknet.network import resolve
from darkshare.data import Dataset, read_data, read_list, read_voc
from darkshare.surgery.anchors import best_anchors, box_sizes, clusters, quality

ROOT = Path(__file__).parent.parent
ZOO = Path(os.environ.get("DARKSHARE_ZOO", ROOT.parent / "shared")) / "datasets"
NETWORK = resolve(parse("[net]\nwidth=416\nheight=416\nchannels=3\n[convolutional]\n"))


def main() -> None:
    found = [read_data(path) for path in sys.argv[1:]] or list(public())
    rows = [row(dataset, count) for dataset in found for count in (6, 9)]
    print(render(rows, "markdown"))


def public() -> Iterator[Dataset]:
    names = ("good", "bad", "none")
    yield read_list(ZOO / "face-mask-yolo" / "train.txt", names, "face-mask-yolo")
    for name in ("raccoon", "bccd"):
        for part, dataset in read_voc(ZOO / name).items():
            yield replace(dataset, name=f"{name}, {part}")


def row(dataset: Dataset, count: int) -> dict[str, object]:
    sizes = box_sizes(dataset, NETWORK)
    medians = quality(sizes, best_anchors(sizes, count)).average_iou
    module: Any = clusters
    kept, module.CENTRE = clusters.CENTRE, np.mean
    means = quality(sizes, best_anchors(sizes, count)).average_iou
    clusters.CENTRE = kept
    return {"data": dataset.name, "boxes": len(sizes), "anchors": count, "medians": medians, "means": means}


if __name__ == "__main__":
    main()
