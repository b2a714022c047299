"""A kind that no Darknet has: its class and one function in each backend are all that darkshare needs.

A kind of darkshare's own stands in `ALL_KINDS` instead, from which `BY_NAME` is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from conftest import needs_torch, network_of, run, seeded_floats, write_model
from onnxruns import onnx_runtime

from darkshare.analysis.savings import block_ends
from darkshare.darknet.kinds import ALL_KINDS, BY_NAME, Detection, Kind, Shape, Tensor
from darkshare.darknet.kinds.base import key, window_text
from darkshare.darknet.model import load
from darkshare.errors import Unsupported
from darkshare.inference.boxes import decoding
from darkshare.inference.onnx import LOWER, write_onnx
from darkshare.inference.onnx import decoding as onnx_decoding
from darkshare.surgery.residual.streams import RULES, UNSUPPORTED, streams_of


@dataclass(init=False, repr=False, eq=False)
class Gain(Kind):
    """Every second value of every second row, each channel times a learned gain."""

    names: ClassVar[tuple[str, ...]] = ("gain",)
    needs_image: ClassVar[bool] = True
    pools: ClassVar[bool] = True

    offset: float = key(0.0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return Shape(x.c, x.h // 2, x.w // 2)

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        return (Tensor("gains", (x.c,)),)

    def flops(self, x: Shape, y: Shape) -> float:
        return 2 * y.size

    @property
    def window_text(self) -> str:
        return window_text(1, (2, 2))


def lowered(graph, layer, x, sources):
    """The ONNX operators of a gain."""
    c = layer.x.c
    gains = graph.block(layer, "gains", (c, 1, 1, 1), lambda: [graph.model.tensors(layer.index)["gains"]])
    y = graph.node(layer, "Conv", x, gains, kernel_shape=[1, 1], strides=[2, 2], group=c)
    return graph.node(layer, "Add", y, graph.constant(layer, [layer.kind.offset]))


def built(layer, form):
    """The forward pass of a gain."""
    offset = layer.kind.offset
    return lambda given, x, sources, training: x[:, :, ::2, ::2] * given["gains"].view(1, -1, 1, 1) + offset


TEXT = """\
[net]
width=32
height=32
channels=3

[convolutional]
filters=4
size=3
stride=2
pad=1
activation=leaky

[gain]
offset=0.25

[convolutional]
filters=4
size=3
pad=1
activation=leaky

[convolutional]
filters=7
size=1
activation=linear

[yolo]
classes=2
mask=0
anchors=4,5
num=1
"""


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setitem(BY_NAME, "gain", Gain)
    monkeypatch.setitem(LOWER, Gain, lowered)


@pytest.fixture
def pair(tmp_path):
    """Two networks with one trunk of a convolution and a gain."""
    network = network_of(TEXT)
    base, other = seeded_floats(network, 1), seeded_floats(network, 2)
    other[: network.start(2)] = base[: network.start(2)]
    return [
        write_model(tmp_path / name, TEXT, data, names=(f"{name}_0", f"{name}_1"))
        for name, data in (("a", base), ("b", other))
    ]


def test_it_is_read_measured_and_checked(pair):
    layer = load(pair[0]).network.layers[1]
    assert (layer.kind.offset, layer.size, layer.y) == (0.25, 4, Shape(4, 8, 8))
    (row,) = (line.split() for line in run("info", pair[0], code=0).stdout.splitlines() if " gain " in line)
    assert "1x1/2" in row
    assert "no problems" in run("check", pair[0], code=0).output


def test_it_ends_a_block_where_networks_can_share(pair):
    run("savings", *pair, code=0)
    assert block_ends(load(pair[0]).network) == {2}


def test_it_is_shared_and_given_back(pair, tmp_path):
    run("concat", *pair, "--k", 2, "-o", tmp_path / "both", code=0)
    both = load(tmp_path / "both.cfg")
    assert [layer.kind.name for layer in both.network.layers].count("gain") == 1
    run("split", tmp_path / "both.cfg", "-o", tmp_path / "apart", code=0)
    for path in pair:
        again = tmp_path / "apart" / path.name
        assert load(again).network.layers[1].kind == load(path).network.layers[1].kind
        assert again.with_suffix(".weights").read_bytes() == path.with_suffix(".weights").read_bytes()


def test_both_backends_compute_the_same(pair, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is the oracle")
    needs_torch()
    import torch

    from darkshare.training.building import build
    from darkshare.training.layers import BUILD

    monkeypatch.setitem(BUILD, Gain, built)
    model = load(pair[0])
    x = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    (output,) = write_onnx(model, tmp_path / "a.onnx")
    (wanted,) = onnx_runtime(tmp_path / "a.onnx")(x, [output.name])
    net = build(model, 1)
    assert "1.gains" in net.state_dict()
    with torch.no_grad():
        (found,) = net(torch.from_numpy(x)).values()
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_what_needs_a_rule_of_its_own_says_so(pair):
    with pytest.raises(Unsupported, match=r"a\.cfg:13: layer 1 \[gain\]: cannot be divided among branches: it has no"):
        streams_of(load(pair[0]).network, 0)


def test_every_kind_can_be_divided_among_branches_or_has_a_reason():
    assert set(RULES) | set(UNSUPPORTED) == set(ALL_KINDS)
    assert not set(RULES) & set(UNSUPPORTED)
    assert all(len(reason) > 20 for reason in UNSUPPORTED.values())


def test_every_kind_that_gives_boxes_is_decoded():
    heads = {kind for kind in ALL_KINDS if kind.gives_boxes}
    assert set(onnx_decoding.DECODE) == heads
    assert set(decoding.DECODE) == heads - {Detection}  # YOLOv1 is decoded in exported graphs only


def kinds_taken(function) -> tuple[type[Kind], ...]:
    """The kinds of the layers that a backend's function declares to take."""
    import darkshare.darknet.kinds as names

    annotation = inspect.signature(function).parameters["layer"].annotation
    if annotation == "Layer":
        return (Kind,)
    text = annotation.removeprefix("Layer[").removesuffix("]").replace("kinds.", "")
    return tuple(getattr(names, name) for name in text.split(" | "))


def test_every_function_of_a_backend_is_declared_for_its_kind():
    needs_torch()
    from darkshare.training.layers import BUILD

    for table in (LOWER, BUILD, RULES):
        for kind, function in table.items():
            if kind is not Gain:
                assert issubclass(kind, kinds_taken(function)), f"{function.__module__}.{function.__name__}"
