"""The commands `engines` and `bench`."""

from __future__ import annotations

import csv
import io
import json
import sys
import warnings
from functools import partial

import conftest
import cv2
import numpy as np
import pytest
from conftest import tiny_text
from models import model, retrained

from darkshare.darknet.model import save
from darkshare.surgery.splice import concat

K = 5
FAST = ["--rounds", "6", "--threads", "1"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """base.cfg, text.cfg and both.cfg in the current folder; text has its own weights from layer 5 on."""
    monkeypatch.chdir(tmp_path)
    base = model(tiny_text(2), "base")
    text = retrained(base, tiny_text(2), "text", K)
    for one, name in ((base, "base"), (text, "text"), (concat([base, text], K), "both")):
        save(one, name)
    return tmp_path


run = partial(conftest.run, code=0)


def test_engines_lists_what_is_here(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed
    rows = {row["engine"]: row for row in json.loads(run("engines", "--format", "json").stdout)["rows"]}
    assert list(rows) == ["opencv", "opencv-classic", "onnxruntime", "openvino"]
    assert rows["opencv"]["remark"] == "the default"
    assert rows["openvino"]["version"] is None
    assert "pip install 'darkshare[openvino]'" in rows["openvino"]["remark"]
    assert "the default" in run("engines").stdout


def test_engines_times_a_model_and_says_which_to_use(folder):
    result = run("engines", "both.cfg", *FAST, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert (rows[0]["engine"], float(rows[0]["ratio"])) == ("opencv", 1)
    assert all(float(row["ms"]) > 0 for row in rows)
    assert "use --engine " in result.stderr


@pytest.mark.slow
def test_engines_times_int8_where_pictures_are_given(folder):
    pytest.importorskip("onnxruntime", reason="int8 files are made by ONNX Runtime")
    for i in range(4):
        cv2.imwrite(f"{i}.png", np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run("engines", "both.cfg", *FAST, "--calibrate", "*.png", "--format", "csv")
    rows = {(row["engine"], row["precision"]): row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert float(rows["onnxruntime", "int8"]["ms"]) > 0
    assert float(rows["onnxruntime", "int8"]["difference"]) > float(rows["onnxruntime", "fp32"]["difference"])
    assert "int8 for onnxruntime agrees with fp32 in " in result.stderr
    assert "--calibrate needs a model" in run("engines", "--calibrate", "*.png", code=2).stderr


def test_bench_of_separate_files(folder):
    result = run("bench", "base.cfg", "text.cfg", "--k", K, *FAST, "--plot", "bench.png")
    assert "separate" in result.stdout
    assert "base + text, k=5; 6 rounds in turns, 1 thread, fp32" in result.stdout
    assert (folder / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "wrote bench.png" in result.stderr


def test_bench_of_a_merged_file_as_json(folder):
    result = run("bench", "both.cfg", "both.weights", *FAST, "--format", "json", "--size", "64x32")
    found = json.loads(result.stdout)
    assert (found["networks"], found["ks"], found["rounds"]) == (["base", "text"], [K], 6)
    (one,) = found["engines"]
    assert (one["separate_convolutions"], one["merged_convolutions"]) == (12, 9)
    assert len(one["merged"]["seconds"]) == 6


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["bench", "base.cfg"], 1, "base.cfg: has one task only: give a further network, or a merged one"),
        (["bench", "both.cfg", "--k", "5"], 1, "both.cfg: is merged already, so k is known"),
        (["bench", "base.cfg", "text.cfg", "--k", "6"], 1, "text"),
        (["bench", "base.cfg", "text.cfg", "--rounds", "5"], 2, "5 is not in the range x>=6"),
        (["bench", "base.cfg", "text.cfg", "--engine", "fast"], 2, "'fast' is not one of 'opencv', 'opencv-classic'"),
        (["bench", "base.cfg", "text.cfg", "--precision", "bf16"], 1, "engine opencv cannot compute in bf16 here"),
        (["bench", "base.cfg", "text.cfg", "--plot", "x.gif"], 1, "x.gif: no such kind of figure"),
        (["bench", "base.cfg", "text.cfg", "--plot", "base.cfg"], 1, "base.cfg: no such kind of figure"),
        (["engines", "base.cfg", "text.cfg"], 2, "give one model; 2 were given"),
        (["engines", "base.cfg", "--threads", "0"], 2, "0 is not in the range x>=1"),
    ],
)
def test_wrong_use_is_reported(folder, arguments, code, message):
    result = run(*arguments, code=code)
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_missing_weights_are_reported(folder):
    (folder / "both.weights").unlink()
    for command in ("engines", "bench"):
        assert "both.cfg: has no weights file; give one behind the cfg" in run(command, "both.cfg", code=1).stderr
