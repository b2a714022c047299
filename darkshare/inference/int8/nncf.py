"""NNCF, OpenVINO's own quantiser, which here writes OpenVINO's form of a network.

It can also write ONNX, but from that OpenVINO 2026.4 computes other numbers than it should: the heads of a yolov3-tiny
were off by half, where the .xml's are off by 3 %.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from darkshare.darknet.weights import Floats
from darkshare.inference.engines.openvino import library, save, unreported
from darkshare.inference.int8.base import Run, of_layer
from darkshare.inference.int8.calibration import Blobs
from darkshare.inference.onnx import INPUT


class Nncf:
    """See `base.Quantiser`."""

    suffix = ".xml"

    def __init__(self, path: Path, blobs: Blobs) -> None:
        self._path = path
        self._blobs = blobs
        self._nncf = _library()

    def write(self, target: Path, kept: Collection[int], facts: dict[str, str]) -> None:
        nncf, network = self._nncf, library().Core().read_model(self._path)
        names = [node.get_friendly_name() for node in network.get_ops()]
        own = {index: re.compile(f"{of_layer(index)}.*") for index in kept}
        patterns = [own[i].pattern for i in sorted(own) if any(own[i].match(name) for name in names)]
        with _quiet():
            network = nncf.quantize(
                network,
                nncf.Dataset(self._blobs, lambda values: {INPUT: values}),
                preset=nncf.QuantizationPreset.MIXED,
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(self._blobs),
                ignored_scope=nncf.IgnoredScope(patterns=patterns, validate=False),
            )
        save(network, target, self._path, facts)

    def tapped(self, path: Path, names: Sequence[str]) -> Run:
        core = library().Core()
        network = core.read_model(path)
        network.add_outputs(list(names))
        compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def run(values: Floats) -> list[Floats]:
            found = compiled({INPUT: values})
            return [np.asarray(found[name]) for name in names]

        return run


def _library() -> Any:
    """NNCF, with OpenVINO below it."""
    library()
    with unreported():
        import nncf
    return nncf


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without bars and notes on every step."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
