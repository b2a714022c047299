"""The feature cache: the same features, what it costs, and what happens when it is interrupted."""

from __future__ import annotations

import math
import shutil
from collections import namedtuple

import numpy as np
import pytest
from conftest import network_of, tiny_text, zoo_path
from labelled import draw
from models import model

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from darkshare.darknet.cfg import read_cfg  # noqa: E402
from darkshare.darknet.network import resolve  # noqa: E402
from darkshare.errors import DarkshareError, Unsupported  # noqa: E402
from darkshare.training import caching  # noqa: E402
from darkshare.training.building import build  # noqa: E402
from darkshare.training.pictures.augmenting import Augmentation  # noqa: E402
from darkshare.training.pictures.loading import Place, Source  # noqa: E402

SIZE = (32, 32)
ABOUT = {"k": 8, "seed": 0}


class Filling:
    """A cache of 5 pictures for the tiny network at k=8, which reads layers 2 and 7."""

    def __init__(self, folder, copies: int = 2, *, dtype: str = "float16", augment: bool = True) -> None:
        self.net = build(model(tiny_text()), 8)
        self.source = Source(
            draw(folder, 5).samples, self.net.network, Augmentation.of(self.net.network) if augment else None, 0
        )
        self.folder, self.copies, self.dtype = folder / "f", copies, dtype
        self.computed: list[int] = []

    def open_cache(self) -> caching.Cache:
        return caching.open_cache(self.folder, self.net.network, self.net.reads, self.copies, 5, 20, dtype=self.dtype)

    def fill(self, about=None, batch: int = 2, progress=lambda done, rows: None) -> caching.Cache:
        cache = self.open_cache()
        found = [caching.Features(cache, about or ABOUT)]
        before = caching.fill_caches(found, self.net, self.source, size=SIZE, batch=batch, workers=0, progress=progress)
        self.computed.append(5 * self.copies - before)
        return cache


def all_rows(cache: caching.Cache, index: int) -> np.ndarray:
    return np.stack([cache.features[index].read(row) for row in range(cache.copies * cache.count)])


def test_copy_c_is_what_epoch_c_shows(tmp_path):
    filling = Filling(tmp_path, dtype="float32")
    cache = filling.fill()
    assert cache.reads == (2, 7)
    for epoch in range(4):
        for picture in range(5):
            example = filling.source.example(Place(picture, epoch % 2), SIZE)
            wanted = filling.net.trunk(torch.from_numpy(example.image[None]))
            found = cache.read(Place(picture, epoch))
            np.testing.assert_array_equal(found.truths, example.truths)
            for index, values in found.features.items():
                np.testing.assert_allclose(values, wanted[index][0].numpy(), rtol=1e-5, atol=1e-6)


def test_16_bits_round_to_a_2048th(tmp_path):
    fine, coarse = Filling(tmp_path, dtype="float32").fill(), Filling(tmp_path).fill()
    for index in fine.reads:
        assert coarse.features[index].kind == np.float16
        exact, rounded = all_rows(fine, index), all_rows(coarse, index).astype(np.float32)
        np.testing.assert_allclose(rounded, exact, rtol=2**-11, atol=1e-7)


def test_a_cache_is_used_again_and_goes_on_where_it_was_interrupted(tmp_path):
    filling = Filling(tmp_path, copies=20)  # 100 rows, of which the first 64 are written down

    def interrupt(done: int, rows: int) -> None:
        if done == 70:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filling.fill(progress=interrupt)
    whole = filling.fill()
    filling.fill()
    assert filling.computed == [100 - 64, 0]
    other = Filling(tmp_path / "again", copies=20)
    for index in whole.reads:
        assert np.array_equal(all_rows(whole, index), all_rows(other.fill(), index))


def test_a_cache_of_something_else_is_computed_anew(tmp_path):
    filling = Filling(tmp_path)
    filling.fill()
    filling.fill({"k": 8, "seed": 1})
    (filling.folder / "2.f16").unlink()
    filling.fill({"k": 8, "seed": 1})
    (filling.folder / "about.json").write_text("{")
    filling.fill({"k": 8, "seed": 1})
    assert filling.computed == [10, 10, 10, 10]


def test_values_beyond_16_bits_are_an_error(tmp_path):
    cache = Filling(tmp_path).open_cache()
    features = {index: np.full(cache.features[index].shape, 7e4, np.float32) for index in cache.reads}
    with pytest.raises(Unsupported, match="layer 2 gives values that 16 bits cannot hold; train without --cache-feat"):
        cache.put(0, features, np.zeros((0, 5), np.float32))


def test_more_boxes_than_there_is_room_for(tmp_path):
    cache = Filling(tmp_path).open_cache()
    features = {index: np.zeros(cache.features[index].shape, np.float32) for index in cache.reads}
    cache.put(3, features, np.ones((50, 5), np.float32))
    assert cache.read(Place(3, 0)).truths.shape == (20, 5)


def test_a_full_disk_is_noticed_before(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 10**12, 2**28 + 1000))
    with pytest.raises(
        DarkshareError, match=r"the features need 0\.1 MiB, but only 0\.0 MiB are free; take fewer copies"
    ):
        Filling(tmp_path).open_cache()
    assert list((tmp_path / "f").iterdir()) == []


# --- what it costs and gains -----------------------------------------------------------------------------------------


def test_the_estimate_by_hand():
    network = network_of(tiny_text())
    shared = sum(layer.flops for layer in network.layers[:8]) / network.flops
    found = caching.estimate(network, (2, 7), 8, 10, 6.0, 5, 20)
    # layer 2 has 8 x 16 x 16 values, layer 7 takes layer 4's 16 x 8 x 8; two bytes each; 21 x 5 floats of truths
    assert found.size == 10 * (2 * (2048 + 1024) + 4 * 5 * 21)
    assert found.limit == pytest.approx((3 - 2 * shared) / (3 - 3 * shared))
    assert found.full == pytest.approx(1 / (1 - shared))
    assert found.gain == pytest.approx(6 * (3 - 2 * shared) / (2 * shared + 6 * (3 - 3 * shared)))
    assert "MiB on disk" in str(found)


@pytest.mark.zoo
@pytest.mark.parametrize(
    ("k", "reads", "frozen", "full", "megabytes"),
    [
        (74, (36, 61, 71, 73), 1.97, 3.91, 2.77),
        (65, (36, 61, 62, 64), 1.66, 2.97, 2.77),
        (49, (36, 46, 48), 1.34, 2.02, 2.77),
        (41, (36, 40), 1.25, 1.74, 2.08),
    ],
)
def test_the_ratios_of_the_shared_backbone_paper_s_cuts(k, reads, frozen, full, megabytes):
    network = resolve(read_cfg(zoo_path("zoo", "pjreddie", "yolov3.cfg")), dialect="pjreddie", size=(416, 416))
    found = caching.estimate(network, reads, k, 1, math.inf, 1, 90)
    assert (round(found.limit, 2), round(found.full, 2)) == (frozen, full)
    assert found.gain == pytest.approx(found.limit)
    assert (found.size - 20 * 91) / 1e6 == pytest.approx(megabytes, abs=0.005)
    assert found.pays == (frozen >= 1.5)
