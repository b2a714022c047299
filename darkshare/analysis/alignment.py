"""Pair the layers of two networks that differ in depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network

ALIKE = 0.5  # cosine of two kernels' beginnings
BEGINNING = 256  # values


def aligned(a: Model, b: Model, identical: int = 0) -> list[tuple[int, int]]:
    """Pair the layers of two networks: indices in order, -1 where one has no such layer.

    Networks with the same kinds of layers correspond by index. Otherwise the first `identical` layers do, and of the
    rest as many as possible by a global alignment (Needleman and Wunsch, J. Mol. Biol. 48, 1970): layers of one kind,
    rather those of one form, rather those whose kernels begin alike, and of equally good choices the earliest.
    """
    left, right = a.network.layers, b.network.layers
    if [x.kind.name for x in left] == [y.kind.name for y in right]:
        return [(i, i) for i in range(len(left))]
    likeness = _likeness(a, b, identical)
    rows, columns = likeness.shape
    best = np.zeros((rows + 1, columns + 1))
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            best[i, j] = max(best[i + 1, j], best[i, j + 1], likeness[i, j] + best[i + 1, j + 1])
    pairs = [(i, i) for i in range(identical)]
    i = j = 0
    while i < rows or j < columns:
        both = i < rows and j < columns
        if both and likeness[i, j] and best[i, j] == likeness[i, j] + best[i + 1, j + 1]:
            pairs.append((identical + i, identical + j))
            i, j = i + 1, j + 1
        elif j == columns or (both and best[i, j] == best[i + 1, j]):
            pairs.append((identical + i, -1))
            i += 1
        else:
            pairs.append((-1, identical + j))
            j += 1
    return pairs


def _likeness(a: Model, b: Model, start: int) -> NDArray[np.float64]:
    """Score each layer of `a` from `start` on against each of `b`: 1 for its kind, 2 its form, 4 its weights."""
    left, right = a.network.layers[start:], b.network.layers[start:]
    kinds = np.array([[x.kind.name == y.kind.name for y in right] for x in left])
    forms = [[_form(layer, model.network) for layer in model.network.layers[start:]] for model in (a, b)]
    same_form = np.array([[x == y for y in forms[1]] for x in forms[0]])
    alike = _beginnings(a, start) @ _beginnings(b, start).T > ALIKE
    found: NDArray[np.float64] = np.where(same_form, np.where(alike, 4.0, 2.0), kinds)
    return found


def _form(layer: Layer, network: Network) -> tuple[object, ...]:
    """A layer's tensors, channels and scale, which do not depend on the size of the network's input."""
    return layer.kind.name, layer.tensors, layer.y.c, round(network.input.w / max(1, layer.y.w))


def _beginnings(model: Model, start: int) -> NDArray[np.float64]:
    """The first values of each layer's kernel as a vector of length 1; 0 where there are none."""
    found = np.zeros((len(model.network.layers) - start, BEGINNING))
    for row, layer in zip(found, model.network.layers[start : model.loaded], strict=False):
        if layer.tensors:
            first = max(model.tensors(layer.index).values(), key=lambda x: x.size).ravel()[:BEGINNING]
            row[: first.size] = np.nan_to_num(first)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(norms > 0, norms, 1)
