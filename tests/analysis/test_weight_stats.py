"""One model's own weights: against numpy, dead filters, broken values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from conftest import tiny_text, zoo_path
from models import model, without_weights

from darkshare.analysis import tensor_distance as distances
from darkshare.analysis.stats import stats
from darkshare.analysis.weight_stats import Distribution, describe_weights
from darkshare.darknet.model import Model, load
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import Unsupported


@pytest.fixture
def tiny() -> Model:
    one = model(tiny_text())
    return replace(one, weights=Weights(Header(), (one.weights.view(0, one.weights.size).copy(),)))


def at(found: Sequence[Distribution], layer: int, quantity: str) -> Distribution:
    (one,) = (d for d in found if (d.layer, d.quantity) == (layer, quantity))
    return one


@pytest.mark.parametrize("block", [2**17, 40])
def test_numbers_are_numpy_s(tiny, monkeypatch, block):
    monkeypatch.setattr(distances, "BLOCK", block)
    found = describe_weights(tiny)
    assert len(found) == 24
    for d in found:
        x = tiny.tensors(d.layer)[d.quantity].astype("f8")
        assert (d.count, d.minimum, d.maximum) == (x.size, x.min(), x.max())
        assert (d.zeros, d.broken) == (0, 0)
        assert d.norm == pytest.approx(np.linalg.norm(x), rel=1e-6)
        values = x if x.ndim == 1 else np.linalg.norm(x.reshape(len(x), -1), axis=1)
        assert (d.filters.median, d.filters.count) == (pytest.approx(np.median(values)), len(x))
        assert d.dead == (0 if d.quantity == "weights" else None)


def test_a_filter_can_be_dead_by_its_kernel_or_by_its_norm(tiny):
    tiny.tensors(0)["weights"][3] = 0
    tiny.tensors(0)["scales"][5] = 1e-9
    tiny.tensors(5)["weights"][0] *= 1e-5
    found = describe_weights(tiny)
    assert (at(found, 0, "weights").dead, at(found, 5, "weights").dead) == (2, 1)
    assert at(found, 0, "weights").zeros == 1 / 8
    assert at(describe_weights(tiny, space="folded"), 0, "weights").dead == 2
    assert found.summary().endswith("dead filters: 3 of 64 (layers 0, 5)")


def test_broken_values_are_counted_and_left_out(tiny):
    tiny.tensors(0)["biases"][:2] = np.nan, np.inf
    tiny.tensors(1)["scales"][:] = np.nan
    tiny.tensors(1)["weights"][0, 0, 0, 0] = -np.inf
    found = describe_weights(tiny)
    biases, scales, kernel = at(found, 0, "biases"), at(found, 1, "scales"), at(found, 1, "weights")
    assert (biases.broken, biases.filters.count) == (2, 6)
    assert biases.maximum == tiny.tensors(0)["biases"][2:].max()
    assert (scales.broken, scales.minimum, scales.filters) == (8, None, None)
    assert (kernel.broken, np.isfinite(kernel.norm)) == (1, True)
    assert found.summary().endswith("; 11 values are NaN or infinite")


def test_a_model_of_zeros_is_all_dead(tiny):
    tiny.weights.runs[0][:] = 0
    assert describe_weights(tiny).notes()[0] == (
        "3072 values, 100 % of them 0; dead filters: 64 of 64 (layers 0, 1, 4, 5, 8, 11)"
    ).replace("3072", f"{tiny.network.params:,}")


def test_a_partial_file_is_described_as_far_as_it_goes(tiny):
    short = Weights(Header(), (tiny.weights.view(0, tiny.network.start(4)),))
    assert {d.layer for d in describe_weights(replace(tiny, weights=short))} == {0, 1}


def test_rows_are_flat(tiny):
    rows = describe_weights(tiny).rows()
    assert rows[0]["filter_median"] is not None
    assert "filters" not in rows[0]


def test_stats_of_one_model_describes_it(tiny):
    found = stats(tiny)
    assert found == describe_weights(tiny)
    assert repr(found) == f"<WeightStats: {found.model}: {found.notes()[0]}>"
    assert list(found.table()[0])[-1] == "dead"


def test_a_model_without_weights_is_refused():
    with pytest.raises(Unsupported, match="has no weights file"):
        describe_weights(without_weights(tiny_text(), "x"))


@pytest.mark.zoo
def test_real_variances_below_zero_show():
    """Mbv2tiny-voc holds denormal rolling variances a little below 0."""
    found = describe_weights(load(zoo_path("models", "mbv2tiny-voc", "mbv2tiny-voc.cfg")))
    assert min(d.minimum for d in found if d.quantity == "rolling_variance") == pytest.approx(-7.0e-44, rel=0.01)
