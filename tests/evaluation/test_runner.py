"""Models that run over data sets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import tiny_text, zoo_path
from models import model, quiet_concat, retrained
from synthetic import drawn, labelled_by

from darkshare import load
from darkshare.data import Box, Dataset, Sample
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning
from darkshare.evaluation import (
    Runner,
    evaluate,
    evaluate_model,
)
from darkshare.inference.detector import Detector


@pytest.mark.parametrize("letterbox", [0, 1])
def test_a_model_agrees_with_its_own_boxes(letterbox, tmp_path):
    text = tiny_text().replace("channels=3", f"channels=3\nletter_box={letterbox}")
    own = model(text)
    data = labelled_by(own, drawn(tmp_path, 1, [(64, 40), (40, 64), (32, 32)]), lowest=0.2)
    assert sum(len(sample.boxes) for sample in data.samples) > 20
    found = evaluate_model(own, data, batch=2, lowest=0.2)
    assert found.mean == pytest.approx(1)
    how = "letterboxed" if letterbox else "stretched"
    assert found.conditions.startswith(f"scores > 0.2, NMS 0.45, {how} to 32x32, opencv ")
    assert found.conditions in str(found)
    assert "Darknet's rule: area under the curve, IoU > 0.50" in str(found)


def test_heads_of_a_merged_network_reach_what_the_separate_ones_do(tmp_path):
    base = model(tiny_text(), "base")
    text = retrained(base, tiny_text(3), "text", 5)
    both = quiet_concat([base, text], k=5)
    paths = drawn(tmp_path, 2, [(40, 40)] * 4)
    for separate, task in ((base, "base"), (text, "text")):
        data = labelled_by(separate, paths)
        alone = evaluate_model(separate, data, iou=0.8, lowest=0.3)
        merged = evaluate_model(both, data, task=task, iou=0.8, lowest=0.3)
        assert 0 < alone.mean <= 1
        assert merged.task == task
        assert merged.mean == pytest.approx(alone.mean, abs=1e-6)
    with pytest.raises(BadValue, match="has the tasks base, text; say which one"):
        evaluate_model(both, data)
    with pytest.raises(BadValue, match="has no task logo; it has base, text"):
        evaluate_model(both, data, task="logo")


def test_tiles_count_as_detect_finds_them(tmp_path):
    own, how = model(tiny_text()), {"tiles": (2, 1), "overlap": 0.5}
    paths = drawn(tmp_path, 1, [(64, 40), (40, 64), (33, 32)])
    tiled = labelled_by(own, paths, lowest=0.2, **how)
    detector = Detector(own, threshold=0.2, **how)
    for sample in tiled.samples:
        assert [box.class_id for box in sample.boxes] == detector.detect(sample.picture)[0].class_ids.tolist()
    found = evaluate_model(own, tiled, batch=2, lowest=0.2, **how)
    assert found.mean == pytest.approx(1)
    tiles = "2x1 tiles with 0.5 in common and the whole picture"
    assert found.conditions.startswith(f"scores > 0.2, NMS 0.45, {tiles}, stretched to 32x32, ")
    assert evaluate_model(own, tiled, batch=2, lowest=0.2).mean < 1
    assert list(evaluate(own, tiled, lowest=0.2, **how).means.values()) == [found.mean]


def test_a_picture_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    data = Dataset("set", ("base_0", "base_1"), (Sample(tmp_path / "broken.png", ()),))
    with pytest.raises(
        DarkshareError, match=r"1 of 1 pictures cannot be read \(.*broken.png: is not a picture.*\), more"
    ):
        evaluate_model(model(tiny_text()), data)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("place", [0, 50, 99])
def test_one_broken_picture_of_a_hundred_is_left_out_with_its_boxes(tmp_path, batch, place):
    own = model(tiny_text())
    few = labelled_by(own, drawn(tmp_path, 1, [(40, 40)] * 4), lowest=0.3)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    samples = [few.samples[i % 4] for i in range(99)]
    whole = evaluate_model(own, replace(few, samples=tuple(samples)), lowest=0.3)
    lost = Sample(broken, (Box(0, 0.5, 0.5, 0.2, 0.2),) * 2)
    samples.insert(place, lost)
    says = r"1 of 100 pictures cannot be read \(.*broken.png: is not a picture.*\); left out with their 2 boxes"
    with pytest.warns(DarkshareWarning, match=says):
        found = evaluate_model(own, replace(few, samples=tuple(samples)), lowest=0.3, batch=batch)
    assert found.pictures == whole.pictures == 99
    assert found.rows() == whole.rows()
    assert found.mean == whole.mean


def test_pictures_are_watched_one_by_one(tmp_path):
    seen = []

    def watch(items):
        for item in items:
            yield item
            seen.append(item.picture.name)

    data = Dataset("set", ("base_0", "base_1"), tuple(Sample(p, ()) for p in drawn(tmp_path, 3, [(32, 32)] * 5)))
    evaluate_model(model(tiny_text()), data, batch=2, lowest=0.5, watch=watch)
    assert seen == [f"{i}.png" for i in range(5)]


@pytest.mark.zoo
def test_a_real_model_reaches_what_darknet_says_it_does():
    """AlexeyAB's `detector map` says 0.513494, 0.497213 and 0.512240; it decodes and shrinks pictures otherwise."""
    place = zoo_path("datasets", "face-mask-yolo")
    paths = [place / line for line in (place / "test.txt").read_text().split()]
    samples = []
    for path in paths:
        rows = [line.split() for line in path.with_suffix(".txt").read_text().splitlines() if line.strip()]
        samples.append(Sample(path, tuple(Box(int(row[0]), *map(float, row[1:])) for row in rows)))
    data = Dataset("masks", ("good", "bad", "none"), tuple(samples))
    seen = Runner.of(load(zoo_path("models", "f10-mask-a", "f10-mask-a.cfg"))).detect_dataset(data)
    for points, theirs in ((0, 0.513494), (11, 0.497213), (101, 0.512240)):
        assert seen.evaluate(data, points=points).mean == pytest.approx(theirs, abs=0.006)
