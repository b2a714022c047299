"""What the ONNX file computes, against Darknet's loops, ONNX Runtime and OpenCV 4's Darknet importer."""

from __future__ import annotations

import json
import math
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from conftest import network_of, seeded_floats, tiny_text, write_model, zoo_path
from onnxruns import (
    F,
    all_runs,
    assert_computes,
    chain,
    convolved,
    copy_of_input,
    identity,
    model_of,
    net,
    pooled,
    reorganised,
    runs,
)

from darkshare.darknet.cfg import Cfg, dumps, read_cfg
from darkshare.darknet.kinds import ALL_KINDS
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import resolve
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.inference.detector import Detector
from darkshare.inference.onnx import LOWER, UNSUPPORTED, ExportForm, buffers, lower, write_onnx, writing
from darkshare.inference.onnx.activations import ACTIVATIONS
from darkshare.inference.preprocess import preprocess


def test_every_kind_is_lowered_or_says_why_not():
    assert set(LOWER) | set(UNSUPPORTED) == set(ALL_KINDS)
    assert not set(LOWER) & set(UNSUPPORTED)
    assert all(reason and not reason.endswith(".") for reason in UNSUPPORTED.values())


@pytest.mark.parametrize(
    ("size", "stride", "padding", "h", "w"),
    [
        *[(2, 2, None, 6, 6), (2, 2, None, 7, 5), (2, 1, None, 5, 6), (3, 1, None, 5, 5), (5, 1, None, 7, 6)],
        *[
            (3, 2, None, 8, 7),
            (4, 3, None, 9, 8),
            (3, 2, 0, 9, 7),
            (2, 2, 0, 7, 7),
            (9, 1, None, 5, 5),
            (4, 2, 3, 7, 9),
        ],
    ],
)
def test_maxpool_pads_as_darknet(tmp_path, size, stride, padding, h, w):
    text = net(3, h, w) + f"[maxpool]\nsize={size}\nstride={stride}\n"
    text += "" if padding is None else f"padding={padding}\n"
    pad = size - 1 if padding is None else padding
    assert_computes(text, lambda x: pooled(x, size, stride, stride, pad), tmp_path)


def test_maxpool_of_negative_values_ignores_the_padding(tmp_path):
    text = net(3, 5, 5) + copy_of_input(3) + "[maxpool]\nsize=3\nstride=1\n"
    data = [*np.full(3, -2.0), *np.eye(3).ravel()]
    assert_computes(text, lambda x: pooled(x - 2, 3, 1, 1, 2), tmp_path, data=data)


def test_pools_with_two_strides(tmp_path):
    text = net(3, 9, 8) + "[{}]\nsize=3\nstride_x=2\nstride_y=1\n"
    assert_computes(text.format("maxpool"), lambda x: pooled(x, 3, 2, 1, 2), tmp_path)
    assert_computes(text.format("local_avgpool"), lambda x: pooled(x, 3, 2, 1, 2, average=True), tmp_path)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 1), (4, 3)])
def test_local_avgpool_leaves_the_padding_out_of_the_mean(tmp_path, size, stride):
    text = net(3, 7, 8) + f"[local_avgpool]\nsize={size}\nstride={stride}\n"
    assert_computes(text, lambda x: pooled(x, size, stride, stride, size - 1, average=True), tmp_path)


def test_avgpool(tmp_path):
    assert_computes(net(3, 5, 7) + "[avgpool]\n", lambda x: x.reshape(3, -1).mean(axis=1), tmp_path)


def test_reorg_keeps_the_old_element_order(tmp_path):
    text = net(3, 4, 6) + "[convolutional]\nfilters=8\nsize=1\nactivation=linear\n[reorg]\nstride=2\n"
    model = model_of(text)
    given = model.tensors(0)
    for engine, (x, y) in runs(model, tmp_path).items():
        before = convolved(x, given["weights"], given["biases"]).astype(F)
        wanted = reorganised(before, 8, 4, 6, 2, forward=False)
        np.testing.assert_allclose(y.ravel(), wanted, atol=1e-5, err_msg=engine)
        assert y.shape == (32, 2, 3)
    # The known trap: this is not the space-to-depth of every other framework.
    depth = before.reshape(8, 2, 2, 3, 2).transpose(2, 4, 0, 1, 3).ravel()
    assert not np.allclose(wanted, depth)


@pytest.mark.parametrize("kind", ["reorg", "reorg3d"])
def test_reorg_back_and_reorg3d(tmp_path, kind):
    text = net(3, 4, 6) + "[convolutional]\nfilters=16\nsize=1\nactivation=linear\n"
    given = model_of(text).tensors(0)
    for reverse in (0, 1):
        full = text + f"[{kind}]\nstride=2\nreverse={reverse}\n"
        base = (16, 4, 6) if kind == "reorg" else ((4, 8, 12) if reverse else (64, 2, 3))

        def reference(x, base=base, reverse=reverse):
            before = convolved(x, given["weights"], given["biases"]).astype(F)
            return reorganised(before, base[0], base[1], base[2], 2, forward=bool(reverse))

        assert_computes(full, reference, tmp_path)


def test_upsample_with_scale_and_back(tmp_path):
    def up(x):
        out = np.zeros((3, 8, 10), F)
        for k in range(3):
            for j in range(8):
                for i in range(10):
                    out[k, j, i] = 1.5 * x[k, j // 2, i // 2]
        return out

    def down(x):
        out = np.zeros((3, 2, 3), F)
        for k in range(3):
            for j in range(4):
                for i in range(6):
                    out[k, j // 2, i // 2] += 1.5 * x[k, j, i]
        return out

    assert_computes(net(3, 4, 5) + "[upsample]\nstride=2\nscale=1.5\n", up, tmp_path)
    assert_computes(net(3, 4, 6) + "[upsample]\nstride=-2\nscale=1.5\n", down, tmp_path)
    assert_computes(net(3, 2, 2) + "[upsample]\nstride=3\n", lambda x: x.repeat(3, 1).repeat(3, 2), tmp_path)


def test_route_cuts_each_source_to_its_group(tmp_path):
    """forward_route_layer copies part group_id of every source's flat buffer, one behind the other."""
    text = net(3, 3, 4) + copy_of_input(3)
    text += "[convolutional]\nfilters=4\nsize=1\nactivation=linear\n[convolutional]\nfilters=6\nsize=1\n"
    text += "activation=linear\n[route]\nlayers=-1,-2\ngroups=2\ngroup_id=1\n"
    model = model_of(text)
    sides = [model.tensors(i) for i in range(3)]
    for engine, (x, y) in runs(model, tmp_path).items():
        layers = chain(x, sides)
        wanted = [value for flat in (layers[2], layers[1]) for value in flat[flat.size // 2 :]]
        np.testing.assert_allclose(y.ravel(), wanted, atol=1e-5, err_msg=engine)


@pytest.mark.parametrize(("before", "other"), [(4, 4), (6, 3), (3, 6)])
def test_shortcut_adds_the_channels_that_both_have(tmp_path, before, other):
    """shortcut_multilayer_cpu adds flat buffers as far as the shorter one reaches."""
    text = net(3, 3, 5) + "".join(
        f"[convolutional]\nfilters={n}\nsize=1\nactivation=linear\n" for n in (other, other, before)
    )
    text += "[shortcut]\nfrom=-3,-2\nactivation=leaky\n"
    model = model_of(text)
    for engine, (x, y) in runs(model, tmp_path).items():
        layers = chain(x, [model.tensors(index) for index in range(3)])
        wanted = layers[2].copy()
        for i in range(wanted.size):
            for added in (layers[0], layers[1]):
                if i < added.size:
                    wanted[i] += added[i]
        wanted = np.where(wanted > 0, wanted, 0.1 * wanted)
        assert y.shape[0] == before
        np.testing.assert_allclose(y.ravel(), wanted, atol=1e-5, err_msg=engine)


def test_scale_channels_and_sam(tmp_path):
    squeeze = net(3, 4, 5) + copy_of_input(3) + "[avgpool]\n[scale_channels]\nfrom=0\n"
    assert_computes(squeeze, lambda x: x * x.mean(axis=(1, 2), keepdims=True), tmp_path, data=identity(3))
    sam = net(3, 4, 5) + copy_of_input(3) * 2 + "[sam]\nfrom=0\nactivation=logistic\n"
    assert_computes(sam, lambda x: 1 / (1 + np.exp(-x * x)), tmp_path, data=identity(3) * 2)
    map_ = net(3, 4, 5) + copy_of_input(3) + "[convolutional]\nfilters=1\nsize=1\nactivation=linear\n"
    map_ += "[scale_channels]\nfrom=0\nscale_wh=1\n"
    assert_computes(map_, lambda x: x * x.sum(axis=0), tmp_path, data=[*identity(3), 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("keys", "how"),
    [
        ({"size": 3, "pad": 1, "filters": 4}, {"pad": 1}),
        (
            {"size": 3, "stride": 2, "pad": 1, "filters": 6, "groups": 3},
            {"stride_x": 2, "stride_y": 2, "pad": 1, "groups": 3},
        ),
        ({"size": 3, "stride_x": 2, "pad": 1, "filters": 2}, {"stride_x": 2, "pad": 1}),
        ({"size": 3, "dilation": 2, "pad": 1, "filters": 2}, {"dilation": 2, "pad": 1}),
        ({"size": 2, "padding": 1, "filters": 2}, {"pad": 1}),
        ({"size": 1, "stride": 2, "dilation": 3, "filters": 2}, {"stride_x": 2, "stride_y": 2}),
    ],
)
@pytest.mark.parametrize("norm", [0, 1])
def test_convolution(tmp_path, keys, how, norm):
    text = net(3, 7, 6) + "[convolutional]\nactivation=linear\n" + f"batch_normalize={norm}\n"
    text += "".join(f"{key}={value}\n" for key, value in keys.items())
    model = model_of(text)
    given = {name: block.astype(np.float64) for name, block in model.tensors(0).items()}
    for engine, (x, y) in runs(model, tmp_path).items():
        wanted = convolved(x, given["weights"], 0 if norm else given["biases"], **how)
        if norm:  # forward_batchnorm_layer: normalize_cpu, scale_bias, add_bias
            for f in range(len(wanted)):
                wanted[f] = (wanted[f] - given["rolling_mean"][f]) / math.sqrt(given["rolling_variance"][f] + 0.00001)
                wanted[f] = wanted[f] * given["scales"][f] + given["biases"][f]
        np.testing.assert_allclose(y, wanted, atol=1e-5, err_msg=engine)


def scalar(name: str, x: float) -> float:
    """activations.h, one value."""
    sigmoid = 1 / (1 + math.exp(-x))
    return {
        "linear": lambda: x,
        "leaky": lambda: x if x > 0 else 0.1 * x,
        "revleaky": lambda: x if x > 0 else 0.1 * x,
        "relie": lambda: x if x > 0 else 0.01 * x,
        "relu": lambda: x * (x > 0),
        "relu6": lambda: min(max(x, 0), 6),
        "logistic": lambda: sigmoid,
        "tanh": lambda: 2 / (1 + math.exp(-2 * x)) - 1,
        "elu": lambda: x if x >= 0 else math.exp(x) - 1,
        "selu": lambda: 1.0507 * x if x >= 0 else 1.0507 * 1.6732 * (math.exp(x) - 1),
        "gelu": lambda: 0.5 * x * (1 + math.tanh(0.797885 * x + 0.035677 * x**3)),
        "swish": lambda: x * sigmoid,
        "mish": lambda: x * math.tanh(math.log(math.exp(x) + 1)),
        "hard_mish": lambda: x if x > 0 else (x * x / 2 + x if x > -2 else 0),
        "loggy": lambda: 2 * sigmoid - 1,
        "ramp": lambda: x * (x > 0) + 0.1 * x,
        "hardtan": lambda: min(max(x, -1), 1),
        "lhtan": lambda: 0.001 * x if x < 0 else (0.001 * (x - 1) + 1 if x > 1 else x),
        "stair": lambda: math.floor(x / 2) + (0 if math.floor(x) % 2 == 0 else x - math.floor(x)),
        "plse": lambda: 0.01 * (x + 4) if x < -4 else (0.01 * (x - 4) + 1 if x > 4 else 0.125 * x + 0.5),
    }[name]()


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if not name.startswith("normalize")])
def test_activations(tmp_path, name):
    text = net(3, 16, 16) + f"[convolutional]\nfilters=3\nsize=1\nactivation={name}\n"
    data = [*np.full(3, -8.0), *(16 * np.eye(3)).ravel()]  # the input, 0..1, spread to -8..8
    reference = np.vectorize(lambda x: scalar(name, 16 * float(x) - 8), otypes=[F])
    assert_computes(text, reference, tmp_path, data=data, tolerance=1e-4)


def test_activation_layer_and_batchnorm_layer(tmp_path):
    text = net(3, 4, 4) + "[activation]\nactivation=tanh\n[batchnorm]\n"
    blocks = np.array([[0.5, 1, -1], [2, 1, 0.5], [0.1, 0.2, 0.3], [1, 0.25, 4]])  # biases, scales, means, variances

    def reference(x):
        b, s, m, v = (block[:, None, None] for block in blocks)
        return s * (np.tanh(x) - m) / np.sqrt(v + 0.00001) + b

    assert_computes(text, reference, tmp_path, data=blocks.ravel())


def test_classifier_layers(tmp_path):
    text = net(3, 3, 4) + "[connected]\noutput=6\nactivation=linear\nbatch_normalize=1\n"
    text += "[softmax]\ngroups=2\ntemperature=2\n[cost]\n"
    model = model_of(text)
    given = model.tensors(0)
    for engine, (x, y) in runs(model, tmp_path).items():
        flat = given["weights"] @ x.ravel()
        flat = (flat - given["rolling_mean"]) / np.sqrt(given["rolling_variance"] + 1e-5) * given["scales"]
        flat = np.exp((flat + given["biases"]) / 2).reshape(2, 3)
        np.testing.assert_allclose(y.reshape(2, 3), flat / flat.sum(axis=1, keepdims=True), atol=1e-5, err_msg=engine)


def test_cost_passes_an_image_on(tmp_path):
    assert_computes(net(3, 3, 4) + copy_of_input(3) + "[cost]\n", lambda x: x, tmp_path, data=identity(3))


def test_share_index_uses_the_owners_weights(tmp_path):
    text = net(3, 4, 4) + copy_of_input(3) + copy_of_input(3) + "share_index=0\n"
    data = [0, 0, 0, *(2 * np.eye(3)).ravel()]
    assert_computes(text, lambda x: 4 * x, tmp_path, data=data)


def test_layers_that_no_head_needs_are_left_out():
    text = net(3, 4, 4) + copy_of_input(3) + "[dropout]\n" + copy_of_input(3) + "[local]\nsize=1\n"
    text += "[route]\nlayers=0\n[convolutional]\nfilters=7\nsize=1\nactivation=linear\n[yolo]\nmask=0\nclasses=2\n"
    graph = lower(model_of(text))
    assert [node.output for node in graph.nodes] == ["L0_Conv", "L5_Conv", "L6_yolo"]


# Folding


def _first_kernel(model: Model, tmp_path: Path, **how) -> tuple[np.ndarray, np.ndarray]:
    write_onnx(model, tmp_path / "x.onnx", **how)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "x.onnx").graph.initializer}
    return stored["L0_weights"], stored["L0_bias"]


def test_folding_by_hand(tmp_path):
    """Four channels: plain, a variance of 0, a denormal one, one a little below 0 as in published weights."""
    text = net(3, 4, 4) + "[convolutional]\nfilters=4\nsize=1\nbatch_normalize=1\nactivation=linear\n"
    biases, scales, means, variances = [1, 1, 1, 1], [2, 1, 1, 1], [3, 0, 0, 1e-3], [4, 0, 5.6e-45, -7e-44]
    data = [*biases, *scales, *means, *variances, *np.ones(12)]
    weights, bias = _first_kernel(model_of(text, data), tmp_path)
    factor = 1 / math.sqrt(1e-5)
    np.testing.assert_allclose(weights[:, 0, 0, 0], [2 / math.sqrt(4.00001), factor, factor, factor], rtol=1e-6)
    np.testing.assert_allclose(bias, [1 - 3 * 2 / math.sqrt(4.00001), 1, 1, 1 - 1e-3 * factor], rtol=1e-6)
    weights, _ = _first_kernel(model_of(text, data), tmp_path, bn_epsilon=1e-6)
    np.testing.assert_allclose(weights[1, 0, 0, 0], 1000, rtol=1e-6)


def test_epsilon_must_be_positive():
    with pytest.raises(BadValue, match="above 0"):
        ExportForm(bn_epsilon=0)
    with pytest.raises(BadValue, match="above 0"):
        ExportForm(bn_epsilon=math.nan)


# The file


def test_file_names_outputs_and_facts(tiny, tmp_path):
    path = tmp_path / "tiny.onnx"
    write_onnx(load(tiny), path)
    onnx.checker.check_model(str(path), full_check=True)
    read = onnx.load(path)
    assert (read.ir_version, read.opset_import[0].version, read.producer_name) == (8, 13, "darkshare")
    shapes = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in read.graph.output}
    assert shapes == {"L6_yolo": [1, 14, 8, 8], "L12_yolo": [1, 14, 16, 16]}
    assert [d.dim_value for d in read.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 32, 32]
    facts = {prop.key: json.loads(prop.value) for prop in read.metadata_props}
    assert facts["bn_epsilon"] == 1e-5
    how = {"name": "image", "shape": [1, 3, 32, 32], "channels": "RGB", "range": [0, 1], "mean": 0, "scale": 1 / 255}
    assert facts["input"] == {**how, "letter_box": False}
    first, second = facts["heads"]
    assert first["anchors"] == [[4, 5], [8, 9]]
    assert second["anchors"] == [[8, 9], [16, 20]]
    assert (first["output"], first["task"], first["classes"], first["offset"]) == ("L6_yolo", "tiny", 2, 0)
    assert first["names"] == ["class_0", "class_1"]


def test_length_written_in_front_is_right(tiny):
    """The file parses to its end, and writing the parsed message again gives as many bytes."""
    data = b"".join(bytes(memoryview(piece).cast("B")) for piece in buffers(load(tiny)))
    assert len(onnx.ModelProto.FromString(data).SerializeToString()) == len(data)


def test_writing_takes_a_few_megabytes_only(tmp_path):
    text = net(3, 8, 8) + "[convolutional]\nfilters=1024\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n" * 2
    model = model_of(text)
    size = model.network.params * 4
    assert size > 36e6
    tracemalloc.start()
    try:
        assert sum(memoryview(piece).nbytes for piece in buffers(model)) > 36e6
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size / 2


def test_nothing_is_left_behind_when_it_fails(tiny, tmp_path):
    model = model_of(tiny.read_text().replace("activation=leaky", "activation=selfmade", 1))
    (tmp_path / "out").mkdir()
    with pytest.raises(Unsupported):
        write_onnx(model, tmp_path / "out" / "x.onnx")
    assert not list((tmp_path / "out").iterdir())


def test_more_than_two_gigabytes_are_refused(tiny, monkeypatch):
    monkeypatch.setattr(writing, "LARGEST", 10_000)
    with pytest.raises(Unsupported, match="2 GiB"):
        list(buffers(load(tiny)))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("[convolutional]\nbinary=1\n", "binary=1: Darknet's CPU and GPU code"),
        (
            "[convolutional]\nactivation=selfmade\n",
            "which computes relu in its place; use one of logistic",
        ),
        ("[convolutional]\nactivation=silu\n", "computes relu in its place; use swish if that is meant, or relu"),
        ("[convolutional]\nfilters=4\ngroups=3\n", "groups=3 does not divide its 3 input channels and 4 filters"),
        ("[convolutional]\nfilters=2\ngroups=2\n", "groups=2 does not divide its 3 input channels and 2 filters"),
        ("[convolutional]\nsize=3\npad=0\ndilation=2\n", "Darknet gets its size wrong"),
        ("[convolutional]\ndontload=1\n", "leave its weights out of the file"),
        ("[maxpool]\nmaxpool_depth=1\nout_channels=5\n", "out_channels=5 is more than the 3 channels"),
        ("[maxpool]\nsize=2\npadding=4\n", "more than its window of 2"),
        ("[crop]\ncrop_width=9\ncrop_height=4\n", "it cuts 9x4x3 out of the smaller 8x8x3; make the input larger"),
        ("[normalization]\n", "it has no ONNX form: Darknet's running sum"),
        ("[conv_lstm]\n", "it keeps a state between inputs"),
        ("[local]\nsize=5\npad=1\n", "pad=1 with size=5"),
        ("[softmax]\ngroups=5\n", "groups=5 does not divide its 192 values"),
        ("[reorg]\nstride=2\n", "stride=2 does not divide"),
        ("[upsample]\nstride=-3\n", "does not divide"),
        ("[softmax]\ntree=x.tree\n", "tree="),
    ],
)
def test_refusals_name_the_layer_and_its_line(section, message):
    text = net(3, 8, 8) + copy_of_input(3) + section
    with pytest.raises(Unsupported, match=re.escape(message)) as caught:
        lower(model_of(text))
    assert str(caught.value).startswith("test.cfg:9: layer 1 [")


def test_a_mask_that_is_no_anchor_is_refused():
    text = net(3, 8, 8) + "[convolutional]\nfilters=7\nactivation=linear\n[yolo]\nmask=4\nclasses=2\nnum=2\n"
    with pytest.raises(BadValue, match=r"^test.cfg:8: layer 1 \[yolo\]: mask 4 is not an anchor"):
        lower(model_of(text))


def test_missing_weights_are_reported(tiny):
    bare = replace(load(tiny), weights=None)
    with pytest.raises(Unsupported, match=r"tiny\.cfg: has no weights file"):
        lower(bare)


def test_partial_weights_are_reported(tiny, tmp_path):
    model = load(tiny)
    cut = tmp_path / "cut.weights"
    cut.write_bytes(tiny.with_suffix(".weights").read_bytes()[: 20 + 4 * model.network.start(4)])
    with pytest.raises(DarkshareError, match="partial file"):
        lower(load(tiny, cut, partial=True))


# Whole networks


def slim(cfg: Cfg, by: int = 8) -> Cfg:
    """The same architecture with fewer filters; heads and what they read stay."""
    sections = list(cfg.sections)
    for i, section in enumerate(sections[:-1]):
        filters = int(section.get("filters") or 0)
        if filters >= 2 * by and sections[i + 1].kind not in ("yolo", "region", "Gaussian_yolo"):
            groups = {"groups": filters // by} if section.get("groups") == str(filters) else {}
            sections[i] = section.set(filters=filters // by, **groups)
    return replace(cfg, sections=tuple(sections))


@pytest.mark.zoo
@pytest.mark.parametrize(
    "name", ["yolov2", "yolov3", "yolov3-tiny", "yolov4", "yolov4-tiny", "yolov4-csp", "yolov7-tiny"]
)
def test_architectures_agree_between_engines(tmp_path, name):
    network = resolve(slim(read_cfg(zoo_path("zoo", "alexeyab", f"{name}.cfg"))), size=(160, 128))
    text = dumps(network.cfg)
    model = model_of(text, seeded_floats(network, 5, scale=0.1))
    (_, _, wanted), *others = all_runs(model, tmp_path)
    assert len(wanted) == len(network.heads)
    for engine, _, found in others:
        for one, other in zip(found, wanted, strict=True):
            assert np.abs(other).max() > 0.1
            np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max(), err_msg=engine)


REAL = ("f10-coco", "f10-mask-a", "f11-plate", "lite-voc-t3", "lite-voc-t3-nobn", "mbv2tiny-voc", "nano-coco")


@pytest.mark.importer
@pytest.mark.zoo
@pytest.mark.parametrize("name", [*REAL, "xl10-coco", "yoloface-500k", "yoloface-50k"])
def test_heads_equal_those_of_opencvs_darknet_importer(name):
    cfg = zoo_path("models", name, f"{name}.cfg")
    model = load(cfg)
    image = cv2.imread(str(zoo_path("media", "street.jpg")))
    found = Detector(model, bn_epsilon=1e-6).raw(image)
    oracle = cv2.dnn.readNetFromDarknet(str(cfg), str(cfg.with_suffix(".weights")))
    oracle.setInput(preprocess(image, model.network))
    wanted = oracle.forward([f"conv_{head - 1}" for head in found])
    for one, other in zip(found.values(), wanted, strict=True):
        # Against the same sums in float64, both are off by as much where a head reaches to 60.
        assert np.abs(one - other[0]).max() <= max(1e-4, 4e-6 * np.abs(other).max())


@pytest.mark.zoo
def test_the_epsilon_matters_for_real_weights():
    """nano-coco has variances of 0: the two epsilons give heads that differ by 0.2."""
    model = load(zoo_path("models", "nano-coco", "nano-coco.cfg"))
    image = cv2.imread(str(zoo_path("media", "street.jpg")))
    darknets, opencvs = (Detector(model, bn_epsilon=epsilon).raw(image) for epsilon in (1e-5, 1e-6))
    assert max(np.abs(darknets[head] - opencvs[head]).max() for head in darknets) > 0.02


def test_two_heads_of_a_padded_text_have_their_own_outputs(tmp_path):
    """The same network twice from one trunk gives the same numbers twice."""
    head = "[convolutional]\nsize=1\nfilters=7\nactivation=linear\n[yolo]\nmask=0\nanchors=4,5\nclasses=2\nnum=1\n"
    text = net(3, 8, 8) + copy_of_input(3) + head + "[route]\nlayers=0\n" + head
    one = seeded_floats(network_of(net(3, 8, 8) + copy_of_input(3) + head), 2)
    model = model_of(text, [*one, *one[12:]])
    for _, _, (one, other) in all_runs(model, tmp_path):
        np.testing.assert_array_equal(one, other)


def test_tiny_text_runs_whole(tmp_path):
    model = model_of(tiny_text())
    results = list(runs(model, tmp_path).values())
    for _, y in results[1:]:
        np.testing.assert_allclose(y, results[0][1], atol=1e-4)


def test_model_file_on_disk_is_mapped_not_read(tmp_path):
    """Exporting from a mapped file gives the same bytes as from memory."""
    text = tiny_text()
    data = seeded_floats(network_of(text), 4)
    cfg = write_model(tmp_path / "m", text, data)
    write_onnx(load(cfg), tmp_path / "a.onnx")
    again = load(cfg)
    write_onnx(replace(again, weights=Weights(Header(), (data[:100], data[100:]))), tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
