"""Weights of channels that were not trained."""

from __future__ import annotations

import numpy as np
import pytest

from darkshare.darknet.initial import drawn, never_detected


def test_kernels_are_drawn_as_darknet_draws_them():
    # make_convolutional_layer: scale = sqrt(2 / (size * size * c / groups)), uniform in -scale..scale
    kernel = drawn(1)("weights", (64, 8, 3, 3))
    bound = (2 / 72) ** 0.5
    assert kernel.dtype == np.float32
    assert np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert drawn(1)("biases", (5,)).tolist() == [0] * 5
    assert drawn(1)("scales", (2,)).tolist() == drawn(1)("rolling_variance", (2,)).tolist() == [1, 1]


def test_a_seed_gives_the_same_numbers_again():
    assert np.array_equal(drawn(3)("weights", (4, 2, 1, 1)), drawn(3)("weights", (4, 2, 1, 1)))
    assert not np.array_equal(drawn(3)("weights", (4, 2, 1, 1)), drawn(4)("weights", (4, 2, 1, 1)))


def test_silent_channels_say_no_with_and_without_batch_norm():
    assert not never_detected("weights", (2, 3, 1, 1)).any()
    assert never_detected("biases", (2,)).tolist() == [-20, -20]
    # batch norm: (0 - mean) / sqrt(variance + eps) * scale + bias
    mean, variance, scale = (never_detected(name, (1,)) for name in ("rolling_mean", "rolling_variance", "scales"))
    assert (0 - mean) / np.sqrt(variance) * scale + never_detected("biases", (1,)) == [-20]
