"""Folders for what is only needed while a command runs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from darkshare._files import failure
from darkshare._files.renames import temporary, tend


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give an empty folder among the system's temporary ones, which is gone behind the block.

    What killed processes left there is removed first.

    Raises:
        DarkshareError: it cannot be made, or the block could not write into it.
    """
    home = Path(tempfile.gettempdir())
    with contextlib.suppress(OSError):
        tend(home)
    folder = temporary(home / "scratch")
    try:
        folder.mkdir(0o700)
        yield folder
    except OSError as error:
        raise failure("written", error.filename or folder, error) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
