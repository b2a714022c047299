"""Child processes that import what this one does, and nothing from the folder that they run in.

Python's `-m` would look for every module in that folder first, and the loader of programs for every library, since
importing cv2 leaves an empty entry in its path. A folder of pictures may hold files of such names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from darkshare._files import resolved

_ROOT = Path(__file__).resolve().parents[1]
_RUN = "import sys; name, *sys.path = sys.argv[1:]; from importlib import import_module; import_module(name).main()"
_LIBRARIES = "LD_LIBRARY_PATH"


def start(
    module: str, folder: Path, errors: IO[bytes], variables: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Run the `main` of a module in a process of its own, with pipes for what it reads and writes.

    Args:
        module: its full name.
        folder: that it runs in.
        errors: the file for its stderr.
        variables: of its environment, beside this one's.
    """
    unwritten = ["-B"] if sys.dont_write_bytecode else []  # isolated, it does not see Python's variables
    return subprocess.Popen(  # noqa: S603 - of this Python and of modules of ours
        [sys.executable, "-I", *unwritten, "-c", _RUN, module, *_places(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=folder,
        env=environment(variables),
        start_new_session=True,  # an interrupt is for the parent, which then ends it
        text=True,
        encoding="utf-8",
    )


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the variables of a child process: this one's and more, without the empty entry that importing cv2 leaves."""
    found = {**os.environ, **(variables or {})}
    if _LIBRARIES in found:
        found[_LIBRARIES] = os.pathsep.join(filter(None, found[_LIBRARIES].split(os.pathsep)))
    return found


def _places(folder: Path) -> list[str]:
    """The folders that modules are looked for in: without those that this process and the child run in.

    One of these stays where darkshare itself lies in it.
    """
    own = {resolved(place) for place in (Path.cwd(), folder)} - {_ROOT}
    return [place for place in map(os.path.abspath, sys.path) if resolved(place) not in own]
