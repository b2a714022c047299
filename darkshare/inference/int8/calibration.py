"""The pictures that calibrate a quantiser, and others that judge the result."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from darkshare._images import read_picture
from darkshare.darknet.network import Network
from darkshare.darknet.weights import Floats
from darkshare.data import read_data
from darkshare.errors import BadValue, DarkshareError, warn
from darkshare.inference.media.sources import Broken, PictureFile, select
from darkshare.inference.preprocess import preprocess, reads_alpha

PICTURES, SEED = 64, 0
TRIAL = 32  # pictures that judge
FEW = 8  # of fewer, all do both


class Chosen(NamedTuple):
    """Names of pictures.

    Attributes:
        calibration: those that the quantiser sees.
        trial: those that judge: others, unless there are too few.
    """

    calibration: tuple[str, ...]
    trial: tuple[str, ...]


def choose(source: str, count: int = PICTURES, seed: int = SEED) -> Chosen:
    """Draw pictures by lot.

    Args:
        source: a folder, a pattern, a list file, a single picture, or a .data file, whose `train` is taken.
        count: how many calibrate at most.
        seed: of the lot.

    Raises:
        DarkshareError: no picture can be read.
    """
    if count < 1:
        raise BadValue(f"calibrating takes at least one picture, not {count}")
    names = _names(source)
    lot = random.Random(seed)  # noqa: S311  no secret
    drawn = list(_readable(lot.sample(names, len(names)), count + TRIAL))
    if not drawn:
        raise DarkshareError("holds no picture that can be read", file=source)
    if len(drawn) < FEW:
        return Chosen(tuple(drawn[:count]), tuple(drawn[:TRIAL]))
    judges = min(TRIAL, max(len(drawn) - count, len(drawn) // 4))
    return Chosen(tuple(drawn[judges:]), tuple(drawn[:judges]))


def _names(source: str) -> list[str]:
    if Path(source).suffix == ".data":
        return [str(sample.picture) for sample in read_data(source, "train").samples]
    items = select([source]).known
    for item in items:
        if isinstance(item, Broken):
            raise item.error
        if not isinstance(item, PictureFile):
            raise BadValue("is not a picture; calibrate with pictures", file=item.name)
    return [item.name for item in items]


def _readable(names: Sequence[str], most: int) -> Iterator[str]:
    found = 0
    for name in names:
        if found == most:
            return
        try:
            read_picture(name)
        except DarkshareError as error:
            warn(f"left out: {error}")
            continue
        found += 1
        yield name


class Blobs:
    """Pictures as inputs of a network, read anew each time, so that few are in memory."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self._network = network
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Floats]:
        alpha = reads_alpha(self._network)
        return (preprocess(read_picture(name, alpha=alpha), self._network) for name in self._names)
