"""The trunk's features, computed once: K augmented copies of each picture at every tensor that the branch reads.

Copy c of a picture is what the picture looks like in epoch c, so the first K epochs of a training with a cache see
what they would see without; later ones see the copies again. A frozen trunk gives the same features each time; what
the files lose is the rounding to 16 bits.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._files import read_small, write_all
from darkshare._files.opened import OpenFile
from darkshare.darknet.network import Network
from darkshare.darknet.weights import Floats
from darkshare.errors import DarkshareError, Unsupported
from darkshare.inference.threads import made_ahead
from darkshare.training.pictures.geometry import Size
from darkshare.training.pictures.loading import Place, Source
from darkshare.training.trunks import pictures_on

if TYPE_CHECKING:
    from darkshare.training.building import TorchNet

PAYS = 1.5  # a cache is made where training is at least so much faster with it
_BACKWARD = 2.0  # a backward pass takes about twice as long as the forward pass
_SPARE = 2**28  # bytes that stay free on the disk
_CHUNK = 64  # pictures after which what is done is written down
_ABOUT, _TRUTHS = "about.json", "truths.f32"


class Estimate(NamedTuple):
    """The cost and the gain of a cache, by the operations that Darknet counts.

    Attributes:
        size: bytes on disk.
        gain: how much faster the whole training is with it than frozen without it, computing the cache included.
        limit: the same for a training that goes on for ever.
        full: how much faster it is per picture than training all layers.
    """

    size: int
    gain: float
    limit: float
    full: float

    @property
    def pays(self) -> bool:
        """Whether the training is fast enough with it."""
        return self.gain >= PAYS

    def __str__(self) -> str:
        return (
            f"{self.size / 2**20:,.1f} MiB on disk; by operations training is {self.gain:.2f} times as fast with it, "
            f"computing it included (at most {self.limit:.2f}; against training all layers {self.full:.2f})"
        )


class Kept(NamedTuple):
    """The part of the cache that belongs to a picture: its row, features by layer, and truths."""

    row: int
    features: dict[int, NDArray[Any]]
    truths: Floats


class Rows:
    """A file of rows, each an array of one shape; a new one where there is none of its size.

    Args:
        path: of the file.
        count: how many rows there are.
        kind: of the numbers.
        shape: of a row.
    """

    def __init__(self, path: Path, count: int, kind: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.path, self.count, self.kind, self.shape = path, count, kind, shape
        self.size = math.prod(shape) * kind.itemsize
        if not _has_size(path, count * self.size):
            path.unlink(missing_ok=True)  # another training may be at the old one
            path.touch()
            os.truncate(path, count * self.size)
        self._file = OpenFile(path, own=True)

    def read(self, row: int) -> NDArray[Any]:
        """Read a row.

        Raises:
            DarkshareError: the file was cut off.
        """
        values = np.empty(self.shape, self.kind)
        self._file.read_into(row * self.size, values)
        return values

    def write(self, row: int, values: NDArray[Any]) -> None:
        """Write a row.

        Raises:
            DarkshareError: it cannot be written.
        """
        self._file.write(row * self.size, np.ascontiguousarray(values))

    def flush(self) -> None:
        """Have the file on disk."""
        self._file.flush()


@dataclass(frozen=True)
class Cache:
    """Features in files.

    Attributes:
        folder: where they lie.
        reads: the layers, as `TorchNet.reads`.
        copies: of each picture.
        count: how many pictures there are.
        features: for each layer (copies x pictures, channels, height, width).
        truths: (copies x pictures, most + 1, columns); the first row's first value says how many follow.
    """

    folder: Path
    reads: tuple[int, ...]
    copies: int
    count: int
    features: Mapping[int, Rows]
    truths: Rows

    def row(self, place: Place) -> int:
        """The row of a picture that is seen at this place."""
        return place.epoch % self.copies * self.count + place.picture

    @property
    def size(self) -> int:
        """The bytes of all features."""
        return sum(rows.count * rows.size for rows in self.features.values())

    def read(self, place: Place, layers: Iterable[int] | None = None) -> Kept:
        """The features of a picture at its place, of all layers or of some."""
        row = self.row(place)
        truths = self.truths.read(row)
        features = {i: self.features[i].read(row) for i in (self.reads if layers is None else layers)}
        return Kept(row, features, truths[1 : int(truths[0, 0]) + 1])

    def put(self, row: int, features: Mapping[int, NDArray[Any]], truths: Floats) -> None:
        """Write the features of a picture.

        Raises:
            Unsupported: a value that is too large for the files.
        """
        for index in self.reads:
            with np.errstate(over="ignore"):
                rounded = features[index].astype(self.features[index].kind)
            if not np.isfinite(rounded).all():
                raise Unsupported(
                    f"layer {index} gives values that 16 bits cannot hold; train without --cache-features",
                    file=str(self.folder),
                )
            self.features[index].write(row, rounded)
        most, columns = self.truths.shape
        table = np.zeros((most, columns), self.truths.kind)
        table[0, 0] = count = min(len(truths), most - 1)
        table[1 : count + 1] = truths[:count]
        self.truths.write(row, table)

    def flush(self) -> None:
        """Have the files on disk."""
        for rows in (*self.features.values(), self.truths):
            rows.flush()


def estimate(
    network: Network, reads: Sequence[int], k: int, rows: int, epochs: float, count: int, most: int
) -> Estimate:
    """Estimate the cost and the gain of a cache.

    One picture costs f + 3 (1 - f) of a pass without it, with f the trunk's share of the operations, and 3 (1 - f)
    with it; each copy costs f once.

    Args:
        network: the whole one.
        reads: the layers that the branch reads.
        k: the first layer that trains.
        rows: pictures x copies.
        epochs: of the training.
        count: how many pictures there are.
        most: boxes of a picture.
    """
    shared = sum(layer.flops for layer in network.layers[:k]) / network.flops if network.flops else 0.0
    branch = (1 + _BACKWARD) * (1 - shared)
    seen = max(epochs * count, 1)
    values = sum(network.layers[index].y.size for index in reads)
    size = rows * (2 * values + 4 * 5 * (most + 1))
    return Estimate(
        size, (shared + branch) / (shared * rows / seen + branch), (shared + branch) / branch, 1 / (1 - shared)
    )


def open_cache(
    folder: Path,
    network: Network,
    reads: tuple[int, ...],
    copies: int,
    count: int,
    most: int,
    *,
    dtype: str = "float16",
    columns: int = 5,
) -> Cache:
    """Open the files of a cache, or make them where they are missing; truths have `columns` numbers.

    Raises:
        DarkshareError: there is not enough room, or they cannot be made.
    """
    rows = copies * count
    shapes = {i: network.layers[i].y[:3] for i in reads}
    kind = np.dtype(dtype).newbyteorder("<")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = {index: folder / f"{index}.f{8 * kind.itemsize}" for index in reads}
        sizes = [(paths[i], rows * math.prod(shapes[i]) * kind.itemsize) for i in reads]
        sizes.append((folder / _TRUTHS, rows * (most + 1) * 4 * columns))
        _require_room(folder, sizes)
        if not all(_has_size(path, size) for path, size in sizes):
            (folder / _ABOUT).unlink(missing_ok=True)  # what it speaks of is not there
        features = {i: Rows(paths[i], rows, kind, shapes[i]) for i in reads}
        truths = Rows(sizes[-1][0], rows, np.dtype("<f4"), (most + 1, columns))
    except OSError as error:
        raise DarkshareError(f"cannot hold the features: {error.strerror or error}", file=str(folder)) from None
    return Cache(folder, reads, copies, count, features, truths)


class Features(NamedTuple):
    """A cache, and what its features depend on: another one than of this is computed anew."""

    cache: Cache
    about: Mapping[str, object]

    @property
    def done(self) -> int:
        """The number of rows that are filled."""
        return _done(self.cache.folder, self.about)

    @property
    def is_whole(self) -> bool:
        """Whether all are."""
        return self.done == self.cache.copies * self.cache.count


def fill_caches(
    found: Sequence[Features],
    net: TorchNet,
    source: Source,
    *,
    size: Size,
    batch: int,
    workers: int,
    device: Any = "cpu",
    progress: Callable[[int, int], object] = lambda done, rows: None,
) -> int:
    """Compute the missing rows of caches of the same pictures; it goes on where it was interrupted.

    Args:
        found: what is to be filled; their layers are among those that the trunk computes.
        net: its trunk computes.
        source: of the pictures.
        size: of the input.
        batch: pictures at a time; what they give depends on it in its last digits.
        workers: threads that make pictures ahead.
        device: where the net is.
        progress: called with how many rows are done, and of how many.

    Returns:
        How many rows of all were there already.
    """
    count = found[0].cache.count
    rows = found[0].cache.copies * count
    dones = [one.done for one in found]
    before = min(dones)
    reads = sorted({index for one in found for index in one.cache.reads})
    groups = [range(start, min(start + batch, rows)) for start in range(before - before % batch, rows, batch)]

    def make(number: int) -> list[Callable[[], Any]]:
        places = [Place(row % count, row // count) for row in groups[number]]
        return [lambda place=place: source.example(place, size) for place in places]  # type: ignore[misc]

    for group, examples in zip(groups, made_ahead(map(make, range(len(groups))), workers), strict=True):
        values = _features(net, [example.image for example in examples], reads, device)
        for number, (cache, about) in enumerate(found):
            if group.stop <= dones[number]:
                continue
            for at, (row, example) in enumerate(zip(group, examples, strict=True)):
                cache.put(row, {index: values[index][at] for index in cache.reads}, example.truths)
            if group.stop // _CHUNK > dones[number] // _CHUNK or group.stop == rows:
                cache.flush()
                _write_done(cache.folder, about, group.stop)
            dones[number] = group.stop
        progress(group.stop, rows)
    return before


def _features(net: TorchNet, images: Sequence[Floats], reads: Sequence[int], device: Any) -> dict[int, Floats]:
    import torch

    found = net.trunk(pictures_on(torch.device(device), images), reads)
    return {index: values.cpu().numpy() for index, values in found.items()}


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _require_room(folder: Path, sizes: Sequence[tuple[Path, int]]) -> None:
    """Refuse what does not fit on the disk before anything is computed."""
    needed = sum(size for _, size in sizes)
    there = sum(path.stat().st_blocks * 512 for path, _ in sizes if path.is_file())
    free = shutil.disk_usage(folder).free + there - _SPARE
    if needed > free:
        raise DarkshareError(
            f"the features need {needed / 2**20:,.1f} MiB, but only {max(free, 0) / 2**20:,.1f} MiB are free; "
            "take fewer copies, or an -o on another disk",
            file=str(folder),
        )


def _done(folder: Path, about: Mapping[str, object]) -> int:
    """The number of rows that are filled."""
    path = folder / _ABOUT
    if not path.is_file():
        return 0
    try:
        found = json.loads(read_small(path))
        return int(found["done"]) if found["about"] == json.loads(json.dumps(about)) else 0
    except (ValueError, KeyError, TypeError):
        return 0


def _write_done(folder: Path, about: Mapping[str, object], done: int) -> None:
    text = json.dumps({"about": about, "done": done}, indent=1) + "\n"
    write_all({folder / _ABOUT: [text.encode()]}, own=True)
