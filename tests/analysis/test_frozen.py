"""Whether a trunk was frozen: the question with and without k, and the leaks of Darknet's training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import tiny_text, zoo_path
from models import model, retrained, without_weights

from darkshare.analysis.frozen import compare_trunks, frozen
from darkshare.darknet.model import Model, load
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadValue, TrunkMismatch, Unsupported, WeightsSize


@pytest.fixture
def base() -> Model:
    return model(tiny_text(), "base")


def after_training(base: Model, k: int, change) -> Model:
    """A model retrained from k whose trunk went through `change(layer, name, tensor)`."""
    other = retrained(base, tiny_text(1), "logo", k)
    data = other.weights.view(0, other.weights.size).copy()
    other = replace(other, weights=Weights(Header(), (data,), "logo.weights"))
    for index in range(k):
        for name, tensor in other.tensors(index).items():
            change(index, name, tensor)
    return other


def decay(index, name, tensor):
    """lr 0.001, decay 0.0005, momentum 0.9, 4000 iterations: 2 % (and pjreddie's batch norm goes on averaging)."""
    if name == "weights":
        tensor *= np.float32(0.98)
    if name.startswith("rolling"):
        tensor *= np.float32(1.1)


def drift(index, name, tensor):
    if name.startswith("rolling"):
        tensor *= np.float32(1.1)


def off_by_one(index, name, tensor):
    if index == 4:
        decay(index, name, tensor)


def test_a_frozen_trunk(base):
    other = retrained(base, tiny_text(1), "logo", 4)
    for k in (1, 3, 4):
        found = compare_trunks(base, other, k)
        assert (found.is_frozen, found.k, found.identical, found.moved, found.diagnosis) == (True, k, 4, (), "")
    found = compare_trunks(base, other)
    assert (found.is_frozen, found.k, found.base, found.other) == (True, 4, "base", "logo")
    assert found.verdict == "layers 0..3 are bit-identical (k=4); layer 4 [convolutional] has other weights"


@pytest.mark.parametrize(
    ("change", "k", "moved", "identical", "diagnosis"),
    [
        (decay, 5, 9, 0, "every kernel shrank by one factor (down to 0.9800), and rolling statistics drifted"),
        (drift, 5, 6, 0, "only rolling statistics drifted"),
        (off_by_one, 5, 3, 4, "only layer 4 moved, the last of the trunk, and without being trained"),
    ],
)
@pytest.mark.parametrize("ask", [True, False], ids=["with k", "without"])
def test_leaks_are_found_and_named(base, change, k, moved, identical, diagnosis, ask):
    found = compare_trunks(base, after_training(base, k, change), k if ask else None)
    assert (found.is_frozen, found.k, found.identical, len(found.moved)) == (False, k, identical, moved)
    assert found.verdict.startswith(f"layers 0..{k - 1} are not the base's: {moved} of 15 tensors differ")
    assert diagnosis in found.diagnosis


def test_a_trained_trunk(base):
    def tune(index, name, tensor):
        tensor += np.float32(0.05)

    other = after_training(base, 4, tune)
    asked, unasked = compare_trunks(base, other, 4), compare_trunks(base, other)
    assert len(asked.moved) == 10
    assert "the trunk was trained too" in asked.diagnosis
    assert (unasked.k, unasked.moved, unasked.is_frozen) == (0, (), False)
    assert unasked.verdict == "no layer is shared; layer 0 [convolutional] has other weights"
    assert "the trunk was trained too" in unasked.diagnosis
    assert "another model altogether" in compare_trunks(base, model(tiny_text(), "x", seed=9)).diagnosis


def test_identical_models_and_the_end_of_the_run(base):
    assert compare_trunks(base, base).verdict == "all 13 layers are bit-identical"
    other = model(tiny_text().replace("=leaky", "=mish", 1), "x", base.weights.view(0, base.weights.size))
    assert (
        compare_trunks(base, other).verdict == "no layer is shared; layer 0 is another: activation leaky against mish"
    )
    short = Weights(Header(), (base.weights.view(0, base.network.start(5)),), "short.weights")
    found = compare_trunks(base, replace(base, weights=short))
    assert found.verdict == "layers 0..4 are bit-identical (k=5); there the weights end"
    assert found.is_frozen


def test_what_cannot_be_answered_is_refused(base):
    other = retrained(base, tiny_text(1), "logo", 4)
    for k in (0, 14):
        with pytest.raises(BadValue, match=rf"k={k} must be 1..13"):
            compare_trunks(base, other, k)
    with pytest.raises(TrunkMismatch, match="layer 5 is not the base's"):
        compare_trunks(base, other, 6)
    short = Weights(Header(), (base.weights.view(0, base.network.start(4)),), "short.weights")
    with pytest.raises(WeightsSize, match=r"short.weights: ends before layer 4, so it cannot show 5 layers"):
        compare_trunks(base, replace(base, weights=short), 5)
    with pytest.raises(Unsupported, match="has no weights file"):
        compare_trunks(base, without_weights(tiny_text(), "x"))


def test_several_models_are_one_answer(base):
    good, bad = retrained(base, tiny_text(1), "logo", 4), after_training(base, 5, decay)
    assert frozen(base, good, good, k=4).is_frozen
    found = frozen(base, good, bad, k=4)
    assert (found.is_frozen, [one.is_frozen for one in found]) == (False, [True, False])
    assert repr(found) == "<Frozen: logo is frozen (k=4), logo is not frozen (k=4)>"
    assert "moved" not in repr(found[1])
    with pytest.raises(BadValue, match="give the model to compare"):
        frozen(base)


def test_rows_and_json(base):
    found = frozen(base, after_training(base, 5, decay), k=5)
    rows = found.rows()
    assert [(row["layer"], row["tensor"]) for row in rows[:3]] == [
        (0, "rolling_mean"),
        (0, "rolling_variance"),
        (0, "weights"),
    ]
    assert rows[2]["relative"] == pytest.approx(0.02, rel=1e-4)
    assert rows[2]["scale"] == pytest.approx(0.98)
    described = found.as_dict()
    (one,) = described["models"]
    assert (described["frozen"], one["frozen"], one["k"], len(described["rows"])) == (False, False, 5, 9)


@pytest.mark.zoo
def test_real_models():
    def real(name: str) -> Model:
        return load(zoo_path("models", name, f"{name}.cfg"))

    coco = real("f10-coco")
    exact = compare_trunks(coco, real("f10-mask-frozen-exact-made"), 109)
    assert (exact.is_frozen, exact.identical) == (True, 109)
    assert not compare_trunks(coco, real("f10-mask-a"), 109).is_frozen
    plate = compare_trunks(real("f11-coco"), real("f11-plate"))
    assert (plate.k, plate.identical) == (4, 0)  # there the gradient had died away, weight decay had not
    assert "every kernel shrank by one factor (down to 0.9844)" in plate.diagnosis
