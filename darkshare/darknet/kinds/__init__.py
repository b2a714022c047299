"""Layer kinds: every section name of the three Darknet forks as a class.

`ALL_KINDS` is the one list of them.
"""

from __future__ import annotations

from darkshare.darknet.kinds.base import DIALECTS, H, Kind, Refs, Shape, Tensor
from darkshare.darknet.kinds.dense import Batchnorm, Connected, Convolutional, Deconvolutional, Implicit, Local
from darkshare.darknet.kinds.heads import Boxes, Contrastive, Cost, Detection, GaussianYolo, Iseg, Region, Softmax, Yolo
from darkshare.darknet.kinds.joins import Route, Sam, ScaleChannels, Shortcut
from darkshare.darknet.kinds.net import Net
from darkshare.darknet.kinds.pool import Avgpool, LocalAvgpool, Maxpool
from darkshare.darknet.kinds.reading import as_read, keys_of, read_kind, references_of
from darkshare.darknet.kinds.recurrent import ConvLstm, Crnn, Gru, Lstm, Rnn
from darkshare.darknet.kinds.reshape import (
    Activation,
    Crop,
    Dropout,
    Empty,
    History,
    L2norm,
    Logistic,
    Normalization,
    Reorg,
    Reorg3d,
    Upsample,
)
from darkshare.errors import UnknownKind

ALL_KINDS: tuple[type[Kind], ...] = (
    Convolutional,
    Deconvolutional,
    Connected,
    Batchnorm,
    Local,
    Implicit,
    Rnn,
    Gru,
    Lstm,
    Crnn,
    ConvLstm,
    Maxpool,
    Avgpool,
    LocalAvgpool,
    Upsample,
    Reorg,
    Reorg3d,
    Crop,
    Dropout,
    Empty,
    History,
    Activation,
    Normalization,
    L2norm,
    Logistic,
    Route,
    Shortcut,
    ScaleChannels,
    Sam,
    Yolo,
    GaussianYolo,
    Region,
    Detection,
    Iseg,
    Softmax,
    Cost,
    Contrastive,
)
BY_NAME: dict[str, type[Kind]] = {name: kind for kind in ALL_KINDS for name in kind.names}


def find_kind(name: str, dialect: str) -> type[Kind]:
    """Find the kind of a section name in a dialect.

    Raises:
        UnknownKind: with the nearest names, or the forks that do know it.
    """
    if dialect == H and "#" in name:  # a comment behind the header
        name = as_read(name, dialect).removesuffix("]")
    kind = BY_NAME.get(name)
    if kind is None:
        if "]" in name and name.partition("]")[0] in BY_NAME:
            cure = "text behind ']' is part of the name in Darknet; put the comment on a line of its own"
        else:
            import difflib

            near = difflib.get_close_matches(name[:40], BY_NAME, n=3)
            cure = "did you mean " + " or ".join(f"[{n}]" for n in near) + "?" if near else "see the list of kinds"
        raise UnknownKind(f"unknown section [{name[:40]}]; {cure}")
    if dialect not in kind.forks:
        raise UnknownKind(f"[{name}] is not known to the dialect {dialect}; it is in {' and '.join(kind.forks)}")
    return kind


__all__ = [
    "ALL_KINDS",
    "BY_NAME",
    "DIALECTS",
    "Activation",
    "Avgpool",
    "Batchnorm",
    "Boxes",
    "Connected",
    "Contrastive",
    "ConvLstm",
    "Convolutional",
    "Cost",
    "Crnn",
    "Crop",
    "Deconvolutional",
    "Detection",
    "Dropout",
    "Empty",
    "GaussianYolo",
    "Gru",
    "H",
    "History",
    "Implicit",
    "Iseg",
    "Kind",
    "L2norm",
    "Local",
    "LocalAvgpool",
    "Logistic",
    "Lstm",
    "Maxpool",
    "Net",
    "Normalization",
    "Refs",
    "Region",
    "Reorg",
    "Reorg3d",
    "Rnn",
    "Route",
    "Sam",
    "ScaleChannels",
    "Shape",
    "Shortcut",
    "Softmax",
    "Tensor",
    "Upsample",
    "Yolo",
    "find_kind",
    "keys_of",
    "read_kind",
    "references_of",
]
