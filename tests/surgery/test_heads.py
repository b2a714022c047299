"""Classes of heads changed in cfg and weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import residuals
from architectures import yolov3_tiny_text
from conftest import network_of, seeded_floats, tiny_text

from darkshare.darknet.model import Model, save
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import Unsupported
from darkshare.surgery.heads import pad_to_union, unpad, with_classes
from darkshare.surgery.residual import branch
from darkshare.surgery.splice import concat


def model(text: str, names: tuple[str, ...], seed: int = 1) -> Model:
    network = network_of(text)
    data = seeded_floats(network, seed)
    heads = tuple(head.index for head in network.heads)
    task = Task(names[0], names, heads, ((0, len(network.layers)),))
    return Model(network, Weights(Header(), (data,)), (task,))


def test_rows_are_chosen_per_anchor():
    m = model(tiny_text(2), ("a", "b"))
    changed = with_classes(m, 6, [1, None, 0])
    old, new = m.tensors(5), changed.tensors(5)
    assert changed.network.layers[5].kind.filters == 2 * (3 + 5)
    assert changed.network.layers[6].kind.classes == 3
    # per anchor: x y w h objectness, then the classes; 7 values before, 8 after
    for anchor in range(2):
        a, b = 7 * anchor, 8 * anchor
        for name in ("biases", "weights"):
            assert np.array_equal(new[name][b : b + 5], old[name][a : a + 5])
            assert np.array_equal(new[name][b + 5], old[name][a + 6])
            assert np.array_equal(new[name][b + 7], old[name][a + 5])
        assert new["biases"][b + 6] == -20
        assert not new["weights"][b + 6].any()


def test_other_layers_stay():
    m = model(tiny_text(2), ("a", "b"))
    changed = with_classes(m, 6, [0])
    for index in (0, 1, 4, 8, 11):
        for name, tensor in m.tensors(index).items():
            assert np.array_equal(tensor, changed.tensors(index)[name])


def test_all_classes_in_order_is_the_identity():
    m = model(tiny_text(2), ("a", "b"))
    same = with_classes(m, 12, [0, 1])
    assert same.network.cfg == m.network.cfg
    assert np.array_equal(same.weights.view(0, same.weights.size), m.weights.view(0, m.weights.size))


def test_branches_of_an_ensemble_are_padded_to_one_range(tmp_path):
    base = residuals.model(yolov3_tiny_text(classes=2, size=64))
    apart = branch(base, 9, 2, combine="none", tolerance=1.0)
    padded = concat([base, apart], 8, layout="padded")
    assert [(task.name, task.offset) for task in padded.tasks] == [("net", 0), ("net-2-1", 2), ("net-2-2", 2)]
    assert {head.kind.classes for head in padded.network.heads} == {4}
    save(padded, tmp_path / "both")
    assert len((tmp_path / "both.names").read_text().split()) == 4
    with pytest.raises(Unsupported, match=r"the vote of net-2 is made of its branches, .* use the native layout"):
        concat([base, branch(base, 9, 2, tolerance=1.0)], 8, layout="padded")


def test_without_weights_only_the_cfg_changes():
    m = replace(model(tiny_text(2), ("a", "b")), weights=None)
    assert with_classes(m, 6, [0]).network.layers[6].kind.classes == 1


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("classes=2\nnum=3\n\n[route]\nlayers=-3", "classes=2\nnum=3\n\n[route]\nlayers=5", "read by layer 7"),
        ("filters=14\nactivation=linear", "filters=14\ngroups=2\nactivation=linear", "not a convolution with channels"),
        ("filters=14\nactivation=linear", "filters=14\nflipped=1\nactivation=linear", "stored flipped"),
        (
            "pad=1\nfilters=14\nactivation=linear\n\n[yolo]\nmask=0,1",
            "pad=1\nfilters=14\nactivation=linear\n\n[dropout]\n\n[yolo]\nmask=0,1",
            "not a convolution",
        ),
    ],
)
def test_what_cannot_be_changed_is_named(old, new, why):
    text = tiny_text(2)
    assert old in text
    m = model(text.replace(old, new, 1), ("a", "b"))
    with pytest.raises(Unsupported, match=why):
        with_classes(m, m.network.heads[0].index, [0])


CLASSIFIERS = {
    "matrix": ("[connected]\noutput=3\nactivation=linear\n", 0),
    "dropout between": ("[connected]\noutput=3\nactivation=linear\n[dropout]\n", 0),
    "convolution": ("[avgpool]\n[convolutional]\nfilters=3\nsize=1\nactivation=linear\n", 1),
    "pooled behind": ("[convolutional]\nfilters=3\nsize=1\nactivation=linear\n[avgpool]\n", 0),
}


@pytest.mark.parametrize("form", CLASSIFIERS)
def test_the_classes_of_a_classifier_are_rows_of_the_layer_that_makes_them(form):
    text, feeder = CLASSIFIERS[form]
    m = model(f"[net]\nwidth=4\nheight=4\nchannels=1\n{text}[softmax]\n[cost]\n", ("a", "b", "c"))
    changed = with_classes(m, m.network.heads[0].index, [2, None, 0, 1])
    old, new = m.tensors(feeder), changed.tensors(feeder)
    assert changed.network.layers[-1].y.size == 4
    for name in ("biases", "weights"):
        np.testing.assert_array_equal(new[name][[0, 2, 3]], old[name][[2, 0, 1]])
    assert (new["biases"][1], new["weights"][1].any()) == (-20, False)


def test_what_keeps_a_classifier_as_it_is():
    net, matrix = "[net]\nwidth=4\nheight=4\nchannels=1\n", "[connected]\noutput=4\n"
    for text, why in (
        (f"{net}{matrix}[softmax]\ngroups=2\n", "its classes are in groups or a tree"),
        (f"{net}{matrix}[softmax]\n[route]\nlayers=0\n[connected]\noutput=2\n", r"layer 2 \[route\] reads its"),
        (f"{net}[softmax]\n", "not a convolution with channels of its own"),
    ):
        m = model(text, ("a", "b", "c", "d"))
        with pytest.raises(Unsupported, match=why):
            with_classes(m, m.network.heads[0].index, [0])
    m = model(f"{net}{matrix}[softmax]\n", ("a", "b", "c", "d"))
    with pytest.raises(Unsupported, match="not a box head"):
        pad_to_union(m)


def test_padding_gives_each_task_its_own_range_and_can_be_undone():
    base = model(tiny_text(2), ("car", "bus"))
    other = model(tiny_text(1), ("plate",), seed=2)
    trunk = base.network.start(4)
    data = other.weights.view(0, other.weights.size).copy()
    data[:trunk] = base.weights.view(0, trunk)
    other = replace(other, weights=Weights(Header(), (data,)))
    with pytest.warns(UserWarning, match="--layout padded"):
        native = concat([base, other], 4)
    padded = pad_to_union(native)
    assert {head.kind.classes for head in padded.network.heads} == {3}
    assert [(task.padded, task.offset) for task in padded.tasks] == [(True, 0), (True, 2)]
    head = padded.tasks[1].heads[0]
    new, old = padded.tensors(head - 1), other.tensors(5)
    assert np.array_equal(new["weights"][7], old["weights"][5])  # class 0 of "plate" is class 2 of the union
    assert new["biases"][5] == new["biases"][6] == -20
    assert np.array_equal(new["weights"][:5], old["weights"][:5])
    for task, original in zip(padded.tasks, (base, other), strict=True):
        one = unpad(replace(padded, tasks=(task,)))
        for head, was in zip(task.heads, original.tasks[0].heads, strict=True):
            for name, tensor in original.tensors(was - 1).items():
                assert np.array_equal(one.tensors(head - 1)[name], tensor)


def test_heads_that_tasks_share_cannot_be_padded():
    m = model(tiny_text(2), ("a", "b"))
    merged = concat([m, m], 8)  # layer 6 is a head and lies in the trunk
    with pytest.raises(Unsupported, match="use a smaller k"):
        pad_to_union(merged)
