"""The input of each update: pictures that go through the trunk, or features from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from darkshare.errors import BadValue
from darkshare.training import caching
from darkshare.training.building import TorchNet
from darkshare.training.caching import Cache, Features, Kept
from darkshare.training.devices import sent, stacked
from darkshare.training.pictures.augmenting import Example
from darkshare.training.pictures.geometry import Size
from darkshare.training.pictures.loading import Source, spread_of
from darkshare.training.settings import Options, TrainingWatch
from darkshare.training.stepping import MiniBatch

_OF_FEATURES = ("k", "seed", "network", "trunk", "pictures", "augment")  # what a cache depends on


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
            x = sent(stacked([example.image for example in group], self.device), self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
                features = self.net.trunk(x)
            yield MiniBatch(features, [example.truths for example in group])

    def size(self, number: int) -> Size:
        return self.source.size(number, self.batches)

    def fill(self, found: Sequence[Features], options: Options, watch: TrainingWatch) -> None:
        """Fill caches of these pictures, all in one pass of the trunk.

        Args:
            found: of this training, or of others with a smaller k; see `caching.fill_caches`.
            options: of the training.
            watch: is told how far it is.
        """
        size = self.source.network.input.w, self.source.network.input.h
        caching.fill_caches(
            found, self.net, self.source, size=size, batch=self.mini, workers=options.workers, device=self.device,
            progress=watch.cached,
        )  # fmt: skip

    def from_cache(self, cache: Cache) -> FeatureFeed:
        """The same from a cache of their features."""
        return FeatureFeed(self.source, cache, self.device, self.batch, self.mini)


def features_of(
    source: Source, net: TorchNet, folder: Path, fingerprint: Mapping[str, object], dtype: str, truths: tuple[int, int]
) -> Features:
    """Open the cache of a training.

    Args:
        source: of the pictures.
        net: that trains.
        folder: of its files.
        fingerprint: of the training, with the copies of each picture.
        dtype: of the features on disk.
        truths: of a picture: how many at most, and the columns of each.
    """
    copies, (most, columns) = int(str(fingerprint["cache-features"])), truths
    count = len(source.samples)
    cache = caching.open_cache(folder, source.network, net.reads, copies, count, most, dtype=dtype, columns=columns)
    about = {key: value for key, value in fingerprint.items() if key in _OF_FEATURES}
    return Features(cache, about | {"dtype": dtype, "copies": copies})


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
        for group in _groups(examples, self.mini):
            stored = {i: stacked([kept.features[i] for kept in group], self.device) for i in self.cache.reads}
            features = {i: sent(values, self.device).float() for i, values in stored.items()}
            yield MiniBatch(features, [kept.truths for kept in group])

    def size(self, number: int) -> Size:
        return self.source.network.input.w, self.source.network.input.h


def _groups(examples: Sequence[Any], mini: int) -> Iterator[Sequence[Any]]:
    return (examples[start : start + mini] for start in range(0, len(examples), mini))


def copies_kept(options: Options, source: Source, net: TorchNet, epochs: float, most: int, watch: TrainingWatch) -> int:
    """Decide the copies of each picture in the feature cache: as many as asked for, or none if that does not pay.

    Args:
        options: of the training.
        source: of the pictures.
        net: that trains.
        epochs: how often each picture is seen.
        most: truths of a picture.
        watch: is told the cost and the gain.

    Raises:
        BadValue: there is no trunk.
    """
    copies = options.cache_features
    if not copies:
        return 0
    if not options.k:
        raise BadValue("--cache-features keeps what the trunk gives, but with k=0 there is no trunk")
    count, network = len(source.samples), source.network
    found = caching.estimate(network, net.reads, options.k, count * copies, epochs, count, most)
    layers = ", ".join(map(str, net.reads))
    watch.say(f"feature cache: {copies} x {count} pictures, layers {layers}: {found}")
    if not found.pays and not options.cache_anyway:
        watch.say(f"it is left off, as it is not {caching.PAYS:g} times as fast; --cache-anyway keeps it")
        return 0
    if spread_of(network) and options.augment:
        watch.say("with the cache the input keeps its size, although the cfg says random=")
    return copies
