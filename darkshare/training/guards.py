"""Checks that a training makes: PyTorch, pictures, the device, memory, and the trunk, which must stay the base's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darkshare._files import is_file
from darkshare.darknet.model import Model, untransposed
from darkshare.darknet.weights import Run, chunks, read_weights
from darkshare.data import ClassifiedDataset, Dataset
from darkshare.errors import BadValue, DarkshareError, TrunkMismatch
from darkshare.training.preparation import trunk_floats
from darkshare.training.settings import DEVICES


def require_torch() -> None:
    """Refuse to begin where PyTorch is not installed.

    Raises:
        DarkshareError: with how to install it.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise DarkshareError("training needs PyTorch: pip install 'darkshare[train]'") from None


def require_pictures(data: Dataset | ClassifiedDataset) -> None:
    """Refuse a data set of which nothing can be used.

    Raises:
        DarkshareError: with the first problem.
    """
    if not data.samples:
        first = f"; the first of {len(data.findings)} problems: {data.findings[0]}" if data.findings else ""
        raise DarkshareError(f"{data.name} has no picture that could be used{first}")


def device_of(wanted: str) -> Any:
    """The device of one of DEVICES.

    Raises:
        DarkshareError: there is no GPU.
    """
    import torch

    if wanted not in DEVICES:
        raise BadValue(f"there is no device {wanted}; use one of {', '.join(DEVICES)}")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DarkshareError("there is no GPU that torch can use; take --device cpu, or a build of torch with CUDA")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def memory_of(device: Any) -> int:
    """The bytes of memory that a device has; of a CPU, those that this process may use at most."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory/memory.limit_in_bytes"))
    found = [int(text) for path in limits if is_file(path) and (text := path.read_text().strip()).isdecimal()]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *found])


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn a GPU's lack of memory into an error that says what helps."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise DarkshareError(
            "the GPU has too little memory for it; take more --subdivisions or a smaller --size"
        ) from None


def require_trunk(model: Model, base: Model, k: int, wanted: str) -> None:
    """Refuse a model whose layers 0..k-1 are not the base's, in memory and in its file as it is now.

    Raises:
        TrunkMismatch: nothing was written.
    """
    path = base.weights.path if base.weights else ""
    there = [model]
    if k and path and is_file(path):
        found = read_weights(path, dialect=base.network.dialect)
        there.append(replace(base, weights=untransposed(base.network, found)))
    if any(digest(trunk_floats(one, k)) != wanted for one in there):
        raise TrunkMismatch(
            f"layers 0..{k - 1} are no longer those that the training began with, so nothing is written; "
            "was the base's file changed meanwhile?",
            file=path or model.name,
        )


def digest_of_pictures(samples: Sequence[tuple[Any, ...]]) -> str:
    """The fingerprint of labelled pictures: their labels, and their names below the folder that all of them lie in."""
    names = [os.path.abspath(picture) for picture, *_ in samples]  # noqa: PTH100 - links stay as they are
    home = os.path.commonpath(map(os.path.dirname, names)) if len({Path(name).anchor for name in names}) == 1 else ""
    known = [(name[len(home) :], *labels) for name, (_, *labels) in zip(names, samples, strict=True)]
    return hashlib.sha256(repr(known).encode()).hexdigest()


def digest(runs: Iterable[Run]) -> str:
    """The fingerprint of consecutive floats."""
    found = hashlib.sha256()
    for piece in chunks(runs):
        found.update(np.ascontiguousarray(piece).data)
    return found.hexdigest()
