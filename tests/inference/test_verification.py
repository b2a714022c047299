"""Separate and merged networks side by side: what is equal, what is not, where, and what does not belong together."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import onnx
import pytest
from conftest import network_of, seeded_floats, tiny_text, write_model, zoo_path
from models import floats, model, quiet_concat, retrained, without_weights

from darkshare import verify
from darkshare.darknet.model import Model, load, save
from darkshare.errors import BadArguments, BadValue, DarkshareError, ShapeMismatch, Unsupported
from darkshare.inference.engines import NAMES, available
from darkshare.inference.onnx import write_onnx
from darkshare.inference.verification import BOUNDS, random_frames
from darkshare.surgery.splice import split

INSTALLED = [name for name, one in available().items() if one.version]
K = 5
YOLO = "[yolo]\nmask=0,1\nanchors=4,5, 8,9, 16,20\nclasses=1\nnum=3"  # the first head of text
REGION = "[region]\nanchors=4,5,8,9\nclasses=1\nnum=2"
HEADS = [6, 12, 15, 21]  # of base and text in what they become at k=5, where a [route] is layer 13
each_engine = pytest.mark.parametrize("engine", INSTALLED)


@pytest.fixture(scope="module")
def base() -> Model:
    return model(tiny_text(2), "base")


@pytest.fixture(scope="module")
def text(base) -> Model:
    return retrained(base, tiny_text(1), "text", K)


@pytest.fixture(scope="module")
def both(base, text) -> Model:
    return quiet_concat([base, text], K)


def changed(one: Model, layer: int, tensor: str, change, at: int = 0) -> Model:
    """A model with one of its weights changed."""
    data = floats(one).copy()
    found = one.network.layers[layer]
    names = [each.name for each in found.tensors]
    start = found.start + sum(each.size for each in found.tensors[: names.index(tensor)])
    data[start + at] = change(data[start + at])
    return replace(one, weights=replace(one.weights, runs=(data,)))


def ulp(value: np.float32) -> np.float32:
    return np.nextafter(value, np.float32(np.inf))


def wrong(found) -> list[int]:
    return [one.layer for one in found if not one.is_equal]


@each_engine
def test_a_merged_network_gives_what_its_parts_give(base, text, both, engine):
    found = verify(both, base, text, engine=engine)
    assert found.is_equal
    assert [(one.task, one.layer, one.twin, one.shape) for one in found] == [
        ("base", 6, 6, (14, 8, 8)), ("base", 12, 12, (14, 16, 16)),
        ("text", HEADS[2], 6, (12, 8, 8)), ("text", HEADS[3], 12, (12, 16, 16)),
    ]  # fmt: skip
    assert {(one.largest, one.share, one.bound, one.picture, one.cell) for one in found} == {(0, 0, 0, "", ())}
    assert all(one.varies for one in found)
    assert found.notes()[0] == "equal: 4 heads, in every number"
    assert found.notes()[1].startswith(f"8 random pictures of seed 0, {engine} ")


@each_engine
@pytest.mark.parametrize("head", HEADS)
def test_the_last_bit_of_one_bias_is_seen_in_its_head_alone(base, text, both, engine, head):
    found = verify(changed(both, head - 1, "biases", ulp, 3), base, text, engine=engine)
    assert wrong(found) == [head]
    (one,) = [one for one in found if one.layer == head]
    assert 0 < one.largest < 1e-6
    assert one.cell[0] == 3
    assert one.picture.startswith("random picture ")
    assert found.notes()[0] == "not equal: 1 of 4 heads differ in some number"
    assert found.notes()[2].startswith(f"most in layer {head}, channel 3, row ")


def test_a_change_of_the_trunk_is_seen_in_all_heads(base, text, both):
    assert wrong(verify(changed(both, 0, "weights", lambda value: value + 0.01), base, text)) == HEADS


def test_a_change_of_a_separate_network_is_seen_as_well(base, text, both):
    assert wrong(verify(both, base, changed(text, 5, "biases", ulp))) == [HEADS[2]]


def convolved(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A 3x3 convolution with a border of zeros, written out."""
    wide = np.pad(x.astype(float), ((0, 0), (1, 1), (1, 1)))
    h, w = x.shape[1:]
    taps = [wide[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return np.einsum("ocij,ijchw->ohw", kernel, np.reshape(taps, (3, 3, *x.shape))) + bias[:, None, None]


def test_the_difference_is_what_plain_numpy_says(tmp_path):
    """One kernel value of the branch is off by 0.25, so its channel is off by 0.25 times what the trunk gives."""
    layer = "[convolutional]\nsize={size}\npad=1\nfilters={filters}\nactivation=linear\n\n"
    head = "[yolo]\nmask=0\nanchors=4,5\nclasses=1\nnum=1\n"
    cfg = (
        "[net]\nwidth=16\nheight=16\nchannels=3\n\n" + layer.format(size=3, filters=4) + layer.format(size=1, filters=6)
    )
    one = model(cfg + head, "one")
    two = retrained(one, cfg + head, "two", 1)
    merged = quiet_concat([one, two], 1)
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), pixels)
    last = merged.heads[1] - 1
    found = verify(
        changed(merged, last, "weights", lambda value: value + np.float32(0.25), 2 * 4 + 1), one, two,
        images=str(tmp_path / "noise.png"),
    )  # fmt: skip
    seen = pixels[..., ::-1].transpose(2, 0, 1) / 255
    trunk = convolved(seen, one.tensors(0)["weights"], one.tensors(0)["biases"])
    given = np.einsum("oc,chw->ohw", two.tensors(1)["weights"][:, :, 0, 0], trunk)
    given += two.tensors(1)["biases"][:, None, None]
    apart = 0.25 * np.abs(trunk[1])
    off = given.copy()
    off[2] += 0.25 * trunk[1]
    assert wrong(found) == [merged.heads[1]]
    assert found[1].largest == pytest.approx(apart.max(), rel=1e-4)
    assert found[1].cell == (2, *np.unravel_index(apart.argmax(), apart.shape))
    assert found[1].share == pytest.approx(apart.max() / max(np.abs(given).max(), np.abs(off).max()), rel=1e-4)
    assert found[1].picture == str(tmp_path / "noise.png")


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_at_every_cut(base, k):
    text = retrained(base, tiny_text(3), "text", k)
    merged = quiet_concat([base, text], k)
    assert verify(merged, base, text, pictures=2).is_equal
    last = merged.heads[-1]
    assert wrong(verify(changed(merged, last - 1, "biases", ulp), base, text, pictures=2)) == [last]


def test_three_networks(base, text):
    third = retrained(base, tiny_text(4), "third", 3)
    merged = quiet_concat([base, text, third], [K, 3])
    found = verify(merged, base, text, third, pictures=2)
    assert [one.task for one in found] == [name for name in ("base", "text", "third") for _ in range(2)]
    assert found.is_equal
    middle = merged.tasks[1].heads[0]
    assert wrong(verify(changed(merged, middle - 1, "biases", ulp), base, text, third)) == [middle]


def test_a_merged_network_is_one_of_several(base, text, both):
    third = retrained(base, tiny_text(4), "third", 3)
    assert verify(quiet_concat([both, third], 3), both, third, pictures=2).is_equal


# Which heads belong together


def test_names_decide_and_else_the_order(base, text, both):
    assert verify(both, text, base, pictures=2).is_equal
    renamed = quiet_concat([base, text], K, name=("a", "b"))
    assert verify(renamed, base, text, pictures=2).is_equal
    with pytest.raises(ShapeMismatch, match=r"task text: layer 6 \[yolo\] of 12x8x8 is layer 6 \[yolo\] of 14x8x8 in"):
        verify(renamed, text, base)
    alike = retrained(base, tiny_text(2), "base", K, seed=7)
    assert [task.name for task in quiet_concat([base, alike], K).tasks] == ["base", "base-2"]
    assert verify(quiet_concat([base, alike], K), base, alike, pictures=2).is_equal
    assert wrong(verify(quiet_concat([base, alike], K), alike, base, pictures=2)) == HEADS


def test_exchanged_heads_are_found(base):
    alike = retrained(base, tiny_text(2), "alike", K, seed=7)
    merged = quiet_concat([base, alike], K)
    a, b = merged.tasks
    exchanged = replace(merged, tasks=(replace(a, heads=b.heads), replace(b, heads=a.heads)))
    assert wrong(verify(exchanged, base, alike, pictures=1)) == [*HEADS[2:], *HEADS[:2]]
    turned = replace(merged, tasks=(a, replace(b, heads=b.heads[::-1])))
    with pytest.raises(ShapeMismatch, match=r"14x8x8 is layer 21 \[yolo\] of 14x16x16"):
        verify(turned, base, alike)


def test_without_a_tasks_json_heads_come_in_order(base, text, both, tmp_path):
    save(both, tmp_path / "both")
    (tmp_path / "both.tasks.json").unlink()
    (tmp_path / "both.names").unlink()
    plain = load(tmp_path / "both.cfg")
    found = verify(plain, base, text, pictures=2)
    assert found.is_equal
    assert [(one.layer, one.twin) for one in found] == list(zip(HEADS, [6, 12, 6, 12], strict=True))
    with pytest.raises(ShapeMismatch, match=r"task base has 2 heads, and 4 in .*; give what was merged, in that order"):
        verify(plain, base)
    with pytest.raises(ShapeMismatch, match="task text has 2 heads, and 0 in"):
        verify(plain, base, text, text)


def test_padded_heads_are_compared_in_the_classes_of_their_task(base, text):
    merged = quiet_concat([base, text], K, layout="padded")
    found = verify(merged, base, text)
    assert found.is_equal
    assert [one.shape[0] for one in found] == [14, 14, 12, 12]
    head = merged.tasks[1].heads[1]
    own, foreign = 5 + 2, 5  # channels of text's class and of a class of base in text's first box
    assert wrong(verify(changed(merged, head - 1, "biases", ulp, own), base, text)) == [head]
    assert verify(changed(merged, head - 1, "biases", lambda value: value + 1, foreign), base, text).is_equal


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (lambda base, text: [base], "has the tasks base, text, and what it is compared with has base; give all that"),
        (lambda base, text: [base, text, text], "has the tasks base, text, and .* has base, text, text; give all"),
        (lambda base, text: [base, model(tiny_text(1).replace("height=32", "height=64"), "text")],
         "its input is 3x64x32, that of test.cfg is 3x32x32; choose one for all with --size"),
        (lambda base, text: [base, model(tiny_text(1).replace("channels=3", "channels=1"), "text")],
         "its input is 1x32x32"),
        (lambda base, text: [base, model(tiny_text(4), "text")], "of 18x8x8 is layer 15 .yolo. of 12x8x8"),
        (lambda base, text: [base, model(tiny_text(1).replace(YOLO, REGION), "text")],
         r"layer 6 \[region\] .* is layer 15 \[yolo\]"),
    ],
)  # fmt: skip
def test_networks_that_do_not_belong_together_are_refused(base, text, both, others, said):
    with pytest.raises(ShapeMismatch, match=said):
        verify(both, *others(base, text))


def test_arguments_that_cannot_be_are_refused(base, text, both):
    with pytest.raises(BadArguments, match=r"the networks that were merged, as \.tasks.json has no paths"):
        verify(both)
    with pytest.raises(BadValue, match="pictures=0"):
        verify(both, base, text, pictures=0)
    with pytest.raises(BadValue, match=r"bound=-0\.1"):
        verify(both, base, text, bound=-0.1)
    with pytest.raises(BadValue, match="bound=nan"):
        verify(both, base, text, bound=float("nan"))
    with pytest.raises(BadValue, match="unknown engine abacus"):
        verify(both, base, text, engine="abacus")
    with pytest.raises(Unsupported, match="cannot compute in bf16"):
        verify(both, base, text, precision="bf16")
    with pytest.raises(Unsupported, match="weights"):
        verify(both, base, without_weights(tiny_text(1), "text"))


@pytest.mark.parametrize(("engine", "value"), [*((name, np.nan) for name in INSTALLED), ("opencv", -np.inf)])
def test_numbers_that_are_not_finite_prove_nothing(base, text, engine, value):
    broken = changed(text, 11, "biases", lambda _: np.float32(value))
    with pytest.raises(
        DarkshareError, match=r"layer 12 \[yolo\] or its twin, layer 21 \[yolo\], gives .* not finite for random"
    ):
        verify(quiet_concat([base, broken], K), base, broken, engine=engine)


# Pictures


def test_random_pictures_are_reproducible_from_smooth_to_noise_and_of_two_shapes():
    network = network_of(tiny_text())
    found, again, others = (list(random_frames(network, 8, seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(found, again, strict=True))
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(found, others, strict=True))
    assert {frame.image.shape for frame in found[::2]} == {(32, 32, 3)}
    assert {frame.image.shape for frame in found[1::2]} == {(32, 24, 3)}
    roughness = [np.abs(np.diff(frame.image.astype(int), axis=0)).mean() for frame in found]
    assert all(a < b for a, b in pairwise(roughness))
    assert roughness[0] < 8
    assert all(frame.image.std() > 20 for frame in found)
    assert next(random_frames(network_of(tiny_text().replace("channels=3", "channels=1")), 1, 0)).image.shape[2] == 1


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_networks_of_other_inputs(channels):
    texts = [tiny_text(classes).replace("channels=3", f"channels={channels}") for classes in (2, 1)]
    one = model(texts[0], "one")
    two = retrained(one, texts[1], "two", K)
    assert verify(quiet_concat([one, two], K), one, two, pictures=2).is_equal


def test_given_pictures_of_any_size_and_kind(base, text, both, tmp_path):
    lot = np.random.default_rng(0)
    for name, shape in (("gray.png", (17, 23)), ("flat.bmp", (3, 301, 3)), ("alpha.png", (40, 9, 4))):
        cv2.imwrite(str(tmp_path / name), lot.integers(0, 256, shape, np.uint8))
    found = verify(both, base, text, images=str(tmp_path))
    assert found.is_equal
    assert found.pictures == "3 pictures"
    assert verify(both, base, text, images=[tmp_path / "gray.png", tmp_path / "flat.bmp"]).pictures == "2 pictures"
    with pytest.raises(BadArguments, match="images holds no picture"):
        verify(both, base, text, images=[])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DarkshareError, match=r"broken\.png"):
        verify(both, base, text, images=str(tmp_path))


def test_another_letterbox_is_a_difference(base):
    fitted = tiny_text(1).replace("channels=3", "channels=3\nletter_box=1")
    text = retrained(base, fitted, "text", K)
    merged = quiet_concat([base, text], K)
    found = verify(merged, base, text)
    assert wrong(found) == HEADS[2:]
    assert found.notes()[3] in {f"of random picture {i}" for i in (2, 4, 6, 8)}
    assert verify(merged, base, text, pictures=1).is_equal


def test_heads_that_say_nothing_are_named(base, text, both):
    still = changed(both, 5, "weights", lambda value: value)
    data = floats(still)
    layer = still.network.layers[5]
    data[layer.stop - layer.tensors[-1].size : layer.stop] = 0
    alone = split(still)[0]
    found = verify(still, alone, text, pictures=3)
    assert found.is_equal
    assert found.notes()[-1] == "layer 6: the same for all pictures, which proves little"
    assert verify(still, alone, text, pictures=1).notes()[-1].startswith("1 random picture")


# Two forms of a network


@each_engine
def test_an_exported_file_is_the_network(both, tmp_path, engine):
    write_onnx(both, tmp_path / "both.onnx")
    found = verify(both, tmp_path / "both.onnx", engine=engine)
    assert found.is_equal
    assert [one.twin for one in found] == HEADS
    other = changed(both, 20, "biases", ulp)
    assert wrong(verify(other, str(tmp_path / "both.onnx"), engine=engine)) == [21]
    assert wrong(verify(str(tmp_path / "both.onnx"), other, engine=engine)) == [21]


@pytest.mark.parametrize("engine", [name for name in INSTALLED if name != "opencv-classic"])
def test_a_file_in_fp16_has_a_bound_of_its_own(both, tmp_path, engine):
    write_onnx(both, tmp_path / "half.onnx", precision="fp16")
    found = verify(both, tmp_path / "half.onnx", engine=engine)
    assert found.is_equal
    assert {one.bound for one in found} == {BOUNDS["fp16"]}
    assert all(0 < one.share < 0.01 for one in found)
    assert found.notes()[0] == "equal: 4 heads, within 0.1 of the largest number"
    strict = verify(both, tmp_path / "half.onnx", engine=engine, bound=1e-6)
    assert wrong(strict) == HEADS
    assert strict.notes()[0] == "not equal: 4 of 4 heads differ by more than 1e-06 of the largest number"


def test_a_file_in_int8_needs_a_bound(both, tmp_path):
    write_onnx(both, tmp_path / "int8.onnx")
    message = onnx.load(tmp_path / "int8.onnx")
    message.metadata_props.add(key="quantised", value='{"engine": "onnxruntime"}')
    onnx.save(message, tmp_path / "int8.onnx")
    with pytest.raises(BadArguments, match=r"int8\.onnx is in int8, where each network .* say with bound"):
        verify(both, tmp_path / "int8.onnx", engine="onnxruntime")
    assert verify(both, tmp_path / "int8.onnx", engine="onnxruntime", bound=0.2).is_equal


def test_two_models_that_should_be_equal(base):
    assert verify(base, base, pictures=1).is_equal
    assert wrong(verify(base, changed(base, 5, "biases", ulp))) == [6]


def test_every_engine_has_a_bound_for_all_its_precisions():
    for name, one in available().items():
        assert set(one.precisions) <= set(NAMES[name].bounds)
        assert NAMES[name].bounds["fp32"] == 0


@pytest.mark.skipif("bf16" not in available()["openvino"].precisions, reason="no processor with bf16 here")
def test_a_rounding_precision_has_the_bound_of_its_engine(base, text, both):
    found = verify(both, base, text, engine="openvino", precision="bf16")
    assert found.is_equal
    assert {one.bound for one in found} == {NAMES["openvino"].bounds["bf16"]}


# From files


def test_files_that_changed_since_the_merge_are_named(tmp_path):
    for name, classes, seed in (("base", 2, 1), ("text", 1, 1)):
        write_model(tmp_path / name, tiny_text(classes), seeded_floats(network_of(tiny_text(classes)), seed))
    files = [str(tmp_path / f"{name}.cfg") for name in ("base", "text")]
    base, text = map(load, files)
    trunk = base.network.start(K)
    data = floats(text).copy()
    data[:trunk] = floats(base)[:trunk]
    write_model(tmp_path / "text", tiny_text(1), data)
    save(quiet_concat([load(file) for file in files], K), tmp_path / "both")
    assert verify(str(tmp_path / "both.cfg"), *files).notes()[2:] == []
    data[-1] += 1
    write_model(tmp_path / "text", tiny_text(1), data)
    found = verify(tmp_path / "both.cfg", *files)
    assert not found.is_equal
    assert found.changed == (str(tmp_path / "text.weights"),)
    assert (
        found.notes()[-1] == f"{tmp_path / 'text.weights'} is not the file that was merged: it has another fingerprint"
    )


# Real networks


@pytest.mark.slow
@pytest.mark.zoo
@each_engine
def test_the_frozen_pair(engine):
    base, masks = (load(zoo_path("models", name, f"{name}.cfg")) for name in ("f10-coco", "f10-mask-frozen-exact-made"))
    merged = quiet_concat([base, masks])
    photo = zoo_path("media", "people-masks-bag.jpg")
    assert verify(merged, base, masks, images=photo, engine=engine).is_equal


@pytest.mark.slow
@pytest.mark.zoo
@pytest.mark.parametrize(
    ("names", "k"),
    [(("f11-coco", "f11-plate"), 60), (("f10-coco", "f10-mask-a", "f10-voc"), 94)],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_forced_pairs_differ_where_the_trunk_was_another(names, k):
    """Each branch runs on the base's trunk; its own network had another one. Taken apart again, all is equal."""
    models = [load(zoo_path("models", name, f"{name}.cfg")) for name in names]
    merged = quiet_concat(models, k, force=True)
    found = verify(merged, *models, pictures=2)
    assert {one.task for one in found if not one.is_equal} == set(names[1:])
    assert verify(merged, *split(merged), pictures=2).is_equal
