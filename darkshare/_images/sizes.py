"""The width and height that decoders make of a file, by its header alone; each reader raises where that is not clear.

Each follows how OpenCV, or the library that it calls, reads the header, so that no file has two sizes.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

Size = tuple[int, int]
_TEXT = 2**16  # bytes of a header of text that are looked at
_GAP = rb"(?:\s|(?<=\s)#[^\r\n]*[\r\n])+"  # whitespace, with comments
_PNM = re.compile(rb"P[1-6]%s(\d+)%s(\d+)\s" % (_GAP, _GAP))
_PFM = re.compile(rb"P[Ff]\n(\d+)\s(\d+)\s")
_PAM = re.compile(rb"\s(WIDTH|HEIGHT)\s+(\d+)")
_RADIANCE = re.compile(rb"-Y\s*\+?(\d+)\s*\+X\s*\+?(\d+)")
_LINE = 127  # bytes of a Radiance header's line; what is behind them is another line to its reader


def most(*sizes: Size) -> Size:
    """The size that holds all of several."""
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def bmp(file: BinaryIO) -> Size:
    """The size of a BMP, whose height is negative where it is stored from the top."""
    head = file.read(26)
    layout, at = ("<HH", 18) if struct.unpack_from("<I", head, 14) == (12,) else ("<ii", 18)
    width, height = struct.unpack_from(layout, head, at)
    return abs(width), abs(height)


def sun(file: BinaryIO) -> Size:
    """The size of a Sun raster."""
    width, height = struct.unpack(">II", file.read(12)[4:])
    return width, height


def pbm(file: BinaryIO) -> Size:
    """The size of a portable bitmap, graymap or pixmap."""
    return _matched(_PNM, file)


def pfm(file: BinaryIO) -> Size:
    """The size of a portable float map."""
    return _matched(_PFM, file)


def pam(file: BinaryIO) -> Size:
    """The size of a portable arbitrary map; of a line that is there twice the larger number."""
    found = {"WIDTH": 0, "HEIGHT": 0}
    for key, number in _PAM.findall(file.read(_TEXT).partition(b"ENDHDR")[0]):
        found[key.decode()] = max(found[key.decode()], int(number))
    return _checked(found["WIDTH"], found["HEIGHT"])


def radiance(file: BinaryIO) -> Size:
    """The size of a Radiance HDR: it stands in the line behind the first empty one."""
    read = 0
    while (line := file.readline(_LINE)) not in (b"\n", b"") and read < _TEXT:
        read += len(line)
    found = _RADIANCE.match(file.readline(_LINE))
    return _checked(*map(int, found.groups()[::-1])) if found else _checked(0, 0)


def openexr(file: BinaryIO) -> Size:
    """The size of an OpenEXR: the largest of its windows, in the attributes."""
    head = file.read(_TEXT)
    at, found = 8, [(0, 0)]
    while head[at] != 0:
        name, kind = head[at : at + 600].split(b"\0", 2)[:2]
        at += len(name) + len(kind) + 2
        (length,) = struct.unpack_from("<I", head, at)
        if kind == b"box2i":
            left, top, right, bottom = struct.unpack_from("<iiii", head, at + 4)
            found.append((right - left + 1, bottom - top + 1))
        at += 4 + length
    return _checked(*most(*found))


def jpeg_2000(file: BinaryIO, at: int) -> Size:
    """The size of a JPEG 2000 codestream that begins there."""
    file.seek(at)
    start, right, bottom, left, top = struct.unpack(">Q4I", file.read(24))
    if start >> 32 != 0xFF4FFF51:
        raise ValueError
    return _checked(right - left, bottom - top)


def _matched(pattern: re.Pattern[bytes], file: BinaryIO) -> Size:
    found = pattern.match(file.read(_TEXT))
    return _checked(*map(int, found.groups())) if found else _checked(0, 0)


def _checked(width: int, height: int) -> Size:
    if width < 1 or height < 1:
        raise ValueError
    return width, height
