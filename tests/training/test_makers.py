"""Pictures that processes make: the same as a thread's, with the same errors, and nothing is left of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from conftest import network_of, tiny_text
from labelled import draw

from darkshare.errors import DarkshareError
from darkshare.training.pictures import makers
from darkshare.training.pictures.augmenting import Augmentation
from darkshare.training.pictures.loading import Place, Source
from darkshare.training.pictures.makers import made_by


def source(folder, count: int = 5, *, augment: bool = True) -> Source:
    text = tiny_text().replace("channels=3", "channels=3\nmosaic=1\nhue=.1\nsaturation=1.5")
    network = network_of(text)
    return Source(draw(folder, count).samples, network, Augmentation.of(network) if augment else None, 7)


def examples(source: Source, workers: int, count: int = 12):
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda place: source.example(place, (64, 32)), source.places(0, count)))


@pytest.mark.parametrize(("workers", "device"), [(0, "cpu"), (4, "cpu"), (0, "cuda")])
def test_threads_do_where_they_are_fast_enough(tmp_path, workers, device):
    own = source(tmp_path)
    with made_by(own, workers, device) as made:
        assert made is own


@pytest.mark.parametrize(("workers", "device", "packed"), [(5, "cpu", False), (1, "cuda", True), (3, "cuda", True)])
@pytest.mark.parametrize("augment", [True, False])
def test_processes_make_the_same_pictures(tmp_path, workers, device, packed, augment):
    own = replace(source(tmp_path, augment=augment), packed=packed)
    with made_by(own, workers, device) as made:
        assert made.places(0, 12) == own.places(0, 12)
        for wanted, found in zip(examples(own, 1), examples(made, workers), strict=True):
            assert found.image.dtype == (np.uint8 if packed and augment else np.float32)
            assert np.array_equal(wanted.image, found.image)
            assert np.array_equal(wanted.truths, found.truths)


def test_what_a_process_cannot_read_is_known_here(tmp_path):
    """One of 100 pictures is passed over as a thread would; with a second one, found by another process, it ends."""
    own = source(tmp_path, 4, augment=False)
    whole = [*(tuple(own.samples) * 25)]
    for index in (50, 99):
        whole[index] = whole[index]._replace(picture=tmp_path / "none.png")
    own = replace(own, samples=whole)
    with made_by(own, 2, "cuda") as made:
        first, second = made.idle.get(), made.idle.get()
        assert np.array_equal(first.example(Place(50, 0), (32, 32)).image, own.example(Place(51, 0), (32, 32)).image)
        assert own.unreadable.indices == {50}
        with pytest.raises(DarkshareError, match="2 of 100 pictures cannot be read"):
            second.example(Place(99, 0), (32, 32))


def test_the_error_of_a_process_is_raised(tmp_path):
    own = source(tmp_path, 2)
    own.samples[0].picture.unlink()
    own.samples[1].picture.unlink()
    with made_by(own, 1, "cuda") as made, pytest.raises(DarkshareError, match="1 of 2 pictures cannot be read"):
        examples(made, 1)


def test_a_process_that_dies_is_an_error_and_none_is_left(tmp_path):
    with made_by(source(tmp_path), 2, "cuda") as made:
        examples(made, 2)
        children = [made.idle.get(), made.idle.get()]
        for one in children:
            one._process.kill()
            made.idle.put(one)
        with pytest.raises(DarkshareError, match=r"died \(killed; is there too little memory\); take fewer --workers"):
            examples(made, 1)
    assert all(one._process.poll() is not None for one in children)


def test_a_process_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(makers, "__name__", "darkshare.nowhere")
    with (
        made_by(source(tmp_path), 1, "cuda") as made,
        pytest.raises(DarkshareError, match=r"exit code 1: ModuleNotFoundError: No module named 'darkshare\.nowhere'"),
    ):
        examples(made, 1)
