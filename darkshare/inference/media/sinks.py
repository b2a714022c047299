"""The files that detections go to: pictures, videos, JSON, CSV, label files, COCO.

What belongs to a video is written frame by frame, so that it is of use when the run is killed. What becomes one JSON
document waits on disk and is written whole at the end. Neither grows in memory.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from darkshare._files import CHUNK, failure, require_unread, write_all
from darkshare._images import Picture, encoded, writable
from darkshare._texts import raw_bytes, to_escaped
from darkshare.darknet.model import Model
from darkshare.inference.boxes import coco_annotations, darknet_objects, first_ids, label_lines
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.timing import output_rate, place
from darkshare.inference.media.videos import VideoFile

RESULT, TABLE, COCO, CLASSES = "result.json", "detections.csv", "coco.json", "classes.names"
COLUMNS = ("source", "frame", "seconds", "task", "class_id", "name", "score", "x1", "y1", "x2", "y2")


class SinkJob(NamedTuple):
    """The run as sinks know it: the folder, the model, and the format of videos."""

    folder: Path
    model: Model
    container: str


class Sink:
    """Something that takes frames one after another.

    `write` gets each frame with the name, without suffix, of the files that belong to it.
    """

    draws = False  # whether it needs frames that are drawn
    note = ""  # on the files, for the user, who gets one for all of a kind

    def __init__(self, job: SinkJob) -> None:
        self.job = job

    def write(self, frame: Frame, stem: str) -> None:
        """Take one frame."""
        raise NotImplementedError

    def close(self) -> list[Path]:
        """Finish, and give the files that the user is to know of."""
        return []


class DrawnPictures(Sink):
    """Each picture, or frame, with its boxes."""

    draws = True

    def write(self, frame: Frame, stem: str) -> None:
        suffix = _suffix(frame)
        path = self.job.folder / f"{_name(frame, stem)}{suffix}"
        write_all({path: [encoded(_shown(frame), suffix)]}, durable=False)


class AnnotatedVideo(Sink):
    """A video with its boxes, in a format that stays playable when the run is killed."""

    draws = True
    _file: VideoFile | None = None

    def write(self, frame: Frame, stem: str) -> None:
        assert frame.clip is not None, "only videos become videos"
        if self._file is None:
            rate = output_rate(frame.source, frame.clip)
            self._file = VideoFile(self.job.folder / f"{stem}{self.job.container}", frame.size, rate)
        self._file.add(_shown(frame), place(frame.seconds or 0.0, self._file.rate))

    def close(self) -> list[Path]:
        if self._file is None:
            return []
        self._file.close()
        self.note = self._file.note()
        return [self._file.path]


class JsonLines(Sink):
    """A line per frame of a video, written as soon as it is there, in the form of Darknet's frames."""

    _file: IO[bytes] | None = None

    def write(self, frame: Frame, stem: str) -> None:
        if self._file is None:
            self._path = self.job.folder / f"{stem}.jsonl"
            self._path.parent.mkdir(parents=True, exist_ok=True)
            require_unread([self._path])
            self._file = open(self._path, "wb", buffering=0)  # noqa: SIM115 - closed in close
        line = to_escaped(json.dumps(_darknet(frame, frame.number), ensure_ascii=False) + "\n")
        while line:
            line = line[self._file.write(line) :]

    def close(self) -> list[Path]:
        if self._file is None:
            return []
        self._file.close()
        return [self._path]


class ResultFile(Sink):
    """Darknet's result.json of all pictures."""

    def __init__(self, job: SinkJob) -> None:
        super().__init__(job)
        self._frames = _Entries()

    def write(self, frame: Frame, stem: str) -> None:
        self._frames.add(_darknet(frame, self._frames.count + 1))

    def close(self) -> list[Path]:
        path = self.job.folder / RESULT
        with self._frames as frames:
            write_all({path: chain(frames, [b"\n"])})
        return [path]


class Table(Sink):
    """A CSV row per box."""

    def __init__(self, job: SinkJob) -> None:
        super().__init__(job)
        self._rows = _Spool()
        self._rows.append(_row(COLUMNS))

    def write(self, frame: Frame, stem: str) -> None:
        for found in frame.found:
            for (name, score, box), class_id in zip(found, found.class_ids, strict=True):
                place = (round(value, 2) for value in box)
                start = (frame.source, frame.number, frame.seconds, found.task, int(class_id), name)
                self._rows.append(_row([*start, round(score, 6), *place]))

    def close(self) -> list[Path]:
        path = self.job.folder / TABLE
        with self._rows as rows:
            write_all({path: rows})
        return [path]


class LabelFiles(Sink):
    """A YOLO label file per picture or frame, empty where nothing is, with the classes of all tasks counted through."""

    def __init__(self, job: SinkJob) -> None:
        super().__init__(job)
        self._first = first_ids(job.model)
        names = "".join(f"{name}\n" for task in job.model.tasks for name in task.names)
        write_all({job.folder / CLASSES: [raw_bytes(names)]})

    def write(self, frame: Frame, stem: str) -> None:
        pairs = zip(frame.found, self._first, strict=True)
        lines = [f"{line}\n" for found, first in pairs for line in label_lines(found, frame.size, first)]
        path = self.job.folder / f"{_name(frame, stem)}.txt"
        write_all({path: ["".join(lines).encode()]}, durable=False)

    def close(self) -> list[Path]:
        return [self.job.folder / CLASSES]


class Coco(Sink):
    """One COCO document: images, annotations with scores, and the classes of all tasks as categories."""

    def __init__(self, job: SinkJob) -> None:
        super().__init__(job)
        self._images, self._annotations, self._first = _Entries(), _Entries(), first_ids(job.model)

    def write(self, frame: Frame, stem: str) -> None:
        number = self._images.count + 1
        own = Path(frame.source).name
        name = f"{_name(frame, stem)}{_suffix(frame)}" if frame.is_numbered else own
        width, height = frame.size
        self._images.add({"id": number, "file_name": name, "width": width, "height": height})
        for found, first in zip(frame.found, self._first, strict=True):
            for one in coco_annotations(found, frame.size, number, first):
                self._annotations.add({"id": self._annotations.count + 1, **one})

    def close(self) -> list[Path]:
        tasks = [(task.name, name) for task in self.job.model.tasks for name in task.names]
        categories = [{"id": i, "name": name, "supercategory": task} for i, (task, name) in enumerate(tasks, 1)]
        end = b',\n"categories": ' + to_escaped(json.dumps(categories, indent=1, ensure_ascii=False)) + b"\n}\n"
        path = self.job.folder / COCO
        with self._images as images, self._annotations as annotations:
            write_all({path: chain([b'{\n"images": '], images, [b',\n"annotations": '], annotations, [end])})
        return [path]


class _Spool:
    """The content of a file to come, on disk until it is complete: each piece whole, also where the last one failed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by __exit__
        self._size = 0

    def append(self, data: bytes) -> None:
        try:
            self._file.seek(self._size)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise failure("written", tempfile.gettempdir(), error) from None
        self._size += len(data)

    def __enter__(self) -> Iterator[bytes]:
        """Everything, in pieces; it is gone behind them."""
        return self._pieces()

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _pieces(self) -> Iterator[bytes]:
        self._file.truncate(self._size)
        self._file.seek(0)
        while piece := self._file.read(CHUNK):
            yield piece


class _Entries(_Spool):
    """The entries of a JSON list."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def add(self, entry: dict[str, Any]) -> None:
        text = textwrap.indent(json.dumps(entry, indent=1, ensure_ascii=False), " ")
        self.append(to_escaped((",\n" if self.count else "\n") + text))
        self.count += 1

    def _pieces(self) -> Iterator[bytes]:
        yield b"["
        yield from super()._pieces()
        yield b"\n]" if self.count else b"]"


def _row(cells: Sequence[object]) -> bytes:
    """A row of a CSV table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return to_escaped(text.getvalue())


def _shown(frame: Frame) -> Picture:
    assert frame.drawn is not None, "the pipeline draws what `OutputFiles.draws` asks for"
    return frame.drawn


def _darknet(frame: Frame, number: int) -> dict[str, Any]:
    """One entry as Darknet numbers and names them; frames of a video have their time as well, pages their number."""
    time = {"seconds": frame.seconds} if frame.clip else {}
    objects = [row for found in frame.found for row in darknet_objects(found, frame.size)]
    page = {"page": frame.number} if frame.paged else {}
    return {"frame_id": number, "filename": frame.source, **page, **time, "objects": objects}


def _suffix(frame: Frame) -> str:
    """The suffix of the picture that shows it."""
    own = Path(frame.source).suffix
    return ".jpg" if frame.clip else own if writable(own) else ".png"


def _name(frame: Frame, stem: str) -> str:
    return f"{stem}-{frame.number:06d}" if frame.is_numbered else stem


class Format(NamedTuple):
    """A format that detections are saved in.

    Attributes:
        run: takes the frames of the whole run; None where only videos have such a file.
        video: takes those of a video instead, a new one for each.
    """

    run: type[Sink] | None
    video: type[Sink] | None = None


FORMATS: dict[str, Format] = {  # a row is all that a further format takes, besides its `Sink`
    "picture": Format(DrawnPictures),
    "video": Format(None, AnnotatedVideo),
    "json": Format(ResultFile, JsonLines),
    "csv": Format(Table),
    "yolo": Format(LabelFiles),
    "coco": Format(Coco),
}
