"""Models that are ready to run on pictures: through an ONNX file of our own, never through DetectionModel."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from darkshare._images import Picture
from darkshare.darknet.letterbox import fitted
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.darknet.weights import Floats
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.inference import engines
from darkshare.inference.boxes import NMS, THRESHOLD, Detections, Levels, interpret, levels
from darkshare.inference.classification import MEANS, Guesses, cropped, only_classifiers, voices
from darkshare.inference.engines import Engine
from darkshare.inference.onnx import Exported, buffers, output_name, read_exported


class Detector:
    """A model that is loaded into an engine and ready to run: one forward pass for all its tasks.

    Threads may share it; they wait for one another.

    Args:
        model: with weights.
        threshold: keep scores above it; one number, or some tasks' own by name.
        nms: of two boxes of one task and class that overlap more, keep the better one; likewise.
        bn_epsilon: see `onnxfile.export`.
        engine: one of `engines.NAMES`.
        threads: see `engines.open_engine`.
        precision: likewise.
        file: an exported file to run in place of the model's own weights, which it then needs none of; see
            `of_file`.

    Raises:
        DarkshareError: a layer that has no ONNX form here, missing weights, or an engine that is not there.
    """

    def __init__(
        self,
        model: Model,
        *,
        threshold: Levels = THRESHOLD,
        nms: Levels = NMS,
        bn_epsilon: float = 1e-5,
        engine: str = engines.DEFAULT,
        threads: int | None = None,
        precision: str = "fp32",
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.model = model
        self.threshold = levels(model.tasks, threshold, THRESHOLD)
        self.nms = levels(model.tasks, nms, NMS)
        self._heads = model.heads
        how = {"threads": threads, "precision": precision}
        self._engine = _opened(model, file, engine, how) if file else _loaded(model, bn_epsilon, engine, how)
        self._lock = Lock()

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], *, engine: str | None = None, **how: Any) -> Detector:
        """Load a file that `export` wrote, such as one in int8: what its heads mean is in it.

        Args:
            path: an .onnx file, or an .xml with its .bin.
            engine: instead of the one that the file was made for.
            how: the other arguments of a `Detector`, but for `bn_epsilon`.

        Raises:
            DarkshareError: no file of ours, or an engine that is not there or cannot read it.
        """
        found = read_exported(path)
        return cls(found.model, engine=engine_for(found, engine), file=path, **how)

    def raw(self, image: Picture) -> dict[int, Floats]:
        """What each head gives for a picture, by its layer: (channels, height, width), not decoded.

        Args:
            image: uint8 as `cv2.imread` gives it: BGR, gray or BGRA.
        """
        return self.raw_batch([image])[0]

    def raw_batch(self, images: Sequence[Picture]) -> list[dict[int, Floats]]:
        """`raw` of several pictures, of any sizes, in one batch."""
        if not images:
            return []
        batch = np.concatenate([blob(image, self.model.network) for image in images])
        try:
            with self._lock:
                found = self._engine.run(batch)
        except DarkshareError as error:
            raise error.locate(self.model.name, None) from None
        return [dict(zip(self._heads, values, strict=True)) for values in zip(*found, strict=True)]

    def detect(self, image: Picture) -> list[Detections]:
        """The boxes of every task, in pixels of the picture; see `detections.interpret`."""
        return self.detect_batch([image])[0]

    def detect_batch(self, images: Sequence[Picture]) -> list[list[Detections]]:
        """`detect` of several pictures, of any sizes, in one batch."""
        how = {"threshold": self.threshold, "nms": self.nms}
        return [
            interpret(self.model, raw, (image.shape[1], image.shape[0]), **how)
            for image, raw in zip(images, self.raw_batch(images), strict=True)
        ]


class Classifier:
    """A model that is loaded into an engine and says what pictures show: one forward pass for all its classifiers.

    Threads may share it; they wait for one another.

    Args:
        model: with weights; tasks that give boxes are left out.
        branches: of an ensemble give each branch too, behind its vote.
        mean: how an ensemble votes; see `guesses.voices`.
        how: `engine` and the other arguments of a `Detector`, but for thresholds.

    Raises:
        Unsupported: no task of the model classifies.
        DarkshareError: it cannot be run here.
    """

    def __init__(self, model: Model, *, branches: bool = False, mean: str = MEANS[0], **how: Any) -> None:
        chosen = only_classifiers(model)
        if chosen is None:
            raise Unsupported("finds boxes and classifies nothing; darkshare detect runs it", file=model.name)
        if mean not in MEANS:
            raise BadValue(f"there is no mean of {mean}; use one of {', '.join(MEANS)}")
        self.model, self.branches, self.mean = chosen, branches, mean
        self._runner = Detector(chosen, **how)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], *, engine: str | None = None, **how: Any) -> Classifier:
        """Load a file that `export` wrote; see `Detector.of_file`."""
        found = read_exported(path)
        return cls(found.model, engine=engine_for(found, engine), file=path, **how)

    def classify(self, image: Picture) -> list[Guesses]:
        """What each classifier thinks that a picture shows; of an ensemble its vote first.

        Args:
            image: uint8 as `cv2.imread` gives it: BGR, gray or BGRA; its middle is what they see, as in Darknet.
        """
        return self.classify_batch([image])[0]

    def classify_batch(self, images: Sequence[Picture]) -> list[list[Guesses]]:
        """`classify` of several pictures, of any sizes, in one batch."""
        if not images:
            return []
        raws = self._runner.raw_batch([cropped(image, self.model.network) for image in images])
        try:
            found = list(voices(self.model, raws, mean=self.mean, branches=self.branches))
        except DarkshareError as error:
            raise error.locate(self.model.name, None) from None
        return [[Guesses(task.name, task.names, rows[i]) for task, rows in found] for i in range(len(images))]


def engine_for(found: Exported, wanted: str | None) -> str:
    """The engine to run an exported file on: the wanted one, else the one that it was made for, else the default.

    Raises:
        Unsupported: an int8 file and OpenCV, which refuses such files or computes other numbers (seen in 4.14 and 5.0).
    """
    if found.engine and wanted and wanted.startswith("opencv"):
        raise Unsupported(
            f"is in int8, which OpenCV does not compute as it is meant; use {found.engine}", file=str(found.path)
        )
    return wanted or found.engine or engines.DEFAULT


def blob(image: Picture, network: Network) -> Floats:
    """A picture as the network's input: RGB in 0..1, stretched, or fitted into gray where Darknet does so.

    Raises:
        BadValue: it is not a uint8 picture.
    """
    import cv2

    c, h, w, *_ = network.input
    fitting = _with_channels(image, c)
    inner = fitted(network, (image.shape[1], image.shape[0]))
    small = cv2.dnn.blobFromImage(fitting, 1 / 255, inner, swapRB=c == 3)
    if inner == (w, h):
        return np.asarray(small, np.float32)
    top, left = (h - inner[1]) // 2, (w - inner[0]) // 2
    whole = np.full((1, c, h, w), 0.5, np.float32)
    whole[:, :, top : top + inner[1], left : left + inner[0]] = small
    return whole


def _with_channels(image: Picture, wanted: int) -> Picture:
    import cv2

    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise BadValue(f"a picture must be uint8, height x width x channels, not {image.dtype} {image.shape}")
    has = 1 if image.ndim == 2 else image.shape[2]
    conversions = {
        (1, 3): cv2.COLOR_GRAY2BGR,
        (4, 3): cv2.COLOR_BGRA2BGR,
        (3, 1): cv2.COLOR_BGR2GRAY,
        (4, 1): cv2.COLOR_BGRA2GRAY,
    }
    if has == wanted:
        return image
    if (has, wanted) not in conversions:
        raise BadValue(f"a picture of {has} channels cannot be given to a network that reads {wanted}")
    return np.asarray(cv2.cvtColor(image, conversions[has, wanted]), np.uint8)


def _loaded(model: Model, bn_epsilon: float, engine: str, how: Mapping[str, Any]) -> Engine:
    """The model in an engine, through a file: from memory, OpenCV 5 ignores its choice and doubles its peak."""
    with tempfile.TemporaryDirectory(prefix="darkshare-") as folder:
        path = Path(folder) / "network.onnx"
        with open(path, "wb") as file:
            file.writelines(memoryview(piece).cast("B") for piece in buffers(model, bn_epsilon))
        return _opened(model, path, engine, how)


def _opened(model: Model, path: str | os.PathLike[str], engine: str, how: Mapping[str, Any]) -> Engine:
    outputs = [output_name(model.network.layers[index]) for index in model.heads]
    try:
        return engines.open_engine(engine, path, outputs, **how)
    except DarkshareError as error:
        raise error.locate(model.name, None) from None
