"""Trunks: structure, bits, and what happened to those that differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text, zoo_path

from darkshare.analysis.trunk import (
    common_structure,
    describe,
    diagnose,
    identical_layers,
    label,
    last_stored,
    moved_tensors,
    require_same_structure,
    require_same_trunk,
    same_bits,
    structure_difference,
    with_input_of,
)
from darkshare.darknet.model import Model, load
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import TrunkMismatch


def model(text: str, data: np.ndarray) -> Model:
    return Model(network_of(text), Weights(Header(), (data,), "test.weights"), ())


@pytest.fixture
def base() -> Model:
    text = tiny_text()
    return model(text, seeded_floats(network_of(text), 1))


def changed(base: Model, change, layers=range(4)) -> Model:
    """A copy of a model after `change(name, tensor)` on every tensor of some layers, 0..3 without a word."""
    data = base.weights.view(0, base.weights.size).copy()
    copy = replace(base, weights=Weights(Header(), (data,), "other.weights"))
    for index in layers:
        for name, tensor in copy.tensors(index).items():
            change(name, tensor)
    return copy


def test_a_model_is_identical_to_itself(base):
    assert identical_layers(base, base) == 13
    assert moved_tensors(base, base, 13) == []
    require_same_trunk(base, base, 13)


def test_one_bit_is_found_where_it_is(base):
    data = base.weights.view(0, base.weights.size).copy()
    at = base.network.layers[4].start + 3
    data[at : at + 1].view(np.uint32)[:] ^= 1
    other = replace(base, weights=Weights(Header(), (data,)))
    assert identical_layers(base, other) == 4
    (moved,) = moved_tensors(base, other, 5)
    assert (moved.layer, moved.kind, moved.tensor) == (4, "convolutional", "biases")
    assert 0 < moved.relative < 1e-6


def test_nan_equals_itself_and_zero_differs_from_minus_zero(base):
    data = base.weights.view(0, base.weights.size).copy()
    data[0], data[1] = np.nan, 0.0
    with_nan = replace(base, weights=Weights(Header(), (data,)))
    assert identical_layers(with_nan, with_nan) == 13
    negative = data.copy()
    negative[1] = -0.0
    assert identical_layers(with_nan, replace(base, weights=Weights(Header(), (negative,)))) == 0


def test_training_keys_and_the_form_of_a_reference_are_no_structure():
    text = tiny_text()
    other = text.replace("from=-2", "from=0").replace("size=3\nstride=1\npad=1", "size=3\nstride=1\npadding=1")
    other = other.replace("[maxpool]\nsize=2\nstride=2", "[maxpool]\nstride=2\nstopbackward=1")
    assert structure_difference(network_of(text), network_of(other), 13) is None


@pytest.mark.parametrize(
    ("old", "new", "layer", "message"),
    [
        ("filters=16", "filters=12", 4, "filters 16 against 12"),
        ("from=-2", "from=-1", 2, "reads layers [0] against [1]"),
        ("[upsample]\nstride=2", "[upsample]\nstride=2\nscale=3", 9, "scale 1.0 against 3.0"),
        ("[maxpool]\nsize=2", "[maxpool]\nsize=3", 3, "window 2 against 3, pads 1 against 2"),
        ("[shortcut]\nfrom=-2\nactivation=linear", "[dropout]", 2, "[shortcut] against [dropout]"),
    ],
)
def test_the_first_difference_in_structure_is_named(old, new, layer, message):
    a, b = network_of(tiny_text()), network_of(tiny_text().replace(old, new))
    assert structure_difference(a, b, 13) == (layer, message)
    assert common_structure(a, b) == layer
    with pytest.raises(TrunkMismatch, match=r"test.cfg:\d+: layer \d+ is not the base's .*so use k<="):
        require_same_structure(a, b, 13)


def test_a_shorter_network_is_a_difference(base):
    short = network_of(tiny_text().rpartition("[yolo]")[0])
    assert structure_difference(base.network, short, 13) == (12, "test.cfg has only 12 layers")


def test_drifted_statistics_are_told_apart(base):
    def drift(name, tensor):
        if name.startswith("rolling"):
            tensor *= 1.5

    moved = moved_tensors(base, changed(base, drift), 4)
    assert {m.tensor for m in moved} == {"rolling_mean", "rolling_variance"}
    assert "only rolling statistics drifted" in diagnose(moved)


def test_weight_decay_is_told_apart(base):
    def decay(name, tensor):
        if name == "weights":
            tensor *= np.float32(0.98)
        if name == "rolling_mean":
            tensor += 0.1

    moved = moved_tensors(base, changed(base, decay), 4)
    assert "every kernel shrank by one factor (down to 0.9800), and rolling statistics drifted" in diagnose(moved)


def test_fine_tuning_is_told_apart(base):
    noise = np.random.default_rng(5)

    def tune(name, tensor):
        tensor += (noise.standard_normal(tensor.shape) * 0.02).astype("f4")

    moved = moved_tensors(base, changed(base, tune), 4)
    assert "the trunk was trained too" in diagnose(moved)
    text = describe(moved, base, 4)
    assert text.startswith("layers 0..3 are not the base's: 10 of 10 tensors differ (biases, ")
    assert "in layers 0-1)" in text


def test_another_model_is_told_apart(base):
    other = model(tiny_text(), seeded_floats(base.network, 99))
    moved = moved_tensors(base, other, 13)
    assert "another model altogether" in diagnose(moved)


def test_a_moved_tensor_is_measured(base):
    def scaled(name, tensor):
        if name == "weights":
            tensor *= 2

    moved = moved_tensors(base, changed(base, scaled), 1)
    (m,) = moved
    assert (m.relative, m.cosine, m.scale) == pytest.approx((1, 1, 2))
    assert m.residual == pytest.approx(0, abs=1e-6)


def leak(name, tensor):
    """What Darknet does to a layer with stopbackward=1."""
    if name == "weights":
        tensor *= np.float32(0.9975)
    if name.startswith("rolling"):
        tensor += np.float32(0.01)


def test_the_layer_that_carried_stopbackward_is_told_apart(base):
    other = changed(base, leak, [4])
    moved = moved_tensors(base, other, 5)
    text = diagnose(moved, last_stored(base.network, 5))
    assert text.startswith("only layer 4 moved, the last of the trunk, and without being trained")
    assert "it carried stopbackward=1" in text
    assert "k=4 is shared exactly" in text
    with pytest.raises(TrunkMismatch, match="it carried stopbackward=1"):
        require_same_trunk(base, other, 5)


def test_more_than_the_last_layer_is_no_case_of_stopbackward(base):
    moved = moved_tensors(base, changed(base, leak, [1, 4]), 5)
    assert "weight decay in layers without a gradient" in diagnose(moved, last_stored(base.network, 5))


def test_a_trained_last_layer_is_one_k_less(base):
    moved = moved_tensors(base, changed(base, lambda name, tensor: tensor.fill(1), [4]), 5)
    assert diagnose(moved, last_stored(base.network, 5)) == (
        "only layer 4 was trained, the last of the trunk: the models share k=4"
    )


def test_the_last_layer_that_stores_something(base):
    assert [last_stored(base.network, k) for k in (1, 2, 4, 5, 13)] == [None, 1, 1, 4, 11]


def test_bits_are_compared_piece_by_piece():
    x = np.arange(2**20, dtype="f4")
    y = x.copy()
    assert same_bits(x, y)
    y[-1] += 1
    assert not same_bits(x, y)
    assert same_bits(x[:0], y[:0])
    kernel = np.arange(2**10, dtype="f4").reshape(4, 4, 64).transpose(2, 0, 1)  # as flipped filters lie
    assert same_bits(kernel, kernel.copy())


def test_labels_are_the_stems_of_weights(base):
    assert label(base) == "test"
    assert label(replace(base, weights=None)) == "test"
    assert label(replace(base, weights=Weights(Header(), (), "a/b.c.weights"))) == "b.c"


def test_the_input_size_is_taken_from_the_base_where_it_changes_no_tensor(base):
    wide = model(tiny_text().replace("=32\n", "=64\n"), base.weights.view(0, base.weights.size))
    assert identical_layers(base, wide) == 0
    assert identical_layers(base, with_input_of(base, wide)) == 13
    assert with_input_of(base, base) is base
    text = "[net]\nwidth={0}\nheight={0}\nchannels=3\n[connected]\noutput=2\n"
    small, large = (model(text.format(n), seeded_floats(network_of(text.format(n)), 1)) for n in (4, 8))
    assert with_input_of(small, large) is large


@pytest.mark.zoo
@pytest.mark.parametrize(
    ("pair", "same", "cause"),
    [
        (("f10-coco", "f10-mask-frozen-exact-made"), 109, None),
        (("f10-coco", "f10-mask-a"), 0, "the trunk was trained too"),
        (("f10-coco", "f10-road-scratch"), 0, "another model altogether"),
        (("f11-coco", "f11-plate"), 0, "the trunk was trained too"),
        (("f11-coco", "f11-body"), 0, "the trunk was trained too"),
        (("xl10-coco", "xl10-voc"), 0, "the trunk was trained too"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_real_pairs(pair, same, cause):
    a, b = (load(zoo_path("models", name, f"{name}.cfg"), size=(320, 320)) for name in pair)
    assert identical_layers(a, b) == same
    if cause:
        assert cause in diagnose(moved_tensors(a, b, 100))
