"""Decoding, NMS and placing, against Darknet's loops written out and OpenCV 4's Darknet importer."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import network_of, zoo_path

from darkshare.darknet.letterbox import fitted
from darkshare.darknet.model import Model, load
from darkshare.darknet.tasks import Task
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.inference.boxes import (
    Candidates,
    Detections,
    coco_annotations,
    darknet_objects,
    decode,
    first_ids,
    interpret,
    iou,
    iou_of_pairs,
    label_lines,
    rules_of,
    suppress,
)
from darkshare.inference.boxes.nms import _greedy
from darkshare.inference.detector import Detector
from darkshare.inference.preprocess import preprocess

F = np.float32
NET = "[net]\nwidth=96\nheight=64\nchannels=3\n{net}\n[convolutional]\nfilters={filters}\nsize=1\nstride=32\n"
NET += "activation=linear\n[{head}]\nclasses=3\n{keys}\n"
ANCHORS = "anchors=10,20, 30,15, 40,50\nnum=3\n"


def model_of(head: str, keys: str, boxes: int, entries: int = 5, net: str = "", **how) -> Model:
    """A network of one convolution and one head with a grid of 3 x 2 places and three classes."""
    text = NET.format(filters=boxes * (entries + 3), head=head, keys=keys, net=net)
    task = Task("test", ("a", "b", "c"), (1,), ((0, 2),))
    return Model(network_of(text, **how), None, (task,))


def numbers(model: Model, seed: int = 0) -> np.ndarray:
    c, h, w, *_ = model.network.layers[1].y
    return np.random.default_rng(seed).standard_normal((c, h, w)).astype(F) * 2


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def expected(model: Model, raw: np.ndarray, threshold: float, one) -> list[tuple[float, ...]]:
    """(score, class, x, y, w, h) of each box over the threshold; `one` decodes a place as the C code does."""
    kind = model.network.layers[1].kind
    values = kind.values
    found = []
    for n in range(kind.boxes):
        for row in range(raw.shape[1]):
            for col in range(raw.shape[2]):
                entry = [float(raw[n * values + e, row, col]) for e in range(values)]
                box, scores = one(entry, *kind.anchor_sizes()[n], col, row)
                found += [(s, j, *box) for j, s in enumerate(scores) if s > threshold]
    return sorted(found)


def assert_decodes(model: Model, one, threshold: float = 0.1, raw: np.ndarray | None = None) -> None:
    raw = numbers(model) if raw is None else raw
    got = decode(model, model.tasks[0], 1, raw, threshold)
    rows = sorted(
        (float(s), int(i), *map(float, b)) for s, i, b in zip(got.scores, got.class_ids, got.boxes, strict=True)
    )
    wanted = expected(model, raw, threshold, one)
    assert len(wanted) > 3
    np.testing.assert_allclose(rows, wanted, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_yolo(scale):
    """forward_yolo_layer and get_yolo_box."""
    model = model_of("yolo", f"mask=2,0\n{ANCHORS}scale_x_y={scale}\n", 2)

    def one(t, anchor_w, anchor_h, i, j):
        x, y = (sigmoid(v) * scale - 0.5 * (scale - 1) for v in t[:2])
        box = (i + x) / 3, (j + y) / 2, math.exp(t[2]) * anchor_w / 96, math.exp(t[3]) * anchor_h / 64
        return box, [sigmoid(t[4]) * sigmoid(v) for v in t[5:]]

    assert_decodes(model, one)


def test_yolo_with_new_coords():
    """The convolution before is logistic; width and height are squares."""
    model = model_of("yolo", f"mask=0,1,2\n{ANCHORS}scale_x_y=2.0\nnew_coords=1\n", 3)
    raw = np.random.default_rng(1).random((24, 2, 3)).astype(F)

    def one(t, anchor_w, anchor_h, i, j):
        x, y = (v * 2 - 0.5 for v in t[:2])
        box = (i + x) / 3, (j + y) / 2, t[2] * t[2] * 4 * anchor_w / 96, t[3] * t[3] * 4 * anchor_h / 64
        return box, [t[4] * v for v in t[5:]]

    assert_decodes(model, one, raw=raw)


@pytest.mark.parametrize(("point", "shift"), [("center", 0), ("left_top", 0.5), ("right_bottom", -0.5)])
def test_gaussian_yolo(point, shift):
    """get_gaussian_yolo_box and get_gaussian_yolo_detections."""
    model = model_of("Gaussian_yolo", f"mask=1,2\n{ANCHORS}scale_x_y=1.1\nyolo_point={point}\n", 2, entries=9)

    def one(t, anchor_w, anchor_h, i, j):
        w, h = math.exp(t[4]) * anchor_w / 96, math.exp(t[6]) * anchor_h / 64
        x = (i + sigmoid(t[0]) * 1.1 - 0.05) / 3 + shift * w
        y = (j + sigmoid(t[2]) * 1.1 - 0.05) / 2 + shift * h
        doubt = sum(sigmoid(t[e]) for e in (1, 3, 5, 7)) / 4
        return (x, y, w, h), [sigmoid(t[8]) * sigmoid(v) * (1 - doubt) for v in t[9:]]

    assert_decodes(model, one, threshold=0.05)


@pytest.mark.parametrize(
    ("softmax", "dialect", "classes"),
    [
        (1, "alexeyab", lambda t: [math.exp(v) / sum(map(math.exp, t)) for v in t]),
        (1, "pjreddie", lambda t: [math.exp(v) / sum(map(math.exp, t)) for v in t]),
        (0, "pjreddie", lambda t: [sigmoid(v) for v in t]),
        (0, "alexeyab", lambda t: t),  # forward_region_layer there leaves the class values as they are
    ],
)
def test_region(softmax, dialect, classes):
    """get_region_box: anchors in cells."""
    keys = f"anchors=1.5,1, 0.5,2\nnum=2\ncoords=4\nsoftmax={softmax}\n"
    model = model_of("region", keys, 2, dialect=dialect)

    def one(t, anchor_w, anchor_h, i, j):
        box = (
            (i + sigmoid(t[0])) / 3,
            (j + sigmoid(t[1])) / 2,
            math.exp(t[2]) * anchor_w / 3,
            math.exp(t[3]) * anchor_h / 2,
        )
        return box, [sigmoid(t[4]) * v for v in classes(t[5:])]  # fmt: skip

    assert_decodes(model, one)


def test_region_classfix_drops_weak_boxes():
    keys = "anchors=1,1\nnum=1\ncoords=4\nsoftmax=1\nclassfix=-1\n"
    raw = np.zeros((8, 2, 3), F)
    raw[4] = 0.1  # objectness 0.525
    raw[4, 0, 0] = -0.1  # objectness 0.475: below one half
    raw[5] = 9
    model = model_of("region", keys, 1)
    assert len(decode(model, model.tasks[0], 1, raw, 0.2).scores) == 5


@pytest.mark.parametrize("keys", ["tree=coco.tree\n", "coords=6\n"])
def test_region_options_that_are_not_decoded(keys):
    coords = 6 if "coords=6" in keys else 4
    model = model_of("region", f"anchors=1,1\nnum=1\nsoftmax=1\n{keys}", 1, entries=coords + 1)
    with pytest.raises(Unsupported, match="is not decoded"):
        decode(model, model.tasks[0], 1, numbers(model), 0.1)


def test_a_box_by_hand():
    """All raw values 0 except objectness and one class: the middle of the cell, the anchor itself."""
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    raw = np.full((8, 2, 3), -20, F)
    raw[:4, 1, 2] = 0
    raw[[4, 6], 1, 2] = [20, 0]  # objectness 1, class b 0.5
    (found,) = interpret(model, {1: raw}, (960, 640))
    ((name, score, box),) = list(found)
    assert (name, found.task) == ("b", "test")
    assert score == pytest.approx(0.5)
    # centre (2.5 / 3 * 960, 1.5 / 2 * 640) = (800, 480); anchor 30 x 15 of 96 x 64, ten times as large
    assert box == pytest.approx((650, 405, 950, 555))
    assert found.boxes.dtype == np.float32
    (row,) = darknet_objects(found, (960, 640))
    assert row["relative_coordinates"] == {"center_x": 0.833333, "center_y": 0.75, "width": 0.3125, "height": 0.234375}
    assert (row["class_id"], row["name"], row["confidence"], row["task"]) == (1, "b", 0.5, "test")


def test_a_box_counts_for_each_class_over_the_threshold():
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    raw = np.full((8, 2, 3), -20, F)
    raw[[4, 5, 7], 0, 0] = [20, 3, 2]
    (found,) = interpret(model, {1: raw}, (96, 64))
    assert [name for name, _, _ in found] == ["a", "c"]
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_padded_heads_give_each_task_its_own_classes():
    """Two tasks whose heads have the union of three classes: task two has classes 1 and 2."""
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    tasks = (
        Task("one", ("a",), (1,), ((0, 2),)),
        Task("two", ("b", "c"), (1,), ((0, 2),), offset=1),
    )
    raw = np.full((8, 2, 3), -20, F)
    raw[4:, 0, 0] = 5
    one, two = interpret(replace(model, tasks=tasks), {1: raw}, (96, 64))
    assert [name for name, _, _ in one] == ["a"]
    assert sorted(name for name, _, _ in two) == ["b", "c"]
    assert sorted(two.class_ids.tolist()) == [0, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.finfo(F).max])
def test_broken_numbers_are_an_error(value):
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    with pytest.raises(DarkshareError, match=r"layer 1 \[yolo\] gives values that are not numbers"):
        interpret(model, {1: np.full((8, 2, 3), value, F)}, (96, 64))


def test_infinite_boxes_are_dropped():
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    raw = np.full((8, 2, 3), 5, F)
    raw[2, 0, 0] = 1000
    assert len(decode(model, model.tasks[0], 1, raw, 0.1).scores) == 5 * 3


@pytest.mark.parametrize("values", [(-0.1, 0.4), (0.2, 1.5), (math.nan, 0.4)])
def test_thresholds_lie_between_0_and_1(values):
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    with pytest.raises(BadValue, match="between 0 and 1"):
        interpret(model, {1: numbers(model)[:8]}, (96, 64), threshold=values[0], nms=values[1])


def two_tasks() -> Model:
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    return replace(model, tasks=(model.tasks[0], replace(model.tasks[0], name="other")))


def test_tasks_may_have_thresholds_of_their_own():
    """Objectness and one class of each place at 0: a score of one quarter."""
    raw = np.full((8, 2, 3), -20, F)
    raw[:6] = 0
    model = two_tasks()

    def counts(**how) -> list[int]:
        return [len(found) for found in interpret(model, {1: raw}, (96, 64), **how)]

    assert counts(threshold={"other": 0.2}, nms=0) == [0, 6]  # 0.25 itself is not above the default of 0.25
    assert counts(threshold={"test": 0.2, "other": 0.3}, nms=0) == [6, 0]
    assert counts(threshold=0.2, nms={"other": 0, "test": 0.01}) == [6, 6]  # places are too far apart to overlap
    raw[2:4] = 3
    first, second = counts(threshold=0.2, nms={"other": 0, "test": 0.01})
    assert first < second == 6


def test_a_threshold_for_a_task_that_is_not_there():
    with pytest.raises(BadValue, match="unknown task masks; the tasks are test, other"):
        interpret(two_tasks(), {1: numbers(two_tasks())}, (96, 64), threshold={"masks": 0.3})


def test_scores_are_never_cut_off_below_the_threshold():
    """OpenCV 4's importer makes class scores of 0.2 and less zero."""
    raw = np.full((8, 2, 3), -20, F)
    raw[:4, 0, 0], raw[4, 0, 0], raw[5:, 0, 0] = 0, 0, [-2.5, -4, -6]
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    (found,) = interpret(model, {1: raw}, (96, 64), threshold=0.001)
    assert found.scores.tolist() == pytest.approx([sigmoid(-2.5) / 2, sigmoid(-4) / 2, sigmoid(-6) / 2], rel=1e-4)


@pytest.mark.parametrize("threshold", [0, 1])
def test_extreme_thresholds(threshold):
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    (found,) = interpret(model, {1: numbers(model)}, (96, 64), threshold=threshold, nms=0)
    assert len(found) == (0 if threshold else 6 * 3)


def test_a_classifier_has_no_boxes():
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[avgpool]\n[softmax]\n"
    model = Model(network_of(text), None, (Task("test", ("a", "b", "c"), (1,), ((0, 2),)),))
    with pytest.raises(Unsupported, match=r"layer 1 \[softmax\] of task test gives no boxes"):
        interpret(model, {1: np.zeros((3, 1, 1), F)}, (8, 8))


# Places in the picture


@pytest.mark.parametrize("picture", [(640, 480), (300, 900), (96, 64), (1, 500), (1000, 3)])
@pytest.mark.parametrize(("net", "dialect"), [("", "alexeyab"), ("letter_box=1", "alexeyab"), ("", "pjreddie")])
def test_letterbox_is_undone_as_darknet_does(picture, net, dialect):
    """correct_yolo_boxes with letter = 1 where letter_box=1 or the dialect is pjreddie's."""
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1, net=net, dialect=dialect)
    raw = np.full((8, 2, 3), -20, F)
    raw[:4, 1, 2] = [0.5, -0.3, 0.2, 0.1]
    raw[[4, 5], 1, 2] = 20
    (found,) = interpret(model, {1: raw}, picture)
    w, h = picture
    netw, neth = 96, 64
    new_w, new_h = netw, neth
    if net or dialect == "pjreddie":
        if netw / w < neth / h:
            new_h = max((h * netw) // w, 1)
        else:
            new_w = max((w * neth) // h, 1)
    assert fitted(model.network, picture) == (new_w, new_h)
    bx, by = (2 + sigmoid(0.5)) / 3, (1 + sigmoid(-0.3)) / 2
    bw, bh = math.exp(0.2) * 30 / netw, math.exp(0.1) * 15 / neth
    bx = (bx - (netw - new_w) / 2 / netw) / (new_w / netw) * w
    by = (by - (neth - new_h) / 2 / neth) / (new_h / neth) * h
    bw, bh = bw * netw / new_w * w, bh * neth / new_h * h
    wanted = [bx - bw / 2, by - bh / 2, bx + bw / 2, by + bh / 2]
    np.testing.assert_allclose(found.boxes[0], wanted, rtol=1e-4, atol=2e-3)


# NMS


def box_iou(a, b) -> float:
    def overlap(x1, w1, x2, w2):
        return min(x1 + w1 / 2, x2 + w2 / 2) - max(x1 - w1 / 2, x2 - w2 / 2)

    w, h = overlap(a[0], a[2], b[0], b[2]), overlap(a[1], a[3], b[1], b[3])
    shared = 0 if w < 0 or h < 0 else w * h
    union = a[2] * a[3] + b[2] * b[3] - shared
    return 0 if shared == 0 or union == 0 else shared / union


def box_diounms(a, b, beta) -> float:
    top, bottom = min(a[1] - a[3] / 2, b[1] - b[3] / 2), max(a[1] + a[3] / 2, b[1] + b[3] / 2)
    left, right = min(a[0] - a[2] / 2, b[0] - b[2] / 2), max(a[0] + a[2] / 2, b[0] + b[2] / 2)
    c = (right - left) ** 2 + (bottom - top) ** 2
    if c == 0:
        return box_iou(a, b)
    return box_iou(a, b) - (((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / c) ** beta


def darknets_nms(found: Candidates, threshold: float, measure) -> set[int]:
    """do_nms_sort: for each class the boxes by score; each that is left removes those after it."""
    kept = set()
    for class_id in set(found.class_ids.tolist()):
        rows = [i for i in range(len(found.scores)) if found.class_ids[i] == class_id]
        rows.sort(key=lambda i: -found.scores[i])
        prob = dict.fromkeys(rows, 1)
        for place, i in enumerate(rows):
            if not prob[i]:
                continue
            for j in rows[place + 1 :]:
                if measure(found.boxes[i], found.boxes[j]) > threshold:
                    prob[j] = 0
        kept |= {i for i in rows if prob[i]}
    return kept


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_iou_of_each_with_each_is_darknets(dtype):
    rng = np.random.default_rng(3)
    a, b = (np.concatenate([rng.random((n, 2)), rng.random((n, 2)) / 2], axis=1).astype(dtype) for n in (9, 7))
    corners = [np.concatenate([one[:, :2] - one[:, 2:] / 2, one[:, :2] + one[:, 2:] / 2], axis=1) for one in (a, b)]
    found = iou(*corners)
    assert (found.shape, found.dtype) == ((9, 7), dtype)
    wanted = [[box_iou(one, other) for other in b.astype(float)] for one in a.astype(float)]
    np.testing.assert_allclose(found, wanted, atol=1e-6 if dtype == np.float32 else 1e-14)
    assert 0 < (found == 0).sum() < found.size
    np.testing.assert_array_equal(iou_of_pairs(corners[0][:7], corners[1]), found[:7].diagonal())


def test_iou_of_boxes_that_do_not_meet_have_no_area_or_are_crowds():
    boxes = np.array([[0, 0, 4, 4], [4, 0, 8, 4], [2, 2, 2, 2], [0, 0, 8, 8]], float)
    assert iou(boxes, boxes).tolist() == [[1, 0, 0, 0.25], [0, 1, 0, 0.25], [0, 0, 0, 0], [0.25, 0.25, 0, 1]]
    assert iou(boxes, boxes[:0]).shape == (4, 0)
    crowds = iou_of_pairs(boxes[[0, 0]], boxes[[3, 3]], crowd=np.array([True, False]))
    assert crowds.tolist() == [1, 0.25]


def crowd(n: int, seed: int = 0) -> Candidates:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(0.2, 0.8, (n, 2)), rng.uniform(0.05, 0.4, (n, 2))], axis=1)
    return Candidates(boxes.astype(F), rng.random(n).astype(F), rng.integers(0, 3, n))


@pytest.mark.parametrize(
    ("exponent", "measure"),
    [(None, box_iou), (0.6, lambda a, b: box_diounms(a, b, 0.6)), (1.0, lambda a, b: box_diounms(a, b, 1.0))],
)
@pytest.mark.parametrize("threshold", [0.2, 0.45])
@pytest.mark.parametrize("boxes", [150, 1100])  # all classes at once, and one after another
def test_nms_keeps_what_darknet_keeps(exponent, measure, threshold, boxes):
    found = crowd(boxes)
    kept = suppress(found, threshold, exponent)
    assert set(kept.tolist()) == darknets_nms(found, threshold, measure)
    assert 3 < len(kept) < boxes
    assert (np.diff(found.scores[kept]) <= 0).all()


def test_nms_in_blocks_is_the_same():
    found = crowd(120)
    whole = _greedy(found, 0.3, None)
    assert _greedy(found, 0.3, None, block=7).tolist() == whole.tolist()


def test_nms_agrees_with_opencvs():
    found = crowd(200, 5)
    corners = np.concatenate([found.boxes[:, :2] - found.boxes[:, 2:] / 2, found.boxes[:, 2:]], axis=1).astype(float)
    one = found._replace(class_ids=np.zeros(200, int))
    wanted = cv2.dnn.NMSBoxes(corners.tolist(), found.scores.tolist(), 0.0, 0.45)
    assert suppress(one, 0.45).tolist() == np.ravel(wanted).tolist()


def test_nms_of_nothing_and_of_empty_boxes():
    assert len(suppress(Candidates(np.zeros((0, 4), F), np.zeros(0, F), np.zeros(0, int)), 0.4)) == 0
    flat = Candidates(np.array([[0.5, 0.5, 0, 0]] * 2, F), np.array([0.3, 0.4], F), np.zeros(2, int))
    assert suppress(flat, 0.4).tolist() == [1, 0]
    assert suppress(flat, 0.4, 0.6).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("kind", "nms", "left"),
    [
        *[("default", 0.42, 1), ("default", 0.44, 2), ("", 0.42, 1), ("unknown", 0.42, 1)],
        *[("greedynms", 0.3, 2), ("greedynms", 0.28, 1), ("diounms", 0.28, 2), ("diounms", 0.22, 1)],
    ],
)
def test_nms_kind_of_the_cfg_decides(kind, nms, left):
    """Two boxes of 1/3 x 1/2 of the picture, 0.4 of their width apart.

    IoU 0.6 / 1.4 = 0.429. Distance and diagonal squared, in fractions of the picture as in Darknet:
    (0.4 / 3)^2 / ((1.4 / 3)^2 + 0.25) = 0.0380. greedynms: 0.429 - 0.0380^0.6 = 0.288;
    diounms with beta_nms=0.5: 0.429 - 0.0380^0.5 = 0.234.
    """
    keys = f"mask=0\nanchors=32,32\nnum=1\nbeta_nms=0.5\n{f'nms_kind={kind}' if kind else ''}\n"
    model = model_of("yolo", keys, 1)
    raw = np.full((8, 2, 3), -20, F)
    raw[:4, 0, 0] = [math.log(0.65 / 0.35), 0, 0, 0]
    raw[:4, 0, 1] = [math.log(0.05 / 0.95), 0, 0, 0]  # centres 0.65 and 1.05 cells from the left, a cell is 32 wide
    raw[[4, 5], 0, :2] = 10
    (found,) = interpret(model, {1: raw}, (96, 64), nms=nms)
    assert len(found) == left


@pytest.mark.parametrize(("nms", "left"), [((0.42, "agnostic"), [0]), ((0.44, "agnostic"), [0, 1]), (0.42, [0, 1])])
def test_agnostic_suppression_by_hand(nms, left):
    """The two boxes of the test above, whose overlap is 0.6 / 1.4 = 0.429, of two classes."""
    model = model_of("yolo", "mask=0\nanchors=32,32\nnum=1\n", 1)
    raw = np.full((8, 2, 3), -20, F)
    raw[:4, 0, 0] = [math.log(0.65 / 0.35), 0, 0, 0]
    raw[:4, 0, 1] = [math.log(0.05 / 0.95), 0, 0, 0]
    raw[4, 0, :2], raw[5, 0, 0], raw[6, 0, 1] = 10, 10, 2  # the first is a, and surer than the second, which is b
    (found,) = interpret(model, {1: raw}, (96, 64), nms=nms)
    assert found.class_ids.tolist() == left


@pytest.mark.parametrize("level", [0.1, 0.3, 0.45])
def test_agnostic_suppression_is_opencvs_of_all_boxes_at_once(level):
    model = model_of("yolo", f"mask=0,1,2\n{ANCHORS}", 3)
    raw = {1: numbers(model, 3)}
    raw[1].reshape(3, 8, 6)[:, 5:] += 2  # so that a place is of several classes, and
    raw[1].reshape(3, 8, 6)[:, 2:4] = raw[1].reshape(3, 8, 6)[:, 2:4] / 4 + 1  # large enough to meet others
    (every,) = interpret(model, raw, (960, 640), threshold=0.1, nms=0)
    corners = np.concatenate([every.boxes[:, :2], every.boxes[:, 2:] - every.boxes[:, :2]], axis=1).astype(float)
    wanted = np.ravel(cv2.dnn.NMSBoxes(corners.tolist(), every.scores.tolist(), 0.0, level)).tolist()
    (found,) = interpret(model, raw, (960, 640), threshold=0.1, nms=(level, "agnostic"))
    assert found.rows() == every.take(wanted).rows()
    assert len(set(found.class_ids.tolist())) == 3
    (of_classes,) = interpret(model, raw, (960, 640), threshold=0.1, nms=level)
    assert 3 < len(found) < len(of_classes) < len(every)


@pytest.mark.parametrize(
    ("nms", "rules"),
    [
        (0.3, [(0.3, False), (0.3, False)]),
        ("agnostic", [(0.45, True), (0.45, True)]),
        ([0.3, "agnostic"], [(0.3, True), (0.3, True)]),
        ({"other": "agnostic"}, [(0.45, False), (0.45, True)]),
        ({"": ("agnostic", 0.3), "other": 0.2}, [(0.3, True), (0.2, True)]),
        ({"": 0, "other": (0.4, "agnostic")}, [(0, False), (0.4, True)]),
    ],
)
def test_levels_and_agnostic_are_two_settings(nms, rules):
    assert [(rule.overlap, rule.agnostic) for rule in rules_of(two_tasks().tasks, nms=nms).values()] == rules


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"nms": "0.4"}, "nms is a number between 0 and 1, 'agnostic', or both, not '0.4'"),
        ({"nms": (0.4, 0.5)}, r"or both, not \(0.4, 0.5\)"),
        ({"nms": {"test": ()}}, r"or both, not \(\)"),
        ({"nms": (0, "agnostic")}, "nms 0 keeps all boxes, so 'agnostic' would do nothing"),
        ({"nms": {"masks": "agnostic"}}, "unknown task masks; the tasks are test, other"),
        ({"nms": {"tests": 0.4}}, "unknown task tests; the tasks are test, other; is 'test' meant?"),
        ({"nms": (1.5, "agnostic")}, "must lie between 0 and 1, not 1.5"),
        ({"max_det": 0}, "max_det=0 must be at least 1"),
        ({"classes": ("a", "d")}, "there is no class 'd'; there are a, b, c"),
        ({"classes": "AA"}, "there is no class 'AA'; is 'a' meant?"),
    ],
)
def test_rules_that_cannot_be_are_refused(how, says):
    with pytest.raises(BadValue, match=says):
        rules_of(two_tasks().tasks, **how)


def test_classes_are_chosen_before_suppression_and_that_before_the_best():
    """At one place each: a surer than b, b, and c, in one spot; c alone in another, and least sure."""
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    raw = np.full((8, 2, 3), -20, F)
    raw[:4, 0, 0], raw[4:, 0, 0] = 0, [10, 3, 2, 1]
    raw[:4, 1, 2], raw[4:, 1, 2] = 0, [10, -20, -20, 0]

    def names(**how) -> list[str]:
        (found,) = interpret(model, {1: raw}, (96, 64), **how)
        return [name for name, _, _ in found]

    assert names() == ["a", "b", "c", "c"]
    assert names(max_det=3) == ["a", "b", "c"]
    assert names(nms="agnostic") == ["a", "c"]
    assert names(nms="agnostic", classes=("c", "b")) == ["b", "c"]
    assert names(classes="c", max_det=3) == ["c", "c"]
    assert names(classes=("c", "a"), max_det=2) == ["a", "c"]
    assert names(nms="agnostic", max_det=1) == ["a"]


def test_the_most_and_the_classes_are_of_each_task():
    raw = np.full((8, 2, 3), 3, F)
    model = replace(two_tasks(), tasks=(two_tasks().tasks[0], replace(two_tasks().tasks[1], names=("b", "x", "y"))))
    found = interpret(model, {1: raw}, (96, 64), max_det=4, nms=0)
    assert [len(one) for one in found] == [4, 4]
    found = interpret(model, {1: raw}, (96, 64), classes=["a", "b"], nms=0)
    assert [[one.names[i] for i in np.unique(one.class_ids)] for one in found] == [["a", "b"], ["b"]]
    found = interpret(model, {1: raw}, (96, 64), classes=["x"], nms=0)
    assert [len(one) for one in found] == [0, 6]


def test_clipped_boxes_end_at_the_edge_and_those_beyond_it_do_not_count():
    """A box of 30 x 15 of the input's 96 x 64 at the left edge, and a surer one that lies beyond it: letterboxed."""
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1, net="letter_box=1")
    raw = np.full((8, 2, 3), -20, F)
    raw[:4, 0, 0] = [-20, -20, 0, 0]  # its centre in the input's corner, which is gray: above the picture
    raw[:4, 1, 0] = [-20, -20, 0, 0]
    raw[4:6, 0, 0], raw[4:6, 1, 0] = 10, 2
    picture = (96, 16)  # 24 rows of gray above and below it
    (found,) = interpret(model, {1: raw}, picture)
    np.testing.assert_allclose(found.boxes, [[-15, -31.5, 15, -16.5], [-15, 0.5, 15, 15.5]], atol=1e-3)
    (clipped,) = interpret(model, {1: raw}, picture, clip=True, max_det=1)
    np.testing.assert_allclose(clipped.boxes, [[0, 0.5, 15, 15.5]], atol=1e-3)
    assert clipped.scores.tolist() == found.scores[1:].tolist()


def test_tasks_do_not_suppress_each_other():
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    two = replace(model, tasks=(model.tasks[0], replace(model.tasks[0], name="other")))
    raw = np.full((8, 2, 3), -20, F)
    raw[:4, 0, 0], raw[[4, 5], 0, 0] = 0, 20
    assert [len(found) for found in interpret(two, {1: raw}, (96, 64))] == [1, 1]


# In the forms that others read


def some(n: int = 3) -> Detections:
    boxes = np.array([[10, 20, 30, 60], [-8, 4, 50, 70], [200, 300, 210, 310]][:n], F).reshape(n, 4)
    return Detections(boxes, np.array([0.9, 0.5, 0.3], F)[:n], np.array([1, 0, 1])[:n], ("cat", "dog"), "pets")


@pytest.mark.parametrize("n", [3, 0])
def test_a_data_frame(n):
    table = some(n).to_dataframe()
    assert list(table) == ["task", "class_id", "name", "score", "x1", "y1", "x2", "y2"]
    assert len(table) == n
    if n:
        assert table.iloc[1].to_dict() == {
            **{"task": "pets", "class_id": 0, "name": "cat", "score": 0.5},
            **{"x1": -8, "y1": 4, "x2": 50, "y2": 70},
        }


@pytest.mark.parametrize("n", [3, 0])
def test_the_arguments_of_supervision(n):
    made = some(n).to_supervision()
    assert made["xyxy"].shape == (n, 4)
    assert made["class_id"].dtype == int
    assert made["data"]["class_name"].tolist() == ["dog", "cat", "dog"][:n]
    assert made["data"]["task"].tolist() == ["pets"] * n


@pytest.mark.parametrize("n", [3, 0])
@pytest.mark.filterwarnings("ignore")  # that package's own
def test_supervision_takes_them(n):
    supervision = pytest.importorskip("supervision")
    taken = supervision.Detections(**some(n).to_supervision())
    assert len(taken) == n
    merged = supervision.Detections.merge([taken, supervision.Detections(**some().to_supervision())])
    assert merged["class_name"].tolist() == [*["dog", "cat", "dog"][:n], "dog", "cat", "dog"]
    assert merged.confidence[-3:].tolist() == pytest.approx([0.9, 0.5, 0.3])


def test_label_lines_are_cut_off_at_the_edge():
    """In 100 x 80: (-8, 4)-(50, 70) becomes (0, 4)-(50, 70); the third box lies outside."""
    assert list(label_lines(some(), (100, 80), first=5)) == [
        "6 0.200000 0.500000 0.200000 0.500000",
        "5 0.250000 0.462500 0.500000 0.825000",
    ]


def test_coco_annotations_are_cut_off_at_the_edge():
    one, two = coco_annotations(some(), (100, 80), image_id=7, first=5)
    assert one == {
        **{"image_id": 7, "category_id": 7, "bbox": [10, 20, 20, 40], "area": 800, "iscrowd": 0},
        "score": pytest.approx(0.9),
    }
    assert (two["category_id"], two["bbox"]) == (6, [0, 4, 50, 66])


def test_classes_are_counted_through_as_in_the_names_of_a_merged_network():
    model = model_of("yolo", f"mask=1\n{ANCHORS}", 1)
    tasks = [Task(name, names, (1,), ((0, 2),)) for name, names in (("x", ("a",)), ("y", ("b", "c")), ("z", ("d",)))]
    assert first_ids(replace(model, tasks=tuple(tasks))) == [0, 1, 3]


# Against OpenCV 4's own decoding


@pytest.mark.importer
@pytest.mark.zoo
@pytest.mark.parametrize("name", ["f10-coco", "xl10-voc", "nano-coco", "yoloface-500k", "lite-voc-t3"])
def test_boxes_equal_those_of_opencvs_darknet_importer(name):
    cfg = zoo_path("models", name, f"{name}.cfg")
    model = load(cfg)
    image = cv2.imread(str(zoo_path("media", "people-masks-bag.jpg")))
    raw = Detector(model, bn_epsilon=1e-6).raw(image)
    oracle = cv2.dnn.readNetFromDarknet(str(cfg), str(cfg.with_suffix(".weights")))
    oracle.setInput(preprocess(image, model.network))
    seen = 0
    for index, values in raw.items():
        kind = model.network.layers[index].kind
        is_region = kind.name == "region"
        threshold = kind.thresh if is_region else 0.25  # below it, OpenCV gives 0
        rows = oracle.forward("detection_out" if is_region else f"yolo_{index}")
        rows = rows.reshape(-1, rows.shape[-1])
        places, ids = np.nonzero(rows[:, 5:] > threshold)
        got = decode(model, model.tasks[0], index, values, threshold)
        if is_region:  # its layer has an NMS inside, at 0.4
            got = got.take(suppress(got, 0.4))
        assert len(got.scores) == len(places)
        seen += len(places)
        for one, other in zip(
            _sorted(got), _sorted(Candidates(rows[places, :4], rows[places, 5 + ids], ids)), strict=True
        ):
            np.testing.assert_allclose(one, other, atol=1e-4)
    assert seen > 3


def _sorted(found: Candidates) -> list[list[float]]:
    rows = zip(found.scores, found.class_ids, found.boxes, strict=True)
    return sorted([float(score), float(i), *map(float, box)] for score, i, box in rows)
