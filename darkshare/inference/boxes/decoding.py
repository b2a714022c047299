"""One head's numbers as boxes and class scores (yolo_layer.c, gaussian_yolo_layer.c, region_layer.c).

Only the places whose objectness passes the threshold are looked at: a score is objectness times a class
probability, so none is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from darkshare.darknet.kinds import Boxes, GaussianYolo, Kind, Region, Shape, Yolo
from darkshare.darknet.kinds.base import P
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Floats
from darkshare.errors import DarkshareError, Unsupported
from darkshare.inference.boxes.nms import Candidates

F = TypeVar("F", bound=NDArray[Any])
_ABSURD = np.float32(1e30)  # no honest value; OpenCV 5's new engine turns NaN into the largest float


@np.errstate(all="ignore")  # exp of large numbers is infinite, and such boxes are dropped
def decode(model: Model, task: Task, index: int, values: Floats, threshold: float) -> Candidates:
    """One head's boxes of one task, as fractions of the network's input.

    Args:
        model: whose head it is.
        task: whose classes are looked for; in a padded head they are a part of the head's.
        index: the head's layer.
        values: what it gives, (channels, height, width); or (4 + classes, boxes) of a file that has decoded it, with
            center and size in pixels of the input, and scores.
        threshold: keep scores above it; a box counts once for each class that passes.

    Raises:
        Unsupported: the layer is not a box head, or one with options that are not decoded.
        DarkshareError: its values are not numbers.
    """
    layer = model.network.layers[index]
    kind = layer.kind
    if type(kind) not in DECODE or not isinstance(kind, Boxes):
        raise Unsupported(f"{layer.label} of task {task.name} gives no boxes, so there is nothing to detect")
    if values.ndim == 2:
        boxes, scores = _given(layer, values, model.network.input)
    else:
        boxes, scores = DECODE[type(kind)](kind, _Block.of(layer, kind, values, threshold), model.network.input)
    own = scores[:, task.offset : task.offset + len(task.names)]
    rows, ids = np.nonzero((own > threshold) & (np.abs(boxes) < _ABSURD).all(axis=1, keepdims=True))
    return Candidates(boxes[rows], own[rows, ids], ids)


def _given(layer: Layer, values: Floats, net: Shape) -> tuple[Floats, Floats]:
    """Boxes that are decoded already.

    Raises:
        DarkshareError: their scores are not numbers.
    """
    if not (np.abs(values[4:]) < _ABSURD).all():
        raise _broken(layer)
    extent = _extent(net)
    return np.concatenate([values[:2].T / extent, values[2:4].T / extent], axis=1), values[4:].T


def _broken(layer: Layer) -> DarkshareError:
    return DarkshareError(f"{layer.label} gives values that are not numbers: are the weights broken?")


class _Block(NamedTuple):
    """The values of the anchors that passed the threshold, one row each, and where they lie."""

    values: Floats  # (n, values per box)
    places: Floats  # (n, 2): column and row of the cell
    anchors: Floats  # (n, 2): width and height as written in the cfg
    grid: Floats  # (2,): columns and rows

    @classmethod
    def of(cls, layer: Layer, kind: Boxes, values: Floats, threshold: float) -> _Block:
        """Pick the rows by objectness.

        Raises:
            DarkshareError: the head's values are not numbers.
        """
        _, h, w = values.shape
        planes = values.reshape(kind.boxes, kind.values, h * w)
        objectness = planes[:, kind.entries - 1]
        if not (np.abs(objectness) < _ABSURD).all():
            raise _broken(layer)
        anchor, place = np.nonzero(objectness >= _limit(kind, threshold))
        places = np.stack([place % w, place // w], axis=1).astype(np.float32)
        sizes = np.array(kind.anchor_sizes(), np.float32)[anchor]
        return cls(planes[anchor, :, place], places, sizes, np.array([w, h], np.float32))


def _limit(kind: Boxes, threshold: float) -> float:
    """The raw objectness below which no score can pass the threshold."""
    if isinstance(kind, Yolo) and not isinstance(kind, GaussianYolo) and kind.new_coords:
        return threshold
    if isinstance(kind, Region) and not kind.softmax and kind.dialect != P:
        return -np.inf  # classes are not probabilities, so a score may be more than its objectness
    return _logit(threshold)


def _yolo(kind: Yolo, block: _Block, net: Shape) -> tuple[Floats, Floats]:
    """get_yolo_box and forward_yolo_layer: with new_coords the convolution before is logistic already."""
    xy, wh = block.values[:, :2], block.values[:, 2:4]
    if kind.new_coords:
        sizes, rest = (2 * wh) ** 2, block.values[:, 4:]
    else:
        xy, sizes, rest = _sigmoid(xy), np.exp(wh), _sigmoid(block.values[:, 4:])
    boxes = _boxes(block, _spread(xy, kind.scale_x_y), sizes * block.anchors / _extent(net))
    return boxes, rest[:, :1] * rest[:, 1:]


def _gaussian(kind: GaussianYolo, block: _Block, net: Shape) -> tuple[Floats, Floats]:
    """get_gaussian_yolo_box: each coordinate has an uncertainty behind it, whose mean lowers the score."""
    values = block.values
    xy = _spread(_sigmoid(values[:, [0, 2]]), kind.scale_x_y)
    sizes = np.exp(values[:, [4, 6]]) * block.anchors / _extent(net)
    boxes = _boxes(block, xy, sizes)
    boxes[:, :2] += np.float32({"left_top": 0.5, "right_bottom": -0.5}.get(kind.yolo_point, 0)) * sizes
    doubt = _sigmoid(values[:, [1, 3, 5, 7]]).mean(axis=1, keepdims=True)
    rest = _sigmoid(values[:, 8:])
    return boxes, rest[:, :1] * rest[:, 1:] * (1 - doubt)


def _region(kind: Region, block: _Block, net: Shape) -> tuple[Floats, Floats]:
    """get_region_box: anchors are in cells."""
    if kind.tree or kind.background or kind.coords != 4:
        raise Unsupported("[region] with tree=, background= or coords= other than 4 is not decoded")
    sizes = np.exp(block.values[:, 2:4]) * block.anchors / block.grid
    boxes = _boxes(block, _sigmoid(block.values[:, :2]), sizes)
    objectness, classes = _sigmoid(block.values[:, 4:5]), block.values[:, 5:]
    if kind.classfix == -1 and kind.dialect != P:
        objectness = np.where(objectness < 0.5, np.float32(0), objectness)
    return boxes, objectness * _class_values(kind, classes)


def _class_values(kind: Region, classes: Floats) -> Floats:
    """Softmax where asked for; else pjreddie takes logistic values, the others leave them as they are."""
    if not kind.softmax:
        return _sigmoid(classes) if kind.dialect == P else classes
    return softmax(classes)


Decode = Callable[[Any, _Block, Shape], tuple[Floats, Floats]]
DECODE: dict[type[Kind], Decode] = {Yolo: _yolo, GaussianYolo: _gaussian, Region: _region}


def _boxes(block: _Block, xy: Floats, sizes: Floats) -> Floats:
    return np.concatenate([(block.places + xy) / block.grid, sizes], axis=1)


def _spread(xy: Floats, scale: float) -> Floats:
    """scale_x_y stretches the places about the middle of the cell, so that boxes reach its edges."""
    return np.float32(scale) * xy - np.float32(0.5 * (scale - 1))


def _extent(net: Shape) -> Floats:
    return np.array([net.w, net.h], np.float32)


def softmax(values: F) -> F:
    """Softmax of each row, (n, classes)."""
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: F = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _sigmoid(x: Floats) -> Floats:
    y: Floats = np.reciprocal(1 + np.exp(-x))
    return y


def _logit(probability: float) -> float:
    """The number whose sigmoid this is."""
    return float(np.log(probability) - np.log1p(-probability))
