"""Layers beside a trunk, which read it and add to what the rest reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import network_of, zoo_path
from models import WITH_STAGES, floats, model, retrained

from darkshare import concat, verify
from darkshare.darknet.cut_points import legal_cuts
from darkshare.darknet.kinds import Convolutional
from darkshare.darknet.model import Model, load, save
from darkshare.errors import BadValue, Unsupported
from darkshare.inference.engines import presence
from darkshare.surgery.sides import Side, with_side

NETS = {"yolov3": 75, "yolov3-tiny": 13, "yolov4-tiny": 27, "yolov4": 105, "yolov7-tiny": 40, "yolov4-csp": 120}


@pytest.fixture(scope="module")
def plain() -> Model:
    return model(WITH_STAGES, "plain")


def kinds(network) -> list[tuple[str, object, object]]:
    """The kind, the layers read and the channels of each layer."""
    return [(layer.kind.name, layer.inputs, layer.y.c) for layer in network.layers]


def test_its_layers(plain):
    """From 8x12 down to 4x6 and 2x3, joined by the last sum of 4x6, and added to both outputs that the branch reads."""
    assert kinds(with_side(plain, 8, Side(5)).network)[8:] == [
        ("route", (1,), 6), ("convolutional", (8,), 5), ("route", (4,), 8), ("convolutional", (10,), 5),
        ("shortcut", (11, 9), 5), ("convolutional", (12,), 12), ("shortcut", (13, 5), 12),
        ("route", (12,), 5), ("convolutional", (15,), 10), ("convolutional", (16,), 10), ("shortcut", (17, 7), 10),
        ("convolutional", (18,), 18), ("yolo", (19,), 18), ("route", (18,), 10), ("upsample", (21,), 10),
        ("route", (22, 14), 22), ("convolutional", (23,), 18), ("yolo", (24,), 18),
    ]  # fmt: skip


def test_its_layers_learn_faster_than_the_rest(plain):
    made = with_side(plain, 8, Side(5)).network.of_kind(Convolutional)
    assert [layer.kind.learning_rate for layer in made[6:]] == [10] * 5 + [1] * 2


def test_a_width_like_the_trunks_needs_no_convolution_to_join(plain):
    assert kinds(with_side(plain, 8, Side(8)).network)[8:11] == [
        ("route", (1,), 6), ("convolutional", (8,), 8), ("shortcut", (9, 4), 8),
    ]  # fmt: skip


@pytest.mark.parametrize("k", [3, 5, 6, 7, 8, 11, 12])
def test_it_computes_the_same_alone_and_merged(plain, k, tmp_path):
    """And the trunk stays, byte for byte; the convolutions go on as those of the trunk do."""
    text = retrained(plain, WITH_STAGES, "text", k)
    made = with_side(text, k, Side(3), seed=2)
    start = plain.network.start(k)
    assert np.array_equal(floats(made)[:start], floats(plain)[:start])
    written, before = (one.network.cfg.sections[: k + 1] for one in (made, text))
    assert written == before
    added = made.network.layers[k : k + len(made.network.layers) - len(text.network.layers)]
    own = [layer.kind for layer in added if isinstance(layer.kind, Convolutional)]
    assert {one.activation for one in own} == {"mish", "linear"}
    for name, one in {"plain": plain, "text": text, "made": made, "both": concat([plain, made], k)}.items():
        save(one, tmp_path / name)
    paths = {name: str(tmp_path / f"{name}.cfg") for name in ("plain", "text", "made", "both")}
    for found in (verify(paths["made"], paths["text"]), verify(paths["both"], paths["plain"], paths["made"])):
        assert found.is_equal
        assert {one.largest for one in found} == {0.0}


def heard(made: Model, k: int, more: int) -> Model:
    """The model with scales of 1 in the side's convolutions, of which the last have 0 at first."""
    weights = floats(made).copy()
    for layer in made.network.layers[k : k + more]:
        if isinstance(layer.kind, Convolutional):
            at = layer.start + layer.kind.filters
            weights[at : at + layer.kind.filters] = 1
    assert made.weights is not None
    return replace(made, weights=replace(made.weights, runs=(weights,)))


def test_what_it_adds_is_heard_once_its_scales_are_not_0(plain, tmp_path):
    """So that a side which nothing reads would be seen."""
    save(plain, tmp_path / "plain")
    save(heard(with_side(plain, 8, Side(3), seed=2), 8, 11), tmp_path / "made")
    found = verify(str(tmp_path / "made.cfg"), str(tmp_path / "plain.cfg"))
    assert all(one.largest > 0 for one in found)


@pytest.fixture(scope="module")
def sided(plain) -> Model:
    """A network for another task with a side that counts."""
    return heard(with_side(retrained(plain, WITH_STAGES, "text", 8), 8, Side(3), seed=2), 8, 11)


@pytest.mark.parametrize("engine", ["opencv", "onnxruntime"])
def test_merged_it_computes_in_both_engines_what_it_computes_alone(plain, sided, engine, tmp_path):
    if not presence(engine).version:
        pytest.skip(f"{engine} is not installed")
    merged = concat([plain, sided], 8)
    found = verify(merged, plain, sided, engine=engine)
    assert found.is_equal
    assert {one.largest for one in found} == {0.0}


def importer_heads(one: Model, stem: Path) -> list[np.ndarray]:
    """What enters the heads, by OpenCV 4's own reading of the model's files."""
    save(one, stem)
    dnn: Any = cv2.dnn
    net = dnn.readNetFromDarknet(f"{stem}.cfg", f"{stem}.weights")
    shape = one.network.input
    net.setInput(np.random.default_rng(3).random((1, shape.c, shape.h, shape.w), np.float32))
    return [values[0] for values in net.forward([f"conv_{head - 1}" for head in one.heads])]


@pytest.mark.importer
@pytest.mark.parametrize("layout", ["native", "padded"])
@pytest.mark.parametrize("k", [None, pytest.param(66, marks=pytest.mark.zoo), pytest.param(109, marks=pytest.mark.zoo)])
def test_the_importer_computes_merged_what_it_computes_alone(plain, sided, k, layout, tmp_path):
    """Of the padded heads, which have the classes of both, those of the own task."""
    base, other = plain, sided
    if k is not None:
        base = load(zoo_path("models", "f10-coco", "f10-coco.cfg"))
        made = with_side(base, k, Side(), seed=2)
        other = heard(made, k, len(made.network.layers) - len(base.network.layers))
    merged = concat([base, other], k or 8, layout=layout)
    together = importer_heads(merged, tmp_path / "both")
    apart = [importer_heads(one, tmp_path / "alone") for one in (base, other)]
    assert not all(np.array_equal(a, b) for a, b in zip(*apart, strict=True))
    tasks = [task for task in merged.tasks for _ in task.heads]
    for task, found, alone in zip(tasks, together, [*apart[0], *apart[1]], strict=True):
        boxes = found.reshape(3, -1, *found.shape[1:])
        own = [*range(5), *range(5 + task.offset, 5 + task.offset + len(task.names))]
        assert np.array_equal(boxes[:, own].reshape(alone.shape), alone)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("ladder", Side()), ("ladder:7", Side(7)), ("ladder:2.5%", Side(share=0.025)), ("ladder:16", Side(16, 0.04))],
)
def test_how_it_is_written(text, wanted):
    assert Side.of(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "Ladder", "ladder:", "ladder:0", "ladder:-3", "ladder:3%%", "ladder:0%", "column"]
)
def test_other_words_are_refused(text):
    with pytest.raises(BadValue, match="must be ladder"):
        Side.of(text)


@pytest.mark.zoo
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("share", [0.01, 0.04])
def test_the_widest_that_a_share_allows(name, share):
    """It adds no more, and the next wider one adds more; heads, and all else, are as many as before."""
    own = load(zoo_path("zoo", "alexeyab", f"{name}.cfg"))
    k = NETS[name]
    made = with_side(own, k, Side(share=share)).network
    assert 0 < made.flops / own.network.flops - 1 <= share
    width = next(layer.y.c for layer in made.layers[k:] if isinstance(layer.kind, Convolutional))
    own_layers = made.layers[k : k + len(made.layers) - len(own.network.layers)]
    widths = [layer.y.c for layer in own_layers if isinstance(layer.kind, Convolutional) and layer.kind.stride == 2]
    assert widths == ([width, 2 * width] if len(widths) == 2 else [width] * len(widths))
    assert kinds(with_side(own, k, Side(width)).network) == kinds(made)
    assert with_side(own, k, Side(width + 1)).network.flops / own.network.flops - 1 > share
    assert [layer.classes for layer in made.heads] == [layer.classes for layer in own.network.heads]
    read = {at for layer in made.layers for at in layer.inputs}
    assert {layer.index for layer in made.layers} - read == {layer.index for layer in made.heads}


@pytest.mark.zoo
@pytest.mark.parametrize("name", NETS)
def test_at_any_cut_there_is_one_or_a_reason(name):
    own = load(zoo_path("zoo", "alexeyab", f"{name}.cfg"))
    cuts, made = legal_cuts(own.network), 0
    for k in cuts[:: max(len(cuts) // 12, 1)]:
        sizes = {layer.y.w for layer in own.network.layers[:k] if layer.y.w * 4 <= own.network.input.w}
        if len(sizes) < 2:
            with pytest.raises(BadValue, match="too early"):
                with_side(own, k, Side(4))
            continue
        made += 1
        found = with_side(own, k, Side(4)).network
        assert len(found.heads) == len(own.network.heads)
        assert found.layers[k].inputs != (k - 1,)
    assert made >= 5


def test_what_cannot_have_one(plain):
    with pytest.raises(BadValue, match="k=2 is too early for a side"):
        with_side(plain, 2, Side(4))
    with pytest.raises(BadValue, match="the thinnest one adds"):
        with_side(plain, 8, Side(share=1e-6))
    other = retrained(plain, WITH_STAGES, "other", 8)
    with pytest.raises(Unsupported, match="does 2 tasks"):
        with_side(concat([plain, other], 8), 8, Side(4))


def test_a_cfg_alone_can_have_one():
    found = with_side(Model(network_of(WITH_STAGES), None, model(WITH_STAGES, "a").tasks), 8, Side(4))
    assert found.weights is None
