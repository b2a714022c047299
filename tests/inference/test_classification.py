"""What classifiers see of a picture, and how the branches of an ensemble vote."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from architectures import darknet53_text
from conftest import network_of, tiny_text
from residuals import SMALL_DARKNET, model

from darkshare.darknet.model import common_ensemble, ensemble_task
from darkshare.errors import BadValue, DarkshareError
from darkshare.inference.classification import (
    Guesses,
    by_classifier,
    cropped,
    gives_probabilities,
    mean_of,
    only_classifiers,
    only_detectors,
    probabilities,
)
from darkshare.surgery.residual import branch

CLASSES = 5


def input_of(width: int, height: int, **how):
    return network_of(f"[net]\nwidth={width}\nheight={height}\nchannels=3\n[avgpool]\n[softmax]\n", **how)


def ensemble(combine: str, m: int = 3):
    text = darknet53_text(classes=CLASSES, size=32, stages=SMALL_DARKNET)
    return branch(model(text), "block 2", m, combine=combine, tolerance=1.0)


def raws_of(found, logits):
    """What heads give whose branches have these logits: (branches, pictures, classes)."""
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    branches = [task for task in found.tasks if task.name != found.tasks[0].ensemble]
    rows: list[dict] = [{} for _ in range(logits.shape[1])]
    for task, values in zip(branches, shares, strict=True):
        for row, value in zip(rows, values, strict=True):
            row[task.heads[0]] = value.astype(np.float32).reshape(-1, 1, 1)
    own = [task for task in found.tasks if task.name == task.ensemble]
    for row in rows if own else ():
        row[own[0].heads[0]] = np.full((CLASSES, 1, 1), 0.2, np.float32)
    return rows, shares


def test_the_square_in_the_middle():
    image = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    assert np.array_equal(cropped(image, input_of(5, 5)), image[:, 1:6])
    assert np.array_equal(cropped(image.transpose(1, 0, 2), input_of(5, 5)), image.transpose(1, 0, 2)[1:6])


def test_inputs_that_are_no_squares():
    """AlexeyAB cuts the input's shape out; pjreddie takes the square and stretches it."""
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    assert np.array_equal(cropped(image, input_of(6, 3)), image[1:4, 1:7])  # 6x3 of the 6x6 in the middle
    tall = cropped(image, input_of(6, 8))
    assert np.array_equal(tall[1:7], image[:, 1:7])
    assert np.array_equal(tall[0], image[0, 1:7])  # the edge once more
    assert np.array_equal(tall[7], image[5, 1:7])
    assert cropped(image, input_of(6, 3, dialect="pjreddie")).shape == (3, 6, 3)
    assert not np.array_equal(cropped(image, input_of(6, 3, dialect="pjreddie")), image[1:4, 1:7])


def test_guesses_come_likeliest_first_and_of_equal_ones_the_lower():
    found = Guesses("t", ("a", "b", "c"), np.array([0.25, 0.5, 0.25]))
    assert found.best == (1, "b", 0.5)
    assert [guess.name for guess in found.top(5)] == ["b", "a", "c"]
    assert list(found.to_dataframe().columns) == ["task", "class_id", "name", "probability"]


@pytest.mark.parametrize("combine", ["logits", "softmax", "none"])
def test_an_ensemble_votes_as_the_file_says_or_outside_of_it(combine):
    found = ensemble(combine)
    logits = np.random.default_rng(0).normal(size=(3, 4, CLASSES))
    rows, shares = raws_of(found, logits)
    of_logits = np.exp(logits.mean(axis=0))
    of_logits /= of_logits.sum(axis=1, keepdims=True)
    for mean, wanted in (("softmax", shares.mean(axis=0)), ("logits", of_logits)):
        ((task, values),) = by_classifier(found, rows, mean=mean)
        assert task.name == "net"
        np.testing.assert_allclose(values, wanted, atol=1e-6)
    own, *branches = by_classifier(found, rows, branches=True)
    np.testing.assert_allclose(own[1], shares.mean(axis=0) if combine == "none" else np.full((4, 5), 0.2), atol=1e-6)
    assert [task.name for task, _ in branches] == ["net-1", "net-2", "net-3"]
    for (_, values), wanted in zip(branches, shares, strict=True):
        np.testing.assert_allclose(values, wanted, atol=1e-6)


def test_a_matrix_behind_softmaxes_gives_probabilities_already():
    found = ensemble("softmax")
    assert gives_probabilities(found.network, found.tasks[0].heads[0])
    plain = network_of("[net]\nwidth=4\nheight=4\nchannels=1\n[connected]\noutput=3\n")
    assert not gives_probabilities(plain, 0)


def test_the_logarithm_of_a_probability_that_went_under_is_finite():
    found = mean_of([np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])], "logits")
    assert np.isfinite(found).all()
    assert found[0, 0] > 0.99


def test_tasks_are_separated():
    classifier, detector = ensemble("logits"), model(tiny_text())
    assert [only_classifiers(one) is None for one in (classifier, detector)] == [False, True]
    assert [only_detectors(one) is None for one in (classifier, detector)] == [True, False]
    assert classifier.classifies(classifier.tasks[1])
    assert common_ensemble(classifier) == "net"
    assert common_ensemble(detector) == ""
    assert common_ensemble(replace(classifier, tasks=(*classifier.tasks, detector.tasks[0]))) == ""


def test_what_cannot_vote_is_reported():
    found = ensemble("none")
    with pytest.raises(BadValue, match="unknown mean median; use one of file, softmax, logits"):
        list(by_classifier(found, [], mean="median"))
    with pytest.raises(BadValue, match="has no ensemble other"):
        ensemble_task(found, "other")
    rows, _ = raws_of(found, np.full((3, 1, CLASSES), np.nan))
    with pytest.raises(DarkshareError, match="not numbers: are the weights broken"):
        probabilities(found, found.tasks[0], rows)
    with pytest.raises(BadValue, match="gives 5 numbers for 2 classes"):
        probabilities(found, replace(found.tasks[0], names=("a", "b")), rows)
