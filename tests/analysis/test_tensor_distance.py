"""Distances of tensors: against numpy in double precision, also where single precision is too narrow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkshare.analysis import tensor_distance as distances
from darkshare.analysis.tensor_distance import Operand, distance, elementwise_ratios, filters, per_filter


def kernels(seed: int, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype("f4")


def doubles(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype("f8")


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from([1.0, 1e-3, 1e-22, 1e-40, 1e15, 1e25]),
    st.booleans(),
)
def test_sums_are_numpy_s(seed, shape, scale, exact):
    x, y = kernels(seed, shape, scale), kernels(seed + 1, shape, scale)
    a, b = doubles(x), doubles(y)
    found = distance(Operand(x), Operand(y), exact=exact)
    assert found.base == pytest.approx((a**2).sum(1), rel=1e-5)
    assert found.moved == pytest.approx(((b - a) ** 2).sum(1), rel=1e-5)
    assert found.other == pytest.approx((b**2).sum(), rel=1e-5)
    assert found.relative == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-5)
    cosine = (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
    assert found.cosine == pytest.approx(cosine, abs=1e-5)


def test_blocks_make_no_difference(monkeypatch):
    x, y = kernels(1, (50, 7, 3, 3)), kernels(2, (50, 7, 3, 3))
    whole = distance(Operand(x), Operand(y))
    monkeypatch.setattr(distances, "BLOCK", 100)
    parts = distance(Operand(x), Operand(y))
    assert (parts.base, parts.moved) == (pytest.approx(whole.base), pytest.approx(whole.moved))
    assert (parts.other, parts.cosine) == (pytest.approx(whole.other), pytest.approx(whole.cosine))


def test_factors_are_those_of_filters():
    x, y, f = kernels(1, (5, 2, 3, 3)), kernels(2, (5, 2, 3, 3)), np.arange(5.0)
    found = distance(Operand(x, f), Operand(y))
    a, b = doubles(x) * f[:, None], doubles(y)
    assert found.base == pytest.approx((a**2).sum(1))
    assert found.moved == pytest.approx(((b - a) ** 2).sum(1))


@pytest.mark.parametrize(
    ("shape", "count"), [((8,), 8), ((8, 3), 8), ((8, 4, 3, 3), 8), ((25, 8, 4, 3, 3), 200)], ids=str
)
def test_filters_of_a_shape(shape, count):
    assert filters(shape) == count


def test_zero_against_something_and_against_nothing():
    zero, some = np.zeros((2, 3), "f4"), np.ones((2, 3), "f4")
    nothing, all_new, all_gone = (
        distance(Operand(x), Operand(y)) for x, y in ((zero, zero), (zero, some), (some, zero))
    )
    assert (nothing.relative, all_new.relative, all_gone.relative) == (0, math.inf, 1)
    assert (nothing.cosine, all_new.cosine, all_gone.cosine) == (None, None, None)
    assert per_filter(nothing, one_value=False).maximum == 0
    assert per_filter(all_new, one_value=False) is None
    assert elementwise_ratios(Operand(zero), Operand(some)) == (None, None)


@pytest.mark.parametrize("factor", [1e-2, 1e-4, 1e-8, -1e-6])
def test_a_tensor_that_all_but_vanished_keeps_its_direction(factor):
    x = kernels(1, (40, 9, 3, 3))
    found = distance(Operand(x), Operand(x * np.float32(factor)))
    assert found.relative == pytest.approx(1 - factor, rel=1e-5)
    assert found.cosine == pytest.approx(math.copysign(1, factor), abs=1e-5)
    assert found.other == pytest.approx(factor**2 * (doubles(x) ** 2).sum(), rel=1e-3)


def test_what_is_not_finite_is_known():
    x = np.ones((2, 3), "f4")
    for value in (np.nan, np.inf):
        y = x.copy()
        y[1, 1] = value
        assert not distance(Operand(x), Operand(y)).is_finite
        assert not distance(Operand(y), Operand(x)).is_finite
        assert elementwise_ratios(Operand(x), Operand(y)) == (None, None)


def test_a_filter_of_no_size_counts_as_a_thousandth_of_the_typical_one():
    """Norms 2, 2, 2 and 0; each filter moves by 1: half of the norm, and 1 / 0.002 for the last."""
    x = np.float32([[2, 0], [0, 2], [2, 0], [0, 0]])
    y = x + np.float32([0, 1])
    found = per_filter(distance(Operand(x), Operand(y)), one_value=False)
    assert (found.minimum, found.median) == (0.5, 0.5)
    assert found.maximum == pytest.approx(500)


def test_where_most_filters_are_zero_the_root_mean_square_is_the_typical_size():
    """Norms 0, 0, 0, 2: rms 1."""
    x = np.float32([[0], [0], [0], [2]])
    found = per_filter(distance(Operand(x), Operand(x + np.float32(1))), one_value=False)
    assert found.maximum == pytest.approx(1000)
    assert found.minimum == pytest.approx(0.5)


def test_one_value_for_each_filter_has_a_floor_of_the_root_mean_square():
    """Values 3, 4, 0 have the rms sqrt(25 / 3)."""
    x = np.float32([3, 4, 0])
    found = per_filter(distance(Operand(x), Operand(x + np.float32(1))), one_value=True)
    assert found.minimum == pytest.approx(1 / 4)
    assert found.median == pytest.approx(1 / 3)
    assert found.maximum == pytest.approx(1000 / math.sqrt(25 / 3))


def test_single_weights_and_their_floor():
    """rms of 1, -2, 0.001, 0 is sqrt(5 / 4); the last two are below a thousandth of that."""
    x, d = np.float32([[1, -2], [0.001, 0]]), np.float32([[0.5, 0.5], [0.5, 0]])
    found, clipped = elementwise_ratios(Operand(x), Operand(x + d))
    assert clipped == 0.5
    assert (found.minimum, found.count) == (0, 4)
    assert found.median == pytest.approx((0.5 + 0.25) / 2)
    assert found.maximum == pytest.approx(500 / math.sqrt(5 / 4), rel=1e-5)
