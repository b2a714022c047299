"""Where networks can be cut, and what a cut gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import network_of, tiny_text
from models import floats, model, retrained

from darkshare.darknet.cut_points import illegal_cut, legal_cuts
from darkshare.darknet.model import Model
from darkshare.darknet.weights import Header
from darkshare.errors import BadValue, DarkshareError, TrunkMismatch, WeightsSize
from darkshare.surgery.cut import cut, initial_floats


@pytest.fixture
def pair() -> tuple[Model, Model]:
    base = model(tiny_text(2), "base")
    return base, retrained(base, tiny_text(1), "text", 4)


def test_a_route_cannot_read_what_has_no_image():
    text = "[net]\nwidth=4\nheight=4\nchannels=1\n[conv]\n[softmax]\n[connected]\noutput=3\n[softmax]\n"
    network = network_of(text)
    assert illegal_cut(network, 1) is None
    assert "layer 1 [softmax] leaves no image" in illegal_cut(network, 2)
    assert legal_cuts(network) == [1, 3]


def test_a_route_would_miss_the_antialiasing_blur():
    network = network_of("[net]\nwidth=8\nheight=8\nchannels=1\n[conv]\nstride=2\nantialiasing=1\n[conv]\n[conv]\n")
    assert "before its antialiasing blur" in illegal_cut(network, 1)
    assert legal_cuts(network) == [2]


def test_cut_is_the_prefix(pair):
    base, _ = pair
    found = cut(base, 5)
    assert found.header == Header(0, 2, 5, 0)
    assert np.array_equal(found.view(0, found.size), floats(base)[: base.network.start(5)])


def test_a_full_cut_fits_its_target(pair):
    base, text = pair
    found = cut(base, 5, full=True, target=text.network, seed=3)
    assert found.size == text.network.params
    start = base.network.start(5)
    assert np.array_equal(found.view(0, start), floats(base)[:start])
    assert np.array_equal(found.view(start, found.size), initial_floats(text.network, 5, 3))
    with pytest.raises(TrunkMismatch, match="layer 5 is not the base's"):
        cut(base, 6, full=True, target=text.network)


def test_initial_kernels_are_darknets():
    """Uniform in +-sqrt(2 / fan-in): layer 4 has 8 channels of 3x3, so +-sqrt(2/72) = 1/6."""
    network = network_of(tiny_text())
    rest = initial_floats(network, 4, 0)
    kernel = rest[4 * 16 : 4 * 16 + 16 * 8 * 9]
    assert 0.9 / 6 < np.abs(kernel).max() <= 1 / 6 + 1e-7
    assert np.array_equal(rest[:64], [0] * 16 + [1] * 16 + [0] * 16 + [1] * 16)


def test_cut_refuses_what_it_cannot_give(pair):
    base, _ = pair
    with pytest.raises(BadValue, match=r"k=14 must be 1..13"):
        cut(base, 14)
    with pytest.raises(DarkshareError, match="has no weights to cut"):
        cut(replace(base, weights=None), 3)
    partial = replace(base, weights=cut(base, 4))
    assert cut(partial, 4).size == base.network.start(4)
    with pytest.raises(WeightsSize, match="ends before layer 4, so it cannot give 5 layers"):
        cut(partial, 5)


def test_the_target_may_be_a_cfg_file(pair, tmp_path):
    base, text = pair
    path = tmp_path / "text.cfg"
    path.write_text(tiny_text(1))
    one, other = cut(base, 4, full=True, target=path, seed=3), cut(base, 4, full=True, target=text.network, seed=3)
    assert np.array_equal(one.view(0, one.size), other.view(0, other.size))
    with pytest.raises(DarkshareError, match=r"missing\.cfg: cannot be read"):
        cut(base, 4, full=True, target=tmp_path / "missing.cfg")
