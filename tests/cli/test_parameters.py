"""Values that may be typed for an option, and the hints for others."""

from __future__ import annotations

import click
import pytest

from darkshare.cli.parameters import BATCH, LEVEL, NAMED_FILE, NUMBERS, OVERLAP, RENAMING, SHARE, SIZE, SPAN, choices

WORDS = choices(("picture", "csv"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (SIZE, "416", (416, 416)),
        (SIZE, "416x320", (416, 320)),
        (SIZE, "416X320", (416, 320)),
        (SIZE, (8, 9), (8, 9)),
        (NUMBERS, "0,41, 74", (0, 41, 74)),
        (NUMBERS, (1,), (1,)),
        (SPAN, "74-106", (74, 106)),
        (SHARE, "1%", 0.01),
        (SHARE, "0.01", 0.01),
        (SHARE, "300%", 3.0),
        (SHARE, 0.5, 0.5),
        (BATCH, "dynamic", None),
        (BATCH, "8", 8),
        (LEVEL, "0.4", ("", 0.4)),
        (LEVEL, "masks=0.4", ("masks", 0.4)),
        (LEVEL, "a=b=1", ("a=b", 1.0)),
        (NAMED_FILE, "masks=masks.data", ("masks", "masks.data")),
        (NAMED_FILE, "masks.data", ("", "masks.data")),
        (NAMED_FILE, "a/k=3.data", ("", "a/k=3.data")),
        (RENAMING, "car=vehicle", ("car", "vehicle")),
        (RENAMING, "car=", ("car", "")),
        (RENAMING, "a=b=c", ("a", "b=c")),
        (WORDS, "picture", ("picture",)),
        (WORDS, "csv, picture", ("csv", "picture")),
    ],
)
def test_what_may_be_typed(kind, text, value):
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        *((SIZE, text, "is not a size; write 416 or 416x320") for text in ("", "x", "416x", "x320", "big", "4x3x2")),
        (SIZE, "4.5", "is not a size"),
        *((NUMBERS, text, "is not a list of whole numbers; write 0,41,74") for text in ("", "1,,2", "a", "-1", "1.5")),
        (NUMBERS, "12345678901", "is not a list of whole numbers"),
        *((SPAN, text, "is not a stretch of layers; write 74-106") for text in ("", "74", "-3", "3-", "1-2-3", "a-b")),
        *((SHARE, text, "is not a share; write 1% or 0.01") for text in ("3", "-1%", "many", "inf%", "nan", "")),
        (BATCH, "some", "'some' is neither a number nor 'dynamic'"),
        (LEVEL, "1.5", "1.5 is not in the range 0<=x<=1"),
        (LEVEL, "masks=much", "'much' is not a valid float"),
        (OVERLAP, "agnostik", "'agnostik' is not a valid float range; write 0.4, agnostic, or 0.4,agnostic"),
        *((RENAMING, text, "does not say OLD=NEW") for text in ("car", "=car", "")),
        (WORDS, "csv,xml", "'xml' is not one of 'picture', 'csv'"),
    ],
)  # fmt: skip
def test_what_is_refused(kind, text, says):
    with pytest.raises(click.UsageError, match=says):
        kind.convert(text, None, None)


def test_a_file_may_have_an_equals_sign_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k=3.data").touch()
    assert NAMED_FILE.convert("k=3.data", None, None) == ("", "k=3.data")
    assert NAMED_FILE.convert("k=4.data", None, None) == ("k", "4.data")
