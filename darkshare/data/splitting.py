"""Split a data set into training and validation, by the content of the pictures."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from darkshare._files import reading
from darkshare._files.opened import sha256
from darkshare.data.darknet import Watch
from darkshare.data.types import ClassifiedDataset, Dataset
from darkshare.errors import DarkshareError

SHARE = 0.2  # for validation, where the source does not say which pictures are for that
D = TypeVar("D", Dataset, ClassifiedDataset)


def split(dataset: D, share: float, seed: int = 0, *, watch: Watch = iter) -> tuple[D, D]:
    """Put a share of the pictures aside for validation.

    The fingerprints of the pictures' bytes, mixed with the seed, are sorted, and the first ones are set aside. So the
    same pictures part in the same way on every machine, whatever their names and order, and a picture that is there
    twice is never on both sides.

    Args:
        dataset: with boxes or classes.
        share: of the different pictures, for validation; at least one and at most all but one.
        seed: another number gives another split.
        watch: goes through the pictures, for a progress bar.

    Returns:
        Training and validation, each in the order of before; the findings stay with training.

    Raises:
        DarkshareError: a picture cannot be read, there are fewer than two, or the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise DarkshareError(f"a share of {share:g} cannot be split off; give one between 0 and 1, such as 0.2")
    marks = {sample.picture: _mark(sample.picture, seed) for sample in watch(dataset.samples)}
    order = sorted(set(marks.values()))
    if len(order) < 2:
        what = f"has only {len(order)} different picture, too few to split; --split 0 sets none aside"
        raise DarkshareError(what, file=dataset.name)
    aside = set(order[: min(max(1, round(share * len(order))), len(order) - 1)])
    kept = tuple(sample for sample in dataset.samples if marks[sample.picture] not in aside)
    put = tuple(sample for sample in dataset.samples if marks[sample.picture] in aside)
    return replace(dataset, samples=kept), replace(dataset, samples=put, findings=())


def _mark(picture: Path, seed: int) -> str:
    with reading(picture):
        return hashlib.sha256(f"{seed} {sha256(picture)}".encode()).hexdigest()
