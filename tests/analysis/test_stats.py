"""`stats`: against numpy on the materialised difference, invariants, networks that differ in form, real pairs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_text, zoo_path
from hypothesis import given, settings
from hypothesis import strategies as st
from models import model, quiet_concat, retrained, without_weights

from darkshare.analysis import weight_stats
from darkshare.analysis.boxplot import Spread
from darkshare.analysis.differences import COLUMNS, Comparison, Difference
from darkshare.analysis.stats import stats
from darkshare.darknet.model import Model, load
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadValue, Unsupported

seeds = st.integers(0, 10**6)
few = settings(max_examples=15)
spaces = st.sampled_from(["raw", "folded"])


def tiny(seed: int = 1, classes: int = 2) -> Model:
    return model(tiny_text(classes), f"m{seed}", seed=seed)


def edited(base: Model, change, layers=range(13), name: str = "other") -> Model:
    """A copy of a model after `change(name, tensor)` on every tensor of some layers."""
    data = base.weights.view(0, base.weights.size).copy()
    copy = replace(base, weights=Weights(Header(), (data,), f"{name}.weights"))
    for index in layers:
        for tensor_name, tensor in copy.tensors(index).items():
            change(tensor_name, tensor)
    return copy


def one(base: Model, other: Model, **how) -> Comparison:
    (found,) = stats(base, other, **how)
    return found


def at(found: Comparison, layer: int, quantity: str) -> Difference:
    (difference,) = (d for d in found.differences if (d.layer, d.quantity) == (layer, quantity))
    return difference


@few
@given(seeds, spaces, st.booleans())
def test_a_model_does_not_differ_from_itself(seed, space, elementwise):
    a = tiny(seed)
    found = one(a, a, space=space, elementwise=elementwise)
    assert found.identical == found.layers == 13
    assert found.verdict == "all 13 layers are bit-identical"
    assert len(found.differences) == {"raw": 4 * 5 + 2 * 2, "folded": 6 * 2}[space]
    for d in found.differences:
        assert (d.relative, d.filters.maximum, d.filters.minimum, d.skipped) == (0, 0, 0, "")
        assert not elementwise or d.elementwise.maximum == 0


@few
@given(seeds, seeds)
def test_numbers_are_numpy_s_on_the_materialised_difference(seed, other_seed):
    a, b = tiny(seed), tiny(other_seed + 10**7)
    for d in one(a, b, elementwise=True).differences:
        x, y = (m.tensors(d.layer)[d.quantity].astype("f8") for m in (a, b))
        assert d.relative == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x), rel=1e-5)
        assert d.cosine == pytest.approx((x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y), abs=1e-5)
        rows, moved = x.reshape(len(x), -1), (y - x).reshape(len(x), -1)
        norms = np.linalg.norm(rows, axis=1)
        typical = np.median(norms) if x.ndim > 1 else np.sqrt((x**2).mean())
        ratios = np.linalg.norm(moved, axis=1) / np.maximum(norms, 1e-3 * typical)
        assert d.filters.count == len(x)
        assert [d.filters.q1, d.filters.median, d.filters.q3] == pytest.approx(
            np.quantile(ratios, [0.25, 0.5, 0.75]), rel=1e-4
        )
        assert d.filters.maximum == pytest.approx(ratios.max(), rel=1e-4)
        floor = 1e-3 * np.sqrt((x**2).mean())
        single = np.abs(y - x) / np.maximum(np.abs(x), floor)
        assert d.elementwise.median == pytest.approx(np.median(single), rel=1e-4)
        assert d.elementwise.p99 == pytest.approx(np.quantile(single, 0.99), rel=1e-4)
        assert d.clipped == pytest.approx((np.abs(x) < floor).mean())


@few
@given(seeds, st.floats(0.1, 10))
def test_a_kernel_scaled_with_its_batch_norm_is_another_one_only_raw(seed, factor):
    """c*w before a norm with mean c*m and variance c²(v+e)-e gives the same function."""
    a, epsilon = tiny(seed), 1e-5

    def scaled(name, tensor):
        if name in ("weights", "rolling_mean"):
            tensor *= np.float32(factor)
        elif name == "rolling_variance":
            tensor[:] = factor**2 * (tensor.astype("f8") + epsilon) - epsilon

    b = edited(a, scaled, [0, 1, 4])
    raw, folded = one(a, b), one(a, b, space="folded", bn_epsilon=epsilon)
    for layer in (0, 1, 4):
        assert at(raw, layer, "weights").relative == pytest.approx(abs(factor - 1), rel=1e-5, abs=1e-6)
        assert at(folded, layer, "weights").relative == pytest.approx(0, abs=1e-6)
        assert at(folded, layer, "biases").relative == pytest.approx(0, abs=1e-5)


@few
@given(seeds)
def test_folded_numbers_are_those_of_the_folded_kernels(seed):
    a, b = tiny(seed), tiny(seed + 1)

    def folded(m: Model, layer: int):
        t = {name: x.astype("f8") for name, x in m.tensors(layer).items()}
        if "scales" not in t:
            return t["weights"], t["biases"]
        scale = t["scales"] / np.sqrt(t["rolling_variance"] + 1e-5)
        return t["weights"] * scale[:, None, None, None], t["biases"] - t["rolling_mean"] * scale

    found = one(a, b, space="folded")
    assert {d.quantity for d in found.differences} == {"biases", "weights"}
    for layer in (0, 1, 4, 5):
        for quantity, x, y in zip(("weights", "biases"), folded(a, layer), folded(b, layer), strict=True):
            expected = np.linalg.norm(y - x) / np.linalg.norm(x)
            assert at(found, layer, quantity).relative == pytest.approx(expected, rel=1e-5)


@few
@given(seeds)
def test_exchanging_the_models_exchanges_their_roles(seed):
    """||b-a|| is the same both ways; only what it is divided by changes."""
    a, b = tiny(seed), tiny(seed + 1)
    there, back = one(a, b), one(b, a)
    assert (there.base, there.other) == (back.other, back.base)
    assert there.identical == back.identical
    for x, y in zip(there.differences, back.differences, strict=True):
        norms = [np.linalg.norm(m.tensors(x.layer)[x.quantity].astype("f8")) for m in (a, b)]
        assert x.relative * norms[0] == pytest.approx(y.relative * norms[1], rel=1e-5)
        assert x.cosine == pytest.approx(y.cosine, abs=1e-6)


def test_the_order_of_the_others_is_the_order_of_the_comparisons():
    a, b, c = tiny(1), tiny(2), tiny(3)
    assert stats(a, b, c)[:] == stats(a, c, b)[::-1]


def test_a_zero_base_gives_infinity_and_no_warning():
    """Warnings are errors in these tests."""

    def zeroed(name, tensor):
        tensor[:] = 0

    a = tiny(1)
    empty = edited(a, zeroed)
    for space in ("raw", "folded"):
        for d in one(empty, a, space=space, elementwise=True).differences:
            assert (d.relative, d.filters, d.elementwise, d.cosine) == (math.inf, None, None, None)
        for d in one(a, empty, space=space, elementwise=True).differences:
            assert d.relative == pytest.approx(1)
            assert d.filters.maximum == pytest.approx(1)
            assert d.cosine is None
        for d in one(empty, empty, space=space).differences:
            assert d.relative == 0
    assert "no layer is bit-identical" in one(empty, a).verdict


def test_zero_and_minus_zero_do_not_differ_but_are_other_bits():
    def negative(name, tensor):
        tensor[:] = -tensor

    a = edited(tiny(1), lambda name, tensor: tensor.fill(0), [0])
    found = one(a, edited(a, negative, [0]))
    assert found.identical == 0
    assert at(found, 0, "weights").relative == 0


def test_what_is_not_finite_is_skipped_with_the_reason_unless_it_is_the_same():
    def broken(name, tensor):
        if name == "scales":
            tensor[0] = np.nan

    a = tiny(1)
    b = edited(a, broken, [1])
    found = one(a, b, elementwise=True)
    assert found.identical == 1
    assert (at(found, 1, "scales").relative, at(found, 1, "scales").skipped) == (None, "NaN or infinite values")
    assert at(one(a, b, space="folded"), 1, "weights").skipped == "NaN or infinite values"
    assert "not compared: 1 layers" in found.verdict
    assert one(b, b).identical == 13


def test_the_verdict_names_the_end_of_the_trunk_and_the_jump():
    a = tiny(1)
    b = retrained(a, tiny_text(), "logo", 4)
    found = one(a, b)
    assert found.identical == 4
    jump = at(found, 4, "weights").relative
    assert found.verdict.startswith(
        "bit-identical up to layer 3 (k=4); largest jump at layer 4 [convolutional], whose weights differ by "
        f"{jump:.3g} of their norm, those of layer 1 by 0"
    )


def test_models_without_a_common_origin_are_told():
    assert "the kernels have nothing in common (mean cosine " in one(tiny(1), tiny(2)).verdict


def test_other_class_counts_are_skipped_with_the_reason():
    found = one(tiny(1, 2), retrained(tiny(1, 2), tiny_text(1), "text", 4))
    skipped = {(d.layer, d.quantity): d.skipped for d in found.differences if d.skipped}
    assert skipped == {
        (5, "biases"): "14 against 12 (2 classes against 1)",
        (5, "weights"): "14x16x1x1 against 12x16x1x1 (2 classes against 1)",
        (11, "biases"): "14 against 12 (2 classes against 1)",
        (11, "weights"): "14x12x1x1 against 12x12x1x1 (2 classes against 1)",
    }
    assert found.verdict.endswith("not compared: 2 layers")


def test_a_norm_that_only_one_has_is_skipped_raw_and_compared_folded():
    plain = model(tiny_text().replace("batch_normalize=1\n", "", 1), "plain")
    a = tiny(1)
    for raw in (one(a, plain), one(plain, a)):
        assert at(raw, 0, "scales").skipped == "not in plain"
    assert at(one(a, plain, space="folded"), 0, "weights").relative > 0


def test_another_input_size_is_no_difference():
    a = tiny(1)
    small = model(tiny_text().replace("=32\n", "=64\n"), "wide", a.weights.view(0, a.weights.size))
    assert one(a, small).identical == 13


def test_each_part_of_a_merged_network_is_found_in_it():
    """The second task's layers lie behind the base's, at other indices."""
    base = tiny(1)
    text = retrained(base, tiny_text(1), "text", 4)
    merged = quiet_concat([base, text], 4)
    found = one(text, merged)
    assert found.identical == 4
    paired = {d.layer: d.other_layer for d in found.differences if d.layer >= 0}
    assert paired == {0: 0, 1: 1, 4: 14, 5: 15, 8: 18, 11: 21}
    assert {d.relative for d in found.differences if d.layer >= 0} == {0}
    assert {d.skipped for d in found.differences if d.layer < 0} == {"no such layer in text"}


def test_a_partial_file_is_compared_as_far_as_it_goes():
    a = tiny(1)
    short = replace(a, weights=Weights(Header(), (a.weights.view(0, a.network.start(5)),), "short.weights"))
    found = one(a, short)
    assert found.identical == 5
    assert at(found, 4, "weights").relative == 0
    assert at(found, 5, "weights").skipped == "the weights of short end before it"
    assert at(one(short, a), 5, "weights").skipped == "the weights of short end before it"


def test_stages_and_heads_are_the_base_s():
    found = one(tiny(1), tiny(2))
    assert (found.stages, found.heads) == ((0, 3), (6, 12))


def test_progress_counts_every_float():
    a = tiny(1)
    seen: list[int] = []
    stats(a, tiny(2), tiny(3), progress=seen.append)
    assert sum(seen) == 2 * a.network.params


def test_models_without_weights_and_unknown_spaces_are_refused():
    with pytest.raises(Unsupported, match="has no weights file; give one behind the cfg"):
        stats(tiny(1), without_weights(tiny_text(), "x"))
    with pytest.raises(BadValue, match="unknown space"):
        stats(tiny(1), tiny(2), space="log")


def test_rows_are_flat_and_complete():
    a, b = tiny(1, 2), tiny(2, 1)
    rows = stats(a, b, elementwise=True).rows()
    assert len({tuple(row) for row in rows}) == 1
    first = rows[0]
    assert (first["base"], first["other"], first["space"], first["layer"]) == ("m1", "m2", "raw", 0)
    for name in Spread.__dataclass_fields__:
        assert first[name] is not None
        assert f"elementwise_{name}" in first
    skipped = next(row for row in rows if row["note"])
    assert (skipped["relative"], skipped["median"], skipped["clipped"]) == (None, None, None)


def test_the_dataframe_has_the_rows():
    pandas = pytest.importorskip("pandas")
    found = stats(tiny(1), tiny(2))
    frame = found.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == len(found[0].differences)
    assert frame["layer"].dtype.kind == "i"
    kernels = frame[frame.quantity == "weights"].set_index("layer")
    assert kernels.loc[4, "relative"] == at(found[0], 4, "weights").relative


def test_json_describes_each_comparison_and_holds_all_rows():
    empty = edited(tiny(1), lambda name, tensor: tensor.fill(0), [0])
    described = stats(empty, tiny(1), tiny(2)).as_dict()
    found, other = described["comparisons"]
    assert set(Comparison.__dataclass_fields__) - {"differences"} == set(found)
    assert (found["identical"], found["layers"], found["heads"]) == (0, 13, (6, 12))
    assert described["rows"][0]["note"] == "the base is zero"
    assert {row["other"] for row in described["rows"]} == {found["other"], other["other"]}
    assert described["notes"][0].endswith(found["verdict"])


def test_one_line_says_what_was_compared():
    found = stats(tiny(1), retrained(tiny(1), tiny_text(1), "text", 4), tiny(2))
    assert repr(found) == "<Differences: 13 layers of m1 against text (k=4), m2 (k=0)>"
    assert "differences" not in repr(found[0])
    assert found._repr_html_().count("<tr>") == 1 + 2 * 24


def test_people_see_fewer_columns_than_programs():
    found = stats(tiny(1), retrained(tiny(1), tiny_text(1), "text", 4))
    names = [column.name for column in COLUMNS]
    assert list(found.rows()[0]) == ["base", "other", "space", *names]
    shown = list(found.table()[0])
    assert shown == [name for name in names if name in shown]
    assert not {"other", "other_layer", "cosine", "clipped"} & set(shown)


@pytest.mark.parametrize("columns", [COLUMNS, weight_stats.COLUMNS], ids=["of a pair", "of one model"])
def test_the_how_to_explains_every_column(columns):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "stats.md").read_text(encoding="utf-8")
    for column in columns:
        if not column.name.startswith("elementwise_"):
            assert f"\n| `{column.name}` | {column.meaning} |\n" in page


PAIRS = ["f10-coco-f10-mask-frozen-exact-made", "f10-coco-f10-mask-a", "f10-coco-f10-road-scratch"]
PAIRS += ["f10-voc-f10-voc-prev", "f10-coco-f10-voc", "f11-coco-f11-plate", "f11-coco-f11-body", "xl10-coco-xl10-voc"]


@pytest.mark.zoo
@pytest.mark.parametrize("name", PAIRS)
def test_real_pairs_are_as_their_manifest_says(name):
    """There the identical layers are counted by those that store something, and relative is sum|b-a| / sum|a|."""
    pairs = json.loads(zoo_path("MANIFEST.json").read_text())["pairs"]
    (known,) = (p for p in pairs if f"{p['parent']}-{p['derived']}" == name)
    a, b = (load(zoo_path("models", m, f"{m}.cfg")) for m in (known["parent"], known["derived"]))
    found = one(a, b)
    kernels = [d for d in found.differences if d.quantity == "weights"]
    stored = [layer.index for layer in a.network.layers if layer.tensors]
    assert sum(index < found.identical for index in stored) == known["leading_identical_all"]
    assert len(kernels) == known["weighted"]
    assert sum(not d.skipped for d in kernels) == known["same_shape"]
    related = [d.cosine for d in kernels if d.layer <= known["related_through_layer"]]
    if related:
        assert np.mean(related) == pytest.approx(known["cos_mean"], abs=1e-4)
        assert np.min(related) == pytest.approx(known["cos_min"], abs=1e-4)
    assert ("nothing in common" in found.verdict) == (not related)


@pytest.mark.zoo
def test_the_frozen_pair_s_verdict():
    a, b = (load(zoo_path("models", m, f"{m}.cfg")) for m in ("f10-coco", "f10-mask-frozen-exact-made"))
    assert one(a, b).verdict == (
        "bit-identical up to layer 108 (k=109); largest jump at layer 109 [convolutional], whose weights differ by "
        "1.29 of their norm, those of layer 106 by 0; not compared: 2 layers"
    )
