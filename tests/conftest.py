"""What all tests share: settings, where the public files lie, tiny models built in code, seeded weights."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests themselves run side by side

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, settings

from darkshare.cli import main
from darkshare.darknet.cfg import parse
from darkshare.darknet.network import Network, resolve
from darkshare.darknet.weights import Header

sys.modules["conftest"] = sys.modules[__name__]  # tests import from it, and must get this very module

# A slow or busy machine is not a fault.
settings.register_profile("darkshare", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("darkshare")

ROOT = Path(__file__).parent.parent
ZOO = Path(os.environ.get("DARKSHARE_ZOO", ROOT.parent / "shared"))

TINY = """\
[net]
width=32
height=32
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky

[shortcut]
from=-2
activation=linear

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=16
size=3
stride=1
pad=1
activation=leaky

[convolutional]
size=1
stride=1
pad=1
filters={filters}
activation=linear

[yolo]
mask=0,1
anchors=4,5, 8,9, 16,20
classes={classes}
num=3

[route]
layers=-3

[convolutional]
batch_normalize=1
filters=4
size=1
stride=1
pad=1
activation=leaky

[upsample]
stride=2

[route]
layers=-1,2

[convolutional]
size=1
stride=1
pad=1
filters={filters}
activation=linear

[yolo]
mask=1,2
anchors=4,5, 8,9, 16,20
classes={classes}
num=3
"""


def tiny_text(classes: int = 2) -> str:
    """A network of 13 layers with every join that detectors use, two heads and a shortcut into layer 0."""
    return TINY.format(classes=classes, filters=2 * (classes + 5))


TRAINABLE = tiny_text().replace("channels=3", "channels=3\nlearning_rate=0.002\nburn_in=1000\nmax_batches=5000")


def network_of(text: str, **how) -> Network:
    return resolve(parse(text, "test.cfg"), **how)


def seeded_floats(network: Network, seed: int, *, scale: float = 0.2) -> np.ndarray:
    """Reproducible weights: positive variances near 1, scales near 1, the rest around 0."""
    rng = np.random.default_rng(seed)
    data = (rng.standard_normal(network.params) * scale).astype("<f4")
    for layer in network.layers:
        begin = layer.start
        for tensor in layer.tensors:
            part = data[begin : begin + tensor.size]
            if tensor.name.endswith("variance"):
                part[:] = rng.uniform(0.8, 1.2, tensor.size)
            elif tensor.name.endswith("scales"):
                part[:] = rng.uniform(0.7, 1.3, tensor.size)
            begin += tensor.size
    return data


def write_model(
    stem: Path, text: str, data: np.ndarray, *, header: Header | None = None, names: tuple[str, ...] = ()
) -> Path:
    """Write <stem>.cfg and .weights (and .names); returns the cfg's path."""
    cfg = stem.with_suffix(".cfg")
    cfg.write_bytes(text.encode())
    stem.with_suffix(".weights").write_bytes((header or Header()).to_bytes("alexeyab") + data.astype("<f4").tobytes())
    if names:
        stem.with_suffix(".names").write_text("".join(f"{name}\n" for name in names))
    return cfg


def write_pair(folder: Path) -> tuple[Path, Path]:
    """Write two detectors that share their first four layers; returns the paths of their cfgs, base and other."""
    network = network_of(TRAINABLE)
    first, second = seeded_floats(network, 1), seeded_floats(network, 2)
    second[: network.start(4)] = first[: network.start(4)]
    names = ("red", "blue")
    return (
        write_model(folder / "base", TRAINABLE, first, names=names),
        write_model(folder / "other", TRAINABLE, second, names=names),
    )


def fingerprint_by_hand(path: Path) -> str:
    """The fingerprint of a file as docs/reference/formats.md describes it."""
    data, crcs = path.read_bytes(), b""
    for start, stop in [(0, 20), *((at, at + 2**18) for at in range(20, len(data), 2**18))]:
        piece = data[start:stop]
        if len(piece) == 2**18:
            words = [int.from_bytes(piece[at : at + 8], "little") for at in range(0, len(piece), 8)]
            sums = [sum(words[at : 64 * 509 : 509]) % 2**64 for at in range(509)]
            piece = b"".join(number.to_bytes(8, "little") for number in (*sums, *words[64 * 509 :]))
        crcs += zlib.crc32(piece).to_bytes(4, "little") if piece else b""
    return f"sums:{hashlib.sha256(crcs).hexdigest()}"


def run(*words: object, code: int | None = None, **how: Any) -> Result:
    """Give the command line these words, in this process.

    Args:
        words: the command, its arguments and options.
        code: the exit status that it must have; any where it is None.
        how: passed on to click, such as `input`.
    """
    result = CliRunner().invoke(main, [str(word) for word in words], **how)
    assert code in (None, result.exit_code), result.output
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


_marks: set[str] = set()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember the marks of the test that now begins; skip it if it needs what OpenCV 5 has not."""
    _marks.clear()
    _marks.update(mark.name for mark in item.iter_markers())
    if "importer" in _marks and not hasattr(cv2.dnn, "readNetFromDarknet"):
        pytest.skip("OpenCV 5 has no Darknet importer; run this with OpenCV 4")


def zoo_path(*parts: str) -> Path:
    """A public file, or a skip that says where it should be; for tests that are marked `zoo`."""
    assert "zoo" in _marks, "a test that needs public files is marked: @pytest.mark.zoo"
    path = ZOO.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is missing; set DARKSHARE_ZOO to the folder that holds it")
    return path


def zoo_cfgs(fork: str) -> list[Path]:
    """All public cfgs of a fork; empty where the collection is missing."""
    return sorted((ZOO / "zoo" / fork).rglob("*.cfg"))


def needs_torch() -> None:
    pytest.importorskip("torch", reason="training needs PyTorch")


def growth(prepared: Callable[[int], Callable[[], object]], size: int) -> float:
    """Four times the input: how many times the processor time. About 4 where it is linear, 16 where it is quadratic.

    Args:
        prepared: builds an input of that size, and returns what is to be measured.
        size: the smaller of the two.
    """
    runs = [prepared(size), prepared(4 * size)]
    ratios = []
    gc.disable()  # what other tests have left in memory is not what is measured
    try:
        for _ in range(5):
            taken = []
            for run in runs:
                begun = thread_time()
                run()
                taken.append(thread_time() - begun)
            ratios.append(taken[1] / taken[0])  # of two runs one behind the other: a processor's speed comes and goes
    finally:
        gc.enable()
    return median(ratios)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small detector on disk: tiny.cfg and tiny.weights, 2 classes."""
    text = tiny_text()
    return write_model(tmp_path / "tiny", text, seeded_floats(network_of(text), 1))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A small detector that says how it is trained: base.cfg, base.weights and base.names, 2 classes."""
    return write_model(tmp_path / "base", TRAINABLE, seeded_floats(network_of(TRAINABLE), 1), names=("cat", "dog"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings in this process leave an empty file for their figure, which takes longer than the training itself."""
    if find_spec("torch"):  # else there are no trainings
        monkeypatch.setattr("darkshare.training.journal.plot_training", lambda entries, path, **how: path.touch())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of 20 pictures to train on and 4 to validate on."""
    from labelled import draw, write_data

    return write_data(tmp_path, draw(tmp_path, 24), valid=4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that sees something everywhere: its heads' values are around 1."""
    text = tiny_text()
    network = network_of(text)
    data = seeded_floats(network, 1)
    for head in (5, 11):
        data[network.start(head) : network.start(head + 1)] *= 0.05
        data[network.start(head) : network.start(head) + 14] = 1
    return write_model(tmp_path / "tiny", text, data, names=("cat", "dog"))
