"""Measuring: which networks meet, what is counted and compared, and what the chart shows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import residuals
from conftest import tiny_text
from models import assert_same_function, floats, model, quiet_concat, retrained

from darkshare.analysis.boxplot import spread_of
from darkshare.darknet.model import save
from darkshare.darknet.network import resized, resolve
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning, TrunkMismatch
from darkshare.inference.bench import bench, compare_engines, comparing, engines, measure_merging, separate_and_merged
from darkshare.inference.bench.chart import _figure, plot_bench
from darkshare.inference.bench.comparing import EngineTiming
from darkshare.inference.engines import available
from darkshare.inference.engines.timing import Measured, TimeRatio, median_interval, ratio
from darkshare.inference.engines.worker import Loading, Worker
from darkshare.surgery.residual import branch

K = 5
INSTALLED = [name for name, one in available().items() if one.version]


@pytest.fixture(scope="module")
def pair():
    base = model(tiny_text(2), "base")
    return base, retrained(base, tiny_text(5), "text", K)


@pytest.fixture(scope="module")
def found(pair):
    return bench(pair, k=K, engine=INSTALLED, rounds=6, threads=1)


def of(*seconds: tuple[float, ...], peak: int | None = 2**20) -> Measured:
    return Measured(seconds, spread_of(np.array([sum(one) for one in seconds])), Loading(0.5, 0.25), peak)


# Statistics


@pytest.mark.parametrize(
    ("n", "bounds"),
    [(6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (30, (10, 21)), (50, (18, 33))],  # as printed tables have it
)
def test_the_interval_is_that_of_the_tables(n, bounds):
    assert median_interval(range(1, n + 1)) == bounds


def test_the_interval_holds_the_median_as_often_as_it_says():
    rng = np.random.default_rng(0)
    draws = np.sort(rng.exponential(size=(4000, 20)), axis=1)
    bounds = np.array([median_interval(list(draw)) for draw in draws])
    inside = (bounds[:, 0] <= np.log(2)) & (np.log(2) <= bounds[:, 1])
    assert inside.mean() == pytest.approx(0.9586, abs=0.012)  # 1 - 2 P(Bin(20, 1/2) <= 5)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_too_few_rounds_give_no_interval(n):
    with pytest.raises(BadValue, match=f"{n} rounds are too few for an interval; use at least 6"):
        median_interval(range(n))


def test_a_ratio_is_the_median_of_the_rounds():
    """The machine is half as fast in some rounds: sums would say something else, the rounds do not care."""
    slow = (1, 1, 10, 1, 10, 1)
    one, other = of(*[(0.3 * s, 0.3 * s) for s in slow]), of(*[(1.0 * s,) for s in slow])
    assert ratio(one, other) == TimeRatio(pytest.approx(0.6), pytest.approx(0.6), pytest.approx(0.6))


# Which networks meet


def test_several_networks_are_merged(pair, recwarn):
    separate, merged = separate_and_merged(pair, K)
    assert separate == list(pair)
    assert [task.k for task in merged.tasks] == [0, K]
    assert not recwarn.list  # what concat says of its files matters to nobody here


def test_a_merged_one_is_taken_apart(pair):
    both = quiet_concat(pair, K)
    separate, merged = separate_and_merged([both])
    assert merged is both
    for one, other in zip(separate, pair, strict=True):
        assert_same_function(one.network, other.network)
        np.testing.assert_array_equal(floats(one), floats(other))


def test_its_networks_see_pictures_of_its_size(pair):
    """Also if their own files are for others, as after `concat --size`."""
    both = quiet_concat(pair, K)
    net = both.network
    smaller = replace(both, network=resolve(resized(net.cfg, net.input.w // 2, net.input.h // 2)))
    separate, merged = separate_and_merged([smaller])
    assert {(one.network.input.w, one.network.input.h) for one in separate} == {(net.input.w // 2, net.input.h // 2)}
    assert sum(one.network.flops for one in separate) > merged.network.flops


def test_trunks_that_differ_need_force(pair):
    other = model(tiny_text(5), "text", seed=7)
    with pytest.raises(TrunkMismatch):
        separate_and_merged([pair[0], other], K)
    assert len(separate_and_merged([pair[0], other], K, force=True)[0]) == 2


def test_a_single_network_has_nothing_to_meet(pair):
    with pytest.raises(DarkshareError, match=r"has one task only: give a further network, or a merged one"):
        separate_and_merged(pair[:1])
    with pytest.raises(BadValue, match="is merged already, so k is known: leave it out"):
        separate_and_merged([quiet_concat(pair, K)], K)


def test_a_vote_is_one_network_with_its_branches():
    base = residuals.small_darknet()
    votes = branch(base, "block 2", 2, tolerance=1.0)
    both = quiet_concat([base, votes], 3)
    separate, _ = separate_and_merged([both])
    assert [len(one.network.layers) for one in separate] == [len(one.network.layers) for one in (base, votes)]
    found = measure_merging(separate, both, rounds=6, threads=1)
    assert (found.networks, found.ks) == (("net", "net-2"), (3,))
    assert found.ideal == pytest.approx(both.network.flops / (base.network.flops + votes.network.flops))
    with pytest.raises(DarkshareError, match="is one ensemble: give a further network, or a merged one"):
        separate_and_merged([votes])


def test_branches_without_a_vote_meet_one_by_one():
    apart = branch(residuals.small_darknet(), "block 2", 2, combine="none", tolerance=1.0)
    assert [one.tasks[0].name for one in separate_and_merged([apart])[0]] == ["net-1", "net-2"]


# bench


@pytest.mark.slow
def test_every_engine_is_measured(found):
    assert [one.engine for one in found.engines] == INSTALLED
    for one in found.engines:
        assert [len(one.seconds) for one in (one.separate, one.merged)] == [6, 6]
        assert {len(one) for one in one.separate.seconds} == {2}
        assert {len(one) for one in one.merged.seconds} == {1}
        values = [sum(b) / sum(a) for a, b in zip(one.separate.seconds, one.merged.seconds, strict=True)]
        assert one.ratio.median == pytest.approx(np.median(values))
        assert (one.ratio.low, one.ratio.high) == (min(values), max(values))
        assert one.separate.loading.load > 0


def test_the_trunk_is_run_once_on_every_engine(found):
    """Layers 0, 1 and 4 are the trunk's convolutions: 6 + 6 - 3."""
    assert {(one.separate_convolutions, one.merged_convolutions) for one in found.engines} == {(12, 9)}


def test_the_ideal_is_that_of_the_operations(found, pair):
    """By hand, in multiply-adds: layers 0, 1 and 4 on 16x16, 16x16 and 8x8."""
    trunk = 8 * 27 * 256 + 8 * 72 * 256 + 16 * 72 * 64
    base = trunk + 14 * 16 * 64 + 4 * 16 * 64 + 14 * 12 * 256
    text = trunk + 20 * 16 * 64 + 4 * 16 * 64 + 20 * 12 * 256
    assert found.ideal == pytest.approx((base + text - trunk) / (base + text), abs=0.01)
    assert found.ks == (K,)


def test_file_sizes_are_those_on_disk(found, pair, tmp_path):
    sizes = []
    for one in (*pair, quiet_concat(pair, K)):
        save(one, tmp_path / "x")
        sizes.append((tmp_path / "x.weights").stat().st_size)
    assert found.separate_file_bytes == sizes[0] + sizes[1]
    assert found.merged_file_bytes == sizes[2]


def test_rows_and_json_say_the_same(found):
    rows = found.table()
    assert [(row["engine"], row["networks"]) for row in rows[:2]] == [("opencv", "separate"), ("opencv", "merged")]
    described = json.loads(json.dumps(found.as_dict()))
    (first, *_) = described["engines"]
    assert rows[0]["ms"] == pytest.approx(1000 * first["separate"]["spread"]["median"], rel=1e-3)
    assert rows[1]["ratio"] == pytest.approx(first["ratio"]["median"], abs=1e-3)
    assert rows[0]["ratio"] is None
    assert first["merged"]["loading"]["load"] > 0
    assert "by operations" in "\n".join(found.notes())


def test_values_are_one_line(found):
    assert repr(found).startswith("<Bench: base + text, k=5; merged / separate: opencv ")
    assert "<td>separate</td>" in found._repr_html_()
    assert list(engines()) == INSTALLED
    assert repr(engines()) == f"<EngineList: {', '.join(INSTALLED)}>"


def test_rows_have_every_digit_and_tables_do_not(found):
    assert found.rows()[1]["ratio"] == found.engines[0].ratio.median
    assert found.table()[1]["ratio"] == round(found.engines[0].ratio.median, 3)


def test_a_cut_of_no_layers_is_not_taken_for_no_cut(pair):
    with pytest.raises(DarkshareError, match="k=0"):
        bench(pair, k=0)


def test_pictures_without_a_model_are_refused():
    with pytest.raises(BadValue, match="calibrate needs a model"):
        engines(calibrate="photos")


def test_too_few_rounds_are_refused_before_anything_runs(pair):
    for act in (lambda: bench(pair, k=K, rounds=5), lambda: compare_engines(pair[0], rounds=5)):
        with pytest.raises(BadValue, match="5 rounds are too few"):
            act()


# One engine against another


def test_a_comparison_runs_every_engine_in_every_precision(pair):
    entries = compare_engines(pair[0], rounds=6, threads=1)
    wanted = [(name, precision) for name, one in available().items() for precision in one.precisions]
    assert [(entry.engine, entry.precision) for entry in entries] == wanted
    assert entries[0].ratio == TimeRatio(1, 1, 1)
    assert entries[0].difference == 0
    for entry in entries:
        assert entry.difference < (1e-4 if entry.precision == "fp32" else 0.5)
        assert entry.ratio.low <= entry.ratio.median <= entry.ratio.high
    assert entries.notes()[0].startswith("use --engine ")
    assert repr(entries).startswith(f"<EngineComparison: {len(entries)} timings; use --engine ")
    assert len(entries.table()) == len(json.loads(json.dumps(entries.as_dict()))["timings"]) == len(entries)


def test_an_engine_that_cannot_run_it_is_left_out(pair, monkeypatch):
    real = Worker

    def worker(engine, files, **how):
        if engine != "opencv":
            raise DarkshareError("no")
        return real(engine, files, **how)

    monkeypatch.setattr(comparing, "Worker", worker)
    if len(INSTALLED) > 1:
        with pytest.warns(DarkshareWarning, match="is left out: no"):
            assert [entry.engine for entry in compare_engines(pair[0], rounds=6)] == ["opencv"]
    monkeypatch.setattr(comparing, "Worker", lambda *_, **__: (_ for _ in ()).throw(DarkshareError("no")))
    with pytest.raises(DarkshareError, match=r"test\.cfg: no"):
        compare_engines(pair[0], rounds=6)


def test_a_difference_is_a_share_of_each_head_s_largest_number():
    first, second = np.array([1.0, -4.0], "f4"), np.array([100.0, 0.0], "f4")
    assert comparing._difference([first, second], [first, second]) == 0
    assert comparing._difference([first + 1, second], [first, second]) == pytest.approx(1 / 4)
    assert comparing._difference([first, second + 5], [first, second]) == pytest.approx(5 / 100)
    assert comparing._difference([first, second], [np.zeros(2, "f4"), second]) == 4
    assert comparing._difference([first, second * np.float32(np.nan)], [first, second]) is None
    assert comparing._difference([first], [np.array([np.inf, 1], "f4")]) is None


def entry(engine: str, low: float, median: float, high: float, precision: str = "fp32", off=0.1) -> EngineTiming:
    return EngineTiming(engine, precision, "1", of((1.0,)), TimeRatio(median, low, high), off)


OPENCV = entry("opencv", 1, 1, 1)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], "use --engine opencv: nothing here is faster for sure"),
        ([entry("onnxruntime", 0.8, 0.9, 1.1)], "use --engine opencv: nothing here is faster for sure"),
        ([entry("onnxruntime", 0.4, 0.5, 0.6)], "use --engine onnxruntime: 2.00 times as fast as opencv"),
        (
            [entry("openvino", 0.4, 0.5, 0.6), entry("openvino", 0.2, 0.25, 0.3, "bf16")],
            "use --engine openvino: 2.00 times as fast as opencv\n"
            "or --engine openvino --precision bf16: 4.00 times as fast as opencv, "
            "if the heads may be off by 10.0% of their largest numbers (as here on noise)",
        ),
        (  # a lower precision that is not surely faster is not a choice
            [entry("openvino", 0.4, 0.5, 0.6), entry("openvino", 0.3, 0.45, 0.5, "bf16")],
            "use --engine openvino: 2.00 times as fast as opencv",
        ),
        (  # nor is one whose numbers overflow
            [entry("openvino", 0.4, 0.5, 0.6), entry("openvino", 0.2, 0.25, 0.3, "fp16", None)],
            "use --engine openvino: 2.00 times as fast as opencv",
        ),
    ],
)
def test_the_recommendation(others, said):
    assert "\n".join(comparing.recommendation([OPENCV, *others])) == said


# The chart


def test_the_chart_shows_the_medians(found):
    axes: Any = _figure(found).axes[0]
    for place, one in enumerate(found.engines):
        bars = [bar for bar in axes.patches if abs(bar.get_x() + bar.get_width() / 2 - place) < 0.5]
        *stack, merged = bars
        assert len(stack) == 2
        assert sum(bar.get_height() for bar in stack) == pytest.approx(1000 * one.separate.spread.median)
        assert merged.get_height() == pytest.approx(1000 * one.merged.spread.median)
        (label,) = (text for text in axes.texts if abs(text.xy[0] - place) < 0.5)
        assert label.xy == (pytest.approx(merged.get_x() + merged.get_width() / 2), 0)  # at the foot of its own bar
    texts = [text.get_text() for text in axes.texts]
    assert texts == [f"×{one.ratio.median:.2f}" for one in found.engines]
    assert [label.get_text().split("\n")[0] for label in axes.get_xticklabels()] == INSTALLED


@pytest.mark.parametrize(("suffix", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_chart_is_written(found, tmp_path, suffix, begin):
    path = tmp_path / f"bench.{suffix}"
    plot_bench(found, path)
    first = path.read_bytes()
    assert first.startswith(begin)
    plot_bench(found, path)
    assert path.read_bytes() == first  # the same numbers give the same bytes


def test_a_chart_of_another_kind_is_refused(found, tmp_path):
    with pytest.raises(DarkshareError, match="no such kind of figure"):
        plot_bench(found, tmp_path / "x.gif")


def test_peaks_may_be_unknown(found):
    one = replace(found.engines[0], separate=of((1.0, 1.0), peak=None), merged=of((1.0,), peak=None))
    rows = replace(found, engines=(one,)).table()
    assert [row["peak MiB"] for row in rows] == [None, None]
