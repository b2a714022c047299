"""Data sets in numbers: pictures and boxes of each part, and of each class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from darkshare._tables import Result, render, to_html
from darkshare.data.findings import counts_of, rows_of
from darkshare.data.types import ClassifiedDataset, Dataset, Finding

Parts = Mapping[str, Dataset | ClassifiedDataset]
_SIZES: Mapping[str, Callable[[list[float]], float]] = {"smallest %": min, "median %": median, "largest %": max}


@dataclass(frozen=True, repr=False)
class DataResult(Result):
    """The parts of a data set, and what is wrong with them.

    Attributes:
        path: of the .data file.
        parts: train, valid, test, so far as there are any.
        findings: everything that is wrong, each once.
    """

    path: Path
    parts: Parts
    findings: tuple[Finding, ...]

    def rows(self) -> list[dict[str, Any]]:
        """For each part and class its pictures and boxes, and how large these are."""
        return class_rows(self.parts)

    def text(self, form: str = "text", room: int | None = None) -> str:
        tables = (render(rows, form, room) for rows in (part_rows(self.parts), self.rows()))
        return "\n\n".join(filter(None, (*tables, *self.notes())))

    def as_dict(self) -> dict[str, Any]:
        return {
            **super().as_dict(),
            "data": str(self.path),
            "parts": part_rows(self.parts),
            "classes": self.rows(),
            "findings": rows_of(self.findings),
            "kinds": counts_of(self.findings),
        }

    def summary(self) -> str:
        counts = ", ".join(f"{len(part.samples)} {name} pictures" for name, part in self.parts.items())
        return f"{self.path}, {counts or 'no pictures'}, {len(self.findings)} findings"

    def _repr_html_(self) -> str:
        return to_html(part_rows(self.parts)) + super()._repr_html_()


def part_rows(parts: Parts) -> list[dict[str, Any]]:
    """For each part its pictures, those without boxes, and its boxes."""
    rows = []
    for part, dataset in parts.items():
        row: dict[str, Any] = {"part": part, "pictures": len(dataset.samples)}
        if isinstance(dataset, Dataset):
            boxes = [box for sample in dataset.samples for box in sample.boxes]
            row["without boxes"] = sum(not sample.boxes for sample in dataset.samples)
            row["boxes"] = sum(not box.difficult for box in boxes)
            row["difficult"] = sum(box.difficult for box in boxes)
        rows.append(row)
    return rows


def class_rows(parts: Parts) -> list[dict[str, Any]]:
    """For each part and class its pictures and boxes, and how large these are.

    The size of a box is the square root of its area, as a percentage of the picture's: 100 fills the picture.
    """
    rows: list[dict[str, Any]] = []
    for part, dataset in parts.items():
        if isinstance(dataset, ClassifiedDataset):
            counts = Counter(sample.class_id for sample in dataset.samples)
            rows += ({"part": part, "class": name, "pictures": counts[i]} for i, name in enumerate(dataset.names))
            continue
        sizes: dict[int, list[float]] = defaultdict(list)
        pictures: Counter[int] = Counter()
        for sample in dataset.samples:
            pictures.update({box.class_id for box in sample.boxes})
            for box in sample.boxes:
                sizes[box.class_id].append(100 * (box.w * box.h) ** 0.5)
        for index, name in enumerate(dataset.names):
            row = {"part": part, "class": name, "pictures": pictures[index], "boxes": len(sizes[index])}
            rows.append(row | {key: way(sizes[index]) if sizes[index] else None for key, way in _SIZES.items()})
    return rows
