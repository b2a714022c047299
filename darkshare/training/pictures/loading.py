"""Batches of examples, made ahead by threads and the same with any number of them.

Pictures are numbered through all epochs: number n is picture `order[n % count]` of epoch n // count, so where a
training stands is one number. Each picture comes once per epoch, where Darknet draws with replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from darkshare._images import read_picture
from darkshare.darknet.kinds import Boxes
from darkshare.darknet.network import Network, resized, resolve
from darkshare.data import Classified, Sample
from darkshare.data.unreadable import Unreadable
from darkshare.errors import BadValue, DarkshareError
from darkshare.training.pictures import augmenting, cropping
from darkshare.training.pictures.augmenting import Augmentation, Example, Labelled
from darkshare.training.pictures.cropping import Crops
from darkshare.training.pictures.geometry import Size, truths_of

T = TypeVar("T")
_PERIOD, _CLASSIFIERS_PERIOD = 10, 40  # updates between two input sizes
_LAST = {"pjreddie": 200}  # updates at the end that are at the largest size
_ORDER, _PICTURE, _SIZE = range(3)  # what random numbers are for: each purpose has its own


class Place(NamedTuple):
    """A picture's place in the training: which one, and in which epoch it is seen."""

    picture: int
    epoch: int


@dataclass(frozen=True)
class Source:
    """The source of examples.

    Attributes:
        samples: the labelled pictures, all with boxes or all with a class.
        network: which reads them.
        how: the augmentation; without it, pictures are as inference sees them.
        seed: of everything that is random.
        unreadable: takes the pictures that cannot be read.
        packed: leave images in bytes that are made of them, which is a quarter of what goes to a GPU.
    """

    samples: Sequence[Sample | Classified]
    network: Network
    how: Augmentation | Crops | None
    seed: int
    unreadable: Unreadable = field(default_factory=Unreadable)
    packed: bool = False

    def places(self, start: int, count: int) -> list[Place]:
        """The places of pictures start..start+count of the training."""
        whole = len(self.samples)
        return [
            Place(int(shuffled(self.seed, number // whole, whole)[number % whole]), number // whole)
            for number in range(start, start + count)
        ]

    def example(self, place: Place, size: Size) -> Example:
        """The picture as it is seen there.

        Raises:
            DarkshareError: more than 1 % of the files cannot be read.
        """
        if self.how is None:
            plain = cropping.undistorted if isinstance(self.samples[0], Classified) else augmenting.undistorted
            return plain(self.network, self.read(place.picture))
        rng = generator(self.seed, _PICTURE, place.epoch, place.picture)
        count = len(self.samples)
        if isinstance(self.how, Crops):
            return cropping.augmented(self.how, self.read, place.picture, count, size, rng)
        return augmenting.augmented(self.how, self.read, place.picture, count, size, rng, packed=self.packed)

    def read(self, index: int) -> Labelled:
        """A picture and its truths; where its file cannot be read, those of the next one that can be."""
        count, picture = len(self.samples), None
        while picture is None:
            sample = self.samples[index]
            try:
                picture = read_picture(sample.picture)
            except DarkshareError as error:
                self.unreadable.add(index, count, error)
                index = (index + 1) % count
        if isinstance(sample, Classified):
            return Labelled(picture, cropping.class_truth(sample.class_id))
        return Labelled(picture, truths_of(sample.boxes))

    def size(self, batch: int, batches: int) -> Size:
        """The input size of an update; it changes where the cfg says `random`, unless nothing is augmented."""
        own = self.network.input.w, self.network.input.h
        spread = spread_of(self.network)
        if self.how is None or not spread:
            return own
        period = _CLASSIFIERS_PERIOD if isinstance(self.how, Crops) else _PERIOD
        rng = generator(self.seed, _SIZE, (batch - 1) // period)
        return drawn_size(self.network, spread, rng, last=batches - batch < _LAST.get(self.network.dialect, 100))


def generator(seed: int, *purpose: int) -> np.random.Generator:
    """Random numbers for one purpose, the same whenever they are asked for."""
    return np.random.default_rng([seed, *purpose])


@lru_cache(maxsize=4)
def shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of the pictures in an epoch."""
    return generator(seed, _ORDER, epoch).permutation(count)


def spread_of(network: Network) -> float:
    """`random` of the last head, or of a classifier's [net] (pjreddie): 0 for one input size."""
    heads = [layer.kind for layer in network.layers if isinstance(layer.kind, Boxes)]
    return heads[-1].random if heads else float(network.net.random)


def drawn_size(network: Network, spread: float, rng: np.random.Generator, *, last: bool) -> Size:
    """A random input size: pjreddie's 320 to 608, or the cfg's own times or by up to `random` (1 means 1.4).

    Both forks end at their largest size (train_detector in detector.c); pjreddie's classifiers have 128 to 448
    throughout (train_classifier in classifier.c).
    """
    if not any(isinstance(layer.kind, Boxes) for layer in network.layers):
        side = int(rng.integers(4, 15)) * 32
        return side, side
    if network.dialect == "pjreddie":
        side = 608 if last else int(rng.integers(10, 20)) * 32
        return side, side
    most = 1.4 if spread == 1 else spread
    step = max(int(network.net.resize_step), 1)
    own = network.input.w, network.input.h
    factor = most if last else float(rng.uniform(min(1.0, most), max(1.0, most))) ** (1 if rng.random() < 0.5 else -1)
    width, height = (max(int(np.floor(factor * side / step + 1.5)) * step, step) for side in own)
    return own if factor < 1 and (width > own[0] or height > own[1]) else (width, height)


def require_sizes(network: Network) -> None:
    """Refuse a cfg that changes its input size, but cannot be built at the sizes that it may have.

    Raises:
        DarkshareError: the size, and why it does not fit.
    """
    spread = spread_of(network)
    if not spread:
        return
    sizes = {drawn_size(network, spread, generator(0, i), last=i == 0) for i in range(64)}
    for size in sorted(sizes):
        _require_size(network, size)


def _require_size(network: Network, size: Size) -> None:
    said = f"random= leads to an input of {size[0]}x{size[1]}"
    try:
        found = resolve(resized(network.cfg, *size), dialect=network.dialect)
    except DarkshareError as error:
        error.message = f"{said}: {error.message}; set random=0"
        raise
    if found.params != network.params:
        raise BadValue(f"{said}, which needs other weights; set random=0", file=network.name)
