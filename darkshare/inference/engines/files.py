"""Networks as files that engines read once and that are gone then."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from darkshare.darknet.model import Model
from darkshare.inference.engines import NAMES
from darkshare.inference.onnx import BN_EPSILON, buffers, output_name


class File(NamedTuple):
    """An ONNX file of ours.

    Attributes:
        path: absolute.
        outputs: the names of all its outputs.
        shape: of its input, with the batch.
    """

    path: str
    outputs: list[str]
    shape: list[int]


def engine_file(model: Model, path: Path, engines: Iterable[str], *, bn_epsilon: float = BN_EPSILON) -> File:
    """Write a model as a file for engines, with large tensors beside it where all of them read that.

    From a single file each engine takes all of it into memory and then copies every tensor, so that loading a network
    needs twice its size, and a merged one, which is loaded in one go, more than its parts one after another.

    Args:
        model: with weights.
        path: the file, in a folder that is gone when the engines have read it.
        engines: of `NAMES`, or names that are refused later; without any, all is in one file.
        bn_epsilon: see `ExportForm`.
    """
    names = list(engines)
    apart = bool(names) and all(name in NAMES and NAMES[name].reads_apart() for name in names)
    with open(path, "wb") as file:
        pieces = buffers(model, beside=path if apart else None, bn_epsilon=bn_epsilon)
        file.writelines(memoryview(piece).cast("B") for piece in pieces)
    network = model.network
    outputs = [output_name(network.layers[index]) for index in model.heads]
    return File(str(path.absolute()), outputs, [1, *network.input[:3]])
