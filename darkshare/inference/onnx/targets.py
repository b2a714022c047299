"""The programs that a file can be written for: a row each, with what it takes and why it does not take the rest.

docs/reference/targets.md says where each fact comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from darkshare.errors import BadValue, Unsupported, meant

RAW, BOXES, ONE = "raw heads", "decoded boxes", "one output"
OPERATORS = frozenset({  # all that layers are lowered to
    "Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "ConvTranspose", "Div", "Elu", "Exp", "Expand", "Floor",
    "GlobalAveragePool", "Identity", "LeakyRelu", "MaxPool", "Mul", "Pad", "ReduceMax", "Relu", "Reshape", "Resize",
    "Selu", "Sigmoid", "Sign", "Slice", "Softmax", "Softplus", "Sqrt", "Sub", "Tanh", "Transpose",
})  # fmt: skip


class Target(NamedTuple):
    """A program, and the files that it takes.

    Attributes:
        suffixes: of the files that are written; the first names them, and a manifest in JSON goes beside them.
        opsets: the lowest and highest version of ONNX's operators that it is known to read.
        outputs: the forms of the results; the first is the preset's.
        precisions: of weights and sums.
        batch: whether it takes several pictures per pass.
        open_batch: whether it takes any number.
        open_size: whether it takes an open width and height.
        operators: those that it has.
        wrong: the kinds of layers that it computes wrongly without a word.
        names: of its input and outputs, where it gives its own: {} is the number of the output.
        why: for what it does not take, the reason and what to do.
    """

    suffixes: tuple[str, ...] = (".onnx",)
    opsets: tuple[int, int] = (13, 13)
    outputs: tuple[str, ...] = (RAW, BOXES, ONE)
    precisions: tuple[str, ...] = ("fp32",)
    batch: bool = True
    open_batch: bool = True
    open_size: bool = True
    operators: frozenset[str] = OPERATORS
    wrong: tuple[str, ...] = ()
    names: tuple[str, str] | None = None
    why: Mapping[str, str] = {}


_OWN_FP16 = "its tools make fp16 of fp32 themselves; leave the precision at fp32"
TARGETS: dict[str, Target] = {
    "opencv": Target(
        precisions=("fp32", "fp16"), open_size=False,
        why={
            "size": "OpenCV 4 reads fixed sizes only, and then takes any size for raw heads; leave out dynamic size",
            "precision": "it computes int8 files slowly and with larger errors; use onnxruntime or openvino",
        },
    ),
    "onnxruntime": Target(precisions=("fp32", "fp16", "int8")),
    "openvino": Target(
        (".xml", ".bin"), outputs=(RAW,), precisions=("fp32", "int8"), batch=False, open_batch=False, open_size=False,
        why=dict.fromkeys(
            ("batch", "size", "outputs"),
            "darkshare writes this form of OpenVINO's with raw heads for one picture; for others leave out the target, "
            "since OpenVINO reads ONNX files too",
        ) | {"precision": "OpenVINO computes in fp16 or bf16 from fp32; leave the precision at fp32"},
    ),
    "tensorrt": Target(why={"precision": _OWN_FP16}),
    "ncnn": Target(
        (".param", ".bin"), outputs=(RAW,), batch=False, open_batch=False, open_size=False,
        operators=OPERATORS - {"Pad", "Selu", "Sign", "Transpose"}, names=("in0", "out{}"),
        why={
            "batch": "a Mat of ncnn's holds one picture; leave out the batch",
            "size": "pnnx wants a fixed size; leave out dynamic size",
            "precision": "pnnx does not take fp16, and ncnn makes it of fp32 by itself; leave the precision at fp32",
            "outputs": "ncnn has no dimension for the batch, which decoding counts; export raw heads",
        },
    ),
    "rknn": Target(
        opsets=(12, 19), outputs=(RAW,), batch=False, open_batch=False, open_size=False,
        operators=OPERATORS - {"Pad", "Selu", "Sign"}, wrong=("local",),
        why={
            "batch": "the toolkit refuses an open batch, and its Slice takes one picture; leave out the batch",
            "size": "the toolkit refuses an open size; leave out dynamic size",
            "precision": "the toolkit makes fp16 or int8 of fp32; leave the precision at fp32",
            "outputs": "int8 has one scale for a tensor, and boxes and scores differ in range; export raw heads",
        },
    ),
    "frigate": Target(
        outputs=(ONE,), batch=False, open_batch=False, open_size=False,
        why={
            "batch": "it gives one picture at a time; leave out the batch",
            "size": "it wants a fixed size; leave out dynamic size",
            "precision": "it gives fp32, and its engines make fp16 by themselves; leave the precision at fp32",
            "outputs": "its yolo-generic reads boxes and scores of all classes in one output; leave out decoding",
        },
    ),
}  # fmt: skip


def require_form(name: str, form: Any, precision: str = "") -> None:
    """Refuse a form that a target does not take.

    Args:
        name: one of `TARGETS`, or "" for a file that is for all.
        form: an `ExportForm`.
        precision: that a quantiser makes of the form's.

    Raises:
        BadValue: with the reason and what to do.
    """
    if not name:
        return
    if name not in TARGETS:
        raise BadValue(f"unknown target {name}; use {', '.join(TARGETS)}{meant(name, TARGETS)}")
    target, precision = TARGETS[name], precision or form.precision
    refused = {
        "batch": (form.batch is None and not target.open_batch) or (form.batch not in (None, 1) and not target.batch),
        "size": form.dynamic_size and not target.open_size,
        "precision": precision not in target.precisions,
        "outputs": form.outputs not in target.outputs,
    }
    given = {
        "batch": "an open batch" if form.batch is None else f"a batch of {form.batch}",
        "size": "an open size",
        "precision": precision,
        "outputs": form.outputs,
    }
    for what in (key for key, is_refused in refused.items() if is_refused):
        raise BadValue(f"{name} does not take {given[what]}: {target.why[what]}")


def require_operator(name: str, operator: str) -> None:
    """Refuse an operator that a target does not have.

    Raises:
        Unsupported: with what to do.
    """
    if name and operator not in TARGETS[name].operators:
        raise Unsupported(f"it needs the operator {operator}, which {name} does not have; choose another target")


def require_layer(name: str, kind: str) -> None:
    """Refuse a kind of layer that a target computes wrongly.

    Raises:
        Unsupported: with what to do.
    """
    if name and kind in TARGETS[name].wrong:
        raise Unsupported(f"{name} gives wrong numbers for it; choose another target")
