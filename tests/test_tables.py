"""Rows as text, markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import pytest

from darkshare._tables import FORMATS, Result, printable, ranges, render, runs, wrapped

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


def test_printable_text_keeps_its_indent():
    assert printable("  at  0.25:\n 3") == "  at 0.25: 3"


def test_long_lines_are_broken_between_words_and_never_within():
    assert wrapped("short") == ["short"]
    lines = wrapped("  " + "long-word " * 20 + "x" * 90)
    assert [len(line) <= 80 for line in lines] == [True] * (len(lines) - 1) + [False]
    assert [line[:5] for line in lines] == ["  lon", *["    l"] * (len(lines) - 2), "    x"]
    assert " ".join(" ".join(lines).split()) == "long-word " * 20 + "x" * 90


def test_json_has_no_infinity_and_no_nan():
    rows = [{"a": float("inf"), "b": [{"c": float("nan"), "d": 1.5}], "e": "inf"}]
    assert json.loads(render(rows, "json")) == [{"a": None, "b": [{"c": None, "d": 1.5}], "e": "inf"}]


@dataclass(frozen=True, repr=False)
class Two(Result):
    """Rows of which people see one column."""

    title: str = ""

    def rows(self):
        return [{"a": 1, "b": 1.5}, {"a": 2, "b": None}]

    def table(self):
        return [{"a": row["a"]} for row in self.rows()]

    def heading(self):
        return self.title

    def notes(self):
        return ["a <note>"]

    def summary(self):
        return "two\nrows"


def test_a_result_prints_as_a_table_with_its_heading_and_notes():
    assert str(Two()) == "a\n1\n2\n\na <note>"
    assert Two("Odd\x1b").text("markdown") == "Odd\\x1b\n|  a |\n| -: |\n|  1 |\n|  2 |\n\na <note>"


def test_a_result_is_one_line_where_it_is_looked_at_and_a_table_in_a_notebook():
    assert repr(Two()) == "<Two: two rows>"
    html = Two("Odd")._repr_html_()
    assert html.startswith("<p>Odd</p><table><tr><th>a</th></tr><tr><td>1</td></tr>")
    assert html.endswith("</table><p>a &lt;note&gt;</p>")


def test_a_result_for_programs_has_everything():
    assert Two().as_dict() == {"rows": Two().rows(), "notes": ["a <note>"]}
    assert list(Two().to_dataframe().columns) == ["a", "b"]


@pytest.mark.parametrize(
    ("numbers", "parts", "text"),
    [
        ((), (), ""),
        ((3,), ((3, 4),), "3"),
        ((0, 1, 2, 5), ((0, 3), (5, 6)), "0-2, 5"),
        ((4, 3), ((4, 5), (3, 4)), "4, 3"),
    ],
)
def test_neighbouring_numbers_are_one_range(numbers, parts, text):
    assert runs(iter(numbers)) == parts
    assert ranges(numbers) == text
    assert ranges(numbers, "..") == text.replace("-", "..")
