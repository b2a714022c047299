"""Which picture comes when, at which size, and that threads change nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from conftest import network_of, tiny_text
from labelled import draw

from darkshare.errors import BadValue, DarkshareError
from darkshare.training.pictures import loading
from darkshare.training.pictures.augmenting import Augmentation
from darkshare.training.pictures.loading import Source


def source(folder, count: int = 5, seed: int = 0, *, text: str = "", augment: bool = True, **how) -> Source:
    network = network_of(text or tiny_text(), **how)
    return Source(draw(folder, count).samples, network, Augmentation.of(network) if augment else None, seed)


def test_each_picture_comes_once_per_epoch_in_another_order(tmp_path):
    places = source(tmp_path).places(0, 20)
    epochs = [[p.picture for p in places if p.epoch == epoch] for epoch in range(4)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3, 4]] * 4
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert source(tmp_path).places(7, 3) == places[7:10]
    assert source(tmp_path, seed=1).places(0, 20) != places


def test_an_epoch_shows_a_picture_anew_and_the_same_epoch_the_same(tmp_path):
    text = tiny_text().replace("channels=3", "channels=3\nhue=.1\nsaturation=1.5")
    first, second = source(tmp_path, text=text), source(tmp_path, text=text)
    one, two = loading.Place(2, 0), loading.Place(2, 1)
    a, b = first.example(one, (32, 32)), second.example(one, (32, 32))
    assert np.array_equal(a.image, b.image)
    assert not np.array_equal(a.image, first.example(two, (32, 32)).image)


def test_without_augmentation_every_epoch_shows_the_same(tmp_path):
    plain = source(tmp_path, augment=False)
    assert np.array_equal(*(plain.example(loading.Place(2, epoch), (32, 32)).image for epoch in (0, 1)))
    assert plain.example(loading.Place(2, 0), (32, 32)).truths.shape == (1, 5)


def test_a_picture_that_is_gone_is_named(tmp_path):
    found = source(tmp_path)
    found.samples[3].picture.unlink()
    says = r"1 of 5 pictures cannot be read \(.*3\.png: cannot be read: .*\), more than 1% of them; mend or remove"
    with pytest.raises(DarkshareError, match=says):
        found.read(3)


def test_up_to_one_picture_in_a_hundred_is_passed_over(tmp_path):
    """Of 200 pictures two may be broken, here the last ones, whose place the first one takes; the third is an error."""
    broken = [tmp_path / f"broken{i}.png" for i in range(3)]
    for path in broken:
        path.write_bytes(b"nothing")
    few = source(tmp_path, 4)
    bad = [few.samples[0]._replace(picture=path) for path in broken]
    found = replace(few, samples=[*(tuple(few.samples) * 49), bad[0], few.samples[1], *bad[1:]])
    wanted = found.read(0)
    assert not found.unreadable
    for index in (199, 198, 199):
        assert np.array_equal(found.read(index).picture, wanted.picture)
        assert np.array_equal(found.read(index).truths, wanted.truths)
    assert found.unreadable.indices == {198, 199}
    assert str(found.unreadable).startswith(f"2 of 200 pictures cannot be read ({broken[1]}: is not a picture")
    with pytest.raises(DarkshareError, match="3 of 200 pictures cannot be read"):
        found.read(196)


# --- input sizes -----------------------------------------------------------------------------------------------------


def test_one_size_unless_the_last_head_says_random(tmp_path):
    found = source(tmp_path)
    assert {found.size(batch, 1000) for batch in range(1, 200)} == {(32, 32)}


def test_alexeyab_changes_the_size_every_ten_batches(tmp_path):
    text = tiny_text().replace("width=32\nheight=32", "width=320\nheight=192") + "random=1\n"
    found = source(tmp_path, text=text)
    sizes = [found.size(batch, 2000) for batch in range(1, 1801)]
    assert all(len(set(sizes[i : i + 10])) == 1 for i in range(0, 1800, 10))
    # round(1.4 * 320 / 32 + 1) = 15 and round(1.4 * 192 / 32 + 1) = 9 at most; at least round(10 / 1.4 + 1) = 8
    assert max(sizes) == (15 * 32, 9 * 32)
    assert min(width for width, _ in sizes) == 8 * 32
    assert {found.size(batch, 2000) for batch in range(1901, 2001)} == {(480, 288)}
    assert source(tmp_path, text=text, augment=False).size(5, 2000) == (320, 192)


def test_pjreddie_has_ten_square_sizes(tmp_path):
    found = source(tmp_path, text=tiny_text() + "random=1\n", dialect="pjreddie")
    counts = Counter(found.size(batch, 10**6) for batch in range(1, 4000))
    assert set(counts) == {(32 * i, 32 * i) for i in range(10, 20)}
    assert {found.size(batch, 1000) for batch in range(801, 1001)} == {(608, 608)}


def test_a_network_for_one_size_only_is_refused_with_random():
    text = tiny_text() + "random=1\n"
    loading.require_sizes(network_of(text))
    connected = "[connected]\noutput=4\nactivation=linear\n"
    with pytest.raises(
        BadValue, match=r"random= leads to an input of \d+x\d+, which needs other weights; set random=0"
    ):
        loading.require_sizes(network_of(text + connected))
