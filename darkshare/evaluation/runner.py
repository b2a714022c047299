"""A model run over a whole data set: what its tasks find there, and how good that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from darkshare._images import Picture, read_picture
from darkshare.darknet.letterbox import is_letterboxed
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Floats
from darkshare.data import ClassifiedDataset, Dataset
from darkshare.data.unreadable import Unreadable, without
from darkshare.errors import BadValue, DarkshareError, Unsupported, warn
from darkshare.evaluation.accuracy import Accuracy, evaluate_guesses
from darkshare.evaluation.average_precision import Evaluation, evaluate_detections
from darkshare.inference.boxes import NMS, Detections, rules_of
from darkshare.inference.classification import Doubles, by_classifier, cropped, mean_of, probabilities
from darkshare.inference.detector import Detector, Runnable
from darkshare.inference.engines import DEFAULT, presence
from darkshare.inference.media.chunk_jobs import ChunkJob, DetectorFiles, found_in
from darkshare.inference.media.chunks import Chunks, chunked
from darkshare.inference.media.sources import PictureFile
from darkshare.inference.preprocess import reads_alpha
from darkshare.inference.threads import made_ahead

LOWEST = 0.005  # scores above it count (validate_detector_map)
_WORDS = {"softmax": "probabilities", "logits": "logits"}
Watch = Callable[[Sequence[Any]], Iterable[Any]]  # goes through the pictures and may show how far it is


@dataclass(frozen=True, eq=False, repr=False)
class DatasetDetections:
    """The boxes of one task in every picture of a data set.

    Attributes:
        detections: of each picture.
        sizes: width and height of each picture.
        conditions: thresholds, resizing, engine.
        missing: the numbers of the data set's pictures that could not be read; they are left out with their boxes.
    """

    detections: tuple[Detections, ...]
    sizes: tuple[tuple[int, int], ...]
    conditions: str
    missing: frozenset[int] = frozenset()

    def __repr__(self) -> str:
        return f"<DatasetDetections: {sum(map(len, self.detections))} boxes in {len(self.detections)} pictures>"

    def evaluate(self, dataset: Dataset, **how: Any) -> Evaluation:
        """Compare them with the data set; see `evaluate_detections`."""
        seen = without(dataset, self.missing)
        return replace(evaluate_detections(self.detections, seen, self.sizes, **how), conditions=self.conditions)


@dataclass(frozen=True, repr=False)
class Runner:
    """A model that is loaded into an engine, to be run over data sets.

    Attributes:
        detector: the loaded model.
        engine: name, version and precision of what computes.
        lowest: detections above this score count.
        nms: of two boxes of one class that overlap more, the better one counts.
        batch: how many pictures, or tiles of them, go through the network at once.
        how: the arguments that the detector was made with.
    """

    detector: Detector
    engine: str
    lowest: float = LOWEST
    nms: float = NMS
    batch: int = 1
    how: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: Model,
        *,
        engine: str = DEFAULT,
        precision: str = "fp32",
        lowest: float = LOWEST,
        nms: float = NMS,
        batch: int = 1,
        **how: Any,
    ) -> Runner:
        """Load a model; for `how` see `Detector`.

        Raises:
            DarkshareError: it cannot be run here.
        """
        how = {"engine": engine, "precision": precision, "batch": batch, **how}
        version = presence(engine).version
        return cls(Detector(model, **how), f"{engine} {version} {precision}", lowest, nms, batch, how)

    def __repr__(self) -> str:
        return f"<Runner: {self.model.name} on {self.engine}>"

    @property
    def model(self) -> Model:
        """The loaded model."""
        return self.detector.model

    def detect_dataset(
        self, dataset: Dataset, task: str | None = None, watch: Watch = iter, chunks: Chunks | None = None
    ) -> DatasetDetections:
        """Find one task's objects in every picture.

        Args:
            dataset: the pictures.
            task: its name; without it, the model's only one.
            watch: goes through the pictures, for a progress bar.
            chunks: keep what is found by chunks, or let a cluster find it; then the model must be as its files are.

        Raises:
            DarkshareError: more than 1 % of the pictures cannot be read, or a task that is not there or gives no boxes;
                for chunks, see `chunked`.
        """
        return self.detect_tasks(dataset, [self.model.task(task)], watch, chunks)[0]

    def detect_tasks(
        self, dataset: Dataset, tasks: Sequence[Task], watch: Watch = iter, chunks: Chunks | None = None
    ) -> tuple[DatasetDetections, ...]:
        """`detect_dataset` for several tasks of the model, all from one run of the network per picture."""
        own, unreadable = tuple(tasks), Unreadable()
        if chunks is None:
            seen = self._seen(dataset, own, watch, unreadable)
        else:
            seen = self._seen_by_chunks(dataset, own, watch, unreadable, chunks)
        found, sizes = [], []
        for boxes, size in seen:
            found.append(boxes)
            sizes.append(size)
        if unreadable:
            lost = sum(len(dataset.samples[index].boxes) for index in unreadable.indices)
            warn(f"{unreadable}; left out with their {lost} boxes")
        rest = tuple(sizes), self._conditions(), unreadable.indices
        return tuple(DatasetDetections(tuple(boxes[at] for boxes in found), *rest) for at in range(len(own)))

    def _seen(
        self, dataset: Dataset, own: tuple[Task, ...], watch: Watch, missing: Unreadable
    ) -> Iterator[tuple[Sequence[Detections], tuple[int, int]]]:
        """The boxes of each task and the size of each picture that can be read."""
        chosen, rules = replace(self.model, tasks=own), rules_of(own, **self._levels)
        for images in self._pictures(dataset, watch, missing):
            for boxes, image in zip(self.detector.find(images, chosen, rules), images, strict=True):
                yield boxes, (image.shape[1], image.shape[0])

    def _seen_by_chunks(
        self, dataset: Dataset, own: tuple[Task, ...], watch: Watch, missing: Unreadable, chunks: Chunks
    ) -> Iterator[tuple[Sequence[Detections], tuple[int, int]]]:
        _require_samples(dataset)
        files = DetectorFiles.of(Runnable(self.model, self.detector.engine), self.model.tasks, self.how)
        job = ChunkJob(files, self._levels, limit=1, wanted=own, raises=True)
        items = [PictureFile(str(sample.picture)) for sample in dataset.samples]
        rows = chunked(job, items, chunks, self.detector)
        for index, (_, row) in enumerate(zip(watch(dataset.samples), rows, strict=False)):
            if row["error"] is None:
                yield found_in(row, job.tasks), (row["width"], row["height"])
            else:
                missing.add(index, len(items), DarkshareError(row["error"]))

    @property
    def _levels(self) -> dict[str, Any]:
        """The rules by which boxes count."""
        return {"threshold": self.lowest, "nms": self.nms}

    def classify(
        self, dataset: ClassifiedDataset, task: str | None = None, watch: Watch = iter, **how: Any
    ) -> Accuracy:
        """Compare a classifier with pictures of known class; for `how` see `evaluate_guesses`.

        Raises:
            DarkshareError: more than 1 % of the pictures cannot be read, or a task that is not there or classifies
                nothing.
        """
        return self.accuracies(dataset, task, watch, **how)[0]

    def accuracies(
        self, dataset: ClassifiedDataset, task: str | None = None, watch: Watch = iter, **how: Any
    ) -> list[Accuracy]:
        """`classify`; of an ensemble its vote, then each branch, then both ways to average them, in one pass."""
        own = self.model.task(task)
        if not self.model.classifies(own):
            raise Unsupported(f"{own.name} is a detector: it needs a data set with boxes", file=self.model.name)
        unreadable, raws = Unreadable(), list[dict[int, Floats]]()
        for images in self._pictures(dataset, watch, unreadable):
            raws += self.detector.raw_batch([cropped(image, self.model.network) for image in images])
        if unreadable:
            warn(f"{unreadable}; left out")
        dataset = without(dataset, unreadable.indices)
        _, h, w, *_ = self.model.network.input
        conditions = f"central {'square' if h == w else 'part'}, stretched to {w}x{h}, {self.engine}"
        return [
            evaluate_guesses(rows, one, dataset, conditions=conditions, **how)
            for one, rows in self._probabilities(own, raws)
        ]

    def _probabilities(self, own: Task, raws: Sequence[dict[int, Floats]]) -> Iterator[tuple[Task, Doubles]]:
        """Each classifier that is to be evaluated, with its probabilities."""
        if not own.ensemble or own.name != own.ensemble:
            yield own, probabilities(self.model, own, raws)
            return
        mine = replace(self.model, tasks=tuple(task for task in self.model.tasks if task.ensemble == own.name))
        vote, *branches = by_classifier(mine, raws, branches=True)
        yield from (vote, *branches)
        for how in ("softmax", "logits"):
            yield (
                replace(own, name=f"{own.name} (mean of {_WORDS[how]})"),
                mean_of([rows for _, rows in branches], how),
            )

    def _pictures(
        self, dataset: Dataset | ClassifiedDataset, watch: Watch, missing: Unreadable
    ) -> Iterator[list[Picture]]:
        """Every picture that can be read, a batch at a time."""
        _require_samples(dataset)
        alpha, count = reads_alpha(self.model.network), len(dataset.samples)

        def read(index: int) -> list[Picture]:
            try:
                return [read_picture(dataset.samples[index].picture, alpha=alpha)]
            except DarkshareError as error:
                missing.add(index, count, error)
                return []

        jobs = ([partial(read, index)] for index in range(count))
        with closing(made_ahead(jobs, 2, 2 * self.batch)) as pictures:
            waiting: list[Picture] = []
            for at, _ in enumerate(watch(dataset.samples), 1):
                waiting += next(pictures)[0]
                if len(waiting) == self.batch or (waiting and at == count):
                    yield waiting
                    waiting = []

    def _conditions(self) -> str:
        _, h, w, *_ = self.model.network.input
        fit = "letterboxed" if is_letterboxed(self.model.network) else "stretched"
        nms = f"NMS {self.nms:g}{self.detector.tiling}"
        return f"scores > {self.lowest:g}, {nms}, {fit} to {w}x{h}, {self.engine}"


def _require_samples(dataset: Dataset | ClassifiedDataset) -> None:
    if not dataset.samples:
        raise BadValue(f"{dataset.name} has no pictures to evaluate on")


def evaluate_model(
    model: Model, dataset: Dataset, *, task: str | None = None, iou: float = 0.5, watch: Watch = iter, **how: Any
) -> Evaluation:
    """Run a model over a data set and compare what one task finds with the labels, by Darknet's rule.

    Args:
        model: with weights.
        dataset: pictures and boxes.
        task: its name; without it, the model's only one.
        iou: the overlap that makes a hit.
        watch: goes through the pictures, for a progress bar.
        how: see `Runner.of`.

    Raises:
        DarkshareError: what `Detector`, `Runner.detect_dataset` and `evaluate_detections` raise.
    """
    return Runner.of(model, **how).detect_dataset(dataset, task, watch).evaluate(dataset, iou=iou)


def classifier_accuracy(
    model: Model, dataset: ClassifiedDataset, *, task: str | None = None, watch: Watch = iter, **how: Any
) -> Accuracy:
    """Run a classifier over pictures of known class and count how often it is right.

    Args:
        model: with weights.
        dataset: pictures and their classes.
        task: its name; without it, the model's only one, or the vote of its only ensemble.
        watch: goes through the pictures, for a progress bar.
        how: see `Runner.of`.

    Raises:
        DarkshareError: what `Detector` and `Runner.classify` raise.
    """
    return Runner.of(model, **how).classify(dataset, task, watch)
