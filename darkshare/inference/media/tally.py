"""The counts of a run of `detect`, its errors among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from darkshare.inference.media.frames import Frame

MOST_ERRORS = 20  # that are reported; the others are counted


class Errors:
    """The errors of a run: the first are reported, all are counted.

    Args:
        tell: takes a line.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.count = 0

    def add(self, error: Exception) -> None:
        """Take one more."""
        self.count += 1
        if self.count <= MOST_ERRORS:
            self._tell(str(error))
        elif self.count == MOST_ERRORS + 1:
            self._tell("there are more such errors, which are only counted")


@dataclass
class Tally:
    """The counts of a run: each box of pictures; of videos, or where there may be any number, those of each class."""

    tell: Callable[[str], None]
    by_class: bool = False
    errors: Errors = field(init=False)
    done: int = 0
    boxes: int = 0
    videos: bool = False
    paged: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    classes: dict[tuple[str, str, int, str], list[float]] = field(default_factory=dict)  # frames, boxes, best score

    def __post_init__(self) -> None:
        self.errors = Errors(self.tell)

    def add(self, frame: Frame) -> None:
        """Count a frame, or its error."""
        if frame.clip and not self.videos:
            self.videos, self.rows = True, []  # videos have too many boxes to be kept
        if frame.error is not None:
            self.errors.add(frame.error)
            return
        self.done += 1
        self.paged |= frame.paged
        self.boxes += frame.boxes
        if not (self.videos or self.by_class):
            self.rows += _rows(frame)
        for found in frame.found:
            for class_id in set(found.class_ids.tolist()):
                scores = found.scores[found.class_ids == class_id]
                source = "" if self.by_class else frame.source
                counts = self.classes.setdefault((source, found.task, class_id, found.names[class_id]), [0, 0, 0.0])
                counts[:] = counts[0] + 1, counts[1] + len(scores), max(counts[2], round(float(scores.max()), 4))

    def table(self) -> list[dict[str, Any]]:
        """Give the rows of a `DetectionRun`."""
        if not (self.videos or self.by_class):
            for row in () if self.paged else self.rows:
                row.pop("frame", None)
            return self.rows
        columns = ("source", "task", "class_id", "name", "pictures" if self.by_class else "frames", "boxes", "best")
        rows = [dict(zip(columns, (*key, *values), strict=True)) for key, values in self.classes.items()]
        for row in rows if self.by_class else ():
            row.pop("source")
        return rows


def _rows(frame: Frame) -> Iterator[dict[str, Any]]:
    for found in frame.found:
        for class_id, (name, score, box) in zip(found.class_ids.tolist(), found, strict=True):
            x1, y1, x2, y2 = map(round, box)
            yield {
                "picture": frame.source,
                "frame": frame.number,
                "task": found.task,
                "class_id": class_id,
                "name": name,
                "score": round(score, 4),
                "x1": x1, "y1": y1, "x2": x2, "y2": y2,
            }  # fmt: skip
