"""Picture headers: the format, how the camera was held and how many pictures there are, without decoding any.

Orientations count as in EXIF: 1 is as stored, 2 to 4 are mirrored or upside down, 5 to 8 lie on their side.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO, NamedTuple

_ORIENTATION = 0x0112  # the tag, in EXIF and in TIFF
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's start-of-frame markers
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG's markers without a length
_LARGEST_EXIF = 2**16  # bytes that are looked at
_MOST_PAGES = 2**16
# EXIF's number for an AVIF that is turned by so many quarters, then not mirrored, upside down or left to right
_TURNED = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}

Boxes = Iterator[tuple[bytes, tuple[int, int]]]


class FileHeader(NamedTuple):
    """A picture file's header.

    Attributes:
        format: its name, empty for one that is not known here.
        orientation: 1 to 8; 1 also where nothing is noted.
        stored: width and height before any turning; None where only decoding tells.
        pictures: how many the file holds: pages or frames.
        white: the number that stands for full light, where the file says so.
    """

    format: str = ""
    orientation: int = 1
    stored: tuple[int, int] | None = None
    pictures: int = 1
    white: int | None = None

    @property
    def shown(self) -> tuple[int, int] | None:
        """Width and height after turning."""
        return self.stored[::-1] if self.stored and self.orientation > 4 else self.stored


def header_of(file: BinaryIO) -> FileHeader:
    """Read what a file says about its pixels; a damaged one says less, and nothing is raised."""
    magic = file.read(16)
    file.seek(0)
    name, read = next(((name, read) for name, fits, read in _FORMATS if fits(magic)), ("", None))
    try:
        return read(file)._replace(format=name) if read else FileHeader(name)
    except (struct.error, IndexError, ValueError, OverflowError):  # it ends too early, or points nowhere
        return FileHeader(name)


def _jpeg(file: BinaryIO) -> FileHeader:
    orientation, at = 1, file.seek(2)
    while file.read(1) == b"\xff":
        while (marker := file.read(1)) == b"\xff":
            pass
        if not marker or marker[0] in _ALONE:
            continue
        (length,), at = struct.unpack(">H", file.read(2)), file.tell()
        if marker[0] in _FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            return FileHeader("", orientation, (width, height) if width and height else None)
        if marker[0] == 0xE1:
            orientation = _of_exif(file.read(length - 2), b"Exif\0\0") or orientation
        file.seek(at + length - 2)
    return FileHeader("", orientation)


def _png(file: BinaryIO) -> FileHeader:
    found, pictures = 0, 1
    for name, (at, length) in _chunks(file, 8, ">I4s", 4):
        file.seek(at)
        if name == b"acTL":
            (pictures,) = struct.unpack(">I", file.read(4))
        elif name == b"eXIf":
            found = _of_exif(file.read(min(length, _LARGEST_EXIF)))
    return FileHeader("", found or 1, None, pictures)


def _webp(file: BinaryIO) -> FileHeader:
    found, pictures = 0, 0
    for name, (at, length) in _chunks(file, 12, "<4sI", 0):
        file.seek(at)
        if name == b"EXIF":
            found = _of_exif(file.read(min(length, _LARGEST_EXIF)).removeprefix(b"Exif\0\0"))
        pictures += name == b"ANMF"
    return FileHeader("", found or 1, None, max(pictures, 1))


def _chunks(file: BinaryIO, at: int, layout: str, tail: int) -> Boxes:
    """The chunks of a PNG or WebP: type, and where the content begins and how long it is.

    PNG's end with four bytes of a checksum, WebP's at an even place.
    """
    file.seek(at)
    while len(head := file.read(8)) == 8:
        one, other = struct.unpack(layout, head)
        name, length = (other, one) if tail else (one, other)
        yield name, (at + 8, length)
        at += 8 + length + (tail or length % 2)
        file.seek(at)


def _tiff(file: BinaryIO) -> FileHeader:
    """TIFF, whose pages are a chain of directories; the orientation is the first one's."""
    order, large = "<" if file.read(2) == b"II" else ">", b"+" in file.read(2)
    wide, entry = ("Q", 20) if large else ("H", 12)
    offset = order + ("Q" if large else "I")
    file.seek(8 if large else 4)
    seen: dict[int, None] = {}
    orientation = 1
    with suppress(struct.error):  # cut off: the page that should be there counts
        while (at := _number(file, offset)) and at not in seen and len(seen) < _MOST_PAGES:
            seen[at] = None
            file.seek(at)
            entries = file.read(entry * _number(file, order + wide))
            if len(seen) == 1:
                orientation = _oriented(entries, entry, order) or 1
    return FileHeader("", orientation, None, max(len(seen), 1))


def _number(file: BinaryIO, layout: str) -> int:
    (number,) = struct.unpack(layout, file.read(struct.calcsize(layout)))
    return int(number)


def _of_exif(data: bytes, start: bytes = b"") -> int:
    """The orientation in a block of EXIF, which is a little TIFF; 0 for none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[len(start) : len(start) + 4])
    if order is None or not data.startswith(start):
        return 0
    (at,) = struct.unpack_from(order + "I", data, len(start) + 4)
    directory = data[len(start) + at :]
    return _oriented(directory[2:], 12, order) if directory else 0


def _oriented(entries: bytes, size: int, order: str) -> int:
    """The orientation among the entries of a directory; 0 for none."""
    for at in range(0, len(entries) - size + 1, size):
        tag, value = struct.unpack_from(f"{order}H{size // 2}xH", entries, at)
        if tag == _ORIENTATION:
            return value if 1 <= value <= 8 else 0
    return 0


def _avif(file: BinaryIO) -> FileHeader:
    """AVIF, which need not have EXIF: it says by how many quarters it is turned, then how it is mirrored."""
    quarters, mirror, white = 0, None, None
    for kind, (at, _) in _inside(file, (b"meta", b"iprp", b"ipco")):
        file.seek(at)
        if kind == b"irot":
            quarters = file.read(1)[0] & 3
        elif kind == b"imir":
            mirror = file.read(1)[0] & 1
        elif kind == b"pixi" and white is None:
            white = (1 << file.read(6)[5]) - 1  # behind version, flags and the number of channels
    pictures = 1
    for kind, (at, _) in _inside(file, (b"moov", b"trak", b"mdia", b"minf", b"stbl")):
        if kind == b"stsz":
            file.seek(at + 8)
            pictures = _number(file, ">I")
    return FileHeader("", _TURNED[mirror][quarters], None, pictures, white)


def _inside(file: BinaryIO, path: tuple[bytes, ...]) -> Boxes:
    """The boxes in the first box at a path; the content of `meta` begins with four bytes of its own."""
    at, end = 0, 2**63
    for kind in path:
        found = next((place for name, place in _boxes(file, at, end) if name == kind), None)
        if found is None:
            return
        at, end = found[0] + 4 * (kind == b"meta"), sum(found)
    yield from _boxes(file, at, end)


def _boxes(file: BinaryIO, at: int, end: int) -> Boxes:
    """The boxes from here to there: kind, and where their content begins and how long it is."""
    file.seek(at)
    while at < end and len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if length < 8:  # 0: to the end of the file; 1: longer than 4 GiB
            return
        yield kind, (at + 8, length - 8)
        at += length
        file.seek(at)


def _pnm(file: BinaryIO) -> FileHeader:
    """The portable maps: behind width and height stands what white is, which OpenCV minds in text of 8 bits only."""
    words: list[bytes] = []
    while len(words) < 4 and (line := file.readline(_LARGEST_EXIF)):
        words += line.partition(b"#")[0].split()[: 4 - len(words)]
    white = int(words[3])
    return FileHeader("", 1, None, 1, None if white < 256 and words[0] in (b"P2", b"P3") else white)


def _gif(file: BinaryIO) -> FileHeader:
    """GIF: each frame is a block of its own."""
    flags = file.read(11)[10]
    file.seek(13 + _palette(flags))
    pictures = 0
    while (kind := file.read(1)) in (b"!", b","):
        if kind == b",":
            pictures += 1
            file.seek(_palette(file.read(9)[8]) + 1, 1)
        else:
            file.seek(1, 1)
        while (length := file.read(1)[0]) != 0:
            file.seek(length, 1)
    return FileHeader("", 1, None, max(pictures, 1))


def _palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda magic: magic.startswith(starts)


_FORMATS: tuple[tuple[str, Callable[[bytes], bool], Callable[[BinaryIO], FileHeader] | None], ...] = (
    ("JPEG", _begins(b"\xff\xd8"), _jpeg),
    ("PNG", _begins(b"\x89PNG"), _png),
    ("WebP", lambda magic: magic[:4] == b"RIFF" and magic[8:12] == b"WEBP", _webp),
    ("TIFF", _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    ("AVIF", lambda magic: magic[4:12] in (b"ftypavif", b"ftypavis"), _avif),
    ("PNM", _begins(b"P2", b"P3", b"P5", b"P6"), _pnm),
    ("GIF", _begins(b"GIF8"), _gif),
    ("Radiance HDR", _begins(b"#?"), None),
    ("OpenEXR", _begins(b"v/1\x01"), None),
    ("HEIC", lambda magic: magic[4:8] == b"ftyp" and magic[8:12] in (b"heic", b"heix", b"mif1", b"msf1"), None),
    ("JPEG XL", _begins(b"\xff\x0a", b"\0\0\0\x0cJXL "), None),
    ("Photoshop", _begins(b"8BPS"), None),
    ("PDF", _begins(b"%PDF"), None),
)
