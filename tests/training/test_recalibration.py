"""Statistics of batch norm measured again, against the same sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import tiny_text
from models import model as small_detector
from residuals import model, small_resnet

torch = pytest.importorskip("torch", reason="recalibration needs PyTorch; pip install 'darkshare[train]'")

from darkshare.errors import BadValue  # noqa: E402
from darkshare.inference.classification import cropped  # noqa: E402
from darkshare.inference.preprocess import preprocess  # noqa: E402
from darkshare.surgery.residual import branch, reduce  # noqa: E402
from darkshare.training.recalibration import recalibrated  # noqa: E402

STATISTICS = ("rolling_mean", "rolling_variance")


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (48, 80, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def base():
    return reduce(small_resnet(), "first")


def convolved(model, images) -> np.ndarray:
    """What the first convolution gives before its batch norm, of the pictures' middles."""
    return first_layer(model, [cropped(image, model.network) for image in images])


def first_layer(model, images) -> np.ndarray:
    x = torch.from_numpy(np.concatenate([preprocess(image, model.network) for image in images]))
    weights = torch.from_numpy(np.array(model.tensors(0)["weights"]))
    conv = model.network.layers[0].kind
    return torch.nn.functional.conv2d(x, weights, stride=conv.stride, padding=conv.pads).numpy()


def test_the_statistics_are_the_means_over_the_batches(base):
    images = pictures(9)
    found = recalibrated(base, images, batch=4).tensors(0)
    halves = [convolved(base, images[:4]), convolved(base, images[4:8])]  # the ninth would be alone
    mean = np.mean([half.mean((0, 2, 3)) for half in halves], axis=0)
    variance = np.mean([half.var((0, 2, 3), ddof=1) for half in halves], axis=0)
    np.testing.assert_allclose(found["rolling_mean"], mean, atol=1e-5)
    np.testing.assert_allclose(found["rolling_variance"], variance, rtol=1e-4)


def test_a_detector_sees_whole_pictures():
    detector, images = small_detector(tiny_text()), pictures(4)
    found = recalibrated(detector, images).tensors(0)
    whole, middle = first_layer(detector, images), convolved(detector, images)
    np.testing.assert_allclose(found["rolling_mean"], whole.mean((0, 2, 3)), atol=1e-5)
    assert not np.allclose(found["rolling_mean"], middle.mean((0, 2, 3)), atol=1e-5)


def test_nothing_else_changes(base):
    found = recalibrated(base, pictures(4))
    for layer in base.network.layers:
        for name, values in base.tensors(layer.index).items():
            same = np.array_equal(values, found.tensors(layer.index)[name])
            assert same == (name not in STATISTICS), (layer.label, name)
    assert found.weights.header == base.weights.header
    assert found.network is base.network


def test_nothing_is_dropped():
    text = "[net]\nwidth=16\nheight=16\nchannels=3\n"
    conv = "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
    text += conv + "[dropout]\nprobability=.5\n" + conv + "[avgpool]\n[softmax]\n"
    found = [recalibrated(model(text), pictures(4)) for _ in range(2)]
    without = recalibrated(model(text.replace(".5", "0")), pictures(4))
    for one in found:
        for name in STATISTICS:
            np.testing.assert_array_equal(one.tensors(2)[name], without.tensors(2)[name])


def test_a_second_time_finds_the_same(base):
    """What a batch is normalised by is its own, so the statistics before do not matter."""
    once = recalibrated(base, pictures(8), batch=4)
    again = recalibrated(once, iter(pictures(8)), batch=4)
    np.testing.assert_allclose(
        once.weights.view(0, once.weights.size), again.weights.view(0, again.weights.size), atol=1e-6
    )


def test_an_activation_is_normalised_with_them(base):
    """With one batch, scales 1 and biases 0, what leaves the first batch norm has mean 0 and variance 1."""
    images = pictures(6)
    found = recalibrated(base, images, batch=6).tensors(0)
    y = convolved(base, images)
    normal = (y - found["rolling_mean"].reshape(-1, 1, 1)) / np.sqrt(found["rolling_variance"].reshape(-1, 1, 1))
    np.testing.assert_allclose(normal.mean((0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(normal.var((0, 2, 3)), 1, atol=1e-2)


def test_branches_are_measured_and_their_trunk_stays(base):
    branched = branch(base, "block 2", 2, init="rrr", widths=(11, 26))
    found = recalibrated(branched, pictures(4), k=15)
    start = base.network.start(15)
    np.testing.assert_array_equal(found.weights.view(0, start), base.weights.view(0, start))
    moved = [
        layer.index
        for layer in branched.network.layers[15:]
        if "rolling_mean" in branched.tensors(layer.index)
        and not np.array_equal(
            branched.tensors(layer.index)["rolling_mean"], found.tensors(layer.index)["rolling_mean"]
        )
    ]
    assert len(moved) == 2 * 6
    assert found.tasks == branched.tasks


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures(base, count):
    with pytest.raises(BadValue, match="needs at least two pictures"):
        recalibrated(base, pictures(count))


def test_no_batch_norm(base):
    last = max(layer.index for layer in base.network.layers if layer.tensors)  # the classifier, which has none
    with pytest.raises(BadValue, match=f"has no batch norm from layer {last} on"):
        recalibrated(base, pictures(2), k=last)
