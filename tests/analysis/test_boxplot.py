"""Box plots as numbers: against numpy, against matplotlib's own statistics, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from darkshare.analysis.boxplot import Spread, spread_of

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
samples = arrays(np.float64, st.integers(1, 200), elements=numbers)


def test_by_hand():
    """0..10 and one far away: the quartiles of 12 numbers lie at places 2.75, 5.5 and 8.25."""
    found = spread_of(np.array([10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 100]))
    assert found == Spread(
        count=12,
        minimum=0,
        p1=pytest.approx(0.11),
        q1=2.75,
        median=5.5,
        q3=8.25,
        p99=pytest.approx(90.1),
        maximum=100,
        mean=pytest.approx(155 / 12),
        low=0,
        high=10,
        outliers=1,
    )


def test_one_number_is_its_own_box():
    assert spread_of(np.float32([[3]])) == Spread(1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0)


def test_a_whisker_never_ends_inside_the_box():
    """q1 is 75, between two numbers, and the one below it is an outlier."""
    found = spread_of(np.array([0, 100, 100, 100]))
    assert (found.q1, found.low, found.outliers) == (75, 75, 1)


@given(samples)
def test_quantiles_are_numpy_s(values):
    found = spread_of(values)
    expected = np.quantile(values, [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1])
    quantiles = [found.minimum, found.p1, found.q1, found.median, found.q3, found.p99, found.maximum]
    assert quantiles == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert found.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)


@given(arrays(np.float64, st.integers(1, 200), elements=st.integers(-50, 50)))
def test_whiskers_and_outliers_are_matplotlib_s(values):
    cbook = pytest.importorskip("matplotlib.cbook")
    (expected,) = cbook.boxplot_stats(values)
    found = spread_of(values)
    assert (found.low, found.high) == (pytest.approx(expected["whislo"]), pytest.approx(expected["whishi"]))
    assert found.outliers == len(expected["fliers"])


@given(samples)
def test_a_spread_is_ordered(values):
    found = spread_of(values)
    assert found.minimum <= found.low <= found.q1 <= found.median <= found.q3 <= found.high <= found.maximum
    assert 0 <= found.outliers < found.count == values.size
