"""Exported files that were changed: what an engine may not see, made with the onnx package, never with our reader."""

from __future__ import annotations

import io
import json
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import growth, run, tiny_text
from hypothesis import given
from hypothesis import strategies as st
from models import model, quiet_concat, retrained
from onnx import TensorProto, helper, numpy_helper
from onnxruns import KINDS, copy_of_input, inputs_of, model_of, net

from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError
from darkshare.inference import engines
from darkshare.inference.detector import Classifier, Detector
from darkshare.inference.onnx import read_exported, wire, write_onnx
from darkshare.inference.onnx.wire import FIELDS, REFUSED, read_message

Change = Callable[[Any], object]
OTHER = "../../somewhere/else"  # a file that must not be opened
WATCHED: list[list[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        for names in WATCHED:
            names.append(str(arguments[0]))


sys.addaudithook(_note)  # for good: hooks cannot be taken away


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The names of all files that Python opens during a test."""
    found: list[str] = []
    WATCHED.append(found)
    yield found
    WATCHED.remove(found)


@pytest.fixture
def no_engine(monkeypatch):
    """An engine that sees a file fails the test."""

    def load(path, *_):
        pytest.fail(f"an engine sees {path}")

    for name, maker in engines.NAMES.items():
        monkeypatch.setitem(engines.NAMES, name, maker._replace(load=load))


@cache
def two_tasks() -> Model:
    base = model(tiny_text(2), "base")
    return quiet_concat([base, retrained(base, tiny_text(5), "text", 5)], 5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("exported") / "both.onnx"
    write_onnx(two_tasks(), path)
    return path.read_bytes()


def message_of(data: bytes) -> Any:
    return onnx.ModelProto.FromString(data)


def refused(path: Path, data: bytes, says: str) -> str:
    """Write a file that no way in takes: one error in one line, and no engine opens it."""
    path.write_bytes(data)
    with pytest.raises(DarkshareError, match=says) as found:
        read_exported(path)
    for way in (Detector.of_file, Classifier.of_file, lambda name: Detector(two_tasks(), file=name)):
        with pytest.raises(DarkshareError, match=says):
            way(path)
    assert str(found.value).startswith(f"{path}")
    assert len(str(found.value)) < 600 + len(str(path))
    return str(found.value)


def initializer(message: Any, name: str) -> Any:
    return next(tensor for tensor in message.graph.initializer if tensor.name == name)


def node(message: Any, name: str) -> Any:
    return next(one for one in message.graph.node if one.name == name)


def attribute(message: Any, of: str, name: str) -> Any:
    return next(one for one in node(message, of).attribute if one.name == name)


def prop(message: Any, key: str) -> Any:
    return next(entry for entry in message.metadata_props if entry.key == key)


# What may run


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"precision": "fp16"},
        {"batch": 3},
        {"batch": None, "dynamic_size": True},
        {"batch": None, "dynamic_size": True, "precision": "fp16"},
        {"bn_epsilon": 0.001},
    ],
)
def test_every_form_passes_and_is_not_read_whole(tmp_path, form, opened):
    path = tmp_path / "both.onnx"
    write_onnx(two_tasks(), path, **form)
    opened.clear()
    assert read_exported(path).model.heads == (6, 12, 15, 21)
    assert {Path(name).name for name in opened} == {"both.onnx"}


@pytest.mark.parametrize("kind", ["per_feature", "per_channel"])
def test_learned_factors_of_one_pass(tmp_path, kind):
    """The graph follows from the cfg alone, whatever the weights are."""
    text = net(2, 4, 4) + 2 * copy_of_input(2) + f"[shortcut]\nfrom=-2\nweights_type={kind}\n"
    write_onnx(model_of(text, np.ones(model_of(text).network.params)), tmp_path / "x.onnx")
    assert read_exported(tmp_path / "x.onnx").model.heads == (2,)


def test_a_large_file_takes_no_memory(tmp_path):
    """Weights are not read, so four times as many cost nothing."""
    peaks = []
    for filters in (400, 800):
        text = f"[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters={filters}\nsize=3\nactivation=relu\n"
        text += f"[convolutional]\nfilters={filters}\nsize=3\nactivation=relu\n"
        text += "[convolutional]\nfilters=7\nsize=1\nactivation=linear\n[yolo]\nclasses=2\nmask=0\nnum=1\nanchors=3,4\n"
        write_onnx(model(text), tmp_path / "large.onnx")
        read_exported(tmp_path / "large.onnx")
        tracemalloc.start()
        read_exported(tmp_path / "large.onnx")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (tmp_path / "large.onnx").stat().st_size > 20 * peaks[1]
    assert peaks[1] < 1.2 * peaks[0]


def test_our_reader_and_protobuf_see_the_same(tmp_path, exported):
    (tmp_path / "x.onnx").write_bytes(exported)
    found, wanted = read_message(tmp_path / "x.onnx"), message_of(exported)
    assert found["ir_version"] == wanted.ir_version
    graph = found["graph"]
    assert [one["name"] for one in graph["node"]] == [one.name for one in wanted.graph.node]
    assert [one.get("input", []) for one in graph["node"]] == [list(one.input) for one in wanted.graph.node]
    for own, tensor in zip(graph["initializer"], wanted.graph.initializer, strict=True):
        assert (own["name"], own["dims"], bytes(own["raw_data"])) == (tensor.name, list(tensor.dims), tensor.raw_data)
    for own, theirs in zip(graph["node"], wanted.graph.node, strict=True):
        for a, b in zip(own.get("attribute", ()), theirs.attribute, strict=True):
            value = helper.get_attribute_value(b)
            assert {a.get("f"), a.get("i"), a.get("s"), tuple(a.get("ints", ()))} >= {
                tuple(value) if isinstance(value, list) else value
            }


def test_the_table_of_fields_is_that_of_onnx():
    names = {"Tensor": onnx.TypeProto.Tensor, "Dimension": onnx.TensorShapeProto.Dimension}
    kinds = {"int": (3, 5, 14), "ints": (3,), "float": (2,), "text": (9,), "bytes": (12,), "raw": (12,)}
    kinds |= {"packed4": (2,), "packed8": (1,), "packed": (3, 4, 5)}
    for name, fields in FIELDS.items():
        theirs: Any = names.get(name) or getattr(onnx, name)
        by_number = theirs.DESCRIPTOR.fields_by_number
        for number, field in fields.items():
            assert by_number[number].name == field.name
            assert by_number[number].type in kinds.get(field.kind, (11,)), field
            if field.kind in FIELDS:
                assert by_number[number].message_type.name == field.kind
            assert field.many == hasattr(getattr(theirs(), field.name), "extend")
    for name, number in REFUSED:
        assert number in getattr(onnx, name).DESCRIPTOR.fields_by_number
        assert number not in FIELDS[name]


# What may not


def external(tensor: Any) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", OTHER), ("offset", "0"), ("length", "32")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def external_constant(message: Any) -> None:
    tensor = numpy_helper.from_array(np.zeros(8, np.float32), "hidden")
    external(tensor)
    message.graph.node.append(helper.make_node("Constant", [], ["hidden"], "hidden", value=tensor))


def sparse(message: Any) -> Any:
    values, indices = (numpy_helper.from_array(np.zeros(1, kind), "s") for kind in (np.float32, np.int64))
    external(values)
    return helper.make_sparse_tensor(values, indices, [8])


def in_sparse_attribute(message: Any) -> None:
    message.graph.node.append(helper.make_node("Constant", [], ["hidden"], "hidden", sparse_value=sparse(message)))


def subgraph(message: Any) -> None:
    inner = helper.make_graph([], "inner", [], [], [numpy_helper.from_array(np.zeros(1, np.float32), "w")])
    external(inner.initializer[0])
    message.graph.node.append(helper.make_node("If", ["c"], ["o"], "L0_If", then_branch=inner, else_branch=inner))


def function(message: Any) -> None:
    body = [helper.make_node("Relu", ["x"], ["y"])]
    message.functions.append(helper.make_function("ours", "F", ["x"], ["y"], body, [helper.make_opsetid("", 13)]))


def without_values(message: Any) -> None:
    tensor = initializer(message, "L0_weights")
    tensor.ClearField("raw_data")
    tensor.dims[:] = [2**30, 2**30, 3, 3]


def dims(name: str, *values: int) -> Change:
    def change(message: Any) -> None:
        initializer(message, name).dims[:] = values

    return change


def values(name: str, bytes_more: int) -> Change:
    def change(message: Any) -> None:
        tensor = initializer(message, name)
        tensor.raw_data = (tensor.raw_data + b"\0" * 8)[: len(tensor.raw_data) + bytes_more]

    return change


def instead(name: str, **fields: Any) -> Change:
    """Values in another field."""

    def change(message: Any) -> None:
        initializer(message, name).ClearField("raw_data")
        initializer(message, name).MergeFrom(TensorProto(**fields))

    return change


def reshaped(name: str, *shape: int) -> Change:
    """A tensor of another shape whose values fill it."""
    return lambda message: initializer(message, name).CopyFrom(
        numpy_helper.from_array(np.zeros(shape, np.float32), name)
    )


def retyped(name: str, kind: int) -> Change:
    """A tensor of the same shape and another type, filled."""
    return lambda message: initializer(message, name).CopyFrom(
        helper.make_tensor(name, kind, initializer(message, name).dims, np.zeros(len(tensor_values(message, name))))
    )


def tensor_values(message: Any, name: str) -> np.ndarray:
    return numpy_helper.to_array(initializer(message, name)).ravel()


def with_cfg(change: Callable[[str], str]) -> Change:
    """Another cfg in the file, whose tasks stay."""

    def apply(message: Any) -> None:
        entry = prop(message, "model")
        described = json.loads(entry.value)
        entry.value = json.dumps({**described, "cfg": change(described["cfg"])})

    return apply


def texts(message: Any) -> None:
    tensor = message.graph.initializer.add()
    tensor.CopyFrom(helper.make_tensor("t", TensorProto.STRING, [1], [b"x"]))


def segment(message: Any) -> None:
    initializer(message, "L0_bias").segment.begin = 1


def add_to(name: str) -> Change:
    """Another operator at the end."""
    return lambda message: message.graph.node.append(helper.make_node(name, ["L6_yolo"], ["more"], "more"))


def set_to(of: str, name: str, value: Any) -> Change:
    """Another value of an attribute."""
    return lambda message: attribute(message, of, name).CopyFrom(helper.make_attribute(name, value))


def output_of(index: int, **how: Any) -> Change:
    def change(message: Any) -> None:
        value = message.graph.output[index]
        if "name" in how:
            value.name = how["name"]
        if "dim" in how:
            value.type.tensor_type.shape.dim[1].dim_value = how["dim"]
        if "kind" in how:
            value.type.tensor_type.elem_type = how["kind"]

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "values elsewhere": (lambda m: external(initializer(m, "L0_weights")), "L0_weights has its values in another file"),
    "the last ones elsewhere": (lambda m: external(m.graph.initializer[-1]), "has its values in another file"),
    "elsewhere by the location": (
        lambda m: setattr(initializer(m, "L0_bias"), "data_location", 1), "L0_bias has its values in another file",
    ),
    "elsewhere beside its own": (
        lambda m: initializer(m, "L0_bias").external_data.add(key="location", value=OTHER), "in another file",
    ),
    "elsewhere in an attribute": (external_constant, "AttributeProto value has a tensor"),
    "elsewhere in a sparse attribute": (in_sparse_attribute, "AttributeProto sparse_value has a sparse tensor"),
    "elsewhere in a sparse tensor": (
        lambda m: m.graph.sparse_initializer.append(sparse(m)), "GraphProto test has sparse tensors|has sparse tensors",
    ),
    "a graph in an operator": (subgraph, "AttributeProto then_branch has a graph of its own|has a graph of its own"),
    "a function": (function, "ModelProto has functions"),
    "a training": (lambda m: m.training_info.add(), "ModelProto has what trains it"),
    "texts": (texts, "TensorProto has texts as values"),
    "a part of values": (segment, "a part of its values only"),
    "no values": (without_values, "L0_weights has the dimensions 1073741824 x "),
    "one filter more": (dims("L0_weights", 9, 3, 3, 3), "L0_weights of 9 x 3 x 3 x 3 float32 needs 972 in raw_data"),
    "one filter less": (dims("L0_weights", 7, 3, 3, 3), "needs 756 in raw_data, but has 864"),
    "a negative size": (dims("L0_weights", -8, -3, 3, 3), "has the dimensions -8 x -3"),
    "no values of the right size": (
        lambda m: initializer(m, "L0_weights").ClearField("raw_data"), "needs 216 in float_data, but has none",
    ),
    "a size of nothing": (dims("L0_weights", 0, 3, 3, 3), "needs 0 in raw_data, but has 864"),
    "nine dimensions": (dims("L0_bias", 8, *[1] * 8), "has the dimensions 8 x 1 x 1"),
    "a huge product": (dims("L0_bias", *[2**62] * 8), "has the dimensions 46"),
    "one byte more": (values("L0_weights", 1), "needs 864 in raw_data, but has 865"),
    "one byte less": (values("L0_weights", -1), "needs 864 in raw_data, but has 863"),
    "values twice": (
        lambda m: initializer(m, "L0_bias").float_data.append(1), "but has 1 in float_data, 32 in raw_data",
    ),
    "values in the wrong field": (
        instead("L0_bias", int64_data=[1] * 8),
        "needs 8 in float_data, but has 8 in int64_data",
    ),
    "too few values": (
        instead("L0_bias", float_data=[1] * 7),
        "needs 8 in float_data, but has 7 in float_data",
    ),
    "no type": (lambda m: initializer(m, "L0_bias").ClearField("data_type"), "of a type that no network has, 0"),
    "complex numbers": (lambda m: setattr(initializer(m, "L0_bias"), "data_type", 14), "no network has, 14"),
    "other weights": (reshaped("L4_weights", 16, 8, 1, 1), "L4_weights is 16 x 8 x 1 x 1, not 16 x 8 x 3 x 3"),
    "a flat tensor": (reshaped("L4_bias", 16, 1), "L4_bias is 16 x 1, not 16"),
    "doubles": (retyped("L4_bias", TensorProto.DOUBLE), "L4_bias is of a type that no network has, 11"),
    "integers": (retyped("L4_bias", TensorProto.INT32), "L4_bias is int32, not float32"),
    "halves": (retyped("L4_bias", TensorProto.FLOAT16), "L4_bias is float16, not float32"),
    "a tensor twice": (lambda m: m.graph.initializer.append(m.graph.initializer[3]), "two tensors are called"),
    "a tensor without a name": (lambda m: initializer(m, "L0_bias").ClearField("name"), "a tensor has no name"),
    "a tensor more": (
        lambda m: m.graph.initializer.append(numpy_helper.from_array(np.zeros(2, np.float32), "L99_weights")),
        "there is a tensor L99_weights, which its layers do not have",
    ),
    "a tensor less": (lambda m: m.graph.initializer.remove(initializer(m, "L4_weights")), "L4_weights is not there"),
    "a larger factor": (
        lambda m: setattr(initializer(m, "L9_constant"), "raw_data", struct.pack("<4f", 1, 1, 1e9, 1e9)),
        "L9_constant does not hold the numbers of its layer",
    ),
    "another domain": (lambda m: setattr(node(m, "L0_Conv"), "domain", "com.evil"), "an operator com.evil.Conv"),
    "another operator": (lambda m: setattr(node(m, "L0_LeakyRelu"), "op_type", "Relu"), "L0_LeakyRelu is not the L"),
    "an operator more": (add_to("Relu"), r"there is an operator more \(Relu\)"),
    "an operator that loads": (add_to("Loop"), r"there is an operator more \(Loop\)"),
    "a quantiser in fp32": (add_to("DequantizeLinear"), r"there is an operator more \(DequantizeLinear\)"),
    "an operator less": (lambda m: m.graph.node.remove(node(m, "L6_yolo")), "L6_yolo is not there"),
    "an operator twice": (lambda m: m.graph.node.append(node(m, "L6_yolo")), "two operators give L6_yolo"),
    "another order": (lambda m: m.graph.node.insert(0, m.graph.node.pop()), "its operators are in another order"),
    "other inputs": (lambda m: node(m, "L1_Conv").input.__setitem__(1, "L0_weights"), "L1_Conv reads L0_LeakyRelu, "),
    "other strides": (set_to("L0_Conv", "strides", [1, 1]), "L0_Conv is not the Conv with"),
    "huge padding": (set_to("L0_Conv", "pads", [2**40] * 4), "L0_Conv is not the Conv with"),
    "a text as a number": (set_to("L0_LeakyRelu", "alpha", "x"), "L0_LeakyRelu is not the LeakyRelu with"),
    "an attribute less": (lambda m: node(m, "L0_Conv").attribute.pop(), "L0_Conv is not the Conv with"),
    "an attribute more": (
        lambda m: node(m, "L0_Conv").attribute.append(helper.make_attribute("auto_pad", "VALID")), "is not the Conv",
    ),
    "an attribute twice": (
        lambda m: node(m, "L0_Conv").attribute.append(attribute(m, "L0_Conv", "pads")), "attribute pads of two",
    ),
    "an attribute of two values": (
        lambda m: setattr(attribute(m, "L0_Conv", "pads"), "i", 7), "an attribute pads of two values",
    ),
    "another output": (output_of(0, name="L7_yolo"), "its outputs are L7_yolo, L12_yolo, .*, not L6_yolo"),
    "one output less": (lambda m: m.graph.output.pop(), "its outputs are L6_yolo, L12_yolo, L15_yolo, not L6_yolo"),
    "the outputs turned round": (lambda m: m.graph.output.insert(0, m.graph.output.pop()), "its outputs are L21_yolo"),
    "a larger output": (output_of(1, dim=15), "its output L12_yolo is 1 x 15 x 16 x 16, not 1 x 14 x 16 x 16"),
    "an output in fp16": (output_of(1, kind=TensorProto.FLOAT16), "its output L12_yolo is not in fp32"),
    "another input": (lambda m: setattr(m.graph.input[0], "name", "x"), "its input is not one image"),
    "two inputs": (lambda m: m.graph.input.append(m.graph.input[0]), "its input is not one image"),
    "no input": (lambda m: m.graph.ClearField("input"), "its input is not one image"),
    "a smaller input": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 16),
        "its input image is 1 x 3 x 16 x 32, not 1 x 3 x 32 x 32",
    ),
    "a batch of none": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 0), "a batch of 0 pictures",
    ),
    "another opset": (lambda m: setattr(m.opset_import[0], "version", 9), "it is written for opset 9, not 13"),
    "two opsets": (lambda m: m.opset_import.add(version=9), "it is written for opset 13 and opset 9, not 13"),
    "no opset": (lambda m: m.ClearField("opset_import"), "it is written for no opset, not 13"),
    "no graph": (lambda m: m.ClearField("graph"), "its input is not one image"),
    "another cfg": (with_cfg(lambda text: text.replace("filters=8", "filters=4", 1)), "L2_|L0_weights is 8 x 3"),
    "another activation": (with_cfg(lambda text: text.replace("leaky", "relu", 1)), "L0_LeakyRelu .* do not have"),
    "another stride": (with_cfg(lambda text: text.replace("stride=2", "stride=1", 1)), "not"),
    "another size": (with_cfg(lambda text: text.replace("width=32", "width=64", 1)), "its input image is 1 x 3 x 32 x"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_file_is_refused_before_an_engine_opens_it(tmp_path, exported, no_engine, opened, name):
    change, says = CHANGES[name]
    message = message_of(exported)
    change(message)
    told = refused(tmp_path / "x.onnx", message.SerializeToString(), says)
    assert "export it again" in told or "a batch of 0" in told
    assert not [one for one in opened if "somewhere" in one]


@pytest.mark.parametrize("name", ["L0_weights", "L0_bias", "L20_weights", "L20_bias"])
@pytest.mark.parametrize("more", [-8, -4, -2, -1, 1, 2, 4, 8])
def test_a_tensor_is_as_long_as_its_dimensions_say(tmp_path, exported, no_engine, name, more):
    message = message_of(exported)
    values(name, more)(message)
    refused(tmp_path / "x.onnx", message.SerializeToString(), f"{name} of .* float32 needs")


@pytest.mark.parametrize("kind", sorted(set(TensorProto.DataType.values()) - {TensorProto.FLOAT}))
def test_a_tensor_of_another_type_is_refused(tmp_path, exported, no_engine, kind):
    message = message_of(exported)
    initializer(message, "L0_bias").data_type = kind
    refused(tmp_path / "x.onnx", message.SerializeToString(), "tensor L0_bias (of|is of a type|is int32)")


# In int8, where a quantiser adds operators and tensors


@pytest.fixture(scope="module")
def int8(tmp_path_factory) -> bytes:
    """A file that ONNX Runtime's quantiser made."""
    return quantised(tmp_path_factory.mktemp("int8"), two_tasks())


def quantised(folder: Path, one: Model) -> bytes:
    pytest.importorskip("onnxruntime", reason="int8 files are made by ONNX Runtime")
    from darkshare.inference.int8.onnxruntime import Static

    write_onnx(one, folder / "x.onnx")
    facts = {"precision": '"int8"', "quantised": '{"engine": "onnxruntime"}'}
    Static(folder / "x.onnx", inputs_of(one, 3)).write(folder / "q.onnx", (), facts)
    return (folder / "q.onnx").read_bytes()


@pytest.mark.parametrize("text", [KINDS, tiny_text().replace("leaky", "relu")], ids=["kinds", "relu"])
def test_every_kind_passes_in_int8(tmp_path, text):
    quantised(tmp_path, model_of(text))
    assert read_exported(tmp_path / "q.onnx").engine == "onnxruntime"


IN_INT8: dict[str, tuple[Change, str]] = {
    "values elsewhere": (lambda m: external(initializer(m, "L0_weights_quantized")), "in another file"),
    "a scale elsewhere": (lambda m: external(initializer(m, "image_scale")), "in another file"),
    "other weights": (
        lambda m: initializer(m, "L0_weights_quantized").dims.__setitem__(slice(None), [3, 8, 3, 3]),
        "L0_weights_quantized is 3 x 8 x 3 x 3, not 8 x 3 x 3 x 3",
    ),
    "weights less": (
        lambda m: m.graph.initializer.remove(initializer(m, "L0_weights_quantized")), "L0_weights is not there",
    ),
    "scales less": (lambda m: initializer(m, "L0_weights_scale").float_data.pop(), "needs 8 in float_data, but has 7"),
    "zeros more": (lambda m: initializer(m, "image_zero_point").int32_data.append(1), "needs 1 in int32_data, but"),
    "another operator": (add_to("Relu"), r"there is an operator more \(Relu\)"),
    "another stride": (set_to("L0_Conv", "strides", [1, 1]), "L0_Conv is not the Conv with"),
    "another domain": (
        lambda m: setattr(node(m, "image_QuantizeLinear"), "domain", "com.microsoft"), "com.microsoft.QuantizeLinear",
    ),
    "an unknown attribute": (
        lambda m: node(m, "image_QuantizeLinear").attribute.append(helper.make_attribute("x", 1)), "operator image_Qu",
    ),
    "a larger factor": (
        lambda m: setattr(initializer(m, "L9_constant"), "raw_data", struct.pack("<4f", 1, 1, 1e9, 1e9)),
        "L9_constant does not hold the numbers of its layer",
    ),
    "other inputs": (
        lambda m: node(m, "L4_Conv").input.__setitem__(0, "image_DequantizeLinear_Output"), "L4_Conv reads image_Deq",
    ),
    "a factor of its own": (
        lambda m: node(m, "L9_Resize").input.__setitem__(2, "L9_constant_DequantizeLinear_Output"), "L9_Resize reads",
    ),
    "another cfg": (with_cfg(lambda text: text.replace("filters=8", "filters=16", 1)), "."),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_INT8)
def test_a_changed_int8_file_is_refused_before_an_engine_opens_it(tmp_path, int8, no_engine, opened, name):
    change, says = IN_INT8[name]
    message = message_of(int8)
    change(message)
    refused(tmp_path / "x.onnx", message.SerializeToString(), says)
    assert not [one for one in opened if "somewhere" in one]


# Two files in one


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.txt", "hidden" * 100)
    return buffer.getvalue()


def field_of(number: int, content: bytes) -> bytes:
    """A field with a length, as protobuf writes it: through a message that has it."""
    made = onnx.StringStringEntryProto(value=content.decode("latin-1")).SerializeToString()
    return bytes([number << 3 | 2]) + made[1:]


POLYGLOTS = {
    "a zip behind it": lambda data: data + zipped(),
    "a zip before it": lambda data: zipped() + data,
    "one byte behind it": lambda data: data + b"\0",
    "a line behind it": lambda data: data + b"\n",
    "one byte before it": lambda data: b"\n" + data,
    "a second model": lambda data: data + data,
    "a second graph": lambda data: data + field_of(7, b""),
    "a second version": lambda data: data + b"\x08\x09",
    "a second producer": lambda data: data + field_of(2, b"other"),
    "an unknown field behind it": lambda data: data + bytes([0xFA, 0x01]) + field_of(2, b"hidden")[1:],
    "an unknown field before it": lambda data: bytes([0xFA, 0x01]) + field_of(2, b"hidden")[1:] + data,
    "a group": lambda data: data + bytes([0x7B, 0x7C]),
    "a field 0": lambda data: data + b"\x02\x00",
    "another wire type": lambda data: data + b"\x0d\0\0\0\0",
    "a number without an end": lambda data: data + b"\x28" + b"\xff" * 11,
    "nothing": lambda data: b"",
    "only a start": lambda data: data[:1],
    "a text": lambda data: b"just a text\n",
    "a zip": lambda data: zipped(),
}


@pytest.mark.parametrize("name", POLYGLOTS)
def test_bytes_that_are_not_the_message_are_refused(tmp_path, exported, no_engine, name):
    refused(
        tmp_path / "x.onnx",
        POLYGLOTS[name](exported),
        "is not an ONNX file|does not say which network|is a ZIP archive",
    )


def test_unknown_fields_are_refused_wherever_they_are(tmp_path, exported, no_engine):
    """In each message that there is: protobuf would keep them unseen."""
    hidden = bytes([0xFA, 0x0F]) + field_of(2, b"hidden")[1:]
    for find in (
        lambda m: m.graph,
        lambda m: m.graph.node[3],
        lambda m: m.graph.node[0].attribute[1],
        lambda m: m.graph.initializer[2],
        lambda m: m.graph.input[0],
        lambda m: m.graph.input[0].type,
        lambda m: m.graph.output[1].type.tensor_type.shape,
        lambda m: m.graph.output[1].type.tensor_type.shape.dim[0],
        lambda m: m.opset_import[0],
        lambda m: m.metadata_props[1],
    ):
        message = message_of(exported)
        part = find(message)
        part.MergeFromString(hidden)
        assert hidden in message.SerializeToString()
        refused(tmp_path / "x.onnx", message.SerializeToString(), "has a field 255, which export does not write")


@pytest.mark.parametrize("start", range(8))
def test_a_file_that_was_cut_off_is_refused(tmp_path, exported, start):
    """At every 64th place, and so at each kind of place."""
    path = tmp_path / "x.onnx"
    for length in range(start, len(exported), 64 * 8):
        path.write_bytes(exported[: length // 8 * 8 + start])
        with pytest.raises(DarkshareError):
            read_exported(path)


@given(at=st.integers(0, 2**20), value=st.integers(0, 255), more=st.binary(max_size=3))
def test_any_change_is_one_error_or_the_same_network(exported, tmp_path_factory, at, value, more):
    """A byte replaced by others: what passes has the same operators and tensors for protobuf too."""
    path = tmp_path_factory.getbasetemp() / "changed.onnx"
    place = at % len(exported)
    path.write_bytes(exported[:place] + bytes([value]) + more + exported[place + 1 :])
    try:
        found = read_exported(path)
    except DarkshareError:
        return
    assert found.model.heads == (6, 12, 15, 21)
    before, after = message_of(exported), message_of(path.read_bytes())
    for name in ("input", "output", "node"):
        assert [one.SerializeToString() for one in getattr(before.graph, name)] == [
            one.SerializeToString() for one in getattr(after.graph, name)
        ]
    assert [(one.name, list(one.dims), len(one.raw_data)) for one in before.graph.initializer] == [
        (one.name, list(one.dims), len(one.raw_data)) for one in after.graph.initializer
    ]


def test_what_is_beside_the_weights_has_bounds(tmp_path, exported, monkeypatch):
    """Of bytes, and of fields, which take memory of their own however short they are."""
    path = tmp_path / "x.onnx"
    path.write_bytes(exported)
    read_message(path)
    assert 100 * len(exported) < wire.MOST_BYTES
    monkeypatch.setattr(wire, "MOST_BYTES", 30_000)
    monkeypatch.setattr(wire, "MOST_FIELDS", 2_000)
    for text, integers, passes in (
        ("x" * 5_000, 0, True),
        ("x" * 30_001, 0, False),
        ("", 1_000, True),
        ("", 2_001, False),
    ):
        message = message_of(exported)
        message.doc_string = text
        attribute(message, "L0_Conv", "pads").ints.extend([0] * integers)
        path.write_bytes(message.SerializeToString())
        if passes:
            read_message(path)
        else:
            with pytest.raises(DarkshareError, match="more beside the weights than any network needs; export it again"):
                read_message(path)


# What a file says of itself


def saying(key: str, text: str) -> Change:
    return lambda message: setattr(prop(message, key), "value", text)


def with_task(**values: Any) -> Change:
    def change(message: Any) -> None:
        described = json.loads(prop(message, "model").value)
        tasks = json.loads(described["tasks"])
        tasks["tasks"][0].update(values)
        prop(message, "model").value = json.dumps({**described, "tasks": json.dumps(tasks)})

    return change


SAID = {
    **{
        f"{key} {text[:10]}": (saying(key, text), "is damaged: what it says of its network is unreadable")
        for key in ("model", "heads")
        for text in ("", "{", "[" * 10**5, '{"cfg":' * 10**5, "null", "1", "NaN", "9" * 5000, "[1]", '"x"', "[[]]")
    },
    "a cfg that is a number": (saying("model", '{"cfg": 1, "dialect": "alexeyab", "tasks": "x"}'), "is damaged"),
    "tasks that are a list": (saying("model", '{"cfg": "x", "dialect": "alexeyab", "tasks": []}'), "is damaged"),
    "an engine that is a list": (lambda m: m.metadata_props.add(key="quantised", value='{"engine": []}'), "is damaged"),
    "a quantiser that is a list": (lambda m: m.metadata_props.add(key="quantised", value="[]"), "is damaged"),
    "a model twice": (lambda m: m.metadata_props.add(key="model", value="{}"), "says twice what its model is"),
    "an unknown dialect": (
        lambda m: saying("model", json.dumps({**json.loads(prop(m, "model").value), "dialect": "z"}))(m),
        "unknown dialect z",
    ),
    "a name with a control character": (with_task(name="a\x1bb"), "holds a control character"),
    "a class with a control character": (with_task(classes=["a\x1b", "b"]), "holds a control character"),
    "half a character": (with_task(classes=["\ud800", "b"]), "holds half a character"),
    "a name that is a path": (with_task(name="../x"), "cannot be a file name"),
    "an offset that is not a number": (with_task(offset=float("nan")), "is not a task description"),
    "an offset without an end": (with_task(offset=float("inf")), "is not a task description"),
    "a head before the first": (with_task(heads=[-1]), "names layers that the cfg does not have"),
    "a head of many digits": (with_task(heads=[10**30]), "names layers that the cfg does not have"),
    "a head that does not end": (with_task(heads=[0, 5]), "."),
    "many classes": (with_task(classes=["c"] * 10**5), "has 100000 classes"),
    "many heads": (saying("heads", "[" + "0," * 10**5 + "0]"), "is damaged"),
    "boxes": (saying("heads", '[{"output": "x", "values": "boxes"}]'), "gives boxes"),
    "anchors of no number": (with_cfg(lambda t: t.replace("anchors=4,5", "anchors=nan,5", 1)), "."),
    "classes without end": (with_cfg(lambda t: t.replace("classes=2", "classes=2000000000", 1)), "classes=2000000000"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_a_file_says_is_one_error(tmp_path, exported, no_engine, name):
    change, says = SAID[name]
    message = message_of(exported)
    change(message)
    refused(tmp_path / "x.onnx", message.SerializeToString(), says)


@pytest.mark.parametrize("what", ["tasks", "heads", "entries"])
def test_time_grows_no_faster_than_what_a_file_says(tmp_path, exported, what):
    def prepared(count: int) -> Callable[[], object]:
        message = message_of(exported)
        described = json.loads(prop(message, "model").value)
        tasks = json.loads(described["tasks"])
        first = tasks["tasks"][0]
        if what == "tasks":
            tasks["tasks"] += [{**first, "name": f"more{i}"} for i in range(count)]
        if what == "heads":
            first["heads"] = first["heads"] * count
        if what == "entries":
            for i in range(count):
                message.metadata_props.add(key=f"k{i}", value="{}")
        prop(message, "model").value = json.dumps({**described, "tasks": json.dumps(tasks)})
        path = tmp_path / f"{count}.onnx"
        path.write_bytes(message.SerializeToString())
        return lambda: read_exported(path)

    assert growth(prepared, 500) < 8


# What an engine gives, and what else takes files


def test_a_file_of_another_network_is_refused(tmp_path, exported, no_engine):
    (tmp_path / "x.onnx").write_bytes(exported)
    with pytest.raises(DarkshareError, match=r"x\.onnx: is not of the network test\.cfg; export it again"):
        Detector(model(tiny_text(2)), file=tmp_path / "x.onnx")


@pytest.mark.parametrize("engine", [name for name, found in engines.available().items() if found.version])
def test_some_of_a_files_tasks_may_run(tmp_path, exported, engine):
    (tmp_path / "x.onnx").write_bytes(exported)
    both, picture = two_tasks(), np.full((32, 32, 3), 90, np.uint8)
    alone = Detector(replace(both, tasks=both.tasks[1:]), file=tmp_path / "x.onnx", engine=engine).raw(picture)
    whole = Detector.of_file(tmp_path / "x.onnx", engine=engine).raw(picture)
    assert list(alone) == [15, 21]
    for head, values in alone.items():
        np.testing.assert_array_equal(values, whole[head])


@pytest.mark.parametrize("shape", [(1, 14, 8, 9), (2, 14, 8, 8), (1, 14 * 64), (1, 14, 8, 8, 1), (0, 14, 8, 8)])
def test_what_an_engine_gives_has_the_shape_of_the_head(monkeypatch, shape):
    detector = Detector(model(tiny_text(2)))
    given = [np.zeros(shape, np.float32), np.zeros((1, 14, 16, 16), np.float32)]
    monkeypatch.setattr(detector._engine, "run", lambda blob: given)
    with pytest.raises(DarkshareError, match=r"the engine opencv gives .* for L6_yolo, not \(1, 14, 8, 8\)"):
        detector.detect(np.zeros((32, 32, 3), np.uint8))


@pytest.mark.parametrize("words", [("engines",), ("bench",), ("evaluate",), ("export",), ("info",), ("check",)])
def test_commands_that_take_a_cfg_do_not_open_a_file(tmp_path, exported, no_engine, opened, words):
    path = tmp_path / "x.onnx"
    path.write_bytes(exported)
    opened.clear()
    found = run(*words, path)
    assert found.exit_code == 2
    assert str(path) not in opened


@pytest.mark.parametrize("command", ["detect", "classify"])
def test_the_command_line_says_it_in_one_line(tmp_path, exported, no_engine, opened, command):
    message = message_of(exported)
    external(message.graph.initializer[0])
    (tmp_path / "x.onnx").write_bytes(message.SerializeToString())
    found = run(command, tmp_path / "x.onnx", tmp_path / "p.png", code=1)
    assert found.stderr.count("\n") == 1
    assert "has its values in another file" in found.stderr
    assert not [one for one in opened if "somewhere" in one]
