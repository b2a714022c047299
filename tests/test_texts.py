"""Text of any encoding: what is read is what was written, and bytes survive."""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkshare._texts import decoded_text, raw_bytes, read_text, to_escaped
from darkshare.errors import DarkshareError

NAMES = "straße\n红绿灯\nдом\n"


@pytest.mark.parametrize(
    ("data", "oddity"),
    [
        (NAMES.encode(), ""),
        (BOM_UTF8 + NAMES.encode(), "starts with a byte order mark"),
        (BOM_UTF16_LE + NAMES.encode("utf-16-le"), "is in UTF-16"),
        (BOM_UTF16_BE + NAMES.encode("utf-16-be"), "is in UTF-16"),
        ("cat\r\ndog".encode("utf-16-le"), "is in UTF-16"),
        ("cat\r\ndog".encode("utf-16-be"), "is in UTF-16"),
        ("红绿灯\n行人\n".encode("utf-16-le"), "is in UTF-16"),
    ],
)
def test_unicode_is_read_whatever_its_form(tmp_path, data, oddity):
    path = tmp_path / "a.names"
    path.write_bytes(data.replace(b"\n", b"\r\n") if b"\0" not in data else data)
    text = read_text(path)
    assert text.oddity == oddity
    assert text.likely == ""
    expected = next(t for t in (NAMES, "cat\ndog", "红绿灯\n行人\n") if t.split()[0] == text.text.split()[0])
    assert text.text == expected


@pytest.mark.parametrize(
    ("names", "encoding", "likely"),
    [
        ("straße\ngrün", "latin-1", "Latin-1"),
        ("Größe\nMaß", "latin-1", "Latin-1"),  # two accents in a row, as a pair of GBK
        ("é", "latin-1", "Latin-1"),
        ("红\n绿", "gbk", "GBK"),
        ("汽车 car\n行人\nbus", "gbk", "GBK"),
        ("дом\nавто", "cp1251", "Windows-1251"),
        ("машина\nчеловек", "cp1251", "Windows-1251"),
    ],
)
def test_the_likely_encoding_of_bytes_that_are_not_utf_8(names, encoding, likely):
    text = decoded_text(names.encode(encoding))
    assert text.likely == likely
    assert raw_bytes(text.text) == names.encode(encoding)
    assert [raw_bytes(line).decode(encoding) for line in text.lines] == names.split("\n")


@given(
    st.binary().filter(
        lambda data: b"\0" not in data and b"\r" not in data and data[:2] not in (BOM_UTF16_LE, BOM_UTF16_BE)
    )
)
def test_all_bytes_but_a_mark_survive(data):
    assert raw_bytes(decoded_text(data).text) == data.removeprefix(BOM_UTF8)
    to_escaped(decoded_text(data).text).decode()  # which is UTF-8


@pytest.mark.parametrize(
    "data", [b"a\0b", b"\0\0", bytes(range(256)), BOM_UTF16_LE + b"a", BOM_UTF16_LE + b"a\0\0\0", b"\x01\0\x02\0"]
)
def test_what_is_not_text_is_refused(tmp_path, data):
    path = tmp_path / "a.names"
    path.write_bytes(data)
    with pytest.raises(DarkshareError, match=r"a\.names: (holds NUL|begins like a text in UTF-16)"):
        read_text(path)
