"""Anchors found for boxes, shared out among heads, written into cfg and weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from architectures import yolov3_text
from conftest import network_of, tiny_text
from models import model, quiet_concat, retrained, without_weights

from darkshare.analysis.check import check
from darkshare.darknet.model import save
from darkshare.data import Box, Dataset, Sample
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.surgery.anchors import (
    AnchorFit,
    anchored,
    anchors,
    best_anchors,
    box_sizes,
    head_sizes,
    ious,
    quality,
    rounded,
    shared_out,
)
from darkshare.surgery.anchors.assignment import HeadAnchors
from darkshare.surgery.anchors.scatter import _scatter
from darkshare.surgery.residual import branch

SIZES = ((0.1, 0.1), (0.11, 0.09), (0.3, 0.5), (0.31, 0.52), (0.8, 0.4), (0.79, 0.42), (0.2, 0.9), (0.21, 0.88))


def dataset(sizes=SIZES, picture: Path | str = "a.jpg") -> Dataset:
    boxes = tuple(Box(0, 0.5, 0.5, w, h) for w, h in sizes)
    return Dataset("boxes", ("thing",), (Sample(Path(picture), boxes), Sample(Path("empty.jpg"), ())))


def test_iou_of_sizes():
    # 4x4 and 2x8 share 2x4 of 16 + 16 - 8
    found = ious(np.array([[4.0, 4.0]]), np.array([[4.0, 4.0], [2.0, 8.0], [2.0, 2.0]]))
    assert found.tolist() == [[1, pytest.approx(8 / 24), 4 / 16]]


def test_quality_by_hand():
    found = quality(np.array([[4.0, 4.0], [2.0, 8.0], [20.0, 20.0]]), np.array([[4.0, 4.0]]))
    assert found == (pytest.approx((1 + 1 / 3 + 16 / 400) / 3), pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_clusters_that_are_there_are_found_whatever_the_seed():
    rng = np.random.default_rng(0)
    centers = np.array([[8.0, 8.0], [20.0, 60.0], [60.0, 20.0], [200.0, 150.0]])
    sizes = np.concatenate([center * rng.uniform(0.97, 1.03, (50, 2)) for center in centers])
    for seed in range(5):
        found = best_anchors(sizes, 4, seed=seed)
        assert sorted(map(tuple, found.round(-1))) == [(10, 10), (20, 60), (60, 20), (200, 150)]
        assert (np.diff(found.prod(axis=1)) >= 0).all()


def test_hardly_any_pair_of_boxes_would_be_better_anchors():
    """For sixty sizes and two anchors all pairs can be tried."""
    sizes = np.random.default_rng(1).uniform(5, 100, (60, 2))
    best = max(quality(sizes, sizes[[i, j]]).average_iou for i in range(60) for j in range(i))
    assert quality(sizes, best_anchors(sizes, 2)).average_iou > best - 0.01


def test_medians_fit_no_worse_than_means():
    """One huge box draws a mean away from its cluster, where the median stays."""
    sizes = np.array([[10.0, 10.0], [10.0, 11.0], [11.0, 10.0], [10.0, 10.0], [60.0, 60.0]])
    mean = quality(sizes, sizes.mean(axis=0)[None]).average_iou
    assert quality(sizes, best_anchors(sizes, 1)).average_iou > mean + 0.2


def test_the_same_seed_gives_the_same_anchors():
    sizes = np.random.default_rng(3).uniform(5, 300, (500, 2))
    assert np.array_equal(best_anchors(sizes, 9, seed=4), best_anchors(sizes, 9, seed=4))


@pytest.mark.parametrize("count", [0, 3])
def test_more_anchors_than_sizes_are_refused(count):
    with pytest.raises(DarkshareError, match="cannot be found in boxes of 2 different sizes"):
        best_anchors(np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]]), count)


def test_boxes_are_measured_in_pixels_of_the_input():
    network = model(tiny_text()).network
    assert box_sizes(dataset(((0.5, 0.25), (0, 0.5))), network).tolist() == [[16, 8]]
    with pytest.raises(DarkshareError, match="there is no box"):
        box_sizes(dataset(()), network)


def test_letter_box_takes_the_proportions_of_the_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((20, 40, 3), np.uint8))
    network = model(tiny_text().replace("channels=3", "channels=3\nletter_box=1", 1)).network
    # a picture of 40x20 becomes 32x16 in an input of 32x32
    assert box_sizes(dataset(((0.5, 0.5),), tmp_path / "wide.png"), network).tolist() == [[16, 8]]


def test_heads_share_anchors_by_stride():
    """AlexeyAB's advice for 416: below 30 for stride 8, below 60 for 16, the rest for 32; the cfg has 32 first."""
    m = without_weights(yolov3_text(), "yolov3")
    anchors = np.array(
        [[8.0, 8.0], [20, 30], [29, 29], [31, 31], [59, 59], [50, 80], [100, 90], [200, 200], [300, 300]]
    )
    found = shared_out(m, m.tasks[0], anchors)
    assert [(head.layer, head.stride, head.mask) for head in found] == [
        (82, 32, (5, 6, 7, 8)),
        (94, 16, (3, 4)),
        (106, 8, (0, 1, 2)),
    ]
    assert [head.mask for head in shared_out(m, m.tasks[0], anchors, "count")] == [(6, 7, 8), (3, 4, 5), (0, 1, 2)]


@pytest.mark.parametrize(
    ("side", "masks"),
    [
        (4.0, [(4,), (3,), (0, 1, 2)]),  # all small: the coarse heads get one each
        (400.0, [(2, 3, 4), (1,), (0,)]),  # all large: the fine ones do
    ],
)
def test_every_head_gets_an_anchor(side, masks):
    m = without_weights(yolov3_text(), "yolov3")
    anchors = np.array([[side, side + i] for i in range(5)])
    assert [head.mask for head in shared_out(m, m.tasks[0], anchors)] == masks


def test_impossible_numbers_of_anchors_are_refused():
    m = without_weights(yolov3_text(), "yolov3")
    with pytest.raises(BadValue, match="2 anchors are too few for 3 heads"):
        shared_out(m, m.tasks[0], np.ones((2, 2)))
    with pytest.raises(BadValue, match="the heads have 9 anchors, not 6"):
        shared_out(m, m.tasks[0], np.ones((6, 2)), "count")
    with pytest.raises(BadValue, match="rounded, two are the same"):
        anchors(model(tiny_text()), dataset(((0.5, 0.5), (0.5, 0.501), (0.9, 0.9))), num=3)


def test_heads_keep_the_weights_of_their_boxes_by_rank():
    base = model(tiny_text(2))  # masks 0,1 and 1,2 with seven values each
    task = base.tasks[0]
    anchors = np.array([[3.0, 3.0], [6, 6], [9, 9], [31, 31], [32, 32]])
    shared = shared_out(base, task, anchors)
    # strides 4 (layer 6) and 2 (layer 12): below 30/8*2=7.5 for the latter
    assert [(head.layer, head.mask, head.was) for head in shared] == [(6, (2, 3, 4), 2), (12, (0, 1), 2)]
    changed = anchored(base, task, shared)
    old, new = base.tensors(5)["weights"], changed.tensors(5)["weights"]
    assert np.array_equal(new[:7], old[:7])  # the smallest
    assert np.array_equal(new[14:], old[7:])  # the largest
    assert np.array_equal(changed.tensors(11)["weights"], base.tensors(11)["weights"])
    kinds = [head.kind for head in changed.network.heads]
    assert [kind.mask for kind in kinds] == [(2, 3, 4), (0, 1)]
    assert {(kind.num, kind.anchors) for kind in kinds} == {(5, tuple(map(float, anchors.ravel())))}


def test_boxes_out_of_order_are_ranked_by_their_size():
    base = model(tiny_text(2).replace("mask=0,1", "mask=1,0"))
    anchors = np.array([[8.0, 8.0], [9, 9], [10, 10], [11, 11]])
    changed = anchored(base, base.tasks[0], shared_out(base, base.tasks[0], anchors, "count"))
    old, new = base.tensors(5)["weights"], changed.tensors(5)["weights"]
    assert np.array_equal(new, np.concatenate([old[7:], old[:7]]))


def test_region_counts_in_cells():
    text = "[net]\nwidth=64\nheight=32\nchannels=1\n[maxpool]\nsize=2\nstride=2\n[convolutional]\nfilters=14\nsize=1\n"
    base = model(text + "[region]\nanchors=1,2, 3,4\nnum=2\nclasses=2\nsoftmax=0\n")
    assert head_sizes(base, base.tasks[0]).tolist() == [[2, 4], [6, 8]]
    changed = anchors(base, dataset(((0.25, 0.25), (0.5, 0.75), (0.75, 0.75))), num=3)
    kind = changed.network.heads[0].kind
    assert (kind.num, kind.anchors) == (3, (8, 4, 16, 12, 24, 12))  # 16x8, 32x24, 48x24 pixels of 2x2 cells
    assert changed.network.layers[1].kind.filters == 21


def test_anchors_are_whole_pixels_and_small_ones_tenths():
    assert rounded(np.array([[123.4, 9.96], [3.14, 0.01]])).tolist() == [[123, 10], [3.1, 0.1]]


@pytest.mark.parametrize("rule", ["stride", "count"])
def test_the_fit_gets_better_and_check_finds_nothing(rule, tmp_path):
    base = model(tiny_text(2))
    changed = anchors(base, dataset(), num=4, assign=rule)
    found = changed.report
    assert isinstance(found, AnchorFit)
    assert found.quality_after.average_iou > 0.9 > found.quality_before.average_iou
    assert len(found.before) == 3
    # strides 4 and 2: none of the boxes is below 30/8*2=7.5 pixels but the first two, which share one anchor
    assert [(head.layer, len(head.mask), head.was) for head in found.heads] == (
        [(6, 3, 2), (12, 1, 2)] if rule == "stride" else [(6, 2, 2), (12, 2, 2)]
    )
    save(changed, tmp_path / "new")
    assert len(check(tmp_path / "new.cfg")) == 0


def test_one_task_of_a_merged_model():
    base = model(tiny_text(2), "base")
    both = quiet_concat([base, retrained(base, tiny_text(3), "text", 4)], 4)
    with pytest.raises(BadValue, match="has the tasks base, text; say which one"):
        anchors(both, dataset())
    changed = anchors(both, dataset(), task="text", assign="count")
    old, new = both.network, changed.network
    assert all(new.layers[i].kind.anchors == old.layers[i].kind.anchors for i in both.tasks[0].heads)
    assert all(new.layers[i].kind.anchors != old.layers[i].kind.anchors for i in both.tasks[1].heads)


def test_branches_of_an_ensemble_keep_theirs():
    ensemble = branch(model(tiny_text()), 3, 2, widths=(3, 12), combine="none")
    with pytest.raises(Unsupported, match="change them before darkshare branch"):
        anchors(ensemble, dataset(), task="base-2")


def test_what_has_no_anchors_is_refused():
    base = model(tiny_text())
    classifier = replace(
        base, network=network_of("[net]\nwidth=4\nheight=4\nchannels=1\n[connected]\noutput=3\n[softmax]\n")
    )
    own = replace(base.tasks[0], heads=(1,))
    with pytest.raises(Unsupported, match="not a box head"):
        anchors(replace(classifier, tasks=(own,)), dataset())


def test_the_figure_is_written_whole(tmp_path):
    found = anchors(model(tiny_text(2)), replace(dataset(), name="$x_1$"), num=4).report
    assert isinstance(found, AnchorFit)
    found.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(DarkshareError, match="no such kind of figure"):
        found.plot(tmp_path / "a.txt")


@pytest.mark.parametrize(("low", "high"), [(30, 38), (30, 30), (14, 85), (12, 99), (3, 300), (1, 21), (2, 4000)])
def test_the_axes_of_the_figure_have_numbers_at_any_size(low, high):
    sizes = np.geomspace((low, low), (high, high), 9)
    (axes,) = _scatter(sizes, [HeadAnchors(3, 16, (0,), 3, ((low, high),))], sizes, "").axes
    for axis in (axes.xaxis, axes.yaxis):
        first, last = axis.get_view_interval()
        shown = [tick for tick in axis.get_majorticklocs() if first <= tick <= last]
        assert 3 <= len(shown) <= 14


def test_the_report_is_a_table_with_a_line_for_each_head():
    found = anchors(model(tiny_text(2)), dataset(), num=4).report
    assert isinstance(found, AnchorFit)
    assert [row["num"] for row in found.rows()] == [3, 4]
    assert found.notes() == [str(head) for head in found.heads]
    assert found.notes()[1].startswith("layer 12, stride 2: 1 anchor, 2 before: ")
    assert [head["mask"] for head in found.as_dict()["heads"]] == [head.mask for head in found.heads]
    assert repr(found).startswith("<AnchorFit: 4 anchors for boxes, average IoU 0.9")
    assert "<td>before</td>" in found._repr_html_()
