"""Frames of the pipeline: a picture with its boxes, or the error instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from darkshare._images import Picture, encoded
from darkshare._tables import printable
from darkshare.errors import DarkshareError
from darkshare.inference.boxes import Detections
from darkshare.inference.draw import annotate

if TYPE_CHECKING:
    import pandas as pd


class Clip(NamedTuple):
    """The video, camera or stream that a frame is from.

    Attributes:
        rate: frames per second, or their mean; 0 where that is not known.
        live: whether it goes on without us, so that late frames are worthless.
        step: which frames are taken: 1 each, 2 every second one.
        limit: how many of them are taken at most.
        apart: whether it is read beside other sources, whose frames come between its own.
    """

    rate: float
    live: bool
    step: int
    limit: int | None = None
    apart: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Frame:
    """A picture, or a frame of a video.

    Attributes:
        source: the file, camera or address it is from.
        image: uint8 BGR; None where there is an error.
        error: why the picture is missing, or why the network failed on it.
        number: its place in its source, from 1.
        paged: whether its source is a file of several pictures: pages of a TIFF, or an animation.
        seconds: its time in its video.
        clip: the video, if it is from one.
        found: one `Detections` per task.
        drawn: the picture with its boxes, where that was asked for.
        prepared: what the detector takes in place of the picture, until it has.
    """

    source: str
    image: Picture | None = None
    error: DarkshareError | None = None
    number: int = 1
    seconds: float | None = None
    clip: Clip | None = None
    paged: bool = False
    found: tuple[Detections, ...] = ()
    drawn: Picture | None = None
    prepared: Any = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return (0, 0) if self.image is None else (self.image.shape[1], self.image.shape[0])

    @property
    def is_numbered(self) -> bool:
        """Whether its source has other pictures, too."""
        return self.clip is not None or self.paged

    @property
    def boxes(self) -> int:
        """The number of boxes of all tasks."""
        return sum(map(len, self.found))

    def __repr__(self) -> str:
        place = f", frame {self.number}" if self.is_numbered else ""
        found = self.error or f"{self.size[0]} x {self.size[1]}, {self.boxes} boxes"
        return f"<Frame: {printable(f'{self.source}{place}, {found}')}>"

    def _repr_html_(self) -> str:
        """The picture with its boxes, as a notebook shows it."""
        from base64 import b64encode
        from html import escape

        if self.image is None:
            return f"<p>{escape(repr(self)[1:-1])}</p>"
        data = encoded(annotate(self.image, self.found) if self.drawn is None else self.drawn, ".jpg")
        return f'<img alt="{escape(repr(self)[1:-1])}" src="data:image/jpeg;base64,{b64encode(data).decode()}">'

    def to_dataframe(self) -> pd.DataFrame:
        """The tables of all tasks below one another, with source, frame and seconds before them."""
        import pandas as pd

        tables = [detections.to_dataframe() for detections in self.found]
        whole = pd.concat([table for table in tables if len(table)] or tables[:1] or [pd.DataFrame()])
        whole.insert(0, "source", self.source)
        whole.insert(1, "frame", self.number)
        whole.insert(2, "seconds", self.seconds)
        return whole.reset_index(drop=True)
