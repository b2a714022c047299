"""Weights in ONNX files, also of other programs: kernels and batch norms in the order in which they compute."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._files import reading, require_itself, require_regular
from darkshare.darknet.kinds.base import STATISTICS
from darkshare.darknet.weights import FLOAT, Floats, Header
from darkshare.errors import DarkshareError, Unsupported, warn
from darkshare.inference.onnx.graph import BN_EPSILON, FLOAT_TYPE

_KERNELS = ("Conv", "ConvTranspose", "Gemm")
_QUANTISED = ("DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger", "QGemm")
_OURS = re.compile(r"L(\d{1,6})_(weights|bias|weights_2)")


class Module(NamedTuple):
    """A kernel or a batch norm, as other programs store what a layer computes with.

    Attributes:
        name: for messages.
        layer: its index, if the file says; else -1.
        weights: a kernel, filters first; None of a batch norm alone.
        biases: one for each filter; None where there are none.
        norm: the blocks of a batch norm by their names; of a kernel, the factors that ours have behind it, or nothing.
    """

    name: str
    layer: int = -1
    weights: Floats | None = None
    biases: Floats | None = None
    norm: Mapping[str, Floats] = {}


class Modules(NamedTuple):
    """The modules of a file, in order.

    Attributes:
        items: the modules.
        is_ours: `export` wrote it, with batch norm in the kernels and shapes of its own.
        header: of the weights that it was made from, if it says.
        bn_epsilon: with which `export` folded batch norm.
    """

    items: list[Module]
    is_ours: bool = False
    header: Header | None = None
    bn_epsilon: float = BN_EPSILON


def norm_of(name: str, layer: int, values: Mapping[str, Floats]) -> Module:
    """A batch norm, of which all blocks must be there.

    Raises:
        Unsupported: one is missing.
    """
    if missing := [one for one in ("biases", *STATISTICS) if one not in values]:
        raise Unsupported(f"the batch norm {name[:80]} has no {', '.join(missing)}")
    return Module(name, layer, norm=dict(values))


def as_floats(name: str, values: NDArray[Any]) -> Floats:
    """Values as they go into a weights file; half floats become floats without a loss.

    Raises:
        Unsupported: they are doubles, or not floats.
    """
    if values.dtype not in (np.float16, np.float32):
        raise Unsupported(f"{name[:80]} is of type {values.dtype}; only float32 and float16 can be taken")
    return values.astype(FLOAT)


def read_modules(path: Path) -> Modules:
    """Read an ONNX file.

    Raises:
        DarkshareError: it cannot be read or is damaged.
        Unsupported: it is quantised, or its weights are elsewhere or computed.
    """
    import onnx
    from google.protobuf.message import DecodeError

    with reading(path):
        require_regular(path)
        require_itself(path)
        try:
            message = onnx.load(str(path), load_external_data=False)
        except DecodeError:
            raise DarkshareError("is not an ONNX file, or is damaged") from None
    known = _Tensors(message.graph)
    if message.producer_name == "darkshare":
        facts = {entry.key: entry.value for entry in message.metadata_props}
        epsilon = BN_EPSILON
        with suppress(ValueError):
            epsilon = float(facts.get("bn_epsilon", BN_EPSILON))
        return Modules(_ours(known, message.graph), True, _header(facts.get("model", "")), epsilon)
    return Modules(list(_others(known, message.graph)))


class _Tensors:
    """The stored tensors of a graph by name, made when they are asked for."""

    def __init__(self, graph: Any) -> None:
        self._messages = {one.name: one for one in graph.initializer}
        for node in graph.node:  # PyTorch stores equal tensors once
            for made in node.output[:1]:
                if node.op_type == "Identity" and node.input and node.input[0] in self._messages:
                    self._messages[made] = self._messages[node.input[0]]
                elif node.op_type == "Constant":
                    self._messages |= ((made, one.t) for one in node.attribute if one.name == "value")

    def get(self, name: str) -> Floats:
        from onnx import TensorProto, numpy_helper

        if name not in self._messages:
            raise Unsupported(f"{name[:80]} is computed, not stored; export the network for inference")
        message = self._messages[name]
        if message.data_location == TensorProto.EXTERNAL:
            raise Unsupported(f"{name[:80]} lies in another file; put all into one")
        try:
            values = numpy_helper.to_array(message)
        except (ValueError, TypeError, KeyError, OverflowError, MemoryError, NotImplementedError) as error:
            raise DarkshareError(f"is damaged: {name[:80]}: {str(error)[:100]}") from None
        return as_floats(name, np.asarray(values))


def _ours(known: _Tensors, graph: Any) -> list[Module]:
    found: dict[int, dict[str, Floats]] = {}
    for one in graph.initializer:
        if (match := _OURS.fullmatch(str(one.name))) is not None:
            if one.data_type != FLOAT_TYPE:
                raise Unsupported("is not in fp32, so digits of its weights are lost; export it in fp32")
            found.setdefault(int(match[1]), {})[match[2]] = known.get(one.name)
    if not found:
        raise Unsupported("has no weights as export writes them: those of int8 files are rounded; export it in fp32")
    return [
        Module(
            f"L{layer}_weights", layer, one.get("weights"), one.get("bias"),
            {"scales": one["weights_2"]} if "weights_2" in one else {},
        )
        for layer, one in sorted(found.items())
    ]  # fmt: skip


def _header(text: str) -> Header | None:
    """The header that the only task of a file has."""
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        (task,) = json.loads(json.loads(text)["tasks"])["tasks"]
        return Header(*map(int, task["header"]))
    return None


def _others(known: _Tensors, graph: Any) -> Iterator[Module]:
    for node in graph.node:
        if node.op_type in _QUANTISED:
            raise Unsupported("is quantised, so digits of its weights are lost; take the file that this was made from")
        if node.op_type in _KERNELS:
            if len(node.input) < 2:
                raise DarkshareError(f"is damaged: {node.name[:80]} has no weights")
            weights = known.get(node.input[1])
            if node.op_type == "Gemm" and not _attribute(node, "transB", 0):
                weights = weights.T
            bias = known.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
            yield Module(node.input[1], weights=weights, biases=bias)
        elif node.op_type == "BatchNormalization":
            names = ("scales", "biases", "rolling_mean", "rolling_variance")
            epsilon = _attribute(node, "epsilon", BN_EPSILON)
            if not np.isclose(epsilon, BN_EPSILON, rtol=1e-3):
                named = node.name or next(iter(node.output), "")
                warn(f"{named}: its batch norm adds {epsilon:g} to variances, Darknet {BN_EPSILON:g}")
            blocks = dict(zip(names, map(known.get, node.input[1:5]), strict=False))
            yield norm_of(next(iter(node.input[1:]), node.name), -1, blocks)


def _attribute(node: Any, name: str, default: float) -> float:
    return next((one.f if one.type == 1 else one.i for one in node.attribute if one.name == name), default)
