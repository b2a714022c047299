"""int8 files through the engines' own quantisers, compared with fp32 head by head.

Each engine runs its own quantiser's files best: ONNX Runtime's is `onnxruntime.quantization`, which gives an .onnx;
OpenVINO's is NNCF, which gives an .xml with a .bin.
"""

from __future__ import annotations

from darkshare.inference.int8.calibration import choose
from darkshare.inference.int8.search import QUANTISERS, SUFFIXES, Attempt, Int8, attempted, missing, prepared
from darkshare.inference.int8.writing import Quantised, TaskScores, write_int8

__all__ = [
    "QUANTISERS",
    "SUFFIXES",
    "Attempt",
    "Int8",
    "Quantised",
    "TaskScores",
    "attempted",
    "choose",
    "missing",
    "prepared",
    "write_int8",
]
