"""What is written for a program, what is refused for it, and the manifest beside it."""

from __future__ import annotations

import ast
import json
import stat
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import tiny_text
from models import model, quiet_concat, retrained
from onnxruns import model_of, net

import darkshare
from darkshare.darknet.model import save
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.inference import engines
from darkshare.inference.detector import Detector
from darkshare.inference.onnx import TARGETS, writing
from darkshare.inference.onnx import targets as table
from darkshare.inference.onnx.targets import OPERATORS

PACKAGE = Path(table.__file__).parent


def test_every_operator_that_layers_are_lowered_to_is_known():
    """Else it would be refused for every target."""
    found = {
        node.value
        for path in PACKAGE.glob("*.py")
        if path.stem not in ("targets", "checking", "initializers")  # those read files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and onnx.defs.has(node.value)
    }
    assert found == OPERATORS


def test_rows_fit_what_is_written():
    for name, target in TARGETS.items():
        low, high = target.opsets
        assert low <= writing.OPSET <= high, name
        assert target.operators <= OPERATORS
        refuses = {
            "batch": not (target.batch and target.open_batch),
            "size": not target.open_size,
            "precision": len(target.precisions) < 3,
            "outputs": len(target.outputs) == 1,
        }
        assert {key for key in refuses if refuses[key]} == set(target.why), name


@pytest.fixture
def both():
    base = model(tiny_text(80), "base")
    return quiet_concat([base, retrained(base, tiny_text(3), "masks", 3)], k=3)


def test_the_manifest_says_how_to_feed_and_to_read_it(both, tmp_path):
    found = darkshare.export(both, tmp_path / "both.onnx", target="rknn")
    assert [path.name for path in found.paths] == ["both.onnx", "both.json"]
    said = json.loads((tmp_path / "both.json").read_text())
    assert (said["format"], said["target"]) == ("darkshare manifest 1", "rknn")
    assert said["input"] == {
        "name": "image", "shape": [1, 3, 32, 32], "channels": "RGB", "range": [0, 1], "mean": 0, "scale": 1 / 255,
        "letter_box": False,
    }  # fmt: skip
    written = onnx.load(tmp_path / "both.onnx").graph.output
    assert [head["output"] for head in said["heads"]] == [output.name for output in written]
    rows = [(head["task"], head["classes"], head["stride"], head["shape"]) for head in said["heads"]]
    assert rows == [
        ("base", 80, 4, [1, 170, 8, 8]),
        ("base", 80, 2, [1, 170, 16, 16]),
        ("masks", 3, 4, [1, 16, 8, 8]),
        ("masks", 3, 2, [1, 16, 16, 16]),
    ]
    kind = both.network.layers[both.heads[0]].kind
    assert said["heads"][0]["anchors"] == [list(pair) for pair in kind.anchor_sizes()]
    assert (said["heads"][0]["scale_x_y"], said["heads"][0]["new_coords"]) == (1, 0)


@pytest.mark.parametrize(
    ("target", "form", "says"),
    [
        ("rknn", {"batch": None}, "rknn does not take an open batch: the toolkit refuses an open batch, and its Slice"),
        ("rknn", {"decode": True}, "rknn does not take decoded boxes: int8 has one scale"),
        ("ncnn", {"batch": 2}, "ncnn does not take a batch of 2: a Mat of ncnn's holds one picture"),
        ("ncnn", {"precision": "fp16"}, "ncnn does not take fp16: pnnx does not take fp16"),
        ("tensorrt", {"precision": "fp16"}, "tensorrt does not take fp16: its tools make fp16 of fp32"),
        ("opencv", {"dynamic_size": True}, "opencv does not take an open size: OpenCV 4 reads fixed sizes only"),
        ("openvino", {"batch": None}, "openvino does not take an open batch: darkshare writes this form"),
        (
            "tensorflow",
            {},
            "unknown target tensorflow; use opencv, onnxruntime, openvino, tensorrt, ncnn,",
        ),
        ("rknn", {"precision": "int8", "calibrate": "x"}, "rknn does not take int8: the toolkit makes fp16 or int8"),
        ("opencv", {"precision": "int8", "calibrate": "x"}, "opencv does not take int8: it computes int8 files slowly"),
    ],
)
def test_what_a_target_breaks_on_is_refused(tmp_path, target, form, says):
    suffix = TARGETS[target].suffixes[0] if target in TARGETS else ".onnx"
    with pytest.raises(BadValue, match=says):
        darkshare.export(model_of(tiny_text(2)), tmp_path / f"x{suffix}", target=target, **form)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (
            "[convolutional]\nfilters=2\nactivation=selu\n",
            r"\[convolutional\]: it needs the operator Selu, which rknn ",
        ),
        (
            "[local]\nfilters=2\nactivation=leaky\n",
            r"\[local\]: rknn gives wrong numbers for it; choose another target",
        ),
    ],
)
def test_a_layer_that_a_target_lacks_or_computes_wrongly_is_named(tmp_path, layer, says):
    given = model_of(net(3, 8, 8) + layer)
    with pytest.raises(Unsupported, match="layer 0 " + says):
        darkshare.export(given, tmp_path / "x.onnx", target="rknn")
    darkshare.export(given, tmp_path / "x.onnx", target="tensorrt")


def test_upsampling_has_the_form_that_the_oldest_tensorrt_reads(tmp_path):
    darkshare.export(model_of(tiny_text(2)), tmp_path / "x.onnx", target="tensorrt")
    graph = onnx.load(tmp_path / "x.onnx").graph
    stored = {tensor.name for tensor in graph.initializer}
    (resize,) = (node for node in graph.node if node.op_type == "Resize")
    how = {one.name: onnx.helper.get_attribute_value(one) for one in resize.attribute}
    assert how == {"mode": b"nearest", "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}
    assert resize.input[2] in stored


@pytest.mark.skipif(not engines.available()["openvino"].version, reason="needs OpenVINO")
def test_the_form_of_openvino_gives_the_boxes_of_the_model(both, tmp_path):
    found = darkshare.export(both, tmp_path / "both.xml", target="openvino")
    assert [path.name for path in found.paths] == ["both.xml", "both.bin", "both.json"]
    picture = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    read = Detector.of_file(tmp_path / "both.xml", threshold=0.1)
    assert read.engine == "openvino"
    wanted = Detector(both, engine="openvino").raw(picture)
    for index, values in read.raw(picture).items():
        np.testing.assert_allclose(values, wanted[index], atol=1e-5)
    with pytest.raises(Unsupported, match="engine opencv reads ONNX files only; this one is OpenVINO's: use openvino"):
        Detector.of_file(tmp_path / "both.xml", engine="opencv")


def test_without_openvino_its_form_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(Unsupported, match=r"is written by OpenVINO: .*pip install 'darkshare\[openvino\]'"):
        darkshare.export(model_of(tiny_text(2)), tmp_path / "x.xml", target="openvino")
    assert not list(tmp_path.iterdir())


PNNX = """#!/bin/sh
test "$*" = "network.onnx fp16=0" || exit 9
echo 7767517 > network.ncnn.param
cp network.onnx network.ncnn.bin
"""


@pytest.fixture
def pnnx(tmp_path, monkeypatch):
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def install(text: str) -> None:
        (folder / "pnnx").write_text(text)
        (folder / "pnnx").chmod(stat.S_IRWXU)

    return install


def test_pnnx_writes_the_form_of_ncnn(both, tmp_path, pnnx):
    with pytest.raises(Unsupported, match="written by pnnx, which is not here; pip install --no-deps pnnx"):
        darkshare.export(both, tmp_path / "x.param", target="ncnn")
    pnnx("#!/bin/sh\necho no such operator\nexit 3\n")
    with pytest.raises(DarkshareError, match="pnnx cannot do it: no such operator"):
        darkshare.export(both, tmp_path / "x.param", target="ncnn")
    pnnx(PNNX)
    found = darkshare.export(both, tmp_path / "x.param", target="ncnn")
    assert [path.name for path in found.paths] == ["x.param", "x.bin", "x.json"]
    assert (tmp_path / "x.param").read_text() == "7767517\n"
    said = json.loads((tmp_path / "x.json").read_text())
    assert said["input"]["name"] == "in0"
    assert [head["output"] for head in said["heads"]] == ["out0", "out1", "out2", "out3"]


def test_a_manifest_does_not_replace_an_input(tmp_path):
    cfg, *_ = save(model_of(tiny_text(2)), tmp_path / "net")
    moved = cfg.rename(tmp_path / "net.json")
    with pytest.raises(DarkshareError, match="is one of the inputs"):
        darkshare.export(darkshare.load(moved, tmp_path / "net.weights"), tmp_path / "net.onnx", target="opencv")


def test_a_manifest_does_not_replace_the_tasks_of_its_model(both, tmp_path):
    save(both, tmp_path / "both")
    with pytest.raises(DarkshareError, match=r"both\.tasks\.json: is one of the inputs"):
        darkshare.export(darkshare.load(tmp_path / "both.cfg"), tmp_path / "both.tasks.onnx", target="opencv")


def test_the_page_has_the_table():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "targets.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    said = {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:9]}
    for name, target in TARGETS.items():
        batch = "1" if not target.batch else "any number, open" if target.open_batch else "any number"
        assert {what: of[name] for what, of in said.items()} == {
            "files": ", ".join(target.suffixes),
            "outputs": ", ".join(target.outputs),
            "precision": ", ".join(target.precisions),
            "batch": batch,
            "size": "fixed, open" if target.open_size else "fixed",
            "opsets that it is known to read": " to ".join(map(str, dict.fromkeys(target.opsets))),
            "operators that it lacks": ", ".join(sorted(OPERATORS - target.operators)),
        }
