"""OpenVINO on the processor. Left alone, it computes in bf16 where it can; here the precision is always set."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from darkshare.darknet.weights import Floats
from darkshare.inference.engines.base import Engine, Settings, errors_of, in_parts
from darkshare.inference.onnx.ir import SECTION

DEVICE = "CPU"
_REPORTER = "openvino_telemetry"
_TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVino:
    """A compiled model and its one request."""

    def __init__(self, compiled: Any, outputs: Sequence[str]) -> None:
        self._request = compiled.create_infer_request()
        self._outputs = list(outputs)
        batch = compiled.input(0).partial_shape[0]
        self._batch = 0 if batch.is_dynamic else batch.get_length()  # 0 is open

    def run(self, blob: Floats) -> list[Floats]:
        with errors_of("OpenVINO"):
            return in_parts(self._run, blob, self._batch) if self._batch else self._run(blob)

    def _run(self, blob: Floats) -> list[Floats]:
        found = self._request.infer({0: blob}, share_inputs=True, share_outputs=False)
        return [np.asarray(found[name]) for name in self._outputs]

    def convolutions(self) -> int:
        record = self._request.get_profiling_info()
        return sum(node.node_type == "Convolution" and node.status == node.Status.EXECUTED for node in record)


@contextmanager
def unreported() -> Iterator[None]:
    """Keep OpenVINO and NNCF from reporting their use while they are imported.

    Each would tell an analytics host so, unasked, unless the module for that is missing.
    """
    before = sys.modules.get(_REPORTER)
    sys.modules[_REPORTER] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.pop(_REPORTER, None)
        if before is not None:
            sys.modules[_REPORTER] = before


def library() -> Any:
    """The module of OpenVINO, which is imported here alone."""
    with unreported():
        import openvino
    return openvino


def version() -> str:
    """The version of OpenVINO, without its build."""
    return str(library().__version__).partition("-")[0]


def precisions() -> tuple[str, ...]:
    """List the precisions that this processor has."""
    able = library().Core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    return tuple(precision for precision in _TYPES if precision.upper() in able)


def save(network: Any, target: Path, source: Path, facts: Mapping[str, str] | None = None) -> None:
    """Write a network as an .xml and a .bin.

    Args:
        network: of OpenVINO's.
        target: the .xml.
        source: the ONNX file that it was made of; what that says of the network goes along.
        facts: more of the kind, as JSON by key.
    """
    import onnx

    known = {entry.key: entry.value for entry in onnx.load(str(source)).metadata_props}
    for key, text in (known | dict(facts or {})).items():
        network.set_rt_info(text, [SECTION, key])
    library().save_model(network, target, compress_to_fp16=False)


def load(path: str, outputs: Sequence[str], settings: Settings) -> Engine:
    """Compile for the processor, one run at a time as fast as possible."""
    how: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _TYPES[settings.precision]}
    if settings.threads is not None:
        how["INFERENCE_NUM_THREADS"] = settings.threads
    if settings.profile:
        how["PERF_COUNT"] = True
    if os.name == "nt":
        how["ENABLE_MMAP"] = False  # a mapped file cannot be removed there
    with errors_of("OpenVINO"):
        return OpenVino(library().Core().compile_model(path, DEVICE, how), outputs)
