"""Boxes decoded in the graph, open batch and size, fp16, and what the file says of itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from conftest import tiny_text
from onnxruns import HEADS, all_runs, boxes_model, copy_of_input, identity, loaders, model_of, net

from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.inference.boxes import decode
from darkshare.inference.onnx import ExportForm, lower, write_onnx


def dense(model: Model, task: Task, index: int, raw: np.ndarray) -> np.ndarray:
    """What `detections` makes of a raw head, as rows by place and anchor: x, y, w, h, scores."""
    found = decode(model, task, index, raw, 0.0)
    classes, (_, h, w) = len(task.names), raw.shape
    assert len(found.scores) % (classes * h * w) == 0  # every score is above 0
    rows = np.concatenate([found.boxes[::classes], found.scores.reshape(-1, classes)], axis=1)
    return rows.reshape(-1, h * w, rows.shape[1]).transpose(1, 0, 2).reshape(-1, rows.shape[1])


@pytest.mark.parametrize("name", HEADS)
def test_boxes_equal_those_of_detections(tmp_path, name):
    model = boxes_model(name)
    raws = {engine: found[0][0] for engine, _, found in all_runs(model, tmp_path)}
    for engine, _, (rows,) in all_runs(model, tmp_path, decode=True):
        wanted = dense(model, model.tasks[0], 2, raws[engine])
        assert rows.shape == (1, len(wanted), 8)
        boxes, objectness, scores = rows[0, :, :4], rows[0, :, 4], rows[0, :, 5:]
        np.testing.assert_allclose(boxes, wanted[:, :4], atol=1e-5, rtol=1e-5, err_msg=engine)
        np.testing.assert_allclose(scores, wanted[:, 4:], atol=1e-6, err_msg=engine)
        assert (scores <= objectness[:, None] + 1e-6).all()


def test_one_box_by_hand(tmp_path):
    """A 2x1 grid, one anchor of 4x5 in an input of 2x1: the second cell's box, all logits 0."""
    text = net(7, 1, 2) + copy_of_input(7) + "[yolo]\nmask=0\nanchors=4,5\nclasses=2\nnum=1\n"
    model = model_of(text, np.zeros(56))
    model = replace(model, tasks=(replace(model.tasks[0], names=("a", "b")),))
    for engine, _, (rows,) in all_runs(model, tmp_path, decode=True):
        #        x                  y        w      h      objectness, times two probabilities
        wanted = [[0.5 / 2, 0.5, 4 / 2, 5 / 1, 0.5, 0.25, 0.25], [1.5 / 2, 0.5, 4 / 2, 5 / 1, 0.5, 0.25, 0.25]]
        np.testing.assert_allclose(rows[0], wanted, atol=1e-6, err_msg=engine)


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
def test_region_without_softmax(tmp_path, dialect):
    """AlexeyAB's fork leaves the class values as they are, pjreddie's takes their sigmoid."""
    text = net(7, 2, 2) + copy_of_input(7) + "[region]\nanchors=1,1\nclasses=2\nnum=1\n"
    model = model_of(text, identity(7), dialect=dialect)
    model = replace(model, tasks=(replace(model.tasks[0], names=("a", "b")),))
    for engine, x, (rows,) in all_runs(model, tmp_path, decode=True):
        place = x[0].reshape(7, 4)
        classes = place[5:] if dialect == "alexeyab" else 1 / (1 + np.exp(-place[5:]))
        wanted = classes / (1 + np.exp(-place[4]))
        np.testing.assert_allclose(rows[0, :, 5:], wanted.T, atol=1e-6, err_msg=engine)


@pytest.mark.parametrize("sqrt", [0, 1])
@pytest.mark.parametrize(("softmax", "classes"), [(0, 2), (1, 2), (0, 0), (1, 0)])
def test_first_version_head(tmp_path, sqrt, softmax, classes):
    """get_detection_detections, one box after the other, on a grid of 2x2 with three boxes in each cell."""
    side, n, size = 2, 3, 4 * (classes + 3 * 5)
    text = net(size, 1, 1) + f"[connected]\noutput={size}\nactivation=linear\n"
    text += f"[detection]\nside=2\nnum=3\nclasses={classes}\ncoords=4\nsqrt={sqrt}\nsoftmax={softmax}\n"
    model = model_of(text, [*np.zeros(size), *np.eye(size).ravel()])
    model = replace(model, tasks=(replace(model.tasks[0], names=("a", "b")[:classes]),))
    for engine, x, (rows,) in all_runs(model, tmp_path, decode=True):
        predictions = x.ravel().astype(np.float64)
        if softmax and classes:
            power = np.exp(predictions[:8].reshape(4, 2))
            predictions[:8] = (power / power.sum(axis=1, keepdims=True)).ravel()
        for i in range(side * side):
            row, col = i // side, i % side
            for j in range(n):
                scale = predictions[side * side * classes + i * n + j]
                box = side * side * (classes + n) + (i * n + j) * 4
                wanted = [
                    (predictions[box] + col) / side,
                    (predictions[box + 1] + row) / side,
                    predictions[box + 2] ** (2 if sqrt else 1),
                    predictions[box + 3] ** (2 if sqrt else 1),
                    scale,
                    *(scale * predictions[i * classes + c] for c in range(classes)),
                ]
                np.testing.assert_allclose(rows[0, i * n + j], wanted, atol=1e-6, err_msg=engine)


def two_tasks() -> Model:
    """The tiny network as if its second head were padded and belonged to a task of one class, the second."""
    model = model_of(tiny_text())
    whole = ((0, 13),)
    return replace(model, tasks=(Task("all", ("x", "y"), (6,), whole), Task("own", ("y",), (12,), whole, True, 1)))


def test_each_task_gets_its_own_classes(tmp_path):
    model = two_tasks()
    raws = {engine: found for engine, _, found in all_runs(model, tmp_path)}
    outputs = write_onnx(model, tmp_path / "x.onnx", decode=True)
    assert [(o.name, o.shape) for o in outputs] == [("all_L6_yolo", (128, 7)), ("own_L12_yolo", (512, 6))]
    for engine, _, found in all_runs(model, tmp_path, decode=True):
        for (task, index), raw, rows in zip(
            [(model.tasks[0], 6), (model.tasks[1], 12)], raws[engine], found, strict=True
        ):
            wanted = dense(model, task, index, raw[0])
            np.testing.assert_allclose(np.delete(rows[0], 4, axis=1), wanted, atol=1e-5, err_msg=engine)


def test_a_raw_head_of_two_tasks_is_one_output(tmp_path):
    model = two_tasks()
    model = replace(model, tasks=(model.tasks[0], replace(model.tasks[1], heads=(6, 12))))
    outputs = write_onnx(model, tmp_path / "x.onnx")
    assert [(o.name, o.task.name) for o in outputs] == [("L6_yolo", "all"), ("L6_yolo", "own"), ("L12_yolo", "own")]
    read = onnx.load(tmp_path / "x.onnx")
    assert [o.name for o in read.graph.output] == ["L6_yolo", "L12_yolo"]
    assert len(json.loads(read.metadata_props[-1].value)) == 3
    decoded = write_onnx(model, tmp_path / "x.onnx", decode=True)
    assert [o.name for o in decoded] == ["all_L6_yolo", "own_L6_yolo", "own_L12_yolo"]


@pytest.mark.parametrize("keys", ["tree=x", "classfix=-1", "background=1"])
def test_region_heads_that_are_not_decoded(keys):
    text = net(7, 2, 2) + copy_of_input(7) + f"[region]\nanchors=1,1\nclasses=2\nnum=1\n{keys}\n"
    model = model_of(text, identity(7), dialect="pjreddie")
    assert lower(model).outputs  # raw does not matter
    with pytest.raises(Unsupported, match=r"^test.cfg:9: layer 1 \[region\]: .* is not decoded$"):
        lower(model, ExportForm(decode=True))


# Open sizes


@pytest.mark.parametrize("decoded", [False, True])
def test_open_batch(tmp_path, decoded):
    """Each picture of a batch gets what it gets alone."""
    model = model_of(tiny_text())
    model = replace(model, tasks=(replace(model.tasks[0], names=("a", "b")),))
    for engine, x, found in all_runs(model, tmp_path, batch=3, form=ExportForm(batch=None, decode=decoded)):
        names = [o.name for o in lower(model, ExportForm(decode=decoded)).outputs]
        alone = loaders()[engine](tmp_path / "network.onnx")(x[1:2], names)
        for together, one in zip(found, alone, strict=True):
            assert len(together) == 3
            np.testing.assert_allclose(together[1:2], one, atol=1e-5, err_msg=engine)


def test_fixed_batch(tmp_path):
    model = model_of(tiny_text())
    for _, _, found in all_runs(model, tmp_path, batch=2, form=ExportForm(batch=2)):
        assert [y.shape for y in found] == [(2, 14, 8, 8), (2, 14, 16, 16)]
    read = onnx.load(tmp_path / "network.onnx")
    assert [d.dim_value for d in read.graph.input[0].type.tensor_type.shape.dim] == [2, 3, 32, 32]


def dims(value) -> list:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_open_size_is_that_of_a_network_of_this_size(tmp_path):
    text = tiny_text()
    model, wide = model_of(text), model_of(text.replace("width=32", "width=96"))
    write_onnx(model, tmp_path / "open.onnx", dynamic_size=True, batch=None)
    onnx.checker.check_model(str(tmp_path / "open.onnx"), full_check=True)
    read = onnx.load(tmp_path / "open.onnx")
    assert dims(read.graph.input[0]) == ["batch", 3, "height", "width"]
    assert dims(read.graph.output[1]) == ["batch", 14, "L12_yolo_height", "L12_yolo_width"]
    write_onnx(model, tmp_path / "fixed.onnx")
    for engine, x, wanted in all_runs(wide, tmp_path):
        # OpenCV 4 reads no open sizes, but takes any size for a file of a fixed one.
        file = tmp_path / ("fixed.onnx" if engine == "OpenCV" else "open.onnx")
        found = loaders()[engine](file)(x, ["L6_yolo", "L12_yolo"])
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5, err_msg=engine)


def test_open_size_ends_where_an_average_is_taken(tmp_path):
    text = net(3, 8, 8) + "[convolutional]\nfilters=4\nsize=3\npad=1\n[avgpool]\n[connected]\noutput=2\n[softmax]\n"
    write_onnx(model_of(text), tmp_path / "x.onnx", dynamic_size=True)
    assert dims(onnx.load(tmp_path / "x.onnx").graph.output[0]) == [1, 2, 1, 1]


@pytest.mark.parametrize("section", ["[connected]\noutput=2\n", "[reorg]\nstride=2\n", "[local]\n", "[softmax]\n"])
def test_layers_that_need_a_size_say_so(section):
    with pytest.raises(Unsupported, match="it needs a fixed input size; leave out dynamic size"):
        lower(model_of(net(4, 4, 4) + section), ExportForm(dynamic_size=True))


def test_forms_that_make_no_sense():
    with pytest.raises(Unsupported, match="decoded boxes need a fixed input size"):
        ExportForm(decode=True, dynamic_size=True)
    with pytest.raises(BadValue, match="a batch of 0 pictures"):
        ExportForm(batch=0)
    with pytest.raises(BadValue, match="unknown precision int4; use fp32 or fp16"):
        ExportForm(precision="int4")


# fp16


@pytest.mark.parametrize("decoded", [False, True])
def test_half_precision_is_close(tmp_path, decoded):
    model = model_of(tiny_text())
    model = replace(model, tasks=(replace(model.tasks[0], names=("a", "b")),))
    wanted = {engine: found for engine, _, found in all_runs(model, tmp_path, decode=decoded)}
    whole = (tmp_path / "network.onnx").stat().st_size
    for engine, _, found in all_runs(model, tmp_path, form=ExportForm(decode=decoded, precision="fp16")):
        for one, other in zip(found, wanted[engine], strict=True):
            assert one.dtype == np.float32
            assert 0 < np.abs(one - other).max() < 5e-3 * max(1, np.abs(other).max()), engine
    assert (tmp_path / "network.onnx").stat().st_size < 0.8 * whole  # part of it is names and the cfg
    read = onnx.load(tmp_path / "network.onnx")
    kernels = {t.data_type for t in read.graph.initializer if t.name.endswith("weights")}
    assert kernels == {onnx.TensorProto.FLOAT16}


def test_weights_too_large_for_half_precision_are_reported(tmp_path):
    """A variance of 0 makes 1 / sqrt(1e-5) = 316 times as much of the weight."""
    text = net(3, 4, 4) + "[convolutional]\nfilters=1\nbatch_normalize=1\n"
    model = model_of(text, [0, 300, 0, 0, 1, 1, 1])
    with pytest.raises(Unsupported, match=r"^test.cfg:5: layer 0 \[convolutional\]: a weight of 9.49e\+04 is more"):
        write_onnx(model, tmp_path / "x.onnx", precision="fp16")
    assert list(tmp_path.iterdir()) == []


# What the file says of itself


def test_facts_about_tasks_and_decoded_heads(tmp_path):
    model = two_tasks()
    write_onnx(model, tmp_path / "x.onnx", decode=True, precision="fp16", bn_epsilon=1e-6)
    facts = {prop.key: json.loads(prop.value) for prop in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert facts["tasks"] == [
        {"name": "all", "k": 0, "names": ["x", "y"], "heads": [6]},
        {"name": "own", "k": 0, "names": ["y"], "heads": [12]},
    ]
    assert (facts["precision"], facts["bn_epsilon"]) == ("fp16", 1e-6)
    first, second = facts["heads"]
    assert (first["output"], first["anchors"]) == ("all_L6_yolo", [[4, 5], [8, 9]])
    assert (second["output"], second["task"], second["classes"], second["names"]) == ("own_L12_yolo", "own", 1, ["y"])
    assert second["values"].startswith("x, y, w, h as fractions")


def test_an_input_is_not_replaced(tmp_path):
    target = tmp_path / "x.onnx"
    with pytest.raises(DarkshareError, match="is one of the inputs"):
        write_onnx(model_of(tiny_text()), target, protect=[str(target)])
