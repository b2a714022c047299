"""Printing of results: the table and its notes on stdout, everything about them on stderr."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from darkshare._tables import Result
from darkshare._version import __version__
from darkshare.cli.printing import say, show, wrote
from darkshare.errors import DarkshareError


@dataclass(frozen=True, repr=False)
class Two(Result):
    name: str = "a"

    def rows(self):
        return [{"name": self.name, "share": 1 / 3, "more": True}]

    def table(self):
        return [{"name": self.name, "share": 1 / 3}]

    def notes(self):
        return [f"about {self.name}\x1b"] if self.name else []

    def summary(self):
        return self.name


def test_people_see_the_table_and_below_it_the_notes(capsys):
    show(Two())
    assert capsys.readouterr() == ("name   share\na     0.3333\n\nabout a\\x1b\n", "")


def test_several_results_stand_beneath_one_another(capsys):
    show(Two("a"), Two("b"))
    assert capsys.readouterr().out.split("\n\n")[2] == "name   share\nb     0.3333"


@pytest.mark.parametrize(("output", "begin"), [(None, "name,share,more\n"), ("rows.csv", "")])
def test_csv_has_every_column_and_digit_and_its_notes_go_to_stderr(output, begin, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    show(Two(), form="csv", output=output)
    out, err = capsys.readouterr()
    text = Path(output).read_text() if output else out
    assert text == "name,share,more\na,0.3333333333333333,True\n"
    assert out.startswith(begin)
    assert err == "about a\\x1b\n"


def test_json_stands_alone(capsys):
    show(Two(), form="json")
    out, err = capsys.readouterr()
    head = {"command": None, "version": __version__, "inputs": [], "options": {}}
    assert json.loads(out) == {**head, "rows": Two().rows(), "written": [], "notes": ["about a\x1b"]}
    assert err == ""


def test_json_of_several_results_has_the_rows_of_all_and_each_alone(capsys):
    show(Two("a"), Two("b"), form="json")
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["rows"]] == ["a", "b"]
    assert found["notes"] == ["about a\x1b", "about b\x1b"]
    assert found["results"] == [Two("a").as_dict(), Two("b").as_dict()]


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_a_file_holds_what_the_terminal_would_show(form, capsys, tmp_path):
    show(Two(""), form=form)
    shown = capsys.readouterr().out
    show(Two(""), form=form, output=str(tmp_path / "rows"))
    assert (tmp_path / "rows").read_text() == shown
    assert capsys.readouterr() == ("", "")


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(DarkshareError, match="cannot be written"):
        show(Two(), output=str(tmp_path))


def test_what_is_said_goes_to_stderr_on_lines_of_its_own(capsys):
    say("one\ntwo", "three\x1b")
    wrote(["a.cfg", Path("b.weights")])
    assert capsys.readouterr() == ("", "one two\nthree\\x1b\nwrote a.cfg, b.weights\n")
