"""Features of labelled objects and of as much background: for each layer one row of means per region."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from darkshare._images import Picture, read_picture
from darkshare.choose_k.separability import Doubles, Ids
from darkshare.darknet.letterbox import fitted
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.data import Box, Dataset, Sample
from darkshare.errors import BadValue
from darkshare.inference.boxes import iou
from darkshare.inference.preprocess import preprocess, reads_alpha
from darkshare.training.building import build

_TRIES, _FREE = 20, 0.1  # places for a background of a box's size; the most it may overlap an object


class Regions(NamedTuple):
    """Objects and backgrounds.

    Attributes:
        features: for each of the layers asked for the means over their regions, (regions, channels).
        classes: of each region, with as many classes as the data set has for background.
        pictures: the number of the picture that it is in.
    """

    features: tuple[Doubles, ...]
    classes: Ids
    pictures: Ids


def regions_of(
    model: Model,
    dataset: Dataset,
    layers: Sequence[int],
    *,
    boxes: int,
    seed: int = 0,
    watch: Callable[[Sequence[Sample]], Iterable[Sample]] = iter,
) -> Regions:
    """Compute the features of labelled boxes in layers of a network.

    Args:
        model: with weights.
        dataset: pictures and boxes.
        layers: whose outputs are images.
        boxes: how many to look at; pictures are drawn until there are as many.
        seed: of the pictures and backgrounds.
        watch: goes through the pictures, for a progress bar.

    Raises:
        DarkshareError: a picture that cannot be read, a layer that cannot be computed, or too few objects.
    """
    import torch

    rng = np.random.default_rng(seed)
    chosen = _chosen(dataset, boxes, rng)
    net = build(model, 0)
    rows: list[list[Any]] = [[] for _ in layers]
    classes: list[int] = []
    pictures: list[int] = []
    for number, sample in enumerate(watch(chosen)):
        image = read_picture(sample.picture, alpha=reads_alpha(model.network))
        found = net.outputs(torch.from_numpy(preprocess(image, model.network)), layers)
        for box, class_id in _looked_at(sample, len(dataset.names), rng):
            placed = _placed(box, image, model.network)
            for row, layer in zip(rows, layers, strict=True):
                row.append(_mean(found[layer][0].numpy(), placed))
            classes.append(class_id)
            pictures.append(number)
    return Regions(
        tuple(np.array(row, np.float64) for row in rows), np.array(classes, np.int64), np.array(pictures, np.int64)
    )


def _chosen(dataset: Dataset, boxes: int, rng: np.random.Generator) -> list[Sample]:
    """Pictures with objects, drawn until there are enough of these."""
    useful = [sample for sample in dataset.samples if sample.boxes]
    order, found, count = rng.permutation(len(useful)), list[Sample](), 0
    for number in order:
        if count >= boxes:
            break
        found.append(useful[number])
        count += len(useful[number].boxes)
    if len(useful) < 10:
        raise BadValue(f"{dataset.name} has {len(useful)} pictures with labelled boxes; at least 10 are needed")
    if len(found) < 10:
        raise BadValue(f"boxes={boxes} come from {len(found)} pictures; at least 10 are needed, so ask for more boxes")
    return found


def _looked_at(sample: Sample, background: int, rng: np.random.Generator) -> list[tuple[Box, int]]:
    """The objects of a picture, and for each a place of its size without objects, where one is found."""
    found = [(box, box.class_id) for box in sample.boxes]
    taken = _corners(sample.boxes)
    for box in sample.boxes:
        for _ in range(_TRIES):
            x, y = rng.uniform(box.w / 2, 1 - box.w / 2), rng.uniform(box.h / 2, 1 - box.h / 2)
            empty = box._replace(x=float(x), y=float(y))
            if (iou(_corners([empty]), taken) < _FREE).all():
                found.append((empty, background))
                break
    return found


def _corners(boxes: Sequence[Box]) -> Doubles:
    """x1, y1, x2, y2 as fractions of the picture."""
    centers, half = np.array([box[1:3] for box in boxes]), np.array([box[3:5] for box in boxes]) / 2
    return np.concatenate([centers - half, centers + half], axis=1)


def _placed(box: Box, image: Picture, network: Network) -> tuple[float, float, float, float]:
    """Left, top, right and bottom in the network's input as shares of it; pictures may be fitted into gray."""
    _, h, w, *_ = network.input
    inner_w, inner_h = fitted(network, (image.shape[1], image.shape[0]))
    x, y = (box.x * inner_w + (w - inner_w) // 2) / w, (box.y * inner_h + (h - inner_h) // 2) / h
    half_w, half_h = box.w * inner_w / w / 2, box.h * inner_h / h / 2
    return x - half_w, y - half_h, x + half_w, y + half_h


def _mean(values: Any, place: tuple[float, float, float, float]) -> Doubles:
    """The mean of (channels, height, width) over the cells that a region touches."""
    _, h, w = values.shape
    left, right = _cells(place[0], place[2], w)
    top, bottom = _cells(place[1], place[3], h)
    mean: Doubles = values[:, top:bottom, left:right].mean(axis=(1, 2), dtype=np.float64)
    return mean


def _cells(start: float, end: float, count: int) -> tuple[int, int]:
    first = min(max(int(np.floor(start * count)), 0), count - 1)
    return first, max(min(int(np.ceil(end * count)), count), first + 1)
