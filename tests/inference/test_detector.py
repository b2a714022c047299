"""Pictures and the detector: input, batches, refusals, real photos, merged against separate networks."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text, zoo_path

from darkshare._images import encoded, read_picture, writable
from darkshare.darknet.model import Model, load
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadValue, DarkshareError
from darkshare.inference.detector import Detector
from darkshare.inference.engines import available
from darkshare.surgery import splice

ENGINES = [name for name, one in available().items() if one.version]


@pytest.mark.parametrize("engine", ENGINES)
def test_heads_come_by_layer(tiny, engine):
    found = Detector(load(tiny), engine=engine).raw(np.full((50, 70, 3), 99, np.uint8))
    assert {index: values.shape for index, values in found.items()} == {6: (14, 8, 8), 12: (14, 16, 16)}


def test_engines_agree(tiny):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    first, *others = (Detector(load(tiny), engine=engine).raw(image) for engine in ENGINES)
    for other in others:
        for index, values in first.items():
            np.testing.assert_allclose(values, other[index], atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_is_its_pictures(tiny, engine):
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((32, 32), (40, 64), (99, 31))]
    detector = Detector(load(tiny), engine=engine, threshold=0.05)
    raw, boxes = detector.raw_batch(images), detector.detect_batch(images)
    assert len(raw) == len(boxes) == 3
    for image, heads, found in zip(images, raw, boxes, strict=True):
        for index, values in detector.raw(image).items():
            np.testing.assert_allclose(heads[index], values, atol=1e-5)
        (alone,) = detector.detect(image)
        np.testing.assert_allclose(found[0].boxes, alone.boxes, rtol=1e-3)
    assert len({len(found[0]) for found in boxes}) > 1  # they are not one picture three times
    assert detector.raw_batch([]) == detector.detect_batch([]) == []


@pytest.mark.parametrize("tiles", [None, (2, 1)])
def test_pictures_that_are_prepared_give_the_same_boxes(tiny, tiles):
    images = [np.random.default_rng(h).integers(0, 256, (h, 64, 3), np.uint8) for h in (40, 99)]
    detector = Detector(load(tiny), threshold=0.05, tiles=tiles)
    pairs = zip(detector.detect_batch(images), detector.detect_batch([*map(detector.prepare, images)]), strict=True)
    for (wanted,), (found,) in pairs:
        assert len(wanted)
        assert np.array_equal(found.boxes, wanted.boxes)
        assert np.array_equal(found.scores, wanted.scores)


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_may_share_a_detector(tiny, engine):
    rng = np.random.default_rng(4)
    images = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(6)]
    detector = Detector(load(tiny), engine=engine)
    wanted = [detector.raw(image) for image in images]
    found = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: [detector.raw(images[i]) for _ in range(20)]}))
        for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, heads in enumerate(wanted):
        for one in found[i]:
            assert all(np.array_equal(one[index], heads[index]) for index in heads)


def test_results_stay_when_the_next_picture_runs(tiny):
    dark, light = (np.full((32, 32, 3), value, np.uint8) for value in (0, 255))
    for engine in ENGINES:
        detector = Detector(load(tiny), engine=engine)
        first = detector.raw(dark)
        kept = {index: values.copy() for index, values in first.items()}
        second = detector.raw(light)
        for index, values in kept.items():
            np.testing.assert_array_equal(first[index], values)
            assert not np.array_equal(second[index], values)


def test_an_engine_that_is_not_there(tiny):
    with pytest.raises(BadValue, match=r"tiny\.cfg: unknown engine fast; use opencv, opencv-classic, onnx"):
        Detector(load(tiny), engine="fast")


def test_no_file_is_left(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    detector = Detector(load(tiny))
    assert not list((tmp_path / "t").iterdir())
    assert detector.raw(np.zeros((32, 32, 3), np.uint8))  # it does not need the file any more


def test_an_error_of_opencv_is_reported_in_one_line(tiny):
    detector = Detector(load(tiny))
    engine: Any = detector._engine
    engine._outputs = ["nothing"]
    with pytest.raises(DarkshareError, match=r"tiny\.cfg: OpenCV .* cannot do it: "):
        detector.raw(np.zeros((32, 32, 3), np.uint8))


def test_broken_weights_are_an_error(tiny):
    model = load(tiny)
    data = model.weights.view(0, model.weights.size).copy()
    data[:] = np.nan
    broken = replace(model, weights=Weights(Header(), (data,)))
    with pytest.raises(DarkshareError, match="are the weights broken"):
        Detector(broken).detect(np.full((32, 32, 3), 7, np.uint8))


def test_threshold_and_nms_are_passed_on(tiny):
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    counts = [
        len(Detector(load(tiny), threshold=threshold, nms=nms).detect(image)[0])
        for threshold, nms in ((0.05, 0), (0.05, 0.3), (0.3, 0))
    ]
    assert counts[0] > counts[1] > 0
    assert counts[0] > counts[2]


def test_values_are_one_line(tiny):
    detector = Detector(load(tiny), threshold=0.05)
    assert repr(detector) == f"<Detector: {tiny}, task tiny, on opencv>"
    (found,) = detector.detect(np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8))
    assert repr(found).startswith(f"<Detections: tiny, {len(found)} boxes, best class_")
    assert "\n" not in repr(found)
    assert found._repr_html_().count("<tr>") == min(len(found), 60) + 1
    assert list(found.rows()[0]) == list(found.to_dataframe().columns)


# Pictures in files


def test_pictures_round_trip_and_names_in_any_script(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    path = tmp_path / "bild ä 图.png"
    path.write_bytes(encoded(image, ".png"))
    np.testing.assert_array_equal(read_picture(path), image)
    assert writable(".png")
    assert writable(".jpg")
    assert not writable(".doc")
    with pytest.raises(DarkshareError):
        encoded(image, ".doc")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_pictures(tmp_path, content):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DarkshareError, match=r"x\.png: is not a picture that OpenCV can read"):
        read_picture(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DarkshareError, match=r"nope\.png: cannot be read: No such file"):
        read_picture(tmp_path / "nope.png")
    with pytest.raises(DarkshareError, match="cannot be read: Is a directory"):
        read_picture(tmp_path)


# Real networks on real photos


def _best(model: Path, photo: str, **how) -> list[tuple[str, float, tuple[float, ...]]]:
    found = Detector(load(model), **how).detect(read_picture(zoo_path("media", photo)))
    assert len(found) == 1
    return list(found[0])


@pytest.mark.zoo
@pytest.mark.parametrize("engine", ENGINES)
def test_the_car_is_found(engine):
    rows = _best(zoo_path("models", "f10-coco", "f10-coco.cfg"), "car-with-plate.jpg", engine=engine)
    assert {name for name, _, _ in rows} == {"car"}
    front = max(rows, key=lambda row: row[2][2])  # the car in the middle of the picture
    assert front[1] > 0.6
    np.testing.assert_allclose(front[2], [230, 515, 945, 1110], atol=40)  # as seen in the picture


@pytest.mark.zoo
def test_the_plate_is_found():
    ((name, score, box),) = _best(zoo_path("models", "f11-plate", "f11-plate.cfg"), "car-with-plate.jpg")
    assert name == "license plate"
    assert score > 0.9
    np.testing.assert_allclose(box, [508, 935, 672, 1000], atol=20)


@pytest.mark.zoo
@pytest.mark.parametrize("engine", ENGINES)
def test_the_masks_are_found(engine):
    rows = _best(zoo_path("models", "f10-mask-a", "f10-mask-a.cfg"), "people-masks-bag.jpg", engine=engine)
    assert len(rows) >= 4
    assert rows[0][0] == "good"
    assert rows[0][1] > 0.99
    x1, y1, x2, y2 = rows[0][2]
    assert 1830 < x1 < x2 < 1950
    assert 470 < y1 < y2 < 580


@pytest.mark.zoo
def test_an_input_that_is_not_square():
    model = load(zoo_path("models", "yoloface-500k", "yoloface-500k.cfg"))
    assert model.network.input.w != model.network.input.h
    faces = Detector(model).detect(read_picture(zoo_path("media", "people-masks-bag.jpg")))[0]
    assert max(faces.scores) > 0.7


# Merged against separate


def _tiny(classes: int, seed: int, trunk: np.ndarray | None = None, k: int = 0) -> Model:
    network_ = network_of(tiny_text(classes))
    data = seeded_floats(network_, seed)
    if trunk is not None:
        data[: network_.start(k)] = trunk[: network_.start(k)]
    names = tuple(f"class_{i}" for i in range(classes))
    runs = ((0, len(network_.layers)),)
    return Model(network_, Weights(Header(), (data,)), (Task(f"task{seed}", names, (6, 12), runs),))


@pytest.mark.filterwarnings("ignore:the heads have:darkshare.errors.DarkshareWarning")  # stock Darknet's limits
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_merged_equals_separate_bit_for_bit(engine, k):
    base = _tiny(2, 1)
    other = _tiny(5, 2, base.weights.view(0, base.weights.size), k)
    merged = splice.concat([base, other], k)
    image = np.random.default_rng(4).integers(0, 256, (40, 40, 3), np.uint8)
    wanted = [values for one in (base, other) for values in Detector(one, engine=engine).raw(image).values()]
    found = Detector(merged, engine=engine).raw(image)
    assert len(found) == 4
    for one, two in zip(found.values(), wanted, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.zoo
@pytest.mark.filterwarnings("ignore:the heads have:darkshare.errors.DarkshareWarning")
def test_a_real_pair_merged_finds_what_both_find():
    """Its first 109 layers are the same, so one pass gives both tasks' boxes."""
    paths = [zoo_path("models", name, f"{name}.cfg") for name in ("f10-coco", "f10-mask-frozen-exact-made")]
    image = read_picture(zoo_path("media", "people-masks-bag.jpg"))
    models = [load(path) for path in paths]
    wanted = [Detector(model).detect(image)[0] for model in models]
    found = Detector(splice.concat(models, 109)).detect(image)
    assert [one.task for one in found] == ["f10-coco", "f10-mask-frozen-exact-made"]
    for one, two in zip(found, wanted, strict=True):
        assert len(one) == len(two)
        assert one.names == two.names
        np.testing.assert_array_equal(one.boxes, two.boxes)
        np.testing.assert_array_equal(one.class_ids, two.class_ids)
    assert len(found[0]) > 3
