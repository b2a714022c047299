"""The numbers between two layers' numbers, against other ways to them."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import network_of, seeded_floats
from hypothesis import given
from hypothesis import strategies as st

from darkshare.surgery.interpolate import between
from darkshare.surgery.mix_recipe import Ratio, Recipe

ALPHAS = st.floats(0, 1)
CONV = "[net]\nwidth=4\nheight=4\nchannels=3\n[conv]\nbatch_normalize=1\nfilters=5\nsize=3\n"
FLIPPED = CONV + "flipped=1\n"
CONNECTED = "[net]\ninputs=6\n[connected]\noutput=4\nbatch_normalize=1\n"
LSTM = "[net]\ninputs=6\n[lstm]\noutput=3\nbatch_normalize=1\n"
PLAIN = "[net]\nwidth=4\nheight=4\nchannels=3\n[conv]\nfilters=5\nsize=3\n"
TEXTS = {"conv": CONV, "flipped": FLIPPED, "connected": CONNECTED, "lstm": LSTM, "plain": PLAIN}
each_kind = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


def tensors(layer, flat: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors by name, kernels as (filters, rest), whichever way they lie in the file."""
    found, begin = {}, 0
    for tensor in layer.tensors:
        part = flat[begin : begin + tensor.size].astype("f8")
        n = tensor.shape[0]
        found[tensor.name] = part.reshape(-1, n).T if tensor.flipped else part.reshape(n, -1)
        begin += tensor.size
    return found


def between_seeds(text: str, recipe: Recipe, *, folded: bool = False, epsilon: float = 1e-5):
    layer = network_of(text).layers[0]
    a, b = (seeded_floats(network_of(text), seed) for seed in (1, 2))
    mixed = between(layer, a, b, recipe.ratios(layer), folded=folded, epsilon=epsilon)
    assert mixed.dtype == np.dtype("<f4")
    assert mixed.shape == a.shape
    return tensors(layer, a), tensors(layer, b), tensors(layer, mixed)


def arc(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Slerp by Gram and Schmidt: from a's direction, turn by a part of the angle in the plane of both."""
    u = a / np.linalg.norm(a)
    v = b - (b.ravel() @ u.ravel()) * u
    v /= np.linalg.norm(v)
    angle = np.arctan2(b.ravel() @ v.ravel(), b.ravel() @ u.ravel())
    length = (1 - t) * np.linalg.norm(a) + t * np.linalg.norm(b)
    return length * (np.cos(t * angle) * u + np.sin(t * angle) * v)


@each_kind
@pytest.mark.parametrize("alpha", [0.5, 0.25, 0.9])
def test_linear_is_the_weighted_mean(text, alpha):
    a, b, mixed = between_seeds(text, Recipe(alpha))
    for name in a:
        assert mixed[name] == pytest.approx((1 - alpha) * a[name] + alpha * b[name], rel=1e-6, abs=1e-7)


@each_kind
@pytest.mark.parametrize("alpha", [0.5, 0.1])
def test_slerp_turns_and_stretches_kernels_evenly(text, alpha):
    a, b, mixed = between_seeds(text, Recipe(alpha, "slerp"))
    for name in a:
        mean = (1 - alpha) * a[name] + alpha * b[name]
        expected = arc(a[name], b[name], alpha) if name.endswith("weights") else mean
        assert mixed[name] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def fold(given: dict[str, np.ndarray], epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias with Darknet's batch norm in them."""
    factor = given["scales"] / np.sqrt(given["rolling_variance"] + epsilon)
    return given["weights"] * factor, given["biases"] - given["rolling_mean"] * factor


@pytest.mark.parametrize("text", [CONV, FLIPPED, CONNECTED])
@pytest.mark.parametrize(("method", "epsilon"), [("linear", 1e-5), ("slerp", 1e-5), ("linear", 0.1)])
def test_folded_mixes_the_functions(text, method, epsilon):
    a, b, mixed = between_seeds(text, Recipe(0.3, method), folded=True, epsilon=epsilon)
    (wa, ba), (wb, bb), (w, bias) = (fold(side, epsilon) for side in (a, b, mixed))
    assert w == pytest.approx(arc(wa, wb, 0.3) if method == "slerp" else 0.7 * wa + 0.3 * wb, rel=1e-4, abs=1e-5)
    assert bias == pytest.approx(0.7 * ba + 0.3 * bb, rel=1e-4, abs=1e-5)


def test_folded_sublayers_are_folded_each():
    a, b, mixed = between_seeds(LSTM, Recipe(0.3), folded=True)
    for gate in ("uf", "wo"):
        sides = [
            {name.partition(".")[2]: x for name, x in side.items() if name.startswith(gate)} for side in (a, b, mixed)
        ]
        (wa, _), (wb, _), (w, _) = (fold(side, 1e-5) for side in sides)
        assert w == pytest.approx(0.7 * wa + 0.3 * wb, rel=1e-4, abs=1e-5)


def test_folded_is_raw_without_batch_norm():
    *_, raw = between_seeds(PLAIN, Recipe(0.3))
    *_, folded = between_seeds(PLAIN, Recipe(0.3), folded=True)
    assert all(np.array_equal(raw[name], folded[name]) for name in raw)


def test_raw_and_folded_differ_where_scales_do():
    *_, raw = between_seeds(CONV, Recipe(0.3))
    *_, folded = between_seeds(CONV, Recipe(0.3), folded=True)
    assert np.abs(fold(raw, 1e-5)[0] - fold(folded, 1e-5)[0]).max() > 1e-3


def kernels(a: list[float], b: list[float], recipe: Recipe) -> np.ndarray:
    layer = network_of("[net]\nwidth=1\nheight=1\nchannels=2\n[conv]\nfilters=1\n").layers[0]
    first, second = (np.array([0, *x], "<f4") for x in (a, b))
    return between(layer, first, second, recipe.ratios(layer), folded=False, epsilon=1e-5)[1:]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 0], [0, 1], [0.5**0.5, 0.5**0.5]),  # a quarter circle
        ([2, 0], [0, 4], [3 * 0.5**0.5, 3 * 0.5**0.5]),  # and from length 2 to 4
        ([0, 0], [0, 1], [0, 0.5]),  # no direction: a line
        ([1, 0], [2, 0], [1.5, 0]),  # the same direction: a line
        ([1, 0], [-1, 0], [0, 0]),  # opposite: there is no shortest arc
    ],
)
def test_arcs_by_hand(a, b, expected):
    assert kernels(a, b, Recipe(0.5, "slerp")) == pytest.approx(expected, abs=1e-6)


def test_nan_and_infinity_stay_where_they_are():
    mixed = kernels([np.nan, 1], [1, np.inf], Recipe(0.5))
    assert np.isnan(mixed[0])
    assert mixed[1] == np.inf


@given(st.binary(min_size=4 * 155, max_size=4 * 155), ALPHAS, st.sampled_from(["linear", "slerp"]), st.booleans())
def test_a_layer_with_itself_is_itself(data, alpha, method, folded):
    """Whatever its bits are: NaN, denormals, negative variances."""
    layer = network_of(CONV).layers[0]
    flat = np.frombuffer(data, "<f4")
    mixed = between(layer, flat, flat.copy(), Recipe(alpha, method).ratios(layer), folded=folded, epsilon=1e-5)
    assert mixed.tobytes() == data


@given(st.lists(st.floats(-0.125, 1000, width=32), min_size=10, max_size=10), st.floats(0.01, 0.99), st.booleans())
def test_new_variances_are_never_negative(variances, alpha, folded):
    layer = network_of(CONV).layers[0]
    a, b = (seeded_floats(network_of(CONV), seed) for seed in (1, 2))
    a[15:20], b[15:20] = variances[:5], variances[5:]
    variance = slice(15, 20)
    mixed = between(layer, a, b, Recipe(alpha).ratios(layer), folded=folded, epsilon=1e-5)[variance]
    same = np.array_equal(a[variance], b[variance])
    assert same or (mixed >= 0).all()
    if not folded and min(variances) >= 0 and not same:
        assert mixed == pytest.approx((1 - alpha) * a[variance] + alpha * b[variance], rel=1e-6)


def test_a_tensor_that_is_copied_beside_mixed_ones():
    layer = network_of(CONV).layers[0]
    a, b = (seeded_floats(network_of(CONV), seed) for seed in (1, 2))
    ratios = dict.fromkeys((t.name for t in layer.tensors), Ratio(0.5, "linear"))
    ratios |= {"biases": Ratio(0.0, "copy"), "scales": Ratio(1.0, "copy")}
    mixed = between(layer, a, b, ratios, folded=False, epsilon=1e-5)
    assert mixed[:5].tobytes() == a[:5].tobytes()
    assert mixed[5:10].tobytes() == b[5:10].tobytes()
    assert (mixed[10:15] == ((a[10:15] + b[10:15]) / 2).astype("f4")).all()
