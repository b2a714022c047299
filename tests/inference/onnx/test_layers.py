"""Layers that few networks have, in every engine, against Darknet's loops written out."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import seeded_floats
from onnxruns import F, all_runs, assert_computes, convolved, copy_of_input, identity, model_of, net, pooled, runs

from darkshare.errors import BadValue, Unsupported
from darkshare.inference.onnx import LOWER, ExportForm, lower


def test_every_value_as_a_share_of_its_channels(tmp_path):
    """activate_array_normalize_channels and ..._softmax: 0.0001 is added to the sum."""
    text = net(3, 3, 4) + "[convolutional]\nfilters=3\nsize=1\nactivation={}\n"
    data = [-0.5, -0.5, -0.5, *(4 * np.eye(3)).ravel()]

    def relu(x):
        kept = np.maximum(4 * x - 0.5, 0)
        return kept / (kept.sum(axis=0) + 0.0001)

    def softmax(x, largest):
        power = np.exp(4 * x - 0.5 - (largest(4 * x - 0.5) if largest else 0))
        return power / (power.sum(axis=0) + 0.0001)

    assert_computes(text.format("normalize_channels"), relu, tmp_path, data=data)
    assert_computes(text.format("normalize_channels_softmax"), lambda x: softmax(x, None), tmp_path, data=data)
    name = "normalize_channels_softmax_maxval"
    assert_computes(text.format(name), lambda x: softmax(x, lambda v: v.max(axis=0)), tmp_path, data=data)


def binary(weights: np.ndarray) -> np.ndarray:
    """binarize_weights, one value at a time."""
    out = np.zeros_like(weights)
    for f, kernel in enumerate(weights):
        mean = sum(abs(v) for v in kernel.ravel()) / kernel.size
        for place, value in np.ndenumerate(kernel):
            out[(f, *place)] = mean if value > 0 else -mean
    return out


@pytest.mark.parametrize(("dialect", "groups"), [("alexeyab", 1), ("pjreddie", 2)])
def test_xnor_takes_signs_of_inputs_and_weights(tmp_path, dialect, groups):
    """binarize_cpu makes -1 of 0. AlexeyAB drops the groups of such a layer, and its padding is -1, not 0."""
    text = net(4, 5, 6) + copy_of_input(4)
    text += "[convolutional]\nxnor=1\nfilters=4\nsize=3\npad=1\ngroups=2\nbatch_normalize=1\nactivation=leaky\n"
    data = seeded_floats(model_of(text, dialect=dialect).network, 6)
    data[:20] = [-0.5] * 3 + [0] + list(np.diag([1, 1, 1, 0]).ravel())  # three shifted channels, one of zeros
    model = model_of(text, data, dialect=dialect)
    g = {name: block.astype(np.float64) for name, block in model.tensors(1).items()}
    for engine, (x, y) in runs(model, tmp_path).items():
        before = np.concatenate([x[:3] - F(0.5), np.zeros_like(x[:1])])
        signs = np.where(before > 0, 1.0, -1.0)
        padded = np.pad(signs, [(0, 0), (1, 1), (1, 1)], constant_values=-1 if dialect == "alexeyab" else 0)
        wanted = convolved(padded, binary(g["weights"]), 0, groups=groups)
        scale = (g["scales"] / np.sqrt(g["rolling_variance"] + 1e-5))[:, None, None]
        wanted = (wanted - g["rolling_mean"][:, None, None]) * scale + g["biases"][:, None, None]
        wanted = np.where(wanted > 0, wanted, 0.1 * wanted)
        np.testing.assert_allclose(y, wanted, atol=1e-5, err_msg=engine)


@pytest.mark.parametrize(
    ("size", "padding", "groups", "strides"),
    [(1, 1, 1, (1, 1)), (1, 2, 3, (1, 1)), (1, 1, 1, (2, 2)), (1, 3, 1, (1, 2)), (2, 2, 1, (1, 1)), (3, 4, 3, (1, 2))],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_padding_as_wide_as_the_kernel(tmp_path, size, padding, groups, strides, precision):
    """OpenCV 5 computed padded 1x1 kernels from foreign memory, so their padding is an operator of its own."""
    keys = f"size={size}\npadding={padding}\ngroups={groups}\nstride_x={strides[0]}\nstride_y={strides[1]}"
    text = net(3, 4, 6) + f"[convolutional]\nfilters=3\n{keys}\nactivation=linear\n"
    given = model_of(text).tensors(0)
    wanted = {"stride_x": strides[0], "stride_y": strides[1], "pad": padding, "groups": groups}
    assert_computes(
        text,
        lambda x: convolved(x, given["weights"], given["biases"], **wanted),
        tmp_path,
        precision=precision,
        tolerance=2e-5 if precision == "fp32" else 5e-3,
    )


@pytest.mark.parametrize(("dialect", "value"), [("alexeyab", -1), ("pjreddie", 0)])
def test_padded_signs_under_a_kernel_of_one(tmp_path, dialect, value):
    text = net(3, 4, 6) + "[convolutional]\nxnor=1\nfilters=2\npadding=1\nactivation=linear\n"
    given = model_of(text, dialect=dialect).tensors(0)

    def reference(x):
        signs = np.pad(np.where(x > 0, 1.0, -1.0), [(0, 0), (1, 1), (1, 1)], constant_values=value)
        return convolved(signs, binary(given["weights"]), given["biases"])

    assert_computes(text, reference, tmp_path, dialect=dialect)


def blur(x: np.ndarray, kernel: np.ndarray, stride_x: int, stride_y: int, pad: int) -> np.ndarray:
    """A convolution of each channel with the same kernel."""
    weights = np.zeros((len(x), 1, *kernel.shape))
    weights[:, 0] = kernel
    return convolved(x, weights, 0, stride_x=stride_x, stride_y=stride_y, pad=pad, groups=len(x))


@pytest.mark.parametrize(
    ("antialiasing", "kernel", "pad"),
    [(1, np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16, 1), (2, np.full((2, 2), 0.25), 0)],
)
@pytest.mark.skipif(cv2.__version__.startswith("4.7."), reason="it reads behind its array, opencv/opencv#23151")
def test_antialiasing_blurs_behind_the_layer(tmp_path, antialiasing, kernel, pad):
    keys = f"antialiasing={antialiasing}\nstride_x=2\nstride_y=3\n"
    conv = net(3, 9, 8) + f"[convolutional]\nfilters=3\nsize=1\nactivation=relu\n{keys}"
    data = [-0.5, -0.5, -0.5, *np.eye(3).ravel()]
    after = copy_of_input(3)  # the next layer reads the blurred image
    assert_computes(
        conv + after,
        lambda x: blur(np.maximum(x - 0.5, 0), kernel, 2, 3, pad),
        tmp_path,
        data=[*data, *identity(3)],
    )
    assert_computes(conv, lambda x: blur(np.maximum(x - 0.5, 0), kernel, 2, 3, pad), tmp_path, data=data)
    pool = net(3, 9, 8) + f"[maxpool]\nsize=3\n{keys}" + after
    assert_computes(pool, lambda x: blur(pooled(x, 3, 1, 1, 2), kernel, 2, 3, pad), tmp_path, data=identity(3))


def test_a_route_to_an_antialiased_layer_is_refused():
    """Its buffer has two sizes in Darknet: the blurred image lies at the start of the full one."""
    text = net(3, 8, 8) + "[convolutional]\nfilters=3\nsize=1\nstride=2\nantialiasing=1\n" + copy_of_input(3)
    text += "[route]\nlayers=0\n"
    with pytest.raises(Unsupported, match=r"layer 2 \[route\]: it reads layer 0 \[convolutional\], of which only"):
        lower(model_of(text))


@pytest.mark.parametrize(("c", "each"), [(6, 2), (6, 3), (7, 3), (5, 5), (4, 1)])
def test_maxpool_over_channels(tmp_path, c, each):
    text = net(3, 4, 5) + f"[convolutional]\nfilters={c}\nsize=1\nactivation=linear\n"
    given = model_of(text).tensors(0)

    def reference(x):
        before = convolved(x, given["weights"], given["biases"])
        return np.array([max_of(before[g::each]) for g in range(each)])

    def max_of(planes):
        return np.vectorize(max)(*planes) if len(planes) > 1 else planes[0]

    assert_computes(text + f"[maxpool]\nmaxpool_depth=1\nout_channels={each}\n", reference, tmp_path)


@pytest.mark.parametrize(
    ("size", "stride", "pad", "h", "w"), [(3, 1, 1, 5, 6), (2, 2, 0, 6, 8), (3, 2, 1, 7, 7), (1, 1, 0, 3, 2)]
)
def test_local_has_a_kernel_at_every_place(tmp_path, size, stride, pad, h, w):
    """forward_local_layer: place after place, a matrix over the window that im2col_cpu takes there."""
    text = net(3, h, w) + f"[local]\nfilters=4\nsize={size}\nstride={stride}\npad={pad}\nactivation=leaky\n"
    model = model_of(text)
    given, (_, out_h, out_w, *_) = model.tensors(0), model.network.layers[0].y

    def reference(x):
        padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad)])
        out = given["biases"].reshape(4, out_h, out_w).astype(np.float64)
        for i in range(out_h):
            for j in range(out_w):
                window = padded[:, i * stride : i * stride + size, j * stride : j * stride + size]
                for f in range(4):
                    out[f, i, j] += (given["weights"][i * out_w + j, f] * window).sum()
        return np.where(out > 0, out, 0.1 * out)

    assert_computes(text, reference, tmp_path)


@pytest.mark.parametrize("norm", [0, 1])
def test_deconvolution_spreads_each_value(tmp_path, norm):
    """forward_deconvolutional_layer: weights [c][n][size][size], col2im_cpu adds up what overlaps."""
    text = net(3, 4, 5) + f"[deconvolutional]\nfilters=2\nsize=4\nstride=2\npadding=1\nbatch_normalize={norm}\n"
    model = model_of(text + "activation=linear\n", dialect="pjreddie")
    given = {name: block.astype(np.float64) for name, block in model.tensors(0).items()}
    weights = given["weights"].reshape(3, 2, 4, 4)

    def reference(x):
        out = np.zeros((2, 10 + 2, 12 + 2))
        for c, i, j in np.ndindex(3, 4, 5):
            out[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += weights[c] * x[c, i, j]
        out = out[:, 1:9, 1:11]
        b = given["biases"][:, None, None]
        if not norm:
            return out + b
        m, v, s = (given[key][:, None, None] for key in ("rolling_mean", "rolling_variance", "scales"))
        return (out - m) / np.sqrt(v + 0.00001) * s + b

    for engine, (x, y) in runs(model, tmp_path).items():
        np.testing.assert_allclose(y, reference(x), atol=1e-5, err_msg=engine)


def test_l2norm_and_logistic(tmp_path):
    text = net(3, 4, 5)
    unit = lambda x: x / np.sqrt((x.astype(np.float64) ** 2).sum(axis=0))  # noqa: E731
    assert_computes(text + "[l2norm]\n", unit, tmp_path, dialect="pjreddie")
    assert_computes(text + "[logistic]\n", lambda x: 1 / (1 + np.exp(-x)), tmp_path, dialect="pjreddie")


@pytest.mark.parametrize(("noadjust", "w", "h"), [(0, 5, 4), (1, 4, 4), (0, 8, 7)])
def test_crop_takes_the_middle(tmp_path, noadjust, w, h):
    text = net(3, 7, 8) + f"[crop]\ncrop_width={w}\ncrop_height={h}\nnoadjust={noadjust}\n"
    top, left = int((7 - h) / 2), int((8 - w) / 2)

    def reference(x):
        middle = x[:, top : top + h, left : left + w]
        return middle if noadjust else 2 * middle - 1

    assert_computes(text, reference, tmp_path)


@pytest.mark.parametrize("reverse", [0, 1])
def test_reorg_flatten_turns_channels_and_places(tmp_path, reverse):
    """flatten in blas.c."""

    def reference(x):
        flat, out = x.ravel(), np.zeros(x.size, F)
        for c in range(3):
            for i in range(20):
                if reverse:
                    out[c * 20 + i] = flat[i * 3 + c]
                else:
                    out[i * 3 + c] = flat[c * 20 + i]
        return out

    text = net(3, 4, 5) + f"[reorg]\nstride=1\nflatten=1\nreverse={reverse}\n"
    assert_computes(text, reference, tmp_path, dialect="pjreddie")


def test_reorg_extra_appends_zeros(tmp_path):
    text = net(3, 4, 5) + "[reorg]\nstride=1\nextra=2\n"
    assert_computes(text, lambda x: np.append(x.ravel(), [0, 0]), tmp_path, dialect="pjreddie")


def test_softmax_at_each_place(tmp_path):
    def reference(x):
        power = np.exp(x.astype(np.float64))
        return power / power.sum(axis=0)

    assert_computes(net(3, 4, 5) + "[softmax]\nspatial=1\n", reference, tmp_path)


@pytest.mark.parametrize("kind", ["per_feature", "per_channel"])
@pytest.mark.parametrize("normalization", ["none", "relu", "softmax"])
def test_weighted_shortcut(tmp_path, kind, normalization):
    """shortcut_multilayer_cpu with weights: one per source, or one per source and channel of the result."""
    channels = (4, 6, 3)  # the two sources, the layer before
    text = net(3, 3, 5) + "".join(f"[convolutional]\nfilters={n}\nsize=1\nactivation=linear\n" for n in channels)
    text += f"[shortcut]\nfrom=-3,-2\nactivation=linear\nweights_type={kind}\nweights_normalization={normalization}\n"
    model = model_of(text, seed=8)
    w = model.tensors(3)["weights"].astype(np.float64).reshape(3, -1)
    assert w.shape == (3, 3 if kind == "per_channel" else 1)

    def share(c):
        column = w[:, c % w.shape[1]]
        if normalization == "none":
            return column
        kept = np.exp(column - column.max()) if normalization == "softmax" else np.maximum(column, 0)
        return kept / (0.0001 + sum(kept))

    for engine, (x, y) in runs(model, tmp_path).items():
        layers = [x]
        for i in range(3):
            g = model.tensors(i)
            layers.append(convolved(layers[-1], g["weights"], g["biases"]))
        for c in range(3):
            own, first, second = share(c)
            wanted = own * layers[3][c] + first * layers[1][c] + second * layers[2][c]
            np.testing.assert_allclose(y[c], wanted, atol=1e-5, err_msg=engine)


def test_a_normalization_that_darknet_refuses():
    text = net(3, 3, 5) + copy_of_input(3) * 2 + "[shortcut]\nfrom=0\nweights_type=per_feature\n"
    with pytest.raises(BadValue, match=r"layer 2 \[shortcut\]: weights_normalization=max: use none, relu or softmax"):
        lower(model_of(text + "weights_normalization=max\n"))


@pytest.mark.parametrize(("c", "h", "w"), [(4, 8, 6), (2, 7, 5), (3, 9, 9)])
def test_a_shortcut_from_a_larger_image_takes_every_nth_value(tmp_path, c, h, w):
    """shortcut_cpu (pjreddie): stride = w1 / w2, so far as both have channels."""
    text = net(3, h, w) + f"[convolutional]\nfilters={c}\nsize=1\nactivation=linear\n"
    text += "[convolutional]\nfilters=3\nsize=3\nstride=2\npad=1\nactivation=linear\n[shortcut]\nfrom=0\n"
    model = model_of(text, dialect="pjreddie")
    a, b = model.tensors(0), model.tensors(1)
    for engine, (x, y) in runs(model, tmp_path).items():
        first = convolved(x, a["weights"], a["biases"])
        wanted = convolved(first, b["weights"], b["biases"], stride_x=2, stride_y=2, pad=1)
        stride = first.shape[2] // wanted.shape[2]  # an int in C
        for k in range(min(c, 3)):
            for j in range(wanted.shape[1]):
                for i in range(wanted.shape[2]):
                    wanted[k, j, i] += first[k, stride * j, stride * i]
        np.testing.assert_allclose(y, wanted, atol=1e-5, err_msg=engine)


def test_alpha_and_beta_of_a_shortcut(tmp_path):
    text = net(3, 4, 4) + copy_of_input(3) * 2 + "[shortcut]\nfrom=0\nalpha=0.5\nbeta=2\n"
    assert_computes(text, lambda x: 2.5 * x, tmp_path, data=identity(3) * 2, dialect="pjreddie")


@pytest.mark.parametrize(("join", "by_hand"), [("scale_channels", np.multiply), ("shortcut", np.add)])
def test_implicit_values_are_the_same_for_every_picture(tmp_path, join, by_hand):
    """Reads nothing; here it scales the image's channels, or is added to them behind a route."""
    text = net(3, 1, 1) + copy_of_input(3) + f"[implicit]\nfilters=3\n[{join}]\nfrom=0\n"
    values = np.array([0.5, -2, 3], F)
    model = model_of(text, [*identity(3), *values])
    for batch in (1, 2):
        for engine, x, (y,) in all_runs(model, tmp_path, batch=batch, form=ExportForm(batch=batch)):
            np.testing.assert_allclose(y[:, :, 0, 0], by_hand(x[:, :, 0, 0], values), rtol=1e-6, err_msg=engine)
    with pytest.raises(Unsupported, match="give the batch a fixed size"):
        lower(model, ExportForm(batch=None))


def test_classifier_behind_values_that_are_no_image(tmp_path):
    """A matrix over what [cost] passes on."""
    text = net(3, 2, 2) + "[cost]\n[connected]\noutput=2\nactivation=linear\n"
    model = model_of(text)
    given = model.tensors(1)

    def reference(x):
        return given["weights"] @ x.ravel() + given["biases"]

    for engine, (x, y) in runs(model, tmp_path).items():
        np.testing.assert_allclose(y.ravel(), reference(x), atol=1e-5, err_msg=engine)


def test_the_reference_names_every_layer_that_has_an_onnx_form():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "onnx.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w]+", page.partition("## Layers")[2].partition("Darknet's forks")[0]))
    assert {kind.names[0] for kind in LOWER} <= named
