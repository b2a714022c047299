"""Pairs of layers of networks that differ in depth."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text

from darkshare.analysis.alignment import aligned
from darkshare.darknet.model import Model
from darkshare.darknet.weights import Header, Weights


def model(text: str, data: np.ndarray) -> Model:
    return Model(network_of(text), Weights(Header(), (data,), "test.weights"), ())


@pytest.fixture
def base() -> Model:
    text = tiny_text()
    return model(text, seeded_floats(network_of(text), 1))


def test_networks_of_the_same_kinds_are_aligned_by_index(base):
    other = model(tiny_text(5), seeded_floats(network_of(tiny_text(5)), 2))
    assert aligned(base, other) == [(i, i) for i in range(13)]


BLOCK = "[convolutional]\nfilters=8\nsize=1\n\n[convolutional]\nfilters=8\nsize=3\npad=1\n\n[shortcut]\nfrom=-3\n\n"
DOWN = "[convolutional]\nfilters={}\nsize=3\nstride=2\npad=1\n\n"


def residual(*blocks: int) -> str:
    """A network with so many residual blocks per stage, each stage behind a convolution that halves the image."""
    stages = [DOWN.format(8) + BLOCK * count for count in blocks]
    return "[net]\nwidth=32\nheight=32\nchannels=3\n\n" + "".join(stages)


def with_layers_of(source: Model, text: str, pairs: list[tuple[int, int]]) -> Model:
    """A model whose layer j has the weights of the source's layer i."""
    network = network_of(text)
    data = seeded_floats(network, 9)
    for i, j in pairs:
        layer, origin = network.layers[j], source.network.layers[i]
        data[layer.start : layer.stop] = source.weights.view(origin.start, origin.stop)
    return model(text, data)


def test_a_shallower_network_is_aligned_stage_by_stage():
    """Of 3 and 2 blocks, the first 1 and 2 were kept: layers 4..9 of the base have no counterpart."""
    text = residual(3, 2)
    deep = model(text, seeded_floats(network_of(text), 1))
    kept = [(i, i) for i in range(4)] + [(i, i - 6) for i in range(10, 17)]
    shallow = with_layers_of(deep, residual(1, 2), kept)
    expected = kept[:4] + [(i, -1) for i in range(4, 10)] + kept[4:]
    assert aligned(deep, shallow) == expected
    assert aligned(deep, shallow, 4) == expected
    back = [(j, i) for i, j in expected]
    assert aligned(shallow, deep) == back


def test_without_weights_in_common_the_form_decides():
    deep, shallow = (
        model(text, seeded_floats(network_of(text), seed)) for seed, text in enumerate((residual(3, 2), residual(1, 2)))
    )
    pairs = aligned(deep, shallow)
    assert [j for _, j in pairs if j >= 0] == list(range(11))
    assert [i for i, j in pairs if i >= 0] == list(range(17))
    assert all(deep.network.layers[i].kind == shallow.network.layers[j].kind for i, j in pairs if i >= 0 and j >= 0)


def test_kept_later_blocks_are_found_by_their_weights():
    """The last block of three was kept, not the first."""
    text = residual(3)
    deep = model(text, seeded_floats(network_of(text), 1))
    shallow = with_layers_of(deep, residual(1), [(0, 0), (7, 1), (8, 2)])
    assert aligned(deep, shallow) == [(0, 0), *[(i, -1) for i in range(1, 7)], (7, 1), (8, 2), (9, 3)]
