"""Pictures that are there twice: the same content under different names, in one list or in two."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from darkshare._files import reading
from darkshare._files.opened import sha256
from darkshare.data.darknet import Watch
from darkshare.data.splitting import SHARE
from darkshare.data.tables import Parts
from darkshare.data.types import Dataset, Finding, Sample


class Twin(NamedTuple):
    """A picture that has the content of another one.

    Attributes:
        picture: its path.
        part: of the data set.
        other: the path of the one that comes first.
        first: the part of that one.
    """

    picture: Path
    part: str
    other: Path
    first: str

    @property
    def is_apart(self) -> bool:
        """Whether the two are in different parts, so that what is learned from is measured on."""
        return self.part != self.first

    def finding(self) -> Finding:
        """The twin as something wrong with the data set."""
        apart = f", which is for {self.first} while this is for {self.part}" if self.is_apart else ""
        return Finding(self.picture, None, f"is the same picture as {self.other}{apart}", "the same picture")


def twins_in(parts: Parts, watch: Watch = iter) -> list[Twin]:
    """Find the pictures that are there twice; only files of the same length are read for that.

    Args:
        parts: of a data set.
        watch: goes through the pictures that are read, for a progress bar.

    Raises:
        DarkshareError: a picture cannot be read.
    """
    lengths: dict[int, dict[tuple[Path, str], None]] = defaultdict(dict)
    for part, dataset in parts.items():
        for sample in dataset.samples:
            with reading(sample.picture):
                lengths[sample.picture.stat().st_size][sample.picture, part] = None
    same = [one for group in lengths.values() if len(group) > 1 for one in group]
    first: dict[str, tuple[Path, str]] = {}
    found: list[Twin] = []
    for picture, part in watch(same):
        with reading(picture):
            known = first.setdefault(sha256(picture), (picture, part))
        if known != (picture, part):
            found.append(Twin(picture, part, *known))
    return found


def counted(twins: Sequence[Twin], parts: Parts) -> Iterator[str]:
    """Describe the twins in different parts, a line for each two parts."""
    for (first, part), count in Counter((one.first, one.part) for one in twins if one.is_apart).items():
        found = [one for one in twins if (one.first, one.part) == (first, part)]
        pairs = (dict.fromkeys((one.picture, one.other)) for one in found[:3])
        few = ", ".join(" = ".join(path.name for path in pair) for pair in pairs) + (", …" if count > 3 else "")
        yield f"{count} of {len(parts[part].samples)} {part} pictures are {first} pictures too ({few})"


def without_twins(parts: Mapping[str, Dataset], watch: Watch = iter) -> tuple[dict[str, Dataset], list[Twin]]:
    """Leave out the pictures that are there twice, if need be from the part that is trained on; with what was left out.

    Args:
        parts: of a data set.
        watch: goes through the pictures that are read.
    """
    order = sorted(parts, key=lambda part: part == "train")  # what is measured on stays as it is
    twins = twins_in({part: parts[part] for part in order}, watch)
    gone = {(one.part, one.picture) for one in twins}
    kept: dict[str, Dataset] = {}
    for part, one in parts.items():
        once: dict[Path, Sample] = {}
        for sample in one.samples:
            if once.setdefault(sample.picture, sample) is not sample:
                twins.append(Twin(sample.picture, part, sample.picture, part))
        kept[part] = replace(one, samples=tuple(s for s in once.values() if (part, s.picture) not in gone))
    return kept, twins


def cure(parts: Mapping[str, Dataset], watch: Watch = iter) -> tuple[str, ...]:
    """The words with which `import-data` parts twins: they are left out, unless nothing would be left to train on."""
    kept, _ = without_twins(parts, watch)
    return ("--drop-twins",) if kept["train"].samples else ("--split", str(SHARE))
