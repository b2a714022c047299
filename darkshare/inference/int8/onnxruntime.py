"""ONNX Runtime's own quantiser: static, with a QuantizeLinear and a DequantizeLinear around each operator.

Activations are uint8 with a zero point, weights int8 by filter. Ranges come from histograms that leave out what is
rarer than one in ten thousand: on depthwise networks, where single numbers are far out, heads came closer to fp32 than
with the extremes.
"""

from __future__ import annotations

import contextlib
import io
import platform
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from darkshare.darknet.weights import Floats
from darkshare.inference.engines.onnxruntime import library
from darkshare.inference.int8.base import Run, of_layer
from darkshare.inference.onnx import INPUT

PERCENTILE = 99.99
# Softmax, exponents and the like are left out: they are few, and a classifier's answer is not rounded.
OPERATORS = (
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Relu", "Clip", "Sigmoid"),
    *("Add", "Mul", "Concat", "Resize", "Slice", "Reshape", "Transpose"),
)
CPU = Path("/proc/cpuinfo")


class Static:
    """See `base.Quantiser`."""

    suffix = ".onnx"

    def __init__(self, path: Path, blobs: Iterable[Floats]) -> None:
        self._path = path
        self._ranges = _ranges(path, blobs)

    def write(self, target: Path, kept: Collection[int], facts: dict[str, str]) -> None:
        import onnx
        from onnxruntime.quantization import QDQQuantizer, QuantType
        from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

        message = load_model_with_shape_infer(self._path)
        names = [node.name for node in message.graph.node]
        exempt = [name for name in names if any(name.startswith(of_layer(index)) for index in kept)]
        quantiser = QDQQuantizer(
            message, True, saturates(), QuantType.QInt8, QuantType.QUInt8, self._ranges, [], exempt, OPERATORS, {}
        )
        quantiser.quantize_model()
        message = quantiser.model.model
        message.producer_name = "darkshare"
        known = {entry.key: entry.value for entry in message.metadata_props}
        onnx.helper.set_model_props(message, known | facts)
        onnx.save(message, str(target))

    def tapped(self, path: Path, names: Sequence[str]) -> Run:
        import onnx

        message = onnx.load(str(path))
        del message.graph.output[:]
        message.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        for value in message.graph.output:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        session = library().InferenceSession(message.SerializeToString(), providers=["CPUExecutionProvider"])
        return lambda values: list(session.run(list(names), {INPUT: values}))


def _ranges(path: Path, blobs: Iterable[Floats]) -> Any:
    """Find the range of every value; a picture at a time, since all values of many would not fit into memory."""
    library()
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    calibrator = create_calibrator(
        path,
        OPERATORS,
        str(path.with_name("augmented.onnx")),
        CalibrationMethod.Percentile,
        extra_options={"symmetric": False, "percentile": PERCENTILE},
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints each step
        for values in blobs:
            calibrator.collect_data(_Reader(values))
        return calibrator.compute_data()


class _Reader:
    """One picture, in the form that the calibrator asks for."""

    def __init__(self, values: Floats) -> None:
        self._left = [{INPUT: values}]

    def get_next(self) -> dict[str, Floats] | None:
        return self._left.pop() if self._left else None


def saturates() -> bool:
    """Tell whether this processor adds pairs of uint8 x int8 products in 16 bits, where large ones do not fit.

    x86 without VNNI does; weights of 7 bits keep it from happening, as ONNX Runtime's guide advises.
    """
    if platform.machine() not in ("x86_64", "AMD64") or not CPU.exists():
        return False
    return "vnni" not in CPU.read_text(errors="replace")
