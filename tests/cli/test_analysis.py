"""`stats` and `frozen` as a user types them."""

from __future__ import annotations

import csv
import io
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import network_of, run, seeded_floats, tiny_text, write_model

from darkshare.cli import analysis
from darkshare.cli.options import load_all


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """base.cfg with 2 classes, text.cfg with 1, the same floats below layer 4."""
    a, b = network_of(tiny_text(2)), network_of(tiny_text(1))
    floats, own = seeded_floats(a, 1), seeded_floats(b, 2)
    own[: b.start(4)] = floats[: a.start(4)]
    return write_model(tmp_path / "base", tiny_text(2), floats), write_model(tmp_path / "text", tiny_text(1), own)


@pytest.fixture
def drawn(monkeypatch) -> list[tuple]:
    """What the figures would be made of."""
    calls: list[tuple] = []
    plots: Any = types.ModuleType("darkshare.analysis.plots")
    html: Any = types.ModuleType("darkshare.analysis.html")
    plots.plot_differences = lambda found, path, *, k=(), log=False, layers=None, **look: calls.append(
        (path, k, log, found[0].other)
    )
    html.write_html = lambda found, path, *, k=(): calls.append((path, k, found[0].other))
    monkeypatch.setitem(sys.modules, "darkshare.analysis.plots", plots)
    monkeypatch.setitem(sys.modules, "darkshare.analysis.html", html)
    return calls


def test_stats_prints_a_table_and_a_verdict(pair):
    result = run("stats", *pair)
    assert result.exit_code == 0, result.output
    header, first, *_, last = result.stdout.splitlines()
    names = "layer kind quantity relative q1 median q3 low high outliers maximum note"
    assert header.split() == names.split()
    assert first.split() == ["0", "convolutional", "biases", *"00000000"]
    assert last.startswith("text: bit-identical up to layer 3 (k=4); largest jump at layer 4 [convolutional]")
    assert "14 against 12 (2 classes against 1)" in result.stdout


def test_several_models_are_told_apart(pair):
    result = run("stats", pair[0], pair[0].with_suffix(".weights"), pair[0].with_suffix(".weights"), *pair)
    assert result.stdout.split()[0] == "other"
    *_, second, third, last = result.stdout.splitlines()
    assert (second, third) == ("base: all 13 layers are bit-identical",) * 2
    assert last.startswith("text: ")


def test_elementwise_shows_its_floor(pair):
    header = run("stats", *pair, "--elementwise", "--space", "folded").stdout.splitlines()[0].split()
    assert {"elementwise_median", "elementwise_p99", "clipped"} <= set(header)


def test_layers_of_other_indices_are_shown(pair, tmp_path):
    run("concat", *pair, "--k", 4, "-o", tmp_path / "both")
    result = run("stats", pair[1], tmp_path / "both.cfg")
    assert "other_layer" in result.stdout.split()
    assert "no such layer in text" in result.stdout


def test_csv_has_every_column_and_nothing_else_on_stdout(pair):
    result = run("stats", *pair, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 24
    assert {"base", "other", "cosine", "p99", "elementwise_p1", "clipped", "note"} <= set(rows[0])
    assert result.stderr.startswith("text: bit-identical up to layer 3")


def test_json_is_alone_on_stdout_and_has_no_infinity(pair, tmp_path):
    zeros = np.zeros(network_of(tiny_text(2)).params, "f4")
    empty = write_model(tmp_path / "empty", tiny_text(2), zeros)

    def refuse(text: str) -> None:
        raise AssertionError(text)

    described = json.loads(run("stats", empty, pair[0], "--format", "json").stdout, parse_constant=refuse)
    (found,) = described["comparisons"]
    assert (found["base"], found["other"], found["identical"]) == ("empty", "base", 0)
    first = described["rows"][0]
    assert (first["relative"], first["note"]) == (None, "the base is zero")


def test_rows_go_to_a_file_and_the_verdict_to_stderr(pair, tmp_path):
    result = run("stats", *pair, "--format", "csv", "-o", tmp_path / "rows.txt")
    assert (result.stdout, result.stderr.startswith("text: bit-identical")) == ("", True)
    assert (tmp_path / "rows.txt").read_text().startswith("base,other,space,layer,")


@pytest.mark.parametrize(("option", "name"), [("-o", "odd.txt"), ("--plot", "odd.png"), ("--html", "odd.html")])
def test_an_input_is_never_replaced(pair, option, name, drawn):
    weights = pair[1].with_suffix(".weights").rename(pair[1].with_name(name))
    before = weights.read_bytes()
    result = run("stats", *pair, weights, option, weights)
    assert result.exit_code == 1
    assert "is one of the inputs and would be replaced" in result.stderr
    assert weights.read_bytes() == before
    assert drawn == []


def test_figures_get_the_comparisons_the_cuts_and_the_axis(pair, drawn):
    result = run("stats", *pair, "--plot", "a.png", "--plot", "b.svg", "--html", "c.html", "--k", 4, "--k", 9, "--log")
    assert result.exit_code == 0, result.output
    assert drawn == [
        ("a.png", (4, 9), True, "text"),
        ("b.svg", (4, 9), True, "text"),
        ("c.html", (4, 9), "text"),
    ]


@pytest.mark.parametrize("words", [["--k", "4"], ["--log"], ["--log", "--k", "4"], ["--layers", "2-4"]])
def test_options_of_figures_need_a_figure(pair, words):
    result = run("stats", *pair, *words)
    assert result.exit_code == 2
    assert "--k, --log and --layers are about figures" in result.stderr


def test_one_model_shows_its_own_weights(pair):
    result = run("stats", pair[0])
    lines = result.stdout.splitlines()
    assert lines[0].split()[:5] == ["layer", "kind", "quantity", "count", "norm"]
    assert len(lines) == 1 + 24 + 2
    assert lines[-1].endswith("values, 0 % of them 0; dead filters: 0 of 64")
    assert run("stats", pair[0], "--plot", "x.png").exit_code == 2
    assert len(json.loads(run("stats", pair[0], "--format", "json").stdout)["rows"]) == 24


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_bar_shows_only_where_somebody_looks_and_it_takes_long(pair, monkeypatch):
    models = load_all([str(path) for path in pair])
    monkeypatch.setattr(sys, "stderr", Terminal())
    with analysis._progress(models, long=True) as bar:
        assert bar is None
    monkeypatch.setattr(analysis, "_LONG", models[0].network.params)
    with analysis._progress(models, long=False) as bar:
        assert bar.length == models[0].network.params
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with analysis._progress(models, long=True) as bar:
        assert bar is None


def test_frozen_answers_yes_with_exit_code_0(pair):
    result = run("frozen", *pair, "--k", 4)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("text: layers 0..3 are bit-identical (k=4)")
    assert run("frozen", *pair).stdout == result.stdout


def test_frozen_answers_no_with_exit_code_1_and_what_moved(pair):
    result = run("frozen", *pair, "--k", 5)
    assert result.exit_code == 1
    header, *rows, empty, last = result.stdout.splitlines()
    assert empty == ""
    assert header.split() == ["model", "layer", "kind", "tensor", "relative", "cosine", "scale", "residual"]
    assert len(rows) == 5
    assert last.startswith("text: layers 0..4 are not the base's: 5 of 15 tensors differ")
    assert last.endswith("only layer 4 was trained, the last of the trunk: the models share k=4")


def test_frozen_in_json(pair):
    result = run("frozen", *pair, "--k", 5, "--format", "json")
    described = json.loads(result.stdout)
    (found,) = described["models"]
    assert (found["frozen"], found["k"], found["identical"], len(described["rows"])) == (False, 5, 4, 5)
    assert found["diagnosis"] in described["notes"][0]
    assert result.stderr == ""


def test_all_of_several_models_must_be_frozen(pair):
    assert run("frozen", pair[0], pair[0], pair[1], "--k", 4).exit_code == 0
    assert run("frozen", pair[0], pair[0], pair[1], "--k", 5).exit_code == 1


def test_another_structure_is_an_answer_too(pair):
    result = run("frozen", *pair, "--k", 6)
    assert result.exit_code == 1
    assert "layer 5 is not the base's" in result.stderr


def test_frozen_needs_two_models(pair):
    result = run("frozen", pair[0])
    assert result.exit_code == 2
    assert "give the model to compare with the first one" in result.stderr
