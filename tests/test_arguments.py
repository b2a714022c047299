"""Every public function refuses arguments of another type than its signature says, by their names."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

import darkshare
from darkshare.errors import BadValue, DarkshareError, checked

FUNCTIONS = [name for name in dir(darkshare) if inspect.isfunction(getattr(darkshare, name))]
CALLS = {name: getattr(darkshare, name) for name in FUNCTIONS}
METHODS = {"Detector": darkshare.Detector.__init__, "Classifier": darkshare.Classifier.__init__}
CALLS |= METHODS
ODD = object()


@pytest.mark.parametrize("name", CALLS)
def test_every_public_call_is_checked(name):
    own, *others = [None, *inspect.signature(CALLS[name]).parameters.values()][name in METHODS :]
    places = [one for one in others if one.kind in (one.POSITIONAL_OR_KEYWORD, one.VAR_POSITIONAL)]
    named = {one.name: ODD for one in others if one.kind is one.KEYWORD_ONLY and one.default is one.empty}
    with pytest.raises(BadValue, match=rf"^{name}: {places[0].name} must be .*, not <object objec"):
        CALLS[name](*[own] * (name in METHODS), *[ODD] * len(places), **named)


@pytest.mark.parametrize("name", CALLS)
def test_no_parameter_takes_just_anything(name):
    for parameter, hint in typing.get_type_hints(CALLS[name]).items():
        if parameter == "return" or hint is Any:
            continue

        def one(value):
            pytest.fail(f"{parameter}={value} was taken")  # noqa: B023 - it is called below

        one.__annotations__ = {"value": hint}
        with pytest.raises(BadValue, match="value must be"):
            checked(one)(ODD)


@checked
def made_up(
    number: int = 1, share: float = 0.5, flag: bool = False, size: tuple[int, int] | None = None,
    names: str | Sequence[str] = (), files: Iterable[str | PathLike[str]] = (), by: Mapping[str, float] | float = 1,
    mode: Literal["a", "b"] = "a", path: str | PathLike[str] = "x", watch: Callable[[int], int] = abs,
    pictures: Iterable[npt.NDArray[np.uint8]] = (), free: Any = None,
) -> str:  # fmt: skip
    """Say that all fits."""
    return "fits"


@pytest.mark.parametrize(
    "given",
    [
        {"number": np.int64(3)},
        {"number": 10**30},
        {"share": 1},
        {"share": np.float32(0.25)},
        {"flag": np.bool_(True)},
        {"size": (3, 4)},
        {"size": [3, 4]},
        {"names": "one"},
        {"names": {"one", "two"}},
        {"names": np.array(["one"])},
        {"files": iter([1])},  # what can be gone through but once is left alone
        {"files": [Path("x"), "y"]},
        {"by": {"task": 1}},
        {"mode": "c"},  # the function's own to refuse, by its words
        {"watch": iter},
        {"pictures": [np.zeros((2, 2, 3), np.uint8)]},
        {"free": ODD},
    ],
)
def test_what_fits_is_taken(given):
    assert made_up(**given) == "fits"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"number": "3"}, "number must be int, not '3'"),
        ({"number": 1.0}, "number must be int, not 1.0"),
        ({"number": True}, "number must be int, not True"),
        ({"number": None}, "number must be int, not None"),
        ({"share": "half"}, "share must be float, not 'half'"),
        ({"flag": "no"}, "flag must be bool, not 'no'"),
        ({"size": 3}, "size must be tuple[int, int] | None, not 3"),
        ({"size": (3, 4, 5)}, "size must be tuple[int, int] | None, not (3, 4, 5)"),
        ({"size": (3, "4")}, "size must be tuple[int, int] | None, not (3, '4')"),
        ({"names": [1]}, "names must be str | Sequence[str], not [1]"),
        ({"names": b"x"}, "names must be str | Sequence[str], not b'x'"),
        ({"files": "x"}, "files must be Iterable[str | PathLike[str]], not 'x'"),
        ({"files": {"x": 1}}, "files must be Iterable[str | PathLike[str]], not {'x': 1}"),
        ({"by": {1: 1}}, "by must be Mapping[str, float] | float, not {1: 1}"),
        ({"by": {"x": "y"}}, "by must be Mapping[str, float] | float, not {'x': 'y'}"),
        ({"mode": 3}, "mode must be Literal['a', 'b'], not 3"),
        ({"path": "a\0b"}, r"path='a\x00b' holds a zero byte, which no path does; remove it"),
        ({"watch": 3}, "watch must be Callable[[int], int], not 3"),
        ({"path": np.zeros((2, 2))}, "path must be str | PathLike[str], not array([[0., 0... [0., 0.]])"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(given, message):
    with pytest.raises(BadValue) as caught:
        made_up(**given)
    assert str(caught.value) == f"made_up: {message}"


def test_a_name_among_pictures_is_refused():
    with pytest.raises(BadValue, match=r"^made_up: pictures must be Iterable"):
        made_up(pictures=["x"])


def test_a_file_name_instead_of_a_model_gets_the_cure():
    with pytest.raises(BadValue, match=r"^info: model must be Model, not 'x.cfg'; darkshare.load makes one of its fil"):
        CALLS["info"]("x.cfg")


def test_a_missing_argument_is_pythons_own_error():
    with pytest.raises(TypeError, match=r"^info\(\) missing 1 required positional argument: 'model'$"):
        CALLS["info"]()
    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'"):
        CALLS["info"](None, depth=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: darkshare.concat([]), "concat needs a base and at least one further network"),
        (lambda model: darkshare.concat([model]), "concat needs a base and at least one further network"),
        (lambda model: darkshare.bench([]), "bench needs the separate networks, or a merged one"),
        (lambda model: darkshare.savings(model, networks=1001), "networks=1001 must be at most 1000"),
        (lambda model: darkshare.anchors(model, "x.data", restarts=0), "restarts=0 must be at least 1"),
        (lambda model: darkshare.anchors(model, "x.data", seed=-1), "seed=-1 must be at least 0"),
        (lambda model: darkshare.anchors(model, "x.data", num=0), "num=0 must be at least 1"),
        (lambda model: darkshare.branch(model, 2, 2, step=0), "step=0 must be at least 1"),
        (lambda model: darkshare.recalibrated(model, "x", batch=1), "batch=1 must be at least 2"),
        (lambda model: darkshare.evaluate(model, "x.data", batch=0), "batch=0 must be at least 1"),
    ],
)
def test_numbers_and_lists_out_of_range_are_refused(tiny, call, message):
    with pytest.raises(DarkshareError) as caught:
        call(darkshare.load(tiny))
    assert str(caught.value) == message
