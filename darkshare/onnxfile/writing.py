"""The file itself: messages from the onnx library, with the weights streamed in between.

The library would want all tensors in memory at once, several times over. In protobuf's wire format a
repeated field may come in any order and a message is its fields one after another, so the graph is
written without its tensors and each tensor behind it, as soon as it is made. The only thing to know
beforehand is the graph's total length.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from darkshare import files
from darkshare.detections import is_letterboxed
from darkshare.errors import Unsupported
from darkshare.kinds import Boxes
from darkshare.model import Model, Task, class_count
from darkshare.onnxfile.graph import INPUT, Graph, Stored, output_name
from darkshare.onnxfile.lowering import heads_of, lower

OPSET, IR_VERSION = 13, 8  # what OpenCV 4.7 reads, and everything since
LARGEST = 2**31 - 1  # bytes of a protobuf message
_LENGTH_DELIMITED = 2
_HEAD_KEYS = ("scale_x_y", "new_coords", "nms_kind", "beta_nms", "yolo_point", "softmax", "classfix")


def export(model: Model, path: str | os.PathLike[str], *, bn_epsilon: float = 1e-5) -> None:
    """Write a model as an ONNX file with one raw output per head, `L82_yolo`.

    The input is `image`, 1 x channels x height x width, RGB in 0..1. Peak memory is a few megabytes,
    whatever the size of the weights.

    Args:
        model: with weights.
        path: the file.
        bn_epsilon: Darknet's 1e-5 inside the root; OpenCV 4's own importer uses 1e-6.

    Raises:
        DarkshareError: a layer that has no ONNX form here, missing weights, or a file that cannot be written.
    """
    files.write_all({Path(path): buffers(model, bn_epsilon)})


def buffers(model: Model, bn_epsilon: float = 1e-5) -> Iterator[Any]:
    """The bytes of the ONNX file in order, a few megabytes at a time.

    Raises:
        Unsupported: a layer that has no ONNX form here, missing weights, or more than 2 GiB.
    """
    import onnx

    graph = lower(model, bn_epsilon)
    body = _graph_message(graph).SerializeToString()
    tensors = [(_tensor_start(stored), stored) for stored in graph.stored]
    length = len(body) + sum(len(start) + stored.nbytes for start, stored in tensors)
    if length > LARGEST:
        raise Unsupported(f"{length} bytes are more than the 2 GiB that an ONNX file can hold", file=model.name)
    yield _model_message(graph).SerializeToString()
    yield _field(onnx.ModelProto.GRAPH_FIELD_NUMBER, length) + body
    for start, stored in tensors:
        yield start
        yield from stored.pieces()


def _field(number: int, length: int) -> bytes:
    """The tag of a length-delimited field and its length, as protobuf's variable-length integers."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


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


def _tensor_start(stored: Stored) -> bytes:
    """Everything of a tensor up to its values: they are its last field."""
    import onnx

    dtype = onnx.helper.np_dtype_to_tensor_dtype(stored.dtype.newbyteorder("="))
    message: bytes = onnx.TensorProto(name=stored.name, dims=stored.shape, data_type=dtype).SerializeToString()
    message += _field(onnx.TensorProto.RAW_DATA_FIELD_NUMBER, stored.nbytes)
    return _field(onnx.GraphProto.INITIALIZER_FIELD_NUMBER, len(message) + stored.nbytes) + message


def _graph_message(graph: Graph) -> Any:
    import onnx
    from onnx import helper

    network = graph.model.network
    nodes = [helper.make_node(n.op, list(n.inputs), [n.output], name=n.output, **n.attributes) for n in graph.nodes]
    heads = [network.layers[index] for index in heads_of(graph.model)]
    outputs = [
        helper.make_tensor_value_info(output_name(head), onnx.TensorProto.FLOAT, [1, *_image(head.y)]) for head in heads
    ]
    image = helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, [1, *network.input[:3]])
    return helper.make_graph(nodes, Path(network.name).stem or "network", [image], outputs)


def _image(shape: Any) -> tuple[int, int, int]:
    return shape[:3] if shape.is_image else (shape.size, 1, 1)


def _model_message(graph: Graph) -> Any:
    import onnx
    from onnx import helper

    from darkshare import __version__

    message = onnx.ModelProto(ir_version=IR_VERSION, producer_name="darkshare", producer_version=__version__)
    message.opset_import.append(helper.make_opsetid("", OPSET))
    network = graph.model.network
    facts = {
        "input": {"channels": "RGB", "range": [0, 1], "letter_box": is_letterboxed(network)},
        "bn_epsilon": graph.epsilon,
        "heads": [_described(graph.model, task, head) for task in graph.model.tasks for head in task.heads],
    }
    helper.set_model_props(message, {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()})
    return message


def _described(model: Model, task: Task, index: int) -> dict[str, Any]:
    """What the numbers of a head mean, for readers that have no cfg."""
    layer = model.network.layers[index]
    kind = layer.kind
    described: dict[str, Any] = {
        "output": output_name(layer),
        "layer": index,
        "kind": kind.name,
        "task": task.name,
        "classes": class_count(layer),
        "offset": task.offset,
        "names": list(task.names),
    }
    if isinstance(kind, Boxes):
        described["anchors"] = kind.anchor_sizes()
        described |= {key: getattr(kind, key) for key in _HEAD_KEYS if hasattr(kind, key)}
    return described
