"""The boxes of a picture: plain arrays, and the tables that other libraries take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from darkshare._tables import Result
from darkshare.darknet.weights import Floats
from darkshare.inference.boxes.nms import Ids

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Detections(Result):
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

    def take(self, rows: Any) -> Detections:
        """Some of the boxes, by their rows."""
        return replace(self, boxes=self.boxes[rows], scores=self.scores[rows], class_ids=self.class_ids[rows])

    def within(self, picture: tuple[int, int]) -> Detections:
        """The boxes cut off at the edge of the picture, whose width and height are given, where something is left."""
        cut = replace(self, boxes=np.clip(self.boxes, 0, np.array([*picture, *picture], np.float32)))
        return cut.take((cut.boxes[:, 2:] > cut.boxes[:, :2]).all(axis=1))

    def rows(self) -> list[dict[str, Any]]:
        """A row per box: task, class_id, name, score, x1, y1, x2, y2."""
        corners = ("x1", "y1", "x2", "y2")
        return [
            {
                "task": self.task,
                "class_id": int(class_id),
                "name": name,
                "score": score,
                **dict(zip(corners, box, strict=True)),
            }
            for (name, score, box), class_id in zip(self, self.class_ids, strict=True)
        ]

    def summary(self) -> str:
        found = f"{self.task}, {len(self)} {'box' if len(self) == 1 else 'boxes'}"
        return f"{found}, best {self.names[self.class_ids[0]]} {self.scores[0]:.3f}" if len(self) else found

    def to_dataframe(self) -> pd.DataFrame:
        """A table with a row per box: task, class_id, name, score, x1, y1, x2, y2."""
        import pandas as pd

        columns = {"task": self.task, "class_id": self.class_ids, "name": self._class_names(), "score": self.scores}
        corners = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True))
        return pd.DataFrame({**columns, **corners}, index=range(len(self)))

    def to_supervision(self) -> dict[str, Any]:
        """The arguments of `supervision.Detections`: `supervision.Detections(**found.to_supervision())`."""
        labels = {"class_name": self._class_names(), "task": np.full(len(self), self.task)}
        return {"xyxy": self.boxes, "confidence": self.scores, "class_id": self.class_ids.astype(int), "data": labels}

    def _class_names(self) -> Any:
        return np.array(self.names or [""], dtype=str)[self.class_ids]
