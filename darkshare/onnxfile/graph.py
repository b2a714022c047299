"""What an ONNX graph holds, before it is written: nodes, and tensors that are made only while writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare.files import CHUNK
from darkshare.model import Model
from darkshare.network import Layer
from darkshare.weights import FLOAT, Floats, release

INPUT = "image"


class Node(NamedTuple):
    """One operator; its output is its name."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class Stored(NamedTuple):
    """A tensor of the file; `pieces` makes its values in order, so that they need not all be in memory."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[NDArray[Any]]]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass
class Graph:
    """A graph under construction; everything in it is named by the Darknet index of its layer.

    Attributes:
        model: where the weights come from.
        epsilon: what is added to a variance before its root is taken.
        nodes: in the order of computation.
        stored: the weights and constants.
    """

    model: Model
    epsilon: float
    nodes: list[Node] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    _used: Counter[str] = field(default_factory=Counter)

    def node(self, layer: Layer, op: str, *inputs: str, **attributes: Any) -> str:
        """Append an operator; returns the name of its output."""
        name = self._name(layer, op)
        self.nodes.append(Node(op, inputs, name, attributes))
        return name

    def constant(self, layer: Layer, values: Any, dtype: type[np.generic] = np.float32) -> str:
        """Store a few numbers; returns their name."""
        array = np.asarray(values, np.dtype(dtype).newbyteorder("<"))
        return self._store(layer, "constant", array.dtype, array.shape, lambda: [array])

    def kernel(self, layer: Layer, shape: tuple[int, ...], given: dict[str, Floats]) -> tuple[str, str]:
        """Store a layer's weights in this shape, and its biases, with batch norm folded into both.

        Args:
            layer: whose name they get.
            shape: filters first.
            given: the layer's blocks by name; those of batch norm and the biases may be missing.

        Returns:
            The names of weights and biases.
        """
        n, epsilon = shape[0], self.epsilon
        bias = self._store(layer, "bias", FLOAT, (n,), lambda: [folded_bias(given, n, epsilon)])
        return self._store(layer, "weights", FLOAT, shape, lambda: scaled_weights(given, n, epsilon)), bias

    def _store(self, layer: Layer, what: str, dtype: Any, shape: tuple[int, ...], pieces: Any) -> str:
        name = self._name(layer, what)
        self.stored.append(Stored(name, dtype, shape, pieces))
        return name

    def _name(self, layer: Layer, what: str) -> str:
        """`L82_Conv`, or with a number where a layer uses it more than once."""
        name = f"L{layer.index}_{what}"
        self._used[name] += 1
        return name if self._used[name] == 1 else f"{name}_{self._used[name]}"


def output_name(layer: Layer) -> str:
    """The name of a head's output: `L82_yolo`."""
    return f"L{layer.index}_{layer.kind.name}"


@np.errstate(all="ignore")  # broken weights show in the network's output
def scale_of(given: dict[str, Floats], epsilon: float) -> NDArray[np.float64] | None:
    """The factor that batch norm puts on each filter; None without batch norm.

    Darknet computes (x - mean) / sqrt(variance + 0.00001) * scale + bias (normalize_cpu in blas.c).
    Some published weights hold variances a little below 0, which count as 0.
    """
    if "rolling_variance" not in given:
        return None
    variance = np.maximum(given["rolling_variance"].astype(np.float64), 0)
    return np.asarray(given["scales"] / np.sqrt(variance + epsilon))


def folded_bias(given: dict[str, Floats], filters: int, epsilon: float) -> Floats:
    """The bias with batch norm in it; pjreddie's [batchnorm] stores none, which counts as 0."""
    bias = given["biases"].astype(np.float64) if "biases" in given else np.zeros(filters)
    scale = scale_of(given, epsilon)
    with np.errstate(all="ignore"):  # broken weights show in the network's output
        return (bias if scale is None else bias - given["rolling_mean"] * scale).astype(FLOAT)


def scaled_weights(given: dict[str, Floats], filters: int, epsilon: float) -> Iterator[Floats]:
    """The weights times their factors, a few rows at a time, giving a mapped file's pages back behind each."""
    rows, scale = given["weights"].reshape(filters, -1), scale_of(given, epsilon)
    step = max(1, CHUNK // (rows.shape[1] * FLOAT.itemsize))
    for start in range(0, filters, step):
        part = rows[start : start + step]
        if scale is None:
            yield np.ascontiguousarray(part)
        else:
            with np.errstate(all="ignore"):
                product = (part * scale[start : start + step, None]).astype(FLOAT)
            yield product
        if part.flags.c_contiguous:
            release(part)
    for block in given.values():  # reading one maps the pages around it too
        if block.flags.c_contiguous:
            release(block)
