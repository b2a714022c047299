"""The interface of both quantisers: they take the range of each number on real pictures, and write int8 files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from darkshare.darknet.weights import Floats

Run = Callable[[Floats], list[Floats]]


class Quantiser(Protocol):
    """A quantiser that has seen the pictures."""

    suffix: str

    def write(self, target: Path, kept: Collection[int], facts: dict[str, str]) -> None:
        """Write an int8 file.

        Args:
            target: the file, with `suffix`; an .xml gets a .bin beside it.
            kept: the layers that stay in fp32.
            facts: the file's metadata, as JSON by key.
        """

    def tapped(self, path: Path, names: Sequence[str]) -> Run:
        """A file as a function that gives these values from inside it."""


def of_layer(index: int) -> str:
    """The start of the names of all operators of a layer; see `onnxfile.Graph`."""
    return f"L{index}_"
