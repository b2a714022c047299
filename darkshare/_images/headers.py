"""Picture headers: format, size, how the camera was held, how many pictures there are; without decoding any.

Orientations count as in EXIF: 1 is as stored, 2 to 4 are mirrored or upside down, 5 to 8 lie on their side.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from darkshare._images import sizes
from darkshare._images.sizes import Size, most

_ORIENTATION = 0x0112  # the tag, in EXIF and in TIFF
_SIDES = {0x0100: 0, 0x0142: 0, 0x0101: 1, 0x0143: 1}  # TIFF's tags of pages and tiles: 0 for a width, 1 for a height
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}  # TIFF's types
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's start-of-frame markers
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG's markers without a length
_SCANS = frozenset({0xD9, 0xDA})  # behind which JPEG has no frame
_LARGEST_EXIF = 2**16  # bytes that are looked at
_MOST_PAGES = 2**16
# EXIF's number for an AVIF that is turned by so many quarters, then not mirrored, upside down or left to right
_TURNED = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}

# of WebP's chunks, where width and height begin, of how many bits each, how many apart, and what is added to them
_WEBP = {b"VP8X": (4, 24, 24, 1), b"ANMF": (6, 24, 24, 1), b"VP8L": (1, 14, 14, 1), b"VP8 ": (6, 14, 16, 0)}
_END = 2**62  # of a file, at the latest

Boxes = Iterator[tuple[bytes, tuple[int, int]]]


class FileHeader(NamedTuple):
    """A picture file's header.

    Attributes:
        format: its name, empty for one that is not known here.
        orientation: 1 to 8; 1 also where nothing is noted.
        stored: width and height before any turning; None where only decoding tells.
        pictures: how many the file holds: pages or frames.
        white: the number that stands for full light, where the file says so.
        largest: width and height that hold each of the pictures, and the tiles that it comes in; without them it is not
            clear what a decoder would do.
    """

    format: str = ""
    orientation: int = 1
    stored: tuple[int, int] | None = None
    pictures: int = 1
    white: int | None = None
    largest: Size | None = None

    @property
    def shown(self) -> tuple[int, int] | None:
        """Width and height after turning."""
        return self.stored[::-1] if self.stored and self.orientation > 4 else self.stored


def header_of(file: BinaryIO) -> FileHeader:
    """Read what a file says about its pixels; a damaged one says less, and nothing is raised."""
    magic = file.read(64)
    file.seek(0)
    name, read = next(((name, read) for name, fits, read in _FORMATS if fits(magic)), ("", None))
    try:
        found = read(file)._replace(format=name) if read else FileHeader(name)
        return found if all(found.largest or ()) else found._replace(largest=None)
    except (struct.error, IndexError, ValueError, OverflowError):  # it ends too early, or points nowhere
        return FileHeader(name)


def _jpeg(file: BinaryIO) -> FileHeader:
    orientation = 1
    file.seek(2)
    while (marker := _marker(file)) and marker not in _SCANS:
        if marker in _ALONE:
            continue
        (length,), at = struct.unpack(">H", file.read(2)), file.tell()
        if marker in _FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            size = (width, height) if width and height else None
            return FileHeader("", orientation, size, largest=size)
        if marker == 0xE1:
            orientation = _of_exif(file.read(length - 2), b"Exif\0\0") or orientation
        file.seek(at + length - 2)
    return FileHeader("", orientation)


def _marker(file: BinaryIO) -> int:
    """The next marker of a JPEG; what stands before it is passed over, as by other readers. 0 at the end."""
    while byte := file.read(1):
        while byte == b"\xff":
            byte = file.read(1)
            if byte not in (b"", b"\0", b"\xff"):
                return byte[0]
    return 0


def _png(file: BinaryIO) -> FileHeader:
    found, pictures, largest = 0, 1, [(0, 0)]
    for name, (at, length) in _chunks(file, 8, ">I4s", 4):
        file.seek(at)
        if name == b"IHDR":
            largest.append(_pair(file, ">II"))
        elif name == b"fcTL":
            largest.append(_pair(file, ">4xII"))
        elif name == b"acTL":
            (pictures,) = struct.unpack(">I", file.read(4))
        elif name == b"eXIf":
            found = _of_exif(file.read(min(length, _LARGEST_EXIF)))
    return FileHeader("", found or 1, None, pictures, largest=most(*largest))


def _webp(file: BinaryIO) -> FileHeader:
    found, pictures, largest = 0, 0, [(0, 0)]
    for name, (at, length) in _chunks(file, 12, "<4sI", 0):
        file.seek(at)
        if name == b"EXIF":
            found = _of_exif(file.read(min(length, _LARGEST_EXIF)).removeprefix(b"Exif\0\0"))
        elif name in _WEBP:
            start, bits, apart, plus = _WEBP[name]
            number = int.from_bytes(file.read(start + 6)[start:], "little")
            mask = (1 << bits) - 1
            largest.append(((number & mask) + plus, (number >> apart & mask) + plus))
        pictures += name == b"ANMF"
    return FileHeader("", found or 1, None, max(pictures, 1), largest=most(*largest))


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
    orientation, largest = 1, [(0, 0)]
    with suppress(struct.error):  # cut off: the page that should be there counts
        while (at := _number(file, offset)) and at not in seen and len(seen) < _MOST_PAGES:
            seen[at] = None
            file.seek(at)
            entries = file.read(entry * _number(file, order + wide))
            if len(seen) == 1:
                orientation = _oriented(entries, entry, order) or 1
            largest.append(_page(entries, entry, order))
    return FileHeader("", orientation, None, max(len(seen), 1), largest=most(*largest))


def _page(entries: bytes, size: int, order: str) -> Size:
    """The size of a page, or of the tiles that it comes in, where these are larger."""
    sides = [0, 0]
    for at in range(0, len(entries) - size + 1, size):
        tag, kind = struct.unpack_from(f"{order}HH", entries, at)
        if tag in _SIDES:
            layout = order + _WHOLE.get(kind, "Q")
            (number,) = struct.unpack(layout, entries[at + size // 2 + 2 : at + size][: struct.calcsize(layout)])
            sides[_SIDES[tag]] = max(sides[_SIDES[tag]], number)
    return sides[0], sides[1]


def _pair(file: BinaryIO, layout: str) -> Size:
    length = struct.calcsize(layout)
    width, height = struct.unpack(layout, file.read(length).ljust(length, b"\0"))
    return width, height


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
    quarters, mirror, white, largest = 0, None, None, [(0, 0)]
    for kind, (at, _) in _inside(file, (b"meta", b"iprp", b"ipco")):
        file.seek(at)
        if kind == b"irot":
            quarters = file.read(1)[0] & 3
        elif kind == b"imir":
            mirror = file.read(1)[0] & 1
        elif kind == b"ispe":
            largest.append(_pair(file, ">4xII"))
        elif kind == b"pixi" and white is None:
            white = (1 << file.read(6)[5]) - 1  # behind version, flags and the number of channels
    pictures = 1
    for kind, (at, length) in _inside(file, (b"moov", b"trak")):
        if kind == b"tkhd":
            file.seek(at + length - 8)
            width, height = _pair(file, ">II")
            largest.append((width >> 16, height >> 16))
    for kind, (at, _) in _inside(file, (b"moov", b"trak", b"mdia", b"minf", b"stbl")):
        if kind == b"stsz":
            file.seek(at + 8)
            pictures = _number(file, ">I")
    return FileHeader("", _TURNED[mirror][quarters], None, pictures, white, most(*largest))


def _jpeg_2000(file: BinaryIO) -> FileHeader:
    """JPEG 2000: a codestream, alone or in a box."""
    if file.read(4) == b"\xff\x4f\xff\x51":
        return FileHeader(largest=sizes.jpeg_2000(file, 0))
    return FileHeader(
        largest=next((sizes.jpeg_2000(file, at) for k, (at, _) in _boxes(file, 0, _END) if k == b"jp2c"), None)
    )


def _inside(file: BinaryIO, path: tuple[bytes, ...]) -> Boxes:
    """The boxes in the first box at a path; the content of `meta` begins with four bytes of its own."""
    at, end = 0, _END
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
        start = at + 8
        if length == 1:  # longer than 4 GiB
            length, start = _number(file, ">Q"), at + 16
        at += length or _END  # 0: to the end of the file
        if at < start:
            return
        yield kind, (start, at - start)
        file.seek(min(at, _END))


def _pnm(file: BinaryIO) -> FileHeader:
    """The portable maps: behind width and height stands what white is, which OpenCV minds in text of 8 bits only."""
    size = sizes.pbm(file)
    file.seek(0)
    words: list[bytes] = []
    while len(words) < 4 and (line := file.readline(_LARGEST_EXIF)):
        words += line.partition(b"#")[0].split()[: 4 - len(words)]
    white = int(words[3])
    return FileHeader("", 1, None, 1, None if white < 256 and words[0] in (b"P2", b"P3") else white, size)


def _gif(file: BinaryIO) -> FileHeader:
    """GIF: each frame is a block of its own."""
    file.seek(6)
    largest = [_pair(file, "<HH")]
    flags = file.read(1)[0]
    file.seek(13 + _palette(flags))
    pictures = 0
    while (kind := file.read(1)) in (b"!", b","):
        if kind == b",":
            pictures += 1
            file.seek(4, 1)
            largest.append(_pair(file, "<HH"))
            file.seek(_palette(file.read(1)[0]) + 1, 1)
        else:
            file.seek(1, 1)
        while (length := (file.read(1) or b"\0")[0]) != 0:
            file.seek(length, 1)
    return FileHeader("", 1, None, max(pictures, 1), largest=most(*largest))


def _palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _sized(size: Callable[[BinaryIO], Size]) -> Callable[[BinaryIO], FileHeader]:
    return lambda file: FileHeader(largest=size(file))


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda magic: magic.startswith(starts)


_FORMATS: tuple[tuple[str, Callable[[bytes], bool], Callable[[BinaryIO], FileHeader] | None], ...] = (
    ("JPEG", _begins(b"\xff\xd8"), _jpeg),
    ("PNG", _begins(b"\x89PNG"), _png),
    ("WebP", lambda magic: magic[:4] == b"RIFF" and magic[8:12] == b"WEBP", _webp),
    ("TIFF", _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    ("AVIF", lambda magic: magic[4:8] == b"ftyp" and (b"avif" in magic or b"avis" in magic), _avif),
    ("PNM", _begins(b"P2", b"P3", b"P5", b"P6"), _pnm),
    ("GIF", _begins(b"GIF8"), _gif),
    ("PBM", _begins(b"P1", b"P4"), _sized(sizes.pbm)),
    ("PFM", _begins(b"PF\n", b"Pf\n"), _sized(sizes.pfm)),
    ("PAM", _begins(b"P7"), _sized(sizes.pam)),
    ("BMP", _begins(b"BM"), _sized(sizes.bmp)),
    ("Sun raster", _begins(b"\x59\xa6\x6a\x95"), _sized(sizes.sun)),
    ("JPEG 2000", _begins(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), _jpeg_2000),
    ("Radiance HDR", _begins(b"#?"), _sized(sizes.radiance)),
    ("OpenEXR", _begins(b"v/1\x01"), _sized(sizes.openexr)),
    ("HEIC", lambda magic: magic[4:8] == b"ftyp" and magic[8:12] in (b"heic", b"heix", b"mif1", b"msf1"), None),
    ("JPEG XL", _begins(b"\xff\x0a", b"\0\0\0\x0cJXL "), None),
    ("Photoshop", _begins(b"8BPS"), None),
    ("PDF", _begins(b"%PDF"), None),
)
