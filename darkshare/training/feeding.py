"""The input of each update: pictures that go through the trunk, or features from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from darkshare.errors import BadValue
from darkshare.training import caching
from darkshare.training.building import TorchNet
from darkshare.training.caching import Cache, Features, Kept
from darkshare.training.devices import DeviceSettings, room, sent, stacked
from darkshare.training.pictures.augmenting import Example
from darkshare.training.pictures.geometry import Size
from darkshare.training.pictures.loading import Source, spread_of
from darkshare.training.settings import Options, TrainingWatch
from darkshare.training.stepping import MiniBatch
from darkshare.training.trunks import FrozenTrunk, pictures_on

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 64  # rows that are sent to a device together
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
        trunk: that sees them.
        batch: pictures per update.
        mini: pictures per part.
        batches: how many updates there are.
    """

    source: Source
    trunk: FrozenTrunk
    batch: int
    mini: int
    batches: int

    def jobs(self, number: int) -> list[Callable[[], Example]]:
        size = self.size(number)
        places = self.source.places((number - 1) * self.batch, self.batch)
        return [partial(self.source.example, place, size) for place in places]

    def parts(self, examples: Sequence[Example]) -> Iterator[MiniBatch]:
        device = self.trunk.how.device
        for group in _groups(examples, self.mini):
            x = pictures_on(device, [example.image for example in group])
            yield MiniBatch(self.trunk(x), [example.truths for example in group], x)

    def size(self, number: int) -> Size:
        return self.source.size(number, self.batches)

    def fill(self, found: Sequence[Features], options: Options, watch: TrainingWatch) -> None:
        """Fill caches of these pictures, all in one pass of the trunk.

        Args:
            found: of this training, or of others with a smaller k; see `caching.fill_caches`.
            options: of the training.
            watch: is told how far it is.
        """
        size, how = (self.source.network.input.w, self.source.network.input.h), self.trunk.how
        with how.on():
            caching.fill_caches(
                found, self.trunk.net, self.source, size=size, batch=self.mini, workers=options.workers,
                device=how.device, progress=watch.cached,
            )  # fmt: skip

    def from_cache(self, cache: Cache) -> FeatureFeed:
        """The same from a cache of their features."""
        how = self.trunk.how
        return FeatureFeed(self.source, cache, how, self.batch, self.mini, held(cache, how.device))


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
        how: the device of the network computes.
        batch: pictures per update.
        mini: pictures per part.
        held: all of it on the device, by layer; see `held`.
    """

    source: Source
    cache: Cache
    how: DeviceSettings
    batch: int
    mini: int
    held: Mapping[int, Tensor]

    def jobs(self, number: int) -> list[Callable[[], Kept]]:
        layers = () if self.held else self.cache.reads
        places = self.source.places((number - 1) * self.batch, self.batch)
        return [partial(self.cache.read, place, layers) for place in places]

    def parts(self, examples: Sequence[Kept]) -> Iterator[MiniBatch]:
        for group in _groups(examples, self.mini):
            features = {i: self.how.laid(values.float()) for i, values in self._stored(group).items()}
            yield MiniBatch(features, [kept.truths for kept in group])

    def _stored(self, group: Sequence[Kept]) -> dict[int, Tensor]:
        device = self.how.device
        if not self.held:
            return {i: sent(stacked([kept.features[i] for kept in group], device), device) for i in self.cache.reads}
        rows = sent(stacked([np.array(kept.row) for kept in group], device), device)
        return {i: values[rows] for i, values in self.held.items()}

    def size(self, number: int) -> Size:
        return self.source.network.input.w, self.source.network.input.h


def held(cache: Cache, device: Any) -> dict[int, Tensor]:
    """The features of all rows in a GPU's own memory, by layer; nothing where they do not fit."""
    import torch

    if cache.size > room(device):
        return {}
    found: dict[int, Tensor] = {}
    for index, rows in cache.features.items():
        kind = torch.from_numpy(np.empty(0, rows.kind)).dtype
        found[index] = torch.empty((rows.count, *rows.shape), dtype=kind, device=device)
        for start in range(0, rows.count, _AT_ONCE):
            part = range(start, min(start + _AT_ONCE, rows.count))
            found[index][start : part.stop] = sent(stacked([rows.read(row) for row in part], device), device)
    return found


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
