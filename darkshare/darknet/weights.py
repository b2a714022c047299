"""The weights file: a header and then float32 values, nothing else.

No layer table, no alignment, no checksum: what a value means follows from the cfg alone. Header of all
forks: int32 major, minor, revision, then `seen` as 64 or 32 bits (load_weights_upto in parser.c).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._files import require_itself
from darkshare._files.opened import OpenFile
from darkshare._tables import printable
from darkshare.darknet.kinds.base import P
from darkshare.errors import BadValue, WeightsSize

Floats = NDArray[np.float32]
FLOAT = np.dtype("<f4")
PIECE = 2**16  # floats that are on their way from file to file; they stay in the processor's cache
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
class StoredFloats:
    """Consecutive floats of an open file, read each time that numpy takes them as an array.

    Attributes:
        file: that holds them.
        start: the byte of the first.
        shape: that the array has.
    """

    file: OpenFile
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> StoredFloats:
        first, stop, _ = part.indices(len(self))
        at = self.start + first * math.prod(self.shape[1:]) * FLOAT.itemsize
        return StoredFloats(self.file, at, (max(stop - first, 0), *self.shape[1:]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        values = np.empty(self.shape, FLOAT)
        self.read_into(values)
        values.flags.writeable = False
        return values if dtype is None else values.astype(dtype, copy=False)

    def reshape(self, *shape: int) -> StoredFloats:
        """The same floats in another shape, of which one number may be -1, as in numpy."""
        known = math.prod(number for number in shape if number >= 0)
        return StoredFloats(
            self.file, self.start, tuple(self.size // known if number < 0 else number for number in shape)
        )

    def read_into(self, values: Floats) -> None:
        """Read all floats into an array of as many.

        Raises:
            DarkshareError: the file was cut off or written into since it was opened.
        """
        self.file.read_into(self.start, values)


Run = Floats | StoredFloats


@dataclass(frozen=True, eq=False)
class Weights:
    """A header and one vector of floats, held as consecutive runs so that splicing copies nothing.

    Attributes:
        header: the version and `seen`.
        runs: consecutive parts of the vector, each a stretch of a file or an array.
        path: the file it was read from, or "".
    """

    header: Header
    runs: tuple[Run, ...]
    path: str = ""

    @property
    def size(self) -> int:
        """Number of floats."""
        return sum(run.size for run in self.runs)

    def __repr__(self) -> str:
        *version, seen = self.header
        name, version_text = printable(self.path or "unnamed"), ".".join(map(str, version))
        return f"<Weights {name}: {self.size:,} floats, version {version_text}, seen {seen:,}>"

    def slice(self, start: int, stop: int) -> tuple[Run, ...]:
        """Give the runs of floats start..stop-1, without reading or copying them."""
        found, begin = [], 0
        for run in self.runs:
            piece = run[max(start - begin, 0) : max(stop - begin, 0)]
            if piece.size:
                found.append(piece)
            begin += run.size
        return tuple(found)

    def view(self, start: int, stop: int) -> Floats:
        """Give floats start..stop-1 as one read-only array: a view where they are in memory, else read from the file.

        Raises:
            DarkshareError: the file was cut off or written into since it was opened.
        """
        runs = self.slice(start, stop)
        if len(runs) == 1:
            return np.asarray(runs[0])
        values, at = np.empty(sum(run.size for run in runs), FLOAT), 0
        for run in runs:
            part = values[at : at + run.size]
            if isinstance(run, StoredFloats):
                run.read_into(part)
            else:
                part[:] = run
            at += run.size
        values.flags.writeable = False
        return values


def read_weights(path: str | os.PathLike[str], *, dialect: str = "alexeyab") -> Weights:
    """Open a weights file; its floats are read when they are used.

    Raises:
        DarkshareError: the file cannot be read.
        WeightsSize: it ends inside the header, or not on a whole float.
    """
    name, file = os.fspath(path), OpenFile(path)
    head = bytearray(min(file.size, 100))
    file.read_into(0, head)
    require_itself(path, head)
    header, length = _header(head, dialect, name)
    body = file.size - length
    if body % FLOAT.itemsize:
        raise WeightsSize(
            f"{body} bytes behind the {length}-byte header are not a whole number of floats; "
            "the file was cut off or is not a Darknet weights file",
            file=name,
        )
    return Weights(header, (StoredFloats(file, length, (body // FLOAT.itemsize,)),), name)


def parse_header(head: bytes | bytearray, dialect: str) -> tuple[Header, int]:
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


def _header(head: bytes | bytearray, dialect: str, name: str) -> tuple[Header, int]:
    try:
        return parse_header(head, dialect)
    except BadValue as error:
        raise WeightsSize(f"{error.message}; this is not a Darknet weights file", file=name) from None


def chunks(runs: Iterable[Run]) -> Iterator[Floats]:
    """Yield the floats of runs in pieces; the next may overwrite the one before, so that memory stays flat."""
    buffer = np.empty(PIECE, FLOAT)
    for run in runs:
        for start in range(0, run.size, PIECE):
            piece = run[start : start + PIECE]
            if isinstance(piece, StoredFloats):
                piece.read_into(buffer[: piece.size])
                piece = buffer[: piece.size]
            yield piece
