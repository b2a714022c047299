"""`savings` as a user types it."""

from __future__ import annotations

import csv
import io
import json
from functools import partial
from pathlib import Path

import conftest
import pytest
from architectures import yolov3_text, yolov4_tiny_text
from conftest import tiny_text

run = partial(conftest.run, "savings")


@pytest.fixture
def yolov3(tmp_path: Path) -> Path:
    path = tmp_path / "yolov3.cfg"
    path.write_text(yolov3_text())
    return path


def test_table_one(yolov3):
    result = run(yolov3, "--k", 74, "--k", 65, "--k", 49, "--k", 41)
    assert result.exit_code == 0, result.output
    rows = [line.split()[:4] for line in result.stdout.splitlines()[1:5]]
    assert [row[0] for row in rows] == ["74", "65", "49", "41"]
    assert [row[1:3] for row in rows[:3]] == [["0.6552", "0.7445"], ["0.4012", "0.6638"], ["0.1556", "0.5051"]]
    assert rows[3] == ["41", "end", "0.09202", "0.4243"]
    assert "2 networks separately: 124,003,514 params" in result.stdout
    assert result.stderr == ""


def test_json_is_alone_on_stdout(yolov3):
    result = run(yolov3, "--k", 74, "--networks", 4, "--format", "json")
    found = json.loads(result.stdout)
    (row,) = found["rows"]
    assert (row["k"], row["networks"], row["block_end"]) == (74, 4, False)
    assert (row["weights"], row["flops"]) == pytest.approx((0.655, 0.744), abs=1e-3)
    assert row["saved_params"] == 3 * 40620640
    assert "4 networks separately" in found["notes"][0]
    assert result.stderr == ""


def test_csv_has_every_number(yolov3):
    result = run(yolov3, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [int(row["k"]) for row in rows] == list(range(1, 107))
    assert rows[73]["params"] == str(2 * 62001757 - 40620640)


def test_markdown(yolov3):
    lines = run(yolov3, "--k", 75, "--format", "markdown").stdout.splitlines()
    assert lines[0].startswith("|  k | block | weights ")
    assert lines[2].startswith("| 75 | end   |  0.6552 |")


def test_another_size_changes_operations_not_weights(yolov3):
    at416, at608 = (
        json.loads(run(yolov3, "--k", 74, "--size", size, "--format", "json").stdout)["rows"][0]
        for size in ("416", "608x608")
    )
    assert at416["params"] == at608["params"]
    assert at608["bflops"] == pytest.approx(at416["bflops"] * (608 / 416) ** 2)


def test_several_models_are_a_base_and_the_others(tmp_path):
    for name, classes in (("base", 2), ("a", 1), ("b", 7)):
        (tmp_path / f"{name}.cfg").write_text(tiny_text(classes))
    paths = [tmp_path / f"{name}.cfg" for name in ("base", "a", "b")]
    rows = json.loads(run(*paths, "--format", "json").stdout)["rows"]
    assert [(row["k"], row["networks"]) for row in rows] == [(k, 3) for k in range(1, 6)]
    assert run(*paths, "--networks", 3).exit_code == 0
    wrong = run(*paths, "--networks", 4)
    assert (wrong.exit_code, "3 models were given" in wrong.stderr) == (2, True)


@pytest.mark.parametrize("count", ["1", "0", "-3", "1000000000", "x"])
def test_numbers_of_networks_that_make_no_sense(yolov3, count):
    assert run(yolov3, "--networks", count).exit_code == 2


@pytest.mark.parametrize("k", [0, 107])
def test_a_k_that_is_no_cut(yolov3, k):
    result = run(yolov3, "--k", k)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: {yolov3}: k={k} must be 1..106: at least one layer is shared and at least one is not\n"
    )


def test_the_plot_shows_all_cuts(tmp_path):
    pytest.importorskip("matplotlib")
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(yolov4_tiny_text())
    result = run(cfg, "--k", 27, "--plot", tmp_path / "out.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert len(result.stdout.splitlines()) == 4  # the table holds only what was asked for


def test_a_plot_of_no_known_kind(tmp_path, yolov3):
    result = run(yolov3, "--plot", tmp_path / "out.xyz")
    assert (result.exit_code, result.stdout) == (1, "")
    assert not (tmp_path / "out.xyz").exists()
