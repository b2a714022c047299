"""An ONNX file held against the network that it says it is, before an engine sees it.

The graph is lowered once more from the cfg in the file, without weights. Only the values of the weights may differ from
it, and in int8 the operators and tensors that a quantiser adds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from darkshare._files.opened import StoredBytes
from darkshare.darknet.model import Model
from darkshare.darknet.weights import FLOAT, Header, Weights
from darkshare.errors import DarkshareError
from darkshare.inference.onnx.graph import INPUT, ExportForm, Graph, Operator, Stored, value_dims
from darkshare.inference.onnx.lowering import lower
from darkshare.inference.onnx.one_output import ONE_OUTPUT
from darkshare.inference.onnx.wire import LARGEST, Message
from darkshare.inference.onnx.writing import OPSET

_INT32, _UINT64 = "int32_data", "uint64_data"
MOST_DIMS = 8
LONGEST = 300  # characters of a message


class ElementType(NamedTuple):
    """The bytes of an element, and the field that holds such elements where they are not raw."""

    size: int
    field: str
    name: str


TYPES = {  # TensorProto.DataType
    1: ElementType(4, "float_data", "float32"),
    2: ElementType(1, _INT32, "uint8"),
    3: ElementType(1, _INT32, "int8"),
    6: ElementType(4, _INT32, "int32"),
    7: ElementType(8, "int64_data", "int64"),
    10: ElementType(2, _INT32, "float16"),
}
_TYPED = ("float_data", _INT32, "int64_data", "double_data", _UINT64)
_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
_QUANTISED = "_quantized"  # behind the name of a tensor that ONNX Runtime's quantiser replaced
_DEQUANTISED = "_DequantizeLinear_Output"  # behind that of a value that comes through it
_VALUE_FIELDS = {1: "f", 2: "i", 3: "s", 7: "ints"}  # AttributeProto.AttributeType


def expected_graph(model: Model, form: ExportForm) -> Graph:
    """Lower a model whose weights are elsewhere; they count as zeros, which take no memory.

    Raises:
        DarkshareError: it cannot be exported.
    """
    count = model.network.params
    if count > np.iinfo(np.int64).max // FLOAT.itemsize:
        raise disagreement("its layers have more weights than can be counted")
    zeros = np.broadcast_to(FLOAT.type(0), count)
    return lower(replace(model, weights=Weights(Header(), (zeros,))), form)


def form_of(message: Message, precision: Any) -> ExportForm:
    """Tell the form in which a file was exported from its input and outputs and what it says of its precision.

    Raises:
        DarkshareError: it has no input of ours.
    """
    (name, dims), *others = _values(_graph(message), "input") or [("", [])]
    if name != INPUT or others or len(dims) != 4:
        raise disagreement(f"its input is not one {INPUT} of four dimensions")
    batch = dims[0] if isinstance(dims[0], int) else None
    precision = precision if precision == "fp16" else "fp32"  # what int8 is made of
    one_output = [name for name, _ in _values(_graph(message), "output")] == [ONE_OUTPUT]
    open_size = not isinstance(dims[2], int)
    if one_output and open_size:
        raise disagreement(f"its one output {ONE_OUTPUT} needs a fixed size")
    nodes = _graph(message).get("node", ())
    fourth = any(node.get("op_type") == "Pad" and INPUT in node.get("input", ()) for node in nodes)
    return ExportForm(
        one_output=one_output, batch=batch, dynamic_size=open_size, precision=precision, fourth_channel=fourth
    )


def require_graph(message: Message, graph: Graph, *, quantised: bool) -> None:
    """Hold a file against the graph that its network has.

    Raises:
        DarkshareError: a value without a meaning, or the first disagreement.
    """
    found = _graph(message)
    opsets = [row.get("version") for row in message.get("opset_import", ()) if not row.get("domain")]
    if opsets != [OPSET]:
        raise disagreement(f"it is written for {' and '.join(f'opset {n}' for n in opsets) or 'no opset'}, not {OPSET}")
    form, shape = graph.form, graph.model.network.input[:3]
    _require_values(found, "input", {INPUT: value_dims(form, shape, sized=form.dynamic_size)})
    _require_values(found, "output", {o.name: value_dims(form, o.shape, sized=o.sized) for o in graph.outputs})
    nodes = _require_nodes(found.get("node", []), graph.nodes, quantised=quantised)
    _require_tensors(found.get("initializer", []), graph, nodes, quantised=quantised)


def disagreement(what: str) -> DarkshareError:
    """Make the error that a file is not the network that it says it is."""
    shown = what if len(what) <= LONGEST else f"{what[:LONGEST]}…"
    return DarkshareError(f"does not fit the cfg in it: {shown}; export it again")


def _graph(message: Message) -> Message:
    found: Message = message.get("graph", {})
    return found


def _values(graph: Message, which: str) -> list[tuple[str, list[int | str | None]]]:
    """Names and dimensions of inputs or outputs, each of which is a number, a name, or left open.

    Raises:
        DarkshareError: one that is not in fp32.
    """
    found = []
    for value in graph.get(which, ()):
        tensor = value.get("type", {}).get("tensor_type", {})
        if tensor.get("elem_type") != 1:
            raise disagreement(f"its {which} {value.get('name', '')} is not in fp32")
        dims = [_one(dim, ("dim_value", "dim_param")) for dim in tensor.get("shape", {}).get("dim", ())]
        found.append((value.get("name", ""), dims))
    return found


def _one(message: Message, names: tuple[str, ...]) -> Any:
    """The value of the field that there is; None where there is none.

    Raises:
        DarkshareError: there are several, of which readers take one or the other.
    """
    values = [message[name] for name in names if name in message]
    if len(values) > 1:
        raise disagreement(f"it gives {' and '.join(names)} at once")
    return values[0] if values else None


def _require_values(graph: Message, which: str, wanted: Mapping[str, list[int | str]]) -> None:
    found = _values(graph, which)
    if [name for name, _ in found] != list(wanted):
        raise disagreement(f"its {which}s are {_listed(name for name, _ in found)}, not {_listed(wanted)}")
    for name, dims in found:
        if [_open(dim) for dim in dims] != [_open(dim) for dim in wanted[name]]:
            raise disagreement(f"its {which} {name} is {_shown(dims)}, not {_shown(wanted[name])}")


def _open(dim: int | str | None) -> int | None:
    return dim if isinstance(dim, int) else None


def _require_nodes(found: list[Message], wanted: list[Operator], *, quantised: bool) -> list[Operator]:
    """Find the operators of the network in those of the file; a quantiser may have left some out."""
    named, taken = {operator.output: operator for operator in wanted}, []
    written: set[str] = set()
    for node in found:
        name, op, outputs = node.get("name", ""), node.get("op_type", ""), node.get("output", [])
        if node.get("domain"):
            raise disagreement(f"{name} is an operator {node['domain']}.{op}, which only some engines know")
        if not written.isdisjoint(outputs):
            raise disagreement(f"two operators give {outputs[0]}")
        written.update(outputs)
        attributes = _attributes(node)
        if quantised and op in _QUANTISERS and attributes.keys() <= {"axis"}:
            continue
        operator = named.get(name)
        if operator is None:
            raise disagreement(f"there is an operator {name} ({op}), which its layers do not have")
        given = {key: _stored_as(value) for key, value in operator.attributes.items()}
        ends = outputs == [name] or (quantised and len(outputs) == 1)  # in the name of a Relu that it took in
        if (op, attributes) != (operator.op, given) or not ends:
            raise disagreement(f"{name} is not the {operator.op} with {operator.attributes} that its layer is")
        if not _reads(operator, node.get("input", []), quantised=quantised):
            raise disagreement(f"{name} reads {_listed(node.get('input', ()))}, not {_listed(operator.inputs)}")
        taken.append(operator)
    if not quantised and taken != wanted:
        missing = next((one.output for one in wanted if one.output not in written), None)
        raise disagreement(f"{missing} is not there" if missing else "its operators are in another order")
    return taken


def _reads(operator: Operator, names: list[str], *, quantised: bool) -> bool:
    """Whether these are an operator's inputs; in int8 they may come through a DequantizeLinear, but for factors."""
    if not quantised:
        return tuple(names) == operator.inputs
    settled = 1 if operator.op == "Resize" else len(names)
    return (*(name.removesuffix(_DEQUANTISED) for name in names[:settled]), *names[settled:]) == operator.inputs


def _attributes(node: Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in node.get("attribute", ()):
        name, field = attribute.get("name", ""), _VALUE_FIELDS.get(attribute.get("type", 0))
        if name in found or field is None or any(attribute.get(x) for x in _VALUE_FIELDS.values() if x != field):
            raise disagreement(f"{node.get('name', '')} has an attribute {name} of two values, or of an unknown type")
        found[name] = attribute.get(field, [] if field == "ints" else None)
    return found


def _stored_as(value: Any) -> Any:
    """An attribute as it comes out of a file."""
    if isinstance(value, float):
        return float(np.float32(value))
    return value.encode() if isinstance(value, str) else value


def _require_tensors(found: list[Message], graph: Graph, nodes: list[Operator], *, quantised: bool) -> None:
    stored, seen = {one.name: one for one in graph.stored}, dict[str, Message]()
    for tensor in found:
        name = tensor.get("name", "")
        if not name or name in seen:
            raise disagreement(f"two tensors are called {name}" if name else "a tensor has no name")
        seen[name] = tensor
        _require_filled(name, tensor)
        base = name.removesuffix(_QUANTISED) if quantised else name
        if base in stored:
            _require_stored(tensor, stored[base], exact=not quantised or base == name)
        elif not quantised:
            raise disagreement(f"there is a tensor {name}, which its layers do not have")
    for name in _used(nodes, stored):
        if name not in seen and not (quantised and name + _QUANTISED in seen):
            raise disagreement(f"the tensor {name} is not there")


def _used(nodes: list[Operator], stored: Mapping[str, Stored]) -> Iterator[str]:
    return (name for operator in nodes for name in operator.inputs if name in stored)


def _require_filled(name: str, tensor: Message) -> None:
    """Refuse values that are elsewhere, or more or less than the dimensions say.

    Raises:
        DarkshareError: with the tensor.
    """
    dims, kind = tensor.get("dims", []), TYPES.get(tensor.get("data_type", 0))
    if tensor.get("data_location"):
        raise disagreement(f"tensor {name} has its values in another file")
    if kind is None:
        raise disagreement(f"tensor {name} is of a type that no network has, {tensor.get('data_type', 0)}")
    if len(dims) > MOST_DIMS or min(dims, default=0) < 0 or math.prod(dims) > LARGEST:
        raise disagreement(f"tensor {name} has the dimensions {_shown(dims)}")
    given = {field: sum(tensor[field]) for field in _TYPED if field in tensor}
    if "raw_data" in tensor:
        given["raw_data"] = len(tensor["raw_data"])
    count, field = math.prod(dims), "raw_data" if "raw_data" in tensor else kind.field
    wanted = count * kind.size if field == "raw_data" else count
    if sum(given.values()) != wanted or given.get(field, 0) != wanted:
        has = ", ".join(f"{n} in {field}" for field, n in given.items()) or "none"
        raise disagreement(f"tensor {name} of {_shown(dims)} {kind.name} needs {wanted} in {field}, but has {has}")


def _require_stored(tensor: Message, wanted: Stored, *, exact: bool) -> None:
    """Hold a tensor against that of the graph: its shape, and where it is not quantised its type and its constants."""
    name, dims = tensor["name"], tensor.get("dims", [])
    if tuple(dims) != wanted.shape:
        raise disagreement(f"tensor {name} is {_shown(dims)}, not {_shown(wanted.shape)}")
    if not exact:
        return
    if (kind := TYPES[tensor["data_type"]].name) != wanted.dtype.name:
        raise disagreement(f"tensor {name} is {kind}, not {wanted.dtype.name}")
    if wanted.fixed and not _is_same(tensor.get("raw_data", b""), wanted):
        raise disagreement(f"tensor {name} does not hold the numbers of its layer")


def _is_same(values: bytes | StoredBytes, wanted: Stored) -> bool:
    at = 0
    for piece in wanted.pieces():
        if bytes(values[at : at + piece.nbytes]) != piece.tobytes():
            return False
        at += piece.nbytes
    return at == len(values)


def _listed(names: Any) -> str:
    shown = list(names)
    return ", ".join(map(str, shown[:6])) + (", …" if len(shown) > 6 else "") or "none"


def _shown(dims: Any) -> str:
    shown = list(dims)
    return (
        " x ".join("?" if dim is None else str(dim) for dim in shown[:MOST_DIMS])
        + (" x …" if len(shown) > MOST_DIMS else "")
        or "one"
    )
