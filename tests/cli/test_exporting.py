"""`export` as a user types it."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
from conftest import network_of, run, seeded_floats, tiny_text, write_model

import darkshare
from darkshare.darknet.cfg import parse
from darkshare.darknet.model import load
from darkshare.darknet.network import resolve
from darkshare.errors import BadValue


def dims(value) -> list:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_export_writes_the_file_and_says_what_it_gives(tiny, tmp_path):
    result = run("export", tiny, "-o", tmp_path / "out" / "x.onnx")
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["output", "task", "shape", "values"],
        ["L6_yolo", "tiny", "1", "x", "14", "x", "8", "x", "8", "raw"],
        ["L12_yolo", "tiny", "1", "x", "14", "x", "16", "x", "16", "raw"],
    ]
    path = tmp_path / "out" / "x.onnx"
    assert result.stderr == f"wrote {path}, 0.0 MiB\nnext: darkshare detect {path} PICTURE\n"
    onnx.checker.check_model(str(tmp_path / "out" / "x.onnx"), full_check=True)


def test_without_a_name_it_goes_beside_the_cfg(tiny, tmp_path):
    assert run("export", tiny).exit_code == 0
    assert (tmp_path / "tiny.onnx").is_file()


def test_every_option_reaches_the_file(tiny, tmp_path):
    path = tmp_path / "x.onnx"
    how = ("--size", "64x32", "--batch", "dynamic", "--decode", "--precision", "fp16", "--bn-epsilon", "1e-6")
    result = run("export", tiny, tiny.with_suffix(".weights"), "-o", path, "--format", "json", *how)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"] == [
        {"output": "tiny_L6_yolo", "task": "tiny", "shape": "batch x 256 x 7", "values": "boxes"},
        {"output": "tiny_L12_yolo", "task": "tiny", "shape": "batch x 1024 x 7", "values": "boxes"},
    ]
    read = onnx.load(path)
    assert dims(read.graph.input[0]) == ["batch", 3, 32, 64]
    facts = {prop.key: json.loads(prop.value) for prop in read.metadata_props}
    assert (facts["bn_epsilon"], facts["precision"]) == (1e-6, "fp16")


def test_a_target_gets_a_manifest_beside_the_file(tiny, tmp_path):
    result = run("export", tiny, "--for", "tensorrt", "-o", tmp_path / "x.onnx", code=0)
    first, _, third = result.stderr.splitlines()[0].rpartition(" and ")
    assert (first, third) == (f"wrote {tmp_path / 'x.onnx'}", f"{tmp_path / 'x.json'}, 0.0 MiB")
    assert json.loads((tmp_path / "x.json").read_text())["target"] == "tensorrt"


def test_open_size_and_a_batch_of_four(tiny, tmp_path):
    path = tmp_path / "x.onnx"
    result = run("export", tiny, "-o", path, "--dynamic-size", "--batch", 4)
    assert "4 x 14 x height x width" in result.stdout
    assert dims(onnx.load(path).graph.input[0]) == [4, 3, "height", "width"]


def test_a_classifier_gives_values(tmp_path):
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=5\n[avgpool]\n[softmax]\n"
    cfg = write_model(tmp_path / "c", text, seeded_floats(network_of(text), 1))
    for decoded in ((), ("--decode",)):
        result = run("export", cfg, "--format", "csv", *decoded)
        assert result.stdout.splitlines()[1] == "L2_softmax,c,1 x 5 x 1 x 1,raw"


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--batch", "many"], "'many' is neither a number nor 'dynamic'", 2),
        (["--batch", "0"], "a batch of 0 pictures is none", 1),
        (["-o", "x.tflite"], "x.tflite: an ONNX file ends in .onnx", 1),
        (["--decode", "--dynamic-size"], "decoded boxes need a fixed input size", 1),
        (["--bn-epsilon", "0"], "the batch norm epsilon must be above 0", 1),
        (["--precision", "int4"], "'int4' is not one of", 2),
        (["--precision", "int8"], "--precision int8 needs --calibrate PHOTOS", 2),
        (["--calibrate", "photos"], "--calibrate does not go with --precision fp32", 2),
        (["--precision", "fp16", "--threads", "1"], "--threads does not go with --precision fp16", 2),
        (["--precision", "int8", "--calibrate", "x", "--batch", "2"], "--batch does not go with --precision int8", 2),
        (["--precision", "int8", "--calibrate", "nowhere"], "nowhere: holds no picture that can be read", 1),
        (["--for", "rknn", "--batch", "dynamic"], "rknn does not take an open batch: the toolkit refuses", 1),
        (
            ["--for", "openvino", "--engine", "onnxruntime", "--precision", "int8", "--calibrate", "x"],
            "an int8 file that onnxruntime's quantiser makes is for onnxruntime, not for openvino",
            1,
        ),
        (["--for", "ncnn", "-o", "x.onnx"], "x.onnx: a file for ncnn ends in .param", 1),
        (["--size", "33"], "[route] joins images of different size", 1),
    ],
)
def test_what_cannot_be_is_reported_and_writes_nothing(tiny, tmp_path, arguments, says, code):
    own = [] if "-o" in arguments else ["-o", tmp_path / "x.onnx"]
    result = run("export", tiny, *own, *arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "x.onnx").exists()


def test_inputs_are_not_replaced(tiny):
    before = tiny.with_suffix(".weights").read_bytes()
    result = run("export", tiny, "-o", tiny.with_suffix(".weights"))
    assert result.exit_code == 1
    assert "is one of the inputs" in result.stderr
    assert tiny.with_suffix(".weights").read_bytes() == before


def test_one_model_at_a_time(tiny):
    result = run("export", tiny, tiny)
    assert result.exit_code == 2
    assert "give one model; 2 were given" in result.stderr


def test_a_layer_that_cannot_be_written_is_named_with_its_line(tmp_path):
    text = tiny_text().replace("[maxpool]", "[normalization]\n[maxpool]")
    cfg = write_model(tmp_path / "x", text.replace("layers=-1,2", "layers=-1,3"), np.zeros(10**4, "f4"))
    network = network_of(cfg.read_text())
    write_model(tmp_path / "x", cfg.read_text(), seeded_floats(network, 1))
    result = run("export", cfg)
    assert result.exit_code == 1
    assert f"{cfg}:26: layer 3 [normalization]: it has no ONNX form: " in result.stderr


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"calibrate": "photos"}, "calibrate does not go with precision fp32"),
        ({"precision": "fp16", "threads": 1}, "threads does not go with precision fp16"),
        ({"precision": "int8", "calibrate": "x", "batch": 2}, "batch does not go with precision int8"),
        ({"precision": "int8"}, "precision int8 needs calibrate"),
        ({"precision": "int4"}, "int4"),
    ],
)
def test_the_function_refuses_options_that_would_do_nothing(tiny, tmp_path, how, says):
    with pytest.raises(BadValue, match=says):
        darkshare.export(load(tiny), tmp_path / "x.onnx", **how)
    assert not (tmp_path / "x.onnx").exists()


def test_the_function_says_what_it_wrote(tiny, tmp_path):
    found = darkshare.export(load(tiny), decode=True, batch=None)
    assert found.paths == [tmp_path / "tiny.onnx"]
    assert repr(found) == f"<OnnxExport: {tmp_path / 'tiny.onnx'}, 2 outputs>"
    assert [row["output"] for row in found.rows()] == ["tiny_L6_yolo", "tiny_L12_yolo"]
    assert "<td>batch x 512 x 7</td>" in found._repr_html_()


def test_a_model_that_was_never_in_a_file_needs_a_name(tiny, tmp_path):
    model = load(tiny)
    made = replace(model, network=resolve(parse(tiny_text())))
    with pytest.raises(BadValue, match="does not come from a file, so name the one to write"):
        darkshare.export(made)
    assert darkshare.export(made, tmp_path / "y.onnx").paths[0].is_file()


# int8


@pytest.fixture
def photos(tmp_path):
    """A list of nine pictures of noise, and a .data file of them, each with a box."""
    names = []
    for i in range(9):
        picture = np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8)
        names.append(str(tmp_path / f"{i}.png"))
        cv2.imwrite(names[-1], picture)
        (tmp_path / f"{i}.txt").write_text("0 .5 .5 .4 .4\n")
    (tmp_path / "train.txt").write_text("\n".join(names))
    (tmp_path / "x.names").write_text("class_0\nclass_1\n")
    (tmp_path / "x.data").write_text(
        f"classes=2\ntrain={tmp_path}/train.txt\nvalid={tmp_path}/train.txt\nnames={tmp_path}/x.names\n"
    )
    return tmp_path


INT8 = ("--precision", "int8", "--rounds", "6", "--threads", "1", "--agreement", "0")


def test_int8_says_how_good_and_how_fast_it_is_and_detect_runs_it(tiny, photos):
    pytest.importorskip("onnxruntime", reason="int8 files are made by ONNX Runtime")
    data = photos / "x.data"
    result = run("export", tiny, *INT8, "--calibrate", data, "--data", data)
    assert result.exit_code == 0, result.output
    head, first, second, _, *rest = result.stdout.splitlines()
    for title in ("found", "both", "score off by", "numbers off by", "mAP fp32", "mAP int8"):
        assert title in head
    assert first.split()[:2] == ["tiny", "L6_yolo"]
    assert second.split()[:2] == ["tiny", "L12_yolo"]
    assert rest[0] == "calibrated with 7 pictures, compared on 2 other ones"
    assert rest[1] == "layers kept in fp32: none"
    assert rest[2].startswith("onnxruntime: fp32 ")
    assert " ms, int8 " in rest[2]
    assert rest[3].startswith("mAP of tiny on x: ")
    assert f"wrote {photos / 'tiny-int8.onnx'}, " in result.stderr
    found = run("detect", photos / "tiny-int8.onnx", photos / "0.png", "-o", photos / "out", "--format", "json")
    assert found.exit_code == 0, found.output
    assert {row["task"] for row in json.loads(found.stdout)["rows"]} <= {"tiny"}
    assert (photos / "out" / "result.json").is_file()


def test_int8_as_json_is_complete(tiny, photos):
    pytest.importorskip("onnxruntime", reason="int8 files are made by ONNX Runtime")
    result = run(
        "export", tiny, *INT8, "--calibrate", photos / "train.txt", "-o", photos / "y.onnx", "--format", "json"
    )
    found = json.loads(result.stdout)
    assert found["path"] == str(photos / "y.onnx")
    assert (found["engine"], found["kept"], found["limit"]) == ("onnxruntime", [], 0)
    assert [head["output"] for head in found["heads"]] == ["L6_yolo", "L12_yolo"]
    assert len(found["speed"]["quantised"]["seconds"]) == 6


def test_int8_for_openvino_is_two_files(tiny, photos):
    for library in ("openvino", "nncf"):
        pytest.importorskip(library, reason="int8 files for OpenVINO are made by NNCF")
    result = run("export", tiny, *INT8, "--calibrate", photos / "train.txt", "--engine", "openvino")
    assert result.exit_code == 0, result.output
    assert f"wrote {photos / 'tiny-int8.xml'} and {photos / 'tiny-int8.bin'}, " in result.stderr
    found = run("detect", photos / "tiny-int8.xml", photos / "0.png", "-o", photos / "out")
    assert found.exit_code == 0, found.output
    wrong = run("detect", photos / "tiny-int8.xml", photos / "0.png", "-o", photos / "out", "--engine", "opencv")
    assert wrong.exit_code == 1
    assert "tiny-int8.xml: is in int8, which OpenCV does not compute as it is meant; use openvino" in wrong.stderr
    other = run("detect", photos / "tiny-int8.xml", photos / "0.png", "-o", photos / "out", "--engine", "onnxruntime")
    assert other.exit_code == 1
    assert "engine onnxruntime reads ONNX files only; this one is OpenVINO's: use openvino" in other.stderr


def test_an_exported_file_is_a_model_for_detect(tiny, photos):
    path = photos / "tiny.onnx"
    assert run("export", tiny).exit_code == 0
    answers = [
        run("detect", given, photos / "0.png", "-o", photos / "out", "--thresh", "0.1", "--format", "csv").stdout
        for given in (tiny, path)
    ]
    assert answers[0] == answers[1]
    for arguments, says in (
        ([path], "give at least one picture"),
        ([path, tiny, "0.png"], "give one model; "),
        ([path, "0.png", "--size", "64"], "are settled in"),
        ([path, "0.png", "--bn-epsilon", "1e-6"], "are settled in"),
    ):
        result = run("detect", *arguments)
        assert result.exit_code == 2
        assert says in result.stderr
    path.write_bytes(b"\xff\xff")
    result = run("detect", path, photos / "0.png")
    assert result.exit_code == 1
    wanted = "is not an ONNX file of darkshare's, or is damaged: byte 0: has a number without an end; export it again"
    assert result.stderr == f"Error: {path}: {wanted}\n"
