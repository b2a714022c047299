"""Files that are read piece by piece, while others may write into them.

Nothing is mapped into memory: whoever reads a map behind the new end of its file is killed by the system (SIGBUS), and
sees half of what another process writes. A read says how much it got, and the file's state when it was opened is
compared after it.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from threading import Lock
from typing import Any, overload
from zlib import crc32

from darkshare._files import changed, failure, reading, require_regular, require_unchanged, version_of, writing

HASHED = 2**18  # bytes; read and hashed before they leave the processor's cache
BLOCK = 2**12  # bytes that are read where one is asked for


def sha256(path: str | os.PathLike[str]) -> str:
    """Compute the SHA-256 of a file, in hexadecimal.

    Raises:
        DarkshareError: it is not as it was when the running command read it.
    """
    import hashlib  # here, because most commands never need it and it takes longer than they do

    digest = hashlib.sha256()
    for part in _parts(path):
        digest.update(part)
    return digest.hexdigest()


class Fingerprint:
    """A mark that tells a file's content from others: the SHA-256 of the CRC-32 of each 256 KiB, low byte first.

    SHA-256 itself takes ten times as long on processors without instructions for it. A forger could keep a fingerprint.

    Attributes:
        crcs: of the whole pieces so far, four bytes each.
    """

    def __init__(self) -> None:
        import hashlib  # here, as in `sha256`

        self.crcs = bytearray()
        self._sha256, self._crc, self._left = hashlib.sha256, 0, HASHED

    def update(self, buffer: Any) -> None:
        """Take in the bytes that come next."""
        rest = memoryview(buffer).cast("B")
        while len(rest):
            part, rest = rest[: self._left], rest[self._left :]
            self._crc, self._left = crc32(part, self._crc), self._left - len(part)
            if not self._left:
                self.crcs += self._crc.to_bytes(4, "little")
                self._crc, self._left = 0, HASHED

    def text(self) -> str:
        """The fingerprint of all bytes so far."""
        last = self._crc.to_bytes(4, "little") if self._left < HASHED else b""
        return f"crc32:{self._sha256(self.crcs + last).hexdigest()}"


def fingerprint(path: str | os.PathLike[str], like: Fingerprint | None = None, stop: int = 0) -> str:
    """Compute the `Fingerprint` of a file.

    Args:
        path: the file.
        like: that of another file, which has the same bytes behind the first 256 KiB, so that they need not be read.
        stop: the byte up to which it has.

    Raises:
        DarkshareError: it is not as it was when the running command read it.
    """
    found, known = Fingerprint(), like.crcs[4 : stop // HASHED * 4] if like else bytearray()
    for part in _parts(path, len(known) // 4):
        found.update(part)
        found.crcs += known
        known = bytearray()
    return found.text()


def is_file_of(path: str | os.PathLike[str], known: str) -> bool:
    """Say whether a file has a fingerprint: one of these, or a SHA-256, `sha256:` before it, as files once had.

    Raises:
        DarkshareError: it is not as it was when the running command read it.
    """
    return known == (f"sha256:{sha256(path)}" if known.startswith("sha256:") else fingerprint(path))


def _parts(path: str | os.PathLike[str], skipped: int = 0) -> Iterator[memoryview]:
    """The bytes of a file in pieces, each of which is overwritten by the next; so many are skipped behind the first."""
    buffer = bytearray(HASHED)
    with open(path, "rb") as file:
        while count := file.readinto(buffer):
            yield memoryview(buffer)[:count]
            file.seek(skipped * HASHED, os.SEEK_CUR)
            skipped = 0
        require_unchanged(path, os.fstat(file.fileno()))


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
