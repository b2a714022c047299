"""The files of a training, whose names all begin with its stem."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from darkshare._files import exists, require_unread
from darkshare.darknet.model import sibling

BEST = "-best"  # behind the stem of the files of the best network
_NETWORK = (".cfg", ".weights", ".names", ".data", ".tasks.json")


class TrainingFiles(NamedTuple):
    """The names of a training's files.

    Attributes:
        stem: the path of the network after the last update, without suffix.
    """

    stem: Path

    @property
    def best(self) -> Path:
        """The stem of the best network."""
        return sibling(self.stem, BEST)

    @property
    def journal(self) -> Path:
        """A line for each update."""
        return sibling(self.stem, ".csv")

    @property
    def checkpoint(self) -> Path:
        """The state that a training goes on from, where it is not done."""
        return sibling(self.stem, ".checkpoint")

    @property
    def good(self) -> Path:
        """The state that one that diverges goes back to."""
        return sibling(self.stem, ".good")

    @property
    def features(self) -> Path:
        """The folder of the feature cache."""
        return sibling(self.stem, ".features")

    @property
    def trained(self) -> list[Path]:
        """The cfg and the weights of the best network, or of the last where none was measured; empty before the end."""
        stem = self.best if exists(sibling(self.best, ".weights")) else self.stem
        pair = [sibling(stem, suffix) for suffix in (".cfg", ".weights")]
        return [] if exists(self.checkpoint) or not exists(sibling(self.stem, ".weights")) else pair

    def require_unread(self, inputs: Sequence[str]) -> None:
        """Refuse networks that would replace what is read.

        Raises:
            DarkshareError: with the first file.
        """
        require_unread([sibling(stem, suffix) for stem in (self.stem, self.best) for suffix in _NETWORK], inputs)

    def drop_course(self) -> None:
        """Remove the course of a training that failed, if nothing goes on from it."""
        if not exists(self.checkpoint):
            for path in (self.journal, self.good):
                path.unlink(missing_ok=True)

    def drop_states(self, *, keep: bool) -> None:
        """Remove what a training needs that goes on; with `keep`, all but its checkpoint."""
        self.good.unlink(missing_ok=True)
        shutil.rmtree(self.features, ignore_errors=True)
        if not keep:
            self.checkpoint.unlink(missing_ok=True)
