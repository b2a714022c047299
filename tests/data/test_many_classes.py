"""Data sets of very many classes: time grows with their number, and no faster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import growth

from darkshare.data import Dataset, Sample
from darkshare.data.classes import in_order, united, with_classes
from darkshare.data.formats.coco import _categories
from darkshare.data.types import Box
from darkshare.evaluation.classes import match_classes
from darkshare.surgery.classes import edited, matched


def named(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))


def data_of(names: tuple[str, ...]) -> Dataset:
    return Dataset("d", names, (Sample(Path("a.png"), (Box(0, 0.5, 0.5, 0.5, 0.5),)),))


def categories(count: int) -> object:
    return _categories([{"id": number, "name": name} for number, name in enumerate(named(count))], Path("c.json"))


WORK: dict[str, Callable[[int], object]] = {
    "categories of COCO": categories,
    "united": lambda n: united({"train": data_of(named(n)), "valid": data_of(named(n)[::-1])}),
    "renamed": lambda n: with_classes({"train": data_of(named(n))}, named(n)[1:], {x: x for x in named(n)}),
    "in order": lambda n: in_order(data_of(named(n)[::-1]), named(n)),
    "matched with a task": lambda n: match_classes("t", named(n), "d", named(n)[::-1], {}, by_order=False),
    "left out": lambda n: match_classes("t", named(n), "d", named(n), dict.fromkeys(named(n), ""), by_order=False),
    "edited": lambda n: edited(named(n), keep=named(n)[1:], rename={x: f"{x}'" for x in named(n)[1:]}),
    "new names": lambda n: matched(named(n), named(n)[::-1]),
}


@pytest.mark.parametrize("what", WORK)
def test_time_grows_with_the_number_of_classes(what):
    assert growth(lambda count: lambda: WORK[what](count), 1000) < 8
