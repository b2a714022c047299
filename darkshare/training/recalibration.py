"""Batch norm's statistics measured again, on pictures without labels: what a network needs whose sums changed.

The authors of RRR-TorchNet do it to a reduced trunk, before they freeze it. No gradient is taken.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from darkshare._images import Picture
from darkshare.darknet.model import Model
from darkshare.darknet.weights import Floats
from darkshare.errors import BadValue, checked, require_least
from darkshare.inference.classification import cropped, only_detectors
from darkshare.inference.media.sources import select
from darkshare.inference.preprocess import preprocess
from darkshare.training.building import TorchNet, build, trained
from darkshare.training.guards import require_torch
from darkshare.training.layers.form import MOMENTUM

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 32


@checked
def recalibrated(
    model: Model, pictures: str | os.PathLike[str] | Iterable[Picture], *, k: int = 0, batch: int = BATCH
) -> Model:
    """The model with the rolling statistics that pictures give; all other numbers are its own.

    Every batch is normalised by its own statistics on its way, and their means over the batches are what stays. No
    value is dropped, as none is in use.

    Args:
        model: with weights.
        pictures: uint8 BGR, of any sizes, or the name of a folder, pattern or .txt list; at least two. A model that
            finds boxes is given them whole, any other their middle.
        k: layers 0..k-1 keep their statistics.
        batch: pictures that go through together; a last one alone joins none and is left out.

    Raises:
        BadValue: there are fewer than two pictures, or no batch norm behind layer k.
        Unsupported: a layer does not train.
        DarkshareError: torch is not installed, or a picture cannot be read.
    """
    require_least(2, batch=batch)
    require_torch()
    import torch

    if isinstance(pictures, str | os.PathLike):
        pictures = _read(os.fspath(pictures))
    net = build(model, k, dropout=False).train()
    statistics = _statistics(net)
    if not statistics:
        raise BadValue(f"has no batch norm from layer {k} on, so nothing can be measured", file=model.name)
    sums, count = [torch.zeros_like(block) for block in statistics], 0
    with torch.no_grad():
        for some in _batches(pictures, batch):
            for block in statistics:
                block.zero_()  # what the batch leaves there then is a known share of its own statistics
            net(torch.from_numpy(np.concatenate([_seen(model, picture) for picture in some])))
            for total, block in zip(sums, statistics, strict=True):
                total.add_(block, alpha=1 / MOMENTUM)
            count += 1
        if not count:
            raise BadValue("batch norm needs at least two pictures", file=model.name)
        for total, block in zip(sums, statistics, strict=True):
            block.copy_(total / count)
    return trained(net, model)


def _read(name: str) -> Iterator[Picture]:
    for frame in select([name]).frames():
        if frame.error is not None:
            raise frame.error
        if frame.image is None:
            raise BadValue("gives no picture", file=frame.source)
        yield frame.image


def _seen(model: Model, picture: Picture) -> Floats:
    whole = only_detectors(model) is not None
    return preprocess(picture if whole else cropped(picture, model.network), model.network)


def _statistics(net: TorchNet) -> list[Tensor]:
    return [block for name, block in net.state_dict().items() if name.endswith(("rolling_mean", "rolling_variance"))]


def _batches(pictures: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    waiting = iter(pictures)
    while len(some := list(islice(waiting, size))) > 1:
        yield some
