"""The input of each update: pictures that go through the trunk, or features from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from darkshare.training.augmenting import Example
from darkshare.training.building import TorchNet
from darkshare.training.caching import Cache, Kept
from darkshare.training.geometry import Size
from darkshare.training.loading import Source
from darkshare.training.stepping import MiniBatch


class Feed(Protocol):
    """The source of the parts of an update."""

    def jobs(self, number: int) -> Sequence[Callable[[], Any]]:
        """The functions that make the examples of update `number`; threads may run them."""

    def parts(self, examples: Sequence[Any]) -> Iterator[MiniBatch]:
        """The examples of an update as its parts, on the network's device."""

    def size(self, number: int) -> Size:
        """The size of the input."""


@dataclass(frozen=True)
class PictureFeed:
    """Pictures, which the trunk sees anew each time.

    Attributes:
        source: of the pictures.
        net: whose trunk it is.
        device: where it is.
        batch: pictures per update.
        mini: pictures per part.
        batches: how many updates there are.
        amp: compute the trunk in bfloat16 where that is precise enough.
    """

    source: Source
    net: TorchNet
    device: Any
    batch: int
    mini: int
    batches: int
    amp: bool

    def jobs(self, number: int) -> list[Callable[[], Example]]:
        size = self.size(number)
        places = self.source.places((number - 1) * self.batch, self.batch)
        return [partial(self.source.example, place, size) for place in places]

    def parts(self, examples: Sequence[Example]) -> Iterator[MiniBatch]:
        import torch

        for group in _groups(examples, self.mini):
            x = torch.from_numpy(np.stack([example.image for example in group])).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
                features = self.net.trunk(x)
            yield MiniBatch(features, [example.truths for example in group])

    def size(self, number: int) -> Size:
        return self.source.size(number, self.batches)


@dataclass(frozen=True)
class FeatureFeed:
    """Features from a cache.

    Attributes:
        source: says which picture comes when.
        cache: with all rows filled.
        device: where the network is.
        batch: pictures per update.
        mini: pictures per part.
    """

    source: Source
    cache: Cache
    device: Any
    batch: int
    mini: int

    def jobs(self, number: int) -> list[Callable[[], Kept]]:
        return [partial(self.cache.read, place) for place in self.source.places((number - 1) * self.batch, self.batch)]

    def parts(self, examples: Sequence[Kept]) -> Iterator[MiniBatch]:
        import torch

        for group in _groups(examples, self.mini):
            stacked = {i: np.stack([kept.features[i] for kept in group]) for i in self.cache.reads}
            features = {i: torch.from_numpy(values).to(self.device).float() for i, values in stacked.items()}
            yield MiniBatch(features, [kept.truths for kept in group])

    def size(self, number: int) -> Size:
        return self.source.network.input.w, self.source.network.input.h


def _groups(examples: Sequence[Any], mini: int) -> Iterator[Sequence[Any]]:
    return (examples[start : start + mini] for start in range(0, len(examples), mini))
