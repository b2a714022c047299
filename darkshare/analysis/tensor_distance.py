"""Measure how far one tensor is from another, filter by filter, in one pass over both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare.analysis.boxplot import Spread, spread_of
from darkshare.darknet.weights import FLOAT, Floats, Run, StoredFloats

Doubles = NDArray[np.float64]
FLOOR = 1e-3  # of a layer's own size: smaller values of the base count as that large, else they dominate every ratio
BLOCK = 2**18  # floats looked at together: few calls, and what is read is still in a cache
NOWHERE = np.empty(0, FLOAT)
_SAFE = (1e-30, 1e30)  # sums of squares that single precision can hold
_CANCELLED = 0.1  # |b|² as a part of |a|², below which |a + d|² has too few digits left


class Operand(NamedTuple):
    """A tensor to compare: one value for each filter, or filters first; times a factor for each filter."""

    values: Run | Doubles
    factors: Doubles | None = None

    @property
    def rows(self) -> int:
        return filters(self.values.shape)

    @property
    def is_exact(self) -> bool:
        """Whether it is worked with in double precision: products, and what is small enough."""
        return self.factors is not None or self.values.ndim == 1

    def matrix(self) -> Run | Doubles:
        """One row for each filter, not read yet."""
        return self.values.reshape(self.rows, -1)

    def blocks(self) -> Iterator[Floats | Doubles]:
        """All values, a few filters at a time."""
        matrix = self.matrix()
        for part in _parts(matrix):
            yield _block(matrix, self.factors, part, self.is_exact)

    def product(self) -> Floats | Doubles:
        """All values, with their factors."""
        rows = np.asarray(self.matrix())
        return rows if self.factors is None else rows * self.factors[:, None]


class Distance(NamedTuple):
    """For each filter |a|² and |b-a|²; in all |b|² and a·b."""

    base: Doubles
    moved: Doubles
    other: float
    product: float

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.base).all() and np.isfinite(self.moved).all())

    @property
    def relative(self) -> float:
        """||b-a|| / ||a||; 0 where both are zero, infinite where only the base is."""
        return ratio(math.sqrt(self.moved.sum()), math.sqrt(self.base.sum()))

    @property
    def cosine(self) -> float | None:
        """Between a and b; None where one of them is zero."""
        norms = math.sqrt(self.base.sum()) * math.sqrt(self.other)
        return float(np.clip(self.product / norms, -1, 1)) if norms else None


def filters(shape: tuple[int, ...]) -> int:
    """The number of filters: a kernel is (filters, channels, size, size), a [local] one has places before these."""
    return math.prod(shape[: max(1, len(shape) - 3)])


def ratio(part: float, whole: float) -> float:
    """`part / whole`; 0/0 is 0, x/0 is inf."""
    return part / whole if whole else (0.0 if part == 0 else math.inf)


@np.errstate(all="ignore")  # callers look at `is_finite`
def distance(a: Operand, b: Operand, *, exact: bool = False) -> Distance:
    """Sum what `Distance` names, a few filters at a time.

    Kernels are summed in single precision within a filter and in double precision across filters, which is right to
    about six digits.

    Args:
        a: the base.
        b: the other, of the same shape.
        exact: work in double precision throughout; three times as slow.
    """
    x, y = a.matrix(), b.matrix()
    exact = exact or a.is_exact or b.is_exact
    base, moved, across = np.empty((3, a.rows))
    other = 0.0
    room = np.empty((3, 0 if exact else min(a.rows, _step(x)), x.shape[1]), FLOAT)  # new blocks would cost page faults
    for part in _parts(x):
        u, v = _block(x, a.factors, part, exact, room[0]), _block(y, b.factors, part, exact, room[1])
        d = v - u if exact else np.subtract(v, u, room[2][: len(u)])
        base[part], moved[part] = row_products(u, u), row_products(d, d)
        across[part] = row_products(u, v if exact else d)
        other += float(row_products(v, v).sum()) if exact else 0.0
    size, product = float(base.sum()), float(across.sum())
    if exact:
        return Distance(base, moved, other, product)
    other = size + 2 * product + float(moved.sum())  # |a + d|², a pass less than the sum itself
    if other < _CANCELLED * size:
        return distance(a, b, exact=True)
    return Distance(base, moved, other, size + product)


def row_products(u: Floats | Doubles, v: Floats | Doubles) -> Doubles:
    """The product of each row with the same row; again in double precision where single was too narrow."""
    found: Doubles = np.einsum("ij,ij->i", u, v).astype(np.float64)
    if u.dtype == FLOAT:
        size = np.abs(found)
        unsafe = ~((size > _SAFE[0]) & (size < _SAFE[1]))
        if unsafe.any():
            found[unsafe] = np.einsum("ij,ij->i", u[unsafe], v[unsafe], dtype=np.float64)
    return found


def _parts(matrix: Run | Doubles) -> Iterator[slice]:
    step = _step(matrix)
    return (slice(start, start + step) for start in range(0, len(matrix), step))


def _step(matrix: Run | Doubles) -> int:
    return max(1, BLOCK // max(1, matrix.shape[1]))


def _block(
    matrix: Run | Doubles, factors: Doubles | None, part: slice, exact: bool, room: Floats = NOWHERE
) -> Floats | Doubles:
    stored = matrix[part]
    if room.size and isinstance(stored, StoredFloats):
        stored.read_into(room[: len(stored)])
        return room[: len(stored)]
    block = np.asarray(stored, np.float64 if exact else None)
    return block if factors is None else block * factors[part, None]


def per_filter(found: Distance, *, one_value: bool) -> Spread | None:
    """||b-a|| / ||a|| of each filter, where a filter of almost no size counts as FLOOR of the layer's typical one."""
    norms = np.sqrt(found.base)
    typical = 0.0 if one_value else float(np.median(norms))
    typical = typical or math.sqrt(float(found.base.mean()))  # where most filters are zero, or have one value
    if not typical:
        return None if found.moved.any() else spread_of(np.zeros(len(norms)))
    return spread_of(np.sqrt(found.moved) / np.maximum(norms, FLOOR * typical))


@np.errstate(all="ignore")  # what is not finite gives no spread
def elementwise_ratios(a: Operand, b: Operand) -> tuple[Spread | None, float | None]:
    """|b-a| / max(|a|, FLOOR of its root mean square), and the share of values below that floor."""
    x, y = a.product(), b.product()
    size, ratios = np.abs(x), np.abs(y - x)
    floor = FLOOR * math.sqrt(float(np.square(x, dtype=np.float64).mean()))
    if not (0 < floor < math.inf and np.isfinite(ratios).all()):
        return None, None
    clipped = float((size < floor).mean())
    ratios /= np.maximum(size, floor, out=size)
    return spread_of(ratios), clipped
