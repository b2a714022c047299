"""Networks that train: eval mode against ONNX Runtime, trunk and branch, and the way back to Darknet's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from architectures import yolov3_text
from conftest import network_of, seeded_floats, tiny_text, zoo_path
from models import without_weights
from onnxruns import copy_of_input, input_of, model_of, net, onnx_runtime

from darkshare.darknet.cfg import parse
from darkshare.darknet.kinds import ALL_KINDS
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import resolve
from darkshare.errors import BadValue, TrunkMismatch, Unsupported
from darkshare.inference.onnx import write_onnx
from darkshare.inference.onnx.activations import ACTIVATIONS as ONNX_ACTIVATIONS
from darkshare.surgery.residual import branch
from darkshare.training.building import build, reads, trained, trained_heads
from darkshare.training.layers import BUILD, UNSUPPORTED
from darkshare.training.layers.activations import ACTIVATIONS

CONV = "[convolutional]\nfilters={n}\nsize=3\npad=1\nbatch_normalize=1\nactivation={act}\n"
HEAD = "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n[yolo]\nmask=0,1\nanchors=4,5, 8,9\nclasses=2\nnum=2\n"


def torch():
    found = pytest.importorskip("torch", reason="PyTorch is not installed; it is in the extra `train`")
    found.set_num_threads(1)  # on tensors as small as these, threads only wait for each other
    return found


def built(*args, **how):
    """`build`, or a skip without PyTorch."""
    torch()
    return build(*args, **how)


def conv(n: int = 4, act: str = "leaky") -> str:
    return CONV.format(n=n, act=act)


LAYERS = {
    "convolutional groups": conv() + "[convolutional]\nfilters=6\nsize=3\npad=1\ngroups=2\nactivation=relu\n",
    "convolutional dilation": "[convolutional]\nfilters=6\nsize=3\npad=1\ndilation=2\nactivation=leaky\n",
    "convolutional strides": "[convolutional]\nfilters=6\nsize=5\npadding=1\nstride_x=1\nstride_y=2\n",
    "convolutional antialiasing": "[convolutional]\nfilters=6\nsize=3\npad=1\nstride=2\nantialiasing=1\n",
    "convolutional antialiasing 2": "[convolutional]\nfilters=6\nsize=3\npad=1\nstride=2\nantialiasing=2\n",
    "convolutional flipped": "[convolutional]\nfilters=6\nsize=3\npad=1\nflipped=1\nbatch_normalize=1\n",
    "share_index": conv(3) + "[convolutional]\nfilters=3\nsize=3\npad=1\nbatch_normalize=1\nshare_index=0\n",
    "connected": conv() + "[connected]\noutput=7\nbatch_normalize=1\nactivation=leaky\n[connected]\noutput=3\n",
    "batchnorm": conv() + "[batchnorm]\n",
    "local": conv() + "[local]\nfilters=3\nsize=2\nstride=2\nactivation=relu\n",
    "implicit": "[implicit]\nfilters=3\natoms=1\n" + conv(3) + "[route]\nlayers=0\n",
    "maxpool": conv()
    + "[maxpool]\nsize=2\nstride=1\n[maxpool]\nsize=3\nstride=2\n[maxpool]\nsize=5\nstride_x=2\nstride_y=1\n",
    "maxpool depth": conv(7) + "[maxpool]\nmaxpool_depth=1\nout_channels=3\n",
    "maxpool antialiasing": conv() + "[maxpool]\nsize=2\nstride=2\nantialiasing=1\n",
    "local_avgpool": conv() + "[local_avgpool]\nsize=3\nstride=2\n",
    "avgpool": conv() + "[avgpool]\n",
    "upsample": conv() + "[upsample]\nstride=2\nscale=0.5\n",
    "downsample": conv() + "[upsample]\nstride=-2\n",
    "reorg": conv() + "[reorg]\nstride=2\n",
    "reorg reverse": conv(8) + "[reorg]\nstride=2\nreverse=1\n",
    "reorg3d": conv() + "[reorg3d]\nstride=2\n",
    "reorg3d reverse": conv(16) + "[reorg3d]\nstride=2\nreverse=1\n",
    "crop": "[crop]\ncrop_width=6\ncrop_height=4\n" + conv(),
    "route": conv() + conv(6) + "[route]\nlayers=-1,0\ngroups=2\ngroup_id=1\n",
    "shortcut": conv() + conv(6) + "[shortcut]\nfrom=0\nactivation=mish\n",
    "shortcut several": conv()
    + conv()
    + "[shortcut]\nfrom=0,-1\nweights_type=per_channel\nweights_normalization=softmax\n",
    "shortcut relu": conv() + conv() + "[shortcut]\nfrom=0\nweights_type=per_feature\nweights_normalization=relu\n",
    "shortcut smaller": conv() + "[maxpool]\nsize=2\nstride=2\n" + conv(3) + "[shortcut]\nfrom=0\n",
    "scale_channels": conv() + "[avgpool]\n" + conv(4, "logistic") + "[scale_channels]\nfrom=0\nactivation=leaky\n",
    "scale_wh": conv() + conv(1, "logistic") + "[scale_channels]\nfrom=0\nscale_wh=1\n",
    "sam": conv() + conv(4, "logistic") + "[sam]\nfrom=0\n",
    "activation": conv() + "[activation]\nactivation=tanh\n",
    "dropout": conv() + "[dropout]\nprobability=0.5\n" + conv(),
    "empty": conv() + "[empty]\n",
    "region": "[convolutional]\nfilters=14\nsize=1\n[region]\nanchors=1,1, 2,2\nnum=2\nclasses=2\n",
    "yolo": HEAD,
}
PJREDDIE = {
    "deconvolutional": "[deconvolutional]\nfilters=5\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=leaky\n",
    "l2norm": conv() + "[l2norm]\n",
}


def run_onnx(model: Model, x: np.ndarray, tmp_path: Path) -> dict[int, np.ndarray]:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is the oracle")
    outputs = write_onnx(model, tmp_path / "network.onnx", batch=len(x))
    names = [output.name for output in outputs]
    found = onnx_runtime(tmp_path / "network.onnx")(x, names)
    return {output.layer.index: y for output, y in zip(outputs, found, strict=True)}


def run_torch(model: Model, x: np.ndarray, k: int) -> dict[int, np.ndarray]:
    made = built(model, k)
    with torch().no_grad():
        return {index: y.numpy() for index, y in made(torch().from_numpy(x)).items()}


def shares(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def assert_computes_the_same(model: Model, tmp_path: Path, ks=(0,), batch: int = 2) -> None:
    x = input_of(model, batch=batch)
    wanted = run_onnx(model, x, tmp_path)
    for k in ks:
        for index, raw in run_torch(model, x, k).items():
            kind = model.network.layers[index].kind
            y = shares(raw / kind.temperature) if kind.name == "softmax" else raw
            np.testing.assert_allclose(y.reshape(wanted[index].shape), wanted[index], rtol=1e-5, atol=1e-5)


def test_every_kind_is_built_or_refused_with_a_reason():
    assert set(BUILD) | set(UNSUPPORTED) == set(ALL_KINDS)
    assert not set(BUILD) & set(UNSUPPORTED)
    assert all(len(reason) > 20 for reason in UNSUPPORTED.values())


def test_the_same_activations_as_in_exported_files():
    assert set(ACTIVATIONS) == set(ONNX_ACTIVATIONS)


@pytest.mark.parametrize("name", LAYERS)
def test_eval_mode_computes_what_the_exported_file_does(name, tmp_path):
    assert_computes_the_same(model_of(net(3, 8, 8) + LAYERS[name]), tmp_path)


@pytest.mark.parametrize("name", PJREDDIE)
def test_the_kinds_of_pjreddie(name, tmp_path):
    assert_computes_the_same(model_of(net(3, 8, 8) + PJREDDIE[name], dialect="pjreddie"), tmp_path)


@pytest.mark.parametrize("name", ONNX_ACTIVATIONS)
def test_activations(name, tmp_path):
    layer = f"[convolutional]\nfilters=6\nsize=3\npad=1\nactivation={name}\n"
    data = seeded_floats(network_of(net(3, 6, 6) + layer), 4, scale=1.5)
    assert_computes_the_same(model_of(net(3, 6, 6) + layer, data), tmp_path)


@pytest.mark.parametrize("end", ["groups=1\n", "temperature=2\n", "groups=1\n[cost]\ntype=sse\n"])
def test_a_classifier_gives_what_enters_its_softmax(end, tmp_path):
    text = net(3, 8, 8) + conv() + "[avgpool]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n" + end
    assert_computes_the_same(model_of(text), tmp_path)


@pytest.mark.parametrize("k", [0, 1, 3, 4, 5, 7, 9, 11])
def test_a_detector_is_cut_anywhere(k, tmp_path):
    assert_computes_the_same(model_of(tiny_text()), tmp_path, ks=(k,))


@pytest.mark.zoo
@pytest.mark.parametrize(
    ("fork", "name", "size"),
    [
        ("alexeyab", "yolov4-tiny.cfg", 64),
        ("alexeyab", "yolov7-tiny.cfg", 64),
        ("alexeyab", "yolov4-csp-s-mish.cfg", 64),
        ("alexeyab", "efficientnet_b0.cfg", 64),
        ("pjreddie", "darknet.cfg", 64),
    ],
)
def test_public_networks(fork, name, size, tmp_path):
    path = next(iter(zoo_path("zoo", fork).rglob(name)), None)
    assert path is not None
    text = path.read_text()
    network = resolve(parse(text, name), dialect=fork, size=(size, size))
    data = seeded_floats(network, 1, scale=0.05)
    model = model_of(text, data, dialect=fork, size=(size, size))
    assert_computes_the_same(model, tmp_path, ks=(0, len(network.layers) // 2), batch=1)


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["yoloface-50k", "f10-coco", "nano-coco", "lite-voc-t3-nobn"])
def test_real_models(name, tmp_path):
    model = load(zoo_path("models", name, f"{name}.cfg"), size=(128, 128))
    assert_computes_the_same(model, tmp_path, ks=(len(model.network.layers) // 2,), batch=1)


def test_of_an_ensemble_all_learn_but_the_vote():
    """Also a head in the trunk, which vote and branches have in common."""
    ensemble = branch(without_weights(yolov3_text(classes=2, size=64), "net"), 86, 2, tolerance=0.05)
    vote, *branches = ensemble.tasks
    assert vote.heads[0] == branches[0].heads[0] == 82
    learning = {head for task in branches for head in task.heads}
    assert set(trained_heads(ensemble, 0)) == learning
    assert not learning & set(vote.heads[1:])


def test_what_the_rest_of_yolov3_reads():
    found = without_weights(yolov3_text(), "yolov3")
    assert reads(found, 74) == (36, 61, 71, 73)
    assert reads(found, 75) == (36, 61, 74)
    assert reads(found, 0) == ()


def test_another_input_size_goes_through():
    made = built(model_of(tiny_text()), 3)
    small, large = (made(torch().zeros(1, 3, n, n)) for n in (32, 64))
    assert {i: tuple(2 * n for n in y.shape[2:]) for i, y in small.items()} == {
        i: tuple(y.shape[2:]) for i, y in large.items()
    }


def step(made, x) -> None:
    """One step of plain gradient descent on everything that the groups name."""
    made.train()
    loss = sum((y**2).sum() for y in made(x).values())
    loss.backward()
    with torch().no_grad():
        for group in made.parameters_of():
            for block in group["params"]:
                block.sub_(block.grad, alpha=1e-3)


def test_training_moves_the_branch_and_leaves_the_trunk_as_it_was():
    base = model_of(tiny_text())
    start = base.network.start(5)
    made = built(base, 5)
    x = torch().rand(4, 3, 32, 32)
    before = {index: y.clone() for index, y in made.trunk(x).items()}
    step(made, x)
    after = made.trunk(x)
    assert before.keys() == after.keys() == set(made.reads) == {2, 4}
    assert all((before[i] == after[i]).all() and not after[i].requires_grad for i in before)
    model = trained(made, base, seen=64)
    old, new = base.weights.view(0, base.weights.size), model.weights.view(0, model.weights.size)
    assert new[:start].tobytes() == old[:start].tobytes()
    assert model.weights.header.seen == 64
    moved = {
        (layer.index, name)
        for layer in base.network.layers
        for name in base.tensors(layer.index)
        if (base.tensors(layer.index)[name] != model.tensors(layer.index)[name]).any()
    }
    assert moved == {(layer.index, name) for layer in base.network.layers[5:] for name in base.tensors(layer.index)} - {
        (layer, name) for layer in (4,) for name in base.tensors(4)
    }


def test_a_trunk_keeps_rolling_statistics_even_while_the_rest_trains():
    made = built(model_of(tiny_text()), 5).train()
    rolling = made.model.tensors(1)["rolling_mean"].copy()
    for _ in range(3):
        made(torch().rand(4, 3, 32, 32))
    assert (made.model.tensors(1)["rolling_mean"] == rolling).all()
    assert (made.state_dict()["8.rolling_mean"].numpy() != made.model.tensors(8)["rolling_mean"]).all()


def test_groups_decay_weights_alone_and_hold_no_layer_of_the_trunk():
    text = tiny_text().replace("filters=16", "filters=16\nlearning_rate=0.5", 1)
    made = built(model_of(text), 4)
    groups = {(g["decayed"], g["rate"]): g["params"] for g in made.parameters_of()}
    assert groups.keys() == {(True, 1.0), (False, 1.0), (True, 0.5), (False, 0.5)}
    names = {id(block): name for name, block in made.state_dict().items()}
    by_group = {key: {names[id(block)] for block in params} for key, params in groups.items()}
    assert by_group[True, 0.5] == {"4.weights"}
    assert by_group[False, 0.5] == {"4.biases", "4.scales"}
    assert by_group[True, 1.0] == {"5.weights", "8.weights", "11.weights"}
    assert by_group[False, 1.0] == {"5.biases", "8.biases", "8.scales", "11.biases"}


@pytest.mark.parametrize(
    "name", ["convolutional flipped", "connected", "local", "shortcut several", "implicit", "share_index"]
)
def test_untrained_floats_come_back_in_their_places(name):
    base = model_of(net(3, 8, 8) + LAYERS[name])
    back = trained(built(base, 0), base)
    assert back.weights.view(0, back.weights.size).tobytes() == base.weights.view(0, base.weights.size).tobytes()


def test_trained_takes_the_trunk_of_the_base_that_it_is_given():
    base, other = model_of(tiny_text(3)), model_of(tiny_text(), seed=2)
    start = base.network.start(5)
    model = trained(built(other, 5), base)
    assert model.network is other.network
    assert model.weights.view(0, start).tobytes() == base.weights.view(0, start).tobytes()
    wider = model_of(tiny_text().replace("filters=8", "filters=10"))
    with pytest.raises(TrunkMismatch, match="first 5 layers"):
        trained(built(other, 5), wider)


def test_a_state_goes_back_where_it_came_from():
    one, other = built(model_of(tiny_text()), 5), built(model_of(tiny_text(), seed=2), 5)
    one.load_state_dict(other.state_dict())
    assert all((block == other.state_dict()[name]).all() for name, block in one.state_dict().items())
    with pytest.raises(BadValue, match="another cfg or k"):
        one.load_state_dict(built(model_of(tiny_text()), 4).state_dict())


def test_shared_weights_of_a_trunk_stay():
    text = net(3, 8, 8) + conv(3) + conv(3).rstrip("\n") + "\nshare_index=0\n" + HEAD
    made = built(model_of(text), 1)
    assert {name.split(".")[0] for name in made.state_dict()} == {"2"}


def test_rolling_statistics_in_place_of_those_of_a_single_value():
    text = net(3, 8, 8) + conv() + "[avgpool]\n" + conv() + "[softmax]\n"
    one = torch().rand(1, 3, 8, 8)
    with pytest.raises(Unsupported, match=r"layer 2 \[convolutional\]: batch norm over a single value"):
        built(model_of(text), 0).train()(one)
    made = built(model_of(text), 0, norm="rolling")
    assert (made.train()(one)[3] == made.eval()(one)[3]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (conv() + "[rnn]\noutput=3\nhidden=3\n", r"layer 1 \[rnn\]: it cannot be trained: it keeps a state"),
        (conv() + "[normalization]\n", r"test.cfg:\d+: layer 1 \[normalization\]: it cannot be trained"),
        (conv() + "[convolutional]\nxnor=1\nfilters=3\n", r"layer 1 .*xnor=1"),
        (conv() + "[convolutional]\nbatch_normalize=2\nfilters=3\n", "statistics across mini-batches"),
        (conv() + "[convolutional]\nclip=1\nfilters=3\n", "clip=1.0 changes its training"),
        (conv() + "[dropout]\ndropblock=1\n", "dropblock=1"),
        (conv() + "[convolutional]\nfilters=3\nactivation=funny\n", "activation=funny is none that Darknet knows"),
        (
            conv(4) + "[convolutional]\nfilters=3\ngroups=2\n",
            "groups=2 does not divide its 4 input",
        ),
        (conv() + "[convolutional]\ndontload=1\nfilters=3\n", "leave its weights out of the file"),
    ],
)
def test_what_is_not_done_is_said_at_once(text, message):
    with pytest.raises(Unsupported, match=message):
        build(model_of(net(3, 8, 8) + text), 0)


def test_keys_of_training_do_not_matter_in_the_trunk():
    built(model_of(net(3, 8, 8) + conv().rstrip("\n") + "\nclip=1\n" + HEAD), 1)


@pytest.mark.parametrize(("k", "message"), [(-1, "layers 0..12"), (13, "layers 0..12")])
def test_a_k_that_there_is_not(k, message):
    with pytest.raises(BadValue, match=message):
        build(model_of(tiny_text()), k)


def test_a_k_behind_all_heads():
    with pytest.raises(BadValue, match="no head behind it"):
        build(model_of(net(3, 8, 8) + HEAD + copy_of_input(14)), 2)


def test_a_model_without_all_weights_does_not_train():
    network = network_of(tiny_text())
    with pytest.raises(Unsupported, match="give a whole weights file"):
        build(Model(network, None, ()), 0)


def test_there_are_four_batch_norms():
    with pytest.raises(BadValue, match="batch, pjreddie, alexeyab, rolling"):
        build(model_of(tiny_text()), 0, norm="layer")
