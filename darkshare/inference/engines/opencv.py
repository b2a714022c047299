"""`cv2.dnn`: the new engine of OpenCV 5, its classic one, and the only one that OpenCV 4 has.

What it needs, all seen in OpenCV 5.0: the choice of an engine is only obeyed for files (from memory it is dropped, and
the peak is twice as high), never for ENGINE_ORT in builds without it, and never against OPENCV_FORCE_DNN_ENGINE.
`forward` wants all outputs at once, and each engine's own order is another one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from darkshare._files import unicode_path
from darkshare.darknet.weights import Floats
from darkshare.errors import Unsupported, warn
from darkshare.inference.engines.base import Engine, Settings, errors_of

FORCED = "OPENCV_FORCE_DNN_ENGINE"
_CLASSIC_PREFIX = "onnx_node!"  # what the classic importer puts before the names of layers
_CONVOLUTIONS = ("Convolution", "Conv2")  # the classic engine's type, the new one's


class OpenCv:
    """A `cv2.dnn.Net` with the names of its outputs."""

    def __init__(self, net: Any, outputs: Sequence[str], title: str) -> None:
        self._net = net
        self._outputs = list(outputs)
        self._title = title

    def run(self, blob: Floats) -> list[Floats]:
        with errors_of(self._title):
            self._net.setInput(blob)
            return [np.asarray(values) for values in self._net.forward(self._outputs)]

    def convolutions(self) -> int:
        _, times = self._net.getPerfProfile()
        ran = [name for name, time in zip(self._net.getLayerNames(), times, strict=True) if time > 0]
        return sum(self._net.getLayer(self._net.getLayerId(name)).type in _CONVOLUTIONS for name in ran)


def version() -> str:
    """The version of OpenCV."""
    import cv2

    return str(cv2.__version__)


def precisions() -> tuple[str, ...]:
    """Single precision: OpenCV's half precision is for one kind of processor, and its new engine ignores it."""
    return ("fp32",)


def classic_version() -> str:
    """The version of OpenCV, if it has a choice of engines.

    Raises:
        Unsupported: it has one engine only.
    """
    import cv2

    if not hasattr(cv2.dnn, "ENGINE_CLASSIC"):
        raise Unsupported(f"OpenCV {cv2.__version__} has one engine only, which is opencv")
    return version()


def has_new_engine() -> bool:
    """Tell OpenCV 5, whose engines also read tensors from files of their own, from OpenCV 4, which refuses them."""
    import cv2

    return hasattr(cv2.dnn, "ENGINE_NEW")


def load(path: str, outputs: Sequence[str], settings: Settings) -> Engine:
    """Load into the new engine of OpenCV 5, or into that of OpenCV 4."""
    return _loaded(path, outputs, settings, "new" if has_new_engine() else "")


def load_classic(path: str, outputs: Sequence[str], settings: Settings) -> Engine:
    """Load into OpenCV 5's classic engine, that of OpenCV 4."""
    return _loaded(path, outputs, settings, "classic")


def _loaded(path: str, outputs: Sequence[str], settings: Settings, engine: str) -> Engine:
    import cv2

    title = f"OpenCV {cv2.__version__}"
    if settings.threads is not None:
        cv2.setNumThreads(settings.threads)
    choice = (getattr(cv2.dnn, f"ENGINE_{engine.upper()}"),) if engine else ()
    readable = unicode_path(path, "OpenCV")
    with errors_of(title):
        net = cv2.dnn.readNetFromONNX(readable, *choice)
    if engine:
        _warn_if_not_obeyed(net, engine)
    return OpenCv(net, outputs, title)


def _warn_if_not_obeyed(net: Any, engine: str) -> None:
    found = "classic" if any(name.startswith(_CLASSIC_PREFIX) for name in net.getLayerNames()) else "new"
    if found == engine:
        return
    forced = f", because {FORCED}={os.environ[FORCED]} is set; unset it" if FORCED in os.environ else ""
    warn(f"OpenCV took its {found} engine instead of the {engine} one{forced}")
