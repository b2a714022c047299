"""What becomes of a base before it is trained."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import tiny_text
from models import floats, model, without_weights

from darkshare.darknet.weights import Weights
from darkshare.data import Box, Dataset, Sample
from darkshare.errors import BadValue, Unsupported, WeightsSize
from darkshare.surgery.residual import branch
from darkshare.training.optimising import Schedule
from darkshare.training.preparation import prepared, updates
from darkshare.training.recipes import RECIPES
from darkshare.training.settings import Changes

NET = """channels=3
batch=8
subdivisions=2
learning_rate=0.01
burn_in=100
max_batches=1000
policy=steps
steps=800,900
scales=.1,.1"""
TEXT = tiny_text().replace("channels=3", NET)


def squares(*names: str, count: int = 20) -> Dataset:
    samples = tuple(Sample(f"{i}.png", (Box(0, 0.5, 0.5, 0.5, 0.5),)) for i in range(count))
    return Dataset("squares", names or ("base_0", "base_1"), samples)


def of(base, data=None, k=4, changes=None, seed=0, recipe="darknet"):
    return prepared(base, data or squares(), k, changes or Changes(), RECIPES[recipe], seed=seed, name="out")


def test_the_same_classes_and_schedule_change_nothing():
    base = model(TEXT)
    found, notes = of(base)
    assert notes == []
    assert found.network.cfg == base.network.cfg
    assert floats(found).tobytes() == floats(base).tobytes()
    assert [task.name for task in found.tasks] == ["out"]


def test_classes_of_the_same_name_keep_their_weights():
    base = model(TEXT)
    found, (note,) = of(base, squares("new", "base_1", "other"))
    assert note == (
        "the heads now have the data's classes, 3 instead of 2; those of base_1 keep their weights; "
        "those of new, other start with drawn ones"
    )
    assert found.tasks[0].names == ("new", "base_1", "other")
    for head in (6, 12):
        before, after = (m.tensors(head - 1)["weights"].reshape(2, -1, 1) for m in (base, found))
        old, new = before.reshape(2, 7, -1), after.reshape(2, 8, -1)
        assert np.array_equal(new[:, :5], old[:, :5])
        assert np.array_equal(new[:, 6], old[:, 6])
        bound = math.sqrt(2 / new.shape[2])
        assert 0 < abs(new[:, [5, 7]]).max() <= bound
    start = base.network.start(5)
    assert floats(found)[:start].tobytes() == floats(base)[:start].tobytes()
    assert (
        floats(of(base, squares("new"), seed=1)[0]).tobytes() != floats(of(base, squares("new"), seed=2)[0]).tobytes()
    )


@pytest.mark.parametrize("k", [0, 4, 8])
def test_the_same_classes_in_another_order_change_nothing(k):
    base = model(TEXT)
    found, notes = of(base, squares("base_1", "base_0"), k=k)
    assert notes == ["squares has the base's classes in another order; they are numbered as in the base"]
    assert found.tasks[0].names == ("base_0", "base_1")
    assert floats(found).tobytes() == floats(base).tobytes()


def test_a_head_in_the_trunk_keeps_its_classes():
    with pytest.raises(Unsupported, match=r"test\.cfg: squares has other classes than the base, but k=8 keeps layer 6"):
        of(model(TEXT), squares("new"), k=8)
    with pytest.raises(Unsupported, match="keeps layer 6"):
        of(model(TEXT), squares("new"), k=6)  # layer 5 feeds it
    assert of(model(TEXT), k=8)[1] == []


def test_a_partial_file_is_completed():
    base = model(TEXT)
    start = base.network.start(5)
    partial = replace(base, weights=Weights(base.weights.header, base.weights.slice(0, start)))
    found, (note,) = of(partial)
    assert note == "layers 5..12 have no weights in the file and start with drawn ones"
    assert floats(found)[:start].tobytes() == floats(base)[:start].tobytes()
    assert found.loaded == 13
    assert (found.tensors(8)["rolling_variance"] == 1).all()
    with pytest.raises(WeightsSize, match=r"ends before layer 5, but k=6 needs the layers 0\.\.5"):
        of(partial, k=6)


def test_without_weights_all_layers_train():
    bare = without_weights(TEXT, "base")
    found, (note,) = of(bare, k=0)
    assert note == "layers 0..12 have no weights in the file and start with drawn ones"
    assert found.loaded == 13
    with pytest.raises(Unsupported, match="k=4 keeps the base's layers, but there is no weights file"):
        of(bare)


def test_a_shorter_schedule_keeps_its_proportions():
    found, (note,) = of(model(TEXT), changes=Changes(batches=100))
    net = found.network.net
    assert (net.max_batches, net.burn_in, net.steps, updates(found)) == (100, 10, (80, 90), 100)
    assert note == "schedule for 100 batches of 8 pictures: max_batches=100 burn_in=10 steps=80,90"
    assert found.tasks[0].net["steps"] == "80,90"


def test_epochs_are_counted_in_pictures():
    found, _ = of(model(TEXT), changes=Changes(epochs=3, batch=16, subdivisions=4))
    net = found.network.net
    assert (net.batch, net.subdivisions, net.max_batches) == (16, 4, math.ceil(3 * 20 / 16))


def test_epochs_and_batches_exclude_each_other():
    with pytest.raises(BadValue, match="epochs and batches both say how long"):
        of(model(TEXT), changes=Changes(epochs=3, batches=5))


@pytest.mark.parametrize(("recipe", "lr"), [("darknet", 2e-05), ("steady", 0.002), ("steady", 3.5e-06)])
def test_rates_are_written_without_exponents_which_one_fork_refuses(recipe, lr):
    found, _ = of(model(TEXT), changes=Changes(batches=10, lr=lr), recipe=recipe)
    net = found.network.cfg.sections[0]
    assert [line.value for line in net.lines if re.fullmatch(r"[-+.\d]+e.*", line.value)] == []
    assert float(net.get("learning_rate")) == lr


@pytest.mark.parametrize(("batches", "warm"), [(1, 0), (10, 5), (60, 10), (1000, 100)])
def test_the_steady_recipe_rises_and_falls_in_any_length(batches, warm):
    """A cosine from learning_rate to a hundredth of it, in keys that Darknet knows."""
    found, notes = of(model(TEXT), changes=Changes(batches=batches, lr=0.004), recipe="steady")
    net, last = found.network.net, batches
    assert (net.max_batches, net.burn_in, net.policy, net.sgdr_cycle, net.power) == (last, warm, "sgdr", last, 1)
    assert notes[-1].startswith(f"schedule for {last} batches of 16 pictures: max_batches={last} learning_rate=0.004 ")
    assert notes[-1].endswith(" learning_rate_min=0.00004 adam=1")
    assert (net.burn_in, net.adam) == (warm, 1)
    rates = [Schedule.of(net).rate(number) for number in range(1, last + 1)]
    assert rates[-1] == pytest.approx(0.00004)
    for number, rate in enumerate(rates, 1):
        wanted = 0.004 * number / warm if number < warm else 0.00004 + 0.00198 * (1 + math.cos(number * math.pi / last))
        assert rate == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("changes", "batch", "batches", "rate"),
    [
        (Changes(), 16, 125, 0.005),  # 100 epochs of 20 pictures are fewer than the cfg's 1000
        (Changes(batches=70), 16, 70, 0.005),
        (Changes(epochs=4), 16, 5, 0.005),
        (Changes(batch=64, batches=70), 64, 70, 0.01),
        (Changes(batch=4, epochs=1000), 4, 5000, 0.0025),
        (Changes(batch=4, lr=0.1), 4, 500, 0.1),
    ],
)
def test_what_the_steady_recipe_does_where_nobody_says(changes, batch, batches, rate):
    """The rate follows the root of the batch; the cfg says other numbers for all of them."""
    net = of(model(TEXT), changes=changes, recipe="steady")[0].network.net
    assert (net.batch, net.subdivisions, net.max_batches, net.learning_rate) == (batch, 1, batches, rate)


def test_a_cfg_that_ends_sooner_than_the_recipe_keeps_its_length():
    short = model(TEXT.replace("max_batches=1000", "max_batches=30"))
    assert of(short, recipe="steady")[0].network.net.max_batches == 30
    unsaid = model(TEXT.replace("max_batches=1000", ""))
    assert of(unsaid, recipe="steady")[0].network.net.max_batches == 125


def test_an_update_is_divided_until_it_fits_into_half_of_the_memory():
    base, recipe = model(TEXT), RECIPES["steady"]
    whole = base.network
    each = 4 * 4 * (sum(layer.y.size for layer in whole.layers[4:]) + max(layer.y.size for layer in whole.layers[:4]))
    fixed = 16 * of(base, recipe="steady")[0].network.params

    def parts(pictures, **how):
        found = prepared(
            base, squares(), 4, Changes(**how), recipe, seed=0, name="out", memory=2 * (fixed + pictures * each + 999)
        )
        return found[0].network.net.subdivisions

    assert [parts(pictures) for pictures in (100, 16, 15, 8, 7, 3, 1)] == [1, 1, 2, 2, 4, 8, 8]
    assert parts(7, subdivisions=1) == 1
    assert parts(16, batch=32) == 2


def test_size_and_rate_stand_in_the_cfg_that_is_written():
    found, notes = of(model(TEXT), changes=Changes(size=(64, 96), lr=0.005))
    assert found.network.input[1:3] == (96, 64)
    assert found.network.net.learning_rate == 0.005
    assert notes == [
        "trained at 64x96, the base is made for 32x32: concat runs both at one size (--size), where the other may find "
        "much less; without --size 64x96 they go together"
    ]
    assert of(model(TEXT), changes=Changes(size=(32, 32)))[1] == []


@pytest.mark.parametrize(
    ("text", "changes", "says"),
    [
        (tiny_text(), Changes(), r"test\.cfg:1: batch= 1 is meant for detection"),
        (TEXT, Changes(batch=4, subdivisions=8), r"test\.cfg:5: batch=4 and subdivisions=8: no picture"),
        (TEXT.replace("max_batches=1000\n", ""), Changes(), r"test\.cfg:1: max_batches= says nothing"),
    ],
)
def test_a_cfg_that_leaves_nothing_to_do_is_refused_with_its_line(text, changes, says):
    with pytest.raises(BadValue, match=says):
        of(model(text), changes=changes)


@pytest.mark.parametrize("k", [-1, 13])
def test_k_must_be_a_layer(k):
    with pytest.raises(BadValue, match=rf"k={k} must be 0\.\.12"):
        of(model(TEXT), k=k)


def test_a_merged_model_is_to_be_split_first():
    base = model(TEXT)
    two = replace(base, tasks=(base.tasks[0], replace(base.tasks[0], name="other")))
    with pytest.raises(Unsupported, match=r"does 2 tasks; train one after `darkshare split`$"):
        of(two)
    with pytest.raises(Unsupported, match="or give the ensemble a vote"):
        of(branch(base, 3, 2, widths=(3, 12), combine="none"))


def test_layers_that_branches_share_and_train_are_said():
    ensemble = branch(model(TEXT), 3, 2, widths=(3, 12))
    assert not [note for note in of(ensemble, k=4)[1] if "gradients" in note]
    (note,) = [note for note in of(ensemble, k=2)[1] if "gradients" in note]
    assert (
        note == "layers 2..3 are shared by 2 branches and take the sum of their gradients; --k 4 keeps them as they are"
    )
