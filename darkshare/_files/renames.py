"""Renames that happen for all files of a set or for none, also when the process is killed between two of them.

Every file, or folder, is complete under a temporary name beside its own before the first rename. A record beside them
tells what is under way: the old ones are kept under further temporary names until it is gone. Temporary names tell
which process they belong to; what a killed one left is undone, and removed, by the next that writes or loads there.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from threading import Thread

from darkshare.errors import warn

AGE = 86400  # seconds; what another machine or container left is nobody's any more when it is older
_NAME = re.compile(r"\.darkshare-([0-9a-f]{8})-(\d+)-(\d+)-\d+(\.set|\.old)?")
_RECORD, _OLD = ".set", ".old"
_numbers = count()
_tended: set[str] = set()  # folders, so that a run of 10 000 pictures looks once
_clean: dict[str, int] = {}  # folders without temporary names, with their last change: what loads 200 models looks once
_LARGE = 2**24  # bytes
_SETTLED = 10**9  # nanoseconds after which the next change of a folder has another time


def temporary(path: Path, suffix: str = "") -> Path:
    """A new name beside a file or folder, of this process; long names have one too."""
    return path.parent / f".darkshare-{_here()}-{os.getpid()}-{_start(os.getpid())}-{next(_numbers)}{suffix}"


def rename_all(made: Mapping[Path, Path], *, durable: bool = True) -> None:
    """Give files or folders their names, all or none.

    Args:
        made: for each name the temporary one, which is from `temporary`.
        durable: also when power is lost.

    Raises:
        OSError: a name cannot be given; the old ones are back then.
    """
    is_set = len(made) > 1 or any(path.is_dir() for path in made.values())
    folders = {path.parent: None for path in made} if is_set else {}
    with _locked(folders):
        _rename(made, folders, durable=durable)


def _rename(made: Mapping[Path, Path], folders: Iterable[Path], *, durable: bool) -> None:
    records: list[Path] = []
    try:
        for folder in folders:
            records.append(temporary(folder / _RECORD, _RECORD))
            _record(records[-1], {t: n for t, n in made.items() if t.parent == folder}, durable=durable)
        if durable:
            _sync_folders(folders)
        for target, new in made.items():
            if records:
                _set_aside(target, _old(new))
            new.replace(target)
        if durable:
            _sync_folders({path.parent: None for path in made})
    except BaseException:
        for record in records:
            _undo(record)
        raise
    else:
        for record in records:
            record.unlink()
    finally:
        for new in made.values() if records and not any(map(os.path.lexists, records)) else ():
            with contextlib.suppress(OSError):  # the next run tries again
                _remove_at_once(_old(new))


@contextlib.contextmanager
def _locked(folders: Iterable[Path]) -> Iterator[None]:
    """Let no other process rename or undo in these folders meanwhile, where the system locks folders."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with contextlib.ExitStack() as stack:
        for folder in sorted({os.path.realpath(one) for one in folders}):
            with contextlib.suppress(OSError):
                handle = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, handle)
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def undo_killed(folder: Path) -> None:
    """Undo the half-done renames of killed processes in a folder, and say so.

    Raises:
        OSError: that cannot be done.
    """
    records = [path for path in _left(folder) if path.suffix == _RECORD]
    with _locked([folder] if records else []):
        for record in records:
            if names := _undo(record):
                warn(f"{folder}: a run was killed while it wrote {', '.join(names)}; what was there before is back")


def tend(folder: Path) -> None:
    """Undo the half-done renames of killed processes in a folder, and remove what they left; once for each folder.

    Raises:
        OSError: that cannot be done.
    """
    whole = os.path.abspath(folder)  # noqa: PTH100 - links stay as they are
    if whole not in _tended:
        undo_killed(folder)
        for path in _left(folder):
            _remove(path)
        _tended.add(whole)


def _left(folder: Path) -> list[Path]:
    whole, now = os.path.abspath(folder), time.time_ns()  # noqa: PTH100 - links stay as they are
    try:
        changed = folder.stat().st_mtime_ns
        if _clean.get(whole) == changed:
            return []
        names = os.listdir(folder)  # noqa: PTH208 - a path for each of many names takes three times as long
    except (OSError, ValueError):  # nothing is there, or not for us
        return []
    found = [match for name in names if (match := _NAME.fullmatch(name))]
    if not found and now - changed > _SETTLED:
        _clean[whole] = changed
    return [folder / match[0] for match in found if _is_left(folder, match)]


def _is_left(folder: Path, name: re.Match[str]) -> bool:
    """Whether a temporary file belongs to none that runs, and is ours to remove."""
    try:
        found = os.lstat(folder / name[0])
    except FileNotFoundError:
        return False
    if found.st_uid != getattr(os, "geteuid", int)() or not (
        stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    ):
        return False
    if name[1] != _here() or os.name == "nt":
        return time.time() - found.st_mtime > AGE
    return _start(int(name[2])) != int(name[3])


def _sync_folders(folders: Iterable[Path]) -> None:
    """Wait until the names in folders are on disk, where the system can tell."""
    for folder in folders:
        try:
            handle = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(handle)


def _old(new: Path) -> Path:
    return new.with_name(new.name + _OLD)


def _set_aside(target: Path, old: Path) -> None:
    """Keep a file under another name, too; where there are no hard links, and for folders, under that alone."""
    if not os.path.lexists(target):
        return
    try:
        os.link(target, old, follow_symlinks=False)
    except OSError:
        target.rename(old)


def _record(path: Path, made: Mapping[Path, Path], *, durable: bool) -> None:
    """Note what is about to get which name: [name, temporary name, its inode, whether the name is taken]."""
    about = [(t.name, new.name, new.stat().st_ino, os.path.lexists(t)) for t, new in made.items()]
    with open(path, "x", encoding="ascii") as file:
        json.dump(about, file)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _undo(record: Path) -> list[str]:
    """Give names back to the files that had them, and remove the record; what others wrote since then stays.

    Returns:
        The names that were given back or taken away.
    """
    undone = []
    for name, temporary_name, inode, taken in _entries(record):
        target, old = record.parent / name, record.parent / f"{temporary_name}{_OLD}"
        there = target.lstat().st_ino if os.path.lexists(target) else None
        if there not in (None, inode):
            continue
        if os.path.lexists(old):
            if there is not None:
                _remove_folder(target)
            old.replace(target)
            undone.append(name)
        elif there is not None and not taken:
            _remove(target)
            undone.append(name)
    _remove(record)
    return undone


def _entries(record: Path) -> list[tuple[str, str, int, bool]]:
    """The entries of a record; none where it is not complete, or speaks of anything but this folder's files."""
    try:
        if not os.path.lexists(record):
            return []
        entries = [(str(n), str(t), int(i), bool(taken)) for n, t, i, taken in json.loads(record.read_bytes())]
    except (ValueError, TypeError, RecursionError):
        return []
    plain = all(Path(name).name == name and _NAME.fullmatch(new) for name, new, *_ in entries)
    return entries if plain else []


def _remove(path: Path) -> None:
    _remove_folder(path)
    path.unlink(missing_ok=True)


def _remove_at_once(path: Path) -> None:
    """Remove a name; what a large file took is freed in a thread, since that takes half as long as to write it."""
    handle = None
    with contextlib.suppress(OSError):  # not there, or without permission to read it
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_size >= _LARGE and os.name != "nt":  # which keeps what is open
            handle = os.open(path, os.O_RDONLY)
    _remove(path)
    if handle is not None:
        Thread(target=os.close, args=(handle,)).start()


def _remove_folder(path: Path) -> None:
    """Remove a folder, since no rename replaces one that holds something."""
    if path.is_dir() and not path.is_symlink():
        import shutil

        shutil.rmtree(path)


@cache
def _here() -> str:
    """A mark of this machine and its numbering of processes, which a container has for itself."""
    import hashlib
    import platform

    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def _start(process: int) -> int:
    """When a process began, in ticks since the machine did; 0 where that is not known, -1 where it has ended."""
    if os.name == "nt":  # asking would end it there
        return 0
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return -1
    except (OSError, OverflowError):
        pass
    try:
        return int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0
