"""Mixing two models, and putting a trunk back."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text, zoo_path
from hypothesis import given, settings
from hypothesis import strategies as st
from models import floats, model, quiet_concat, retrained, without_weights
from strategies import networks

from darkshare.analysis.trunk import identical_layers, moved_tensors
from darkshare.darknet.model import Model, load, save
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning, TrunkMismatch, Unsupported, WeightsSize
from darkshare.surgery.cut import cut
from darkshare.surgery.mix import Origin, Restored, meant_trunk, mix, snap
from darkshare.surgery.mix_recipe import Recipe, Rule

HEADS = Rule(1.0, ((5, 6), (11, 12)))  # of the tiny network: what another class count changes


@pytest.fixture
def base() -> Model:
    return model(tiny_text(2), "base", seed=1)


@pytest.fixture
def other() -> Model:
    """The same network with other weights and the same class names."""
    return replace(model(tiny_text(2), "other", seed=2), tasks=model(tiny_text(2), "base").tasks)


@pytest.fixture
def text() -> Model:
    """Another class count."""
    return model(tiny_text(1), "text", seed=3)


def bits(m: Model) -> bytes:
    return floats(m).tobytes()


# --- mix -------------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(networks(), st.randoms(use_true_random=False), st.floats(0, 1), st.data())
def test_a_model_with_itself_is_itself(text, random, alpha, data):
    network = network_of(text)
    noise = np.frombuffer(random.randbytes(4 * network.params), "<f4")
    one = model(text, "one", noise)
    method, space = data.draw(st.sampled_from(["linear", "slerp"])), data.draw(st.sampled_from(["raw", "folded"]))
    assert bits(mix(one, one, alpha=alpha, method=method, space=space)) == noise.tobytes()
    assert bits(mix(one, model(text, "one", noise.copy()), alpha=alpha, method=method, space=space)) == noise.tobytes()


@pytest.mark.parametrize("space", ["raw", "folded"])
@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_the_ends_are_the_models(base, other, method, space):
    how = {"method": method, "space": space}
    assert bits(mix(base, other, alpha=0, **how)) == bits(base)
    assert bits(mix(base, other, alpha=1, **how)) == bits(other)


@settings(max_examples=30)
@given(networks(), st.data())
def test_k_takes_the_trunk_of_one_and_the_rest_of_the_other(text, data):
    a, b = model(text, "a", seed=1), model(text, "b", seed=2)
    k = data.draw(st.integers(1, len(a.network.layers)))
    mixed, start = mix(a, b, k=k), a.network.start(k)
    assert bits(mixed) == floats(a)[:start].tobytes() + floats(b)[start:].tobytes()


def test_with_k_heads_and_names_are_the_other_s(base, text):
    mixed = mix(base, text, k=4)
    assert mixed.network == text.network
    assert mixed.tasks[0].names == ("text_0",)
    assert bits(mixed)[: 4 * base.network.start(4)] == bits(base)[: 4 * base.network.start(4)]


def test_k_copies_nothing(base, text):
    mixed = mix(base, text, k=4)
    assert all(np.shares_memory(run, floats(base)) or np.shares_memory(run, floats(text)) for run in mixed.weights.runs)


def test_k_with_an_alpha_mixes_what_is_behind(base, other):
    mixed, start = mix(base, other, k=4, alpha=0.25), base.network.start(4)
    assert bits(mixed)[: 4 * start] == bits(base)[: 4 * start]
    assert floats(mixed)[start:] == pytest.approx(0.75 * floats(base)[start:] + 0.25 * floats(other)[start:], abs=1e-6)


def test_an_average_of_all(base, other):
    mixed = mix(base, other, alpha=0.5)
    assert floats(mixed) == pytest.approx((floats(base) + floats(other)) / 2, abs=1e-6)
    assert mixed.network == base.network


def test_rules_decide_tensor_by_tensor(base, other):
    mixed = mix(base, other, recipe=Recipe(0.5, rules=(Rule(0, kind="conv*"), Rule(1, tensor="rolling_*"))))
    for layer in base.network.layers:
        for name, values in mixed.tensors(layer.index).items() if layer.tensors else ():
            source = other if name.startswith("rolling") else base
            assert values.tobytes() == source.tensors(layer.index)[name].tobytes()


def test_a_mix_has_seen_nothing(base, other):
    header = Header(seen=640)
    seen = replace(
        other, weights=replace(other.weights, header=header), tasks=(replace(other.tasks[0], header=header),)
    )
    mixed = mix(base, seen, alpha=1)
    assert mixed.weights.header == mixed.tasks[0].header == Header(seen=0)


def test_heads_with_other_classes_are_taken_whole(base, text):
    mixed = mix(base, text, recipe=Recipe(0.5, rules=(HEADS,)))
    assert mixed.network == text.network
    assert mixed.tasks[0].names == ("text_0",)
    own = [layer.index for layer in text.network.layers if layer.index in (5, 11)]
    for index in own:
        for name, values in mixed.tensors(index).items():
            assert values.tobytes() == text.tensors(index)[name].tobytes()
    expected = (base.tensors(8)["weights"] + text.tensors(8)["weights"]) / 2
    assert mixed.tensors(8)["weights"] == pytest.approx(expected, abs=1e-6)


def test_the_base_may_give_its_heads(base, text):
    mixed = mix(base, text, recipe=Recipe(0.5, rules=(replace(HEADS, alpha=0.0),)))
    assert mixed.network == base.network
    assert mixed.tasks[0].names == ("base_0", "base_1")
    assert mixed.tensors(11)["weights"].tobytes() == base.tensors(11)["weights"].tobytes()


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(0.5),
        Recipe(0.5, rules=(Rule(1.0, ((5, 6),)),)),
        Recipe(0.5, rules=(HEADS, Rule(0.0, ((5, 6),)))),
        Recipe(0.5, rules=(HEADS, Rule(0.5, ((11, 11),), tensor="biases"))),
    ],
)
def test_what_differs_cannot_be_mixed(base, text, recipe):
    with pytest.raises(
        TrunkMismatch, match=r"test.cfg:\d+: layers 5-6, 11-12 are not the base's .*filters 14 against 12"
    ):
        mix(base, text, recipe=recipe)


def test_a_deeper_network_gives_its_own_tail():
    shallow, deep = model(tiny_text(2), "shallow"), model(tiny_text(2) + "\n[upsample]\n", "shallow", seed=2)
    assert len(mix(shallow, deep, k=12).network.layers) == 14
    kept = mix(deep, shallow, recipe=Recipe(0.5, rules=(Rule(0.0, ((12, None),)),)))
    assert len(kept.network.layers) == 14
    with pytest.raises(TrunkMismatch, match="only one of the models has it"):
        mix(shallow, deep, alpha=0.5)


def test_other_anchors_are_a_difference(base, other):
    moved = model(tiny_text(2).replace("4,5, 8,9", "4,6, 8,9"), "base", seed=2)
    with pytest.raises(TrunkMismatch, match=r"layers 6, 12 are not the base's .*anchors"):
        mix(base, moved, alpha=0.5)
    assert mix(base, moved, k=4).network == moved.network


def test_width_and_height_mean_nothing_to_weights(base):
    wide = model(tiny_text(2).replace("width=32", "width=64"), "base", seed=2)
    assert mix(base, wide, alpha=0.5).network == base.network
    assert mix(base, wide, k=4).network == wide.network


def test_other_names_are_noted_where_the_base_s_are_kept(base):
    renamed = model(tiny_text(2), "other", seed=2)
    with pytest.warns(DarkshareWarning, match="class names are not the base's"):
        mix(base, renamed, alpha=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mix(base, renamed, k=3).tasks[0].names == ("other_0", "other_1")


def test_a_partial_base_will_do_for_its_layers(base, text):
    partial = replace(base, weights=cut(base, 4))
    assert bits(mix(partial, text, k=4)) == bits(mix(base, text, k=4))
    with pytest.raises(WeightsSize, match="ends before layer 4, which is needed"):
        mix(partial, text, k=5)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({}, BadValue, "say how much to take"),
        ({"k": 0}, BadValue, "at least one layer"),
        ({"k": 14}, BadValue, r"k=14 must be 1\.\.13"),
        ({"alpha": 2}, BadValue, "alpha 2 must be"),
        ({"alpha": 0.5, "method": "cubic"}, BadValue, "must be linear or slerp"),
        ({"recipe": Recipe(0.5, rules=(Rule(1, ((99, 99),)),))}, BadValue, "rule 1 names layer 99"),
    ],
)
def test_wrong_questions(base, other, how, error, message):
    with pytest.raises(error, match=message):
        mix(base, other, **how)


def test_folded_wants_one_alpha_for_a_layer(base, other):
    recipe = Recipe(0.5, space="folded", rules=(Rule(0.25, tensor="rolling_*"),))
    with pytest.raises(BadValue, match=r"layer 0 \[convolutional\] has several alphas"):
        mix(base, other, recipe=recipe)


def test_models_without_weights_are_refused(base):
    with pytest.raises(Unsupported, match="no weights file"):
        mix(base, without_weights(tiny_text(2), "x"), alpha=0.5)


def test_merged_models_are_mixed_too(base, text, tmp_path):
    pair = [base, retrained(base, tiny_text(1), "text", 4)]
    merged = quiet_concat(pair, 4)
    noise = replace(merged, weights=Weights(Header(), (seeded_floats(merged.network, 9),)))
    known = tuple(replace(task, fingerprints={"weights": "of the source"}) for task in merged.tasks)
    merged = replace(merged, tasks=known)
    for product in (mix(merged, noise, alpha=0.5), snap(merged, merged, 4)):
        save(product, tmp_path / "product")
        tasks = load(tmp_path / "product.cfg").tasks
        assert [(task.name, task.fingerprints) for task in tasks] == [("base", {}), ("text", {})]


def test_folded_gives_outputs_between_the_outputs():
    """Of a network that is linear in its kernels and biases, run by OpenCV."""
    from darkshare.inference.detector import Detector

    body = "[conv]\nbatch_normalize=1\nfilters=14\nsize=3\npad=1\nactivation=linear\n"
    cfg = f"[net]\nwidth=32\nheight=32\nchannels=3\n{body}[yolo]\nmask=0,1\nanchors=4,5,8,9\nclasses=2\nnum=2\n"
    a, b = model(cfg, "m", seed=1), model(cfg, "m", seed=2)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    x, y, z = (Detector(one).raw(image)[1] for one in (a, b, mix(a, b, alpha=0.3, space="folded")))
    assert z == pytest.approx(0.7 * x + 0.3 * y, abs=1e-4)
    raw = Detector(mix(a, b, alpha=0.3)).raw(image)[1]
    assert np.abs(raw - z).max() > 0.01


def test_rows_say_what_comes_from_where(base, text):
    found = mix(base, text, recipe=Recipe(rules=(Rule(0.5, ((8, 8),), tensor="weights"),)), k=4).report
    assert isinstance(found, Origin)
    rows = found.rows()
    assert repr(found) == "<Origin: layers 0-1 alpha 0; layers 4-11 alpha 1; layers 8 alpha 0.5>"
    assert "<td>linear</td>" in found._repr_html_()
    assert [(row["layers"], row["alpha"], row["method"]) for row in rows] == [
        ("0-1", 0, "copy"),
        ("4-11", 1, "copy"),
        ("8", 0.5, "linear"),
    ]
    assert sum(row["params"] for row in rows) == text.network.params


def test_a_recipe_can_be_a_file(base, text, tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text('{"alpha": 1, "rules": [{"layers": "0-4", "alpha": 0}]}')
    assert bits(mix(base, text, recipe=path)) == bits(mix(base, text, k=5))


# --- snap ------------------------------------------------------------------------------------------------------------


def drifted(base: Model, k: int, text: str = "") -> Model:
    """A model trained from layer k on by a Darknet that did not quite freeze the rest."""
    leaky = retrained(base, text or tiny_text(1), "text", k)
    data = floats(leaky).copy()
    leaky = replace(leaky, weights=Weights(Header(seen=640), (data,), "text.weights"))
    for index in range(k):
        for name, tensor in leaky.tensors(index).items() if leaky.network.layers[index].tensors else ():
            np.multiply(
                tensor, np.float32(1.2 if name.startswith("rolling") else 0.98 if name == "weights" else 1), out=tensor
            )
    return leaky


@settings(max_examples=30)
@given(networks(), st.data())
def test_the_trunk_is_the_base_s_and_the_rest_is_not_touched(text, data):
    a, b = model(text, "a", seed=1), model(text, "b", seed=2)
    k = data.draw(st.integers(1, len(a.network.layers)))
    snapped, start = snap(a, b, k), a.network.start(k)
    assert bits(snapped) == floats(a)[:start].tobytes() + floats(b)[start:].tobytes()
    assert moved_tensors(a, snapped, k) == []
    assert snapped.network == b.network


def test_what_was_meant_to_be_frozen_is_found(base):
    leaky = drifted(base, 4)
    assert identical_layers(base, leaky) == 0
    assert meant_trunk(base, leaky) == 4
    snapped = snap(base, leaky)
    assert isinstance(snapped.report, Restored)
    assert repr(snapped.report) == f"<Restored: k=4, {len(snapped.report.moved)} tensors had moved>"
    assert bits(snapped) == bits(retrained(base, tiny_text(1), "text", 4))
    assert snapped.weights.header.seen == 640
    assert identical_layers(base, snapped) == 4


def test_snapping_twice_is_snapping_once(base):
    once = snap(base, drifted(base, 4))
    assert bits(snap(base, once)) == bits(once)


def test_a_trained_trunk_needs_a_k(base, text):
    with pytest.raises(TrunkMismatch, match="not as in a trunk that was meant to be frozen; say with k how many"):
        snap(base, text)
    assert identical_layers(base, snap(base, text, 3)) >= 3


def test_another_structure_needs_another_base(base):
    with pytest.raises(TrunkMismatch, match="layer 0 is not the base's"):
        snap(base, model(tiny_text(2).replace("size=3", "size=5", 1), "other"))
    with pytest.raises(TrunkMismatch, match="layer 5 is not the base's"):
        snap(base, drifted(base, 4), 6)


def test_a_partial_base_file_gives_its_layers(base):
    partial = replace(base, weights=cut(base, 4))
    leaky = drifted(base, 4)
    assert bits(snap(partial, leaky, 4)) == bits(snap(base, leaky, 4))
    assert bits(snap(partial, leaky)) == bits(snap(base, leaky))
    with pytest.raises(WeightsSize, match="ends before layer 4"):
        snap(partial, leaky, 5)


def test_another_input_size_is_no_hindrance(base):
    wide = drifted(base, 4, tiny_text(1).replace("height=32", "height=64"))
    assert identical_layers(base, snap(base, wide)) == 0  # as networks; as weights they are
    assert bits(snap(base, wide))[: 4 * base.network.start(4)] == bits(base)[: 4 * base.network.start(4)]
    assert snap(base, wide).network == wide.network


@pytest.mark.parametrize("k", [0, -1, 14])
def test_a_k_out_of_range(base, other, k):
    with pytest.raises(BadValue, match=rf"k={k} must be 1\.\.13"):
        snap(base, other, k)


def test_weights_are_needed(base):
    bare = without_weights(tiny_text(2), "x")
    for first, second in ((base, bare), (bare, base)):
        for k in (None, 4):
            with pytest.raises(DarkshareError, match="weights"):
                snap(first, second, k)


# --- real models -----------------------------------------------------------------------------------------------------


def real(name: str) -> Model:
    return load(zoo_path("models", name, f"{name}.cfg"))


@pytest.mark.zoo
def test_a_real_frozen_pair_stays_as_it_is():
    base, masks = real("f10-coco"), real("f10-mask-frozen-exact-made")
    assert meant_trunk(base, masks) == 109
    assert bits(snap(base, masks)) == bits(masks)


@pytest.mark.zoo
@pytest.mark.parametrize("pair", [("f10-coco", "f10-mask-a"), ("f10-coco", "f10-road-scratch")], ids="-".join)
def test_the_paper_s_initial_experiment_on_real_pairs(pair):
    base, other = (real(name) for name in pair)
    mixed = mix(base, other, k=109)
    start = base.network.start(109)
    assert bits(mixed) == floats(base)[:start].tobytes() + floats(other)[start:].tobytes()
    assert mixed.network == other.network
    assert bits(snap(base, other, 109)) == bits(mixed)


@pytest.mark.zoo
@pytest.mark.parametrize("space", ["raw", "folded"])
def test_halfway_between_two_states_of_one_training(space):
    """A model half way between two that lie close together detects what both detect."""
    from darkshare._images import read_picture
    from darkshare.inference.detector import Detector

    image = read_picture(str(zoo_path("media", "people-masks-bag.jpg")))
    a, b = real("f10-voc"), real("f10-voc-prev")
    found = [
        sum(len(d) for d in Detector(one).detect(image))
        for one in (a, b, mix(a, b, alpha=0.5, space=space, method="slerp"))
    ]
    assert min(found[:2]) > 0
    assert min(found[:2]) - 2 <= found[2] <= max(found[:2]) + 2
