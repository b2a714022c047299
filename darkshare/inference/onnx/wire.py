"""ONNX files field by field, without the values of their tensors.

protobuf passes over fields that it does not know and merges what comes twice, so one file can be two things to two
readers. This one takes the fields that `export` and ONNX Runtime's quantiser write, each as often as it may come, and
nothing else: a file ends where its message does. Values of tensors stay in the file, so that 250 MB are read in
milliseconds.
"""

from __future__ import annotations

import os
import struct
from typing import Any, NamedTuple

import numpy as np

from darkshare._files import require_itself
from darkshare._files.opened import OpenFile, StoredBytes
from darkshare.errors import DarkshareError

LARGEST = 2**31 - 1  # bytes of a protobuf message
MOST_BYTES, MOST_FIELDS = 2**24, 2**19  # beside raw values; a network of a thousand layers has a hundredth of that
LENGTH_DELIMITED = 2
_WIRE_TYPES = {"int": 0, "ints": 0, "float": 5}  # of one value; everything else has a length before it
_VARINT_BYTES = 10

Message = dict[str, Any]  # values by the names of their fields; lists where there may be several


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        name: as in ONNX.
        kind: int, float, text, bytes; ints, of which one field may hold many; packed numbers, which are only counted;
            raw, a view of the file; or the name of a message.
        many: whether it may come more than once.
    """

    name: str
    kind: str
    many: bool = False


FIELDS: dict[str, dict[int, Field]] = {
    "ModelProto": {
        1: Field("ir_version", "int"),
        2: Field("producer_name", "text"),
        3: Field("producer_version", "text"),
        4: Field("domain", "text"),
        5: Field("model_version", "int"),
        6: Field("doc_string", "text"),
        7: Field("graph", "GraphProto"),
        8: Field("opset_import", "OperatorSetIdProto", many=True),
        14: Field("metadata_props", "StringStringEntryProto", many=True),
    },
    "OperatorSetIdProto": {1: Field("domain", "text"), 2: Field("version", "int")},
    "StringStringEntryProto": {1: Field("key", "text"), 2: Field("value", "text")},
    "GraphProto": {
        1: Field("node", "NodeProto", many=True),
        2: Field("name", "text"),
        5: Field("initializer", "TensorProto", many=True),
        10: Field("doc_string", "text"),
        11: Field("input", "ValueInfoProto", many=True),
        12: Field("output", "ValueInfoProto", many=True),
        13: Field("value_info", "ValueInfoProto", many=True),
    },
    "NodeProto": {
        1: Field("input", "text", many=True),
        2: Field("output", "text", many=True),
        3: Field("name", "text"),
        4: Field("op_type", "text"),
        5: Field("attribute", "AttributeProto", many=True),
        6: Field("doc_string", "text"),
        7: Field("domain", "text"),
    },
    "AttributeProto": {
        1: Field("name", "text"),
        2: Field("f", "float"),
        3: Field("i", "int"),
        4: Field("s", "bytes"),
        8: Field("ints", "ints", many=True),
        13: Field("doc_string", "text"),
        20: Field("type", "int"),
    },
    "TensorProto": {
        1: Field("dims", "ints", many=True),
        2: Field("data_type", "int"),
        4: Field("float_data", "packed4", many=True),
        5: Field("int32_data", "packed", many=True),
        7: Field("int64_data", "packed", many=True),
        8: Field("name", "text"),
        9: Field("raw_data", "raw"),
        10: Field("double_data", "packed8", many=True),
        11: Field("uint64_data", "packed", many=True),
        12: Field("doc_string", "text"),
        14: Field("data_location", "int"),
    },
    "ValueInfoProto": {1: Field("name", "text"), 2: Field("type", "TypeProto"), 3: Field("doc_string", "text")},
    "TypeProto": {1: Field("tensor_type", "Tensor"), 6: Field("denotation", "text")},
    "Tensor": {1: Field("elem_type", "int"), 2: Field("shape", "TensorShapeProto")},
    "TensorShapeProto": {1: Field("dim", "Dimension", many=True)},
    "Dimension": {1: Field("dim_value", "int"), 2: Field("dim_param", "text"), 3: Field("denotation", "text")},
}
REFUSED = {
    ("ModelProto", 20): "what trains it",
    ("ModelProto", 25): "functions",
    ("GraphProto", 15): "sparse tensors",
    ("AttributeProto", 5): "a tensor",
    ("AttributeProto", 6): "a graph of its own",
    ("AttributeProto", 10): "tensors",
    ("AttributeProto", 11): "graphs of its own",
    ("AttributeProto", 22): "a sparse tensor",
    ("AttributeProto", 23): "sparse tensors",
    ("TensorProto", 3): "a part of its values only",
    ("TensorProto", 6): "texts as values",
    ("TensorProto", 13): "its values in another file",
}


def read_message(path: str | os.PathLike[str]) -> Message:
    """Read an ONNX file as a ModelProto.

    Raises:
        DarkshareError: it cannot be read, is damaged, or holds what `export` does not write.
    """
    view = StoredBytes(OpenFile(path))
    require_itself(path, bytes(view[:100]))
    if len(view) > LARGEST:
        raise DarkshareError("is larger than 2 GiB, which no ONNX file is; export it again", file=str(path))
    try:
        return _Wire(view).message("ModelProto", 0, len(view))
    except DarkshareError as error:
        raise error.locate(str(path), None) from None


def count_packed(values: bytes | memoryview, kind: str) -> int:
    """Count the numbers of a packed field: of 4 or 8 bytes each, or of as many as it takes, the last below 128.

    >>> count_packed(bytes([1, 0xAC, 2]), "packed")
    2

    Raises:
        ValueError: the last one is cut off.
    """
    if kind == "packed":
        last = np.frombuffer(values, np.uint8) < 0x80
        if last.size and not last[-1]:
            raise ValueError
        return int(np.count_nonzero(last))
    if len(values) % int(kind[-1]):
        raise ValueError
    return len(values) // int(kind[-1])


class _Wire:
    """The bytes of a file, and how much may still be read of them."""

    def __init__(self, view: StoredBytes) -> None:
        self._view = view
        self._fields, self._bytes = MOST_FIELDS, MOST_BYTES

    def message(self, kind: str, at: int, end: int) -> Message:
        """Read the message that stands between two places."""
        found: Message = {}
        known = FIELDS[kind]
        while at < end:
            begin, (tag, at) = at, self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            if number not in known:
                raise _refused(kind, number, found, begin)
            field = known[number]
            if wire == LENGTH_DELIMITED and field.kind not in ("int", "float"):
                length, at = self._varint(at, end)
                if length > end - at:
                    raise _damaged(begin, f"ends inside {kind}.{field.name}")
                values, at = self._delimited(field, at, at + length), at + length
            elif wire == _WIRE_TYPES.get(field.kind):
                value, at = self._fixed(at, end) if field.kind == "float" else self._integer(at, end)
                values = [value]
            else:
                raise _damaged(begin, f"{kind}.{field.name} is of another type")
            if field.many:
                found.setdefault(field.name, []).extend(values)
            elif field.name in found:
                raise _damaged(begin, f"{kind}.{field.name} comes twice")
            else:
                (found[field.name],) = values
            self._pay(begin, 1, 0)
        return found

    def _delimited(self, field: Field, at: int, end: int) -> list[Any]:
        if field.kind in FIELDS:
            return [self.message(field.kind, at, end)]
        if field.kind == "raw":
            return [self._view[at:end]]
        self._pay(at, 0, end - at)
        values = bytes(self._view[at:end])
        try:
            if field.kind == "text":
                return [values.decode()]
            if field.kind == "bytes":
                return [values]
            if field.kind == "ints":
                return self._integers(at, end)
            return [count_packed(values, field.kind)]
        except ValueError:
            raise _damaged(at, f"{field.name} is not of its type") from None

    def _integers(self, at: int, end: int) -> list[int]:
        found = []
        while at < end:
            value, at = self._integer(at, end)
            found.append(value)
            self._pay(at, 1, 0)
        return found

    def _integer(self, at: int, end: int) -> tuple[int, int]:
        value, at = self._varint(at, end)
        return value - 2**64 if value >> 63 else value, at

    def _fixed(self, at: int, end: int) -> tuple[float, int]:
        if end - at < 4:
            raise _damaged(at, "ends inside a number")
        (value,) = struct.unpack("<f", bytes(self._view[at : at + 4]))
        return value, at + 4

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        if at < end and (byte := self._view[at]) < 0x80:  # most are of one byte
            return byte, at + 1
        value = shift = 0
        for place in range(at, min(at + _VARINT_BYTES, end)):
            byte = self._view[place]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 2**64 - 1, place + 1
            shift += 7
        raise _damaged(at, "has a number without an end")

    def _pay(self, at: int, fields: int, size: int) -> None:
        """Count what was read, and refuse what no network needs."""
        self._fields -= fields
        self._bytes -= size
        if self._fields < 0 or self._bytes < 0:
            raise _damaged(at, "there is more beside the weights than any network needs")


def _refused(kind: str, number: int, found: Message, at: int) -> DarkshareError:
    name = f" {found['name'][:60]}" if isinstance(found.get("name"), str) else ""
    what = REFUSED.get((kind, number), f"a field {number}")
    return _damaged(at, f"{kind}{name} has {what}, which export does not write")


def _damaged(at: int, what: str) -> DarkshareError:
    return DarkshareError(f"is not an ONNX file of darkshare's, or is damaged: byte {at}: {what}; export it again")
