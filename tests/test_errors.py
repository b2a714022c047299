from __future__ import annotations

import inspect

import pytest

from darkshare import errors
from darkshare.errors import BadValue, DarkshareError

FAMILY = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, DarkshareError)]


@pytest.mark.parametrize(
    ("file", "line", "text"),
    [
        (None, None, "is wrong"),
        (None, 3, "is wrong"),
        ("a.cfg", None, "a.cfg: is wrong"),
        ("a.cfg", 3, "a.cfg:3: is wrong"),
    ],
)
def test_a_message_begins_with_its_place(file, line, text):
    assert str(DarkshareError("is wrong", file=file, line=line)) == text


def test_a_place_is_filled_in_once():
    error = BadValue("is wrong", line=7)
    assert error.locate("a.cfg", 3) is error
    assert str(error) == "a.cfg:7: is wrong"
    assert str(error.locate("b.cfg", 9)) == "a.cfg:7: is wrong"


def test_an_empty_file_name_is_no_place():
    assert str(BadValue("is wrong").locate("", 3)) == "is wrong"


@pytest.mark.parametrize("cls", FAMILY)
def test_one_except_catches_the_family(cls):
    with pytest.raises(ValueError, match="is wrong"):
        raise cls("is wrong")
