"""Interpolate two layers' weights, linearly or by slerp, as they are in the files or with batch norm folded in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from darkshare._files import CHUNK
from darkshare.analysis.tensor_distance import Operand, distance, filters
from darkshare.analysis.trunk import same_bits
from darkshare.darknet.batchnorm import scale_of
from darkshare.darknet.network import Layer
from darkshare.darknet.weights import FLOAT, Floats
from darkshare.surgery.mix_recipe import COPY, Ratio

PARALLEL = 0.9995  # cosine beyond which an arc is a line
Doubles = NDArray[np.float64]
Rows = Mapping[str, Floats]  # tensor name -> its values, one row for each filter


@np.errstate(all="ignore")  # broken weights stay broken; `check` names them
def between(layer: Layer, a: Floats, b: Floats, ratios: Mapping[str, Ratio], *, folded: bool, epsilon: float) -> Floats:
    """Interpolate a layer's floats between those of two models, in the order of the file.

    Where a tensor has the same bits in both, it keeps them. New variances are averages of the old ones and never
    below 0.

    Args:
        layer: what the floats mean.
        a: the base's.
        b: the other's.
        ratios: by tensor; with `folded`, all have the same alpha.
        folded: bring kernels, means and variances to the scale that batch norm gives them first. The function that
            comes out then lies between the two functions; batch norm stays as a layer, with a factor of 1.
        epsilon: what the engine adds to a variance before its root is taken.
    """
    new = np.empty(layer.size, FLOAT)
    left, right, out = (_rows(layer, flat) for flat in (a, b, new))
    for _, group in groupby(left, key=lambda name: name.rpartition(".")[0]):
        names = list(group)
        moved = not all(same_bits(left[name], right[name]) for name in names)
        plain = [name.rpartition(".")[2] for name in names]
        if folded and moved and {"scales", "weights"} <= set(plain):
            u, v, w = ({short: rows[n] for short, n in zip(plain, names, strict=True)} for rows in (left, right, out))
            _put_folded(u, v, w, ratios[names[plain.index("weights")]], epsilon)
        else:
            for name in names:
                _put_raw(name, left[name], right[name], out[name], ratios[name])
    return new


def _rows(layer: Layer, flat: Floats) -> dict[str, Floats]:
    """Views of a layer's tensors with one row for each filter."""
    found, begin = {}, 0
    for tensor in layer.tensors:
        part = flat[begin : begin + tensor.size]
        count = filters(tensor.shape)
        found[tensor.name] = part.reshape(-1, count).T if tensor.flipped else part.reshape(count, -1)
        begin += tensor.size
    return found


def _put_raw(name: str, a: Floats, b: Floats, out: Floats, ratio: Ratio) -> None:
    if ratio.method == COPY or same_bits(a, b):
        out[:] = b if ratio.alpha == 1 else a
        return
    _put(out, a, b, *_coefficients(Operand(a), Operand(b), ratio))
    if name.endswith("rolling_variance"):
        np.maximum(out, 0, out=out)  # some published files hold variances a little below 0


def _put_folded(a: Rows, b: Rows, out: dict[str, Floats], ratio: Ratio, epsilon: float) -> None:
    """Kernel, mean and variance times the batch norm's factor; then a factor of 1 keeps the function."""
    fa, fb = scale_of(dict(a), epsilon), scale_of(dict(b), epsilon)
    assert fa is not None  # there is a batch norm
    assert fb is not None
    ca, cb = _coefficients(Operand(a["weights"], fa.ravel()), Operand(b["weights"], fb.ravel()), ratio)
    _put(out["weights"], a["weights"], b["weights"], ca * fa, cb * fb)
    rest = 1 - ratio.alpha
    _put(out["biases"], a["biases"], b["biases"], rest, ratio.alpha)
    _put(out["rolling_mean"], a["rolling_mean"], b["rolling_mean"], rest * fa, ratio.alpha * fb)
    va, vb = (np.maximum(side["rolling_variance"], 0) for side in (a, b))
    _put(out["rolling_variance"], va, vb, rest * fa**2, ratio.alpha * fb**2)
    out["scales"][:] = np.sqrt(out["rolling_variance"] + epsilon)


def _put(out: Floats, a: Floats, b: Floats, ca: Doubles | float, cb: Doubles | float) -> None:
    """Write ca * a + cb * b, a few rows at a time."""
    count, width = a.shape
    step = max(1, CHUNK // (width * FLOAT.itemsize))
    ca, cb = (np.broadcast_to(np.asarray(c, np.float64), (count, 1)) for c in (ca, cb))
    for start in range(0, count, step):
        part = slice(start, start + step)
        out[part] = ca[part] * a[part] + cb[part] * b[part]


def _coefficients(a: Operand, b: Operand, ratio: Ratio) -> tuple[float, float]:
    """Find the factors of the base's and the other's values.

    An arc turns the direction evenly (Shoemake, SIGGRAPH 1985) and changes the length evenly. It is a line where one
    side is zero, or both point the same way or opposite ways.
    """
    t = ratio.alpha
    found = distance(a, b, exact=True) if ratio.method == "slerp" else None
    cosine = found.cosine if found else None
    if found is None or cosine is None or not -PARALLEL < cosine < PARALLEL:
        return 1 - t, t
    angle = math.acos(cosine)
    long_a, long_b = math.sqrt(found.base.sum()), math.sqrt(found.other)
    length = ((1 - t) * long_a + t * long_b) / math.sin(angle)
    return length * math.sin((1 - t) * angle) / long_a, length * math.sin(t * angle) / long_b
