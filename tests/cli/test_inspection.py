"""`info` and `check` as commands: what they print, where it goes, and how they end."""

from __future__ import annotations

import csv
import io
import json

import pytest
from conftest import run, seeded_floats, tiny_text, write_model

from darkshare.analysis import info as measure
from darkshare.analysis.check import check
from darkshare.darknet.model import load

# --- info ------------------------------------------------------------------------------------------------------------


def test_info_prints_the_table_and_the_totals(tiny):
    result = run("info", tiny)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"{tiny} (alexeyab)"
    assert lines[1].split() == list(measure.info(load(tiny)).rows()[0])
    assert lines[2].split() == ["0", "convolutional", "8", "3x3/2", "32x32x3", "16x16x8", "248", "0.0001106"]
    assert lines[4].split() == ["2", "shortcut", "-", "0", "16x16x8", "16x16x8", "0", "2.048e-06"]
    assert "13 layers, 2,572 params, 0.001 BFLOPs, 10,308 bytes of weights" in lines
    assert "heads: 6 [yolo] 2 classes, 12 [yolo] 2 classes" in lines
    assert f"weights: {tiny.with_suffix('.weights')}, version 0.2.5, seen 0 images" in lines


def test_info_of_a_cfg_alone(tiny):
    tiny.with_suffix(".weights").unlink()
    assert "weights: none given, and none beside the cfg" in run("info", tiny).stdout


def test_info_as_json_is_one_object_alone_on_stdout(tiny):
    result = run("info", tiny, "--format", "json")
    assert result.stderr == ""
    assert json.loads(result.stdout).items() >= measure.info(load(tiny)).as_dict().items()


def test_info_of_several_models_as_json_is_one_object_with_the_layers_of_all(tiny):
    weights = tiny.with_suffix(".weights")
    both = json.loads(run("info", tiny, weights, weights, "--format", "json").stdout)
    assert [one["params"] for one in both["results"]] == [2572, 2572]
    assert [row["file"] for row in both["rows"]] == [str(tiny)] * 26


@pytest.mark.parametrize("form", ["csv", "markdown"])
def test_info_as_a_table_for_other_programs(tiny, form):
    result = run("info", tiny, "--format", form)
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
        assert len(rows) == 13
        assert (rows[0]["params"], rows[0]["output"]) == ("248", "16x16x8")
        assert "13 layers" in result.stderr
    else:
        assert sum(line.startswith("|") for line in result.stdout.splitlines()) == 15


def test_info_takes_size_and_dialect(tiny):
    larger = json.loads(run("info", tiny, "--size", "64x32", "--format", "json").stdout)
    assert larger["layers"][0]["input"] == [64, 32, 3]
    other = json.loads(run("info", tiny, "--dialect", "pjreddie", "--format", "json").stdout)
    assert (other["dialect"], other["layers"][3]["bflops"]) == ("pjreddie", 0)  # pjreddie does not count a maxpool
    assert run("info", tiny, "--size", "x").exit_code == 2


def test_info_names_what_it_cannot_read(tmp_path):
    result = run("info", tmp_path / "none.cfg")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'none.cfg'}: cannot be read: No such file or directory\n"


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_of_a_good_model(tiny):
    result = run("check", tiny)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "no problems found\n", "")


def test_check_prints_one_line_per_problem_and_a_sum(tiny):
    text = tiny.read_text()
    tiny.write_text(text.replace("layers=-1,2", "layers=-1,20").replace("filters=8", "filters=8\nfilter=1", 1))
    result = run("check", tiny)
    assert result.exit_code == 1
    first, second, total = result.stdout.splitlines()
    assert first == (
        f"{tiny}:9: warning: layer 0 [convolutional] has no key 'filter', which is ignored in alexeyab; "
        "did you mean filters=?"
    )
    line = text[: text.index("layers=-1,2")].count("\n") + 2
    assert second == (
        f"{tiny}:{line}: error: layer 10 [route] refers to layer 20, but the network ends at 12; "
        "a layer can read earlier layers only"
    )
    assert total == "1 error, 1 warning"


def test_warnings_are_errors_with_strict(tiny):
    tiny.write_text(tiny.read_text().replace("filters=8", "filters=8\nfilter=1", 1))
    assert run("check", tiny).exit_code == 0
    assert run("check", tiny, "--strict").exit_code == 1


def test_notes_are_none_with_strict(tiny):
    tiny.write_text(tiny.read_text().replace("filters=8", "filters=8\nfilters=8", 1))
    result = run("check", tiny, "--strict")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "1 note")


@pytest.mark.parametrize("form", ["json", "csv", "markdown"])
def test_check_for_other_programs(tiny, form):
    tiny.write_text(tiny.read_text().replace("activation=leaky", "activation=léaky", 1))
    result = run("check", tiny, "--format", form)
    assert result.exit_code == 1
    (problem,) = check(tiny)
    row = {"severity": "error", "file": str(tiny), "line": problem.line, "message": problem.message}
    if form == "json":
        found = json.loads(result.stdout)
        own = {"is_fine": False, "datasets": [], "rows": [row], "written": [], "notes": ["1 error"]}
        assert found.keys() == {"command", "version", "inputs", "options", *own}
        assert found.items() >= own.items()
    elif form == "csv":
        assert list(csv.DictReader(io.StringIO(result.stdout))) == [{k: str(v) for k, v in row.items()}]
    else:
        assert problem.message in result.stdout


def test_check_of_a_good_model_as_json(tiny):
    found = json.loads(run("check", tiny, "--format", "json").stdout)
    own = {"is_fine": True, "datasets": [], "rows": [], "written": [], "notes": ["no problems found"]}
    assert found.keys() == {"command", "version", "inputs", "options", *own}
    assert found.items() >= own.items()


def test_check_takes_several_models_and_a_dialect(tmp_path, tiny):
    text = tiny_text().replace("height=32\n", "height=32\r\n")
    other = write_model(tmp_path / "other", text, seeded_floats(load(tiny).network, 2))
    result = run("check", tiny, other, "--dialect", "pjreddie")
    assert result.exit_code == 1
    assert f"{other}:3: error: CRLF line ends" in result.stdout
    assert str(tiny) not in result.stdout


def test_odd_bytes_in_names_and_files_can_be_printed(tmp_path):
    path = tmp_path / "odd\udcff\x1b.cfg"
    path.write_bytes(tiny_text().encode().replace(b"activation=leaky", b"activation=\xff\x1b[31mred", 1))
    for form in ("text", "json", "csv", "markdown"):
        result = run("check", path, "--format", form)
        assert (result.exit_code, isinstance(result.exception, SystemExit)) == (1, True), result.exception
    assert "activation=\\udcff\\x1b[31mred" in run("check", path).stdout
    assert run("info", path).exit_code == run("info", path, "--format", "json").exit_code == 0
