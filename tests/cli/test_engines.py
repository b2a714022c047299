"""The commands `engines`, `bench` and `verify`."""

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


def test_verify_says_yes_and_what_comes_next(folder):
    result = run("verify", "both.cfg", "base.cfg", "text.cfg")
    shown = result.stdout.splitlines()
    assert shown[0].split() == ["task", "head", "alone", "shape", "largest", "share", "equal"]
    assert [line.split() for line in shown[1:5]] == [
        ["base", "6", "6", "14x8x8", "0", "0", "yes"], ["base", "12", "12", "14x16x16", "0", "0", "yes"],
        ["text", "15", "6", "14x8x8", "0", "0", "yes"], ["text", "21", "12", "14x16x16", "0", "0", "yes"],
    ]  # fmt: skip
    assert shown[6] == "equal: 4 heads, in every number"
    assert max(map(len, shown)) <= 80
    assert result.stderr == "next: darkshare detect both.cfg both.weights PICTURE\n"


def test_verify_says_no_with_exit_code_1(folder):
    data = bytearray((folder / "text.weights").read_bytes())
    data[-4] ^= 1  # the last bit of the last kernel value
    (folder / "text.weights").write_bytes(data)
    words = ["verify", "both.cfg", "base.cfg", "text.cfg"]
    result = run(*words, code=1)
    assert [line.split()[-1] for line in result.stdout.splitlines()[1:5]] == ["yes", "yes", "yes", "no"]
    assert "\nnot equal: 1 of 4 heads differ in some number\n" in result.stdout
    assert "next:" not in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    found = json.loads(run(*words, "--format", "json", code=1).stdout)
    assert [row["layer"] for row in found["rows"] if not row["equal"]] == [21]
    assert set(found["rows"][0]) == {
        *("task", "layer", "network", "twin", "shape", "largest", "share", "bound", "picture", "cell", "varies"),
        "equal",
    }
    assert not found["equal"]
    table = run(*words, "--format", "csv", code=1)
    assert len(list(csv.DictReader(io.StringIO(table.stdout)))) == 4
    assert table.stderr.startswith("not equal: 1 of 4")
    assert "equal: 4 heads, within 0.1 of the largest number" in run(*words, "--bound", 0.1).stdout


def test_verify_takes_pictures_other_forms_and_weights_of_one_cfg(folder):
    cv2.imwrite("photo.png", np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8))
    assert "\n1 picture, opencv" in run("verify", "both.cfg", "base.cfg", "text.cfg", "--images", "photo.png").stdout
    run("export", "both.cfg", "--precision", "fp16")
    assert "within 0.1" in run("verify", "both.cfg", "both.onnx").stdout
    run("verify", "both.onnx", "both.cfg", "--bound", 0, code=1)
    run("verify", "both.cfg", "base.weights", code=1)  # of another length
    (folder / "copy.weights").write_bytes((folder / "base.weights").read_bytes())
    assert "equal: 2 heads" in run("verify", "base.cfg", "base.weights", "copy.weights", "--pictures", 1).stdout
    run("verify", "base.cfg", "base.weights", "text.weights", code=1)
    run("verify", "both.cfg", "base.cfg", "text.cfg", "--size", "64x32", "--pictures", 2)


def test_verify_refuses_what_cannot_be(folder):
    assert (
        "--seed is for random pictures"
        in run("verify", "both.cfg", "base.cfg", "--images", ".", "--seed", 1, code=2).stderr
    )
    assert "give what to compare with" in run("verify", "both.cfg", code=2).stderr
    assert "give all that it was made of" in run("verify", "both.cfg", "base.cfg", code=1).stderr
    run("export", "base.cfg", "--size", 64)
    assert (
        "its input is 3x64x64, that of base.cfg is 3x32x32; choose one for all"
        in run("verify", "base.cfg", "base.onnx", code=1).stderr
    )
