"""Progress bars: only on a terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from darkshare.cli import progress
from darkshare.cli.progress import bar, is_watched, watched, watcher


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    """A terminal in the place of stderr."""
    shown = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=shown))  # pytest exchanges sys.stderr itself
    return shown


def test_elsewhere_nothing_is_written(capsys):
    assert not is_watched()
    assert list(watched(range(3), label="files")) == [0, 1, 2]
    assert list(watcher("files")("abc")) == ["a", "b", "c"]
    with bar(10) as shown:
        assert shown is None
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_with_label_and_count(terminal):
    assert is_watched()
    assert list(watched([1, 2], label="pictures\x1b")) == [1, 2]
    text = terminal.getvalue()
    assert "pictures\\x1b" in text
    assert "2/2" in text


def test_few_items_need_no_bar(terminal):
    assert list(watcher("files", least=3)([1, 2])) == [1, 2]
    assert terminal.getvalue() == ""
    assert list(watcher("files", least=2)([1, 2])) == [1, 2]
    assert "files" in terminal.getvalue()


def test_items_need_not_know_how_many_they_are(terminal):
    assert list(watched(iter("ab"), label="frames")) == ["a", "b"]
    assert list(watched(iter("ab"), 2, label="known", show=lambda: "30 per second")) == ["a", "b"]
    assert "2/2" in terminal.getvalue()
    assert "30 per second" in terminal.getvalue()


def test_a_bar_is_moved_by_hand(terminal):
    with bar(4, label="training", shows_text=True) as shown:
        shown.update(2, "loss 0.5")
        shown.update(2, "loss 0.1")
    assert "loss 0.1" in terminal.getvalue()
    with bar(4, label="bytes") as shown:
        shown.update(4)
    assert "100%" in terminal.getvalue()
