"""Raw heads become boxes: decoding, NMS per task and class, and the places in the original picture.

Everything follows AlexeyAB's code; the sources are named where the forks differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkshare.detections.decoding import DECODE, decode
from darkshare.detections.nms import Candidates, Ids, diou_exponent, suppress
from darkshare.errors import BadValue
from darkshare.kinds.base import P
from darkshare.model import Model
from darkshare.network import Network
from darkshare.weights import Floats

Picture = NDArray[np.uint8]  # height x width x channels, BGR, as cv2.imread gives it


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes of one task in one picture, best first.

    Attributes:
        boxes: float32 (n, 4), x1, y1, x2, y2 in pixels of the original picture; they may reach beyond it.
        scores: float32 (n,), objectness times class probability.
        class_ids: (n,), the task's own.
        names: the task's class names.
        task: its name.
    """

    boxes: Floats
    scores: Floats
    class_ids: Ids
    names: tuple[str, ...]
    task: str

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[str, float, tuple[float, ...]]]:
        """(class name, score, (x1, y1, x2, y2)) of each box."""
        for box, score, class_id in zip(self.boxes, self.scores, self.class_ids, strict=True):
            yield self.names[class_id], float(score), tuple(map(float, box))


def interpret(
    model: Model,
    raw: Mapping[int, Floats],
    picture: tuple[int, int],
    *,
    threshold: float = 0.25,
    nms: float = 0.45,
) -> list[Detections]:
    """Read the raw heads of one picture.

    Args:
        model: whose tasks and heads they are.
        raw: for each head layer its values, (channels, height, width).
        picture: width and height of the original picture.
        threshold: keep scores above it; a box counts once for each class that passes.
        nms: of two boxes of one class that overlap more, keep the better one; 0 keeps all, as in Darknet.

    Returns:
        One `Detections` per task, in the model's order.

    Raises:
        DarkshareError: a head gives values that are no numbers, or is no box head.
        BadValue: a threshold that does not lie between 0 and 1.
    """
    for value in (threshold, nms):
        if not 0 <= value <= 1:
            raise BadValue(f"a threshold must lie between 0 and 1, not {value}")
    found = []
    for task in model.tasks:
        parts = [decode(model, task, index, raw[index], threshold) for index in task.heads]
        together = Candidates.join(parts)
        placed = together._replace(boxes=_unfitted(together.boxes, model.network, picture))
        last = model.network.layers[task.heads[-1]].kind
        kept = suppress(placed, nms, diou_exponent(last)) if nms > 0 else np.argsort(-placed.scores, kind="stable")
        best = placed.take(kept)
        found.append(Detections(_corners(best.boxes, picture), best.scores, best.class_ids, task.names, task.name))
    return found


def is_letterboxed(network: Network) -> bool:
    """Whether pictures keep their proportions: pjreddie always, the others where [net] says letter_box=1."""
    return network.dialect == P or bool(network.net.letter_box)


def fitted(network: Network, picture: tuple[int, int]) -> tuple[int, int]:
    """Width and height that the picture has inside the network's input (letterbox_image in image.c)."""
    (_, net_h, net_w, *_), (w, h) = network.input, picture
    if not is_letterboxed(network):
        return net_w, net_h
    if net_w / w < net_h / h:
        return net_w, max(h * net_w // w, 1)
    return max(w * net_h // h, 1), net_h


def _unfitted(boxes: Floats, network: Network, picture: tuple[int, int]) -> Floats:
    """Fractions of the network's input as fractions of the picture (correct_yolo_boxes)."""
    net = np.array([network.input.w, network.input.h], np.float32)
    inner = np.array(fitted(network, picture), np.float32)
    centers = (boxes[:, :2] - (net - inner) / 2 / net) * (net / inner)
    return np.concatenate([centers, boxes[:, 2:] * (net / inner)], axis=1)


def _corners(boxes: Floats, picture: tuple[int, int]) -> Floats:
    size = np.array(picture, np.float32)
    centers, half = boxes[:, :2] * size, boxes[:, 2:] * size / 2
    return np.concatenate([centers - half, centers + half], axis=1)


def darknet_objects(found: Detections, picture: tuple[int, int]) -> list[dict[str, Any]]:
    """The boxes in the form that Darknet's `-out result.json` has (detection_to_json), plus the task."""
    w, h = picture
    rows = []
    for (name, score, (x1, y1, x2, y2)), class_id in zip(found, found.class_ids, strict=True):
        place = {"center_x": (x1 + x2) / 2 / w, "center_y": (y1 + y2) / 2 / h}
        size = {"width": (x2 - x1) / w, "height": (y2 - y1) / h}
        coordinates = {key: round(value, 6) for key, value in (place | size).items()}
        row = {"class_id": int(class_id), "name": name, "relative_coordinates": coordinates}
        rows.append({**row, "confidence": round(score, 6), "task": found.task})
    return rows


__all__ = [
    "DECODE",
    "Candidates",
    "Detections",
    "Picture",
    "darknet_objects",
    "decode",
    "diou_exponent",
    "fitted",
    "interpret",
    "is_letterboxed",
    "suppress",
]
