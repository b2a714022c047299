"""Branches: full width is the undivided network, side by side is one behind the other, and `split` takes one out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from architectures import darknet53_text, resnet152_text, yolov3_text, yolov3_tiny_text
from conftest import zoo_path
from onnxruns import all_runs, input_of
from residuals import (
    assert_plain,
    model,
    output,
    outputs,
    small_darknet,
    small_resnet,
    small_resnext,
    without_weights,
)

from darkshare.darknet.cfg import dumps
from darkshare.darknet.model import load, save
from darkshare.darknet.network import resolve
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadArguments, BadValue, TrunkMismatch, Unsupported
from darkshare.surgery.residual import Division, branch, ensemble_of, reduce
from darkshare.surgery.residual.planning import layer_after, plan_branches, pooled_first
from darkshare.surgery.residual.thinning import Branch
from darkshare.surgery.splice import split

FULL = {"widths": (32, 64)}  # small_resnet's and small_darknet's third and fourth stage


def resnet():
    return reduce(small_resnet(), "first")


def resnext():
    return reduce(small_resnext(), "first")


def full_width(base, after) -> tuple[int, ...]:
    return tuple(knob.full for knob in plan_branches(base, after, 1).knobs)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x.astype(np.float64) - x.max())
    return powers / powers.sum()


@pytest.mark.parametrize("combine", ["logits", "softmax", "none"])
@pytest.mark.parametrize("m", [1, 3])
def test_branches_of_full_width_are_the_undivided_network(m, combine, tmp_path):
    base = resnet()
    wanted = output(base, tmp_path)
    branched = branch(base, "block 2", m, combine=combine, **FULL)
    found = outputs(branched, tmp_path)
    assert len(found) == m + (combine != "none")
    for values in found.values():
        np.testing.assert_allclose(values, wanted, atol=1e-5)


@pytest.mark.parametrize("make", [resnet, resnext, small_darknet])
def test_side_by_side_is_one_behind_the_other_at_full_width(make, tmp_path):
    base = make()
    after = "block 3" if make is small_darknet else "block 2"  # the ends of their second stages
    branched = branch(base, after, 3, layout="grouped", widths=full_width(base, after))
    np.testing.assert_allclose(output(branched, tmp_path), output(base, tmp_path), atol=1e-5)


@pytest.mark.parametrize(("make", "widths"), [(resnet, (11, 26)), (resnext, (16, 48)), (resnext, (8, 16))])
@pytest.mark.parametrize("init", ["slice", "rrr", "random"])
def test_grouped_is_explicit(init, make, widths, tmp_path):
    base, how = make(), {"init": init, "seed": 4, "widths": widths}
    explicit, grouped = branch(base, 14, 4, **how), branch(base, 14, 4, layout="grouped", **how)
    np.testing.assert_allclose(output(grouped, tmp_path), output(explicit, tmp_path), atol=1e-5)
    assert len(grouped.network.layers) == len(base.network.layers)
    averaging = 2 * 5  # numbers of the layer that divides by 4
    heads = 3 * 5  # biases that the grouped layout has once
    assert explicit.network.params == grouped.network.params + averaging + heads


def test_the_output_is_the_mean_of_the_branches(tmp_path):
    base = resnet()
    means = {
        "logits": lambda all_of: softmax(np.mean(np.log(all_of.astype(np.float64)), axis=0)),
        "softmax": lambda all_of: all_of.mean(axis=0),
    }
    for combine, mean in means.items():
        branched = branch(base, "block 2", 3, combine=combine, widths=(11, 26))
        found = outputs(branched, tmp_path)
        whole, *branches = branched.tasks
        each = np.array([found[task.heads[0]] for task in branches])
        assert np.ptp(each, axis=0).max() > 0.01
        np.testing.assert_allclose(found[whole.heads[0]], mean(each), atol=1e-6)


def test_every_engine_agrees(tmp_path):
    for combine in ("logits", "softmax"):
        branched = branch(resnet(), "block 2", 3, combine=combine, widths=(11, 26))
        wanted = outputs(branched, tmp_path)
        for engine, _, found in all_runs(branched, tmp_path):
            for values, head in zip(found, sorted(wanted), strict=True):
                np.testing.assert_allclose(values.ravel(), wanted[head], atol=1e-5, err_msg=engine)


@pytest.mark.importer
@pytest.mark.parametrize("how", [{}, {"combine": "softmax"}, {"layout": "grouped"}])
@pytest.mark.parametrize(
    "make", [resnet, resnext, lambda: reduce(small_darknet(), "first")], ids=["resnet", "resnext", "darknet"]
)
def test_opencv_s_own_importer_agrees(how, make, tmp_path):
    import cv2

    branched = branch(make(), "block 2", 3, widths=(16, 16) if make is resnext else (11, 26), **how)
    cfg, weights, *_ = map(str, save(branched, tmp_path / "net"))
    oracle = cv2.dnn.readNetFromDarknet(cfg, weights)
    oracle.setInput(input_of(branched))
    np.testing.assert_allclose(oracle.forward().ravel(), output(branched, tmp_path), atol=1e-4)


def test_the_trunk_keeps_its_bytes_and_all_lies_in_one_file(tmp_path):
    base = resnet()
    save(branch(base, "block 2", 4, widths=(11, 26)), tmp_path / "ensemble")
    again = load(tmp_path / "ensemble.cfg")
    start = base.network.start(15)
    np.testing.assert_array_equal(again.weights.view(0, start), base.weights.view(0, start))
    assert [task.name for task in again.tasks] == ["net", "net-1", "net-2", "net-3", "net-4"]
    assert {task.ensemble for task in again.tasks} == {"net"}
    assert [task.k for task in again.tasks] == [0, 15, 15, 15, 15]
    names = (tmp_path / "ensemble.names").read_text().split()
    assert names == ["class_0", "class_1", "class_2", "class_3", "class_4"]
    assert "classes=5\n" in (tmp_path / "ensemble.data").read_text()


@pytest.mark.parametrize("combine", ["logits", "softmax", "none"])
def test_split_takes_a_branch_out(combine, tmp_path):
    branched = branch(resnet(), "block 2", 3, combine=combine, widths=(11, 26))
    save(branched, tmp_path / "ensemble")
    found = outputs(branched, tmp_path)
    (part,) = split(load(tmp_path / "ensemble.cfg"), ["net-2"])
    head = next(task.heads[0] for task in branched.tasks if task.name == "net-2")
    np.testing.assert_allclose(output(part, tmp_path), found[head], atol=1e-6)
    assert len(part.network.layers) == 32
    assert part.network.net.width == 64
    assert_plain(part.network)


def test_branches_that_were_taken_apart_go_together_again(tmp_path):
    base, how = resnet(), {"widths": (11, 26)}
    apart = split(branch(base, "block 2", 3, combine="none", **how))
    for form in ({"combine": "logits"}, {"combine": "softmax"}, {"combine": "none"}, {"layout": "grouped"}):
        again, direct = ensemble_of(apart, 14, name="net", **form), branch(base, "block 2", 3, **how, **form)
        assert dumps(again.network.cfg) == dumps(direct.network.cfg)
        assert [task.name for task in again.tasks] == [task.name for task in direct.tasks]
        np.testing.assert_array_equal(*(one.weights.view(0, one.weights.size) for one in (again, direct)))


def test_branches_of_another_trunk_do_not_go_together():
    one, two = split(branch(resnet(), "block 2", 2, combine="none", widths=(11, 26)))
    other = split(branch(resnet(), "block 2", 2, combine="none", widths=(12, 26)))[1]
    with pytest.raises(TrunkMismatch, match="filters"):
        ensemble_of([one, other], 14)
    moved = two.weights.view(0, two.weights.size).copy()
    moved[5] += 1
    with pytest.raises(TrunkMismatch):
        ensemble_of([one, replace(two, weights=Weights(Header(), (moved,)))], 14)


def test_full_width_comes_out_of_split_as_it_went_in():
    base = pooled_first(resnet())
    for part in split(branch(base, "block 2", 2, combine="none", **FULL)):
        assert dumps(part.network.cfg) == dumps(base.network.cfg)
        np.testing.assert_array_equal(part.weights.view(0, part.weights.size), base.weights.view(0, base.weights.size))


def test_a_detector_s_branches_average_what_enters_its_heads(tmp_path):
    base = model(yolov3_tiny_text(classes=2, size=64))
    branched = branch(base, 9, 3, widths=full_width(base, 9), combine="logits")
    assert [layer.index for layer in base.network.heads] == [16, 23]
    wanted, found = outputs(base, tmp_path), outputs(branched, tmp_path)
    whole, *branches = branched.tasks
    for heads in (whole.heads, *(task.heads for task in branches)):
        for a, b in zip((16, 23), heads, strict=True):
            np.testing.assert_allclose(found[b], wanted[a], atol=1e-5, rtol=1e-4)
    assert len(found) == 8
    with pytest.raises(Unsupported, match="gives no probabilities; use --combine logits"):
        branch(base, 9, 3, widths=full_width(base, 9), combine="softmax")


def test_only_the_branches_have_a_loss_in_stock_darknet():
    branched = branch(resnet(), "block 2", 2, widths=(11, 26))
    vote, *branches = branched.tasks
    assert [branched.network.layers[head].kind.noloss for head in vote.heads] == [1]
    assert [branched.network.layers[head].kind.noloss for task in branches for head in task.heads] == [0, 0]


def test_heads_below_the_cut_stay_once():
    base = without_weights(yolov3_text(classes=2, size=64))
    branched = branch(base, 86, 2, tolerance=0.05)
    assert [task.heads[0] for task in branched.tasks] == [82, 82, 82]
    assert all(len(task.heads) == 3 for task in branched.tasks)
    (part,) = split(branched, ["net-2"])
    assert part.tasks[0].heads == (82, 94, 106)


def test_a_cut_inside_a_stage_leaves_its_stream_whole():
    """What is added to the trunk has the trunk's channels in every branch."""
    base = small_darknet()
    branched = branch(base, "block 2", 3, tolerance=0.05)
    (part,) = split(branched, ["net-1"])
    channels = [layer.y.c for layer in part.network.layers[8:12]]
    assert (channels[0], channels[2], channels[3]) == (16, 16, 16)
    assert channels[1] < 8
    with pytest.raises(Unsupported, match=r"layer 10 \[convolutional\]: its channels are added to the trunk's"):
        branch(base, "block 2", 3, layout="grouped", tolerance=0.05)


def test_a_detector_side_by_side(tmp_path):
    """YOLOv3-tiny's first head only: the second one joins a branch with the trunk."""
    text = yolov3_tiny_text(classes=2, size=64)
    base = model(text[: text.index("[route]")])
    explicit, grouped = (branch(base, 9, 3, layout=layout, tolerance=0.05) for layout in ("explicit", "grouped"))
    np.testing.assert_allclose(output(grouped, tmp_path), output(explicit, tmp_path), atol=1e-5)
    with pytest.raises(Unsupported, match=r"layer 20 \[route\]: it joins channels of branches with others"):
        branch(model(text), 9, 3, layout="grouped", tolerance=0.05)


# 15 shared layers, 18 in each branch, and m + 2 that average
@pytest.mark.parametrize(("m", "layers"), [(2, 55), (4, 93), (8, 169), (16, 321)])
def test_resnet152_branched_costs_what_it_did(m, layers):
    base = reduce(without_weights(resnet152_text(classes=20, size=128)), "first")
    branched = branch(base, "block 2", m)
    assert len(branched.network.layers) == layers
    assert branched.network.params / base.network.params == pytest.approx(1, abs=0.006)
    assert branched.network.flops / base.network.flops == pytest.approx(1, abs=0.006)


# The whole network's totals with the authors' rule, the class convolution behind the pool in the branches only
@pytest.mark.parametrize(
    ("m", "params", "flops"), [(2, 0.996, 1.032), (4, 1.000, 1.081), (8, 0.998, 1.139), (16, 0.985, 1.202)]
)
def test_resnet152_by_the_authors_rule(m, params, flops):
    base = reduce(without_weights(resnet152_text(classes=20, size=128), dialect="pjreddie"), "first")
    branched = branch(base, "block 2", m, match="authors")
    assert branched.network.params / base.network.params == pytest.approx(params, abs=6e-4)
    assert branched.network.flops / base.network.flops == pytest.approx(flops, abs=6e-4)


def test_a_tail_of_one_resolution_meets_both_totals_too():
    base = reduce(without_weights(resnet152_text(classes=1000, size=256)), "first")
    plan = plan_branches(base, "block 3", 4)
    assert plan.fit.off < 0.01
    assert len(plan.knobs) == 2


def test_widths_that_cost_too_much_are_said():
    base = reduce(without_weights(resnet152_text(classes=20, size=128)), "first")
    with pytest.raises(BadValue, match=r"come no nearer than .* allow --tolerance \d\.\d%"):
        branch(base, "block 2", 16, step=8)
    plan = plan_branches(base, "block 2", 16, step=8, tolerance=0.06)
    assert all(width % 8 == 0 for group, width in plan.widths.items() if group not in plan.streams.fixed)


def test_the_average_pool_comes_first(tmp_path):
    base = small_resnet()
    pooled = pooled_first(base)
    kinds = [layer.kind.name for layer in pooled.network.layers]
    assert kinds[-3:] == ["avgpool", "convolutional", "softmax"]
    np.testing.assert_allclose(output(pooled, tmp_path), output(base, tmp_path), atol=1e-6)
    assert pooled.network.flops < base.network.flops
    assert pooled_first(pooled) is pooled


def test_a_cost_at_the_end_goes():
    text = resnet152_text(classes=5, size=64, stages=((8, 1), (16, 1))) + "[cost]\ntype=sse\n"
    branched = branch(reduce(model(text), "first"), "block 1", 2, tolerance=0.02)
    assert "cost" not in {layer.kind.name for layer in branched.network.layers}
    assert branched.tasks[0].heads == (len(branched.network.layers) - 1,)


def test_slices_cover_every_channel_about_as_often():
    base = reduce(without_weights(resnet152_text(classes=20, size=128)), "first")
    plan = plan_branches(base, "block 2", 8)
    for group in plan.streams.free:
        counts = np.zeros(plan.streams.full[group], int)
        for number in range(8):
            chosen = Branch(base, plan.streams, plan.widths, number, 8, 0).chosen((group,))
            assert len(set(chosen)) == plan.widths[group]
            counts[chosen] += 1
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 1


def test_packs_of_a_grouped_convolution_stay_whole():
    base = resnext()
    plan = plan_branches(base, "block 2", 3, widths=(16, 32))
    packs = {
        layer.index: layer.kind.filters // layer.kind.groups
        for layer in base.network.layers[15:]
        if layer.kind.name == "convolutional" and layer.kind.groups > 1
    }
    assert sorted(packs.values()) == [8, 16]
    for number in range(3):
        one = Branch(base, plan.streams, plan.widths, number, 3, 0)
        for index, pack in packs.items():
            chosen = one.chosen(plan.streams.gives[index])
            np.testing.assert_array_equal(chosen, one.chosen(plan.streams.reads[index]))
            whole = chosen.reshape(-1, pack)
            np.testing.assert_array_equal(whole, whole[:, :1] + np.arange(pack))
            assert not (whole[:, 0] % pack).any()


def test_widths_found_are_of_whole_packs():
    plan = plan_branches(resnext(), "block 1", 3, tolerance=9)  # one knob for the second and third stage
    packs = {group: pack for group, pack in plan.streams.packs.items() if pack > 1}
    assert sorted(packs.values()) == [4, 8, 16]
    assert all(plan.widths[group] % pack == 0 for group, pack in packs.items())


def test_slices_are_the_base_s_own_numbers():
    base = resnet()
    branched = branch(base, "block 2", 2, widths=(8, 16), combine="none")
    own, second = base.tensors(15), split(branched, ["net-2"])[0].tensors(15)
    np.testing.assert_array_equal(second["scales"], own["scales"][16:24])
    np.testing.assert_array_equal(second["weights"], own["weights"][16:24])  # its input is the whole trunk
    own, first = base.tensors(16), split(branched, ["net-1"])[0].tensors(16)
    np.testing.assert_array_equal(first["weights"], own["weights"][:8, :8])
    np.testing.assert_array_equal(first["rolling_mean"], own["rolling_mean"][:8] / 4)  # 8 of 32 inputs
    np.testing.assert_array_equal(first["rolling_variance"], own["rolling_variance"][:8] / 16)
    own, first = base.tensors(29), split(branched, ["net-1"])[0].tensors(30)  # the pool comes first; no batch norm
    np.testing.assert_array_equal(first["weights"], own["weights"][:, : 4 * 16] * np.float32(4))


def test_rrr_deals_every_kernel_and_starts_the_rest_afresh():
    """The first branches get consecutive kernels of the first input channels; statistics and head are new."""
    base = resnet()
    branched = branch(base, "block 2", 4, widths=(12, 24), combine="none", init="rrr", seed=7)
    parts = split(branched)
    own = base.tensors(16)["weights"]
    given = [part.tensors(16) for part in parts]
    np.testing.assert_array_equal(given[0]["weights"], own[:12, :12])
    np.testing.assert_array_equal(given[1]["weights"], own[12:24, :12])
    np.testing.assert_array_equal(given[2]["weights"][:8], own[24:32, :12])
    for c in range(12):  # the rest are kernels of the same input channel, in another order for each
        dealt = np.concatenate([one["weights"][:, c].reshape(12, -1) for one in given])
        assert {tuple(kernel) for kernel in dealt} == {tuple(kernel) for kernel in own[:, c].reshape(32, -1)}
    assert not np.array_equal(given[3]["weights"][:, 0], own[:12, 0])
    assert set(given[3]["scales"]) == {1}
    assert set(given[3]["rolling_variance"]) == {1}
    assert not given[3]["biases"].any()
    heads = [part.tensors(30)["weights"] for part in parts]
    assert np.abs(heads[0] - heads[1]).max() > 0
    assert np.abs(heads[0]).max() <= np.sqrt(2 / heads[0].shape[1])


def test_random_starts_are_reproducible_and_differ_by_branch():
    how = {"widths": (12, 24), "combine": "none", "init": "random"}
    a, b, c = (branch(resnet(), "block 2", 2, seed=seed, **how) for seed in (1, 1, 2))
    floats = [one.weights.view(0, one.weights.size) for one in (a, b, c)]
    np.testing.assert_array_equal(floats[0], floats[1])
    assert not np.array_equal(floats[0], floats[2])
    one, two = split(a)
    assert not np.array_equal(one.tensors(16)["weights"], two.tensors(16)["weights"])


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ("block 9", "it has 4 residual blocks"),
        ("block 0", "it has 4 residual blocks"),
        ("block x", "give the last layer of the trunk, or 'block N'"),
        ("-1", "give the last layer of the trunk"),
        ("31", "the last shared layer is one of 0..30"),
        ("30", "nothing behind layer 30 can be thinned"),
    ],
)
def test_where_a_network_cannot_be_divided(after, says):
    with pytest.raises(BadValue, match=says) as caught:
        branch(resnet(), after, 2)
    assert caught.value.file == "test.cfg"


NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize=3\nstride={}\npad=1\nactivation=leaky\n"
PLAIN = "[convolutional]\nfilters={}\nsize=1\nstride=1\nactivation=linear\n"
YOLO = "[yolo]\nmask=0,1,2\nanchors=10,14,23,27,37,58\nclasses=2\nnum=3\n"
ACTIVATION = "[activation]\nactivation=leaky\n"


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        (
            ["[avgpool]\n[connected]\noutput=32\nactivation=leaky\n", PLAIN.format(5)],
            "only convolutions compute groups",
        ),
        (["[avgpool]\n", PLAIN.format(5), ACTIVATION], "is not linear"),
        ([PLAIN.format(5), "[maxpool]\nsize=4\nstride=4\npadding=0\n"], "is not linear"),
        (
            ["[avgpool]\n", PLAIN.format(6), PLAIN.format(6).replace("size", "groups=6\nsize")],
            "not from all channels of the branches",
        ),
    ],
)
def test_what_does_not_lie_side_by_side(tail, says):
    base = model("".join([NET, CONV.format(8, 2), CONV.format(16, 2), *tail, "[softmax]\n"]))
    with pytest.raises(Unsupported, match=says) as caught:
        branch(base, 0, 2, layout="grouped", tolerance=9)
    assert caught.value.line


def test_heads_that_do_not_lie_side_by_side():
    trunk = NET + CONV.format(8, 2)
    reads_trunk = trunk + PLAIN.format(21) + YOLO + "[route]\nlayers=0\n" + CONV.format(16, 2) + PLAIN.format(21) + YOLO
    with pytest.raises(Unsupported, match="not from all channels of the branches"):
        branch(model(reads_trunk), 0, 2, layout="grouped", tolerance=9)
    read = trunk + CONV.format(16, 2) + PLAIN.format(21) + YOLO + "[route]\nlayers=-2\n" + CONV.format(16, 1)
    with pytest.raises(Unsupported, match="it reads what a head reads"):
        branch(model(read + PLAIN.format(21) + YOLO), 0, 2, layout="grouped", tolerance=9)


def test_batch_norm_of_its_own_side_by_side(tmp_path):
    norm = "[batchnorm]\n" + ACTIVATION
    text = NET + CONV.format(8, 2) + (PLAIN.format(16) + norm) * 2 + "[avgpool]\n" + PLAIN.format(5) + "[softmax]\n"
    explicit, grouped = (branch(model(text), 0, 2, layout=how, widths=(8, 8)) for how in ("explicit", "grouped"))
    np.testing.assert_allclose(output(grouped, tmp_path), output(explicit, tmp_path), atol=1e-5)
    first, base = split(explicit, ["net-1"])[0], model(text)
    for name in ("rolling_mean", "rolling_variance"):  # it sums nothing; the convolutions before it made up for that
        np.testing.assert_array_equal(first.tensors(2)[name], base.tensors(2)[name][:8])


def test_inputs_from_the_trunk_keep_their_size_beside_thin_ones():
    text = (
        NET + CONV.format(16, 2) + CONV.format(16, 1) + "[route]\nlayers=-1,0\n" + PLAIN.format(20) + CONV.format(8, 2)
    )
    base = model(text + "[avgpool]\n" + PLAIN.format(5) + "[softmax]\n")
    first = split(branch(base, 0, 2, widths=(8, 8)), ["net-1"])[0]
    own, thin = (one.tensors(3)["weights"] for one in (base, first))
    kept, n = first.network.layers[1].y.c, len(thin)
    assert kept < 16
    np.testing.assert_allclose(thin[:, :kept], own[:n, :kept] * 16 / kept, rtol=1e-6)
    np.testing.assert_array_equal(thin[:, kept:], own[:n, 16:])


def test_rrr_deals_kernels_of_layers_that_are_added_to_the_trunk_too():
    base = small_darknet()
    inside = split(branch(base, "block 2", 3, tolerance=9, init="rrr"), ["net-1"])[0]
    wanted, found = (np.ascontiguousarray(one.tensors(10)["weights"]).reshape(-1, 9) for one in (base, inside))
    assert base.network.layers[11].kind.name == inside.network.layers[11].kind.name == "shortcut"
    assert {kernel.tobytes() for kernel in found} <= {kernel.tobytes() for kernel in wanted}


@pytest.mark.parametrize(
    ("change", "more"),
    [
        (("filters", "batch_normalize=1\nfilters"), ""),
        (("stride=1", "stride=2"), ""),
        (("stride=1", "stride=1\npadding=1"), ""),
        (("size=1", "size=3"), ""),
        (("linear", "leaky"), ""),
        (("stride=1", "stride=2\nantialiasing=1"), ""),
        (("", ""), "[maxpool]\nsize=2\nstride=2\n"),
    ],
)
def test_what_is_no_plain_convolution_before_the_pool_stays_there(change, more):
    base = model(NET + CONV.format(8, 2) + PLAIN.format(5).replace(*change) + more + "[avgpool]\n[softmax]\n")
    assert pooled_first(base) is base


def test_a_convolution_that_something_else_reads_stays_before_the_pool():
    text = NET + CONV.format(8, 2) + PLAIN.format(5) + "[avgpool]\n[softmax]\n"
    assert pooled_first(base := model(text + "[route]\nlayers=1\n[avgpool]\n[softmax]\n")) is base


def test_the_authors_take_one_number_off_every_stage():
    base = reduce(without_weights(resnet152_text(20, 128)), "first")
    plan = plan_branches(base, "block 1", 4, match="authors")
    full = [knob.full for knob in plan.knobs]
    assert full == [128, 256, 512]
    shift = {width // 2 - value for width, value in zip(full, plan.fit.knobs, strict=True)}
    assert len(shift) == 1
    assert plan.fit.params <= 1


def test_what_is_put_together_must_fit():
    one, two = split(branch(resnet(), "block 2", 2, widths=(11, 26), combine="none"))
    with pytest.raises(BadValue, match="no branches were given"):
        ensemble_of([], 14)
    with pytest.raises(BadValue, match=r"the last shared layer is one of 0\.\."):
        ensemble_of([one, two], 99)
    with pytest.raises(BadValue, match="has no weights, but other branches do"):
        ensemble_of([one, replace(two, weights=None)], 14)
    renamed = replace(two.tasks[0], names=two.tasks[0].names[::-1])
    with pytest.raises(BadValue, match="or the same in another order"):
        ensemble_of([one, replace(two, tasks=(renamed,))], 14)


def test_a_block_is_named_by_its_number():
    assert [layer_after(resnet().network, f"block {n}") for n in (1, 2, 3)] == [7, 14, 21]
    assert layer_after(resnet().network, 14) == layer_after(resnet().network, "14") == 14


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"branches": 0}, "give at least 1"),
        ({"branches": 2, "widths": (11,)}, "--widths takes 2 numbers, from 1 up to 32,64"),
        ({"branches": 2, "widths": (0, 65)}, "--widths takes 2 numbers, from 1 up to 32,64"),
        ({"branches": 2, "layout": "grouped", "combine": "softmax"}, "the grouped layout has one head"),
    ],
)
def test_what_cannot_be_asked_for(how, says):
    with pytest.raises(BadValue, match=says):
        branch(resnet(), "block 2", **how)


@pytest.mark.parametrize(
    ("how", "says"),
    [({"widths": (16, 40)}, "must be multiples of 8 and 16"), ({"match": "authors"}, "RRR-Net's rule says nothing")],
)
def test_what_grouped_convolutions_do_not_allow(how, says):
    with pytest.raises(BadValue, match=says) as caught:
        branch(resnext(), "block 2", 2, **how)
    assert caught.value.file == "test.cfg"


def test_an_ensemble_is_not_branched_again():
    with pytest.raises(BadValue, match="merged or branched"):
        branch(branch(resnet(), "block 2", 2), "block 1", 2)


def test_a_partial_file_is_refused():
    base = resnet()
    short = replace(base, weights=Weights(Header(), base.weights.slice(0, base.network.start(20)), "short.weights"))
    with pytest.raises(BadValue, match="has weights for some layers only"):
        branch(short, "block 2", 2)


def test_probabilities_of_many_classes_are_averaged_outside():
    base = reduce(without_weights(resnet152_text(classes=1000, size=128)), "first")
    with pytest.raises(BadValue, match="takes a matrix of 8,000,000 numbers"):
        branch(base, "block 2", 8, combine="softmax")


FORMS = [{"combine": "logits"}, {"combine": "softmax"}, {"combine": "none"}, {"layout": "grouped"}]
EMITTED = [
    *((text, how) for text in (resnet152_text(20, 128), darknet53_text(20, 128)) for how in FORMS),
    *((yolov3_text(classes=3, size=64), how) for how in (FORMS[0], FORMS[2])),
]


@pytest.mark.parametrize(("text", "how"), EMITTED)
def test_nothing_is_emitted_that_engines_compute_in_their_own_way(text, how):
    """1x1 convolutions that skip, softmax by groups, shortcuts with factors or several sources."""
    base = reduce(without_weights(text), "first")
    after = "block 2" if "size=7" in text else "block 3"
    branched = branch(base, after, 4, **how)
    for network in (base.network, branched.network):
        assert_plain(network)
    for dialect in ("pjreddie", "hank-ai"):
        assert resolve(branched.network.cfg, dialect=dialect).params == branched.network.params


@pytest.mark.zoo
@pytest.mark.parametrize(
    ("path", "tolerance"),
    [
        ("alexeyab/yolov4.cfg", 0.01),
        ("alexeyab/csdarknet53-omega.cfg", 0.01),
        ("alexeyab/efficientnet_b0.cfg", 0.01),
        ("pjreddie/resnext50.cfg", 0.02),  # whose groups of 16 and 32 channels leave few widths
    ],
)
def test_shipped_networks_branch(path, tolerance):
    base = reduce(load(zoo_path("zoo", *path.split("/")), sibling=False), "first")
    branched = branch(base, "block 3", 3, tolerance=2 * tolerance)
    assert branched.network.params == pytest.approx(base.network.params, rel=tolerance)
    assert branched.network.flops == pytest.approx(base.network.flops, rel=tolerance)
    assert_plain(branched.network)


def test_the_report_has_both_totals_and_the_widths():
    made = branch(resnet(), "block 2", 3, widths=[16, 32])
    report = made.report
    assert isinstance(report, Division)
    assert [row["quantity"] for row in report.rows()[5:]] == ["shared layers", "branches", "width 1", "width 2"]
    assert [row[""] for row in report.table()] == ["layers", "params", "BFLOPs", "tail params", "tail BFLOPs"]
    assert report.notes() == ["shared: layers 0..14; 3 branches of widths 16,32"]
    assert repr(report).startswith("<Division: 3 branches behind k=15, ")
    assert "<td>tail params</td>" in report._repr_html_()
    again = branch(made, layout="grouped").report
    assert isinstance(again, Division)
    assert (again.k, again.notes(), len(again.rows())) == (15, [], 3)


def test_an_ensemble_is_only_laid_out_anew():
    ensemble = branch(resnet(), "block 2", 2, widths=(16, 32))
    with pytest.raises(BadArguments, match="give --after and -m; or an ensemble"):
        branch(ensemble, "block 2")
    with pytest.raises(BadArguments, match="--step, --init: an ensemble is only laid out"):
        branch(ensemble, step=2, init="rrr")


@pytest.mark.parametrize("name", ["match", "combine", "init", "layout"])
def test_an_unknown_word(name):
    with pytest.raises(BadValue, match=f"{name} other must be "):
        branch(resnet(), "block 2", 2, tolerance=1, **{name: "other"})
