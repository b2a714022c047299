"""Classifiers on pictures: the part that they see, their probabilities, the vote of an ensemble."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._images import Picture
from darkshare._tables import Result
from darkshare.darknet.kinds import Connected, Route, Softmax
from darkshare.darknet.kinds.base import P
from darkshare.darknet.model import Model, branch_tasks, ensemble_task
from darkshare.darknet.network import Network
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Floats
from darkshare.errors import BadValue, DarkshareError
from darkshare.inference.boxes import softmax

Doubles = NDArray[np.float64]
MEANS = ("file", "softmax", "logits")  # of an ensemble: the file's own output, or the mean made outside of it
_LEAST = np.finfo(np.float32).tiny  # a probability that went under is taken as this one, for its logarithm


class Guess(NamedTuple):
    """A class and how likely it is."""

    class_id: int
    name: str
    probability: float


@dataclass(frozen=True, eq=False, repr=False)
class Guesses(Result):
    """The probabilities that one task, or one branch of an ensemble, gives the classes of a picture.

    Attributes:
        task: its name.
        names: of its classes.
        probabilities: one for each class.
    """

    task: str
    names: tuple[str, ...]
    probabilities: Doubles

    def top(self, k: int = 5) -> list[Guess]:
        """The k likeliest classes; of equal ones the lower comes first, as in Darknet's `top_k`."""
        order = np.argsort(-self.probabilities, kind="stable")[:k].tolist()
        return [Guess(i, self.names[i], float(self.probabilities[i])) for i in order]

    @property
    def best(self) -> Guess:
        """The likeliest class."""
        return self.top(1)[0]

    def rows(self) -> list[dict[str, Any]]:
        """All classes, the likeliest first."""
        return [{"task": self.task, **guess._asdict()} for guess in self.top(len(self.names))]

    def summary(self) -> str:
        return f"{self.task}: {self.best.name} {self.best.probability:.3f} of {len(self.names)} classes"


def only_classifiers(model: Model) -> Model | None:
    """The model with those of its tasks that classify; None if there are none."""
    return _with(model, [task for task in model.tasks if model.classifies(task)])


def only_detectors(model: Model) -> Model | None:
    """The model with those of its tasks that find boxes; None if there are none."""
    return _with(model, [task for task in model.tasks if not model.classifies(task)])


def _with(model: Model, tasks: Sequence[Task]) -> Model | None:
    return replace(model, tasks=tuple(tasks)) if tasks else None


def cropped(image: Picture, network: Network) -> Picture:
    """The middle of a picture at the size of the network's input, as Darknet gives pictures to classifiers.

    AlexeyAB scales the shorter side to the input's width and cuts the input's shape out, with the edge repeated where
    the picture ends; pjreddie takes the square in the middle (validate_classifier_single in both). For square inputs
    that is the same.
    """
    import cv2

    wide, high = network.input.w, network.input.h
    h, w = image.shape[:2]
    side = min(h, w)
    tall = side if network.dialect == P else max(round(side * high / wide), 1)
    if tall > h:
        above = (tall - h) // 2
        image = np.asarray(cv2.copyMakeBorder(image, above, tall - h - above, 0, 0, cv2.BORDER_REPLICATE), np.uint8)
        h = tall
    top, left = (h - tall) // 2, (w - side) // 2
    part = image[top : top + tall, left : left + side]
    return np.asarray(cv2.resize(part, (wide, high), interpolation=cv2.INTER_LINEAR), np.uint8)


def probabilities(model: Model, task: Task, raws: Sequence[Mapping[int, Floats]]) -> Doubles:
    """The class probabilities of a task, (pictures, classes); of several heads the mean.

    Args:
        model: whose heads they are.
        task: the classifier.
        raws: what the heads give for each picture; softmax is taken of what are not probabilities yet.

    Raises:
        DarkshareError: heads without one number per class, or values that are not numbers.
    """
    parts = []
    for head in task.heads:
        values = np.stack([raw[head].reshape(-1) for raw in raws]).astype(np.float64)
        layer = model.network.layers[head]
        if values.shape[1] != len(task.names):
            raise BadValue(f"{layer.label} gives {values.shape[1]} numbers for {len(task.names)} classes")
        if not np.isfinite(values).all():
            raise DarkshareError(f"{layer.label} gives values that are not numbers: are the weights broken?")
        parts.append(values if gives_probabilities(model.network, head) else softmax(values))
    return mean_of(parts, "softmax")


def gives_probabilities(network: Network, head: int) -> bool:
    """Tell whether a head's values are probabilities: those of a [softmax], or their mean that a matrix makes."""
    layer = network.layers[head]
    if isinstance(layer.kind, Softmax):
        return True
    before = network.layers[head - 1] if head else layer
    joined = isinstance(layer.kind, Connected) and isinstance(before.kind, Route)
    return joined and all(isinstance(network.layers[i].kind, Softmax) for i in before.sources)


def mean_of(parts: Sequence[Doubles], how: str) -> Doubles:
    """The mean of several probabilities, or the probabilities that the mean of their logits gives."""
    if how == "logits":
        return softmax(np.mean([np.log(np.maximum(part, _LEAST)) for part in parts], axis=0))
    found: Doubles = np.mean(parts, axis=0)
    return found


def by_classifier(
    model: Model, raws: Sequence[Mapping[int, Floats]], *, mean: str = MEANS[0], branches: bool = False
) -> Iterator[tuple[Task, Doubles]]:
    """Go through the classifiers of a model, of an ensemble its vote, with their probabilities (pictures, classes).

    Args:
        model: whose heads they are.
        raws: what the heads give for each picture.
        mean: how an ensemble votes: `file`, as the file itself averages, or by probabilities where it does not;
            `softmax`, the mean of the branches' probabilities; `logits`, of what enters their softmax.
        branches: give each branch too, behind the vote.

    Raises:
        BadValue: a mean that there is not.
        DarkshareError: see `probabilities`.
    """
    require_mean(mean)
    for name in dict.fromkeys(task.ensemble or task.name for task in model.tasks if model.classifies(task)):
        members = branch_tasks(model, name)
        own = next((task for task in model.tasks if task.name == name), None) or ensemble_task(model, name)
        if mean == "file" or not members:
            yield own, probabilities(model, own, raws)
        else:
            yield own, mean_of([probabilities(model, one, raws) for one in members], mean)
        for one in members if branches else ():
            yield one, probabilities(model, one, raws)


def require_mean(mean: str) -> None:
    """Refuse a way to vote that is not one of `MEANS`.

    Raises:
        BadValue: it is not.
    """
    if mean not in MEANS:
        raise BadValue(f"unknown mean {mean}; use one of {', '.join(MEANS)}")
