"""Rules for a weights file: its header, and values that no trained network should hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._files import read_small
from darkshare._files.opened import is_file_of
from darkshare.analysis.check.problem import Problem, Severity, error, note, warning
from darkshare.darknet.kinds import Net
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import WEIGHTS, weights_fingerprint
from darkshare.darknet.weights import Floats, Header
from darkshare.errors import DarkshareError

BLOCK = 2**20  # values looked at together
SMALLEST = np.finfo(np.float32).tiny  # of the normal numbers
EPSILON = 1e-5  # what AlexeyAB and hank-ai add to a variance before the root
SENSITIVE = 1e-4  # below this, that epsilon decides the result
VERSIONS = ((0, 1, 0), (0, 2, 0), (0, 2, 5))  # what released Darknets wrote


class TensorRows(NamedTuple):
    """Consecutive rows of a tensor: one row per channel."""

    name: str
    values: Floats
    sizes: Floats  # the absolute values


class Defect(NamedTuple):
    """A kind of value that is worth a message, and how to count it in a block."""

    severity: Severity
    count: Callable[[TensorRows], int]
    what: str
    cure: str


def _variance(block: TensorRows) -> bool:
    return block.name.endswith("rolling_variance")


def _number(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _dead_rows(block: TensorRows) -> int:
    """Channels whose kernel or scale is all zero."""
    if not (block.name.endswith("scales") or (block.name.endswith("weights") and block.values.shape[1] > 1)):
        return 0
    return _number(block.sizes.max(axis=1) == 0)


DEFECTS = (
    Defect(
        "error",
        lambda block: _number(~np.isfinite(block.sizes)),
        "values are NaN or infinite",
        "training diverged or the file is damaged: take an earlier file or train again with a lower learning rate",
    ),
    Defect(
        "error",
        lambda block: _number(block.values <= -EPSILON) if _variance(block) else 0,
        "variances are negative",
        "their root is NaN: the file is damaged or belongs to another cfg",
    ),
    Defect(
        "warning",
        lambda block: _number((block.values < 0) & (block.values > -EPSILON)) if _variance(block) else 0,
        "variances are just below 0",
        "Darknet's epsilon hides it, but pjreddie's CPU code takes the root first and gives NaN: set them to 0",
    ),
    Defect(
        "note",
        lambda block: _number((block.values >= 0) & (block.values < SENSITIVE)) if _variance(block) else 0,
        f"variances are below {SENSITIVE:g}",
        "there results depend on the epsilon: Darknet adds 1e-5, OpenCV 4's own Darknet importer 1e-6",
    ),
    Defect(
        "note",
        lambda block: _number((block.sizes > 0) & (block.sizes < SMALLEST)),
        "values are denormal",
        "they act as 0 and are slow on some processors; harmless, and 0 would do",
    ),
    Defect(
        "note",
        _dead_rows,
        "channels are dead",
        "their scale or kernel is 0, so they always give the same value; harmless, but they cost time",
    ),
)


def fingerprint(path: str, described: Path | None) -> Iterator[Problem]:
    """Whether the file is the one that a .tasks.json was written with, if it says."""
    with suppress(DarkshareError, ValueError, AttributeError, RecursionError):  # it is among the problems already
        known = described and weights_fingerprint(read_small(described))
        if known and not is_file_of(path, known):
            key = "weights_sha256" if known.startswith("sha256:") else WEIGHTS
            yield error(
                None,
                f"is not the file that {described} was written with: it has another fingerprint; get that file, "
                f"merge again, or if these weights are meant, remove {key} there",
            )


def header(found: Header, net: Net, dialect: str) -> Iterator[Problem]:
    """Versions, and `seen` where AlexeyAB and hank-ai would not train any more."""
    version = ".".join(map(str, found[:3]))
    if found.transposed:
        yield note(
            None,
            f"version {version}: matrices lie transposed, which darkshare turns; AlexeyAB and pjreddie read "
            "the header of such a file with different lengths, so only one of them can load it",
        )
    elif found[:3] not in VERSIONS:
        yield warning(None, f"version {version} was written by no known Darknet; make sure that it is its weights file")
    if net.batch > 1 and 0 < net.max_batches <= found.seen // net.batch:
        yield note(
            None,
            f"seen={found.seen} images is {found.seen // net.batch} batches of {net.batch}, and max_batches is "
            f"{net.max_batches}: Darknet's training stops at once; add -clear to train on",
        )


def body(model: Model) -> Iterator[Problem]:
    """Walk over all values once, in blocks, so that memory stays flat."""
    found, filled = _count(model)
    if not filled:
        yield Problem("error", "every value is 0: the file was never filled; get it again")
        return
    for defect, places in found.items():
        if places:
            yield Problem(defect.severity, f"{places.total()} {defect.what}: {_places(places)}; {defect.cure}")


def _count(model: Model) -> tuple[dict[Defect, Counter[str]], bool]:
    """Count each defect by tensor, and find out whether any value is not 0."""
    found: dict[Defect, Counter[str]] = {defect: Counter() for defect in DEFECTS}
    filled = model.network.params == 0
    with np.errstate(invalid="ignore"):
        for label, block in _blocks(model):
            filled = filled or bool(block.values.any())
            for defect in DEFECTS:
                if count := defect.count(block):
                    found[defect][label] += count
    return found, filled


def _places(places: Counter[str]) -> str:
    """The first three places and how many more there are."""
    named = ", ".join(f"{label} ({count})" for label, count in list(places.items())[:3])
    return named + (f" and {len(places) - 3} more blocks" if len(places) > 3 else "")


def _blocks(model: Model) -> Iterator[tuple[str, TensorRows]]:
    for layer in model.network.layers[: model.loaded]:
        if not layer.tensors:
            continue
        for name, array in model.stored_tensors(layer.index).items():
            rows = array.reshape(array.shape[0], -1)
            step = max(BLOCK // rows.shape[1], 1)
            for start in range(0, len(rows), step):
                piece = np.asarray(rows[start : start + step])
                yield f"{layer.label} '{name}'", TensorRows(name, piece, np.abs(piece))
