"""Files that are either written whole or not at all, and their fingerprints."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._files.renames import rename_all, temporary, tend
from darkshare.errors import BadValue, DarkshareError

if TYPE_CHECKING:
    from concurrent.futures import Future

CHUNK = 4 * 2**20  # bytes
SYNC = 64 * 2**20  # bytes; a disk that begins to write while there is more to come is done sooner
SYNCERS = 4  # threads that wait for the disk
LARGEST_TEXT = 2**20  # bytes; the names of 20 000 classes take a third of it
_READ: set[tuple[int, int] | Path] = set()  # device and inode; see `keeping_inputs`
_WRITTEN: set[tuple[int, int] | Path] = set()
_VERSIONS: dict[str, tuple[int, ...]] = {}  # of what was read, by name
_BLOCKS: list[None] = []  # one for each that is entered
STAND_INS = {  # what comes in place of a file where a download or a checkout went wrong, by how it begins
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself; get that with: git lfs pull",
    b"<!doctype html": "is a web page, not the file itself; download that again, and look at the page for why",
    b"<html": "is a web page, not the file itself; download that again, and look at the page for why",
    b"pk\x03\x04": "is a ZIP archive, as PyTorch's .pt files are; unpack it, or get the file that Darknet wrote",
    b"\x1f\x8b": "is compressed with gzip; unpack it with: gunzip",
    b"\x89hdf": "is an HDF5 file, as Keras writes; get the file that Darknet wrote",
}
PROMISED = {  # the formats that people expect behind these suffixes
    **dict.fromkeys((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"), "a picture"),
    **dict.fromkeys((".pdf", ".svg"), "a figure"),
    **dict.fromkeys((".avi", ".mkv", ".mov", ".mp4", ".webm"), "a video"),
    **dict.fromkeys((".h5", ".keras", ".pb", ".tflite"), "a TensorFlow model"),
    **dict.fromkeys((".pt", ".pth", ".safetensors"), "a PyTorch model"),
    **dict.fromkeys((".bin", ".xml"), "an OpenVINO model"),
    **dict.fromkeys((".htm", ".html"), "a web page"),
    **dict.fromkeys((".tar", ".gz", ".zip"), "an archive"),
    ".onnx": "an ONNX model", ".engine": "a TensorRT model", ".param": "an ncnn model", ".mlmodel": "a Core ML model",
    ".cfg": "a Darknet cfg", ".weights": "Darknet weights", ".names": "class names", ".data": "a .data file",
    ".csv": "a table in CSV", ".json": "JSON", ".md": "Markdown", ".txt": "text", ".xlsx": "an Excel table",
}  # fmt: skip


def require_promise(path: str | os.PathLike[str], what: str, *right: str, cure: str = "") -> None:
    """Refuse a name that promises another format than what is written under it.

    Args:
        path: the name.
        what: is written.
        right: the suffixes that promise it; others that promise nothing are allowed too.
        cure: for a name that promises something else; without it, to choose another one.

    Raises:
        BadValue: it promises something else.
    """
    suffix = Path(path).suffix.lower()
    if suffix in PROMISED and suffix not in right:
        cure = cure or (f"end it in {right[0]}" if right else f"leave out {suffix}")
        raise BadValue(f"would be {what}, but the name promises {PROMISED[suffix]}; {cure}", file=str(path))


def failure(verb: str, path: str | os.PathLike[str], error: OSError) -> DarkshareError:
    """The error of a file that cannot be read or written."""
    hint = ""
    if isinstance(error, FileNotFoundError):
        from darkshare._files.nearby import nearby

        hint = nearby(path)
    return DarkshareError(f"cannot be {verb}: {error.strerror or error}{hint}", file=str(path))


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError while a file is read into a `DarkshareError` that names the file.

    What is neither a file nor a folder is refused first: a pipe would block, a device never end.

    Raises:
        DarkshareError: in place of an OSError.
    """
    if "\0" in os.fspath(path):
        raise DarkshareError("holds a NUL byte, which no path does; correct the name", file=str(path))
    try:
        _refuse_special(path)
        yield
    except OSError as error:
        raise failure("read", path, error) from None


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError while a file is written into a `DarkshareError` that names the file; see `reading`.

    Raises:
        DarkshareError: in place of an OSError.
    """
    try:
        _refuse_special(path)
        yield
    except OSError as error:
        raise failure("written", path, error) from None


def _refuse_special(path: str | os.PathLike[str]) -> None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as in `exists`
    except (OSError, ValueError):  # nothing is there; whoever opens it is told why
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "not a regular file")


def write_all(contents: Mapping[Path, Iterable[Any]], *, durable: bool = True, own: bool = False) -> None:
    """Write several files so that a failure leaves all old files or all new ones, never half of one.

    Everything goes to temporary siblings first; only when all are complete and on disk are they renamed. What a kill
    between two renames leaves is undone by the next run that writes or loads there.

    Args:
        contents: for each path the buffers (bytes or contiguous arrays) to write one after another.
        durable: wait until they are on disk; without it, a loss of power may cost files that can be made again.
        own: they are state that a run goes on from, and so reads before it replaces it; see `keeping_inputs`.

    Raises:
        DarkshareError: a file cannot be written, or was read by this run; nothing was replaced then.
    """
    from concurrent.futures import ThreadPoolExecutor

    waiting: dict[Path, Path] = {}
    path = Path()
    if wrong := next((path for path in contents if "\0" in str(path)), None):
        raise DarkshareError("cannot be written: not the name of a file", file=str(wrong))
    if not own:
        require_unread(contents)
    try:
        with ThreadPoolExecutor(SYNCERS) as disk:
            syncs: list[tuple[Path, Future[None]]] = []
            for path, buffers in contents.items():
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                if not path.is_symlink():  # which is replaced itself; a device would be gone for all
                    _refuse_special(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                tend(path.parent)
                new = temporary(path)
                handle = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
                waiting[path] = new
                sync = partial(disk.submit, _sync, waiting[path]) if durable else None
                syncs += [(path, done) for done in _write(handle, buffers, sync)]
            for path, done in syncs:  # noqa: B007 - the handler below names it
                done.result()
        rename_all(waiting, durable=durable)
        _note(_WRITTEN, contents)
        for path in contents:
            _VERSIONS.pop(os.fspath(path), None)
    except OSError as error:
        named = (Path(name) for name in (error.filename2, error.filename) if name)
        raise failure("written", next((name for name in named if name in contents), path), error) from None
    finally:
        for new in waiting.values():
            with suppress(OSError):  # the next run tries again
                new.unlink(missing_ok=True)


@contextmanager
def keeping_inputs() -> Iterator[None]:
    """Refuse to replace, until the block has ended, any file that was opened to be read in it, under whatever name.

    A command is such a block. In one block within another, and in threads beside it, the same files are kept. What the
    block wrote itself it may write again, also when it has read it meanwhile.
    """
    _BLOCKS.append(None)
    try:
        yield
    finally:
        _BLOCKS.pop()
        if not _BLOCKS:
            _READ.clear()
            _WRITTEN.clear()
            _VERSIONS.clear()


def keep(*paths: str | os.PathLike[str]) -> None:
    """Count files as read that will be; see `keeping_inputs`."""
    _note(_READ, paths)


def _note(into: set[tuple[int, int] | Path], paths: Iterable[str | os.PathLike[str]]) -> None:
    if _BLOCKS:
        into.update(map(_identity, paths))


def _identity(path: str | os.PathLike[str]) -> tuple[int, int] | Path:
    """The device and inode of a file, the same under all of its names; its path where there is no file."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return resolved(path)
    return found.st_dev, found.st_ino


def pieces(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Give a file's bytes, a few megabytes at a time."""
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def require_unread(paths: Iterable[str | os.PathLike[str]], protect: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Refuse to replace an input: a file that `keeping_inputs` keeps, or one of others, under whatever name.

    Raises:
        DarkshareError: which file it is.
    """
    protected = {_identity(path) for path in protect if path}
    for path in paths if _READ or protected else ():
        found = _identity(path)
        if found in protected or (found in _READ and found not in _WRITTEN):
            raise DarkshareError("is one of the inputs and would be replaced; choose another -o", file=str(path))


def exists(path: str | os.PathLike[str]) -> bool:
    """Say whether something is there; a name that no file can have, or a link to itself, is nothing."""
    return os.path.exists(path)  # noqa: PTH110 - Path's raises there


def is_file(path: str | os.PathLike[str]) -> bool:
    """Say whether a regular file is there; a name that no file can have, or a link to itself, is none."""
    return os.path.isfile(path)  # noqa: PTH113 - Path's raises there


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Say whether a folder is there; a name that no folder can have, or a link to itself, is none."""
    return os.path.isdir(path)  # noqa: PTH112 - Path's raises there


def resolved(path: str | os.PathLike[str]) -> Path:
    """The absolute path without links, as far as they lead somewhere."""
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError):  # a link to itself, a name that no file can have
        return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps `..`


def require_regular(path: str | os.PathLike[str]) -> int:
    """Give the size of a regular file in bytes; refuse others: a pipe would block, a device never end.

    Raises:
        OSError: there is none, or it is not a regular file.
    """
    if "\0" in os.fspath(path):
        raise OSError(errno.EINVAL, "not the name of a file")
    found = Path(path).stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if _BLOCKS:
        _READ.add((found.st_dev, found.st_ino))
        _VERSIONS[os.fspath(path)] = version_of(found)
    return found.st_size


def read_names() -> list[str]:
    """The files that the running command has read so far, as it names them; see `keeping_inputs`."""
    return list(_VERSIONS)


def version_of(found: os.stat_result) -> tuple[int, ...]:
    """Tell a file as it is from another one and from itself with other content: device, inode, size, time of change."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def changed(path: str | os.PathLike[str]) -> DarkshareError:
    """The error of a file that others write into while it is read."""
    what = "was changed while it was read; wait until it is complete, then run this again"
    return DarkshareError(what, file=str(path))


def require_unchanged(path: str | os.PathLike[str], found: os.stat_result) -> None:
    """Refuse a file that is not as it was when the running command began to read it, if it did; see `keeping_inputs`.

    Raises:
        DarkshareError: others wrote into it, or replaced it.
    """
    now = version_of(found)
    if _VERSIONS.get(os.fspath(path), now) != now:
        raise changed(path)


def unicode_path(path: str | os.PathLike[str], library: str) -> str:
    """Give a path for a library that knows UTF-8 only, and may crash where a path holds other bytes.

    Raises:
        DarkshareError: the path holds such bytes.
    """
    name = os.fspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        what = f"the path holds bytes that are not UTF-8, which {library} cannot open; rename it"
        raise DarkshareError(what, file=name) from None
    return name


def stand_in(head: bytes | bytearray) -> str:
    """Say what a file is that stands in for another one; empty where it does not.

    Args:
        head: its first bytes.
    """
    begin = head.lstrip()[:40].lower()  # of these, no text, picture or weights file begins so
    return next((what for mark, what in STAND_INS.items() if begin.startswith(mark)), "")


def require_itself(path: str | os.PathLike[str], head: bytes | bytearray | None = None) -> None:
    """Refuse a file that only stands in for another one: a pointer of Git LFS, a web page.

    Args:
        path: of the file.
        head: its first bytes, if they were read.

    Raises:
        DarkshareError: with what it is and how to get the other one.
        OSError: it cannot be read.
    """
    if head is None:
        with open(path, "rb") as file:
            head = file.read(100)
    if what := stand_in(head):
        raise DarkshareError(what, file=str(path))


def read_small(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """Read a file of text of at most `largest` bytes, such as names or a description.

    Raises:
        DarkshareError: it cannot be read, or is too large for that.
    """
    with reading(path):
        size = require_regular(path)
        if size > largest:
            raise DarkshareError(f"has {size} bytes, more than any such file; is it another one?", file=str(path))
        data = path.read_bytes()
    require_itself(path, data[:100])
    return data


def _write(handle: int, buffers: Iterable[Any], sync: Callable[[], Future[None]] | None) -> list[Future[None]]:
    """Write a file and close it; returns the syncs that were started meanwhile and at the end."""
    syncs: list[Future[None]] = []
    unsynced = 0
    with open(handle, "wb", buffering=0) as file:
        for buffer in buffers:
            _write_fully(file, buffer)
            unsynced += memoryview(buffer).nbytes
            if sync and unsynced >= SYNC and all(earlier.done() for earlier in syncs):
                syncs.append(sync())
                unsynced = 0
    return [*syncs, sync()] if sync else []


def _sync(path: Path) -> None:
    """Wait until a file is on disk. Every call must be asked for its error: the system reports it once."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_fully(file: Any, buffer: Any) -> None:
    view = memoryview(buffer).cast("B")
    while len(view):
        view = view[file.write(view) :]
