"""Models that are ready to run on pictures: through an ONNX file of our own, never through DetectionModel."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from darkshare._files.scratch import scratch
from darkshare._images import Picture
from darkshare._tables import printable
from darkshare.darknet.model import Model, load
from darkshare.darknet.weights import Floats
from darkshare.errors import BadValue, DarkshareError, Unsupported, checked, require_least
from darkshare.inference import engines
from darkshare.inference.boxes import (
    NMS,
    OVERLAP,
    THRESHOLD,
    BoxRule,
    Detections,
    Levels,
    Overlaps,
    find,
    require_tiles,
    rules_of,
    views_of,
)
from darkshare.inference.classification import (
    MEANS,
    Guesses,
    by_classifier,
    cropped,
    only_classifiers,
    require_mean,
)
from darkshare.inference.engines import Engine
from darkshare.inference.engines.files import engine_file
from darkshare.inference.onnx import (
    BN_EPSILON,
    ONE_OUTPUT,
    SUFFIXES,
    Exported,
    by_head,
    one_output_shape,
    output_name,
    output_shape,
    read_exported,
)
from darkshare.inference.preprocess import PictureLike, Prepared, as_pictures, preprocess


class Detector:
    """A model that is loaded into an engine and ready to run: one forward pass for all its tasks.

    Threads may share it; they wait for one another.

    Args:
        model: with weights.
        threshold: keep scores above it; one number, or some tasks' own by name.
        nms: of two boxes of one task and class that overlap more, keep the better one; likewise. "agnostic", or
            (0.4, "agnostic"), is for boxes of one task and any classes.
        classes: find these only, in the tasks that have them; none for all.
        max_det: of each picture and task keep that many boxes, the best.
        clip: cut boxes off at the edge of the picture.
        tiles: columns and rows of tiles that each picture is cut into. They go through the network beside the whole
            picture, so that small objects are found.
        overlap: the share of a tile's side that its neighbour has too.
        batch: tiles that go through the network at once; no fewer than the pictures that are given together.
        bn_epsilon: see `export`.
        engine: one of `engines.NAMES`.
        threads: see `engines.open_engine`.
        precision: likewise.
        file: an exported file to run in place of the model's own weights, which it then needs none of; see
            `of_file`.

    Raises:
        BadArguments: an overlap without tiles.
        DarkshareError: a layer that has no ONNX form here, missing weights, an engine that is not there, or a number,
            task or class that cannot be.
    """

    @checked
    def __init__(
        self,
        model: Model,
        *,
        threshold: Levels = THRESHOLD,
        nms: Overlaps = NMS,
        classes: str | Sequence[str] = (),
        max_det: int | None = None,
        clip: bool = False,
        tiles: tuple[int, int] | None = None,
        overlap: float = OVERLAP,
        batch: int = 1,
        bn_epsilon: float = BN_EPSILON,
        engine: str = engines.DEFAULT,
        threads: int | None = None,
        precision: str = "fp32",
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        if file and bn_epsilon != BN_EPSILON:
            raise BadValue("its batch norm is settled; give bn_epsilon to export", file=str(file))
        self.model, self.engine = model, engine
        self._rules = rules_of(model.tasks, threshold=threshold, nms=nms, classes=classes, clip=clip, max_det=max_det)
        require_tiles(tiles, overlap)
        require_least(1, batch=batch)
        self._tiles, self._overlap, self._batch = tiles, overlap, batch
        self._heads = self._given = model.heads  # of a file some tasks may run, but it gives all of its heads
        how = {"threads": threads, "precision": precision}
        self._whole: Model | None = None  # of a file with the boxes of all tasks in one output
        if file:
            whole, one_output = _of_file(file, model)
            self._given, self._whole = whole.heads, whole if one_output else None
            self._engine = _opened(whole, file, engine, how, [ONE_OUTPUT] if one_output else None)
        else:
            self._engine = _loaded(model, bn_epsilon, engine, how)
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
        found = runnable(path, engine)
        return cls(found.model, engine=found.engine, file=found.file, **how)

    def __repr__(self) -> str:
        return f"<Detector: {_described(self.model)}, on {self.engine}>"

    @property
    def tiling(self) -> str:
        """The tiles in words, behind a comma; "" where there are none."""
        if self._tiles is None:
            return ""
        return f", {self._tiles[0]}x{self._tiles[1]} tiles with {self._overlap:g} in common and the whole picture"

    def raw(self, image: PictureLike) -> dict[int, Floats]:
        """Give the numbers of each head for a picture, by its layer: (channels, height, width), not decoded.

        Of a file with one output for all tasks they are (4 + classes, boxes): center and size in pixels of the input,
        and scores.

        Args:
            image: a path, an array as `cv2.imread` gives it (uint8, BGR, gray or BGRA), or a picture of PIL; see
                `preprocess.as_picture`.

        Raises:
            DarkshareError: no picture, or the engine refuses.
        """
        return self.raw_batch([image])[0]

    def raw_batch(self, images: Sequence[PictureLike]) -> list[dict[int, Floats]]:
        """`raw` of several pictures, of any sizes, in one batch."""
        blobs = [one.blob if isinstance(one, Prepared) else self._blob(one) for one in self._pictures(images)]
        if not blobs:
            return []
        batch = np.concatenate(blobs) if len(blobs) > 1 else blobs[0]
        try:
            with self._lock:
                found = self._engine.run(batch)
            self._require_shapes(found, len(batch))
            found = by_head(self._whole, found[0]) if self._whole else found
        except DarkshareError as error:
            raise error.locate(self.model.name, None) from None
        rows = (zip(self._given, values, strict=True) for values in zip(*found, strict=True))
        return [{head: values for head, values in row if head in self._heads} for row in rows]

    def _require_shapes(self, found: Sequence[Floats], count: int) -> None:
        """Refuse what an engine gave in another shape than the heads have, of which boxes would be made up."""
        layers = [self.model.network.layers[index] for index in self._given]
        outputs = [(output_name(layer), output_shape(layer)) for layer in layers]
        if self._whole:
            outputs = [(ONE_OUTPUT, one_output_shape(self._whole))]
        for (name, shape), values in zip(outputs, found, strict=True):
            if values.shape != (wanted := (count, *shape)):
                what = f"the engine {self.engine} gives {values.shape} for {name}, not {wanted}"
                raise DarkshareError(f"{what}; export it again, or take another engine")

    def prepare(self, image: Picture) -> Picture | Prepared:
        """Do what can be done with a picture before its turn, in a thread beside the engine; `detect_batch` takes it.

        Raises:
            DarkshareError: it cannot be given to the network.
        """
        return image if self._tiles else Prepared((image.shape[1], image.shape[0]), self._blob(image))

    def _blob(self, image: Picture) -> Floats:
        return preprocess(image, self.model.network)

    def _pictures(self, images: Sequence[PictureLike]) -> Sequence[Picture | Prepared]:
        if isinstance(images, list) and images and all(isinstance(one, Prepared) for one in images):
            return images
        return as_pictures(images, alpha=self.model.network.input.c == 4)

    def detect(self, image: PictureLike) -> list[Detections]:
        """Find the boxes of every task, in pixels of the picture.

        Args:
            image: see `raw`.

        Returns:
            One `Detections` per task, in the model's order.

        Raises:
            DarkshareError: no picture, or heads whose values are not numbers.
        """
        return self.detect_batch([image])[0]

    def detect_batch(self, images: Sequence[PictureLike]) -> list[list[Detections]]:
        """`detect` of several pictures, of any sizes, in one batch."""
        return self.find(images, self.model, self._rules)

    def find(self, images: Sequence[PictureLike], model: Model, rules: Mapping[str, BoxRule]) -> list[list[Detections]]:
        """`detect_batch` for some of the tasks, by other rules.

        Args:
            images: see `raw`.
            model: the detector's own, with those tasks.
            rules: of each task.
        """
        pictures = self._pictures(images)
        sizes = [one.size if isinstance(one, Prepared) else (one.shape[1], one.shape[0]) for one in pictures]
        views = [views_of(size, self._tiles or (1, 1), self._overlap) for size in sizes]
        parts = [
            picture if isinstance(picture, Prepared) else picture[top : top + height, left : left + width]
            for picture, own in zip(pictures, views, strict=True)
            for left, top, width, height in own
        ]
        step = max(len(pictures), self._batch)
        raws = (raw for i in range(0, len(parts), step) for raw in self.raw_batch(parts[i : i + step]))
        return [find(model, [(view, next(raws)) for view in own], rules) for own in views]


class Classifier:
    """A model that is loaded into an engine and classifies pictures: one forward pass for all its classifiers.

    Threads may share it; they wait for one another.

    Args:
        model: with weights; tasks that give boxes are left out.
        branches: of an ensemble give each branch too, behind its vote.
        mean: how an ensemble votes; see `classification.by_classifier`.
        how: `engine` and the other arguments of a `Detector`, but for thresholds.

    Raises:
        Unsupported: no task of the model classifies.
        DarkshareError: it cannot be run here.
    """

    @checked
    def __init__(self, model: Model, *, branches: bool = False, mean: str = MEANS[0], **how: Any) -> None:
        chosen = only_classifiers(model)
        if chosen is None:
            raise Unsupported("finds boxes and classifies nothing; darkshare detect runs it", file=model.name)
        require_mean(mean)
        self.model, self.branches, self.mean = chosen, branches, mean
        self._runner = Detector(chosen, **how)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], *, engine: str | None = None, **how: Any) -> Classifier:
        """Load a file that `export` wrote; see `Detector.of_file`."""
        found = runnable(path, engine)
        return cls(found.model, engine=found.engine, file=found.file, **how)

    def __repr__(self) -> str:
        return f"<Classifier: {_described(self.model)}, on {self._runner.engine}>"

    def classify(self, image: PictureLike) -> list[Guesses]:
        """Give the probabilities that each classifier sees in a picture; of an ensemble its vote first.

        Args:
            image: a path, an array as `cv2.imread` gives it (uint8, BGR, gray or BGRA), or a picture of PIL. Its
                middle is what they see, as in Darknet.

        Raises:
            DarkshareError: no picture, or heads whose values are not numbers.
        """
        return self.classify_batch([image])[0]

    def classify_batch(self, images: Sequence[PictureLike]) -> list[list[Guesses]]:
        """`classify` of several pictures, of any sizes, in one batch."""
        pictures = as_pictures(images, alpha=self.model.network.input.c == 4)
        if not pictures:
            return []
        raws = self._runner.raw_batch([cropped(picture, self.model.network) for picture in pictures])
        try:
            found = list(by_classifier(self.model, raws, mean=self.mean, branches=self.branches))
        except DarkshareError as error:
            raise error.locate(self.model.name, None) from None
        return [[Guesses(task.name, task.names, rows[i]) for task, rows in found] for i in range(len(pictures))]


class Runnable(NamedTuple):
    """A model that can be run.

    Attributes:
        model: its network and tasks.
        engine: to run it on.
        file: an exported file that holds the weights; None where the model has them.
        stored: the precision of the weights.
        one_output: whether the file gives the boxes of all tasks instead of raw heads.
    """

    model: Model
    engine: str
    file: Path | None = None
    stored: str = "fp32"
    one_output: bool = False


def runnable(given: Model | str | os.PathLike[str], engine: str | None) -> Runnable:
    """Make a model, the name of its .cfg, or that of a file that `export` wrote ready for an engine.

    Args:
        given: the model or file.
        engine: one of `engines.NAMES`; None for the default, or the one that an int8 file was made for.

    Raises:
        DarkshareError: the file cannot be read, or not be run on this engine.
    """
    if isinstance(given, Model):
        return Runnable(given, engine or engines.DEFAULT)
    if Path(given).suffix not in SUFFIXES:
        return Runnable(load(given), engine or engines.DEFAULT)
    found = read_exported(given)
    return Runnable(found.model, engine_for(found, engine), found.path, found.precision, found.one_output)


def engine_for(found: Exported, wanted: str | None) -> str:
    """Choose the engine for an exported file: the wanted one, else the one that it was made for, else the default.

    Raises:
        Unsupported: an int8 file and OpenCV, which refuses such files or computes other numbers (seen in 4.14 and 5.0).
    """
    if found.precision == "int8" and wanted and wanted.startswith("opencv"):
        raise Unsupported(
            f"is in int8, which OpenCV does not compute as it is meant; use {found.engine}", file=str(found.path)
        )
    return wanted or found.engine or engines.DEFAULT


def _of_file(path: str | os.PathLike[str], model: Model) -> tuple[Model, bool]:
    """The whole model of an exported file, once it is known to be the given one's, and whether it has one output."""
    exported = read_exported(path)
    found = exported.model
    pairs = zip_longest(found.network.layers, model.network.layers)
    same = all(a and b and (a.kind, a.sources, a.x, a.y) == (b.kind, b.sources, b.x, b.y) for a, b in pairs)
    if not same or not set(model.heads) <= set(found.heads):
        raise DarkshareError(f"is not of the network {model.name or 'given'}; export it again", file=str(path))
    return found, exported.one_output


def _loaded(model: Model, bn_epsilon: float, engine: str, how: Mapping[str, Any]) -> Engine:
    """The model in an engine, through a file: from memory, OpenCV 5 ignores its choice and doubles its peak."""
    with scratch() as folder:
        file = engine_file(model, folder / "network.onnx", [engine], bn_epsilon=bn_epsilon)
        return _opened(model, file.path, engine, how)


def _opened(
    model: Model,
    path: str | os.PathLike[str],
    engine: str,
    how: Mapping[str, Any],
    outputs: Sequence[str] | None = None,
) -> Engine:
    heads = [output_name(model.network.layers[index]) for index in model.heads]
    try:
        return engines.open_engine(engine, path, outputs or heads, **how)
    except DarkshareError as error:
        raise error.locate(model.name, None) from None


def _described(model: Model) -> str:
    tasks = ", ".join(task.name for task in model.tasks)
    return printable(f"{model.name}, {'task' if len(model.tasks) == 1 else 'tasks'} {tasks}")
