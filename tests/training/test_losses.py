"""Darknet's deltas, first steps and rolling statistics against numbers that Darknet itself computed.

The fixtures in fixtures/training come from the C code of both forks; docs/explanation/training.md says how.
"""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import network_of, tiny_text
from replays import Replay

from darkshare.darknet.kinds import Yolo
from darkshare.errors import BadValue, Unsupported
from darkshare.training.losses import LOSSES, gradient, head_losses
from darkshare.training.losses.overlaps import OVERLAPS, iou, slopes
from darkshare.training.losses.truths import _groups, best_overlaps, read_truths
from darkshare.training.losses.yolo import alexeyab_rules, pjreddie_rules

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures" / "training").glob("*.npz"))
NAMES = [path.stem for path in FIXTURES]
torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is in the extra `train`")
torch.set_num_threads(1)  # on tensors as small as these, threads only wait for each other
F = np.float32


@pytest.mark.parametrize("path", FIXTURES, ids=NAMES)
def test_deltas_and_steps_are_darknets(path):
    replay = Replay(path)
    for number in range(len(replay.x) // replay.mini):
        for index, delta, report in replay.pass_on(number):
            wanted = replay.given[f"delta_{index}_{number}"]
            np.testing.assert_allclose(delta.ravel(), wanted, rtol=1e-5, atol=1e-5)
            assert report.loss == pytest.approx(replay.given[f"loss_{index}_{number}"], rel=1e-5)
        if (number + 1) % replay.options.subdivisions == 0:
            step = number // replay.options.subdivisions
            np.testing.assert_allclose(replay.update(), replay.given[f"weights_{step}"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("pjreddie-yolo", {"adds": True}),
        ("pjreddie-yolo-truth-thresh", {"matches": True}),
        ("pjreddie-yolo-saturated", {"own_class": True}),
        ("alexeyab-yolo-mse", {"adds": False}),
        ("alexeyab-yolo-mse", {"matches": False}),
        ("alexeyab-yolo-saturated", {"own_class": False}),
        ("alexeyab-yolo-mse", {"iou_normalizer": 1.0}),
        ("alexeyab-yolo-two-steps", {"obj_normalizer": 1.0}),
        ("alexeyab-yolo-iou", {"max_delta": 1e9}),
        ("alexeyab-yolo-giou", {"iou_loss": "iou"}),
        ("alexeyab-yolo-giou", {"iou_thresh_kind": "iou"}),
        ("alexeyab-yolo-diou", {"iou_loss": "iou"}),
        ("alexeyab-yolo-ciou", {"iou_loss": "diou"}),
        ("alexeyab-yolo-ciou", {"scale_x_y": 1.0}),
        ("alexeyab-yolo-ciou", {"iou_thresh": 1.0}),
        ("alexeyab-yolo-new-coords", {"new_coords": False}),
        ("alexeyab-yolo-new-coords", {"objectness_smooth": False}),
        ("alexeyab-yolo-counters", {"multipliers": None}),
        ("alexeyab-yolo-counters", {"cls_normalizer": 1.0}),
        ("alexeyab-yolo-counters", {"label_smooth_eps": 0.0}),
        ("alexeyab-yolo-focal", {"focal_loss": False}),
    ],
)
def test_fixtures_tell_each_rule_from_its_absence(name, change):
    replay = Replay(FIXTURES[NAMES.index(name)])
    losses: dict[int, Any] = dict(replay.losses)
    for loss in losses.values():
        loss.rules = replace(loss.rules, **change)
    off = [
        np.abs(delta.ravel() - replay.given[f"delta_{index}_{number}"]).max()
        for number in range(replay.options.subdivisions)
        for index, delta, _ in replay.pass_on(number)
    ]
    assert max(off) > 1e-3


def test_delta_normalizer_multiplies_everything():
    raw = torch.randn(1, 14, 4, 4)
    plain, twice = (yolo_loss(f"delta_normalizer={n}").delta(raw, [TRUTH])[0] for n in (1, 2))
    assert (twice == 2 * plain).all()


@pytest.mark.parametrize("path", FIXTURES, ids=NAMES)
def test_what_the_fixtures_ask_for_is_no_small_thing(path):
    given = np.load(path)
    deltas = np.concatenate([given[name] for name in given.files if name.startswith("delta")])
    assert np.abs(deltas).max() > 0.3
    assert np.abs(given["weights_0"] - given["weights"].astype(F)).max() > 0.01


def test_both_forks_and_every_head_have_fixtures():
    texts = {name: str(np.load(path)["cfg"]) for name, path in zip(NAMES, FIXTURES, strict=True)}
    for fork in ("pjreddie", "alexeyab"):
        own = [text for name, text in texts.items() if name.startswith(fork)]
        for kind in LOSSES:
            assert any(f"[{kind.names[0]}]" in text for text in own), (fork, kind)
    ours = "".join(text for name, text in texts.items() if name.startswith("alexeyab"))
    keys = "iou_loss=giou iou_loss=diou iou_loss=ciou iou_loss=iou new_coords=1 scale_x_y label_smooth_eps iou_thresh="
    keys += " counters_per_class focal_loss objectness_smooth max_delta truth_thresh iou_thresh_kind"
    assert [key for key in keys.split() if key not in ours] == []


def test_batch_norm_of_cudnn_differs_by_the_size_of_a_mini_batch_only():
    """32 values make a channel's statistics in the third layer, so 1/31 is what the unbiased variance adds."""
    path = FIXTURES[NAMES.index("pjreddie-yolo")]
    replay = Replay(path, norm="batch")
    for number in range(2):
        list(replay.pass_on(number))
    off = np.abs(replay.update() - replay.given["weights_0"]).max()
    moved = np.abs(replay.given["weights_0"] - replay.given["weights"].astype(F)).max()
    assert 1e-5 < off < moved / 10


def yolo_loss(more: str = "", variant: str = "alexeyab", classes: int = 2):
    network = network_of(tiny_text(classes).replace("num=3", f"num=3\n{more}"), dialect=variant)
    heads = tuple(layer.index for layer in network.heads)
    return head_losses(network, heads, variant)[heads[0]]


TRUTH = np.array([[1, 0.4, 0.6, 0.3, 0.2]], F)


def test_the_gradient_is_darknets_over_the_pictures_of_an_update():
    raw = torch.randn(2, 14, 4, 4, requires_grad=True)
    delta, _ = yolo_loss().delta(raw, [TRUTH, TRUTH[:0]])
    raw.backward(gradient(delta, 8))
    assert (raw.grad == -delta / 8).all()


@pytest.mark.parametrize("variant", ["alexeyab", "pjreddie"])
def test_a_picture_without_truths_learns_that_nothing_is_there(variant):
    raw = torch.randn(1, 14, 4, 4)
    delta, tally = yolo_loss(variant=variant).delta(raw, [TRUTH[:0]])
    report = tally.read()
    rows = delta.view(2, 7, 4, 4)
    np.testing.assert_allclose(rows[:, 4], -raw.view(2, 7, 4, 4)[:, 4].sigmoid(), rtol=1e-6)
    assert report.count == 0
    assert np.isnan(report.iou)
    rows[:, 4] = 0
    assert not rows.any()


def test_half_precision_goes_in_and_single_comes_out():
    raw = torch.randn(1, 14, 4, 4).half()
    delta, _ = yolo_loss().delta(raw, [TRUTH])
    assert delta.dtype == torch.float32
    np.testing.assert_array_equal(delta, yolo_loss().delta(raw.float(), [TRUTH])[0])


def test_the_input_is_as_large_as_the_head_says():
    """At twice the size an anchor is half as large a share of the picture: a box of half the size fits as well."""
    loss = yolo_loss()  # 8 x 8 cells for 32 x 32 pixels
    small, _ = loss.delta(torch.zeros(1, 14, 8, 8), [np.array([[0, 0.51, 0.51, 8 / 32, 9 / 32]], F)])
    large, _ = loss.delta(torch.zeros(1, 14, 16, 16), [np.array([[0, 0.505, 0.505, 8 / 64, 9 / 64]], F)])
    np.testing.assert_allclose(small[0, 9:11, 4, 4], 0, atol=1e-6)
    np.testing.assert_allclose(large[0, 9:11, 8, 8], 0, atol=1e-6)
    assert small[0, 11, 4, 4] == large[0, 11, 8, 8] == 0.5


def test_a_centre_on_the_last_border_belongs_to_the_last_cell():
    delta, tally = yolo_loss().delta(torch.zeros(1, 14, 8, 8), [np.array([[0, 1.0, 1.0, 0.25, 0.28]], F)])
    assert tally.read().count == 1
    assert delta[0, 11, 7, 7] == 0.5


def test_a_centre_at_0_ends_the_list_as_in_darknet():
    rows = np.array([[0, 0.3, 0.3, 0.2, 0.2], [0, 0, 0.5, 0.2, 0.2], [0, 0.7, 0.7, 0.2, 0.2]], F)
    assert yolo_loss().delta(torch.zeros(1, 14, 4, 4), [rows])[1].read().count == 1


def test_no_more_truths_than_darknet_has_room_for():
    rows = np.tile(TRUTH, (300, 1))
    counts = [yolo_loss(variant=fork).delta(torch.zeros(1, 14, 4, 4), [rows])[1].read().count for fork in LIMITS]
    assert counts == list(LIMITS.values())


LIMITS = {"alexeyab": 200, "pjreddie": 90}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[2, 0.5, 0.5, 0.1, 0.1]], "class 2, but the head has the classes 0..1"),
        ([[-1, 0.5, 0.5, 0.1, 0.1]], "class -1"),
        ([[0, 0.5, 0.5, 0, 0.1]], "picture 0 of the batch has a box without a size"),
        ([[0, 0.5, 0.5, float("nan"), 0.1]], "without a size"),
    ],
)
def test_labels_that_no_head_can_learn(rows, message):
    with pytest.raises(BadValue, match=message):
        yolo_loss().delta(torch.zeros(1, 14, 4, 4), [np.array(rows, F)])


def test_truths_for_other_pictures():
    with pytest.raises(BadValue, match="truths for 1 pictures, but there are 2"):
        yolo_loss().delta(torch.zeros(2, 14, 4, 4), [TRUTH])


def test_the_report_says_how_well_boxes_fit():
    """At 0 every box lies in the middle of its cell and is as large as its anchor: here the second, 8x9 of 32x32."""
    truth = np.array([[1, 0.4375, 0.4375, 8 / 32, 9 / 32]], F)
    _, tally = yolo_loss().delta(torch.zeros(1, 14, 8, 8), [truth])
    assert astuple(tally.read())[1:] == (pytest.approx(1), 0.5, 0.5, 0.5, 1, 1, 1)


def boxes(n: int, seed: int):
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform(0.42, 0.58, (n, 2)), rng.uniform(0.2, 0.6, (n, 2))  # all of them overlap
    return torch.from_numpy(np.concatenate([centre, size], 1))


def test_the_slopes_of_iou_are_its_gradient_but_for_size_where_they_are_twice_it():
    pred, truth = boxes(50, 1).requires_grad_(), boxes(50, 2)
    OVERLAPS["iou"](pred, truth).sum().backward()
    np.testing.assert_allclose(slopes(pred.detach(), truth, "iou"), pred.grad * torch.tensor([1, 1, 2, 2]), atol=1e-12)


def test_boxes_that_do_not_meet_are_drawn_together_by_all_but_iou():
    pred, truth = torch.tensor([[0.2, 0.2, 0.1, 0.1]]), torch.tensor([[0.7, 0.8, 0.1, 0.1]])
    for kind in ("giou", "diou", "ciou"):
        assert (slopes(pred, truth, kind)[0, :2] > 0).all(), kind


@pytest.mark.parametrize("kind", OVERLAPS)
def test_equal_boxes_overlap_fully(kind):
    pred = boxes(5, 3)
    np.testing.assert_allclose(OVERLAPS[kind](pred, pred), 1)


def test_overlaps_by_hand():
    """Two unit squares, one moved by half: intersection 1/2, union 3/2, and a box of 1.5 x 1 around both."""
    a, b = torch.tensor([0.5, 0.5, 1, 1]), torch.tensor([1.0, 0.5, 1, 1])
    found = {kind: overlap(a, b).item() for kind, overlap in OVERLAPS.items()}
    apart = 0.25 / (1.5**2 + 1)
    third = 1 / 3
    assert found == pytest.approx({"iou": third, "giou": third, "diou": third - apart**0.6, "ciou": third - apart})


def test_rules_come_from_the_cfg_in_one_fork_only():
    kind = Yolo(classes=3, iou_loss="ciou", counters_per_class=(10, 40, 0), max_delta=20.0, max=50, iou_thresh_kind="x")
    ours = alexeyab_rules(kind)
    assert (ours.iou_loss, ours.iou_normalizer, ours.iou_thresh_kind, ours.most) == ("ciou", 0.75, "iou", 50)
    assert ours.multipliers == (4, 1, 20)
    theirs = pjreddie_rules(kind)
    assert (theirs.iou_loss, theirs.iou_normalizer, theirs.multipliers, theirs.most) == ("mse", 1, None, 50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[yolo]\nmask=0,1\nclasses=2\nnum=2\nmap=some.map\n", r"test.cfg:8: layer 1 \[yolo\]: map= renames"),
        ("[yolo]\nmask=0,1\nclasses=2\nnum=2\ncounters_per_class=1,2,3\n", "3 values for 2 classes"),
        ("[region]\nclasses=2\nnum=2\ntree=some.tree\n", r"layer 1 \[region\]: tree="),
        ("[region]\nclasses=1\nnum=2\ncoords=5\n", "masks are not trained"),
        ("[softmax]\n[cost]\ntype=masked\n", "type=masked"),
        ("", r"layer 0 \[convolutional\]: it ends the network but has no loss"),
    ],
)
def test_heads_that_are_not_trained(text, message):
    network = network_of(
        "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=14\nactivation=linear\n" + text
    )
    heads = tuple(layer.index for layer in network.heads)
    with pytest.raises(Unsupported, match=message):
        head_losses(network, heads)


def test_a_loss_that_there_is_not():
    with pytest.raises(BadValue, match="alexeyab, pjreddie"):
        head_losses(network_of(tiny_text()), (6,), "hank-ai")


def classifier(more: str = "", end: str = ""):
    text = f"[net]\nwidth=8\nheight=8\nchannels=3\n{more}[avgpool]\n[connected]\noutput=4\n[softmax]\n{end}"
    return head_losses(network_of(text), (2,))[2]


def test_a_classifier_by_hand():
    delta, tally = classifier().delta(torch.zeros(2, 4), np.array([0, 3]))
    report = tally.read()
    np.testing.assert_allclose(delta, [[0.75, -0.25, -0.25, -0.25], [-0.25, -0.25, -0.25, 0.75]])
    assert report.loss == pytest.approx(2 * np.log(4))
    assert (report.category, report.count) == (0.25, 2)


def test_labels_of_a_classifier_are_smoothed_over_the_other_classes():
    delta, _ = classifier("label_smooth_eps=0.3\n").delta(torch.zeros(1, 4), np.array([1]))
    np.testing.assert_allclose(delta, [[0.1 - 0.25, 0.7 - 0.25, 0.1 - 0.25, 0.1 - 0.25]], atol=1e-7)


@pytest.mark.parametrize("ids", [[4], [-1], [0, 1], [0.5]])
def test_class_ids_that_no_classifier_can_learn(ids):
    with pytest.raises(BadValue, match="class id"):
        classifier().delta(torch.zeros(1, 4), np.array(ids))


# --- pictures at once


@pytest.mark.parametrize(
    ("counts", "limit", "wanted"),
    [
        ([2, 1, 3], 90, [(0, 3, 3)]),
        ([2, 1, 3], 89, [(0, 2, 2), (2, 3, 3)]),
        ([5, 5], 1, [(0, 1, 5), (1, 2, 5)]),
        ([0, 0], 90, []),
        ([0, 0, 1], 20, [(2, 3, 1)]),
        ([], 90, []),
    ],
)
def test_pictures_are_compared_at_once_within_a_limit(counts, limit, wanted):
    found = [(part.start, part.stop, most) for part, most in _groups(np.array(counts, np.int64), 10, limit)]
    assert found == wanted


@pytest.mark.parametrize("counts", [[0, 0, 0, 9], [9, 0, 0, 1], [0, 0, 0, 0], [1, 30, 2, 0]])
def test_the_best_overlaps_are_those_of_each_picture_alone(counts):
    """4096 boxes a picture: with 9 truths in one of them, not all pictures are compared at once."""
    rng = np.random.default_rng(0)
    boxes = torch.from_numpy(rng.uniform(0.1, 0.9, (len(counts), 1, 64, 64, 4)).astype(np.float32))
    truths = [np.insert(rng.uniform(0.1, 0.9, (count, 4)), 0, 0, axis=1).astype(np.float32) for count in counts]
    overlap, index = best_overlaps(boxes, read_truths(truths, len(counts), 1, 90))
    for picture, rows in enumerate(truths):
        if len(rows):
            each = iou(boxes[picture][..., None, :], torch.from_numpy(rows[:, 1:]))
            assert torch.equal(overlap[picture], each.amax(-1))
            assert torch.equal(index[picture], each.argmax(-1))
        else:
            assert not overlap[picture].any()
