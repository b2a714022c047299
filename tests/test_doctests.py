"""The examples in docstrings run, in the package as it is installed."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import darkshare

MODULES = [
    found.name for found in pkgutil.walk_packages(darkshare.__path__, "darkshare.") if "__main__" not in found.name
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    found = sum(
        bool(test.examples) for name in MODULES for test in doctest.DocTestFinder().find(importlib.import_module(name))
    )
    assert found >= 4
