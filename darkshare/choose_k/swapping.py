"""Trained networks whose first k layers are replaced by the base's, evaluated without further training.

Resetting layers to what they were before the training shows which of them the new task needs (Neyshabur, Sedghi and
Zhang, "What is being transferred in transfer learning?", NeurIPS 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from darkshare._images import read_picture
from darkshare.analysis.trunk import require_same_structure, require_weights
from darkshare.darknet.model import Model
from darkshare.darknet.weights import Header, Weights
from darkshare.data import Dataset
from darkshare.evaluation import Evaluation, evaluate_model
from darkshare.training.recalibration import recalibrated


def swapped(base: Model, tuned: Model, k: int) -> Model:
    """The tuned model with the base's layers 0..k-1.

    Raises:
        DarkshareError: one has no weights, or the layers do not compute the same.
    """
    for model in (base, tuned):
        require_weights(model)
    require_same_structure(base.network, tuned.network, k)
    assert base.weights is not None
    assert tuned.weights is not None
    start = base.network.start(k)
    floats = (*base.weights.slice(0, start), *tuned.weights.slice(start, tuned.network.params))
    return replace(tuned, weights=Weights(Header(), floats))


def swap_curve(
    base: Model,
    tuned: Model,
    dataset: Dataset,
    ks: Sequence[int],
    *,
    recalibrate: Sequence[Path] = (),
    threads: int | None = None,
    watch: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> dict[int, Evaluation]:
    """Evaluate the tuned model with the base's first k layers; k=0 is the tuned model itself.

    Args:
        base: whose layers come first.
        tuned: trained from the base for the data set's classes.
        dataset: pictures that it was not trained on.
        ks: how many layers are replaced; the model itself is evaluated, too.
        recalibrate: pictures on which batch norm behind the first k layers is measured again; without them it stays.
        threads: of the engine.
        watch: goes through the ks, for a progress bar.

    Raises:
        DarkshareError: models that do not fit together, or to the data set.
    """
    found = {0: evaluate_model(tuned, dataset, threads=threads)}
    for k in watch(sorted(set(ks))):
        model = swapped(base, tuned, k)
        if recalibrate:
            model = recalibrated(model, map(read_picture, recalibrate), k=k)
        found[k] = evaluate_model(model, dataset, threads=threads)
    return found
