"""Networks on cv2.dnn, OpenCV 4 and 5 alike: through an ONNX file of our own, never through DetectionModel."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from darkshare.detections import Detections, Picture, fitted, interpret
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.model import Model
from darkshare.network import Network
from darkshare.onnxfile import buffers, heads_of, output_name
from darkshare.weights import Floats

ENGINES = ("new", "classic")


class Detector:
    """A model that is loaded into OpenCV and ready to run: one forward pass for all its tasks.

    Args:
        model: with weights.
        threshold: keep scores above it.
        nms: of two boxes of one task and class that overlap more, keep the better one.
        bn_epsilon: see `onnxfile.export`.
        engine: new or classic; without one, new on OpenCV 5 and the only one there is on OpenCV 4.

    Raises:
        DarkshareError: a layer that has no ONNX form here, missing weights, or an engine that is not there.
    """

    def __init__(
        self,
        model: Model,
        *,
        threshold: float = 0.25,
        nms: float = 0.45,
        bn_epsilon: float = 1e-5,
        engine: str | None = None,
    ) -> None:
        self.model = model
        self.threshold = threshold
        self.nms = nms
        self._heads = heads_of(model)
        self._outputs = [output_name(model.network.layers[index]) for index in self._heads]
        self._net = _loaded(model, bn_epsilon, engine)

    def raw(self, image: Picture) -> dict[int, Floats]:
        """What each head gives for a picture, by its layer: (channels, height, width), not decoded.

        Args:
            image: uint8 as `cv2.imread` gives it: BGR, gray or BGRA.
        """
        with _as_darkshare_error(self.model.name):
            self._net.setInput(blob(image, self.model.network))
            # By our names and all of them: engines order outputs differently, and the new one refuses a part.
            found = self._net.forward(self._outputs)
        return {index: values[0] for index, values in zip(self._heads, found, strict=True)}

    def detect(self, image: Picture) -> list[Detections]:
        """The boxes of every task, in pixels of the picture; see `detections.interpret`."""
        raw = self.raw(image)
        picture = (image.shape[1], image.shape[0])
        return interpret(self.model, raw, picture, threshold=self.threshold, nms=self.nms)


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """A picture file as uint8 BGR, turned as its camera noted.

    Raises:
        DarkshareError: the file cannot be read, or is no picture.
    """
    import cv2

    try:
        data = np.frombuffer(Path(path).read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except OSError as error:
        raise DarkshareError(f"cannot be read: {error.strerror or error}", file=str(path)) from None
    except cv2.error:
        image = None
    if image is None:
        raise DarkshareError("is no picture that OpenCV can read", file=str(path))
    return np.asarray(image, np.uint8)


def encoded(image: Picture, suffix: str) -> bytes:
    """A picture in the file format that the suffix means.

    Raises:
        DarkshareError: OpenCV cannot write it.
    """
    import cv2

    with _as_darkshare_error(suffix):
        return bytes(cv2.imencode(suffix, image)[1])


def writable(suffix: str) -> bool:
    """Whether OpenCV writes pictures with this suffix."""
    import cv2

    return bool(cv2.haveImageWriter(f"picture{suffix}"))


def blob(image: Picture, network: Network) -> Floats:
    """A picture as the network's input: RGB in 0..1, stretched, or fitted into gray where Darknet does so.

    Raises:
        BadValue: it is no uint8 picture.
    """
    import cv2

    c, h, w, *_ = network.input
    fitting = _with_channels(image, c)
    inner = fitted(network, (image.shape[1], image.shape[0]))
    small = cv2.dnn.blobFromImage(fitting, 1 / 255, inner, swapRB=c == 3)
    if inner == (w, h):
        return np.asarray(small, np.float32)
    top, left = (h - inner[1]) // 2, (w - inner[0]) // 2
    whole = np.full((1, c, h, w), 0.5, np.float32)
    whole[:, :, top : top + inner[1], left : left + inner[0]] = small
    return whole


def _with_channels(image: Picture, wanted: int) -> Picture:
    import cv2

    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise BadValue(f"a picture must be uint8, height x width x channels, not {image.dtype} {image.shape}")
    has = 1 if image.ndim == 2 else image.shape[2]
    conversions = {
        (1, 3): cv2.COLOR_GRAY2BGR,
        (4, 3): cv2.COLOR_BGRA2BGR,
        (3, 1): cv2.COLOR_BGR2GRAY,
        (4, 1): cv2.COLOR_BGRA2GRAY,
    }
    if has == wanted:
        return image
    if (has, wanted) not in conversions:
        raise BadValue(f"a picture of {has} channels cannot be given to a network that reads {wanted}")
    return np.asarray(cv2.cvtColor(image, conversions[has, wanted]), np.uint8)


def _loaded(model: Model, bn_epsilon: float, engine: str | None) -> Any:
    """The cv2.dnn.Net. From a file: from memory, OpenCV 5 ignores the engine and doubles its peak memory."""
    import cv2

    arguments = _engine(cv2, engine)
    with tempfile.TemporaryDirectory(prefix="darkshare-") as folder:
        path = Path(folder) / "network.onnx"
        with open(path, "wb") as file:
            file.writelines(memoryview(piece).cast("B") for piece in buffers(model, bn_epsilon))
        with _as_darkshare_error(model.name):
            return cv2.dnn.readNetFromONNX(str(path), *arguments)


def _engine(cv2: Any, name: str | None) -> tuple[int, ...]:
    """The arguments that choose an engine; OpenCV 4 knows none."""
    if name is not None and name not in ENGINES:
        raise BadValue(f"there is no engine {name}; use {' or '.join(ENGINES)}")
    if hasattr(cv2.dnn, "ENGINE_NEW"):
        return (cv2.dnn.ENGINE_CLASSIC if name == "classic" else cv2.dnn.ENGINE_NEW,)
    if name == "new":
        raise Unsupported(f"OpenCV {cv2.__version__} has no new engine; leave the engine out, or install OpenCV 5")
    return ()


@contextmanager
def _as_darkshare_error(name: str) -> Iterator[None]:
    import cv2

    try:
        yield
    except cv2.error as error:
        reason = str(error.err or error).strip()
        raise DarkshareError(f"OpenCV {cv2.__version__} cannot do it: {reason}", file=name) from None
