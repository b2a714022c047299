"""Top-1 and top-k of classifiers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_text
from models import model
from synthetic import colour_classifier, painted

from darkshare.darknet.tasks import Task
from darkshare.data import Classified, ClassifiedDataset
from darkshare.errors import DarkshareWarning, Unsupported
from darkshare.evaluation import (
    Runner,
    evaluate_guesses,
)
from darkshare.evaluation.accuracy import ALL


def test_a_classifier_is_measured_by_its_best_guesses(tmp_path):
    paths = painted(tmp_path, [(200, 100, 0), (0, 200, 100), (200, 100, 0), (100, 0, 200)])
    names = ("blue", "green", "red")
    labels = (2, 1, 1, 1)  # right, right, second, third
    data = ClassifiedDataset("set", names, tuple(map(Classified, paths, labels)))
    found = Runner.of(colour_classifier(tmp_path), batch=3).classify(data, top=2)
    assert (found.top, found.ks, found.pictures) == ((0.5, 0.75), (1, 2), 4)
    assert [(one.name, one.pictures, one.top) for one in found.classes] == [
        ("red", 1, (1, 1)), ("green", 3, (pytest.approx(1 / 3), pytest.approx(2 / 3))),
    ]  # fmt: skip
    assert [(one.picture, one.name, one.guess) for one in found.worst] == [
        (paths[2], "green", "red"), (paths[3], "green", "blue"),
    ]  # fmt: skip
    assert 1 > found.worst[0].probability >= found.worst[1].probability > 1 / 3
    assert "another order" in found.remarks[0]
    assert "top-1 0.5000, top-2 0.7500 (central square, stretched to 8x8, opencv" in str(found)
    assert [row["class"] for row in found.table()] == ["red", "green", ALL]
    assert found.to_dataframe()["top2"].tolist() == [1, pytest.approx(2 / 3)]


@pytest.mark.parametrize("batch", [1, 7])
def test_one_broken_picture_of_a_hundred_is_left_out(tmp_path, batch):
    paths = painted(tmp_path, [(200, 100, 0), (0, 200, 100), (200, 100, 0), (100, 0, 200)])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    samples = [Classified(paths[i % 4], (2, 1, 1, 1)[i % 4]) for i in range(99)]
    runner = Runner.of(colour_classifier(tmp_path), batch=batch)
    whole = runner.classify(ClassifiedDataset("set", ("blue", "green", "red"), tuple(samples)), top=2)
    samples.insert(42, Classified(broken, 0))
    with pytest.warns(
        DarkshareWarning, match=r"1 of 100 pictures cannot be read \(.*broken.png: is not a .*\); left out"
    ):
        found = runner.classify(ClassifiedDataset("set", ("blue", "green", "red"), tuple(samples)), top=2)
    assert (found.top, found.pictures, found.table()) == (whole.top, 99, whole.table())


def test_equal_guesses_go_to_the_lower_class_as_in_darknet():
    task = Task("t", ("a", "b", "c"), (0,), ((0, 1),))
    data = ClassifiedDataset("set", ("a", "b", "c"), tuple(Classified(Path("x"), i) for i in range(3)))
    assert evaluate_guesses(np.full((3, 3), 1 / 3), task, data, top=2).top == pytest.approx((1 / 3, 2 / 3))


def test_a_detector_is_no_classifier(tmp_path):
    data = ClassifiedDataset("set", ("base_0",), (Classified(tmp_path / "x.png", 0),))
    with pytest.raises(Unsupported, match="base is a detector"):
        Runner.of(model(tiny_text())).classify(data)
