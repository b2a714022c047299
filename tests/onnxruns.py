"""Exported files in every engine that is installed, and what Darknet's C loops would compute."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
from conftest import network_of, seeded_floats

from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Header, Weights
from darkshare.inference.onnx import INPUT, ExportForm, read_exported, write_onnx

F = np.float32
Run = Callable[[np.ndarray, list[str]], list[np.ndarray]]
KINDS = """\
[net]
width=16
height=16
channels=4

[convolutional]
filters=8
size=3
pad=1
batch_normalize=1
activation=relu6

[convolutional]
filters=8
size=3
pad=1
groups=8
activation=mish

[shortcut]
from=-2
activation=swish
weights_type=per_channel

[convolutional]
filters=9
size=1
padding=1
stride=2
activation=relu

[maxpool]
size=3
stride=1
antialiasing=0

[reorg]
stride=3

[convolutional]
filters=6
size=1
groups=3
activation=logistic

[avgpool]

[connected]
output=5
activation=linear

[softmax]
"""


def model_of(text: str, data: np.ndarray | None = None, seed: int = 1, **how) -> Model:
    """A model in memory; its weights are seeded unless given."""
    network = network_of(text, **how)
    floats = seeded_floats(network, seed) if data is None else np.asarray(data, "<f4")
    heads = tuple(layer.index for layer in network.heads)
    names = tuple(
        f"class_{i}" for i in range(min((head.classes for head in network.heads if head.classes), default=99))
    )
    return Model(network, Weights(Header(), (floats,)), (Task("test", names, heads, ((0, len(network.layers)),)),))


def net(c: int, h: int, w: int) -> str:
    return f"[net]\nwidth={w}\nheight={h}\nchannels={c}\n"


YOLO = "[yolo]\nmask=0,2\nanchors=4,5, 8,9, 16,20\nclasses=3\nnum=3\n"
HEADS = {
    "yolo": (16, YOLO + "scale_x_y=1.2\n"),
    "new_coords": (16, YOLO + "new_coords=1\nscale_x_y=2\n"),
    "gaussian": (24, "[Gaussian_yolo]\nmask=1,0\nanchors=4,5, 8,9\nclasses=3\nnum=2\nscale_x_y=1.05\n"),
    "gaussian left_top": (12, "[Gaussian_yolo]\nmask=0\nanchors=4,5\nclasses=3\nnum=1\nyolo_point=left_top\n"),
    "gaussian right_bottom": (12, "[Gaussian_yolo]\nmask=0\nanchors=4,5\nclasses=3\nnum=1\nyolo_point=right_bottom\n"),
    "region": (16, "[region]\nanchors=1,2, 0.5,0.7\nclasses=3\nnum=2\nsoftmax=1\n"),
}


def boxes_model(name: str, **how) -> Model:
    """A head on a 6x4 grid, with three classes, on logits between about -3 and 3."""
    filters, head = HEADS[name]
    activation = "logistic" if name == "new_coords" else "linear"
    text = net(3, 32, 48) + "[maxpool]\nsize=8\nstride=8\npadding=0\n"
    text += f"[convolutional]\nsize=1\nfilters={filters}\nactivation={activation}\n{head}"
    size = filters * 4
    data = np.random.default_rng(7).standard_normal(size)
    found = model_of(text, 2 * data, **how)
    task = replace(found.tasks[0], names=("a", "b", "c"))
    return replace(found, tasks=(task,))


def copy_of_input(c: int) -> str:
    """A convolution of c filters that copies the input: `identity` are its weights."""
    return f"[convolutional]\nfilters={c}\nsize=1\nactivation=linear\n"


def identity(c: int) -> list[float]:
    return [*np.zeros(c), *np.eye(c).ravel()]


def input_of(model: Model, *, batch: int = 1, seed: int = 3) -> np.ndarray:
    """A batch for the network, 0..1 in the steps that pictures have."""
    shape = (batch, *model.network.input[:3])
    return np.random.default_rng(seed).integers(0, 256, shape).astype(F) / F(255)


def inputs_of(model: Model, count: int) -> list[np.ndarray]:
    """Several pictures for a quantiser."""
    return [input_of(model, seed=seed) for seed in range(count)]


def opencv(path: Path, *engine: int) -> Run:
    net = cv2.dnn.readNetFromONNX(str(path), *engine)

    def run(x: np.ndarray, names: list[str]) -> list[np.ndarray]:
        net.setInput(x)
        return list(net.forward(names))

    return run


def onnx_runtime(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x, names: session.run(names, {INPUT: x})


def loaders() -> dict[str, Callable[[Path], Run]]:
    """How each engine that is installed loads a file."""
    found: dict[str, Callable[[Path], Run]] = {"OpenCV": opencv}
    if hasattr(cv2.dnn, "ENGINE_NEW"):
        found = {
            "OpenCV new": lambda path: opencv(path, cv2.dnn.ENGINE_NEW),
            "OpenCV classic": lambda path: opencv(path, cv2.dnn.ENGINE_CLASSIC),
        }
    if importlib.util.find_spec("onnxruntime"):
        found["ONNX Runtime"] = onnx_runtime
    return found


def engines(path: Path) -> Iterator[tuple[str, Run]]:
    """Every engine that is installed, with the file loaded."""
    for name, load in loaders().items():
        yield name, load(path)


def all_runs(
    model: Model, tmp_path: Path, *, batch: int = 1, form: ExportForm | None = None, **how
) -> Iterator[tuple[str, np.ndarray, list]]:
    """(engine, input, outputs) of a model in every engine."""
    path = tmp_path / "network.onnx"
    how = how if form is None else vars(form)
    names = list(dict.fromkeys(output.name for output in write_onnx(model, path, **how)))
    onnx.checker.check_model(str(path), full_check=True)
    if not how.get("decode"):
        pairs = zip(read_exported(path).model.network.layers, model.network.layers, strict=True)
        assert all((a.kind, a.sources, a.x, a.y) == (b.kind, b.sources, b.x, b.y) for a, b in pairs)
    x = input_of(model, batch=batch)
    for engine, run in engines(path):
        if how.get("precision") != "fp16" or engine != "OpenCV classic":  # OpenCV 5's classic engine has no fp16
            yield engine, x, run(x, names)


def runs(model: Model, tmp_path: Path, **how) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(input, last output) of a model in every engine, of one picture."""
    return {engine: (x[0], found[-1][0]) for engine, x, found in all_runs(model, tmp_path, **how)}


def assert_computes(
    text: str, reference, tmp_path: Path, *, data=None, tolerance: float = 2e-5, dialect: str = "alexeyab", **how
) -> None:
    """Every engine gives what the reference makes of the input."""
    for engine, (x, y) in runs(model_of(text, data, dialect=dialect), tmp_path, **how).items():
        wanted = reference(x)
        assert y.size == wanted.size, engine
        np.testing.assert_allclose(y.reshape(wanted.shape), wanted, atol=tolerance, rtol=tolerance, err_msg=engine)


# What Darknet's C loops compute, one value at a time.


def pooled(x: np.ndarray, size: int, stride_x: int, stride_y: int, pad: int, *, average: bool = False) -> np.ndarray:
    """forward_maxpool_layer and forward_local_avgpool_layer (maxpool_layer.c)."""
    c, h, w = x.shape
    out_h, out_w = (h + pad - size) // stride_y + 1, (w + pad - size) // stride_x + 1
    out = np.zeros((c, out_h, out_w), F)
    for k in range(c):
        for i in range(out_h):
            for j in range(out_w):
                values = []
                for n in range(size):
                    for m in range(size):
                        cur_h, cur_w = int(-pad / 2) + i * stride_y + n, int(-pad / 2) + j * stride_x + m
                        if 0 <= cur_h < h and 0 <= cur_w < w:
                            values.append(x[k, cur_h, cur_w])
                out[k, i, j] = np.mean(values) if average else max(values)
    return out


def reorganised(x: np.ndarray, c: int, h: int, w: int, stride: int, *, forward: bool) -> np.ndarray:
    """reorg_cpu (blas.c) on flat buffers, with out_c, out_h, out_w = c, h, w."""
    x, out = x.ravel(), np.zeros(x.size, F)
    in_c = c // stride**2
    for k in range(c):
        for j in range(h):
            for i in range(w):
                in_index = i + w * (j + h * k)
                c2, offset = k % in_c, k // in_c
                w2, h2 = i * stride + offset % stride, j * stride + offset // stride
                out_index = w2 + w * stride * (h2 + h * stride * c2)
                if forward:
                    out[out_index] = x[in_index]
                else:
                    out[in_index] = x[out_index]
    return out


def convolved(x, weights, bias, *, stride_x=1, stride_y=1, pad=0, dilation=1, groups=1) -> np.ndarray:
    """forward_convolutional_layer with im2col_cpu_ext: padding times dilation, groups one after another."""
    n, _, size, _ = weights.shape
    c, h, w = x.shape
    pad *= dilation
    reach = dilation * (size - 1) + 1
    out = np.zeros((n, (h + 2 * pad - reach) // stride_y + 1, (w + 2 * pad - reach) // stride_x + 1), np.float64)
    for f in range(n):
        group = f // (n // groups)
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for cc in range(c // groups):
                    for a in range(size):
                        for b in range(size):
                            row, col = i * stride_y - pad + a * dilation, j * stride_x - pad + b * dilation
                            if 0 <= row < h and 0 <= col < w:
                                out[f, i, j] += weights[f, cc, a, b] * x[group * (c // groups) + cc, row, col]
    return out + np.reshape(bias, (-1, 1, 1))


def chain(x: np.ndarray, given: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """The flat outputs of 1x1 convolutions one behind the other."""
    found: list[np.ndarray] = []
    for one in given:
        after = convolved(found[-1].reshape(-1, *x.shape[1:]) if found else x, one["weights"], one["biases"])
        found.append(after.astype(F).ravel())
    return found
