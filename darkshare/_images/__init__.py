"""Picture files, as OpenCV reads and writes them: uint8, BGR, turned as their camera noted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._files import CHUNK, reading, require_regular, stand_in
from darkshare._images.headers import FileHeader, header_of
from darkshare._images.limits import require_moderate
from darkshare.errors import DarkshareError

_SUFFIXES = "avif bmp dib exr hdr jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp"
PICTURES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())  # of files that OpenCV reads
SEVERAL = frozenset({".avif", ".png", ".tif", ".tiff", ".webp"})  # suffixes of files that may hold several pictures
Picture = NDArray[np.uint8]  # height x width x channels, BGR or BGRA
_AT_ONCE = 2**26  # bytes of an animation's frames that are decoded together
_LIGHT = frozenset({"Radiance HDR", "OpenEXR"})  # formats whose numbers go beyond white
_FOREIGN = frozenset({"AVIF", "OpenEXR", "HEIC", "JPEG XL", "Photoshop", "PDF"})  # that OpenCV reads seldom or never


class FilePictures(NamedTuple):
    """The pictures of a file: how many there are, and each in turn, decoded when it is asked for."""

    total: int
    each: Iterator[Picture]


def read_picture(path: str | os.PathLike[str], *, alpha: bool = False) -> Picture:
    """Read a picture file, of several pictures the first; see `decoded`.

    Raises:
        DarkshareError: the file cannot be read, or is not a picture.
    """
    with reading(path):
        require_regular(path)
        return decoded(Path(path).read_bytes(), str(path), alpha=alpha)


def header(path: str | os.PathLike[str]) -> FileHeader:
    """Read the header of a picture file.

    Raises:
        DarkshareError: the file cannot be read, or has more pixels than the limit.
    """
    with reading(path):
        require_regular(path)
    with reading(path), open(path, "rb") as file:
        about = header_of(file)
    require_moderate(about.largest, str(path))
    return about


def picture_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Give the (width, height) that `read_picture` gives, of a JPEG without decoding it.

    Raises:
        DarkshareError: the file cannot be read, is not a picture, or is too large a one.
    """
    size = header(path).shown
    if size is None:
        height, width = read_picture(path).shape[:2]
        return width, height
    return size


def exif_orientation(path: str | os.PathLike[str]) -> int:
    """Give how the camera was held, 1 to 8 as EXIF counts: 1 is as stored, 5 to 8 swap width and height.

    Raises:
        DarkshareError: the file cannot be read.
    """
    return header(path).orientation


def decoded(data: bytes, name: str, *, alpha: bool = False) -> Picture:
    """Decode a picture, turned as its camera noted; of several the first.

    Args:
        data: the content of a file.
        name: for the error.
        alpha: also give the fourth channel.

    Returns:
        uint8 BGR (height, width, 3), or BGRA with `alpha`; deeper pictures are rounded to 8 bits.

    Raises:
        DarkshareError: it is not a picture, has more pixels than the limit, or no alpha.
    """
    about = header_of(BytesIO(data))
    require_moderate(about.largest, name)
    image = _decoded(data, about, alpha=alpha)
    if image is None:
        raise DarkshareError(stand_in(data[:100]) or _why(about), file=name)
    return _finished(image, about, name, alpha=alpha)


def all_pictures(path: str | os.PathLike[str], *, alpha: bool = False) -> FilePictures:
    """Give all pictures of a file; see `pictures`. A file of several is not read into memory as a whole.

    Raises:
        DarkshareError: the file cannot be read; while they are decoded, that one of them cannot be.
    """
    with reading(path):
        require_regular(path)
    with reading(path), open(path, "rb") as file:
        about = header_of(file)
        file.seek(0)
        data = file.read() if about.pictures == 1 else _mapped_copy(file)
    return FilePictures(about.pictures, _decoding(data, about, str(path), alpha=alpha))


def _mapped_copy(file: IO[bytes]) -> mmap:
    """A map of a copy that nobody else has: where a mapped file is cut off, the system kills whoever reads it."""
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, CHUNK)
        copy.flush()
        return mmap(copy.fileno(), 0, access=ACCESS_READ)


def pictures(data: bytes, name: str, *, alpha: bool = False) -> FilePictures:
    """Give all pictures of a file's content: pages of a TIFF, frames of an animation, or the one; see `decoded`.

    Raises:
        DarkshareError: while they are decoded: one of them cannot be.
    """
    about = header_of(BytesIO(data))
    return FilePictures(about.pictures, _decoding(data, about, name, alpha=alpha))


def _decoding(data: bytes | mmap, about: FileHeader, name: str, *, alpha: bool) -> Iterator[Picture]:
    if about.pictures == 1:
        yield decoded(bytes(data), name, alpha=alpha)
        return
    require_moderate(about.largest, name)
    count = 0
    for image in _several(data, about):
        count += 1
        yield _finished(image, about, name, alpha=alpha)
    if count < about.pictures:
        raise DarkshareError(f"OpenCV can read {count or 'none'} of its {about.pictures} pictures", file=name)


def eight_bits(image: NDArray[Any], white: float | None = None) -> Picture:
    """Give a picture's numbers as 0 to 255, rounded: 65535 becomes 255.

    Args:
        image: uint8, uint16, or float with values of 0 to 1.
        white: the number that becomes 255, where it is not the largest.

    Raises:
        DarkshareError: other numbers.
    """
    import cv2

    white = white or {"uint8": 255, "uint16": 65535}.get(str(image.dtype), 1)
    if image.dtype == np.uint8 and white == 255:
        return image
    if image.dtype.kind not in "uf" or not (image.dtype.kind == "f" or image.itemsize < 4):
        raise DarkshareError(f"holds numbers of type {image.dtype}, which are not light; convert it to 8 or 16 bits")
    if image.dtype.kind == "f" and not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise DarkshareError(f"holds numbers from {image.min():g} to {image.max():g}; 0 must be black and 1 white")
    return np.asarray(cv2.convertScaleAbs(image, alpha=255 / white), np.uint8).reshape(image.shape)


def _decoded(data: bytes, about: FileHeader, *, alpha: bool) -> NDArray[Any] | None:
    """The picture as it is stored, but in a TIFF, which OpenCV always turns itself; none whose size is not clear."""
    import cv2

    if not about.largest:
        return None

    deep = 0 if about.format == "AVIF" else cv2.IMREAD_ANYDEPTH  # of AVIF OpenCV alone knows what white is
    whole = alpha or about.format == "TIFF"  # gray floats come in no other way
    flags = cv2.IMREAD_UNCHANGED if whole else cv2.IMREAD_COLOR | deep | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def _several(data: bytes | mmap, about: FileHeader) -> Iterator[NDArray[Any]]:
    """The pictures of a file with several, as far as they can be decoded; few are in memory."""
    import cv2

    buffer, at = np.frombuffer(data, np.uint8).reshape(1, -1), 0
    count = 1
    while about.largest and at < about.pictures:
        try:
            if about.format == "TIFF":
                images = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(at, at + 1))[1]
            else:
                images = cv2.imdecodeanimation(buffer, start=at, count=count)[1].frames
        except (cv2.error, AttributeError):  # OpenCV before 4.11 has no animations
            return
        if not images:
            return
        yield from images
        at += len(images)
        count = max(_AT_ONCE // images[0].nbytes, 1)


def _finished(image: NDArray[Any], about: FileHeader, name: str, *, alpha: bool) -> Picture:
    """A decoded picture in 8 bits and in the wanted channels, turned."""
    import cv2

    has = 1 if image.ndim == 2 else image.shape[2]
    if alpha and has != 4:
        raise DarkshareError("has no alpha, which a network of 4 channels reads besides colour", file=name)
    try:
        if about.format in _LIGHT:
            image = image.clip(0, 1)
        white = about.white if about.format == "PNM" or image.dtype != np.uint8 else None
        image = eight_bits(image, white)
    except DarkshareError as error:
        raise error.locate(name, None) from None
    if has == 1:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    elif has == 4 and not alpha:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return np.asarray(image if about.format == "TIFF" else _turned(image, about.orientation), np.uint8)


def _turned(image: NDArray[Any], orientation: int) -> Any:
    """A picture as it is to be shown; the way back from how EXIF says that it is stored."""
    import cv2

    if orientation > 4:
        image = cv2.transpose(image)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else cv2.flip(image, flip)


def _why(about: FileHeader) -> str:
    """Say why a file cannot be decoded."""
    import cv2

    what = "is not a picture that OpenCV can read"
    if about.format not in _FOREIGN:
        return f"{what}; the {about.format} is damaged" if about.format else what
    version = cv2.__version__
    return f"{what}: it is {about.format}, and OpenCV {version} as installed does not decode it; convert it to PNG"


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
