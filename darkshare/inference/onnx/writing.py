"""The file itself: messages from the onnx library, with the weights streamed in between.

The library would want all tensors in memory at once, several times over. In protobuf's wire format a
repeated field may come in any order and a message is its fields one after another, so the graph is
written without its tensors and each tensor behind it, as soon as it is made. The only thing to know
beforehand is the graph's total length.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkshare._files import require_unread, write_all
from darkshare._tables import Results
from darkshare._texts import to_escaped
from darkshare.darknet.model import Model, sibling
from darkshare.errors import BadValue, Unsupported
from darkshare.inference.onnx.facts import MANIFEST, described_model, facts, manifest
from darkshare.inference.onnx.graph import INPUT, ExportForm, Graph, HeadOutput, Stored, value_dims
from darkshare.inference.onnx.lowering import lower
from darkshare.inference.onnx.wire import LARGEST, LENGTH_DELIMITED

OPSET, IR_VERSION = 13, 8  # what OpenCV 4.7 reads, and everything since
APART = 2**18  # bytes from which a tensor may get a file of its own


@dataclass(frozen=True, repr=False)
class OnnxExport(Results[HeadOutput]):
    """An ONNX file that was written.

    Attributes:
        items: the outputs, in the file's order.
        path: the file.
        batch: pictures per pass; None is open.
        others: what was written beside it: more of the network, and the manifest of a target.
    """

    path: Path
    batch: int | None
    others: tuple[Path, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files that were written."""
        return [self.path, *self.others]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each output: its task, shape, and whether it gives raw heads, boxes or other values."""
        return [
            {
                "output": output.name,
                "task": output.task.name,
                "shape": " x ".join(map(str, ["batch" if self.batch is None else self.batch, *output.dims])),
                "values": output.values,
            }
            for output in self
        ]

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "path": str(self.path)}

    def summary(self) -> str:
        return f"{self.path}, {len(self)} outputs"


def write_onnx(
    model: Model,
    path: str | os.PathLike[str],
    *,
    protect: Sequence[str] = (),
    more: Mapping[Path, Iterable[bytes]] | None = None,
    **form: Any,
) -> OnnxExport:
    """Write a model as an ONNX file with one output per task and head; for a target with a manifest beside it.

    The input is `image`, batch x channels x height x width, fp32, RGB in 0..1. Raw heads are `L82_yolo`, batch x
    channels x height x width; decoded ones `{task}_L82_yolo`, batch x boxes x (5 + classes): x, y, width and height
    as fractions of the input, objectness, and objectness times probability of each class. Classifiers give batch x
    classes x 1 x 1. Peak memory is a few megabytes, whatever the size of the weights.

    Args:
        model: with weights.
        path: the file.
        protect: files that must not be replaced, usually the inputs.
        more: further files to write with it, all or none.
        form: the fields of `ExportForm`.

    Raises:
        DarkshareError: a layer that has no ONNX form, missing weights, or a file that cannot be written.
    """
    wanted = ExportForm(**form)
    graph = lower(model, wanted)
    contents: dict[Path, Iterable[Any]] = {Path(path): _file(graph)}
    if wanted.target:
        contents[Path(path).with_suffix(MANIFEST)] = iter([to_escaped(manifest(graph))])
    contents.update(more or {})
    require_unread(contents, protect)
    if Path(path).suffix != ".onnx":
        raise BadValue("an ONNX file ends in .onnx", file=str(path))
    write_all(contents)
    target, *others = contents
    return OnnxExport(tuple(graph.outputs), target, wanted.batch, tuple(others))


def beside(model: Model, suffix: str) -> Path:
    """Name a file beside the model's cfg.

    Args:
        model: that is to be written.
        suffix: appended to the stem of the cfg.

    Raises:
        BadValue: the model does not come from a file.
    """
    if not model.name:
        raise BadValue("the model does not come from a file, so name the one to write")
    return sibling(Path(model.name).with_suffix(""), suffix)


def buffers(model: Model, *, beside: Path | None = None, **form: Any) -> Iterator[Any]:
    """Give the bytes of the ONNX file in order, a few megabytes at a time.

    Args:
        model: with weights.
        beside: where the file will lie; large tensors are then written beside it, each into a file of its own, since
            OpenCV 5 reads such files from their beginning, whatever the offset.
        form: the fields of `ExportForm`.

    Raises:
        Unsupported: a layer that has no ONNX form, missing weights, or more than 2 GiB.
    """
    yield from _file(lower(model, ExportForm(**form)), beside)


def _file(graph: Graph, beside: Path | None = None) -> Iterator[Any]:
    import onnx

    body = _graph_message(graph).SerializeToString()
    apart = {
        stored.name: beside.with_name(f"{beside.stem}-{stored.name}")
        for stored in graph.stored
        if beside and stored.nbytes >= APART
    }
    tensors = [(_tensor_start(stored, apart.get(stored.name)), stored) for stored in graph.stored]
    length = len(body) + sum(len(start) + stored.nbytes * (stored.name not in apart) for start, stored in tensors)
    if length > LARGEST:
        raise Unsupported(f"{length} bytes are more than the 2 GiB that an ONNX file can hold", file=graph.model.name)
    yield _model_message(graph).SerializeToString()
    yield _field(onnx.ModelProto.GRAPH_FIELD_NUMBER, length) + body
    for start, stored in tensors:
        yield start
        if stored.name not in apart:
            yield from stored.pieces()
            continue
        with open(apart[stored.name], "wb") as file:
            for piece in stored.pieces():
                piece.tofile(file)


def _field(number: int, length: int) -> bytes:
    """The tag of a length-delimited field and its length, as protobuf's variable-length integers."""
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the top bit says that more follow.

    >>> _varint(300).hex()
    'ac02'
    """
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _tensor_start(stored: Stored, apart: Path | None) -> bytes:
    """Everything of a tensor up to its values: they are its last field, or lie in a file."""
    import onnx

    dtype = onnx.helper.np_dtype_to_tensor_dtype(stored.dtype.newbyteorder("="))
    tensor = onnx.TensorProto(name=stored.name, dims=stored.shape, data_type=dtype)
    if apart:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=apart.name)
    message: bytes = tensor.SerializeToString()
    inside = 0 if apart else stored.nbytes
    if not apart:
        message += _field(onnx.TensorProto.RAW_DATA_FIELD_NUMBER, inside)
    return _field(onnx.GraphProto.INITIALIZER_FIELD_NUMBER, len(message) + inside) + message


def _graph_message(graph: Graph) -> Any:
    from onnx import helper

    form, network = graph.form, graph.model.network
    nodes = [helper.make_node(n.op, list(n.inputs), [n.output], name=n.output, **n.attributes) for n in graph.nodes]
    distinct = {output.name: output for output in graph.outputs}.values()
    outputs = [_value(form, output.name, output.shape, output.sized, f"{output.name}_") for output in distinct]
    image = _value(form, INPUT, network.input[:3], form.dynamic_size)
    name = to_escaped(Path(network.name).stem).decode() or "network"
    return helper.make_graph(nodes, name, [image], outputs)


def _value(form: ExportForm, name: str, shape: tuple[int, ...], sized: bool, prefix: str = "") -> Any:
    """An input or output; where its size is open, height and width are names instead of numbers."""
    import onnx

    dims = value_dims(form, shape, sized=sized, prefix=prefix)
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims)


def _model_message(graph: Graph) -> Any:
    import onnx
    from onnx import helper

    from darkshare._version import __version__

    message = onnx.ModelProto(ir_version=IR_VERSION, producer_name="darkshare", producer_version=__version__)
    message.opset_import.append(helper.make_opsetid("", OPSET))
    known = facts(graph) | {"model": described_model(graph.model)}
    helper.set_model_props(message, {key: json.dumps(value) for key, value in known.items()})
    return message
