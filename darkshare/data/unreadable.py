"""Pictures that cannot be read while something goes through a data set: a few are left out, more are an error."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

from darkshare.data.types import ClassifiedDataset, Dataset
from darkshare.errors import DarkshareError

D = TypeVar("D", Dataset, ClassifiedDataset)

MOST = 0.01  # of the pictures


class Unreadable:
    """The pictures of a data set that cannot be read; threads may share it."""

    def __init__(self) -> None:
        self._errors: dict[int, DarkshareError] = {}
        self._count = 0

    def add(self, index: int, count: int, error: DarkshareError) -> None:
        """Take a picture by its number among so many.

        Raises:
            DarkshareError: more than 1 % cannot be read now.
        """
        self._errors[index], self._count = error, count
        if len(self._errors) > MOST * count:
            why = f"more than {MOST:.0%} of them; mend or remove them (darkshare check --decode names all)"
            raise DarkshareError(f"{self}, {why}")

    def join(self, other: Unreadable) -> None:
        """Take those that another found in the same data set.

        Raises:
            DarkshareError: more than 1 % cannot be read now.
        """
        for index, error in other._errors.items():
            self.add(index, other._count, error)

    @property
    def indices(self) -> frozenset[int]:
        """The numbers of the pictures."""
        return frozenset(self._errors)

    def __bool__(self) -> bool:
        return bool(self._errors)

    def __str__(self) -> str:
        errors = [self._errors[index] for index in sorted(self._errors)]
        few = "; ".join(map(str, errors[:3])) + ("; …" if len(errors) > 3 else "")
        return f"{len(errors)} of {self._count} pictures cannot be read ({few})"


def without(dataset: D, indices: Collection[int]) -> D:
    """The data set without the pictures of these numbers."""
    return replace(dataset, samples=tuple(one for at, one in enumerate(dataset.samples) if at not in indices))
