"""Pictures as networks take them: from whatever holds one to the numbers that enter the first layer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._images import Picture, eight_bits, read_picture
from darkshare.darknet.letterbox import fitted
from darkshare.darknet.network import Network
from darkshare.darknet.weights import Floats
from darkshare.errors import BadValue, Unsupported

# Of PIL's modes those whose values are not 0 to 255, so that a conversion would lose what they mean.
_WIDE_MODES = ("I", "F")


PictureLike = Any  # see `as_picture`


class Prepared(NamedTuple):
    """A picture that went through `preprocess` before its turn.

    Attributes:
        size: of the picture, width and height.
        blob: what `preprocess` gave.
    """

    size: tuple[int, int]
    blob: Floats


def reads_alpha(network: Network) -> bool:
    """Tell whether a network reads the alpha of pictures as its fourth channel.

    Raises:
        Unsupported: it reads as many channels as pictures never have.
    """
    channels = network.input.c
    if channels not in (1, 3, 4):
        line = network.cfg.sections[0].line_of("channels")
        raise Unsupported(
            f"channels={channels}: pictures have 1, 3 or, with alpha, 4; give arrays of {channels} to a Detector",
            file=network.name, line=line,
        )  # fmt: skip
    return channels == 4


def as_picture(given: PictureLike, *, alpha: bool = False) -> Picture:
    """Give a picture as `cv2.imread` would: uint8, BGR or gray.

    Args:
        given: the path of a file; an array, which is taken as it is, but of uint16 by its upper 8 bits, rounded; or
            anything else with `__array_interface__`. One of PIL has its channels put in order. It is not turned as its
            camera noted, since boxes are to lie where the caller sees them.
        alpha: a file or a picture of PIL is to give a fourth channel, which it loses otherwise.

    Raises:
        DarkshareError: it is none of these, a file that cannot be read, or has no alpha.
    """
    if isinstance(given, str | os.PathLike):
        return read_picture(given, alpha=alpha)
    if isinstance(given, np.ndarray):
        return _valid(given)
    if not hasattr(given, "__array_interface__"):
        kind = type(given).__name__
        raise BadValue(f"a picture is a path, a uint8 array or something with __array_interface__, not {kind}")
    mode = getattr(given, "mode", None)
    if mode is None:
        return _valid(np.asarray(given))
    if mode.startswith("I;16"):
        return _valid(np.asarray(given).astype(np.uint16))
    if mode.startswith(_WIDE_MODES):
        raise BadValue(f"a picture of mode {mode} has no 8 bits per channel; convert it to RGB")
    if not alpha:
        return np.ascontiguousarray(np.asarray(given.convert("RGB"))[..., ::-1])
    if "A" not in given.getbands() and "transparency" not in given.info:
        raise BadValue(f"a picture of mode {mode} has no alpha, which a network of 4 channels reads besides colour")
    return np.ascontiguousarray(np.asarray(given.convert("RGBA"))[..., [2, 1, 0, 3]])


def as_pictures(given: Sequence[PictureLike], *, alpha: bool = False) -> list[Picture]:
    """Give several pictures as `as_picture` gives one.

    Raises:
        DarkshareError: it is a single picture, or one of them cannot be taken.
    """
    single = isinstance(given, str | os.PathLike) or (isinstance(given, np.ndarray) and given.ndim < 4)
    if single or not isinstance(given, Iterable):
        raise BadValue("a batch is a list of pictures; put a single one into a list")
    return [as_picture(one, alpha=alpha) for one in given]


def preprocess(image: Picture, network: Network) -> Floats:
    """Make a picture the network's input: RGB or RGBA in 0..1, stretched, or fitted into gray where Darknet does so.

    Args:
        image: uint8, height x width x channels, as `cv2.imread` gives it.
        network: whose input it is to be.

    Returns:
        float32, 1 x channels x height x width.

    Raises:
        BadValue: it is not a uint8 picture.
    """
    import cv2

    c, h, w, *_ = network.input
    fitting = _with_channels(image, c)
    inner = fitted(network, (image.shape[1], image.shape[0]))
    if c in (1, 3, 4):
        small = cv2.dnn.blobFromImage(fitting, 1 / 255, inner, swapRB=c > 1)
    else:  # which that function refuses
        small = cv2.resize(fitting, inner).reshape(1, *inner[::-1], c).transpose(0, 3, 1, 2) * np.float32(1 / 255)
    if inner == (w, h):
        return np.ascontiguousarray(small, np.float32)
    top, left = (h - inner[1]) // 2, (w - inner[0]) // 2
    whole = np.full((1, c, h, w), 0.5, np.float32)
    whole[:, :, top : top + inner[1], left : left + inner[0]] = small
    return whole


def _valid(image: NDArray[Any]) -> Picture:
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3) or 0 in image.shape:
        raise BadValue(f"a picture must be uint8, height x width x channels, not {image.dtype} {image.shape}")
    return eight_bits(image)


def _with_channels(image: Picture, wanted: int) -> Picture:
    import cv2

    image = _valid(image)
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
