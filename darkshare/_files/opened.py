"""Files that are read piece by piece, while others may write into them.

Nothing is mapped into memory: whoever reads a map behind the new end of its file is killed by the system (SIGBUS), and
sees half of what another process writes. A read says how much it got, and the file's state when it was opened is
compared after it.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from io import BufferedReader
from threading import Lock
from typing import Any, overload
from zlib import crc32

from darkshare._files import changed, failure, reading, require_regular, require_unchanged, version_of, writing

HASHED = 2**18  # bytes; read and hashed before they leave the processor's cache
HEADER = 20  # bytes of a weights file's longer header
COLUMNS = 509  # a prime, since it is of no filter that what is moved by so many numbers is in the same column
BLOCK = 2**12  # bytes that are read where one is asked for


def sha256(path: str | os.PathLike[str]) -> str:
    """Compute the SHA-256 of a file, in hexadecimal.

    Raises:
        DarkshareError: it is not as it was when the running command read it.
    """
    import hashlib  # here, because most commands never need it and it takes longer than they do

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in _parts(file):
            digest.update(part)
        require_unchanged(path, os.fstat(file.fileno()))
    return digest.hexdigest()


class Fingerprint:
    """A mark that tells a file's content from others: the SHA-256 of a CRC-32 of each piece, low byte first.

    Pieces are the first 20 bytes, as a header of weights has, and then 256 KiB each. Of a whole one, 64-bit numbers
    are written in rows of 509 and added by columns; the CRC-32 is that of the sums and of the numbers left over.
    SHA-256 of all takes many times as long where the processor has no instructions for it. A forger could keep it.

    Attributes:
        crcs: of the pieces so far, four bytes each.
    """

    def __init__(self) -> None:
        self.crcs = bytearray()
        self._begun, self._length = bytearray(), HEADER

    def update(self, buffer: Any) -> None:
        """Take in the bytes that come next."""
        rest = memoryview(buffer).cast("B")
        while len(self._begun) + len(rest) >= self._length:
            part, rest = rest[: self._length - len(self._begun)], rest[self._length - len(self._begun) :]
            self.crcs += _crc(self._begun + part if self._begun else part)
            self._begun, self._length = bytearray(), HASHED
        self._begun += rest

    def text(self) -> str:
        """The fingerprint of all bytes so far."""
        import hashlib  # here, as in `sha256`

        return f"sums:{hashlib.sha256(self.crcs + (_crc(self._begun) if self._begun else b'')).hexdigest()}"


def _crc(piece: memoryview | bytearray) -> bytes:
    if len(piece) < HASHED:
        return crc32(piece).to_bytes(4, "little")
    import numpy as np

    words = np.frombuffer(piece, "<u8")
    whole = words[: len(words) // COLUMNS * COLUMNS]
    sums = np.add.reduce(whole.reshape(-1, COLUMNS), axis=0).astype("<u8", copy=False)
    return crc32(words[whole.size :].tobytes(), crc32(sums.tobytes())).to_bytes(4, "little")


def fingerprint(path: str | os.PathLike[str], like: Fingerprint | None = None, stop: int = 0) -> str:
    """Compute the `Fingerprint` of a file.

    Args:
        path: the file.
        like: that of another file, which has the same bytes behind the header, so that they need not be read.
        stop: the byte up to which it has.

    Raises:
        DarkshareError: it is not as it was when the running command read it.
    """
    found = Fingerprint()
    known = like.crcs[4 : 4 + max(stop - HEADER, 0) // HASHED * 4] if like else bytearray()
    with open(path, "rb") as file:
        found.update(file.read(HEADER))
        found.crcs += known
        file.seek(len(known) // 4 * HASHED, os.SEEK_CUR)
        for part in _parts(file):
            found.update(part)
        require_unchanged(path, os.fstat(file.fileno()))
    return found.text()


def is_file_of(path: str | os.PathLike[str], known: str) -> bool:
    """Say whether a file has a fingerprint: one of these, or a SHA-256, `sha256:` before it, as files once had.

    Raises:
        DarkshareError: it is not as it was when the running command read it.
    """
    return known == (f"sha256:{sha256(path)}" if known.startswith("sha256:") else fingerprint(path))


def _parts(file: BufferedReader) -> Iterator[memoryview]:
    """The rest of a file in pieces, each of which is overwritten by the next."""
    buffer = bytearray(HASHED)
    while count := file.readinto(buffer):
        yield memoryview(buffer)[:count]


class OpenFile:
    """A file that is open as long as somebody holds it, so that it is the same one under another's name too.

    Args:
        path: its name.
        own: it is written here too, and so may change.

    Attributes:
        path: its name.
        size: its bytes when it was opened.

    Raises:
        DarkshareError: it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], *, own: bool = False) -> None:
        self.path, self._own = os.fspath(path), own
        with reading(path):
            require_regular(path)  # before it is opened: a pipe would block
            self._handle = os.open(path, (os.O_RDWR if own else os.O_RDONLY) | getattr(os, "O_BINARY", 0))
            weakref.finalize(self, os.close, self._handle)
            self._version = version_of(os.fstat(self._handle))
        self.size = self._version[2]

    def read_into(self, at: int, buffer: Any) -> None:
        """Fill a buffer with the bytes from `at` on.

        Raises:
            DarkshareError: the file was cut off, or written into by others, since it was opened; or cannot be read.
        """
        rest = memoryview(buffer).cast("B")
        try:
            while len(rest) and (count := _read(self._handle, at, rest)):
                at, rest = at + count, rest[count:]
            now = version_of(os.fstat(self._handle))
        except OSError as error:
            raise failure("read", self.path, error) from None
        if len(rest) or not (self._own or now == self._version):
            raise changed(self.path)

    def write(self, at: int, data: Any) -> None:
        """Write bytes from `at` on.

        Raises:
            DarkshareError: they cannot be written.
        """
        rest = memoryview(data).cast("B")
        with writing(self.path):
            while len(rest):
                count = _write(self._handle, at, rest)
                at, rest = at + count, rest[count:]

    def flush(self) -> None:
        """Have what was written on disk.

        Raises:
            DarkshareError: the disk refused it.
        """
        with writing(self.path):
            os.fsync(self._handle)


class StoredBytes:
    """The bytes of an open file, or some of them, which are read when they are asked for."""

    def __init__(self, file: OpenFile, start: int = 0, stop: int | None = None) -> None:
        self._file, self._start = file, start
        self._size = (file.size if stop is None else stop) - start
        self._block, self._at = b"", 0

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, which: int) -> int: ...
    @overload
    def __getitem__(self, which: slice) -> StoredBytes: ...
    def __getitem__(self, which: int | slice) -> int | StoredBytes:
        if isinstance(which, slice):
            first, stop, _ = which.indices(self._size)
            return StoredBytes(self._file, self._start + first, self._start + max(first, stop))
        if not 0 <= which - self._at < len(self._block):
            self._at, self._block = which, bytes(self[which : which + BLOCK])
        return self._block[which - self._at]

    def __bytes__(self) -> bytes:
        values = bytearray(self._size)
        self._file.read_into(self._start, values)
        return bytes(values)


if hasattr(os, "preadv"):

    def _read(handle: int, at: int, buffer: memoryview) -> int:
        return os.preadv(handle, [buffer], at)

    def _write(handle: int, at: int, data: memoryview) -> int:
        return os.pwrite(handle, data, at)

else:  # Windows
    _seeking = Lock()

    def _read(handle: int, at: int, buffer: memoryview) -> int:
        with _seeking, open(handle, "rb", buffering=0, closefd=False) as file:
            file.seek(at)
            return file.readinto(buffer) or 0

    def _write(handle: int, at: int, data: memoryview) -> int:
        with _seeking:
            os.lseek(handle, at, os.SEEK_SET)
            return os.write(handle, data)
