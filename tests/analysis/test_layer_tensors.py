"""Which quantities a layer has, raw and folded, and their values."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text

from darkshare.analysis.layer_tensors import quantities_of, quantity_names, require_space
from darkshare.darknet.model import Model
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadValue

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
NORM = "[batchnorm]\n"
LSTM = "[connected]\noutput=6\nactivation=linear\n[lstm]\noutput=4\nbatch_normalize=1\n"


def model(text: str, dialect: str = "alexeyab") -> Model:
    network = network_of(text, dialect=dialect)
    return Model(network, Weights(Header(), (seeded_floats(network, 3),)), ())


@pytest.mark.parametrize(
    ("text", "dialect", "layer", "raw", "folded"),
    [
        (tiny_text(), "alexeyab", 0, "biases weights scales rolling_mean rolling_variance", "biases weights"),
        (tiny_text(), "alexeyab", 5, "biases weights", "biases weights"),
        (tiny_text(), "alexeyab", 2, "", ""),
        (NET + NORM, "alexeyab", 0, "biases scales rolling_mean rolling_variance", "biases scales"),
        (NET + NORM, "pjreddie", 0, "scales rolling_mean rolling_variance", "biases scales"),
    ],
)
def test_names(text, dialect, layer, raw, folded):
    found = network_of(text, dialect=dialect).layers[layer]
    assert quantity_names(found, "raw") == raw.split()
    assert quantity_names(found, "folded") == folded.split()
    for space in ("raw", "folded"):
        assert list(quantities_of(model(text, dialect), layer, space, 1e-5)) == quantity_names(found, space)


def test_sublayers_keep_their_prefix_and_are_folded_one_by_one():
    one = model(NET + LSTM)
    names = quantity_names(one.network.layers[1], "folded")
    assert len(names) == 16
    folded = quantities_of(one, 1, "folded", 1e-5)
    given = one.tensors(1)
    prefix = names[0].removesuffix("biases")
    scale = given[prefix + "scales"] / np.sqrt(given[prefix + "rolling_variance"] + 1e-5)
    weights = folded[prefix + "weights"].product()
    assert weights == pytest.approx(given[prefix + "weights"] * scale[:, None], rel=1e-6)
    bias = given[prefix + "biases"] - given[prefix + "rolling_mean"] * scale
    assert folded[prefix + "biases"].values == pytest.approx(bias, rel=1e-5, abs=1e-6)


def test_a_batchnorm_layer_folds_into_scale_and_bias():
    one = model(NET + NORM, "pjreddie")
    given, folded = one.tensors(0), quantities_of(one, 0, "folded", 1e-5)
    scale = given["scales"] / np.sqrt(given["rolling_variance"] + 1e-5)
    assert folded["scales"].values == pytest.approx(scale)
    assert folded["biases"].values == pytest.approx(-given["rolling_mean"] * scale)


def test_an_unknown_space_is_refused():
    with pytest.raises(BadValue, match="unknown space wide; use one of raw, folded"):
        require_space("wide")
