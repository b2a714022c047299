"""The CSV file of a training, which survives a kill, its figure, and checkpoints."""

from __future__ import annotations

import csv
from itertools import combinations

import cv2
import pytest

from darkshare.errors import DarkshareError
from darkshare.training import checkpoints
from darkshare.training.journal import Journal, Update, _figure, plot_training


def entry(batch: int, loss: float = 2.0, **more) -> Update:
    return Update(batch, 8 * batch, 0.001, 32, 32, loss, loss, 0.5, None, 0.25)._replace(**more)


def fill_cache(path, count: int) -> Journal:
    journal = Journal(path)
    for batch in range(1, count + 1):
        journal.add(entry(batch))
    return journal


def test_a_line_per_update_and_the_map_where_it_was_measured(tmp_path):
    journal = fill_cache(tmp_path / "t.csv", 2)
    journal.amend(0.75)
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [row["batch"] for row in rows] == ["1", "2"]
    assert [row["map"] for row in rows] == ["", "0.75"]
    assert rows[0]["objectness"] == ""
    assert rows[1]["images"] == "16"


def test_what_a_killed_training_wrote_too_much_is_dropped(tmp_path):
    path = tmp_path / "t.csv"
    journal = fill_cache(path, 5)
    journal.amend(0.5)
    with path.open("a") as file:
        file.write("6,48,0.0")  # cut off by the kill
    again = Journal(path, 5)
    assert again.entries == journal.entries
    assert Journal(path, 3).entries == journal.entries[:3]
    assert path.read_text().count("\n") == 4
    assert Journal(path).entries == []


@pytest.mark.parametrize(
    "row",
    [
        "inf,8,0.1,32,32,1,1,,,0.25,",
        "2,1e400,0.1,32,32,1,1,,,0.25,",
        "2,8,0.1,-inf,32,1,1,,,0.25,",
        f"2,8,0.1,32,{'9' * 400},1,1,,,0.25,",
        "nan,8,0.1,32,32,1,1,,,0.25,",
        f"2,8,0.1,32,32,1,1,,,0.25,{'1' * 200_000}",  # csv reads no cell of more than 128 KiB
    ],
)
def test_a_line_that_no_training_wrote_ends_the_journal(tmp_path, row):
    journal = fill_cache(tmp_path / "t.csv", 1)
    with (tmp_path / "t.csv").open("a") as file:
        file.write(f"{row}\n2,16,0.1,32,32,1,1,,,0.25,\n")
    assert Journal(tmp_path / "t.csv", 9).entries == journal.entries


def test_the_mean_loss_is_darknets(tmp_path):
    journal = Journal(tmp_path / "t.csv")
    assert journal.mean_with(4.0) == 4.0
    journal.add(entry(1, mean=4.0))
    assert journal.mean_with(14.0) == pytest.approx(0.9 * 4 + 0.1 * 14)


def test_a_journal_that_cannot_be_written_is_named(tmp_path):
    journal = fill_cache(tmp_path / "t.csv", 1)
    journal.path = tmp_path / "no" / "t.csv"
    with pytest.raises(DarkshareError, match=r"t\.csv: cannot be written"):
        journal.add(entry(2))


@pytest.mark.parametrize("measured", [None, 0.42])
def test_the_figure(tmp_path, measured):
    entries = [entry(i, loss=5 / i, map=measured if i % 5 == 0 else None) for i in range(1, 21)]
    plot_training(entries, tmp_path / "t.png", title="t")
    picture = cv2.imread(str(tmp_path / "t.png"))
    assert picture.shape == (540, 960, 3)
    orange = (abs(picture.astype(int) - (0x00, 0x9F, 0xE6)).max(axis=2) < 8).sum()
    assert (orange > 50) == (measured is not None)


@pytest.mark.parametrize("highest", [2.5, 9, 4e5])
def test_nothing_in_the_figure_lies_over_anything_else(highest):
    entries = [entry(i, loss=highest ** (1 - i / 20), map=1 - i / 40) for i in range(21)]
    figure = _figure(entries, "mAP")
    title = figure.suptitle("t")
    figure.draw_without_rendering()
    axes, right = figure.axes
    (legend,) = figure.legends
    assert "best 100.0 % after batch 0, last 50.0 %" in legend.get_texts()[-1].get_text()
    ticks = [*axes.yaxis.get_minorticklabels(), *axes.yaxis.get_majorticklabels()]
    low, high = axes.get_ylim()
    labels = [text for text in ticks if text.get_text() and low <= text.get_position()[1] <= high]
    assert len(labels) > 2
    boxes = [one.get_window_extent() for one in (*labels, axes.yaxis.label, right.yaxis.label, title, legend)]
    assert not any(one.overlaps(other) for one, other in combinations([axes.bbox, *boxes], 2))


@pytest.mark.parametrize("title", ["tr\udce4, k=3", r"a $\frac{$ b", "$"])
def test_the_title_of_the_figure_may_be_any_name(tmp_path, title):
    plot_training([entry(1), entry(2)], tmp_path / "t.png", title=title)
    assert cv2.imread(str(tmp_path / "t.png")) is not None


def test_checkpoints_come_back(tmp_path):
    torch = pytest.importorskip("torch", reason="training needs PyTorch")
    path = tmp_path / "t.checkpoint"
    checkpoints.write_state([path], {"fingerprint": {"seed": 1}, "net": {"0.weights": torch.arange(3.0)}, "best": None})
    found = checkpoints.read_state(path, {"seed": 1})
    assert found["net"]["0.weights"].tolist() == [0, 1, 2]
    with pytest.raises(
        DarkshareError, match=r"t\.checkpoint: was written by a training with another seed \(1, now 2\)"
    ):
        checkpoints.read_state(path, {"seed": 2})


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_what_is_no_checkpoint_is_said(tmp_path, content):
    pytest.importorskip("torch", reason="training needs PyTorch")
    path = tmp_path / "t.checkpoint"
    path.write_bytes(content)
    with pytest.raises(DarkshareError, match=r"t\.checkpoint: is not a checkpoint of a training .* remove it"):
        checkpoints.read_state(path, {})


def test_another_program_s_file_is_no_checkpoint(tmp_path):
    torch = pytest.importorskip("torch", reason="training needs PyTorch")
    path = tmp_path / "t.checkpoint"
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(DarkshareError, match="is not a checkpoint"):
        checkpoints.read_state(path, {})
