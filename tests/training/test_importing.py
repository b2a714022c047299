"""Weights of ONNX files and of PyTorch state dicts as Darknet's, matched with the layers of a cfg."""

from __future__ import annotations

import json
import warnings
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import needs_torch, network_of, run, seeded_floats, write_model
from models import WITH_STAGES
from onnx import TensorProto, helper, numpy_helper

from darkshare.darknet.model import Model, load
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import DarkshareError, DarkshareWarning, ShapeMismatch, Unsupported
from darkshare.inference.onnx.writing import buffers, write_onnx
from darkshare.training.importing import import_weights

NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"
PLAIN = NET + "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n[connected]\noutput=6\n[softmax]\n"
SORTS = (
    NET
    + "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=2\npad=1\ngroups=1\nactivation=leaky\n"
    + "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\ngroups=2\nflipped=1\nactivation=mish\n"
    + "[batchnorm]\n[maxpool]\nsize=2\nstride=2\n"
    + "[local]\nfilters=2\nsize=3\npad=1\nactivation=leaky\n"
    + "[connected]\nbatch_normalize=1\noutput=6\nactivation=leaky\n[softmax]\n"
)
PJREDDIE = NET + "".join(
    f"[deconvolutional]\nbatch_normalize={norm}\nfilters=3\nsize=2\nstride=2\nactivation=leaky\n" for norm in (0, 1)
)
NAMES = {  # how programs that read a cfg call a convolution and its batch norm
    "ultralytics": ("module_list.{0}.Conv2d", "module_list.{0}.BatchNorm2d"),
    "PyTorch-YOLOv3": ("module_list.{0}.conv_{0}", "module_list.{0}.batch_norm_{0}"),
    "pytorch-YOLOv4": ("models.{0}.conv{1}", "models.{0}.bn{1}"),
    "side by side": ("module.module_list.{0}.Conv2d", "module.module_list.{0}.BatchNorm2d"),
    "without numbers": ("stage.a{1}.conv", "stage.a{1}.bn"),
}
BLOCKS = {"weight": "scales", "bias": "biases", "running_mean": "rolling_mean", "running_var": "rolling_variance"}


def quiet(*given, **how) -> Weights:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DarkshareWarning)
        return import_weights(*given, **how)


def model(text: str) -> Model:
    network = network_of(text)
    return Model(network, Weights(Header(), (seeded_floats(network, 1),)), ())


def bits(weights: Weights) -> bytes:
    return weights.view(0, weights.size).tobytes()


def exported(text: str, folder: Path, dialect: str = "alexeyab", **form) -> tuple[Path, Path]:
    """A model on disk, and its ONNX file."""
    data = seeded_floats(network_of(text, dialect=dialect), 3)
    cfg = write_model(folder / "net", text, data, header=Header(seen=7))
    write_onnx(load(cfg, dialect=dialect), folder / "net.onnx", **form)
    return cfg, folder / "net.onnx"


# What export writes


@pytest.mark.parametrize("text", [PLAIN, SORTS, PJREDDIE, WITH_STAGES], ids=("plain", "sorts", "pjreddie", "stages"))
def test_an_exported_file_comes_back_and_is_exported_to_the_same_bytes(tmp_path, text):
    dialect = "pjreddie" if text is PJREDDIE else "alexeyab"
    cfg, path = exported(text, tmp_path, dialect)
    one, found = load(cfg, dialect=dialect), quiet(cfg, path, dialect=dialect)
    again = b"".join(map(bytes, buffers(replace(one, weights=found))))
    assert again == path.read_bytes()
    assert (bits(found) == bits(one.weights)) == ("batch" not in text)
    assert found.header == Header(seen=7)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_layers_that_are_still_a_base_s_come_back_bit_for_bit(tmp_path, epsilon):
    cfg, path = exported(SORTS, tmp_path, bn_epsilon=epsilon)
    one = load(cfg)
    found = import_weights(cfg, path, base=cfg.with_suffix(".weights"))  # pytest makes a warning an error
    assert found.header.to_bytes("alexeyab") + bits(found) == cfg.with_suffix(".weights").read_bytes()
    changed = one.weights.view(0, one.weights.size).copy()
    changed[one.network.start(1) + 1] += 1
    write_model(tmp_path / "other", SORTS, changed)
    found = quiet(cfg, path, base=tmp_path / "other.weights")
    same = np.equal(found.view(0, changed.size), one.weights.view(0, changed.size))
    first, second = one.network.start(1), one.network.start(2)
    assert same[:first].all()
    assert not same[first:second].all()
    assert same[second:].all()


def test_folded_batch_norm_is_said(tmp_path):
    cfg, path = exported(SORTS, tmp_path)
    with pytest.warns(DarkshareWarning, match=r"batch norm of 4 layers is in their kernels already"):
        found = import_weights(cfg, path)
    first = load(cfg).network.layers[0]
    biases, scales, mean, variance = found.view(0, 16).reshape(4, 4)
    assert (scales == 1).all()
    assert (mean == 0).all()
    assert variance.astype("f8") + 1e-5 == pytest.approx(1, abs=3e-8)
    given, kernel = load(cfg).tensors(0), found.view(16, first.stop).reshape(4, 27)
    factor = given["scales"] / np.sqrt(given["rolling_variance"].astype("f8") + 1e-5)
    assert kernel == pytest.approx(given["weights"].reshape(4, 27) * factor[:, None], rel=1e-6)
    assert biases == pytest.approx(given["biases"] - given["rolling_mean"] * factor, rel=1e-6)


def test_half_precision_and_other_networks_are_refused(tmp_path):
    cfg, path = exported(PLAIN, tmp_path, precision="fp16")
    with pytest.raises(Unsupported, match=r"net\.onnx: is not in fp32"):
        import_weights(cfg, path)
    cfg, path = exported(PLAIN, tmp_path)
    for old, new, says in (
        ("filters=4", "filters=5", r"net\.onnx: layer 0 \[convolutional\]: 'biases' is 5 in the cfg and 4 in the file"),
        ("[softmax]", "[connected]\noutput=2\n[softmax]", r"layer 2 \[connected\]: is missing: the file ends before"),
        ("[connected]\noutput=6\n", "", "has 1 more modules than the cfg has layers with weights; the first is L1_we"),
        (
            "[connected]",
            "[maxpool]\n[connected]",
            r"layer 2 \[connected\]: is missing: L1_weights comes next, .* layer 1",
        ),
    ):
        with pytest.raises(ShapeMismatch, match=says):
            import_weights(network_of(PLAIN.replace(old, new)), path)


# PyTorch


def state(names: tuple[str, str], text: str, *, folded: bool = False):
    """What a program that reads a cfg saves of it, and the floats of the weights file."""
    import torch

    one, found = model(text), {}
    for number, layer in enumerate(x for x in one.network.layers if x.tensors):
        tensors = one.tensors(layer.index)
        conv, norm = (name.format(layer.index, number) for name in names)
        found[f"{conv}.weight"] = torch.from_numpy(tensors["weights"].copy())
        if "rolling_mean" not in tensors:
            found[f"{conv}.bias"] = torch.from_numpy(tensors["biases"].copy())
            continue
        for name, ours in BLOCKS.items():
            found[f"{norm}.{name}"] = torch.from_numpy(tensors[ours].copy())
        found[f"{norm}.num_batches_tracked"] = torch.tensor(7)
    return found, one.weights


@pytest.fixture
def saved(tmp_path):
    needs_torch()
    import torch

    def save(found: object, name: str = "net.pt") -> Path:
        torch.save(found, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("inside", [None, "model", "state_dict"])
def test_state_dicts_come_back_bit_for_bit(saved, names, inside):
    found, weights = state(names, WITH_STAGES)
    path = saved({"epoch": 3, inside: found} if inside else found, "net.PTH" if inside else "net.pt")
    assert bits(import_weights(network_of(WITH_STAGES), path)) == bits(weights)


def test_anchors_of_heads_must_be_the_cfgs(saved):
    """eriklindernoren/PyTorch-YOLOv3 keeps those of a head, in pixels, in two forms."""
    import torch

    found, weights = state(NAMES["ultralytics"], WITH_STAGES)
    pixels = torch.tensor([[2.0, 2], [4, 4], [8, 8]])
    for at in (9, 14):
        found[f"module_list.{at}.yolo_{at}.anchors"] = pixels
        found[f"module_list.{at}.yolo_{at}.anchor_grid"] = pixels.view(1, -1, 1, 1, 2)
    assert bits(import_weights(network_of(WITH_STAGES), saved(found))) == bits(weights)
    found["module_list.14.yolo_14.anchor_grid"] = 2 * found["module_list.14.yolo_14.anchor_grid"]
    with pytest.raises(
        ShapeMismatch, match=r"net\.pt: layer 14 \[yolo\]: its anchors are 2 2 4 .* and 4 4 8 8 16 16 in"
    ):
        import_weights(network_of(WITH_STAGES), saved(found))


def test_half_floats_lose_nothing_and_doubles_are_refused(saved):
    found, _ = state(NAMES["ultralytics"], PLAIN)
    half = {name: one.half() for name, one in found.items()}
    expected = {name: one.float() for name, one in half.items()}
    network = network_of(PLAIN)
    assert bits(import_weights(network, saved(half))) == bits(import_weights(network, saved(expected, "b.pt")))
    wide = {name: one.bfloat16() for name, one in found.items()}
    expected = {name: one.float() for name, one in wide.items()}
    assert bits(import_weights(network, saved(wide))) == bits(import_weights(network, saved(expected, "b.pt")))
    with pytest.raises(Unsupported, match=r"Conv2d\.weight is of type float64; only float32 and float16"):
        import_weights(network, saved({name: one.double() for name, one in found.items()}))


def renamed(found, old: str, new: str):
    return {name.replace(old, new): one for name, one in found.items()}


def without(found, part: str):
    return {name: one for name, one in found.items() if part not in name}


FIRST = "module_list.0.Conv2d.weight", "module_list.0.BatchNorm2d.bias"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda s: renamed(s, "list.1.", "list.9."),
            r"layer 1 .*: is missing: module_list\.9\.Conv2d\.weight comes next",
        ),
        (
            lambda s: s | {FIRST[0]: s[FIRST[0]][:2]},
            r"layer 0 .*: 'weights' is 4x3x3x3 in the cfg and 2x3x3x3 in the file",
        ),
        (
            lambda s: without(s, "1.BatchNorm2d.running_mean"),
            r"the batch norm module_list\.1\.Batch.* has no rolling_mean",
        ),
        (lambda s: without(s, "list.13"), r"layer 13 \[convolutional\]: is missing: the file ends before it"),
        (
            lambda s: s | {"module_list.0.Conv2d.bias": s[FIRST[1]]},
            r"layer 0 .*: module.* has biases before its batch norm",
        ),
        (lambda s: without(s, "list.0.Conv"), r"layer 0 .*: has weights, but the batch norm module_list\.0\.Batch"),
        (lambda s: s | {"module_list.20.w": s[FIRST[1]]}, r"module_list\.20 holds w, which no layer"),
        (lambda s: s | {"module_list.20.x.bias": s[FIRST[1]]}, r"module_list\.20\.x has no weight, only bias"),
        (lambda s: s | {"module_list.20.x.weight": s[FIRST[0]]}, "has 1 more modules than"),
    ],
)
def test_a_state_dict_of_another_network_is_refused_with_its_layer(saved, change, says):
    found, _ = state(NAMES["ultralytics"], WITH_STAGES)
    with pytest.raises((ShapeMismatch, Unsupported), match=rf"net\.pt: {says}"):
        import_weights(network_of(WITH_STAGES), saved(change(found)))


def test_kinds_without_a_counterpart_are_refused(saved):
    found, _ = state(NAMES["ultralytics"], PLAIN)
    text = NET + "[rnn]\nhidden=4\noutput=3\nactivation=leaky\n[softmax]\n"
    with pytest.raises(Unsupported, match=r"layer 0 \[rnn\]: its .* has no counterpart in such files"):
        import_weights(network_of(text), saved(found))


def test_a_file_that_holds_objects_runs_no_code(saved, tmp_path):
    import torch

    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    for found in ({"model": Harmful()}, torch.nn.Linear(2, 2), deque([1])):
        with pytest.raises(Unsupported, match=r"net\.pt: holds more than tensors, which could run code"):
            import_weights(network_of(PLAIN), saved(found))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["net.pt", "net.onnx"])
@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04 and no more", b"\x80\x02}q\x00.", b"<html>", b"\x08" * 40, bytes(range(99))]
)
def test_a_damaged_file_is_one_line(tmp_path, name, data):
    needs_torch()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DarkshareError, match=rf"{name}: .*[^:]$"):
        import_weights(network_of(PLAIN), tmp_path / name)


# ONNX files of other programs


def node(op: str, inputs: list[str], output: str, **attributes):
    return helper.make_node(op, inputs, [output], **attributes)


def foreign(tmp_path: Path, nodes, tensors) -> Path:
    known = [numpy_helper.from_array(values, name) for name, values in tensors.items()]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    end = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [image], [end], known)), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def foreign_net():
    """A convolution with batch norm, one without, and a matrix; nodes and tensors as PyTorch writes them."""
    text = SORTS[: SORTS.index("[convolutional]", 60)] + PLAIN[len(NET) :]
    one = model(text)
    first, second, third = (one.tensors(i) for i in range(3))
    tensors = {"w0": first["weights"], "w1": second["weights"], "b1": second["biases"], "w2": third["weights"]}
    tensors |= {f"n{i}": first[name] for i, name in enumerate(BLOCKS.values())} | {"b2": third["biases"]}
    nodes = [
        node("Conv", ["x", "w0"], "c0"), node("BatchNormalization", ["c0", "n0", "n1", "n2", "n3"], "y0", epsilon=1e-5),
        node("LeakyRelu", ["y0"], "z0"), node("Conv", ["z0", "w1", "b1"], "y1"), node("Flatten", ["y1"], "f"),
        node("Gemm", ["f", "w2", "b2"], "y2", transB=1),
    ]  # fmt: skip
    return text, one.weights, nodes, tensors


def test_the_nodes_of_another_program_give_their_weights(tmp_path):
    text, weights, nodes, tensors = foreign_net()
    assert bits(import_weights(network_of(text), foreign(tmp_path, nodes, tensors))) == bits(weights)
    turned = [*nodes[:-1], node("Gemm", ["f", "w2", "b2"], "y2")]
    path = foreign(tmp_path, turned, tensors | {"w2": np.ascontiguousarray(tensors["w2"].T)})
    assert bits(import_weights(network_of(text), path)) == bits(weights)
    shared = [node("Identity", ["w0"], "again"), node("Conv", ["x", "again"], "c0"), *nodes[1:]]
    assert bits(import_weights(network_of(text), foreign(tmp_path, shared, tensors))) == bits(weights)
    constant = node("Constant", [], "b1", value=numpy_helper.from_array(tensors.pop("b1")))
    assert bits(import_weights(network_of(text), foreign(tmp_path, [constant, *nodes], tensors))) == bits(weights)


def test_what_cannot_be_taken_of_another_program_s_file_is_said(tmp_path):
    text, _, nodes, tensors = foreign_net()
    network = network_of(text)
    other = [nodes[0], node("BatchNormalization", ["c0", "n0", "n1", "n2", "n3"], "y0", epsilon=1e-3), *nodes[2:]]
    with pytest.warns(DarkshareWarning, match="y0: its batch norm adds 0.001 to variances, Darknet 1e-05"):
        import_weights(network, foreign(tmp_path, other, tensors))
    with pytest.warns(DarkshareWarning, match="batch norm of 1 layers is in their kernels"):
        import_weights(network, foreign(tmp_path, [nodes[0], *nodes[2:]], tensors))
    with pytest.raises(Unsupported, match="w0 is computed, not stored"):
        import_weights(network, foreign(tmp_path, nodes, {n: v for n, v in tensors.items() if n != "w0"}))
    with pytest.raises(Unsupported, match="is quantised"):
        import_weights(network, foreign(tmp_path, [node("DequantizeLinear", ["q", "s"], "w"), *nodes], tensors))
    message = onnx.load(foreign(tmp_path, nodes, tensors))
    message.graph.initializer[0].data_location = TensorProto.EXTERNAL
    (tmp_path / "net.onnx").write_bytes(message.SerializeToString())
    with pytest.raises(Unsupported, match="w0 lies in another file"):
        import_weights(network, tmp_path / "net.onnx")


# The command


def test_the_command_writes_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exported(SORTS, tmp_path)
    before = Path("net.weights").read_bytes()
    result = run("import-weights", "net.cfg", "net.onnx", "--base", "net.weights", "-o", "same.weights", code=0)
    assert result.stdout == "same.weights\n"
    assert "next: " in result.stderr
    assert Path("same.weights").read_bytes() == before
    assert "net.weights is there already" in run("import-weights", "net.cfg", "net.onnx", code=2).stderr
    Path("net.weights").unlink()
    assert json.loads(run("import-weights", "net.cfg", "net.onnx", "--format", "json", code=0).stdout)["written"]
    assert Path("net.weights").stat().st_size == len(before)
    assert "is not one of .onnx, .pt, .pth" in run("import-weights", "net.cfg", "net.cfg", "-o", "a", code=1).stderr
