"""File names as models: which weights belong to which cfg."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from darkshare.errors import BadValue

_OF_MODEL = re.compile(r"\.(cfg|weights|backup|conv\.\d+)$")
EXPORTED = (".onnx", ".xml")  # files that `export` makes for engines


class Files(NamedTuple):
    """The files of one model; without weights, those of the cfg's stem are taken, if there are any (see `load`)."""

    cfg: str
    weights: str | None


def is_of_model(path: str | os.PathLike[str]) -> bool:
    """Whether a name is a cfg's or one of those that Darknet gives weights: x.weights, x.backup, x.conv.15."""
    return _OF_MODEL.search(os.fspath(path)) is not None


def pair(paths: Sequence[str | os.PathLike[str]]) -> list[Files]:
    """Sort file names into models.

    Each .cfg starts a model; weights behind it are that model's; further weights are another model with the same cfg.

    Raises:
        BadValue: a file before the first .cfg, or one that was exported.
    """
    found: list[Files] = []
    for path in (os.fspath(path) for path in paths):
        if Path(path).suffix == ".cfg":
            found.append(Files(path, None))
        elif Path(path).suffix in EXPORTED:
            raise BadValue("is an exported file; give the .cfg that it was made from", file=path)
        elif not found and not is_of_model(path):
            raise BadValue("expected a .cfg file first, then its .weights", file=path)
        elif not found:
            raise BadValue("give the .cfg that these weights belong to before it", file=path)
        elif found[-1].weights is None:
            found[-1] = Files(found[-1].cfg, path)
        else:
            found.append(Files(found[-1].cfg, path))
    return found
