"""Chunks of pictures as work for another process: the detector in words, what it is to find, and rows of that."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np

from darkshare._files import reading as file_reading
from darkshare._files.opened import sha256
from darkshare._images import Picture
from darkshare._images.limits import VARIABLE, max_megapixels
from darkshare.darknet.model import load
from darkshare.darknet.tasks import Task
from darkshare.errors import DarkshareError
from darkshare.inference.boxes import Detections, rules_of
from darkshare.inference.cluster import require_on_disk, shared_threads
from darkshare.inference.detector import Detector, Runnable, runnable
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.pipeline import flow, reading
from darkshare.inference.media.sources import Broken, PictureFile, Selection
from darkshare.inference.onnx import SUFFIXES
from darkshare.inference.preprocess import reads_alpha

CORNERS = ("x1", "y1", "x2", "y2")
ChunkItem = PictureFile | Broken
Row = dict[str, Any]  # of a picture, or of a page: source, frame, paged, width, height, error, objects


@dataclass(frozen=True)
class DetectorFiles:
    """A detector in words that another process understands: the files that it is loaded from, and how.

    Attributes:
        paths: of the cfg and the weights, or of the exported file.
        sha256: their fingerprints.
        dialect: of the cfg.
        size: of the input, instead of the cfg's.
        tasks: those that are loaded.
        how: the arguments of a `Detector`.
    """

    paths: tuple[str, ...]
    sha256: tuple[str, ...]
    dialect: str
    size: tuple[int, int] | None
    tasks: tuple[Task, ...]
    how: Mapping[str, Any]

    @classmethod
    def of(cls, found: Runnable, tasks: Sequence[Task], how: Mapping[str, Any]) -> DetectorFiles:
        """Describe a model.

        Args:
            found: the model, as it was loaded, or its exported file.
            tasks: those that are needed.
            how: the arguments of a `Detector`.

        Raises:
            DarkshareError: the model differs from its files.
        """
        model = found.model
        size = None if found.file else require_on_disk(model, any_size=True)
        names = [found.file] if found.file else [model.name, model.weights.path if model.weights else None]
        paths = tuple(os.path.abspath(name) for name in names if name)  # noqa: PTH100 - as `_files.resolved`
        return cls(paths, tuple(map(sha256, paths)), model.network.dialect, size, tuple(tasks), how)

    def load(self) -> Detector:
        """Load it from files that must be the same.

        Raises:
            DarkshareError: they are others here, or cannot be read or run.
        """
        for path, known in zip(self.paths, self.sha256, strict=True):
            with file_reading(path):
                same = sha256(path) == known
            if not same:
                raise DarkshareError("is another file on this worker than where the run began", file=path)
        if self.paths[0].endswith(SUFFIXES):
            model = runnable(self.paths[0], self.how["engine"]).model
            return Detector(replace(model, tasks=self.tasks), **self.how, file=self.paths[0])
        model = load(*self.paths, dialect=self.dialect, size=self.size)
        return Detector(replace(model, tasks=self.tasks), **self.how)

    def settings(self) -> dict[str, Any]:
        """The part of the manifest about what computes; how many threads and how large a batch do not count."""
        how = {name: value for name, value in self.how.items() if name not in ("threads", "batch")}
        return {"model": list(self.sha256), "dialect": self.dialect, "size": self.size, **how}


@dataclass(frozen=True)
class ChunkJob:
    """The work on each picture.

    Attributes:
        files: the detector.
        rules: by which boxes are chosen, as `rules_of` takes them.
        every: of a file of several pictures, take every N-th.
        limit: no more of them than that.
        wanted: the tasks whose boxes are wanted; none for all of the detector's.
        raises: whether a network that fails on a picture ends everything; else that is the picture's error.
        folder: that the names of pictures are relative to.
        megapixels: the limit of pictures that are decoded.
    """

    files: DetectorFiles
    rules: Mapping[str, Any]
    every: int = 1
    limit: int | None = None
    wanted: tuple[Task, ...] = ()
    raises: bool = False
    folder: str = field(default_factory=os.getcwd)
    megapixels: float = field(default_factory=max_megapixels)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks whose boxes are wanted."""
        return self.wanted or self.files.tasks

    def rows(self, detector: Detector, items: Sequence[ChunkItem]) -> list[Row]:
        """Look at pictures, and give a row for each, or for each page."""
        alpha, batch = reads_alpha(detector.model.network), self.files.how["batch"]
        names = {os.path.join(self.folder, item.name): item.name for item in items}  # noqa: PTH118 - Path drops a ./
        known = [
            one if isinstance(one, Broken) else PictureFile(os.path.join(self.folder, one.name), alpha)  # noqa: PTH118
            for one in items
        ]
        read = reading(Selection(tuple(known)), every=self.every, limit=self.limit, batch=batch)
        try:
            with closing(flow(_Finder(detector, self), read, batch=batch)) as frames:
                return [_row(frame, names.get(frame.source, frame.source)) for frame in frames]
        except _NetworkFailed as error:
            raise error.args[0] from None

    def settings(self) -> dict[str, Any]:
        """The part of the manifest about what is found."""
        names = json.dumps([task.names for task in self.tasks])
        return {
            **self.files.settings(),
            "rules": {name: rule._asdict() for name, rule in rules_of(self.tasks, **self.rules).items()},
            "classes": hashlib.sha256(names.encode()).hexdigest(),
            "every": self.every, "limit": self.limit, "max_megapixels": self.megapixels,
        }  # fmt: skip


class _NetworkFailed(Exception):
    """The network failed on a picture, and that ends everything; its argument is the error."""


class _Finder:
    """A job's detector, as the pipeline asks for it."""

    def __init__(self, detector: Detector, job: ChunkJob) -> None:
        self._detector, self._model = detector, replace(detector.model, tasks=job.tasks)
        self._rules, self._raises = rules_of(job.tasks, **job.rules), job.raises

    def detect_batch(self, images: Sequence[Picture]) -> list[list[Detections]]:
        try:
            return self._detector.find(images, self._model, self._rules)
        except DarkshareError as error:
            if self._raises:
                raise _NetworkFailed(error) from None
            raise


def _row(frame: Frame, name: str) -> Row:
    """The row of a picture, under the name that the user gave."""
    width, height = frame.size
    error = None if frame.error is None else str(frame.error).replace(frame.source, name)
    objects = [row for found in frame.found for row in found.rows()]
    return {
        "source": name, "frame": frame.number, "paged": frame.paged, "width": width, "height": height,
        "error": error, "objects": objects,
    }  # fmt: skip


def found_in(row: Row, tasks: Sequence[Task]) -> tuple[Detections, ...]:
    """The boxes that a row holds, for each of the tasks that were looked for."""
    return tuple(_of_task(task, [one for one in row["objects"] if one["task"] == task.name]) for task in tasks)


def _of_task(task: Task, found: Sequence[Mapping[str, Any]]) -> Detections:
    boxes = np.array([[one[corner] for corner in CORNERS] for one in found], np.float32).reshape(-1, 4)
    scores = np.array([one["score"] for one in found], np.float32)
    return Detections(boxes, scores, np.array([one["class_id"] for one in found], np.intp), task.names, task.name)


_loaded: list[tuple[DetectorFiles, Detector]] = []  # at most one, for all jobs of this process
_loading = Lock()


def rows_on_worker(job: ChunkJob, items: Sequence[ChunkItem]) -> list[Row]:
    """`ChunkJob.rows` with the detector of this process, which the first job loads."""
    os.environ[VARIABLE] = str(job.megapixels)
    threads = job.files.how["threads"] or shared_threads()
    files = replace(job.files, how={**job.files.how, "threads": threads})
    with _loading:
        if not (_loaded and _loaded[0][0] == files):
            _loaded.clear()
            _loaded.append((files, files.load()))
        detector = _loaded[0][1]
    return job.rows(detector, items)
