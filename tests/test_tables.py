"""Rows as text, markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from darkshare._tables import FORMATS, printable, render

ROWS: list[dict[str, Any]] = [
    {"layer": 0, "kind": "convolutional", "reads": (), "bflops": 0.123456, "counted": True},
    {"layer": 10, "kind": "route|x", "reads": (3, 4), "bflops": None, "counted": False},
]


def test_text_aligns_numbers_right_and_words_left():
    assert render(ROWS, "text").split("\n") == [
        "layer  kind           reads  bflops  counted",
        "    0  convolutional         0.1235  True",
        "   10  route|x        3, 4        -  False",
    ]


def test_markdown_is_a_table_whatever_the_cells_hold():
    lines = render(ROWS, "markdown").split("\n")
    assert lines[1] == "| ----: | ------------- | ----- | -----: | ------- |"
    assert lines[3] == "|    10 | route\\|x      | 3, 4  |      - | False   |"
    assert len({len(line) for line in lines}) == 1


def test_csv_keeps_every_digit():
    rows = list(csv.DictReader(io.StringIO(render(ROWS, "csv"))))
    assert rows[0]["bflops"] == "0.123456"
    assert rows[1] == {"layer": "10", "kind": "route|x", "reads": "(3, 4)", "bflops": "", "counted": "False"}


def test_json_is_complete():
    assert json.loads(render(ROWS, "json")) == [{**row, "reads": list(row["reads"])} for row in ROWS]


@pytest.mark.parametrize(("form", "expected"), [("text", ""), ("markdown", ""), ("csv", ""), ("json", "[]")])
def test_no_rows(form, expected):
    assert render([], form) == expected


@pytest.mark.parametrize("form", FORMATS)
def test_any_text_can_be_printed(form):
    odd = render([{"name": "a\nb\x1b[0m\udcff…"}], form)
    if form == "json":
        assert json.loads(odd) == [{"name": "a\nb\x1b[0m\udcff…"}]
        assert odd.isascii()
    elif form != "csv":
        assert "a b\\x1b[0m\\udcff…" in odd


def test_printable_text_is_one_line():
    assert printable("plain") == "plain"
    assert printable("a\r\n\tb\x00é\u202e") == "a b\\x00é\\u202e"


def test_json_has_no_infinity_and_no_nan():
    rows = [{"a": float("inf"), "b": [{"c": float("nan"), "d": 1.5}], "e": "inf"}]
    assert json.loads(render(rows, "json")) == [{"a": None, "b": [{"c": None, "d": 1.5}], "e": "inf"}]
