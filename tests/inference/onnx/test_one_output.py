"""One output for all tasks: what it holds, that it is read back, and that Frigate's rules find the same boxes in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from conftest import network_of, tiny_text, zoo_path
from models import model, quiet_concat, retrained
from onnxruns import HEADS, boxes_model, copy_of_input, loaders, model_of, net

import darkshare
from darkshare.darknet.model import Model, load
from darkshare.darknet.tasks import Task
from darkshare.errors import DarkshareError, Unsupported
from darkshare.inference.detector import Detector
from darkshare.inference.engines import open_engine
from darkshare.inference.onnx import read_exported, write_onnx
from darkshare.inference.preprocess import preprocess

PICTURE = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)


@pytest.fixture
def both() -> Model:
    base = model(tiny_text(80), "base")
    return quiet_concat([base, retrained(base, tiny_text(3), "masks", 3)], k=3)


def one_box(classes: int) -> str:
    return copy_of_input(5 + classes) + f"[yolo]\nmask=0\nanchors=4,5\nclasses={classes}\nnum=1\n"


def test_two_boxes_by_hand(tmp_path):
    """Two heads of one anchor of 4x5 on a grid of 2x1, which is the input, all logits 0; 1 and 2 classes."""
    text = net(6, 1, 2) + one_box(1) + "[route]\nlayers=-2\n" + copy_of_input(7) + one_box(2)[len(copy_of_input(7)) :]
    given = model_of(text, np.zeros(6 + 36 + 7 + 42))
    tasks = (Task("a", ("x",), (1,), ((0, 2),)), Task("b", ("y", "z"), (4,), ((0, 5),)))
    write_onnx(replace(given, tasks=tasks), tmp_path / "x.onnx", one_output=True)
    #          left and right cell of each head
    wanted = [
        [0.5, 1.5, 0.5, 1.5],
        [0.5] * 4,
        [4] * 4,
        [5] * 4,
        [0.25, 0.25, 0, 0],
        [0, 0, 0.25, 0.25],
        [0, 0, 0.25, 0.25],
    ]
    for engine, run in ((name, load_file(tmp_path / "x.onnx")) for name, load_file in loaders().items()):
        (found,) = run(np.zeros((1, 6, 1, 2), np.float32), ["output0"])
        np.testing.assert_allclose(found[0], wanted, atol=1e-6, err_msg=engine)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("batch", [1, None])
def test_every_head_is_read_back_as_it_was(tmp_path, name, batch):
    given = boxes_model(name)
    write_onnx(given, tmp_path / "x.onnx", one_output=True, batch=batch)
    assert_same_boxes(Detector(given, threshold=0.1), Detector.of_file(tmp_path / "x.onnx", threshold=0.1))


def assert_same_boxes(first: Detector, second: Detector) -> None:
    """Both find the same; what has the same score but for rounding may come in another order."""
    for wanted, found in zip(first.detect(PICTURE), second.detect(PICTURE), strict=True):
        assert len(wanted)
        assert (found.task, found.names) == (wanted.task, wanted.names)
        one, other = (np.column_stack([x.class_ids, 100 * x.scores, x.boxes]) for x in (wanted, found))
        apart = np.abs(one[:, None] - other).max(axis=2)
        assert sorted(apart.argmin(axis=1)) == list(range(len(other)))
        assert apart.min(axis=1).max() < 1e-3


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_merged_network_is_read_back_and_so_is_one_task_of_it(both, tmp_path, precision):
    found = darkshare.export(both, tmp_path / "x.onnx", one_output=True, precision=precision)
    assert [(row["output"], row["task"], row["shape"], row["values"]) for row in found.rows()] == [
        ("output0", "base", "1 x 87 x 1280", "boxes"),
        ("output0", "masks", "1 x 87 x 1280", "boxes"),
    ]
    onnx.checker.check_model(str(tmp_path / "x.onnx"), full_check=True)
    darkshare.export(both, tmp_path / "raw.onnx", precision=precision)
    wanted = Detector.of_file(tmp_path / "raw.onnx", threshold=0.43, engine="onnxruntime")
    read = Detector.of_file(tmp_path / "x.onnx", threshold=0.43, engine="onnxruntime")
    assert_same_boxes(wanted, read)
    alone = replace(read_exported(tmp_path / "x.onnx").model, tasks=both.tasks[1:])
    assert_same_boxes(
        Detector(alone, threshold=0.43, engine="onnxruntime", file=tmp_path / "raw.onnx"),
        Detector(alone, threshold=0.43, engine="onnxruntime", file=tmp_path / "x.onnx"),
    )


def test_padded_heads_keep_the_classes_of_their_task(tmp_path):
    base = model(tiny_text(2), "base")
    padded = quiet_concat([base, retrained(base, tiny_text(3), "masks", 3)], k=3, layout="padded")
    write_onnx(padded, tmp_path / "x.onnx", one_output=True)
    assert_same_boxes(Detector(padded, threshold=0.3), Detector.of_file(tmp_path / "x.onnx", threshold=0.3))


def test_the_manifest_leads_from_a_class_to_its_task(both, tmp_path):
    darkshare.export(both, tmp_path / "x.onnx", target="frigate")
    said = json.loads((tmp_path / "x.json").read_text())
    rows = [
        (head["output"], head["task"], head["offset"], len(head["names"]), head["classes"]) for head in said["heads"]
    ]
    assert rows == [("output0", "base", 0, 80, 83), ("output0", "masks", 80, 3, 83)]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"target": "frigate", "decode": True}, "frigate does not take decoded boxes: its yolo-generic reads"),
        ({"target": "frigate", "batch": None}, "frigate does not take an open batch: it gives one picture at a time"),
        ({"target": "rknn", "one_output": True}, "rknn does not take one output: int8 has one scale"),
        ({"one_output": True, "decode": True}, "decode gives an output for each head and one_output a single one"),
        ({"one_output": True, "dynamic_size": True}, "decoded boxes need a fixed input size"),
        ({"one_output": True, "precision": "int8", "calibrate": "x"}, "one_output does not go with precision int8"),
    ],
)
def test_forms_that_do_not_go_together(tmp_path, form, says):
    with pytest.raises(DarkshareError, match=says):
        darkshare.export(model_of(tiny_text(2)), tmp_path / "x.onnx", **form)


def test_what_gives_no_boxes_has_no_place_in_it(tmp_path):
    given = model_of(net(3, 8, 8) + "[convolutional]\nfilters=2\n[softmax]\n")
    with pytest.raises(Unsupported, match="task test gives no boxes, which the one output needs; export raw heads"):
        write_onnx(given, tmp_path / "x.onnx", one_output=True)


def test_raw_heads_are_not_verified_against_boxes(both, tmp_path):
    write_onnx(both, tmp_path / "x.onnx", one_output=True)
    with pytest.raises(Unsupported, match="gives boxes, and raw heads are compared; export it without one output"):
        darkshare.verify(both, tmp_path / "x.onnx")


# Frigate's rules for `yolo-generic`: https://docs.frigate.video/configuration/object_detectors. Best score above 0.4,
# suppression above 0.4 whatever the class, 20 boxes. OpenCV's NMSBoxes, which wants left, top, width and height, is
# given corners, so that boxes far from the upper left suppress more of their neighbours than they overlap.

MOST = 20


def frigate(boxes: np.ndarray, scores: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Rows of class, score, left, top, right, bottom, from corners in pixels."""
    chosen = scores > 0.4
    boxes, scores, ids = boxes[chosen], scores[chosen], ids[chosen]
    kept = np.array(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.4, 0.4), int).ravel()[:MOST]
    return np.column_stack([ids, scores, boxes])[kept]


def of_one_output(values: np.ndarray) -> np.ndarray:
    """Its reading of a single output, whichever way round: the longer side counts boxes."""
    (rows,) = values
    rows = rows if rows.shape[0] > rows.shape[1] else rows.T
    center, half, scores = rows[:, :2], rows[:, 2:4] / 2, rows[:, 4:]
    return frigate(np.hstack([center - half, center + half]), scores.max(axis=1), scores.argmax(axis=1))


ANCHORS = np.float32([[12, 16, 19, 36, 40, 28], [36, 75, 76, 55, 72, 146], [142, 110, 192, 243, 459, 401]])


def of_three_outputs(outputs: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Its reading of three outputs: YOLOv7's heads of 80 classes, at strides of 8, 16 and 32, with its anchors."""
    boxes, scores, ids = [], [], []
    for stride, anchors, values in zip((8, 16, 32), ANCHORS.reshape(3, 3, 1, 1, 2), outputs, strict=True):
        rows = values[0].reshape(3, 85, *values.shape[2:]).transpose(0, 2, 3, 1)
        columns = np.moveaxis(np.indices(values.shape[2:])[::-1], 0, -1)
        center, half = (2 * rows[..., :2] - 0.5 + columns) * stride, (2 * rows[..., 2:4]) ** 2 * anchors / 2
        corners = np.concatenate([np.maximum(center - half, 0), np.minimum(center + half, np.tile(size, 1))], axis=-1)
        found = rows[..., 5:].max(axis=-1) * rows[..., 4]
        boxes.append(corners.reshape(-1, 4))
        scores.append(found.ravel())
        ids.append(rows[..., 5:].argmax(axis=-1).ravel())
    return frigate(np.concatenate(boxes), np.concatenate(scores), np.concatenate(ids))


def own(detector: Detector, picture: np.ndarray, *, clip: bool = False) -> np.ndarray:
    """What `detect` finds with all boxes kept, as Frigate's rules choose among them: the best class of a box counts."""
    found = detector.detect(picture)
    first = np.cumsum([0, *(len(one.names) for one in found)])
    boxes = np.concatenate([one.boxes for one in found])
    scores = np.concatenate([one.scores for one in found])
    ids = np.concatenate([one.class_ids + at for one, at in zip(found, first, strict=False)])
    order = np.argsort(-scores, kind="stable")
    _, best = np.unique(boxes[order], axis=0, return_index=True)
    best = order[np.sort(best)]
    low, high = boxes[best, :2], boxes[best, 2:]
    if clip:
        low, high = np.maximum(low, 0), np.minimum(high, picture.shape[1::-1])
    return frigate(np.hstack([low, high]), scores[best], ids[best])


def assert_same_rows(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    np.testing.assert_array_equal(found[:, 0], wanted[:, 0])
    np.testing.assert_allclose(found[:, 1], wanted[:, 1], atol=1e-5)
    np.testing.assert_allclose(found[:, 2:], wanted[:, 2:], atol=0.01)


PAIR = ("f10-coco", "f10-mask-frozen-exact-made")


def photos() -> list[Path]:
    folders = zoo_path("media"), zoo_path("datasets", "face-mask-yolo", "images")
    return [photo for folder in folders for photo in sorted(folder.glob("*.jpg"))][:20]


@pytest.mark.zoo
def test_frigate_finds_in_the_one_output_what_detect_finds(tmp_path):
    """80 classes and 3 of masks in one file, on 20 photos, which are regions of its input's size to Frigate."""
    pair = [load(*(zoo_path("models", name, name + end) for end in (".cfg", ".weights"))) for name in PAIR]
    merged = quiet_concat(pair, k=109)
    darkshare.export(merged, tmp_path / "both.onnx", target="frigate")
    engine = open_engine("opencv", tmp_path / "both.onnx", ["output0"])
    detector = Detector(merged, threshold=0.4, nms=0)
    boxes = 0
    for photo in photos():
        region = cv2.resize(cv2.imread(str(photo)), merged.network.input[2:0:-1])
        (values,) = engine.run(preprocess(region, merged.network))
        found = of_one_output(values)
        assert_same_rows(found, own(detector, region))
        boxes += len(found)
    assert boxes > 20


def test_frigate_reads_the_heads_of_a_yolov7(tmp_path):
    """Three heads of 80 classes with its anchors, as in yolov7.cfg, on a small input."""
    anchors = ", ".join(f"{value:g}" for value in ANCHORS.ravel())
    text = net(3, 64, 96) + "[maxpool]\nsize=8\nstride=8\npadding=0\n"
    for i in range(3):
        head = f"[yolo]\nmask={3 * i},{3 * i + 1},{3 * i + 2}\nanchors={anchors}\nclasses=80\nnum=9\nnew_coords=1\n"
        text += "[route]\nlayers=-3\n[maxpool]\nsize=2\nstride=2\npadding=0\n" if i else ""
        text += f"[convolutional]\nsize=1\nfilters=255\nactivation=logistic\n{head}scale_x_y=2\n"
    network = network_of(text)
    given = model_of(text, 3 * np.random.default_rng(4).standard_normal(network.params))
    write_onnx(given, tmp_path / "x.onnx")
    picture = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    engine = open_engine("opencv", tmp_path / "x.onnx", ["L2_yolo", "L6_yolo", "L10_yolo"])
    found = of_three_outputs(engine.run(preprocess(picture, network)), (96, 64))
    assert len(found) > 3
    assert_same_rows(found, own(Detector(given, threshold=0.4, nms=0), picture, clip=True))
