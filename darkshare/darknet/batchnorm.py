"""Batch norm folded into the kernel before it: the same function with fewer numbers.

The form in which two layers can be compared, and the one that is exported: raw kernels before a batch norm are
defined only up to a factor for each filter.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from darkshare._files import CHUNK
from darkshare.darknet.weights import FLOAT, Floats, release


@np.errstate(all="ignore")  # broken weights show in the network's output
def scale_of(given: dict[str, Floats], epsilon: float) -> NDArray[np.float64] | None:
    """Compute the factor by which batch norm multiplies each filter (float64); None without batch norm.

    Darknet computes (x - mean) / sqrt(variance + 0.00001) * scale + bias (normalize_cpu in blas.c).
    Some published weights hold variances a little below 0, which count as 0.
    """
    if "rolling_variance" not in given:
        return None
    variance = np.maximum(given["rolling_variance"].astype(np.float64), 0)
    return np.asarray(given["scales"] / np.sqrt(variance + epsilon))


def folded_bias(given: dict[str, Floats], filters: int, epsilon: float) -> Floats:
    """Compute the bias with batch norm in it; pjreddie's [batchnorm] stores none, which counts as 0."""
    bias = given["biases"].astype(np.float64) if "biases" in given else np.zeros(filters)
    scale = scale_of(given, epsilon)
    with np.errstate(all="ignore"):  # broken weights show in the network's output
        return (bias if scale is None else bias - given["rolling_mean"] * scale).astype(FLOAT)


def scaled_weights(given: dict[str, Floats], filters: int, epsilon: float) -> Iterator[Floats]:
    """Yield the weights times their factors, a few rows at a time, releasing the pages of a mapped file."""
    rows, scale = given["weights"].reshape(filters, -1), scale_of(given, epsilon)
    step = max(1, CHUNK // (rows.shape[1] * FLOAT.itemsize))
    for start in range(0, filters, step):
        part = rows[start : start + step]
        if scale is None:
            yield np.ascontiguousarray(part)
        else:
            with np.errstate(all="ignore"):
                product = (part * scale[start : start + step, None]).astype(FLOAT, order="C")  # flipped= gives columns
            yield product
        if part.flags.c_contiguous:
            release(part)
    for block in given.values():  # reading one maps the pages around it too
        if block.flags.c_contiguous:
            release(block)
