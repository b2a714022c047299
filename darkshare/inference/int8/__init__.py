"""int8 files through the engines' own quantisers, compared with fp32 head by head.

Each engine runs its own quantiser's files best: ONNX Runtime's is `onnxruntime.quantization`, which gives an .onnx;
OpenVINO's is NNCF, which gives an .xml with a .bin.
"""

from __future__ import annotations

from darkshare.inference.int8.agreement import Agreement
from darkshare.inference.int8.calibration import PICTURES, SEED, choose
from darkshare.inference.int8.search import LIMIT, QUANTISERS, SUFFIXES, Attempt, attempted, missing
from darkshare.inference.int8.writing import Quantised, Score, Speed, lines, quantise, to_json, to_rows

__all__ = [
    "LIMIT",
    "PICTURES",
    "QUANTISERS",
    "SEED",
    "SUFFIXES",
    "Agreement",
    "Attempt",
    "Quantised",
    "Score",
    "Speed",
    "attempted",
    "choose",
    "lines",
    "missing",
    "quantise",
    "to_json",
    "to_rows",
]
