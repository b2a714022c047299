"""Residual networks in memory, with weights that keep activations and probabilities moderate."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from architectures import darknet53_text, resnet152_text
from conftest import network_of
from onnxruns import input_of, model_of, onnx_runtime

from darkshare.darknet.kinds import Convolutional, Shortcut, Softmax
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.darknet.tasks import Task
from darkshare.inference.onnx import write_onnx

SMALL_RESNET = ((8, 2), (16, 3), (32, 2), (64, 1))
SMALL_DARKNET = ((8, 1), (16, 2), (32, 2), (64, 3))


def moderate_floats(network: Network, seed: int = 1) -> np.ndarray:
    """Kernels scaled by their fan-in, batch norm near the identity."""
    rng = np.random.default_rng(seed)
    data = np.zeros(network.params, "<f4")
    for layer in network.layers:
        begin = layer.start
        for tensor in layer.tensors:
            part = data[begin : begin + tensor.size]
            begin += tensor.size
            if tensor.name == "weights":
                part[:] = rng.standard_normal(tensor.size) * np.sqrt(1.5 / max(1, math.prod(tensor.shape[1:])))
            elif tensor.name in ("scales", "rolling_variance"):
                part[:] = rng.uniform(0.7, 1.3, tensor.size)
            else:
                part[:] = rng.standard_normal(tensor.size) * 0.1
    return data


def model(text: str, seed: int = 1, **how) -> Model:
    """A model with moderate weights whose one task has the heads' classes and its own [net]."""
    network = network_of(text, **how)
    head = network.heads[0]
    classes = getattr(head.kind, "classes", head.y.size)
    found = model_of(text, moderate_floats(network, seed), **how)
    net = network.cfg.sections[0].options
    task = replace(found.tasks[0], name="net", names=tuple(f"class_{i}" for i in range(classes)), net=net)
    return replace(found, tasks=(task,))


def without_weights(text: str, **how) -> Model:
    """The same for networks that are only measured."""
    network = network_of(text, **how)
    net = network.cfg.sections[0].options
    heads = tuple(head.index for head in network.heads)
    return Model(network, None, (Task("net", (), heads, ((0, len(network.layers)),), net=net),))


def small_resnet(**how) -> Model:
    return model(resnet152_text(classes=5, size=64, stages=SMALL_RESNET), **how)


def small_resnext(**how) -> Model:
    """Its groups have 2 channels where a small_resnet has 8, and 16 where it has 64."""
    return model(resnet152_text(classes=5, size=64, stages=SMALL_RESNET, groups=4), **how)


def small_darknet(**how) -> Model:
    return model(darknet53_text(classes=5, size=64, stages=SMALL_DARKNET), **how)


def outputs(found: Model, tmp_path: Path) -> dict[int, np.ndarray]:
    """What ONNX Runtime gives for each head, by layer."""
    path = tmp_path / "network.onnx"
    given = write_onnx(found, path)
    values = onnx_runtime(path)(input_of(found), [output.name for output in given])
    return {output.layer.index: value.ravel() for output, value in zip(given, values, strict=True)}


def output(found: Model, tmp_path: Path) -> np.ndarray:
    """What the model's first task gives."""
    return outputs(found, tmp_path)[found.tasks[0].heads[-1]]


def assert_plain(network: Network) -> None:
    """Nothing that one of the engines computes in its own way (strides of 1x1, groups of softmax, factors)."""
    for layer in network.layers:
        kind = layer.kind
        if isinstance(kind, Convolutional):
            assert kind.size > 1 or kind.strides == (1, 1), layer.label
        if isinstance(kind, Softmax):
            assert kind.groups == 1, layer.label
        if isinstance(kind, Shortcut):
            assert (kind.alpha, kind.beta, len(kind.from_)) == (1, 1, 1), layer.label
            assert layer.section.get("alpha") is layer.section.get("beta") is None, layer.label
