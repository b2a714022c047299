"""Residual blocks found, left out, and their shortcuts said in layers that every engine runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from architectures import darknet53_text, resnet152_text, yolov3_text, yolov4_tiny_text
from conftest import network_of, zoo_cfgs, zoo_path
from onnxruns import all_runs, input_of
from residuals import (
    assert_plain,
    model,
    moderate_floats,
    output,
    outputs,
    small_darknet,
    small_resnet,
    without_weights,
)

from darkshare.darknet.cfg import dumps, to_bytes
from darkshare.darknet.model import load, save
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning, Unsupported
from darkshare.surgery.residual import Reduction, reduce, residual_blocks
from darkshare.surgery.residual.blocks import stages_of
from darkshare.surgery.residual.reducing import unfitting
from darkshare.surgery.splice import concat


def sizes(text: str) -> list[int]:
    return [len(stage) for stage in stages_of(residual_blocks(network_of(text)))]


def totals(network) -> tuple[int, float, float]:
    """Layers, millions of params, BFLOPs."""
    return len(network.layers), round(network.params / 1e6, 3), round(network.flops / 1e9, 3)


def test_the_stages_of_well_known_networks():
    """From the papers' tables: ResNet-152 has 3, 8, 36 and 3 blocks, Darknet-53 has 1, 2, 8, 8 and 4."""
    assert sizes(resnet152_text()) == [3, 8, 36, 3]
    assert sizes(darknet53_text()) == sizes(yolov3_text()) == [1, 2, 8, 8, 4]
    assert sizes(yolov4_tiny_text()) == []


def test_a_block_knows_what_it_reads_and_whether_it_can_go():
    first, second, *_, last = residual_blocks(network_of(resnet152_text()))
    assert (first.number, first.stage, first.before, first.last) == (1, 1, 1, 5)
    assert first.needed == "it makes 64x64x256 of 64x64x64"
    assert (second.before, second.last, second.needed) == (5, 9, "")
    assert (last.number, last.stage, last.last) == (50, 4, 201)
    assert not any(block.needed for block in residual_blocks(network_of(darknet53_text())))


def test_a_block_that_something_reads_from_outside_is_needed():
    text = darknet53_text(size=64).replace("[avgpool]", "[route]\nlayers=73\n[avgpool]")
    (*_, last) = residual_blocks(network_of(text))
    assert last.needed == "layer 75 [route] reads a layer inside it"
    with pytest.raises(BadValue, match=r"test\.cfg: block 23 \(layers 72\.\.74\), stage 5, cannot be left out"):
        reduce(without_weights(text), "first")


# papers: layers, params and operations as pjreddie's Darknet counts them
@pytest.mark.parametrize(
    ("text", "before", "keep", "after"),
    [
        (resnet152_text(), (205, 57.560, 29.394), "1,1,1,1", (21, 7.300, 3.154)),
        (darknet53_text(), (78, 41.646, 18.570), "1,1,1,1,1", (24, 14.315, 6.491)),
        (darknet53_text(), (78, 41.646, 18.570), "1,1,2,2,1", (30, 15.958, 7.833)),
        (darknet53_text(), (78, 41.646, 18.570), "1,2,4,4,2", (48, 24.576, 11.859)),
        (yolov3_text(), (107, 62.002, 65.864), "first", (53, 34.671, 33.966)),
        (yolov3_text(), (107, 62.002, 65.864), "1,2,4,4,2", (77, 44.932, 48.143)),
    ],
)
def test_what_well_known_networks_come_down_to(text, before, keep, after):
    whole = without_weights(text, dialect="pjreddie")
    assert totals(whole.network) == before
    explicit = False if unfitting(whole.network) else None
    if explicit is False:
        with pytest.warns(DarkshareWarning, match="only pjreddie's Darknet"):
            reduced = reduce(whole, keep, explicit=explicit)
    else:
        reduced = reduce(whole, keep)
    assert totals(reduced.network) == after


def test_resnet152_with_explicit_shortcuts():
    """51 blocks, the stem counted, become 5."""
    whole = without_weights(resnet152_text(), dialect="pjreddie")
    every, few = reduce(whole, "all"), reduce(whole, "1,1,1,1")
    assert totals(every.network) == (216, 60.333, 30.333)
    assert totals(few.network) == (32, 10.073, 4.094)
    assert round(every.network.params / few.network.params, 2) == 5.99
    assert round(every.network.flops / few.network.flops, 2) == 7.41
    assert (len(residual_blocks(whole.network)) + 1, len(residual_blocks(few.network)) + 1) == (51, 5)
    assert not unfitting(few.network)


def test_more_than_six_times_fewer_holds_with_few_classes():
    """20 classes at 128x128, the setting in which the paper says so."""
    whole = without_weights(resnet152_text(classes=20, size=128), dialect="pjreddie")
    every, few = reduce(whole, "all").network, reduce(whole, "first").network
    assert every.params / few.params > 6
    assert every.flops / few.flops > 7


@pytest.mark.parametrize("keep", ["all", "1,2,2,3", "blocks 1-8"])
def test_keeping_everything_changes_no_byte(keep, tmp_path):
    found = small_darknet()
    save(found, tmp_path / "net")
    before = load(tmp_path / "net.cfg")
    save(reduce(before, keep), tmp_path / "again")
    for suffix in (".cfg", ".weights"):
        assert (tmp_path / f"again{suffix}").read_bytes() == (tmp_path / f"net{suffix}").read_bytes()


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["yolov3.cfg", "yolov4.cfg", "yolov4-csp.cfg", "efficientnet_b0.cfg"])
def test_keeping_everything_of_a_shipped_network_changes_no_byte(name):
    path = zoo_path("zoo", "alexeyab", name)
    assert to_bytes(reduce(load(path), "all").network.cfg) == path.read_bytes()


def test_a_reduced_darknet_is_the_whole_one_with_its_other_blocks_silent(tmp_path):
    """scales = biases = 0 in the last convolution of a block: it adds nothing."""
    whole = small_darknet()
    data = whole.weights.view(0, whole.weights.size).copy()
    for stage in stages_of(residual_blocks(whole.network)):
        for block in stage[1:]:
            last = whole.network.layers[block.last - 1]
            data[last.start : last.start + 2 * last.y.c] = 0
    silent = model(dumps(whole.network.cfg))
    silent = replace(silent, weights=Weights(Header(), (data,)))
    reduced = reduce(whole, "first")
    assert len(reduced.network.layers) == len(whole.network.layers) - 3 * 4
    np.testing.assert_array_equal(output(reduced, tmp_path), output(silent, tmp_path))
    assert output(reduced, tmp_path).max() < 0.9


def test_weights_move_with_their_layers():
    whole = small_darknet()
    reduced = reduce(whole, "blocks 1,2,4,6-8")
    gone = [block for block in residual_blocks(whole.network) if block.number in (3, 5)]
    kept = [i for i in range(len(whole.network.layers)) if not any(b.before < i <= b.last for b in gone)]
    for new, old in enumerate(kept):
        for name, values in whole.tensors(old).items():
            np.testing.assert_array_equal(reduced.tensors(new)[name], values)


def test_header_classes_and_net_stay(tmp_path):
    whole = small_darknet()
    save(whole, tmp_path / "net")
    body = (tmp_path / "net.weights").read_bytes()[20:]
    (tmp_path / "net.weights").write_bytes(Header(seen=640).to_bytes("alexeyab") + body)
    (tmp_path / "net.names").write_text("a\nb\nc\nd\ne\n")
    reduced = reduce(load(tmp_path / "net.cfg"), "first")
    assert reduced.weights.header.seen == 640
    assert reduced.tasks[0].names == tuple("abcde")
    assert reduced.tasks[0].heads == (len(reduced.network.layers) - 1,)
    assert reduced.network.net.width == 64


def test_references_over_what_went_are_rewritten(tmp_path):
    """yolov3's necks read the ends of two stages, here the blocks behind which nothing stays."""
    whole = without_weights(yolov3_text(size=64))
    reduced = reduce(whole, "1,1,0,0,0").network
    assert len(reduced.layers) == 107 - 3 * 21
    routes = [layer for layer in reduced.layers if layer.kind.name == "route" and len(layer.sources) == 2]
    assert [str(reduced.layers[layer.sources[1]].y) for layer in routes] == ["4x4x512", "8x8x256"]
    assert reduce(without_weights(yolov3_text(size=64)), "all").network.cfg == whole.network.cfg


def test_explicit_shortcuts_compute_the_same(tmp_path):
    """Our own lowering of unequal shortcuts is compared with Darknet's C loops elsewhere."""
    whole = small_resnet()
    with pytest.warns(DarkshareWarning, match=r"layer 5 \[shortcut\]"):
        short = reduce(whole, "first", explicit=False)
    explicit = reduce(whole, "first")
    assert len(explicit.network.layers) == len(short.network.layers) + 11
    np.testing.assert_allclose(output(explicit, tmp_path), output(short, tmp_path), atol=1e-6)
    np.testing.assert_allclose(output(reduce(whole, "all"), tmp_path), output(whole, tmp_path), atol=1e-6)
    kinds = [layer.kind.name for layer in explicit.network.layers]
    assert [kinds.count(kind) for kind in ("route", "maxpool", "shortcut")] == [4, 4, 4]


def test_an_explicit_network_has_the_same_blocks_and_stays_as_it_is():
    explicit = reduce(small_resnet(), "1,2,1,1")
    blocks = residual_blocks(explicit)
    assert repr(blocks) == "<ResidualBlocks: 5 of test.cfg, 4 stages>"
    assert len(blocks.to_dataframe()) == 5
    assert "<th>can go</th>" in blocks._repr_html_()
    assert [block.stage for block in blocks] == [1, 2, 2, 3, 4]
    assert [bool(block.needed) for block in blocks] == [True, True, False, True, True]
    again = reduce(explicit, "all")
    assert (again.network, again.weights) == (explicit.network, explicit.weights)
    assert len(residual_blocks(reduce(explicit, "first").network)) == 4


def test_fewer_channels_than_the_source_has(tmp_path):
    text = resnet152_text(classes=5, size=32, stages=((8, 1), (4, 1)))
    whole = model(text)
    explicit = reduce(whole, "all")
    assert [layer.y.c for layer in explicit.network.layers if layer.kind.name == "shortcut"] == [32, 16]
    np.testing.assert_allclose(output(explicit, tmp_path), output(whole, tmp_path), atol=1e-6)


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
def test_a_size_that_cannot_be_halved_is_refused(dialect):
    odd = without_weights(resnet152_text(classes=5, size=68, stages=((8, 1), (16, 1))), dialect=dialect)
    with pytest.raises(Unsupported, match=r"test\.cfg:\d+: layer 9 \[shortcut\] adds 17x17x32 to 9x9x64"):
        reduce(odd, "all")


def test_factors_of_an_unequal_shortcut_are_refused():
    text = resnet152_text(classes=5, size=32, stages=((8, 1),)).replace("from=-4", "from=-4\nalpha=0.5")
    with pytest.raises(Unsupported, match="alpha or beta; leave the shortcuts as they are"):
        reduce(without_weights(text, dialect="pjreddie"), "all")


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        ("1,1,1", r"--keep 1,1,1: its 4 stages have 1,2,2,3 blocks"),
        ("1,1,1,9", "its 4 stages have 1,2,2,3 blocks"),
        ("few", "'few' is not a whole number"),
        ("-1,1,1,1", "'-1' is not a whole number"),
        ("blocks 9", "the blocks are 1..8"),
        ("blocks 3-2", "the blocks are 1..8"),
        ("blocks", "'' is not a whole number"),
    ],
)
def test_what_cannot_be_kept(keep, says):
    with pytest.raises(BadValue, match=says) as caught:
        reduce(small_darknet(), keep)
    assert caught.value.file == "test.cfg"


def test_a_network_without_blocks():
    with pytest.raises(BadValue, match="has no residual blocks"):
        reduce(without_weights(yolov4_tiny_text()), "first")


def test_a_partial_file_is_refused():
    base = small_darknet()
    some = replace(base, weights=Weights(Header(), base.weights.slice(0, base.network.start(12)), "some.weights"))
    with pytest.raises(BadValue, match=r"some\.weights: has weights for some layers only"):
        reduce(some, "first")


def test_a_merged_model_is_refused():
    detector = model(yolov3_text(classes=1, size=32))
    with pytest.raises(BadValue, match="merged or branched model; take one network out of it"):
        reduce(concat([detector, detector], k=4), "first")


@pytest.mark.zoo
def test_the_yolov4_backbone_keeps_its_partial_stages(tmp_path):
    """Each stage is a branch of two that are joined again; whatever blocks go, the joins fit."""
    path = zoo_path("zoo", "alexeyab", "yolov4-csp.cfg")
    whole = load(path, sibling=False, size=(64, 64))
    assert [len(stage) for stage in stages_of(residual_blocks(whole.network))] == [1, 2, 8, 8, 4]
    reduced = reduce(whole, "0,1,1,1,1")
    assert len(reduced.network.layers) == 175 - 3 * 19
    assert [head.y for head in reduced.network.heads] == [head.y for head in whole.network.heads]


@pytest.mark.zoo
@pytest.mark.parametrize("fork", ["alexeyab", "pjreddie"])
def test_every_shipped_network_with_blocks_can_be_reduced(fork):
    zoo_path("zoo", fork)
    tried = 0
    for path in zoo_cfgs(fork):
        try:
            whole = load(path, sibling=False, dialect=fork)
        except DarkshareError:  # some shipped files do not load at all
            continue
        if not residual_blocks(whole.network):
            continue
        first, every = reduce(whole, "first"), reduce(whole, "all")
        assert len(first.network.layers) < len(every.network.layers) or sizes_are_one(whole.network)
        assert len(residual_blocks(first.network)) == len(stages_of(residual_blocks(whole.network)))
        assert [head.y for head in first.network.heads] == [head.y for head in whole.network.heads]
        tried += 1
        if unfitting(whole.network):
            assert_plain(first.network)
            assert_plain(every.network)
    assert tried >= 10


def sizes_are_one(network) -> bool:
    return all(len(stage) == 1 for stage in stages_of(residual_blocks(network)))


@pytest.mark.importer
def test_opencv_s_own_importer_runs_what_it_could_not(tmp_path):
    """OpenCV 4 fails on unequal shortcuts; the explicit ones give what we compute."""
    import cv2

    for found in (reduce(small_resnet(), "first"), reduce(small_darknet(), "first")):
        cfg, weights, *_ = map(str, save(found, tmp_path / "net"))
        oracle = cv2.dnn.readNetFromDarknet(cfg, weights)
        oracle.setInput(input_of(found))
        np.testing.assert_allclose(oracle.forward().ravel(), output(found, tmp_path), atol=1e-4)


def test_every_engine_agrees_on_a_reduced_network(tmp_path):
    found = reduce(small_resnet())
    assert isinstance(found.report, Reduction)
    assert repr(found.report).startswith("<Reduction: 32 of 37 layers, ")
    assert [row["quantity"] for row in found.report.rows()] == ["layers", "params", "BFLOPs"]
    wanted = output(found, tmp_path)
    for engine, _, (values,) in all_runs(found, tmp_path):
        np.testing.assert_allclose(values.ravel(), wanted, atol=1e-5, err_msg=engine)


def test_moderate_weights_are_what_the_tests_rely_on(tmp_path):
    """A saturated softmax would hide every difference."""
    found = small_resnet()
    assert found.weights.size == moderate_floats(found.network).size
    (values,) = outputs(found, tmp_path).values()
    assert 0.2 < values.max() < 0.95
