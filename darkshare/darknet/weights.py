"""The weights file: a header and then float32 values, nothing else.

No layer table, no alignment, no checksum: what a value means follows from the cfg alone. Header of all
forks: int32 major, minor, revision, then `seen` as 64 or 32 bits (load_weights_upto in parser.c).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._files import CHUNK, reading, require_itself, require_regular
from darkshare._tables import printable
from darkshare.darknet.kinds.base import P
from darkshare.errors import BadValue, WeightsSize

Floats = NDArray[np.float32]
FLOAT = np.dtype("<f4")
_VERSION_1000 = 1000


class Header(NamedTuple):
    """The version and the pictures seen; 0.2.5 is read by all forks and written by AlexeyAB and hank-ai."""

    major: int = 0
    minor: int = 2
    revision: int = 5
    seen: int = 0

    @property
    def transposed(self) -> bool:
        """Whether matrices lie inputs first in the file, as very old versions wrote them."""
        return self.major > _VERSION_1000 or self.minor > _VERSION_1000

    def is_long(self, dialect: str) -> bool:
        """Say whether `seen` has 64 bits; pjreddie has another rule than the other two for versions >= 1000."""
        modern = self.major * 10 + self.minor >= 2
        if dialect == P:
            return modern and self.major < _VERSION_1000 and self.minor < _VERSION_1000
        return modern

    def size(self, dialect: str) -> int:
        return 20 if self.is_long(dialect) else 16

    def to_bytes(self, dialect: str) -> bytes:
        try:
            return struct.pack("<iiiQ" if self.is_long(dialect) else "<iiiI", *self)
        except struct.error:
            raise BadValue(f"a header of {tuple(self)} does not fit its bytes") from None


@dataclass(frozen=True, eq=False)
class Weights:
    """A header and one vector of floats, held as consecutive runs so that splicing copies nothing.

    Attributes:
        header: the version and `seen`.
        runs: consecutive parts of the vector, each a read-only view of a mapped file or an array.
        path: the file it was read from, or "".
    """

    header: Header
    runs: tuple[Floats, ...]
    path: str = ""

    @property
    def size(self) -> int:
        """Number of floats."""
        return sum(run.size for run in self.runs)

    def __repr__(self) -> str:
        *version, seen = self.header
        name, version_text = printable(self.path or "unnamed"), ".".join(map(str, version))
        return f"<Weights {name}: {self.size:,} floats, version {version_text}, seen {seen:,}>"

    def slice(self, start: int, stop: int) -> tuple[Floats, ...]:
        """Give the runs of floats start..stop-1, as views."""
        found, begin = [], 0
        for run in self.runs:
            piece = run[max(start - begin, 0) : max(stop - begin, 0)]
            if piece.size:
                found.append(piece)
            begin += run.size
        return tuple(found)

    def view(self, start: int, stop: int) -> Floats:
        """Give floats start..stop-1 as one array: a view, or a copy where they lie in several runs."""
        runs = self.slice(start, stop)
        if len(runs) == 1:
            return runs[0]
        return np.concatenate(runs) if runs else np.empty(0, FLOAT)


def read_weights(path: str | os.PathLike[str], *, dialect: str = "alexeyab") -> Weights:
    """Map a weights file into memory; its floats are read when they are used.

    Raises:
        DarkshareError: the file cannot be read.
        WeightsSize: it ends inside the header, or not on a whole float.
    """
    name = os.fspath(path)
    with reading(path):
        size = require_regular(path)  # before it is opened: a pipe would block
        with open(path, "rb") as file:
            head = file.read(100)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    require_itself(path, head)
    header, length = _header(head, dialect, name)
    body = size - length
    if body % FLOAT.itemsize:
        raise WeightsSize(
            f"{body} bytes behind the {length}-byte header are not a whole number of floats; "
            "the file was cut off or is not a Darknet weights file",
            file=name,
        )
    data = np.frombuffer(mapped, FLOAT, offset=length) if body else np.empty(0, FLOAT)
    return Weights(header, (data,), name)


def parse_header(head: bytes, dialect: str) -> tuple[Header, int]:
    """Read the header at the start of a file; returns it with its length in bytes.

    Raises:
        BadValue: it is too short.
    """
    if len(head) < 16:
        raise BadValue(f"ends inside the header: 16 or 20 bytes needed, {len(head)} found")
    version = Header(*struct.unpack_from("<iii", head))
    long = version.is_long(dialect)
    if long and len(head) < 20:
        raise BadValue(f"ends inside the header: 20 bytes needed, {len(head)} found")
    (seen,) = struct.unpack_from("<Q" if long else "<I", head, 12)
    return version._replace(seen=seen), version.size(dialect)


def _header(head: bytes, dialect: str, name: str) -> tuple[Header, int]:
    try:
        return parse_header(head, dialect)
    except BadValue as error:
        raise WeightsSize(f"{error.message}; this is not a Darknet weights file", file=name) from None


def chunks(runs: tuple[Floats, ...]) -> Iterator[Floats]:
    """Yield runs in pieces and release the pages of mapped files after each, so that memory stays flat."""
    step = CHUNK // FLOAT.itemsize
    for run in runs:
        for start in range(0, run.size, step):
            piece = run[start : start + step]
            yield piece
            release(piece)


def release(piece: NDArray[Any]) -> None:
    """Release the pages of a mapped file under this array; they are read again when they are used."""
    mapped = _mapping(piece)
    if mapped is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    base = np.frombuffer(mapped, np.uint8).ctypes.data
    begin = piece.ctypes.data - base
    start = begin - begin % mmap.PAGESIZE
    mapped.madvise(mmap.MADV_DONTNEED, start, begin + piece.nbytes - start)


def _mapping(array: NDArray[Any]) -> mmap.mmap | None:
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    return owner if isinstance(owner, mmap.mmap) else None
