"""Batch norm folded into the kernel before it: the same function with fewer numbers.

The form in which two layers can be compared, and the one that is exported: raw kernels before a batch norm are
defined only up to a factor for each filter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from darkshare._files import CHUNK
from darkshare.darknet.weights import FLOAT, Floats, Run


@np.errstate(all="ignore")  # broken weights show in the network's output
def scale_of(given: Mapping[str, Run], epsilon: float) -> NDArray[np.float64] | None:
    """Compute the factor by which batch norm multiplies each filter (float64); None without batch norm.

    Darknet computes (x - mean) / sqrt(variance + 0.00001) * scale + bias (normalize_cpu in blas.c).
    Some published weights hold variances a little below 0, which count as 0.
    """
    if "rolling_variance" not in given:
        return None
    variance = np.maximum(np.asarray(given["rolling_variance"], np.float64), 0)
    return np.asarray(np.asarray(given["scales"]) / np.sqrt(variance + epsilon))


def folded_bias(given: Mapping[str, Run], filters: int, epsilon: float) -> Floats:
    """Compute the bias with batch norm in it; pjreddie's [batchnorm] stores none, which counts as 0."""
    bias = np.asarray(given["biases"], np.float64) if "biases" in given else np.zeros(filters)
    scale = scale_of(given, epsilon)
    with np.errstate(all="ignore"):  # broken weights show in the network's output
        return (bias if scale is None else bias - np.asarray(given["rolling_mean"]) * scale).astype(FLOAT)


def scaled_weights(given: Mapping[str, Run], filters: int, epsilon: float) -> Iterator[Floats]:
    """Yield the weights times their factors, a few rows at a time."""
    rows, scale = given["weights"].reshape(filters, -1), scale_of(given, epsilon)
    step = max(1, CHUNK // (rows.shape[1] * FLOAT.itemsize))
    for start in range(0, filters, step):
        part = np.asarray(rows[start : start + step])
        if scale is None:
            yield np.ascontiguousarray(part)
        else:
            with np.errstate(all="ignore"):
                product = (part * scale[start : start + step, None]).astype(FLOAT, order="C")  # flipped= gives columns
            yield product
