"""Commands under faults, each in a forked process and a new copy of the same folder, and what is left behind.

The folder holds `in`, which no command may change, and `out`, with what the same command wrote for other inputs. What
is right is found by comparing bytes: each set of files is as it was, or as the undisturbed command writes it.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from faults.injecting import note_opened

from darkshare._files import renames
from darkshare.cli import main

Tree = dict[str, object]
MISSING = "missing"
MARK = ".darkshare-"
SLOW = 50  # the cost of what takes seconds
SIZE = "64m"
PROBES = (b"", b"blat")  # what Python's tempfile holds when it tries whether a folder can be written
NEW_MOUNTS = 0x20000  # CLONE_NEWNS


@dataclass(frozen=True)
class Row:
    """A command that writes.

    Attributes:
        name: of the command, and what is special about this row behind it.
        words: with inputs in `in` and outputs in `out`.
        make: writes the inputs, of two kinds.
        apart: whether each file is a set of its own; else all of `out` is one, but for what `sets` says.
        sets: the name of the set that a file belongs to, by the first pattern that it matches; none for one of its own.
        grows: what holds as much as there was when the command ended, as a pattern.
        spares: how the command says that it goes on without what it cannot read.
        vague: what differs from run to run, such as times, as patterns that are cut out.
        leaves: what the next run goes on from, as a pattern of whole paths.
        is_own: whether it goes on with what lies in `out`, and refuses that of other inputs; `out` is empty then.
        is_folder: whether `out` holds one folder that is replaced as a whole, with all links in it.
        cost: by how much fewer faults are tried than of a command that takes no time, unless all are.
    """

    name: str
    words: str
    make: Callable[[Path, int], None]
    sets: Mapping[str, str] = field(default_factory=dict)
    apart: bool = False
    grows: str = "(?!)"
    spares: str = "(?!)"
    vague: Sequence[str] = ()
    leaves: str = "(?!)"
    is_own: bool = False
    is_folder: bool = False
    cost: int = 1


class Ended(NamedTuple):
    """How a process ended: its exit code, below 0 the signal that killed it, and what it said."""

    code: int
    said: str


def tree(folder: Path) -> Tree:
    """Everything in a folder: bytes, where links lead to, and None for folders."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = f"-> {path.readlink()}" if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


def own_mounts() -> str:
    """Let this process mount what no other sees; say why it cannot, or nothing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS):
        return os.strerror(ctypes.get_errno())
    return mount("--make-rprivate", "/")


def mount(*words: object) -> str:
    """Run `mount`; say why it failed, or nothing."""
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    return done.stderr.strip() or str(done.returncode or "")


class Bench:
    """One command and the folder that it runs in, time and again.

    Args:
        row: the command.
        base: an empty folder.
        mounts: whether this process may mount.
    """

    def __init__(self, row: Row, base: Path, *, mounts: bool) -> None:
        self.row, self.base, self.mounts = row, base, mounts
        self.cell, self.temporary = base / "cell", base / "tmp"
        self.words = row.words.split()
        for folder in (base, self.temporary):
            folder.mkdir(exist_ok=True)
            assert not mounts or not mount("-t", "tmpfs", "-o", f"size={SIZE}", "none", folder)
        os.environ["TMPDIR"] = str(self.temporary)
        tempfile.tempdir = None
        self._template, self._modules = base / "template", base / "modules"
        self.prepare(1)
        self._keep(self.cell)
        self.seconds, self.new, self.old = 0.0, Tree(), Tree()
        fresh = self.undisturbed()
        self._import()
        if not row.is_own:
            self._write_old(fresh)
        self.restore()
        self.before = tree(self.cell)
        self.new = self.undisturbed()
        self.says = set(self.ended.said.splitlines())
        assert self.new == fresh, f"not the same: {differing(self.new, fresh)}"
        assert row.is_own or set(self.new) == set(self.old), f"not the same files: {set(self.new) ^ set(self.old)}"

    def _import(self) -> None:
        """Import what the first run imported, so that no other needs to."""
        for name in self._modules.read_text().splitlines():
            with suppress(Exception):
                import_module(name)

    def _write_old(self, new: Tree) -> None:
        """Let the command write into `out` for other inputs."""
        self.prepare(2)
        self.old = self.undisturbed()
        self._differ(new)
        old = self.base / "old"
        (self.cell / "out").rename(old)
        self.prepare(1)
        (self.cell / "out").rmdir()
        old.rename(self.cell / "out")
        self._keep(self.cell)

    def _differ(self, new: Tree) -> None:
        """Let every set be another one before the command than behind it, also where it always writes the same."""
        alike = set(map(self.set_of, self.old))
        alike -= {self.set_of(name) for name in differing(self.old, new)}
        for name, value in self.old.items():
            if self.set_of(name) in alike and isinstance(value, bytes):
                self.old[name] = value + b"old"
                (self.cell / name).write_bytes((self.cell / name).read_bytes() + b"old")

    def prepare(self, kind: int) -> None:
        """Make the folder with inputs of one of the two kinds, and nothing written."""
        shutil.rmtree(self.cell, ignore_errors=True)
        (self.cell / "in").mkdir(parents=True)
        (self.cell / "out").mkdir()
        self.row.make(self.cell / "in", kind)

    def _keep(self, folder: Path) -> None:
        shutil.rmtree(self._template, ignore_errors=True)
        shutil.copytree(folder, self._template, symlinks=True)

    def restore(self, *, fresh: bool = False) -> None:
        """Bring the folder back to how it is before the command, or before it was ever run."""
        shutil.rmtree(self.cell, ignore_errors=True)
        shutil.copytree(self._template, self.cell, symlinks=True)
        if fresh:
            shutil.rmtree(self.cell / "out")
            (self.cell / "out").mkdir()
        for path in self.temporary.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def undisturbed(self) -> Tree:
        """What the command writes, cleared of what is vague."""
        begun = time.monotonic()
        self.ended = self.run()
        self.seconds = time.monotonic() - begun
        assert self.ended.code == 0, f"{self.row.name}: {self.ended.said}"
        return self.written(tree(self.cell))

    def read(self) -> list[str]:
        """The inputs that the command opens."""
        log = self.base / "log"
        self.restore()
        self.run(lambda: note_opened(self.cell / "in", os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)))
        return sorted({Path(line).relative_to(self.cell).as_posix() for line in log.read_text().splitlines()})

    def written(self, left: Tree) -> Tree:
        """What of a tree lies in `out`, cleared of what is vague."""
        return {name: self._cleared(value) for name, value in left.items() if name.startswith("out/")}

    def _cleared(self, value: object) -> object:
        if isinstance(value, bytes):
            for pattern in self.row.vague:
                value = re.sub(pattern.encode(), b"", value)
        return value

    def set_of(self, name: str) -> str:
        """The set that a file belongs to; none for what grows, for folders and for temporary files."""
        if MARK in name or re.search(self.row.grows, name) or self.new.get(name, self.old.get(name)) is None:
            return ""
        if self.row.apart:
            return name
        return next((one or name for pattern, one in self.row.sets.items() if re.search(pattern, name)), "all")

    # --- processes

    def start(self, inside: Callable[[], object] = lambda: None, words: Sequence[str] = ()) -> tuple[int, int]:
        """Start the command in a process; gives that and the pipe with what it says.

        Args:
            inside: called there before it.
            words: instead of the row's.
        """
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            self._child(writer, inside, words or self.words)
        os.close(writer)
        return child, reader

    def _child(self, writer: int, inside: Callable[[], object], words: Sequence[str]) -> None:
        code = 70
        try:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, 0)
            os.dup2(nowhere, 1)
            os.dup2(writer, 2)
            os.close(nowhere)
            os.close(writer)
            os.chdir(self.cell)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115 - new pipes
            inside()
            main(list(words), prog_name="darkshare")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:  # what fails in the child must not go on as a second matrix
            if not self.seconds:
                self._modules.write_text("\n".join(sys.modules))
            os._exit(code)

    def wait(self, child: int, reader: int) -> Ended:
        """Wait for its end."""
        with open(reader, "rb") as pipe:
            said = pipe.read().decode("utf-8", "replace")
        _, status = os.waitpid(child, 0)
        return Ended(os.waitstatus_to_exitcode(status), said)

    def run(self, inside: Callable[[], object] = lambda: None, words: Sequence[str] = ()) -> Ended:
        """Start the command and wait for its end."""
        return self.wait(*self.start(inside, words))

    def recover(self) -> Tree:
        """The files behind the next run, which undoes and cleans what was left where it writes and keeps scratch."""

        folders = {path.parent for place in (self.cell, self.temporary) for path in place.rglob(f"{MARK}*")}
        renames._tended.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for folder in sorted(folders, reverse=True):
                renames.tend(folder)
        return tree(self.cell)

    # --- judging

    def wrong(self, left: Tree, said: str) -> list[str]:
        """All that is wrong with what a run, which said that, and the next one left."""
        found = [f"input {n} is not what it was" for n in differing(self.inputs(left), self.inputs(self.before))]
        found += [f"{name} is left" for name in left if MARK in name]
        scraps = [path for path in self.temporary.rglob("*") if path.is_dir() or path.read_bytes() not in PROBES]
        found += [f"{path} is left" for path in scraps]
        out = {name: value for name, value in self.written(left).items() if MARK not in name}
        known = re.compile(f"in|out$|{self.row.leaves}|.*{re.escape(MARK)}")
        found += [f"{name} is not of this command" for name in left if name not in self.new and not known.match(name)]
        for name in filter(None, dict.fromkeys(map(self.set_of, self.new))):
            if self.state(name, out) not in ("old", "new") and not self.spares(said):
                found.append(f"set {name!r} is {self.state(name, out)}")
        grown = {name for name in out if re.search(self.row.grows, name) and isinstance(out[name], bytes)}
        wholes = (self.new, self.old)
        return found + [f"{n} is broken" for n in grown if not any(is_part(n, out[n], one.get(n)) for one in wholes)]

    def spares(self, said: str) -> bool:
        """Whether the command said that it goes on without what it cannot read."""
        return bool(re.search(self.row.spares, said))

    def inputs(self, left: Tree) -> Tree:
        """What lies in `in`."""
        return {name: value for name, value in left.items() if name.startswith("in/")}

    def state(self, name: str, out: Tree) -> str:
        """Whether a set is old or new; which files are neither, or what of each, where it is not."""
        mine = [one for one in self.new if self.set_of(one) == name]
        states = {"old": self.old, "new": self.new}
        for what, files in states.items():
            if all(out.get(one, MISSING) == files.get(one, MISSING) for one in mine):
                return what
        alike = {
            one: [what for what, files in states.items() if out.get(one, MISSING) == files.get(one, MISSING)]
            for one in mine
        }
        return json.dumps(alike)

    def outcome(self, left: Tree) -> str:
        """Whether all sets are old, or new, or some of each."""
        out = self.written(left)
        found = {self.state(name, out) for name in map(self.set_of, self.new) if name}
        return found.pop() if len(found) == 1 else "each old or new"


def is_part(name: str, data: object, whole: object) -> bool:
    """Whether a file that holds as much as there was when a command ended is the begin of a whole one.

    A video and the journal of a training are not looked into. JSON is a document in any case.
    """
    if name.endswith((".avi", "net.csv")):
        return True
    if not isinstance(data, bytes) or not isinstance(whole, bytes):
        return False
    if not name.endswith(".json"):
        return whole.startswith(data.rstrip())
    try:
        lists = [found if isinstance(found, list) else found["images"] for found in map(json.loads, (data, whole))]
    except ValueError:
        return False
    return lists[0] == lists[1][: len(lists[0])]


def differing(one: Tree, other: Tree) -> list[str]:
    """The names that two trees differ in."""
    return sorted(name for name in {*one, *other} if one.get(name, MISSING) != other.get(name, MISSING))
