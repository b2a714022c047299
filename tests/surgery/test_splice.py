"""Splicing: indices, floats, trunks, and the way back."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import residuals
from architectures import yolov3_text
from conftest import tiny_text, zoo_cfgs, zoo_path
from hypothesis import given
from hypothesis import strategies as st
from models import assert_same_function, floats, model, quiet_concat, retrained, without_weights

from darkshare.darknet.cfg import dumps
from darkshare.darknet.cut_points import illegal_cut, reads_from
from darkshare.darknet.model import Model, branch_tasks, load, save, without_branch_tasks
from darkshare.darknet.network import Network
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning, ShapeMismatch, TrunkMismatch
from darkshare.inference.detector import Detector
from darkshare.surgery.residual import branch
from darkshare.surgery.splice import Merger, concat, longest_trunk, split

TEXT_ANCHORS = (12, 5, 24, 8, 40, 10, 60, 14, 90, 20, 130, 28, 180, 36, 260, 50, 380, 70)


@pytest.fixture
def pair() -> tuple[Model, Model]:
    base = model(tiny_text(2), "base")
    return base, retrained(base, tiny_text(1), "text", 4)


def test_the_papers_yolov3():
    """Bailer & Fassold: 107 + [route] + 33 layers, the shortcut reads 71, the routes into the trunk stay shared."""
    base = without_weights(yolov3_text(80), "yolov3")
    text = without_weights(yolov3_text(1, TEXT_ANCHORS), "text")
    merged = quiet_concat([base, text], 74)
    layers = merged.network.layers
    assert len(layers) == 141
    assert (layers[107].kind.name, layers[107].sources) == ("route", (73,))
    assert (layers[108].kind.name, layers[108].sources) == ("shortcut", (71,))
    routes = [layer.sources for layer in layers[108:] if layer.kind.name == "route"]
    assert routes == [(113,), (119, 61), (125,), (131, 36)]
    heads = [layer for layer in layers[107:] if layer.kind.name == "yolo"]
    assert [head.index for head in heads] == [116, 128, 140]
    assert all(head.kind.anchors == TEXT_ANCHORS and head.kind.classes == 1 for head in heads)
    assert all(head.kind.classes == 80 for head in layers[:107] if head.kind.name == "yolo")
    assert_same_function(replace_layers(merged.network, 107), base.network)


def replace_layers(network: Network, stop: int) -> Network:
    return replace(network, layers=network.layers[:stop])


@pytest.mark.parametrize(("k", "count"), [(74, 141), (65, 150), (49, 166), (41, 174)])
def test_layer_counts_of_the_papers_cuts(k, count):
    a, b = without_weights(yolov3_text(80), "a"), without_weights(yolov3_text(1), "b")
    merged = quiet_concat([a, b], k)
    assert len(merged.network.layers) == count
    parts = split(merged)
    assert_same_function(parts[0].network, a.network)
    assert_same_function(parts[1].network, b.network)


def test_floats_are_the_bases_and_the_branchs(pair):
    base, text = pair
    merged = quiet_concat(pair, 4)
    start = text.network.start(4)
    assert np.array_equal(floats(merged), np.concatenate([floats(base), floats(text)[start:]]))


def test_the_bases_text_stays_byte_for_byte(pair):
    merged = quiet_concat(pair, 4)
    assert tiny_text(2) in dumps(merged.network.cfg)


def test_a_reference_that_keeps_its_distance_stays_as_written(pair):
    text = dumps(quiet_concat(pair, 4).network.cfg)
    branch = text.partition("# task text")[2]
    assert "layers=-3" in branch
    assert "layers=-1,2" in branch  # layer 2 is below k: shared, and absolute already


def test_relative_references_into_the_trunk_become_absolute(pair):
    merged = quiet_concat(pair, 2)
    layer = merged.network.layers[14]
    assert (layer.kind.name, layer.sources) == ("shortcut", (0,))
    assert layer.section.get("from") == "0"


def test_absolute_references_above_the_cut_move(pair):
    base, _ = pair
    text = tiny_text(1).replace("layers=-1,2", "layers=9,2").replace("layers=-3", "layers=4")
    merged = quiet_concat([base, retrained(base, text, "text", 4)], 4)
    routes = [layer.sources for layer in merged.network.layers[14:] if layer.kind.name == "route"]
    assert routes == [(14,), (19, 2)]


def test_a_reference_to_the_last_shared_layer_reads_the_inserted_route(pair):
    base, _ = pair
    text = (
        tiny_text(1).replace("layers=-1,2", "layers=-1,3,-2").replace("layers=-3", "layers=3").replace("stride=2", "")
    )
    text = text.replace("[upsample]\n", "[maxpool]\nsize=1\nstride=1\n").replace(
        "size=3\n\npad", "size=3\nstride=2\npad"
    )
    base = model(text.replace("classes=1", "classes=2").replace("filters=12", "filters=14"), "base")
    merged = quiet_concat([base, retrained(base, text, "text", 4)], 4)
    routes = [layer.sources for layer in merged.network.layers[14:] if layer.kind.name == "route"]
    assert routes == [(13,), (19, 13, 18)]
    assert [layer.sources for layer in split(merged)[1].network.layers if layer.kind.name == "route"] == [
        (3,),
        (9, 3, 8),
    ]


SKIPPED = ("layers=-2", "layers=2", "layers=1,2", "layers=0")  # of layers that are as large as layer 3


def branching_off(layers: str) -> str:
    """A network whose layer 4 is a [route], behind a head where that does not read layer 3."""
    conv = "[convolutional]\nbatch_normalize=1\nfilters=7\nsize=3\npad=1\nactivation=leaky\n\n"
    yolo = "[yolo]\nmask=0\nanchors=4,5\nclasses=2\nnum=1\n\n"
    head = conv.replace("leaky", "linear") + yolo
    net = "[net]\nwidth=16\nheight=16\nchannels=3\n\n"
    third = yolo if layers in SKIPPED else conv
    trunk = f"{net}{conv * 2}{conv.replace('leaky', 'linear')}{third}"
    return f"{trunk}[route]\n{layers}\n\n{conv}{head}[route]\nlayers=-3\n\n{conv}{head}"


@pytest.mark.parametrize("layers", [*SKIPPED, "layers=-1", "layers=3,0", "layers=-1,-2"])
def test_a_route_is_inserted_only_where_the_branch_reads_it(layers, tmp_path):
    """Nothing but heads is unread, the bits are those of the separate networks, and `split` gives the cfg back."""
    one = model(branching_off(layers), "one")
    two = retrained(one, branching_off(layers), "two", 4)
    merged = quiet_concat([one, two], 4)
    count = len(one.network.layers)
    assert len(merged.network.layers) == 2 * count - 4 + (layers not in SKIPPED)
    read = {index for layer in merged.network.layers for index in layer.inputs}
    assert [i for i in range(len(merged.network.layers)) if i not in read] == sorted(merged.heads)
    found = Detector(merged).raw(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
    for part, task, original in zip(split(merged), merged.tasks, (one, two), strict=True):
        alone = Detector(original).raw(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
        for head, own in zip(task.heads, original.tasks[0].heads, strict=True):
            assert np.array_equal(found[head].view(np.uint32), alone[own].view(np.uint32))
        assert_same_function(part.network, original.network)
        assert np.array_equal(floats(part), floats(original))
    save(merged, tmp_path / "both")
    text = dumps(split(load(tmp_path / "both.cfg"))[1].network.cfg)
    assert text.partition("[convolutional]")[2].count("[") == count - 1
    assert "# task" not in text


def test_a_branch_without_an_inserted_route_says_where_it_lies():
    one = model(branching_off("layers=-2"), "one")
    merged = quiet_concat([one, retrained(one, branching_off("layers=-2"), "two", 4)], 4)
    text = dumps(merged.network.cfg)
    assert "[route]\n# task two: layers 12..19, on the shared layers 0..3\nlayers=2\n" in text
    assert [(task.k, task.heads, task.runs) for task in merged.tasks] == [
        (0, (3, 7, 11), ((0, 12),)),
        (4, (3, 15, 19), ((0, 4), (12, 20))),
    ]
    assert_same_function(split(merged)[1].network, one.network)


def test_branches_with_and_without_a_route_in_mergers_of_mergers():
    one = model(branching_off("layers=-2"), "one")
    two, three = (
        retrained(one, branching_off("layers=-2"), name, 4, seed) for name, seed in (("two", 2), ("three", 3))
    )
    inner = quiet_concat([two, three], 4)  # three's branch begins at 12, with a [route]
    for k in (3, 4, 12):
        base = replace(inner, tasks=(replace(inner.tasks[0], name="base"), replace(inner.tasks[1], name="more")))
        outer = quiet_concat([base, inner], k)
        read = {index for layer in outer.network.layers for index in layer.inputs}
        assert [i for i in range(len(outer.network.layers)) if i not in read] == sorted(outer.heads)
        for part, original in zip(split(outer), (two, three, two, three), strict=True):
            assert_same_function(part.network, original.network)
            assert np.array_equal(floats(part), floats(original))


def test_stored_values_at_the_head_of_a_branch_need_no_route():
    """[implicit] reads nothing, and here nothing else reads layer k-1 either."""
    conv = "[convolutional]\nsize=1\nfilters=4\nactivation=linear\n\n"
    text = "[net]\nwidth=4\nheight=4\nchannels=4\n\n" + conv * 2
    text += "[implicit]\nfilters=4\n\n[scale_channels]\nfrom=0\n\n" + conv.replace("=4", "=7") + "[yolo]\nclasses=2\n"
    merged = quiet_concat([without_weights(text, "a"), without_weights(text, "b")], 2)
    assert [layer.sources for layer in merged.network.layers[6:]] == [(), (0,), (), ()]
    assert "[implicit]\n# task b: layers 6..9, on the shared layers 0..1\n" in dumps(merged.network.cfg)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 9))
def test_split_undoes_concat(k1, k2, seed):
    base = model(tiny_text(2), "base", seed=seed)
    try:
        merged = quiet_concat([base, base, base], [k1, k2])
    except BadValue:
        assert illegal_cut(base.network, k1) or illegal_cut(base.network, k2)
        return
    n = len(base.network.layers)
    assert len(merged.network.layers) == n + (n - k1) + (n - k2) + (k1 != 7) + (k2 != 7)  # 7 is a [route] to layer 4
    assert merged.network.params == 3 * base.network.params - base.network.start(k1) - base.network.start(k2)
    for part in split(merged):
        assert_same_function(part.network, base.network)
        assert np.array_equal(floats(part), floats(base))


def test_a_merged_model_can_be_merged_again_and_taken_apart(pair):
    base, text = pair
    third = retrained(base, tiny_text(3), "third", 3, seed=3)
    inner = quiet_concat([text, third], 3)
    outer = quiet_concat([base, inner], 2)
    assert [task.name for task in outer.tasks] == ["base", "text", "third"]
    for part, original in zip(split(outer), (base, text, third), strict=True):
        assert_same_function(part.network, original.network)
        assert np.array_equal(floats(part), floats(original))
        assert part.tasks[0].heads == original.tasks[0].heads


def test_without_k_the_longest_identical_trunk_is_taken(pair):
    base, text = pair
    assert longest_trunk(base, text) == 4
    assert quiet_concat(pair).tasks[1].k == 4


def test_the_longest_trunk_of_equal_models_ends_below_the_first_head():
    base = model(tiny_text(2))
    assert longest_trunk(base, base) == 6


def test_without_k_models_with_nothing_in_common_are_refused():
    with pytest.raises(TrunkMismatch, match="another model altogether"):
        concat([model(tiny_text(2)), model(tiny_text(2), "other", seed=9)])


def test_a_trunk_with_other_bits_is_refused_and_forced(pair):
    base, text = pair
    data = floats(text).copy()
    data[3] += 1
    other = replace(text, weights=Weights(Header(), (data,), "text.weights"))
    with pytest.raises(
        TrunkMismatch, match=r"text.weights: layers 0..3 .*1 of 10 tensors differ \(biases in layers 0\)"
    ):
        concat([base, other], 4)
    with pytest.warns(DarkshareWarning) as caught:
        merged = concat([base, other], 4, force=True)
    assert any("merged on the base's trunk although" in str(w.message) for w in caught)
    assert np.array_equal(floats(split(merged)[1]), floats(text))  # the base's trunk, so text's before the change


def test_structure_is_compared_even_when_forced(pair):
    base, _ = pair
    other = model(tiny_text(1).replace("filters=8", "filters=6"), "other")
    with pytest.raises(TrunkMismatch, match=r"layer 0 is not the base's .*filters 8 against 6"):
        concat([base, other], 4, force=True)


def test_a_cut_behind_a_head_with_other_classes_is_refused(pair):
    with pytest.raises(TrunkMismatch, match="layer 5 is not the base's"):
        concat(pair, 8, force=True)


@pytest.mark.parametrize("k", [0, -3, 13, 99])
def test_k_out_of_range_is_refused(pair, k):
    with pytest.raises(BadValue, match=r"must be 1..12"):
        concat(pair, k)


def test_other_input_sizes_are_refused(pair):
    base, _ = pair
    other = model(tiny_text(1).replace("width=32", "width=64"), "other")
    with pytest.raises(ShapeMismatch, match=r"test.cfg:1: its input is 64x32x3, the base's is 32x32x3; .*--size"):
        concat([base, other], 4)


@pytest.mark.parametrize(
    ("base", "other", "size", "says"),
    [
        ("32x32", "64x64", (32, 32), "other for 64x64"),
        ("32x32", "64x64", (64, 64), "base for 32x32"),
        ("32x32", "64x64", (96, 96), "base for 32x32, other for 64x64"),
        ("32x32", "32x64", (32, 32), "other for 32x64"),
        ("64x32", "32x32", (64, 32), "other for 32x32"),
        ("32x32", "32x32", (64, 64), "base for 32x32, other for 32x32"),
        ("32x32", "32x32", None, ""),
        ("32x32", "32x32", (32, 32), ""),
    ],
)
def test_it_is_said_which_task_was_made_for_another_size(tmp_path, base, other, size, says):
    loaded = []
    for name, own in {"base": base, "other": other}.items():
        width, height = own.split("x")
        text = tiny_text().replace("width=32", f"width={width}").replace("height=32", f"height={height}")
        (tmp_path / f"{name}.cfg").write_text(text)
        loaded.append(load(tmp_path / f"{name}.cfg", size=size))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        merged = concat(loaded, 4)
    wanted = [f"made for another size than {size[0]}x{size[1]}: {says}; a task may find much"] if says else []
    assert [str(one.message)[: len(wanted[0])] for one in caught if "made for" in str(one.message)] == wanted
    assert [(task.net["width"], task.net["height"]) for task in merged.tasks] == [
        tuple(base.split("x")),
        tuple(other.split("x")),
    ]


def test_a_merged_network_remembers_the_sizes_of_its_tasks(tmp_path):
    for name, side in {"base": 32, "other": 64}.items():
        (tmp_path / f"{name}.cfg").write_text(tiny_text().replace("=32", f"={side}"))
    save(
        quiet_concat([load(tmp_path / f"{name}.cfg", size=(32, 32)) for name in ("base", "other")], 4),
        tmp_path / "both",
    )
    with pytest.warns(DarkshareWarning, match=r"made for another size than 32x32: other for 64x64; a task"):
        concat([load(tmp_path / "both.cfg"), load(tmp_path / "base.cfg")], 4)


def test_weights_for_some_only_are_refused(pair):
    base, text = pair
    with pytest.raises(DarkshareError, match="has no weights, but another network has"):
        concat([base, replace(text, weights=None)], 4)


def test_as_many_k_as_networks(pair):
    with pytest.raises(BadValue, match="2 values of k for 1 further networks"):
        concat(pair, [3, 4])
    with pytest.raises(BadValue, match="at least one further network"):
        concat(pair[:1], 3)


@pytest.mark.parametrize("layout", ["native", "padded"])
def test_several_regions_are_said_out_loud(layout):
    text = tiny_text().partition("[yolo]")[0] + "[region]\nanchors=1,1, 2,2\nclasses=2\nnum=2\n"
    one = model(text, "one")
    with pytest.warns(DarkshareWarning, match=r"several \[region\] heads: OpenCV 4's own Darknet importer .*refuses"):
        concat([one, one], 4, layout=layout)


def test_unequal_classes_are_said_out_loud(pair):
    with pytest.warns(DarkshareWarning, match=r"1 and 2 classes.*--layout padded"):
        concat(pair, 4)


def test_keys_that_would_change_the_training_are_said_out_loud(pair):
    base, _ = pair
    marked = tiny_text(1).replace("[upsample]", "[upsample]\nstopbackward=1")
    other = retrained(base, marked, "text", 4)
    with pytest.warns(DarkshareWarning) as caught:
        concat([base, other], 4)
    assert any("stopbackward= in layer 9 [upsample]" in str(w.message) for w in caught)


def test_a_lost_letter_box_is_said_out_loud(pair):
    base, _ = pair
    other = retrained(base, tiny_text(2).replace("channels=3", "channels=3\nletter_box=1"), "text", 4)
    with pytest.warns(DarkshareWarning, match="letter_box=1 gives way"):
        concat([base, other], 4)


def test_tasks_have_names_and_no_name_twice(pair):
    base, _ = pair
    assert [t.name for t in quiet_concat([base, base], 4).tasks] == ["base", "base-2"]
    assert [t.name for t in quiet_concat(pair, 4, name=["cars", "words"]).tasks] == ["cars", "words"]
    with pytest.raises(BadValue, match="1 names for 2 tasks"):
        concat(pair, 4, name=["cars"])
    with pytest.raises(BadValue, match="cannot be a file name"):
        concat(pair, 4, name=["../cars", "words"])


def test_saved_files_load_again_and_split_to_the_same_bytes(pair, tmp_path):
    base, text = pair
    text = replace(text, tasks=(replace(text.tasks[0], header=Header(0, 1, 0, 77)),))
    written = save(quiet_concat([base, text], 4), tmp_path / "both")
    assert sorted(path.name for path in written) == [
        "both.cfg",
        "both.data",
        "both.names",
        "both.tasks.json",
        "both.weights",
    ]
    again = load(tmp_path / "both.cfg")
    assert again.weights.header == Header(0, 2, 5, 0)
    one, two = split(again)
    assert (two.weights.header, two.tasks[0].names) == (Header(0, 1, 0, 77), ("text_0",))
    assert np.array_equal(floats(two), floats(text))
    assert_same_function(one.network, base.network)


def test_a_branch_gets_its_own_net_section_back(pair):
    base, _ = pair
    other = retrained(base, tiny_text(1).replace("[net]\n", "[net]\nmomentum=0.5\n"), "text", 4)
    assert split(quiet_concat([base, other], 4))[1].network.net.momentum == 0.5


def test_split_needs_a_merged_model_and_known_tasks(pair):
    with pytest.raises(BadValue, match=r"is not a merged model, or its .tasks.json is missing"):
        split(pair[0])
    with pytest.raises(BadValue, match="has no task cats; its tasks are base, text"):
        split(quiet_concat(pair, 4), ["cats"])
    assert [m.tasks[0].name for m in split(quiet_concat(pair, 4), ["text"])] == ["text"]


def test_split_undoes_the_padded_layout(pair):
    for part, original in zip(split(concat(pair, 4, layout="padded")), pair, strict=True):
        assert_same_function(part.network, original.network)
        assert np.array_equal(floats(part), floats(original))


# Ensembles


def ensemble(combine: str = "logits", name: str = "net") -> Model:
    base = residuals.small_darknet()
    base = replace(base, tasks=(replace(base.tasks[0], name=name),))
    return branch(base, "block 2", 3, combine=combine, tolerance=1.0)


def neighbour(k: int, name: str = "net") -> Model:
    """A network of its own whose first k layers are those of `ensemble`."""
    base = residuals.small_darknet()
    start, other = base.network.start(k), residuals.moderate_floats(base.network, 7)
    other[:start] = base.weights.view(0, start)
    return replace(base, weights=Weights(Header(), (other,)), tasks=(replace(base.tasks[0], name=name),))


def test_a_vote_is_taken_out_with_its_branches(tmp_path):
    whole = ensemble()
    save(split(whole, ["net"])[0], tmp_path / "net")
    again = load(tmp_path / "net.cfg")
    assert [(t.name, t.ensemble, t.heads, t.runs, t.names) for t in again.tasks] == [
        (t.name, t.ensemble, t.heads, t.runs, t.names) for t in whole.tasks
    ]
    assert_same_function(again.network, whole.network)
    assert np.array_equal(floats(again), floats(whole))


def test_a_pure_ensemble_comes_apart_as_a_whole_and_in_branches():
    parts = split(ensemble())
    assert [[t.name for t in part.tasks] for part in parts] == [
        ["net", "net-1", "net-2", "net-3"],
        ["net-1"],
        ["net-2"],
        ["net-3"],
    ]
    assert [part.tasks[0].ensemble for part in parts] == ["net", "", "", ""]  # a branch alone votes for nothing


@pytest.mark.parametrize("k", [3, 8])
@pytest.mark.parametrize("turned", [False, True])
def test_an_ensemble_in_a_merged_model_votes_as_before(k, turned, tmp_path):
    whole, other = ensemble(), neighbour(k, "other")
    merged = quiet_concat([other, whole] if turned else [whole, other], k)
    save(merged, tmp_path / "both")
    (again,) = split(load(tmp_path / "both.cfg"), ["net"])
    assert [(t.name, t.ensemble, t.heads, t.runs) for t in again.tasks] == [
        (t.name, t.ensemble, t.heads, t.runs) for t in whole.tasks
    ]
    assert_same_function(again.network, whole.network)
    assert np.array_equal(floats(again), floats(whole))
    found, wanted = residuals.outputs(merged, tmp_path), residuals.output(whole, tmp_path)
    vote = next(t for t in merged.tasks if t.name == "net")
    np.testing.assert_allclose(found[vote.heads[0]], wanted, atol=1e-6)


def test_an_ensemble_comes_back_from_a_cut_within_a_branch():
    whole = ensemble()
    k = whole.tasks[1].runs[1][0] + 2  # two layers of the first branch are shared too
    merged = quiet_concat([whole, ensemble(name="two")], k)
    assert merged.tasks[5].runs[:2] == ((0, k - 3), (k - 2, k))
    (again,) = split(merged, ["two"])
    assert [(t.heads, t.runs) for t in again.tasks] == [(t.heads, t.runs) for t in whole.tasks]
    assert_same_function(again.network, whole.network)


def test_tasks_of_another_cfg_are_not_taken_out():
    merged = quiet_concat([ensemble(), neighbour(3, "other")], 3)
    vote, one, *others = merged.tasks
    wrong = replace(merged, tasks=(vote, replace(one, heads=others[-1].heads), *others))
    with pytest.raises(DarkshareError, match=r"task net-1 needs layer \d+ \[softmax\], which is not among the layers"):
        split(wrong, ["net"])


def called(merged: Model) -> list[tuple[str, str]]:
    return [(task.name, task.ensemble) for task in merged.tasks]


@pytest.mark.parametrize(
    ("combine", "branches", "wanted"),
    [
        ("logits", False, [("net", ""), ("net-2", "net-2"), *((f"net-2-{i}", "net-2") for i in (1, 2, 3))]),
        ("logits", True, [("net", "net"), *((f"net-{i}", "net") for i in (1, 2, 3)), ("net-4", "")]),
        ("none", False, [("net", ""), *((f"net-2-{i}", "net-2") for i in (1, 2, 3))]),
        ("none", True, [*((f"net-{i}", "net") for i in (1, 2, 3)), ("net-4", "")]),
    ],
)
def test_an_ensemble_is_renamed_as_a_whole(combine, branches, wanted):
    whole, other = ensemble(combine), neighbour(3)
    assert called(quiet_concat([whole, other] if branches else [other, whole], 3)) == wanted


def test_ensembles_of_one_name_stay_two():
    merged = quiet_concat([ensemble(), ensemble()], 3)
    assert len({task.name for task in merged.tasks}) == 8
    one, two = (task.name for task in without_branch_tasks(merged).tasks)
    assert [[t.heads for t in branch_tasks(merged, name)] for name in (one, two)] == [
        [t.heads for t in merged.tasks[1:4]],
        [t.heads for t in merged.tasks[5:]],
    ]


def test_an_ensemble_takes_one_name():
    merged = quiet_concat([neighbour(3), ensemble()], 3, name=["cars", "words"])
    assert called(merged) == [("cars", ""), ("words", "words"), *((f"words-{i}", "words") for i in (1, 2, 3))]
    text = dumps(merged.network.cfg)
    assert text.splitlines()[0].endswith(": cars, words")
    assert "# task words: layers" in text
    with pytest.raises(BadValue, match="5 names for 2 tasks: give one for each, and one for a whole ensemble"):
        concat([neighbour(3), ensemble()], 3, name=list("abcde"))


def test_a_name_with_a_number_is_not_given_twice(pair):
    base, _ = pair
    numbered = replace(base, tasks=(replace(base.tasks[0], name="base-2"),))
    assert [t.name for t in quiet_concat([base, base, numbered], 4).tasks] == ["base", "base-2", "base-2-2"]


def cuts_of(network: Network) -> list[int]:
    count = len(network.layers)
    return sorted({1, 2, count - 1, *range(1, count, max(1, count // 9))})


@pytest.mark.slow
@pytest.mark.zoo
@pytest.mark.parametrize("part", range(6))
@pytest.mark.parametrize("fork", ["alexeyab", "pjreddie"])
def test_every_public_cfg_with_itself_at_a_dozen_cuts(fork, part):
    """In six parts, of every sixth cfg each, that can be tested side by side."""
    zoo_path("zoo", fork)
    spliced = 0
    for path in zoo_cfgs(fork)[part::6]:
        one = load(path, dialect=fork)
        count = len(one.network.layers)
        for k in cuts_of(one.network):
            why = illegal_cut(one.network, k)
            if why:
                with pytest.raises(BadValue, match=re.escape(why)):
                    concat([one, one], k)
                continue
            merged = quiet_concat([one, one], k)
            spliced += 1
            assert len(merged.network.layers) == 2 * count - k + reads_from(one.network, k, k - 1)
            assert merged.network.params == 2 * one.network.params - one.network.start(k)
        _, again = split(merged)
        assert_same_function(again.network, one.network)
    assert spliced > 0


@pytest.mark.zoo
@pytest.mark.parametrize("fork", ["alexeyab", "pjreddie"])
def test_few_cuts_of_public_cfgs_are_refused(fork):
    zoo_path("zoo", fork)
    networks = [load(path, dialect=fork).network for path in zoo_cfgs(fork)]
    refused = [bool(illegal_cut(network, k)) for network in networks for k in cuts_of(network)]
    assert len(refused) > 31 * sum(refused) > 0


def test_the_report_says_what_is_saved_and_where_each_branch_begins(pair):
    merged = quiet_concat(pair, 4)
    report = merged.report
    assert isinstance(report, Merger)
    layers, params, _, size = report.rows()
    assert layers == {"quantity": "layers", "separately": 26, "merged": 13 + 1 + 9, "saved": 3, "saved %": 11.5}
    trunk = pair[0].network.start(4)
    assert (params["saved"], size["saved"]) == (trunk, 4 * trunk + 20)
    assert list(report.table()[0]) == ["", "separately", "merged", "saved", "saved %"]
    assert report.notes() == ["text k=4"]
    assert repr(report) == "<Merger: 2 networks in one, text k=4>"
    assert "<td>file bytes</td>" in report._repr_html_()
    assert merged == replace(merged, report=None)  # how a model was made is no part of it


def test_one_name_of_a_task_may_be_a_text(pair):
    (text,) = split(quiet_concat(pair, 4), "text")
    assert text.tasks[0].name == "text"


def test_an_unknown_layout_and_no_k_in_a_list(pair):
    with pytest.raises(BadValue, match="layout wide must be native or padded"):
        concat(pair, 4, layout="wide")
    assert quiet_concat(pair, []).tasks[1].k == 4
