"""File names as models: which weights belong to which cfg."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from darkshare.errors import BadValue


class Files(NamedTuple):
    """The files of one model; without weights, those of the cfg's stem are taken, if there are any (see `load`)."""

    cfg: str
    weights: str | None


def pair(paths: Sequence[str | os.PathLike[str]]) -> list[Files]:
    """Sort file names into models.

    Each .cfg starts a model; a .weights behind it is that model's; a further .weights is another model with the same
    cfg.

    Raises:
        BadValue: a file before the first .cfg.
    """
    found: list[Files] = []
    for path in (os.fspath(path) for path in paths):
        suffix = Path(path).suffix
        if suffix == ".cfg":
            found.append(Files(path, None))
        elif not found and suffix != ".weights":
            raise BadValue("expected a .cfg file first, then its .weights", file=path)
        elif not found:
            raise BadValue("give the .cfg that these weights belong to before it", file=path)
        elif found[-1].weights is None:
            found[-1] = Files(found[-1].cfg, path)
        else:
            found.append(Files(found[-1].cfg, path))
    return found
