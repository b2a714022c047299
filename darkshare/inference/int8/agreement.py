"""The agreement of an int8 file's heads with fp32 on pictures: common boxes, their scores, and the raw numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from darkshare._images import read_picture
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Floats
from darkshare.inference.boxes import DECODE, THRESHOLD, Detections, interpret, iou
from darkshare.inference.onnx import output_name
from darkshare.inference.preprocess import preprocess, reads_alpha

OVERLAP = 0.5  # of two boxes that are the same
LOWER = THRESHOLD - 0.05  # a box that only one of the two has over the threshold may be that low in the other
MOST = 300  # boxes of a head in a picture that are compared
Run = Callable[[Floats], list[Floats]]


@dataclass(frozen=True)
class HeadAgreement:
    """A head in int8 against the same head in fp32.

    Attributes:
        task: whose head it is.
        output: its name in the file.
        layer: its layer.
        found: boxes over the threshold that either has; of a classifier the pictures; None where the numbers have no
            such meaning.
        both: the share of these that both have, of one class and overlapping by more than half, a little below the
            threshold if need be; None where there are none.
        score_difference: mean of these boxes' absolute difference in score; None where there are none.
        difference: mean absolute difference of the raw numbers, as a share of their mean size.
    """

    task: str
    output: str
    layer: int
    found: int | None
    both: float | None
    score_difference: float | None
    difference: float

    @property
    def level(self) -> float:
        """The share that both find, else the agreement of the raw numbers; it is compared with the limit."""
        return 1 - self.difference if self.both is None else self.both


class Matches(NamedTuple):
    """The number of things that either finds, that both find, and the sum of the latter's differences in score."""

    either: int
    both: int
    scores: float


class Reference:
    """Pictures that judge, with what fp32 gives for each of them.

    Args:
        model: whose heads are judged.
        names: of the pictures.
        run: the fp32 network; it takes a blob and gives all heads.
    """

    def __init__(self, model: Model, names: Sequence[str], run: Run) -> None:
        self._model = model
        self._names = names
        self._heads = model.heads
        self._sizes: list[tuple[int, int]] = []
        self._wanted = self._outputs(run)

    def judge(self, run: Run) -> tuple[HeadAgreement, ...]:
        """Compare another form of the network with fp32, head by head."""
        given = self._outputs(run)
        return tuple(
            self._of_head(task, head, given) for head in self._heads for task in self._model.tasks if head in task.heads
        )

    def _outputs(self, run: Run) -> list[dict[int, Floats]]:
        """For each picture the heads' numbers by layer."""
        found = []
        self._sizes = []
        for name in self._names:
            picture = read_picture(name, alpha=reads_alpha(self._model.network))
            self._sizes.append((picture.shape[1], picture.shape[0]))
            heads = run(preprocess(picture, self._model.network))
            found.append(dict(zip(self._heads, (values[0] for values in heads), strict=True)))
        return found

    def _of_head(self, task: Task, head: int, given: Sequence[dict[int, Floats]]) -> HeadAgreement:
        layer = self._model.network.layers[head]
        pairs = [(wanted[head], found[head]) for wanted, found in zip(self._wanted, given, strict=True)]
        size = sum(float(np.abs(a).sum()) for a, _ in pairs)
        apart = sum(float(np.abs(a - b).sum()) for a, b in pairs) / size if size else 0.0
        counted: list[Matches] = []
        if type(layer.kind) in DECODE:
            solo = replace(self._model, tasks=(replace(task, heads=(head,)),))
            boxes = [
                [interpret(solo, {head: values}, wh, threshold=LOWER)[0] for values in pair]
                for pair, wh in zip(pairs, self._sizes, strict=True)
            ]
            counted = [_boxes_in_common(a, b) for a, b in boxes]
        elif layer.y.h == layer.y.w == 1 or not layer.y.is_image:
            counted = [_best_in_common(a.ravel(), b.ravel()) for a, b in pairs]
        either, both, scores = (sum(column) for column in zip(*counted, strict=True)) if counted else (None, 0, 0.0)
        share = both / either if either else None
        return HeadAgreement(task.name, output_name(layer), head, either, share, scores / both if both else None, apart)


def _boxes_in_common(a: Detections, b: Detections) -> Matches:
    """Pair boxes of one class, the largest overlap first; of very many the best.

    Boxes over `LOWER` are given, and those count that are over `THRESHOLD` on one side at least.
    """
    n, m = (min(len(found), MOST) for found in (a, b))
    # In double, as wild boxes overflow.
    overlap = iou(a.boxes[:n].astype(float), b.boxes[:m].astype(float)) * (a.class_ids[:n, None] == b.class_ids[:m])
    left, right, both, scores = a.scores[:n].copy(), b.scores[:m].copy(), 0, 0.0
    while overlap.size and overlap.max() > OVERLAP:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        if max(left[i], right[j]) > THRESHOLD:
            both, scores = both + 1, scores + abs(float(left[i]) - float(right[j]))
        overlap[i], overlap[:, j], left[i], right[j] = 0, 0, 0, 0
    alone = int((left > THRESHOLD).sum() + (right > THRESHOLD).sum())
    return Matches(both + alone, both, scores)


def _best_in_common(a: Floats, b: Floats) -> Matches:
    """Compare the best class of a classifier."""
    best = int(a.argmax())
    same = int(best == int(b.argmax()))
    return Matches(1, same, same * abs(float(a[best]) - float(b[best])))
