"""Picture files, as OpenCV reads and writes them: uint8, BGR."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkshare._files import reading, stand_in
from darkshare.errors import DarkshareError

_SUFFIXES = "avif bmp dib exr hdr jp2 jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp"
PICTURES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())  # of files that OpenCV reads
Picture = NDArray[np.uint8]  # height x width x channels, BGR


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Read a picture file as uint8 BGR (height, width, 3), turned as its camera noted.

    Raises:
        DarkshareError: the file cannot be read, or is not a picture.
    """
    with reading(path):
        return decoded(Path(path).read_bytes(), str(path))


def decoded(data: bytes, name: str) -> Picture:
    """Decode a picture to uint8 BGR (height, width, 3); the name is for the error.

    Raises:
        DarkshareError: it is not a picture.
    """
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise DarkshareError(stand_in(data[:100]) or "is not a picture that OpenCV can read", file=name)
    return np.asarray(image, np.uint8)


def encoded(image: Picture, suffix: str) -> bytes:
    """Encode a picture in the file format of a suffix such as `.png`.

    Raises:
        DarkshareError: OpenCV cannot write it.
    """
    import cv2

    try:
        return bytes(cv2.imencode(suffix, image)[1])
    except cv2.error as error:
        raise DarkshareError(f"OpenCV cannot write it as {suffix}: {error.err}") from None


def writable(suffix: str) -> bool:
    """Say whether OpenCV writes pictures with this suffix."""
    import cv2

    return bool(cv2.haveImageWriter(f"picture{suffix}"))
