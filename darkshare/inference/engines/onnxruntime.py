"""ONNX Runtime on the processor."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from darkshare._files import unicode_path
from darkshare.darknet.weights import Floats
from darkshare.inference.engines.base import Engine, Settings, errors_of, in_parts

_ERRORS_ONLY = 3
_UNREPORTED = "ORT_DISABLE_TELEMETRY"  # read when it is imported; its function of that name comes too late


class OnnxRuntime:
    """An `onnxruntime.InferenceSession`."""

    def __init__(self, session: Any, outputs: Sequence[str]) -> None:
        self._session = session
        self._outputs = list(outputs)
        (source,) = session.get_inputs()
        self._input = source.name
        self._batch = source.shape[0] if isinstance(source.shape[0], int) else 0  # open

    def run(self, blob: Floats) -> list[Floats]:
        with errors_of("ONNX Runtime"):
            return in_parts(self._run, blob, self._batch) if self._batch else self._run(blob)

    def _run(self, blob: Floats) -> list[Floats]:
        return [np.asarray(values) for values in self._session.run(self._outputs, {self._input: blob})]

    def convolutions(self) -> int:
        record = Path(self._session.end_profiling())
        events = json.loads(record.read_bytes())
        record.unlink()
        operators: list[str] = [event["args"]["op_name"] for event in events if event.get("cat") == "Node"]
        runs: int = sum(event["name"] == "model_run" for event in events)
        return sum("Conv" in operator for operator in operators) // runs


def library() -> Any:
    """The module of ONNX Runtime, kept from reporting its use, as 1.32 does, and from files in the home folder."""
    os.environ[_UNREPORTED] = "1"
    import onnxruntime

    return onnxruntime


def version() -> str:
    """The version of ONNX Runtime."""
    return str(library().__version__)


def precisions() -> tuple[str, ...]:
    """Single precision; what else it has must be in the file."""
    return ("fp32",)


def load(path: str, outputs: Sequence[str], settings: Settings) -> Engine:
    """Load for the processor.

    Without the memory arena, which keeps what it once took: two yolov3 in one process peak at 912 MiB instead of 1006
    and run as fast. Threads stop when a run ends, instead of waiting for the next one at full speed and slowing
    whatever runs in between.
    """
    onnxruntime = library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads or 0
    options.enable_cpu_mem_arena = False
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if settings.profile:
        options.enable_profiling = True
        # A name of its own: older versions only add the second, and would mix two sessions' records.
        options.profile_file_prefix = str(Path(path).with_name(f"darkshare-{uuid4().hex}"))
    readable = unicode_path(path, "ONNX Runtime")
    with errors_of("ONNX Runtime"):
        return OnnxRuntime(onnxruntime.InferenceSession(readable, options, providers=["CPUExecutionProvider"]), outputs)
