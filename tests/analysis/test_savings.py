"""What a merge saves: the paper's Table I, published shares, and the merged networks themselves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import strategies
from architectures import resnet152_text, yolov3_text, yolov3_tiny_text, yolov4_tiny_text
from conftest import network_of, tiny_text, zoo_path
from hypothesis import given, settings
from hypothesis import strategies as st
from models import model, quiet_concat, retrained, without_weights

from darkshare.analysis.savings import at_cuts, block_ends, savings
from darkshare.darknet.cfg import read_cfg
from darkshare.darknet.cut_points import legal_cuts
from darkshare.darknet.model import save
from darkshare.darknet.network import resolve
from darkshare.errors import BadValue, DarkshareError, TrunkMismatch

# Table I of the paper: yolov3, 416x416. It counts the last shared layer: 73, 64, 48, 40.
TABLE_ONE = {74: (0.655, 0.744), 65: (0.401, 0.663), 49: (0.156, 0.505), 41: (0.092, 0.424)}


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie", "hank-ai"])
def test_table_one(dialect):
    network = network_of(yolov3_text(), dialect=dialect)
    found = at_cuts([network, network], list(TABLE_ONE))
    assert [saving.k for saving in found] == list(TABLE_ONE)
    for saving in found:
        assert (saving.weights, saving.flops) == pytest.approx(TABLE_ONE[saving.k], abs=1e-3)


# Share below k, then saved by 2, 3 and 4 networks, each params / FLOPs in percent; at 416x416, equal heads.
PUBLISHED = {
    ("yolov3", 62): [(24.0, 61.3), (12.0, 30.6), (16.0, 40.8), (18.0, 45.9)],
    ("yolov3", 75): [(65.5, 74.4), (32.8, 37.2), (43.7, 49.6), (49.1, 55.8)],
    ("yolov3", 79): [(82.4, 79.8), (41.2, 39.9), (55.0, 53.2), (61.8, 59.9)],
    ("yolov3-tiny", 13): [(71.1, 67.2), (35.5, 33.6), (47.4, 44.8), (53.3, 50.4)],
    ("yolov4", 105): [(41.4, 57.4), (20.7, 28.7), (27.6, 38.3), (31.0, 43.1)],
    ("yolov4", 137): [(66.0, 77.3), (33.0, 38.7), (44.0, 51.5), (49.5, 58.0)],
    ("yolov4-tiny", 27): [(59.9, 74.2), (30.0, 37.1), (40.0, 49.5), (44.9, 55.6)],
    ("yolov4-tiny", 29): [(81.6, 80.6), (40.8, 40.3), (54.4, 53.7), (61.2, 60.5)],
}


@pytest.mark.zoo
@pytest.mark.parametrize(("name", "k"), PUBLISHED)
def test_published_shares(name, k):
    network = resolve(read_cfg(zoo_path("zoo", "alexeyab", f"{name}.cfg")), size=(416, 416))
    share, *savings = PUBLISHED[name, k]
    found = [at_cuts([network] * count, [k])[0] for count in (2, 3, 4)]
    assert (100 * found[0].weights, 100 * found[0].flops) == pytest.approx(share, abs=0.051)
    for saving, percent in zip(found, savings, strict=True):
        assert (100 * saving.saved_weights, 100 * saving.saved_flops) == pytest.approx(percent, abs=0.1)


@settings(max_examples=40)
@given(strategies.networks(), st.integers(2, 4), st.data())
def test_every_number_is_the_merged_network_s(text, count, data):
    models = [without_weights(text, f"m{i}") for i in range(count)]
    network = models[0].network
    k = data.draw(st.sampled_from(legal_cuts(network)))
    (saving,) = at_cuts([one.network for one in models], [k])
    merged = quiet_concat(models, k).network
    assert (saving.networks, saving.params, saving.file_bytes) == (count, merged.params, 20 + 4 * merged.params)
    assert saving.bflops == pytest.approx(merged.flops / 1e9)
    assert saving.saved_params == count * network.params - merged.params
    assert saving.saved_bflops == pytest.approx((count * network.flops - merged.flops) / 1e9)
    assert saving.saved_file_bytes == count * (20 + 4 * network.params) - saving.file_bytes
    assert saving.weights == network.start(k) / network.params
    assert saving.saved_weights == pytest.approx(saving.weights * (count - 1) / count)


def test_the_file_has_the_length_that_was_said(tmp_path):
    base = model(tiny_text(2))
    pair = [base, retrained(base, tiny_text(1), "text", 4)]
    (saving,) = at_cuts([one.network for one in pair], [4])
    save(quiet_concat(pair, 4), tmp_path / "both")
    assert (tmp_path / "both.weights").stat().st_size == saving.file_bytes


def test_shares_are_the_second_network_s():
    base, other = network_of(tiny_text(9)), network_of(tiny_text(1))
    (saving,) = at_cuts([base, other], [4])
    assert saving.weights == other.start(4) / other.params != base.start(4) / base.params


def test_without_ks_every_legal_cut_is_measured():
    network = network_of(yolov3_text())
    found = at_cuts([network, network])
    assert [saving.k for saving in found] == legal_cuts(network) == list(range(1, 107))
    assert all(a.weights <= b.weights and a.flops <= b.flops for a, b in pairwise(found))


def test_cuts_end_where_the_networks_part():
    base, other = network_of(tiny_text(2)), network_of(tiny_text(1))
    assert [saving.k for saving in at_cuts([base, other])] == [1, 2, 3, 4, 5]


def test_activations_are_saved_against_the_sum_of_the_peaks():
    one = 4 * (416 * 416 * 32 + 208 * 208 * 64)
    network = network_of(yolov3_text())
    (saving,) = at_cuts([network] * 3, [74])
    assert (saving.activation_bytes, saving.saved_activation_bytes) == (one, 2 * one)
    assert f"{3 * one:,} activation bytes if all stay loaded ({one:,} if one" in savings(network, networks=3).notes()[0]


# By hand: the residual blocks of darknet53, the pools of yolov3-tiny that halve the image, the partial stages of
# yolov4-tiny and the pools behind them, the bottlenecks of resnet152.
BLOCKS: dict[str, tuple[Callable[[], str], list[int]]] = {
    "yolov3": (yolov3_text, [5, 9, 12, *range(16, 38, 3), *range(41, 63, 3), 66, 69, 72, 75]),
    "yolov3-tiny": (yolov3_tiny_text, [2, 4, 6, 8, 10]),
    "yolov4-tiny": (yolov4_tiny_text, [9, 10, 17, 18, 25, 26]),
    "resnet152": (resnet152_text, [2, *range(6, 203, 4)]),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_block_ends(name):
    text, ends = BLOCKS[name]
    assert sorted(block_ends(network_of(text()))) == ends


def test_a_block_in_a_block_has_no_end_of_its_own():
    conv = "[conv]\nfilters=4\nsize=1\n"
    inner = f"{conv}[avgpool]\n{conv}[scale_channels]\nfrom=-3\n"  # layers 1..4
    text = f"[net]\nwidth=8\nheight=8\nchannels=3\n{conv}{inner}{conv}[shortcut]\nfrom=0\n{conv}"
    assert block_ends(network_of(text)) == {7}
    assert block_ends(network_of(text.replace("[shortcut]\nfrom=0\n", ""))) == {5}


@pytest.mark.parametrize(
    ("networks", "ks", "error", "message"),
    [
        ((2,), [4], BadValue, "at least one further network"),
        ((2, 2), [0], BadValue, r"k=0 must be 1\.\.12"),
        ((2, 2), [13], BadValue, r"k=13 must be 1\.\.12"),
        ((2, 1), [6], TrunkMismatch, "layer 5 is not the base's"),
        ((2, 2, 1), [6], TrunkMismatch, "layer 5 is not the base's"),
    ],
)
def test_wrong_questions(networks, ks, error, message):
    with pytest.raises(error, match=message):
        at_cuts([network_of(tiny_text(classes)) for classes in networks], ks)


def test_networks_that_share_nothing():
    other = network_of(tiny_text().replace("filters=8", "filters=9", 1).replace("from=-2", "from=-1"))
    with pytest.raises(TrunkMismatch, match="layer 0 is not the base's"):
        at_cuts([network_of(tiny_text()), other])


def test_a_network_without_a_legal_cut():
    network = network_of("[net]\ninputs=8\n[connected]\noutput=4\n")
    with pytest.raises(DarkshareError, match="no legal cut"):
        at_cuts([network, network])


def test_a_network_without_weights_or_counted_operations():
    network = network_of("[net]\nwidth=8\nheight=8\nchannels=3\n[upsample]\n[upsample]\n")
    (saving,) = at_cuts([network, network])
    assert (saving.weights, saving.flops, saving.saved_weights, saving.saved_flops) == (0, 0, 0, 0)


def test_rows_for_people_and_for_programs():
    found = savings(network_of(yolov3_text()), k=[74, 75])
    assert [row["block"] for row in found.table()] == ["", "end"]
    assert [(row["k"], row["block_end"]) for row in found.rows()] == [(74, False), (75, True)]
    assert found.rows()[0]["weights"] == found[0].weights
    assert repr(found) == "<Savings: 2 networks at k=74-75>"


def test_one_network_stands_for_several_and_models_for_their_networks():
    network = network_of(tiny_text())
    base, text = without_weights(tiny_text(), "base"), without_weights(tiny_text(1), "text")
    assert savings(network, k=4) == savings([network] * 2, k=(4,))
    assert savings([network], k=4, networks=3)[0].networks == 3
    assert savings([base, text], networks=2).networks == (base.network, text.network)
    for models, count in (([base, text], 3), (base, 1), ([], None)):
        with pytest.raises(BadValue, match="one"):
            savings(models, networks=count)


def test_the_figure_marks_what_was_asked_for(tmp_path):
    network = network_of(tiny_text())
    savings(network, k=4).plot(tmp_path / "one.svg")
    savings(network).plot(tmp_path / "all.svg")
    assert ["k=4" in (tmp_path / f"{name}.svg").read_text() for name in ("one", "all")] == [True, False]
