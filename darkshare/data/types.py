"""Data sets: pictures, each with its boxes or its class, and findings about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from darkshare._tables import printable, to_html


class Box(NamedTuple):
    """A labelled box, as Darknet's label files have it: centre and size as fractions of the picture.

    Attributes:
        class_id: from 0.
        x: of its centre, from the left.
        y: of its centre, from the top.
        w: its width.
        h: its height.
        difficult: whether evaluation is to pass over it, as Pascal VOC marks it; Darknet's files cannot say so.
    """

    class_id: int
    x: float
    y: float
    w: float
    h: float
    difficult: bool = False


class Sample(NamedTuple):
    """A picture and its boxes."""

    picture: Path
    boxes: tuple[Box, ...]


class Classified(NamedTuple):
    """A picture and its class."""

    picture: Path
    class_id: int


class Fault(NamedTuple):
    """Something wrong, wherever it stands; see `Finding`."""

    text: str
    kind: str = ""


class Finding(NamedTuple):
    """Something wrong with a data set.

    Attributes:
        path: the file.
        line: in the file, from 1; None where it is about the whole file.
        text: what is wrong, and what was done about it.
        kind: the same few words for all findings of one kind, where the text has names and numbers in it; empty where
            the text itself says the same of all.
    """

    path: Path
    line: int | None
    text: str
    kind: str = ""

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.text}"


class Shown:
    """A data set in one line, and as the numbers of its classes in a notebook."""

    name: str
    names: tuple[str, ...]
    samples: tuple[Any, ...]
    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        counts = f"{len(self.samples)} pictures, {len(self.names)} classes, {len(self.findings)} findings"
        return f"<{type(self).__name__}: {printable(self.name)}, {counts}>"

    def _repr_html_(self) -> str:
        from darkshare.data.tables import class_rows

        parts: Any = {self.name: self}
        return to_html(class_rows(parts))


@dataclass(frozen=True, repr=False)
class Dataset(Shown):
    """Pictures with boxes.

    Attributes:
        name: what to call it, such as the stem of its .data file.
        names: of the classes.
        samples: in the order of the list file; what cannot be used is not among them, but in `findings`.
        findings: everything that is wrong, in order.
    """

    name: str
    names: tuple[str, ...]
    samples: tuple[Sample, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, repr=False)
class ClassifiedDataset(Shown):
    """Pictures with a class each.

    Attributes:
        name: what to call it.
        names: of the classes.
        samples: in the order of the list file, or of the folders.
        findings: everything that is wrong, in order.
    """

    name: str
    names: tuple[str, ...]
    samples: tuple[Classified, ...]
    findings: tuple[Finding, ...] = ()
