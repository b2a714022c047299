"""Rows as text, markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import pytest

from darkshare._tables import FORMATS, Result, columns_of, fitted, printable, ranges, render, runs, shortened, wrapped

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


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("abc", 3),
        ("é", 1),
        ("e\u0301", 1),
        ("車両", 4),
        ("ﾃ", 1),
        ("Ａ", 2),
        ("😀a", 3),
        ("한글", 4),
        ("أهلا", 4),
    ],
)
def test_wide_characters_take_two_columns_and_accents_none(text, columns):
    assert columns_of(text) == columns


def test_columns_are_aligned_by_what_a_terminal_shows():
    rows = [{"name": "車両", "n": 1}, {"name": "cafe\u0301", "n": 20}]
    assert render(rows, "text") == "name   n\n車両   1\ncafe\u0301  20"


@pytest.mark.parametrize("room", [16, 20, 31])
@pytest.mark.parametrize("path", ["a/b.cfg", "models/of/last/summer/yolov3.cfg", f"/車両/{'x' * 40}.weights", "/" * 40])
def test_a_path_keeps_its_ends(path, room):
    short = shortened(path, room)
    assert columns_of(short) <= room
    front, _, back = short.partition("…")
    assert path.startswith(front)
    assert path.endswith(back)
    assert ("…" in short) == (columns_of(path) > room)
    if columns_of(path.rpartition("/")[2]) < room:
        assert path.rpartition("/")[2] in short


LONG = [{"file": f"/folders/that/take/room/{name}.weights", "k": 4, "why": "it: is so", "a": 0.5} for name in "xy"]


def test_a_table_that_fits_stays_as_it_is():
    assert render(LONG, "text", 200) == render(LONG, "text")
    assert render(LONG, "markdown", 20) == render(LONG, "markdown")


def test_paths_are_shortened_before_a_table_is_broken():
    assert render(LONG, "text", 44).split("\n") == [
        "file                       k  why          a",
        "/folders…e/room/x.weights  4  it: is so  0.5",
        "/folders…e/room/y.weights  4  it: is so  0.5",
    ]


def test_what_is_still_too_wide_stands_in_tables_that_begin_alike():
    first, second = render([{"n": 1, "word": "a" * 9, "more": "b" * 9}], "text", 20).split("\n\n")
    assert first == f"n  word\n1  {'a' * 9}"
    assert second == f"n  more\n1  {'b' * 9}"
    wide = render([{"word": "a" * 30}], "text", 20)
    assert wide.split("\n")[1] == "a" * 30  # nothing is lost


def test_the_columns_that_tell_rows_apart_begin_every_table():
    rows = [{"layer": i, "part": part, "x": "x" * 12, "y": "y" * 12} for i in (0, 1) for part in "ab"]
    assert [table.split("\n")[0].split() for table in render(rows, "text", 30).split("\n\n")] == [
        ["layer", "part", "x"],
        ["layer", "part", "y"],
    ]


def test_notes_are_broken_between_words_and_commands_are_not():
    assert fitted("a " * 20, 20).split("\n") == ["a a a a a a a a a a", "    a a a a a a a a", "    a a"]
    assert fitted(f"next: darkshare {'a ' * 20}", 20).count("\n") == 0
    assert Two("b " * 20).text(room=20).startswith("b b b b b b b b b b\n    b b")


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
