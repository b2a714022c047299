"""Plans for several tasks, beside all plans there are and networks that are really merged."""

from __future__ import annotations

import csv
import json
import shlex
from dataclasses import asdict
from functools import cache, reduce
from itertools import product
from operator import add
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TRAINABLE, network_of, run, seeded_floats, tiny_text, write_model
from models import without_weights

from darkshare import concat, load, plan
from darkshare.analysis.savings import file_bytes
from darkshare.choose_k import branch_times, fronts
from darkshare.choose_k.budgets import Budget, read_budget
from darkshare.choose_k.fronts import pareto_front
from darkshare.choose_k.trials import RESULT, TrialResult, folder_of, write_json
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.errors import BadArguments, BadValue, DarkshareError

CUTS = (1, 2, 3, 4, 5, 8)


@pytest.fixture
def other(base, tmp_path) -> Path:
    """A sweep from the base for three classes: k=0, 2 and 4 with two seeds, k=5 with one."""
    return swept(base, tmp_path / "other", {(0, 1): 0.60, (0, 2): 0.50, (2, 1): 0.55, (2, 2): 0.52, (4, 1): 0.40,
                                            (4, 2): 0.36, (5, 1): 0.30})  # fmt: skip


def swept(base: Path, folder: Path, maps: dict[tuple[int, int], float], **settings) -> Path:
    """The folder of a sweep that had these mAP, by k and seed."""
    text = tiny_text(3)
    network, shared = network_of(text), load(base)
    settings = {"weights": fingerprint(shared), "valid pictures": "v", "size": None, **settings}
    for (k, seed), score in maps.items():
        place = folder_of(folder, k, seed)
        place.mkdir(parents=True)
        floats = seeded_floats(network, 10 + seed)
        floats[: network.start(k)] = seeded_floats(network_of(TRAINABLE), 1)[: network.start(k)]
        write_model(place / "net", text, floats, names=("a", "b", "c"))
        one = TrialResult(
            k, seed, score, "a rule", None, None, "", "so", {}, None, None, 1, 1, 1.0, 1.0, "cpu", 1, {}, settings
        )
        write_json(place / RESULT, asdict(one))
    return folder


def fingerprint(model: Model) -> str:
    from darkshare._files.opened import sha256

    return sha256(model.weights.path)


def table(path: Path, rows: str, head: str = "k,loss") -> Path:
    path.write_text(f"{head}\n{rows}\n")
    return path


# --- the front ------------------------------------------------------------------------------------------------------


def added(values, start: float = 0.0) -> float:
    """Add one after the other, as plans are: since Python 3.12 `sum` rounds less."""
    return reduce(add, values, start)


def unbeaten(tasks, start=0.0) -> list[tuple[float, float]]:
    """Cost and loss of all plans that no other one beats, by trying every plan."""
    every = {(added((c for c, _ in one), start), added(loss for _, loss in one)) for one in product(*tasks)}
    return sorted(one for one in every if not any(x <= one[0] and y <= one[1] for x, y in every - {one}))


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_that_of_brute_force_on_3_tasks_of_6_cuts(seed):
    rng = np.random.default_rng(seed)
    draw = [lambda: rng.integers(-3, 9, (6, 2)), lambda: rng.normal(3, 4, (6, 2))][seed % 2]  # with equal sums, without
    tasks = [[tuple(map(float, one)) for one in draw()] for _ in range(3)]
    found = pareto_front(tasks, 7.5)
    assert [(one.cost, one.loss) for one in found] == unbeaten(tasks, 7.5)
    for one in found:
        chosen = [own[pick] for own, pick in zip(tasks, one.picks, strict=True)]
        assert (one.cost, one.loss) == (added((c for c, _ in chosen), 7.5), added(loss for _, loss in chosen))


def test_a_front_of_very_many_plans_is_refused(monkeypatch):
    monkeypatch.setattr(fronts, "MOST", 1000)
    doubling = [[(0.0, 2.0**n), (2.0**n, 0.0)] for n in range(12)]
    with pytest.raises(BadValue, match="512 plans are on the front so far; give fewer tasks or cuts"):
        pareto_front(doubling)


# --- plans ----------------------------------------------------------------------------------------------------------


@cache
def merged(ks: tuple[int, ...]) -> Network:
    """The base with a network like it branching off at each of these k."""
    one = without_weights(TRAINABLE, "base")
    return concat([one] * (len(ks) + 1), list(ks)).network


@pytest.mark.parametrize(("unit", "seed"), [("flops", 0), ("flops", 1), ("mb", 2), ("mb", 3)])
def test_a_plan_costs_what_the_merged_network_does_and_is_the_best_of_all_within_the_budget(base, tmp_path, unit, seed):
    """Three tasks, six cuts each, with losses by chance; what each plan costs is counted in the network itself."""
    rng = np.random.default_rng(seed)
    shared = load(base)
    losses = {name: dict(zip(CUTS, rng.normal(3, 2, 6).tolist(), strict=True)) for name in "abc"}
    tables = {
        name: table(tmp_path / f"{name}.csv", "\n".join(f"{k},{loss!r}" for k, loss in own.items()))
        for name, own in losses.items()
    }
    every = []
    for ks in product(CUTS, repeat=3):
        whole = merged(tuple(sorted(ks)))
        cost = whole.flops / (4 * shared.network.flops) if unit == "flops" else file_bytes(whole) / 1e6
        every.append((cost, added(losses[name][k] for name, k in zip("abc", ks, strict=True)), ks))
    most = sorted(cost for cost, *_ in every)[100]
    found = plan(shared, tables, budget=f"{unit}<={most:.17g}")
    cost, loss, ks = min((one for one in every if one[0] <= most), key=lambda one: one[1])
    assert tuple(one.k for one in found.chosen.cuts) == ks
    assert (found.chosen.cost, found.chosen.loss) == pytest.approx((cost, loss))
    assert [one.cost for one in found.front] == sorted({one.cost for one in found.front})
    cheapest = plan(shared, tables, max_loss={"": 9.0, "a": 3.0})
    assert {one.loss <= 3 for one in cheapest.chosen.cuts if one.task == "a"} == {True}
    assert cheapest.chosen == cheapest.front[0]
    assert plan(shared, tables, max_loss={"": 9.0, "a": 3.0}, prefer="loss").chosen == cheapest.front[-1]


def test_losses_of_a_sweep_are_paired_by_seed(base, other):
    found = plan(load(base), {"text": other}, budget="flops<=100%")
    cuts = {one.cuts[0].k: one.cuts[0] for one in found.front}
    assert sorted(cuts) == [0, 2, 4, 5]
    assert [cuts[k].loss for k in (0, 2, 4, 5)] == pytest.approx([0, 1.5, 17, 30])
    assert [cuts[k].seeds for k in (0, 2, 4, 5)] == [2, 2, 2, 1]
    assert cuts[2].deviation == pytest.approx(7 / 2**0.5)  # of 5 and -2 points
    assert cuts[4].deviation == pytest.approx(6 / 2**0.5)  # of 20 and 14
    assert cuts[5].deviation is None
    assert cuts[0].flops == network_of(tiny_text(3)).flops
    assert found.chosen.cost == 1  # two networks, nothing shared
    assert Path(cuts[4].model.name) == other / "trials/k4-seed1/net.cfg"  # the better one


def test_several_sweeps_of_a_task_are_one(base, other, tmp_path):
    more = swept(base, tmp_path / "more", {(4, 1): 0.58, (4, 2): 0.50}, side="ladder")
    found = plan(load(base), {"text": [other, more]}, max_loss=2)
    assert [(one.k, one.side) for one in found.chosen.cuts] == [(4, "ladder")]
    assert found.chosen.loss == pytest.approx(1)  # less than the first sweep's k=0
    assert found.advice().startswith("Branch text off at k=4 ladder: base and tasks take ")
    again = swept(base, tmp_path / "again", {(4, 1): 0.5}, **{"valid pictures": "others"})
    with pytest.raises(DarkshareError, match="valid pictures others, now v"):
        plan(load(base), {"text": [other, again]}, max_loss=2)


@pytest.mark.parametrize(
    ("text", "unit", "most"),
    [("flops<=0.5", "flops", 0.5), ("flops=50%", "flops", 0.5), (" mb <= 12 ", "mb", 12), ("ms<=.5", "ms", 0.5)],
)
def test_a_budget_is_a_unit_and_a_number(text, unit, most):
    assert read_budget(text) == Budget(unit, most)


@pytest.mark.parametrize(
    "text", ["", "0.5", "flops<0.5", "flops>=0.5", "mb<=0", "mb<=50%", "gb<=1", "ms<=nan", "ms<=1e3"]
)
def test_another_budget_is_refused(base, tmp_path, text):
    with pytest.raises(BadValue, match=r"is not a budget; write flops<=0.5 \(or 50%\), mb<=12 or ms<=30"):
        plan(load(base), {"a": table(tmp_path / "a.csv", "2,1")}, budget=text)


@pytest.mark.parametrize(
    ("head", "rows", "says"),
    [
        ("k,map", "2,1", "a.csv: has the columns k, map; a table of losses has k and loss in points"),
        ("k;loss", "2;1", "a.csv: has the columns k;loss;"),
        ("k,loss", "", "a.csv: has no row"),
        ("k,loss", "2,1\nx,1", "a.csv:3: k=x and loss=1 must be a whole number and points of mAP"),
        ("k,loss", "2", "a.csv:2: k=2 and loss= must be"),
        ("k,loss", "2,inf", "a.csv:2: loss=inf must be points of mAP"),
        ("k,loss", "99,1", "a.csv:2: k=99 must be 1..12"),
        ("k,loss", "-1,1", "a.csv:2: k=-1 must be 1..12"),
        ("k,loss", "2,1\n2,1", "a has k=2 twice in"),
        ("k,loss,side", "2,1,ladder", "a.csv:2: the cost of the side ladder is not known; name the network"),
        ("k,loss,cfg", "2,1,bare.cfg", "a.csv:2: bare.cfg has no weights beside it"),
        ("k,loss,cfg", "2,1,none.cfg", "none.cfg: cannot be read"),
    ],
)
def test_a_table_that_says_something_else_is_refused(base, tmp_path, head, rows, says):
    (tmp_path / "bare.cfg").write_text(tiny_text(3))
    with pytest.raises(DarkshareError) as error:
        plan(load(base), {"a": table(tmp_path / "a.csv", rows, head)}, budget="mb<=1")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"budget": "flops<=0.1"}, "no plan keeps to flops<=0.1: the cheapest, text k=5, a k=4 takes"),
        ({"budget": "flops<=0.1"}, "and loses 32.00 points; the most accurate, text k=0, a k=4 takes"),
        ({"max_loss": 1}, "no cut of a loses at most 1 points: k=4 loses least, 2.00; allow that, or give smaller k"),
        ({"max_loss": {"txt": 1}}, "there is no task 'txt'; is 'text' meant?"),
        ({"max_loss": -1.0}, "max_loss=-1.0 must be at least 0"),
        ({"max_loss": float("nan")}, "max_loss=nan must be at least 0"),
        ({"max_loss": 9, "prefer": "best"}, "prefer best must be loss or cost"),
        ({"budget": "ms<=1", "rounds": 2}, "2 rounds are too few"),
        ({}, "give a budget, the loss that is allowed, or both"),
    ],
)
def test_limits_that_no_plan_keeps_are_told_with_the_nearest_plans(base, other, tmp_path, how, says):
    with pytest.raises(DarkshareError) as error:
        plan(load(base), {"text": other, "a": table(tmp_path / "a.csv", "2,3\n4,2")}, **how)
    assert says in str(error.value)


def test_sources_of_another_kind_base_or_size_are_refused(base, other, tmp_path):
    shared = load(base)
    with pytest.raises(BadArguments, match="give at least one task"):
        plan(shared, {}, max_loss=1)
    with pytest.raises(DarkshareError, match=r"none: is neither the folder of a sweep nor a \.csv table"):
        plan(shared, {"a": tmp_path / "none"}, max_loss=1)
    with pytest.raises(DarkshareError, match=r"takes 32x32x3, the base 64x64x3, .* as --size 32x32"):
        plan(load(base, size=(64, 64)), {"a": other}, max_loss=1)
    write_model(tmp_path / "strange", TRAINABLE, seeded_floats(network_of(TRAINABLE), 9))
    with pytest.raises(DarkshareError, match="is a sweep from other weights than those of"):
        plan(load(tmp_path / "strange.cfg"), {"a": other}, max_loss=1)
    lonely = swept(base, tmp_path / "lonely", {(0, 1): 0.6, (2, 2): 0.5})
    with pytest.raises(DarkshareError, match="its k=2 has no seed of k=0 to compare with; add one with --seeds"):
        plan(shared, {"a": lonely}, max_loss=1)


def test_ms_are_those_of_the_pair_less_the_base_and_each_structure_is_measured_once(base, other, tmp_path, monkeypatch):
    measured = []

    def measure(separate, merged, engines, **how):
        measured.append(merged.network.flops)
        own, both = (
            SimpleNamespace(spread=SimpleNamespace(median=one.network.flops / 1e6)) for one in (*separate, merged)
        )
        return SimpleNamespace(engines=[SimpleNamespace(separate=own, merged=both)])

    monkeypatch.setattr(branch_times, "measure_merging", measure)
    a, b = (table(tmp_path / f"{name}.csv", "2,1\n4,2") for name in "ab")
    found = plan(load(base), {"a": a, "b": b, "text": other}, budget="ms<=100000")
    assert len(measured) == len(set(measured)) == 2 + 4
    by_flops = plan(load(base), {"a": a, "b": b, "text": other}, budget="flops<=1")
    assert found.chosen.cost == pytest.approx(1e-3 * by_flops.chosen.cost * by_flops.separate_flops)
    assert [[one.k for one in each.cuts] for each in found.front] == [
        [one.k for one in each.cuts] for each in by_flops.front
    ]
    both = plan(load(base), {"a": a, "b": b, "text": other}, max_loss=2)
    assert both.advice().startswith("Branch a and b off at k=4 and text off at k=2: base and tasks take ")
    assert found.notes()[-2:] == [
        "ms: the base with one branch, less the base alone; bench measures the merged", "    network",
    ]  # fmt: skip


# --- the command ----------------------------------------------------------------------------------------------------


def test_what_is_printed_next_makes_the_plan(base, other, tmp_path, monkeypatch):
    """One task is trained already, one is not yet: here another's training stands for it."""
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "logos.csv", "0,0\n3,0.5")
    words = ["base.cfg", "text=other", "logos=logos.csv", "--budget=flops<=90%", "--max-loss", "text=2"]
    result = run("plan", *words, "--prefer", "cost", "-o", "out", code=0)
    assert "Branch text off at k=2 and logos off at k=3: base and tasks take" in result.stdout
    assert "text may lose more than 2: 1.50 ± 4.95 over its seeds" in " ".join(result.stdout.split())
    wrote, train, merge = result.stderr.splitlines()
    assert wrote == "wrote out/plan.csv, out/front.csv, out/front.png"
    assert train.startswith("next: darkshare train base.cfg base.weights DATA.data --k 3 --epochs 30 ")
    assert train.endswith("-o logos")
    for suffix in ("cfg", "weights"):
        Path(f"logos.{suffix}").write_bytes(Path(f"base.{suffix}").read_bytes())
    run(*shlex.split(merge.removeprefix("next: darkshare ")), code=0)
    both = load("merged.cfg")
    assert [(task.name, task.k) for task in both.tasks] == [("base", 0), ("text", 2), ("logos", 3)]
    rows = list(csv.DictReader(Path("out/plan.csv").read_text().splitlines()))
    assert [(row["task"], row["k"]) for row in rows] == [("base", ""), ("text", "2"), ("logos", "3")]
    assert sum(int(row["file_bytes"]) for row in rows) == Path("merged.weights").stat().st_size
    separate = load("base.cfg").network.flops * 2 + network_of(tiny_text(3)).flops
    assert sum(float(row["flops"]) for row in rows) == pytest.approx(both.network.flops / separate)
    front = list(csv.DictReader(Path("out/front.csv").read_text().splitlines()))
    assert [*front[0]] == ["flops", "loss", "deviation", "k of text", "k of logos"]
    found = json.loads(run("plan", *words, "--format", "json", code=0).stdout)
    assert (len(found["front"]), found["unit"], found["budget"]) == (len(front), "flops", 0.9)


def test_options_of_ms_are_refused_elsewhere(base, other):
    words = ("plan", base, f"text={other}", "--max-loss", 1)
    assert "--rounds is for a budget in ms" in run(*words, "--rounds", 9, code=2).stderr
    assert run(*words, "--max-loss", "x", code=2).stderr.count("not a valid float") == 1
