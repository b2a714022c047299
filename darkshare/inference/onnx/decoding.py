"""Heads decoded in the graph: the numbers of `darkshare.inference.boxes`, for every place at once.

A decoded output has the shape (batch, boxes, 5 + classes). A row is x, y, w, h of a box as fractions of the input
(x, y its center), its objectness, and objectness times probability for each class of the task. The boxes are in the
order of OpenCV 4's Darknet importer: by row, column, anchor. For one output of all tasks see `united`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from darkshare.darknet import kinds
from darkshare.darknet.kinds import Kind
from darkshare.darknet.kinds.base import P
from darkshare.darknet.network import Layer
from darkshare.darknet.tasks import Task
from darkshare.errors import Unsupported
from darkshare.inference.onnx.graph import Graph

F = np.float32


class Parts(NamedTuple):
    """Names of tensors (batch, anchors, values, places)."""

    xy: str  # center, as fractions of the input
    wh: str
    objectness: str
    scores: str = ""  # of a head that has classes


class Head(NamedTuple):
    """A head under decoding: shorthand for the operators that it takes."""

    graph: Graph
    layer: Layer
    x: str  # (batch, anchors, values, places), fp32

    def op(self, name: str, *inputs: str, **attributes: Any) -> str:
        return self.graph.node(self.layer, name, *inputs, **attributes)

    def slice(self, start: int, stop: int, x: str | None = None) -> str:
        limits = (self.graph.integers(self.layer, n) for n in (start, stop, 2))
        return self.op("Slice", x or self.x, *limits)

    def reshaped(self, x: str, *shape: int) -> str:
        return self.op("Reshape", x, self.graph.integers(self.layer, -1, *shape))

    def line(self, x: str, slope: Any, offset: Any = 0.0) -> str:
        """Slope times x plus offset; both may be arrays that broadcast."""
        y = self.op("Mul", x, self.graph.constant(self.layer, slope, F))
        return self.op("Add", y, self.graph.constant(self.layer, offset, F)) if np.any(offset) else y

    def sigmoid(self, start: int, stop: int) -> str:
        return self.op("Sigmoid", self.slice(start, stop))

    def times(self, objectness: str, values: str) -> str:
        """Each class value times its box's objectness."""
        return self.op("Mul", values, objectness)

    def placed(self, xy: str, scale: float = 1.0) -> str:
        """Places in a cell as fractions of the input; scale_x_y stretches them about its middle."""
        h, w = self.layer.x.h, self.layer.x.w
        grid = np.array([w, h]).reshape(1, 1, 2, 1)

        def offsets() -> Any:  # made when they are written or held against a file, which then has as many
            cells = np.stack([np.arange(h * w) % w, np.arange(h * w) // w])[None, None]
            return (cells - 0.5 * (scale - 1)) / grid

        added = self.graph.repeated(self.layer, (1, 1, 2, h * w), 1, offsets, F)
        return self.op("Add", self.line(xy, scale / grid), added)

    def sized(self, kind: kinds.Boxes, factors: str, unit: tuple[int, int]) -> str:
        """Factors of the anchors as fractions of the input; `unit` is the input's size in the anchors' unit."""
        anchors = np.array(kind.anchor_sizes()) / unit
        return self.line(factors, anchors.reshape(1, -1, 2, 1))


def decoded(graph: Graph, layer: Layer, task: Task, x: str) -> tuple[str, tuple[int, ...]]:
    """Append the decoding of a head's raw values for a task; returns the result and its shape without the batch.

    Raises:
        Unsupported: a head whose options are not decoded.
    """
    head, parts = _parts(graph, layer, task, x)
    rows = head.op("Concat", *filter(None, parts), axis=2)
    ordered = head.op("Transpose", rows, perm=[0, 3, 1, 2])
    result = (box_count(layer), 5 + len(task.names))
    return head.op("Reshape", ordered, graph.integers(layer, -1, *result)), result


def united(graph: Graph, layer: Layer, task: Task, x: str, ids: tuple[int, int]) -> str:
    """Append the boxes that a head gives for a task as columns: center and size in pixels of the input, then scores.

    A score is objectness times probability; those of the classes of other tasks are 0.

    Args:
        graph: under construction.
        layer: the head.
        task: whose boxes they are.
        x: the head's raw values.
        ids: the number of the task's first class among those of all tasks, and how many these are.

    Returns:
        The name of a tensor (batch, 4 + classes of all tasks, boxes by anchor and place).

    Raises:
        Unsupported: see `decoded`.
    """
    head, parts = _parts(graph, layer, task, x)
    (first, total), own = ids, len(task.names)
    if not parts.scores:
        raise Unsupported("it has no classes, which the one output needs; export raw heads or decoded boxes")
    pixels = np.array([*_input(head), *_input(head)]).reshape(1, 1, 4, 1)
    boxes = head.line(head.op("Concat", parts.xy, parts.wh, axis=2), pixels)
    scores = parts.scores
    if own < total:
        scores = head.op("Pad", scores, graph.integers(layer, 0, 0, first, 0, 0, 0, total - first - own, 0))
    columns = head.op("Transpose", head.op("Concat", boxes, scores, axis=2), perm=[0, 2, 1, 3])
    return head.op("Reshape", columns, graph.integers(layer, -1, 4 + total, box_count(layer)))


def box_count(layer: Layer) -> int:
    """Count the boxes of a head that is decoded."""
    kind = layer.kind
    if isinstance(kind, kinds.Boxes):
        return layer.x.h * layer.x.w * kind.boxes
    assert isinstance(kind, kinds.Detection)
    return kind.side**2 * kind.num


def _parts(graph: Graph, layer: Layer, task: Task, x: str) -> tuple[Head, Parts]:
    kind = layer.kind
    shape = (1, layer.x.size, 1)
    if isinstance(kind, kinds.Boxes):
        shape = (kind.boxes, kind.values, layer.x.h * layer.x.w)
    head = Head(graph, layer, graph.node(layer, "Reshape", x, graph.integers(layer, -1, *shape)))
    return head, DECODE[type(kind)](head, kind, (task.offset, task.offset + len(task.names)))


def _yolo(head: Head, kind: kinds.Yolo, own: tuple[int, int]) -> Parts:
    """get_yolo_box; with new_coords the convolution before is logistic already."""
    start, stop = own
    values: Callable[[int, int], str] = head.slice if kind.new_coords else head.sigmoid
    if kind.new_coords:
        twice = head.line(head.slice(2, 4), 2.0)
        factors = head.op("Mul", twice, twice)
    else:
        factors = head.op("Exp", head.slice(2, 4))
    xy, wh, objectness = values(0, 2), head.sized(kind, factors, _input(head)), values(4, 5)
    scores = head.times(objectness, values(5 + start, 5 + stop))
    return Parts(head.placed(xy, kind.scale_x_y), wh, objectness, scores)


def _gaussian(head: Head, kind: kinds.GaussianYolo, own: tuple[int, int]) -> Parts:
    """get_gaussian_yolo_box: behind each coordinate comes an uncertainty, whose mean lowers the scores."""
    start, stop = own
    xy = head.op("Concat", head.sigmoid(0, 1), head.sigmoid(2, 3), axis=2)
    raw_sizes = head.op("Concat", head.slice(4, 5), head.slice(6, 7), axis=2)
    wh, center = head.sized(kind, head.op("Exp", raw_sizes), _input(head)), head.placed(xy, kind.scale_x_y)
    shift = {"left_top": 0.5, "right_bottom": -0.5}.get(kind.yolo_point)
    if shift:
        center = head.op("Add", center, head.line(wh, shift))
    doubts = [head.sigmoid(i, i + 1) for i in (1, 3, 5, 7)]
    doubt = head.op("Add", head.op("Add", *doubts[:2]), head.op("Add", *doubts[2:]))
    objectness = head.sigmoid(8, 9)
    trusted = head.op("Mul", objectness, head.line(doubt, -0.25, 1.0))
    scores = head.times(trusted, head.sigmoid(9 + start, 9 + stop))
    return Parts(center, wh, objectness, scores)


def _region(head: Head, kind: kinds.Region, own: tuple[int, int]) -> Parts:
    """get_region_box: anchors are in cells; without softmax, pjreddie takes logistic class values."""
    start, stop = own
    if kind.tree or kind.background or kind.coords != 4 or kind.classfix == -1:
        raise Unsupported("[region] with tree=, background=, classfix=-1 or coords= other than 4 is not decoded")
    wh = head.sized(kind, head.op("Exp", head.slice(2, 4)), (head.layer.x.w, head.layer.x.h))
    objectness, values = head.sigmoid(4, 5), head.slice(5, kind.values)
    if kind.softmax:
        values = head.op("Softmax", values, axis=2)
    elif kind.dialect == P:
        values = head.op("Sigmoid", values)
    if stop - start < kind.classes:
        values = head.slice(start, stop, values)
    return Parts(head.placed(head.sigmoid(0, 2)), wh, objectness, head.times(objectness, values))


def _input(head: Head) -> tuple[int, int]:
    net = head.graph.model.network.input
    return net.w, net.h


def _detection(head: Head, kind: kinds.Detection, own: tuple[int, int]) -> Parts:
    """get_detection_detections: class values of all cells, then all objectness, then all boxes."""
    start, stop = own
    if kind.coords != 4:
        raise Unsupported("[detection] with coords= other than 4 is not decoded")
    cells, n, side = kind.side**2, kind.num, kind.side
    a, b = cells * kind.classes, cells * (kind.classes + n)
    objectness = head.reshaped(head.slice(a, b), 1, 1, cells * n)
    boxes = head.op("Transpose", head.reshaped(head.slice(b, b + 4 * cells * n), 1, cells * n, 4), perm=[0, 1, 3, 2])
    center, wh = head.slice(0, 2, boxes), head.slice(2, 4, boxes)
    cell = np.repeat(np.stack([np.arange(cells) % side, np.arange(cells) // side]), n, axis=1)
    center = head.line(center, 1 / side, (cell / side)[None, None])
    parts = Parts(center, head.op("Mul", wh, wh) if kind.sqrt else wh, objectness)
    if not kind.classes:
        return parts
    classes = head.op("Transpose", head.reshaped(head.slice(0, a), 1, cells, kind.classes), perm=[0, 1, 3, 2])
    each = head.reshaped(classes, kind.classes, cells, 1)  # both boxes of a cell have its classes
    spread = head.op("Concat", *[each] * n, axis=3)
    scores = head.slice(start, stop, head.reshaped(spread, 1, kind.classes, cells * n))
    return parts._replace(scores=head.times(objectness, scores))


Decode = Callable[[Head, Any, tuple[int, int]], Parts]  # with a kind of the entry's own
DECODE: dict[type[Kind], Decode] = {
    kinds.Yolo: _yolo,
    kinds.GaussianYolo: _gaussian,
    kinds.Region: _region,
    kinds.Detection: _detection,
}
