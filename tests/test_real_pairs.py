"""Real trained models: a merged network gives, bit for bit, what the separate networks give.

Through darkshare's own ONNX form on whichever OpenCV is installed, and through OpenCV 4's Darknet importer, which
we did not write and which OpenCV 5 no longer has. `DARKSHARE_ALL_CUTS=1` tries every cut instead of a sample.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import zoo_path
from models import quiet_concat

from darkshare.darknet.model import Model, load, save
from darkshare.errors import TrunkMismatch
from darkshare.inference.detector import Detector
from darkshare.inference.preprocess import preprocess
from darkshare.surgery.splice import concat, split

FIRST_HEAD = 115  # of the Yolo-Fastest networks, whose layers 0..108 are their backbone
CUTS = (
    range(1, FIRST_HEAD) if os.environ.get("DARKSHARE_ALL_CUTS") else [1, 2, 9, 24, 25, 26, 60, 73, 94, 107, 109, 114]
)
pytestmark = pytest.mark.zoo


def model(name: str) -> Model:
    return load(zoo_path("models", name, f"{name}.cfg"))


def photo() -> np.ndarray:
    image = cv2.imread(str(zoo_path("media", "people-masks-bag.jpg")))
    return cv2.resize(image, (640, 480))


def heads_of(one: Model, image: np.ndarray) -> list[np.ndarray]:
    found = Detector(one).raw(image)
    return [found[head] for task in one.tasks for head in task.heads]


def assert_equal_bits(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert np.array_equal(np.ascontiguousarray(x).view(np.uint32), np.ascontiguousarray(y).view(np.uint32))


def assert_merged_gives_the_same(merged: Model) -> None:
    """The separate networks are the product's own parts, whose weights are the originals' (other tests show that)."""
    image = photo()
    apart = [head for part in split(merged) for head in heads_of(part, image)]
    assert_equal_bits(heads_of(merged, image), apart)


def test_the_frozen_pair_is_merged_without_force():
    base, masks = model("f10-coco"), model("f10-mask-frozen-exact-made")
    merged = quiet_concat([base, masks])
    assert merged.tasks[1].k == 109
    image = photo()
    assert_equal_bits(heads_of(merged, image), [*heads_of(base, image), *heads_of(masks, image)])


@pytest.mark.parametrize("k", CUTS)
def test_every_cut_of_a_network_with_itself(k):
    one = model("f10-coco")
    assert_merged_gives_the_same(quiet_concat([one, one], k))


@pytest.mark.parametrize("k", CUTS)
def test_every_forced_cut_of_a_real_pair(k):
    assert_merged_gives_the_same(quiet_concat([model("f10-coco"), model("f10-mask-a")], k, force=True))


@pytest.mark.parametrize(
    "pair",
    [("f11-coco", "f11-plate"), ("f11-coco", "f11-body"), ("xl10-coco", "xl10-voc"), ("f10-coco", "f10-voc")],
    ids="-".join,
)
def test_other_real_pairs(pair):
    assert_merged_gives_the_same(quiet_concat([model(name) for name in pair], 60, force=True))


def test_three_networks_in_one():
    names = ("f10-coco", "f10-mask-frozen-exact-made", "f10-mask-a")
    base, frozen, masks = (model(name) for name in names)
    assert_merged_gives_the_same(quiet_concat([base, frozen, masks], [109, 60], force=True))


def test_a_cut_at_a_head_whose_classes_differ_is_refused():
    with pytest.raises(TrunkMismatch, match=r"layer 114 is not the base's .*use k<=114"):
        concat([model("f10-coco"), model("f10-mask-a")], FIRST_HEAD, force=True)


def importer_heads(cfg: Path, one: Model, image: np.ndarray) -> list[np.ndarray]:
    """The outputs of the convolutions before the heads, by OpenCV's own reading of our files."""
    dnn: Any = cv2.dnn  # OpenCV 4's: what is typed is OpenCV 5's, which has no importer
    net = dnn.readNetFromDarknet(str(cfg), str(cfg.with_suffix(".weights")))
    net.setInput(preprocess(image, one.network))
    return [x[0] for x in net.forward([f"conv_{head - 1}" for task in one.tasks for head in task.heads])]


@pytest.mark.importer
@pytest.mark.parametrize("layout", ["native", "padded"])
def test_the_importer_reads_our_merged_files(tmp_path, layout):
    base, masks = model("f10-coco"), model("f10-mask-frozen-exact-made")
    merged = quiet_concat([base, masks], layout=layout)
    save(merged, tmp_path / "both")
    image = photo()
    together = importer_heads(tmp_path / "both.cfg", merged, image)
    apart = [head for one in (base, masks) for head in importer_heads(Path(one.name), one, image)]
    tasks = [task for task in merged.tasks for _ in task.heads]
    for task, found, alone in zip(tasks, together, apart, strict=True):
        boxes = found.reshape(3, -1, *found.shape[1:])
        own = [*range(5), *range(5 + task.offset, 5 + task.offset + len(task.names))]
        assert_equal_bits([boxes[:, own].reshape(alone.shape)], [alone])
        foreign = np.delete(boxes, own, axis=1)
        assert bool(foreign.size) == (layout == "padded")
        assert (foreign == -20).all()


@pytest.mark.importer
@pytest.mark.parametrize("k", CUTS)
def test_the_importer_at_every_forced_cut(tmp_path, k):
    merged = quiet_concat([model("f10-coco"), model("f10-mask-a")], k, force=True)
    save(merged, tmp_path / "both")
    image = photo()
    apart = []
    for part in split(merged):
        stem = tmp_path / part.tasks[0].name
        save(part, stem)
        apart += importer_heads(stem.with_suffix(".cfg"), part, image)
    assert_equal_bits(importer_heads(tmp_path / "both.cfg", merged, image), apart)


def detected(cfg: Path, image: np.ndarray, size: tuple[int, int]) -> list[tuple[int, float, tuple[int, ...]]]:
    """Class, score and box of everything that OpenCV's own detector sees."""
    detector = cv2.dnn.DetectionModel(str(cfg.with_suffix(".weights")), str(cfg))
    detector.setInputParams(1 / 255, size, swapRB=True)
    found = detector.detect(image, 0.25, 0.45)
    return sorted((int(i), float(score), tuple(map(int, box))) for i, score, box in zip(*found, strict=True))


@pytest.mark.importer
@pytest.mark.parametrize(
    ("pair", "k", "seen"),
    [
        (("f10-coco", "f10-mask-frozen-exact-made"), 109, "people-masks-bag.jpg"),
        (("f10-coco", "f10-mask-a"), 60, "people-masks-bag.jpg"),
        (("f11-body", "f11-plate"), 109, "people-masks-bag.jpg"),
        (("f10-voc", "f10-coco"), 109, "street.jpg"),
        (("f10-coco", "f10-mask-frozen-exact-made", "f10-voc"), 94, "people-masks-bag.jpg"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_opencv_s_detection_model_sees_in_a_padded_model_what_it_sees_in_each_alone(tmp_path, pair, k, seen):
    merged = quiet_concat([model(name) for name in pair], k, force=True, layout="padded")
    save(merged, tmp_path / "both")
    image = cv2.imread(str(zoo_path("media", seen)))
    size = merged.network.input.w, merged.network.input.h
    together = detected(tmp_path / "both.cfg", image, size)
    apart = []
    for task, part in zip(merged.tasks, split(merged), strict=True):
        save(part, tmp_path / task.name)
        alone = detected(tmp_path / f"{task.name}.cfg", image, size)
        apart += [(own + task.offset, *rest) for own, *rest in alone]
    assert together == sorted(apart)
    assert together
