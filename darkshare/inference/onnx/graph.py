"""An ONNX graph before it is written: operators, and tensors that are made only while writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare.darknet.batchnorm import folded_bias, scaled_weights
from darkshare.darknet.kinds import Shape
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import FLOAT, Floats, Run
from darkshare.errors import BadValue, Unsupported
from darkshare.inference.onnx.targets import BOXES, ONE, RAW, require_form, require_operator

INPUT = "image"
FLOAT_TYPE, HALF_TYPE = 1, 10  # TensorProto.FLOAT and FLOAT16
BN_EPSILON = 1e-5  # Darknet's, inside the root
PRECISIONS: dict[str, np.dtype[Any]] = {"fp32": FLOAT, "fp16": np.dtype("<f2")}
Each = Callable[[Floats], Floats]
Sources = Sequence[tuple[str, Shape]]  # name and shape of each layer that is read by index


@dataclass(frozen=True)
class ExportForm:
    """The form in which a model is written.

    Attributes:
        decode: boxes and scores as outputs, instead of the raw heads.
        one_output: all of them in one output, with the classes of all tasks.
        batch: pictures per pass; None leaves it open.
        dynamic_size: leave width and height open.
        precision: of weights and sums, fp32 or fp16; input and outputs are always fp32.
        bn_epsilon: what is added to a variance before its root is taken.
        target: the program that it is for, one of `TARGETS`; "" for all that read ONNX.
        fourth_channel: give the first convolution one more channel of zeros: in int8 ONNX Runtime's fast one takes
            multiples of four.
    """

    decode: bool = False
    one_output: bool = False
    batch: int | None = 1
    dynamic_size: bool = False
    precision: str = "fp32"
    bn_epsilon: float = BN_EPSILON
    target: str = ""
    fourth_channel: bool = False

    def __post_init__(self) -> None:
        if not self.bn_epsilon > 0:
            raise BadValue(f"the batch norm epsilon must be above 0, not {self.bn_epsilon}; Darknet uses 0.00001")
        if self.batch is not None and self.batch < 1:
            raise BadValue(f"a batch of {self.batch} pictures is none; use 1 or more, or leave it open")
        if self.precision not in PRECISIONS:
            raise BadValue(f"unknown precision {self.precision}; use {' or '.join(PRECISIONS)}")
        if self.decode and self.one_output:
            raise BadValue("decode gives an output for each head and one_output a single one; leave out either")
        if self.outputs != RAW and self.dynamic_size:
            raise Unsupported("decoded boxes need a fixed input size: leave out dynamic size, or take raw heads")
        require_form(self.target, self)

    @property
    def outputs(self) -> str:
        """The form of the results."""
        return BOXES if self.decode else ONE if self.one_output else RAW


class Operator(NamedTuple):
    """One operator; its output is its name."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class Stored(NamedTuple):
    """A tensor of the file; `pieces` makes its values in order, so that they need not all be in memory.

    `fixed` values follow from the cfg, not from the weights.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[NDArray[Any]]]
    fixed: bool = False

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class HeadOutput(NamedTuple):
    """A named result: `{name}` is the tensor, and its shape has no batch."""

    name: str
    task: Task
    layer: Layer
    shape: tuple[int, ...]
    sized: bool  # whether height and width follow the input's

    @property
    def dims(self) -> tuple[int | str, ...]:
        """The shape, with names for what is open."""
        return (self.shape[0], "height", "width") if self.sized else self.shape

    @property
    def values(self) -> str:
        """`boxes`, the `raw` numbers of a head, or other `values`."""
        return "boxes" if len(self.shape) == 2 else "raw" if self.layer.kind.is_head else "values"


@dataclass
class Graph:
    """A graph under construction; everything in it is named by the Darknet index of its layer.

    Attributes:
        model: where the weights come from.
        form: how it is written.
        nodes: in the order of computation.
        stored: the weights and constants.
        outputs: what it gives.
    """

    model: Model
    form: ExportForm = ExportForm()
    nodes: list[Operator] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    outputs: list[HeadOutput] = field(default_factory=list)
    _used: Counter[str] = field(default_factory=Counter)
    _sized: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.form.dynamic_size:
            self._sized.add(INPUT)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that the network computes in."""
        return PRECISIONS[self.form.precision]

    def node(self, layer: Layer, op: str, *inputs: str, **attributes: Any) -> str:
        """Append an operator; returns the name of its output."""
        return self.named(self._name(layer, op), op, *inputs, **attributes)

    def named(self, name: str, op: str, *inputs: str, **attributes: Any) -> str:
        """Append an operator whose output gets this name.

        Raises:
            Unsupported: the target does not have it.
        """
        require_operator(self.form.target, op)
        if op != "GlobalAveragePool" and self._sized.intersection(inputs):
            self._sized.add(name)
        self.nodes.append(Operator(op, inputs, name, attributes))
        return name

    def is_sized(self, name: str) -> bool:
        """Tell whether height and width of a value are open because the input's are."""
        return name in self._sized

    def require_fixed(self, *names: str) -> None:
        """Refuse values whose size is open.

        Raises:
            Unsupported: with what to do.
        """
        if self._sized.intersection(names):
            raise Unsupported("it needs a fixed input size; leave out dynamic size")

    def constant(self, layer: Layer, values: Any, dtype: Any = None) -> str:
        """Store a few numbers, in the network's precision unless a type is given; returns their name."""
        array = np.asarray(values, self.dtype if dtype is None else np.dtype(dtype).newbyteorder("<"))
        return self._store(layer, "constant", array.dtype, array.shape, lambda: [array], fixed=True)

    def repeated(
        self, layer: Layer, shape: tuple[int, ...], count: int, numbers: Callable[[], NDArray[Any]], dtype: Any = None
    ) -> str:
        """Store the same numbers several times over in one tensor, made when it is written; returns its name.

        Their type is that of the network unless one is given.
        """
        kind = self.dtype if dtype is None else np.dtype(dtype).newbyteorder("<")

        def pieces() -> Iterable[NDArray[Any]]:
            return repeat(numbers().astype(kind), count)

        return self._store(layer, "constant", kind, shape, pieces, fixed=True)

    def integers(self, layer: Layer, *values: int) -> str:
        """Store a shape or the like."""
        return self.constant(layer, values, np.int64)

    def kernel(
        self, layer: Layer, shape: tuple[int, ...], given: Mapping[str, Run], each: Each = lambda rows: rows
    ) -> tuple[str, str]:
        """Store a layer's weights in this shape, and its biases, with batch norm folded into both.

        Args:
            layer: whose name they get.
            shape: filters first.
            given: the layer's blocks by name; those of batch norm and the biases may be missing.
            each: what becomes of some whole rows of the folded weights.

        Returns:
            The names of weights and biases.
        """
        n, epsilon = shape[0], self.form.bn_epsilon
        bias = self.block(layer, "bias", (n,), lambda: [folded_bias(given, n, epsilon)])
        return self.block(layer, "weights", shape, lambda: map(each, scaled_weights(given, n, epsilon))), bias

    def block(self, layer: Layer, what: str, shape: tuple[int, ...], pieces: Callable[[], Iterable[Floats]]) -> str:
        """Store many floats in the network's precision, made a piece at a time; returns their name."""
        if self.dtype == FLOAT:
            return self._store(layer, what, FLOAT, shape, pieces)
        return self._store(layer, what, self.dtype, shape, lambda: self._halves(layer, pieces()))

    def _halves(self, layer: Layer, pieces: Iterable[Floats]) -> Iterator[NDArray[Any]]:
        for piece in pieces:
            with np.errstate(all="ignore"):
                half = np.ascontiguousarray(piece).astype(self.dtype)
            if (np.isinf(half) & np.isfinite(piece)).any():
                largest = float(np.abs(piece).max())
                raise Unsupported(
                    f"{layer.label}: a weight of {largest:.3g} is more than fp16 can hold, 65504; use fp32",
                    file=self.model.name,
                    line=layer.section.lineno,
                )
            yield half

    def _store(
        self, layer: Layer, what: str, dtype: Any, shape: tuple[int, ...], pieces: Any, *, fixed: bool = False
    ) -> str:
        name = self._name(layer, what)
        self.stored.append(Stored(name, dtype, shape, pieces, fixed))
        return name

    def _name(self, layer: Layer, what: str) -> str:
        """`L82_Conv`, or with a number where a layer uses it more than once."""
        name = f"L{layer.index}_{what}"
        self._used[name] += 1
        return name if self._used[name] == 1 else f"{name}_{self._used[name]}"


def output_name(layer: Layer) -> str:
    """The name of a raw head: `L82_yolo`."""
    return f"L{layer.index}_{layer.kind.name}"


def output_shape(layer: Layer) -> tuple[int, ...]:
    """The shape of a raw head without its batch; where it is blurred, that of the image that comes out."""
    result = layer.onward
    return result[:3] if result.is_image else (result.size, 1, 1)


def value_dims(form: ExportForm, shape: tuple[int, ...], *, sized: bool, prefix: str = "") -> list[int | str]:
    """The dimensions of an input or output; where batch or size are open, with names instead of numbers."""
    dims = [shape[0], f"{prefix}height", f"{prefix}width"] if sized else list(shape)
    return ["batch" if form.batch is None else form.batch, *dims]
