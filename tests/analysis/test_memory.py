"""Peak memory of activations, against hand work, brute force and the merged network itself."""

from __future__ import annotations

from itertools import count

import pytest
import strategies
from architectures import yolov3_text
from conftest import network_of, tiny_text
from hypothesis import given, settings
from hypothesis import strategies as st
from models import quiet_concat, without_weights

from darkshare.analysis.memory import LayerOutput as Out
from darkshare.analysis.memory import joined, layer_outputs, peak
from darkshare.darknet.cut_points import illegal_cut, legal_cuts
from darkshare.darknet.network import Network


def bytes_of(network: Network) -> int:
    return peak(network.input.size, layer_outputs(network))


def brute_force(network: Network) -> int:
    """At every step, ask of every tensor whether it exists already and whether somebody still wants it."""
    layers, heads = network.layers, {head.index for head in network.heads}
    last = len(layers) - 1

    def holder(index: int) -> int:
        """Whose memory holds what layer `index` gives; -1 is the input."""
        while index >= 0 and layers[index].kind.name in ("dropout", "empty"):
            index -= 1
        return index

    def wanted(owner: int) -> int:
        steps = [owner]
        for layer in layers:
            operands = [holder(source) for source in layer.sources]
            operands += [holder(layer.index - 1)] if layer.kind.reads_previous else []
            steps += [layer.index] if owner in operands else []
        return last if any(holder(head) == owner for head in heads) else max(steps)

    owners = {holder(index) for index in range(-1, last + 1)}
    size = {owner: network.input.size if owner < 0 else layers[owner].y.size for owner in owners}
    return 4 * max(sum(size[o] for o in owners if o <= step <= wanted(o)) for step in range(last + 1))


def test_a_chain_by_hand():
    chain = [Out(10), Out(30), Out(5), Out(1, is_head=True)]
    assert peak(7, chain) == 4 * 40  # layer 0's 10 beside layer 1's 30
    assert peak(100, chain) == 4 * 110  # the input beside layer 0


def test_a_skip_keeps_its_operand():
    skip = [Out(10), Out(30), Out(30), Out(30, sources=(0,)), Out(1, is_head=True)]
    assert peak(1, skip) == 4 * (10 + 30 + 30)


def test_a_head_lives_to_the_end():
    heads = [Out(10), Out(50, is_head=True), Out(5, reads_previous=False, sources=(0,)), Out(40), Out(40)]
    assert peak(1, heads) == 4 * (50 + 40 + 40)


def test_an_output_that_nobody_reads_lives_for_its_own_step():
    assert peak(1, [Out(10), Out(99), Out(5, reads_previous=False, sources=(0,)), Out(1)]) == 4 * (10 + 99)


def test_in_place_layers_need_nothing_but_hand_on():
    plain = [Out(10), Out(20), Out(20)]
    dropped = [Out(10), Out(10, in_place=True), Out(20), Out(20, in_place=True), Out(20, sources=(1,))]
    assert peak(1, plain) == 4 * 40
    assert peak(1, dropped) == 4 * 50  # layer 1 is layer 0, which the last one reads


def test_the_head_may_be_a_dropout():
    assert peak(1, [Out(10), Out(10, in_place=True, is_head=True), Out(2), Out(3)]) == 4 * 15


def test_antialiasing_gives_two_outputs():
    text = (
        "[net]\nwidth=8\nheight=8\nchannels=1\n[conv]\nfilters=2\nsize=3\nstride=2\npad=1\nantialiasing=1\n[avgpool]\n"
    )
    network = network_of(text)
    assert (network.layers[0].y.size, network.layers[0].onward.size) == (128, 32)
    assert bytes_of(network) == 4 * (64 + 128 + 32)


def test_shared_weights_are_no_activation():
    conv = "[conv]\nfilters=3\nsize=1\n"
    text = f"[net]\nwidth=8\nheight=8\nchannels=3\n{conv}{conv}{conv}share_index=0\n"
    assert bytes_of(network_of(text)) == 4 * 2 * 192


def test_yolov3_by_hand():
    """Its first two outputs, 416x416x32 and 208x208x64, are more than anything later, 52x52x255 head and all."""
    assert bytes_of(network_of(yolov3_text())) == 4 * (416 * 416 * 32 + 208 * 208 * 64)


@settings(max_examples=150)
@given(strategies.networks())
def test_random_networks_against_brute_force(text):
    network = network_of(text)
    assert bytes_of(network) == brute_force(network)


def test_dropouts_against_brute_force():
    text = tiny_text().replace("[maxpool]", "[dropout]\n\n[dropout]\n\n[maxpool]").replace("layers=-1,2", "layers=-1,4")
    network = network_of(text)
    assert bytes_of(network) == brute_force(network)


@settings(max_examples=60)
@given(strategies.networks(), st.integers(1, 3), st.data())
def test_joined_nodes_are_those_of_the_merged_network(text, further, data):
    numbers = count()
    models = [without_weights(text, f"m{next(numbers)}") for _ in range(further + 1)]
    network = models[0].network
    k = data.draw(st.sampled_from(legal_cuts(network)))
    graphs = [layer_outputs(model.network) for model in models]
    together = joined(graphs[0], graphs[1:], k)
    merged = quiet_concat(models, k).network
    assert [tuple(node) for node in together] == [tuple(node) for node in layer_outputs(merged)]
    assert peak(network.input.size, together) == bytes_of(merged) == brute_force(merged)


@pytest.mark.parametrize("k", [1, 2, 4, 5])
def test_joining_networks_of_other_heads(k):
    models = [without_weights(tiny_text(classes), str(classes)) for classes in (2, 1, 7)]
    assert all(illegal_cut(model.network, k) is None for model in models)
    graphs = [layer_outputs(model.network) for model in models]
    merged = quiet_concat(models, k).network
    assert joined(graphs[0], graphs[1:], k) == layer_outputs(merged)
