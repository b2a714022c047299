"""A model as an ONNX file: plain operators, batch norm folded, heads raw or decoded.

One file runs alike on OpenCV 4 and 5, ONNX Runtime and OpenVINO. What a head's numbers mean is written
into the file's metadata; `darkshare.inference.boxes` reads them.
"""

from darkshare.inference.onnx.facts import MANIFEST
from darkshare.inference.onnx.graph import BN_EPSILON, INPUT, PRECISIONS, ExportForm, output_name, output_shape
from darkshare.inference.onnx.layers import LOWER, UNSUPPORTED
from darkshare.inference.onnx.lowering import lower
from darkshare.inference.onnx.one_output import ONE_OUTPUT, by_head, one_output_shape
from darkshare.inference.onnx.reading import SUFFIXES, Exported, read_exported
from darkshare.inference.onnx.targets import TARGETS
from darkshare.inference.onnx.writing import OnnxExport, beside, buffers, write_onnx

__all__ = [
    "BN_EPSILON",
    "INPUT",
    "LOWER",
    "MANIFEST",
    "ONE_OUTPUT",
    "PRECISIONS",
    "SUFFIXES",
    "TARGETS",
    "UNSUPPORTED",
    "ExportForm",
    "Exported",
    "OnnxExport",
    "beside",
    "buffers",
    "by_head",
    "lower",
    "one_output_shape",
    "output_name",
    "output_shape",
    "read_exported",
    "write_onnx",
]
